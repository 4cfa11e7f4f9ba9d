"""Two hundred streams at once for a minute: what they leave in memory, and whether every one gets its share."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from bench import rig
from bench.report import Section
from bench.streams import Subject, stage

AT_ONCE: Final = 200
EVENTS: Final = 25
PAUSE: Final = 100
"""Milliseconds."""
STREAM: Final = EVENTS * PAUSE / 1000
"""Seconds that one stream takes at least."""
MIB: Final = 2**20


@dataclass(slots=True, kw_only=True)
class Watched:
    """One subject's memory while it was at work."""

    seen: dict[str, Any] = field(default_factory=dict)
    samples: list[tuple[float, int]] = field(default_factory=list)
    """Seconds, and bytes of resident memory."""

    def grown(self) -> float:
        """Return the MiB that a thousand streams left: the slope of the last three quarters of the time."""
        late = self.samples[len(self.samples) // 4 :]
        slope = statistics.linear_regression([at for at, _ in late], [size for _, size in late]).slope
        begun: float = self.seen["streams"] / self.seen["seconds"]
        return slope / MIB / begun * 1000


def flood(quick: bool) -> Section:
    """Measure the relay and the gate, one after the other, on processes of their own."""
    seconds = 10.0 if quick else 60.0
    section = Section(
        title=f"{AT_ONCE} streams at once for {seconds:.0f} seconds",
        about=(
            f"{AT_ONCE} connections, on each one stream after the other; {EVENTS} events {PAUSE} ms apart. Resident memory of the "
            "host's process twice a second, after streams had run for a while; *grown* is the slope over the last three quarters "
            "of the time. The relay is the bare function of the section above: what it grows by is the worker library's own. *Events "
            "a second* are those of one connection while it had a stream, *silence* is the longest between two events of any."
        ),
        head=(
            "subject",
            "streams",
            "MiB at first",
            "halfway",
            "at the end",
            "grown, MiB per 1,000 streams",
            "events a second, least",
            "median",
            "most",
            "longest silence, ms",
        ),
    )
    with stage(PAUSE, events=EVENTS) as (_, relay, gate, limited):
        watched = {subject.name: _watch(subject, seconds) for subject in (relay, gate, limited)}
    for name, one in watched.items():
        sizes = [f"{size / MIB:.1f}" for _, size in one.samples]
        section.rows.append(
            (
                name,
                f"{one.seen['streams']:,}",
                sizes[0],
                sizes[len(sizes) // 2],
                sizes[-1],
                f"{one.grown():.2f}",
                *(f"{pace:.2f}" for pace in one.seen["paces"]),
                f"{one.seen['gap_ms']:,.0f}",
            )
        )
    least, middle, _ = watched[gate.name].seen["paces"]
    more = watched[gate.name].grown() - watched[relay.name].grown()
    section.at_most("grown beyond what the relay grows by, per 1,000 streams", more, 0.5, " MiB")
    section.at_least(
        "events a second of the worst served connection beside the median one", least / middle, 0.9
    )
    section.notes.append("every stream that was begun came whole; the run stops otherwise")
    return section


def _watch(subject: Subject, seconds: float) -> Watched:
    # The same in both runs: what is remembered of new principals would look like something that grows.
    requests = subject.requests(PAUSE)
    subject.load(requests, connections=AT_ONCE, seconds=4 * STREAM, spread=STREAM)
    watched = Watched()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.5):
            watched.samples.append((time.monotonic(), subject.served.resident()))

    with rig.on_core(rig.LOADER):
        sampler = threading.Thread(target=sample)
        sampler.start()
    try:
        watched.seen = subject.load(requests, connections=AT_ONCE, seconds=seconds, spread=STREAM)
    finally:
        over.set()
        sampler.join()
    return watched
