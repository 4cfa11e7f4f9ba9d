"""A load generator: one process, raw asyncio, kept connections, one request after the other on each.

Reads a job from standard input (`host`, `port`, `requests` as latin-1 texts that take turns, `connections`, `seconds`, or
`once`: one request on each connection, all at the same moment) and writes what it saw to standard output, both JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter


class Caller(asyncio.Protocol):
    """One connection that keeps asking until the time is over."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rest = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._run.connected(self)

    def ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._run.requests))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = data.find(b"\r\n\r\n")
        if end >= 0 and len(data) >= end + 4 + _length(data[:end]):
            self._rest = b""
            self._run.answered(self, int(data[9:12]), time.perf_counter() - self._sent)
        else:
            self._rest = data

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._run.lost()

    def close(self) -> None:
        self._transport.abort()


class Run:
    """A measured time over all connections."""

    def __init__(self, *, requests: list[bytes], connections: int, seconds: float, once: bool) -> None:
        self.requests = itertools.cycle(requests)
        self._connections = connections
        self._seconds = seconds
        self._once = once
        self._ready: list[Caller] = []
        self._statuses: Counter[int] = Counter()
        self._times: list[float] = []
        self._begun = 0.0
        self._took = 0.0
        self._over = asyncio.get_running_loop().create_future()

    def connected(self, caller: Caller) -> None:
        self._ready.append(caller)
        if len(self._ready) == self._connections:
            self._begun = time.perf_counter()
            for each in self._ready:
                each.ask()
            if not self._once:
                asyncio.get_running_loop().call_later(self._seconds, self._end)

    def answered(self, caller: Caller, status: int, took: float) -> None:
        if self._over.done():
            return
        self._statuses[status] += 1
        self._times.append(took)
        if not self._once:
            caller.ask()
        elif len(self._times) == self._connections:
            self._end()

    def lost(self) -> None:
        if not self._over.done():
            self._statuses[0] += 1
            if self._once:
                self._end()

    def _end(self) -> None:
        self._took = time.perf_counter() - self._begun
        self._over.set_result(None)

    async def run(self, host: str, port: int) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            await loop.create_connection(lambda: Caller(self), host, port)
        await self._over
        for each in self._ready:
            each.close()
        times = sorted(self._times)
        return {
            "count": len(times),
            "seconds": self._took,
            "statuses": {str(status): count for status, count in self._statuses.items()},
            "p50_ms": times[len(times) // 2] * 1000 if times else None,
            "p99_ms": times[len(times) * 99 // 100] * 1000 if times else None,
        }


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def _main() -> None:
    job = json.load(sys.stdin)
    run = Run(
        requests=[text.encode("latin-1") for text in job["requests"]],
        connections=job["connections"],
        seconds=job.get("seconds", 0.0),
        once=job.get("once", False),
    )
    json.dump(await run.run(job["host"], job["port"]), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
