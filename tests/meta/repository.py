"""The project's own files, as a commit of them would hold them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files(*patterns: str) -> list[str]:
    """Return the tracked files, and those about to be, that match git pathspecs; relative to ROOT, sorted."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})


def read(name: str) -> str:
    """Return the text of the file `name`, relative to ROOT."""
    return (ROOT / name).read_text(encoding="utf-8")
