"""Requests a second: the whole gate beside an empty function and a plain sample, all on the genuine worker library."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import rig, traffic
from bench.report import Section
from bench.rounds import TRIES, Rounds

Pairs = list[tuple[str, str]]
CALLERS = 100
FAST, THOUGHTFUL = "/endpoints/fraud/score", "/endpoints/slow/score"


@dataclass(slots=True, kw_only=True)
class Subject:
    """One row of the table."""

    name: str
    served: rig.Served
    path: str
    body: bytes = traffic.BODY
    connections: int
    decides: bool = True
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return requests a second, the median of the rounds."""
        return statistics.median(self.rates)

    def row(self, floor: Subject) -> tuple[str, ...]:
        """Return the table row; `floor` is what the ratio refers to."""
        return (
            self.name,
            f"{self.rate:,.0f}",
            f"{self.rate / floor.rate:.2f}",
            f"{statistics.median(self.cpu):,.0f}",
            f"{statistics.median(floor.cpu) / statistics.median(self.cpu):.2f}",
            f"{statistics.median(self.p50):.1f}",
            f"{statistics.median(self.p99):.1f}",
        )


HEAD = (
    "subject",
    "requests a second",
    "of the first row",
    "CPU µs a request",
    "first row's CPU to it",
    "p50 ms",
    "p99 ms",
)


def fast(quick: bool) -> Section:
    """Measure at 16 connections with a model that answers at once."""
    section = Section(
        title="Throughput, 16 connections, fast model",
        about=(
            "`python -m local.host` on one core, generator and stub on the other; 1 KiB of JSON, principals with 50 groups "
            f"({CALLERS} callers in turn), membership proven by the claim, audit to the log, everything else at its default. "
            "Interleaved rounds, medians. CPU is the host's, front and worker together."
        ),
        head=HEAD,
    )
    with _hosts() as hosts:
        subjects = [
            Subject(
                name="empty async function",
                served=hosts["empty"],
                path=FAST,
                connections=16,
                decides=False,
            ),
            Subject(name="**the gate**", served=hosts["gate"], path=FAST, connections=16),
            Subject(name="sample, Graph asked each time", served=hosts["graph"], path=FAST, connections=16),
            Subject(name="sample, claim checked only", served=hosts["claim"], path=FAST, connections=16),
        ]
        compare(subjects, list(hosts.values()), section, quick=quick)
    empty, gate, graph, claim = subjects
    section.at_least("the gate beside an empty async function", gate.rate / empty.rate, 0.40)
    section.at_least("the gate beside the sample that asks Graph", gate.rate / graph.rate, 2.5, "x")
    section.at_least("the gate beside the sample that trusts the claim", gate.rate / claim.rate, 2.5, "x")
    return section


def slow(quick: bool) -> Section:
    """Measure at 64 connections with a model that takes 50 ms."""
    section = Section(
        title="Throughput, 64 connections, model answering after 50 ms",
        about="As above. The sample's synchronous function waits in the worker's thread pool of its default size.",
        head=HEAD,
    )
    with _hosts() as hosts:
        subjects = [
            Subject(name="**the gate**", served=hosts["gate"], path=THOUGHTFUL, connections=64),
            Subject(
                name="sample, Graph asked each time", served=hosts["graph"], path=THOUGHTFUL, connections=64
            ),
            Subject(
                name="sample, claim checked only", served=hosts["claim"], path=THOUGHTFUL, connections=64
            ),
        ]
        compare(subjects, list(hosts.values()), section, quick=quick)
    gate, graph, claim = subjects
    section.at_least("the gate beside the sample that asks Graph", gate.rate / graph.rate, 8, "x")
    section.at_least("the gate beside the sample that trusts the claim", gate.rate / claim.rate, 8, "x")
    return section


@contextlib.contextmanager
def _hosts() -> Iterator[dict[str, rig.Served]]:
    """Start every subject; they cost nothing while they are not asked."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = stack.enter_context(rig.stub())
        endpoints = rig.endpoint("fraud", f"{stub.url}/score") + rig.endpoint(
            "slow", f"{stub.url}/slow/score"
        )
        gate = rig.gate_settings(folder, stub.url, endpoints=endpoints)
        sample = {
            "SAMPLE_GROUP": traffic.GROUP,
            "SAMPLE_GRAPH_URL": stub.url,
            "SAMPLE_MODEL": stub.url,
            "IDENTITY_ENDPOINT": f"{stub.url}/msi/token",
            "IDENTITY_HEADER": "bench",
        }
        apps = rig.ROOT / "bench" / "apps"
        yield {
            "stub": stub,
            "empty": stack.enter_context(rig.host(apps / "empty", {})),
            "gate": stack.enter_context(rig.host(rig.ROOT, gate)),
            "graph": stack.enter_context(rig.host(apps / "sample", {**sample, "SAMPLE_GRAPH": "true"})),
            "claim": stack.enter_context(rig.host(apps / "sample", {**sample, "SAMPLE_GRAPH": "false"})),
        }


def compare(subjects: list[Subject], live: list[rig.Served], section: Section, *, quick: bool) -> None:
    """Check that every subject answers rightly, measure them in turns, and add their rows to `section`."""
    rounds, seconds = (1, 1.0) if quick else (5, 2.0)
    principals = [traffic.headers(number, traffic.principal(number, 50)) for number in range(CALLERS)]
    stranger = traffic.headers(traffic.STRANGER, traffic.principal(traffic.STRANGER, 50, member=False))
    for subject in subjects:
        _check(subject, principals, stranger)
        rig.load(
            subject.served.port, _requests(subject, principals), connections=subject.connections, seconds=1.0
        )
    measured = Rounds(live, tries=1 if quick else TRIES)
    for _ in range(rounds):
        for subject in subjects:
            load = partial(
                rig.load,
                subject.served.port,
                _requests(subject, principals),
                connections=subject.connections,
                seconds=seconds,
            )
            taken = measured.measure(subject.served, load)
            result = taken.seen
            if set(result["statuses"]) != {"200"}:
                section.notes.append(f"{subject.name} answered {result['statuses']}")
            subject.rates.append(result["count"] / result["seconds"])
            subject.cpu.append(taken.cpu / result["count"] * 1e6)
            subject.p50.append(result["p50_ms"])
            subject.p99.append(result["p99_ms"])
    section.rows += [subject.row(subjects[0]) for subject in subjects]
    measured.tell(section)


def _requests(subject: Subject, principals: list[Pairs]) -> list[bytes]:
    return [traffic.request(subject.path, pairs, subject.body) for pairs in principals]


def _check(subject: Subject, members: list[Pairs], stranger: Pairs) -> None:
    """Make sure that what is measured answers rightly: 200, and but for the empty function 401 and 403."""
    expected: list[tuple[list[Pairs], int]] = [(members, 200)]
    if subject.decides:
        expected += [([[]], 401), ([stranger], 403)]
    for principals, status in expected:
        result = rig.load(subject.served.port, _requests(subject, principals), connections=1, once=True)
        if result["statuses"] != {str(status): 1}:
            raise RuntimeError(f"{subject.name} answered {result['statuses']} where {status} was due")
