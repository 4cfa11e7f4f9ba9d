"""What the audit trail costs: making a record, and having it on disk."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from pathlib import Path

from bench import traffic
from bench.parts import Clock
from bench.report import Section
from shared.audit import Audit, make_sink, verify
from shared.model import Allow, Asked, Fact, Kind, Principal, Reason, Source, Standing
from shared.ports import AuditSink

PRINCIPAL = Principal(tenant=traffic.TENANT, oid=traffic.oid(1), kind=Kind.USER, client=traffic.oid(2))
ASKED = Asked(target="endpoint", name="fraud", operation="score", deployment="blue")
ALLOW = Allow(
    rule="analysts", reason=Reason.MEMBER, proof=Fact(standing=Standing.IN, source=Source.CLAIM, age=12.3)
)


class Nowhere:
    """A sink that takes everything at once."""

    required = True
    outlives_invocation = True

    async def write(self, line: bytes) -> None:
        """Keep nothing."""


def audit(quick: bool) -> Section:
    """Measure making, logging and storing, the last with more and more callers at once."""
    section = Section(
        title="Audit",
        about="One decision record; *file* is on disk (fdatasync) when the call returns, and those who wait share a write.",
        head=("sink", "at once", "records a second", "wait, ms", "CPU µs a record"),
    )
    asyncio.run(_measure(section, count=500 if quick else 5000))
    return section


async def _measure(section: Section, *, count: int) -> None:
    logging.getLogger("groupgate.audit").propagate = False
    logging.getLogger("groupgate.audit").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder)
        made = await _row(section, "none: the record alone", Nowhere(), 1, count * 4)
        await _row(
            section, "log", make_sink("log", Clock(), instance="i", process="p", root=path), 1, count * 4
        )
        for callers in (1, 16, 256):
            sink = make_sink(f"file:{callers}.jsonl", Clock(), instance="i", process="p", root=path)
            await _row(section, "file", sink, callers, count)
            lines = (path / f"{callers}.jsonl").read_bytes().splitlines(keepends=True)
            if verify(lines):
                raise RuntimeError("the chain does not verify")
    section.at_most("making a record", made, 15, " µs")


async def _row(section: Section, name: str, sink: AuditSink, callers: int, count: int) -> float:
    trail = Audit(sink, Clock(), policy_digest="d" * 64, instance="i", process="p")

    async def one() -> None:
        for _ in range(count // callers):
            await trail.decided(request_id=traffic.oid(3), decision=ALLOW, principal=PRINCIPAL, asked=ASKED)

    done = count // callers * callers
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(callers)))
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    micros = cpu / done * 1e6
    section.rows.append(
        (name, f"{callers}", f"{done / took:,.0f}", f"{took / (done / callers) * 1000:.2f}", f"{micros:.1f}")
    )
    return micros
