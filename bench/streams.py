"""Streams: what the gate adds to the first byte and to each event, beside a function that only relays."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import chat, rig, traffic
from bench.report import Section
from bench.rounds import TRIES, Rounds

PATH: Final = "/openai/v1/chat/completions"
CALLERS: Final = 100
EVENTS: Final = 100
UNLIMITED: Final = 'requests = "900000000/day", tokens = "900000000/day", scope = "instance"'
"""Limits that are counted and never reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How the model streams, and to how many at once."""

    name: str
    pause: int
    """Milliseconds between two events; 0: all at once."""
    connections: int
    seconds: float

    def load(self, quick: bool) -> dict[str, Any]:
        """Return the generator's job; the streams of one round begin evenly over the time that one takes."""
        whole = self.pause * EVENTS / 1000
        return {
            "connections": self.connections,
            "seconds": max(1.0, whole) if quick else self.seconds,
            "spread": whole if self.connections > 1 else 0.0,
        }


CASES: Final = (
    Case(name="1 stream, all events at once", pause=0, connections=1, seconds=2.0),
    Case(name="50 streams, all events at once", pause=0, connections=50, seconds=2.0),
    Case(name="1 stream, an event every 2 ms", pause=2, connections=1, seconds=3.0),
    Case(name="50 streams, an event every 20 ms", pause=20, connections=50, seconds=4.0),
)
STEADY: Final = CASES[3]
"""Where events come one by one and nobody waits for the processor: its cost per event is the one that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is asked, and by which name it knows the model that streams with a pause."""

    name: str
    served: rig.Served
    prefix: str = ""
    events: int = EVENTS

    def requests(self, pause: int) -> list[bytes]:
        """Return the callers' requests."""
        model = f"{self.prefix}{pause}" if self.prefix else chat.deployment(self.events, pause)
        body = chat.request_body(model, stream=True)
        principals = (traffic.headers(number, traffic.principal(number, 50)) for number in range(CALLERS))
        return [traffic.request(PATH, pairs, body) for pairs in principals]

    def load(self, requests: list[bytes], **job: Any) -> dict[str, Any]:
        """Run the generator once, and make sure that every stream came whole, with no usage that nobody asked for."""
        seen = rig.load(self.served.port, requests, generator="bench.streamload", **job)
        due = seen["streams"]
        if seen["statuses"] != {"200": due} or seen["whole"] != due or seen["without_usage"] != due:
            raise RuntimeError(f"{self.name} did not stream as it should: {seen}")
        if seen["events"] != due * (self.events + 1):
            raise RuntimeError(f"{self.name} sent {seen['events']} events in {due} streams")
        return seen


@dataclass(slots=True)
class Taken:
    """What one subject came to in one case, round by round."""

    first: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    stream: list[float] = field(default_factory=list)
    event: list[float] = field(default_factory=list)

    @property
    def first_ms(self) -> float:
        """Return the time to the first byte, the median of the rounds' medians."""
        return statistics.median(self.first)

    @property
    def event_us(self) -> float:
        """Return the processor time an event, the request's share in it."""
        return statistics.median(self.event)


