"""Saves a snapshot or a page: who may do what, and who people are. Nobody but its owner may read the file."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO


def save(document: Mapping[str, object], path: Path) -> None:
    """Write `document` as JSON to `path`, mode 0600, whole or not at all; raise OSError.

    An older file there is replaced, whatever its mode was.
    """

    def written(file: TextIO) -> None:
        json.dump(document, file, indent=1)
        file.write("\n")

    _replace(path, written)


def write(content: str, path: Path) -> None:
    """Write `content` to `path` as `save` does; raise OSError."""

    def written(file: TextIO) -> None:
        file.write(content)

    _replace(path, written)


def _replace(path: Path, write_into: Callable[[TextIO], None]) -> None:
    if path.exists() and not path.is_file():
        # A device or a pipe would be gone with its name.
        raise OSError(errno.EINVAL, "is not a plain file")
    # mkstemp makes its files 0600, and the name is nobody else's.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            write_into(file)
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
