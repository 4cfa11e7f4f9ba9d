"""Saves a snapshot: who may do what, and who people are. Nobody but its owner may read the file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def save(document: Mapping[str, object], path: Path) -> None:
    """Write `document` as JSON to `path`, mode 0600, whole or not at all; raise OSError.

    An older file there is replaced, whatever its mode was.
    """
    # mkstemp makes its files 0600, and the name is nobody else's.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