def streams(quick: bool) -> Section:
    """Measure the first byte and the cost of an event at 1 and at 50 streams."""
    section = Section(
        title="Streams: first byte and cost of an event",
        about=(
            f"The stub streams {EVENTS} chat chunks of about 230 bytes and `[DONE]`; 2 KiB requests of principals with 50 groups "
            f"({CALLERS} callers in turn); `GROUPGATE_HTTP=stream`, audit to the log, everything else at its default. *Relay* is a "
            "bare function on the same local host (FastAPI extension, aiohttp, bench/apps/relay) that checks nothing. *Added* is "
            "the time to the first byte of the body less that straight from the stub. CPU is the host's, front and worker "
            f"together; an event's has the request's share in it, and is judged at {STEADY.name}. Where all events come at once "
            "hosts are fully at work at 50 streams, and the first byte waits for the processor. Interleaved rounds, medians."
        ),
        head=(
            "case",
            "subject",
            "first byte, ms",
            "p99, ms",
            "added, ms",
            "of the relay's",
            "CPU µs a stream",
            "CPU µs an event",
            "of the relay's",
        ),
    )
    with stage() as (straight, relay, gate, limited):
        subjects = (straight, relay, gate, limited)
        taken = _measure(subjects, section, quick=quick)
    for case in CASES:
        floor, bare = taken[case, straight.name], taken[case, relay.name]
        for subject in subjects:
            one = taken[case, subject.name]
            added = one.first_ms - floor.first_ms
            times, dearer = added / (bare.first_ms - floor.first_ms), one.event_us / bare.event_us
            numbers: tuple[str, ...] = ("",) * 5
            if subject is not straight:
                numbers = (
                    f"{added:.2f}",
                    f"{times:.2f}",
                    f"{statistics.median(one.stream):,.0f}",
                    f"{one.event_us:,.1f}",
                    f"{dearer:.2f}",
                )
            slowest = statistics.median(one.slowest)
            section.rows.append((case.name, subject.name, f"{one.first_ms:.2f}", f"{slowest:.2f}", *numbers))
            if subject is gate:
                section.at_most(f"{case.name}: first byte added, the gate beside the relay", times, 2, "x")
                if case is STEADY:
                    section.at_most(f"{case.name}: CPU an event, the gate beside the relay", dearer, 1.3, "x")
    return section


@contextlib.contextmanager
def stage(*pauses: int, events: int = EVENTS) -> Iterator[tuple[Subject, Subject, Subject, Subject]]:
    """Start the stub, the relay and the gate; yield what is asked: straight, relay, gate, and the gate that counts tokens."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = stack.enter_context(rig.stub())
        models = "".join(
            rig.model(f"{prefix}{pause}", stub.url, deployment=chat.deployment(events, pause), limits=limits)
            for prefix, limits in (("open-", ""), ("limited-", UNLIMITED))
            for pause in pauses or sorted({case.pause for case in CASES})
        )
        settings = rig.gate_settings(folder, stub.url, endpoints=models) | {"GROUPGATE_HTTP": "stream"}
        gate = stack.enter_context(rig.host(rig.ROOT, settings))
        relay = stack.enter_context(rig.host(rig.ROOT / "bench/apps/relay", {"RELAY_URL": stub.url}))
        yield (
            Subject(name="straight", served=stub, events=events),
            Subject(name="relay", served=relay, events=events),
            Subject(name="**the gate**", served=gate, prefix="open-", events=events),
            Subject(
                name="the gate, limits counted, usage hidden", served=gate, prefix="limited-", events=events
            ),
        )


def _measure(
    subjects: tuple[Subject, ...], section: Section, *, quick: bool
) -> dict[tuple[Case, str], Taken]:
    taken = {(case, subject.name): Taken() for case in CASES for subject in subjects}
    processes = {subject.served.port: subject.served for subject in subjects}
    measured = Rounds(list(processes.values()), tries=1 if quick else TRIES)
    for subject in subjects:
        for case in CASES:
            _check(subject, case)
    for _ in range(1 if quick else 5):
        for case in CASES:
            for subject in subjects:
                done = measured.measure(
                    subject.served, partial(subject.load, subject.requests(case.pause), **case.load(quick))
                )
                one = taken[case, subject.name]
                one.first.append(done.seen["first_ms"])
                one.slowest.append(done.seen["first_p99_ms"])
                one.stream.append(done.cpu / done.seen["streams"] * 1e6)
                one.event.append(done.cpu / done.seen["events"] * 1e6)
    measured.tell(section)
    return taken


def _check(subject: Subject, case: Case) -> None:
    """Warm the subject up, and make sure that it streams, and that the gate refuses whom it should."""
    subject.load(subject.requests(case.pause), **case.load(quick=True))
    if not subject.prefix:
        return
    stranger = traffic.headers(traffic.STRANGER, traffic.principal(traffic.STRANGER, 50, member=False))
    body = chat.request_body(f"{subject.prefix}{case.pause}", stream=True)
    for pairs, status in (([], 401), (stranger, 403)):
        asked = [traffic.request(PATH, pairs, body)]
        seen = rig.load(subject.served.port, asked, connections=1, once=True)
        if seen["statuses"] != {str(status): 1}:
            raise RuntimeError(f"{subject.name} answered {seen['statuses']} where {status} was due")
