"""How often and how many at once Microsoft Graph is asked, for the whole process (threats D04, F24, F28)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from shared.model import Reason
from shared.ports import Clock
from shared.problem import Undecidable

RATE: Final = 40
"""Calls that may start within any one second."""
AT_ONCE: Final = 8
"""Calls in the air."""
LONGEST_WAIT: Final = 2.0
"""Seconds; what must wait longer is refused, as soon as that can be foreseen."""

_WINDOW: Final = 1.1
"""Seconds: a little over one, since calls that start apart may arrive closer together."""


class _Queue:
    """The places of one event loop, and how many wait for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self.places: Final = asyncio.Semaphore(AT_ONCE)
        self.waiting = 0


class Limiter:
    """Gives out starts of calls: at most RATE in any second, AT_ONCE at a time, half of the rate after `slow_down`."""

    def __init__(
        self,
        clock: Clock,
        *,
        longest_wait: float = LONGEST_WAIT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock: Final = clock
        self._longest_wait: Final = longest_wait
        self._sleep: Final = sleep
        self._starts: Final[deque[float]] = deque(maxlen=RATE)
        self._slow_until = 0.0
        self._queue: _Queue | None = None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one place while a call is in the air; raise problem.Undecidable (overloaded) when it is too far off."""
        queue = self._of_loop()
        arrived = self._clock.monotonic()
        if self._next_start(arrived, behind=queue.waiting) - arrived > self._longest_wait:
            raise Undecidable(Reason.OVERLOADED)
        queue.waiting += 1
        try:
            async with asyncio.timeout(self._longest_wait):
                await queue.places.acquire()
        except TimeoutError as late:
            raise Undecidable(Reason.OVERLOADED) from late
        finally:
            queue.waiting -= 1
        try:
            now = self._clock.monotonic()
            start = self._next_start(now)
            if start - arrived > self._longest_wait:
                raise Undecidable(Reason.OVERLOADED)
            self._starts.append(start)
            if start > now:
                await self._sleep(start - now)
            yield
        finally:
            queue.places.release()

    def slow_down(self, seconds: float) -> None:
        """Halve the rate for `seconds`: Graph says that its limit is near."""
        self._slow_until = self._clock.monotonic() + seconds

    def _next_start(self, now: float, *, behind: int = 0) -> float:
        """Return when the next call may start, at the soonest, with `behind` others to start before it."""
        rate = RATE if now >= self._slow_until else RATE // 2
        rounds, place = divmod(behind, rate)
        # The call that starts `rate` places earlier must be a whole window old, and so on back to one that is known.
        earlier = len(self._starts) + place - rate
        soonest = now if earlier < 0 else self._starts[earlier] + _WINDOW
        last = self._starts[-1] if self._starts else now
        return max(now, soonest, last) + rounds * _WINDOW

    def _of_loop(self) -> _Queue:
        loop = asyncio.get_running_loop()
        if self._queue is None or self._queue.loop is not loop:
            self._queue = _Queue(loop)
        return self._queue
