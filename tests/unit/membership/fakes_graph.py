"""Fakes behind the ports that the directory uses: a wire that answers as told, and tokens that count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from shared.ports import TransportFault
from tests.fakes import FakeClock


@dataclass
class FakeAnswer:
    """An answer out of a test's hand."""

    status: int = 200
    body: bytes = b'{"value": []}'
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: TransportFault | None = None
    closed: bool = False

    async def read(self, limit: int) -> bytes:
        if self.fault is not None:
            raise self.fault
        if len(self.body) > limit:
            raise TransportFault("too-large", sent=True)
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Sent:
    """One request to Graph."""

    method: str
    url: str
    headers: Mapping[str, str]
    ids: tuple[str, ...]
    deadline: float


Script = Callable[[Sent], "FakeAnswer | TransportFault"]


class FakeTransport:
    """Answers each request by its script, after `gate` opens."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: list[Sent] = []
        self.answers: list[FakeAnswer] = []
        self.in_air = 0
        self.most_in_air = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> FakeAnswer:
        sent = Sent(method, url, dict(headers), tuple(json.loads(body or b"")["groupIds"]), deadline)
        self.sent.append(sent)
        self.in_air += 1
        self.most_in_air = max(self.most_in_air, self.in_air)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.in_air -= 1
        answer = self.script(sent)
        if isinstance(answer, TransportFault):
            raise answer
        self.answers.append(answer)
        return answer


class FakeTokens:
    """Hands out tokens by number; a dropped one is followed by the next."""

    def __init__(self) -> None:
        self.number = 1
        self.dropped: list[str] = []

    async def token(self, scope: str) -> str:
        return f"{scope}#{self.number}"

    def drop(self, scope: str, token: str) -> None:
        if token == f"{scope}#{self.number}":
            self.dropped.append(scope)
            self.number += 1


class MovingSleep:
    """A sleep that moves the clock instead of waiting."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    async def __call__(self, seconds: float) -> None:
        self.clock.move(seconds)
        await asyncio.sleep(0)
