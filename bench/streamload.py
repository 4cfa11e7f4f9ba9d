"""A load generator for streams: one process, raw asyncio, kept connections, one stream after the other on each.

Reads a job from standard input (`host`, `port`, `requests` as latin-1 texts that take turns, `connections`, `seconds` in which
streams are begun, `spread`: the seconds over which the connections make their first one, `pause`: those between two on one
connection) and writes what it saw to standard output, both JSON. All streams are read to their ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

_END = b"0\r\n\r\n"
_DONE = b"data: [DONE]\n\n"


class Caller(asyncio.Protocol):
    """One connection that keeps asking until the time is over."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parts: list[bytes] = []
        self._head = b""
        self._sent = 0.0
        self._last = 0.0
        self.events = 0
        self.busy = 0.0
        self.resting = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        if self._run.over():
            return
        self._parts, self._head, self.resting = [], b"", False
        self._sent = time.perf_counter()
        self._last = 0.0
        self._transport.write(next(self._run.requests))

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self._last:
            # The head; of the body nothing has come.
            data = self._head + data
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or (end == len(data) and not _without_body(data)):
                self._head = data
                return
            self._head, data = data[:end], data[end:]
            self._run.first.append(now - self._sent)
        else:
            self._run.gap(now - self._last)
        self._last = now
        self._parts.append(data)
        if _without_body(self._head) or data.endswith(_END):
            self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.resting:
            self.resting = True
            self._run.statuses[0] += 1
            self._run.rested()

    def close(self) -> None:
        self._transport.abort()

    def _ended(self) -> None:
        run = self._run
        run.statuses[int(self._head[9:12])] += 1
        body = b"".join(_chunks(b"".join(self._parts)))
        events = body.count(b"\n\n")
        self.events += events
        self.busy += self._last - self._sent
        run.whole += body.endswith(_DONE)
        run.hidden += b'"choices":[]' not in body
        self.resting = True
        run.rested()
        asyncio.get_running_loop().call_later(run.pause, self.ask)


def _without_body(head: bytes) -> bool:
    """Say whether it is an answer of a fixed length, which no stream has: its body does not matter."""
    return b"\r\ncontent-length:" in head.lower()


def _chunks(framed: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        end = framed.find(b"\r\n", at)
        size = int(framed[at:end] or b"0", 16) if end >= 0 else 0
        if not size:
            return
        yield framed[end + 2 : end + 2 + size]
        at = end + 4 + size


class Run:
    """A measured time over all connections."""

    def __init__(
        self, *, requests: list[bytes], connections: int, seconds: float, spread: float, pause: float
    ) -> None:
        self.requests = itertools.cycle(requests)
        self.pause = pause
        self.statuses: Counter[int] = Counter()
        self.first: list[float] = []
        self.whole = 0
        self.hidden = 0
        self._connections = connections
        self._spread = spread
        self._seconds = seconds
        self._gap = 0.0
        self._callers: list[Caller] = []
        self._begun = 0.0
        self._done = asyncio.Event()

    def over(self) -> bool:
        return time.perf_counter() - self._begun > self._seconds

    def gap(self, seconds: float) -> None:
        self._gap = max(self._gap, seconds)

    def rested(self) -> None:
        if self.over() and all(caller.resting for caller in self._callers):
            self._done.set()

    async def run(self, host: str, port: int) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            _, caller = await loop.create_connection(lambda: Caller(self), host, port)
            self._callers.append(caller)
        self._begun = time.perf_counter()
        for number, caller in enumerate(self._callers):
            loop.call_later(self._spread * number / self._connections, caller.ask)
        loop.call_later(self._seconds + 0.01, self.rested)
        await self._done.wait()
        took = time.perf_counter() - self._begun
        for caller in self._callers:
            caller.close()
        paces = sorted(caller.events / caller.busy for caller in self._callers if caller.busy) or [0.0]
        return {
            "streams": sum(self.statuses.values()),
            "seconds": took,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "whole": self.whole,
            "without_usage": self.hidden,
            "events": sum(caller.events for caller in self._callers),
            "paces": [paces[0], _middle(paces), paces[-1]],
            "first_ms": _middle(self.first) * 1000,
            "first_p99_ms": sorted(self.first)[len(self.first) * 99 // 100] * 1000 if self.first else 0.0,
            "gap_ms": self._gap * 1000,
        }


def _middle(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2] if numbers else 0.0


async def _main() -> None:
    job = json.load(sys.stdin)
    run = Run(
        requests=[text.encode("latin-1") for text in job["requests"]],
        connections=job["connections"],
        seconds=job["seconds"],
        spread=job.get("spread", 0.0),
        pause=job.get("pause", 0.0),
    )
    json.dump(await run.run(job["host"], job["port"]), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
