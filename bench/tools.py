"""Environments for what is only compared with, each of its own under .tools: nothing of it comes near the gate's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import rig

FOLDER = rig.ROOT / ".tools"
PATIENCE = 600.0
"""Seconds that an installation may take."""


class Missing(Exception):
    """What is to be compared with cannot be had here; the text says why."""


def environment(name: str, *packages: str) -> Path:
    """Return the folder of an environment with `packages`, made once and kept; raise Missing."""
    folder = FOLDER / name
    made = folder / ".packages"
    wanted = "\n".join(packages)
    if made.is_file() and made.read_text() == wanted:
        return folder
    uv = shutil.which("uv", path=f"{os.environ.get('PATH', '')}{os.pathsep}{FOLDER / 'bin'}")
    if uv is None:
        raise Missing("uv is not installed here")
    python = folder / "bin" / "python"
    for command in (
        ["venv", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), *packages],
    ):
        try:
            subprocess.run(
                [uv, "--quiet", *command], capture_output=True, text=True, check=True, timeout=PATIENCE
            )
        except subprocess.CalledProcessError as failed:
            last = (failed.stderr.strip().splitlines() or ["nothing said"])[-1].strip()
            raise Missing(f"uv could not install {', '.join(packages)}: {last}") from failed
        except subprocess.TimeoutExpired as late:
            raise Missing(f"installing {', '.join(packages)} took longer than {PATIENCE:.0f} s") from late
    made.write_text(wanted)
    return folder
