"""A bound on what is in flight to one endpoint, so that one that hangs takes nobody else with it (threat D07)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from shared.model import Reason
from shared.problem import Undecidable

WAITERS_PER_PLACE: Final = 4
MAX_WAIT: Final = 2.0
"""Seconds (ruling "Concurrency")."""


class Bulkhead:
    """Places for calls to one endpoint: `limit` at once, four times as many waiting, two seconds at most."""

    __slots__ = ("_free", "_limit", "_waiters")

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._free = limit
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Take a place; raise Undecidable(overloaded) when none comes free in time."""
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiters) >= self._limit * WAITERS_PER_PLACE:
            raise Undecidable(Reason.OVERLOADED)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(MAX_WAIT):
                await waiter
        except BaseException as stopped:
            # The place may have been handed over in the very moment of giving up: pass it on, or it is lost.
            if waiter.done() and not waiter.cancelled():
                self.give()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(stopped, TimeoutError):
                raise Undecidable(Reason.OVERLOADED) from stopped
            raise

    def give(self) -> None:
        """Give a place back: to the first who waits, else to nobody."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
