"""What a million different callers leave behind in the gate's memory."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench import parts, rig
from bench.report import Section
from shared.authorize import authorize
from shared.model import Allow, Asked

WARM = 2000


def memory(quick: bool) -> Section:
    """Measure in a process of its own."""
    callers = 50_000 if quick else 1_000_000
    section = Section(
        title=f"Memory after {callers:,} different principals",
        about=(
            "Each through authentication and membership once, every second one proven by its claim and the others asked at a "
            f"directory; resident memory of the process after {WARM:,} callers and after all of them."
        ),
        head=("after", "MiB"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", str(callers)],
        cwd=rig.ROOT,
        env=rig.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    section.rows += [
        (f"{WARM:,} callers", f"{told['before']:.1f}"),
        (f"{callers:,} callers", f"{told['after']:.1f}"),
    ]
    section.at_most("left behind", told["after"] - told["before"], 64, " MiB")
    section.notes.append(
        f"{told['asked']:,} questions to the directory, {told['micros']:.0f} µs a caller, the header's making included"
    )
    return section


async def _pass(callers: int) -> dict[str, float]:
    loaded = parts.policy(1)
    directory = parts.Yes()
    identity, resolver = parts.easy_auth(), parts.resolver(loaded, directory)
    asked = Asked(target="endpoint", name="e0", operation="score")
    before, begun = 0.0, time.perf_counter()
    for number in range(callers):
        if number == WARM:
            before = _resident()
        principal = await identity.authenticate(parts.headers(number, 10, member=number % 2 == 0))
        ruling = await authorize(loaded, resolver, principal, asked)
        if not isinstance(ruling.decision, Allow):
            raise TypeError(f"expected an allow, got {ruling.decision}")
    micros = (time.perf_counter() - begun) / callers * 1e6
    return {"before": before, "after": _resident(), "asked": directory.calls, "micros": micros}


def _resident() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_pass(int(sys.argv[1])))))
