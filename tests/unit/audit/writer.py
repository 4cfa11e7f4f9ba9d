"""A process that records decisions until it is killed; says on standard output which ones it was told are stored."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from shared.audit import Audit, make_sink
from shared.model import Allow, Reason


class _Clock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


async def main(folder: str, process: str) -> None:
    """Keep eight requests going, each: decision on disk, told, outcome."""
    sink = make_sink("file:audit.jsonl", _Clock(), instance="i1", process=process, root=Path(folder))
    audit = Audit(sink, _Clock(), policy_digest="d" * 64, instance="i1", process=process)

    async def caller(number: int) -> None:
        for count in range(1_000_000):
            request_id = f"{process}-{number}-{count}"
            await audit.decided(request_id=request_id, decision=Allow(rule="r", reason=Reason.MEMBER))
            os.write(1, f"{request_id}\n".encode())
            await audit.completed(request_id=request_id, outcome="ok", status=200, duration_ms=1.0)

    await asyncio.gather(*(caller(number) for number in range(8)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
