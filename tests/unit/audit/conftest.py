"""What the audit's tests share: a clock they move, a caller, and sinks that end with the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.audit import Audit, make_sink
from shared.model import Allow, Asked, Fact, Kind, Principal, Reason, Source, Standing
from shared.ports import AuditSink

ZERO = "0" * 64


class FakeClock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1_784_000_000.25

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class FakeSink:
    """Keeps lines, or raises what it was told to."""

    def __init__(self, *, required: bool = True, fault: Exception | None = None) -> None:
        self.required = required
        self.outlives_invocation = required
        self.fault = fault
        self.lines: list[bytes] = []

    async def write(self, line: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.lines.append(line)

    def record(self) -> dict[str, Any]:
        """Return the only record, parsed."""
        (line,) = self.lines
        parsed: dict[str, Any] = json.loads(line)
        return parsed


PRINCIPAL = Principal(
    tenant="11111111-0000-4000-8000-000000000001",
    oid="22222222-0000-4000-8000-000000000002",
    kind=Kind.USER,
    client="33333333-0000-4000-8000-000000000003",
    groups=frozenset({"6f1b2c3d-0000-4000-8000-000000000001"}),
)
ASKED = Asked(target="endpoint", name="fraud", operation="score", deployment="blue")
ALLOW = Allow(
    rule="analysts",
    reason=Reason.MEMBER,
    proof=Fact(standing=Standing.IN, source=Source.CLAIM, age=12.0),
)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def sink() -> FakeSink:
    """Return a required sink that takes everything."""
    return FakeSink()


@pytest.fixture
def fake_sink() -> type[FakeSink]:
    """Return the class, for sinks that fail."""
    return FakeSink


@pytest.fixture
def audit(sink: FakeSink, clock: FakeClock) -> Audit:
    """Return an audit over the fake sink."""
    return make_audit(sink, clock)


def make_audit(sink: AuditSink, clock: FakeClock, process: str = "p1") -> Audit:
    return Audit(sink, clock, policy_digest="d" * 64, instance="i1", process=process)


@pytest.fixture
def auditing(clock: FakeClock) -> Callable[..., Audit]:
    """Return a function from a sink to its Audit."""
    return lambda sink, process="p1": make_audit(sink, clock, process)


@pytest.fixture
def decide() -> Callable[..., Any]:
    """Return a function that records an allowed request."""

    async def record(audit: Audit, request_id: str, **changes: Any) -> None:
        await audit.decided(
            **{"request_id": request_id, "principal": PRINCIPAL, "asked": ASKED, "decision": ALLOW, **changes}
        )

    return record


@pytest.fixture
def file_sink(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., AuditSink]]:
    """Return a function that makes `file:` sinks in the test's folder; they are closed after it."""
    made: list[Any] = []

    def make(name: str = "audit.jsonl", process: str = "p1") -> AuditSink:
        made.append(make_sink(f"file:{name}", clock, instance="i1", process=process, root=tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., list[bytes]]:
    """Return a function that reads a file of the test's folder as lines."""

    def read(name: str = "audit.jsonl") -> list[bytes]:
        return (tmp_path / name).read_bytes().splitlines(keepends=True)

    return read


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """Return a function that counts this process's open descriptors."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def names(tmp_path: Path) -> Callable[[], list[str]]:
    """Return a function that lists the test's folder."""
    return lambda: sorted(path.name for path in tmp_path.iterdir())
