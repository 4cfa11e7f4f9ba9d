"""How long importing the app takes, beside the libraries that it loads by themselves."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import rig
from bench.report import Section

CANDIDATES = (
    "azure.functions",
    "aiohttp",
    "msgspec",
    "azure.identity.aio",
    "jwt",
    "requests",
    "azure.durable_functions",
)


def imports(quick: bool) -> Section:
    """Measure in fresh processes, in turns, with bytecode files in place."""
    section = Section(
        title="Import",
        about="Fresh processes in turns, bytecode in place, medians of CPU time; an online-only policy, easyauth.",
        head=("what", "ms"),
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = rig.gate_settings(
            Path(folder), "http://127.0.0.1:9", endpoints=rig.endpoint("fraud", "http://127.0.0.1:9/score")
        )
        loaded = _run(
            f"import sys, function_app; print(*[name for name in {CANDIDATES!r} if name in sys.modules])",
            settings,
        ).split()
        subjects = {
            "the libraries it loads: " + ", ".join(loaded): "; ".join(f"import {name}" for name in loaded),
            "`import function_app`": "import function_app",
            "azure.functions by itself": "import azure.functions",
            "azure.identity.aio, loaded at the first token": "import azure.identity.aio",
        }
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(3 if quick else 21):
            for name, code in subjects.items():
                timed = (
                    f"import time; begun = time.process_time(); {code}; print(time.process_time() - begun)"
                )
                times[name].append(float(_run(timed, settings)) * 1000)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    section.rows += [(name, f"{median:.0f}") for name, median in medians.items()]
    libraries, app, *_ = medians.values()
    section.at_most("importing function_app beside its libraries", app / libraries, 1.25, "x")
    return section


def _run(code: str, settings: dict[str, str]) -> str:
    with rig.on_core(rig.SUBJECT):
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=rig.ROOT,
            env=rig.environment(**settings),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
