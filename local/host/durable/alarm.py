"""Stand-in for the delivery of timers: one alarm for the earliest; never compared with the real one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from local.host.durable.clock import Clock
from local.host.durable.crash import Crash
from local.host.durable.history import Kind, event, instant
from local.host.durable.records import Due
from local.host.durable.storage import Storage, StorageUnavailable

RETRY: Final = 0.1
"""Seconds between attempts while the storage is unavailable."""
_LONGEST_SLEEP: Final = 30.0
"""Seconds after which timers are looked at again at the latest, for the machine's clock may be set."""


class Alarm:
    """Fires timers when they are due.

    `reached` tells of the points at which a crash switch may strike, `fired` of the timers that are stored as fired.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        reached: Callable[[str, str, str], None],
        fired: Callable[[Sequence[Due]], None],
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._reached = reached
        self._fired = fired
        self._handle: asyncio.TimerHandle | None = None
        self._off = False

    def stop(self) -> None:
        """Fire nothing more."""
        self._off = True
        if self._handle is not None:
            self._handle.cancel()

    def look(self) -> None:
        """Fire the timers that are due, and look again when the next one is; a clock that stands must be moved for that."""
        if self._handle is not None:
            self._handle.cancel()
        if self._off:
            return
        loop = asyncio.get_running_loop()
        try:
            if due := self._storage.due():
                self._fire(due)
            next_due = self._storage.next_due()
        except Crash:
            return
        except StorageUnavailable:
            self._handle = loop.call_later(RETRY, self.look)
            return
        if next_due is not None and not self._clock.frozen:
            seconds = max(0.0, (next_due - self._clock.now()) / 1_000_000)
            self._handle = loop.call_later(min(seconds, _LONGEST_SLEEP), self.look)

    def _fire(self, due: Sequence[Due]) -> None:
        for timer in due:
            self._reached("before", "timer", timer.orchestrator)
        now = self._clock.now()
        self._storage.fire(
            [
                (timer, event(Kind.TIMER_FIRED, now, TimerId=timer.task, FireAt=instant(timer.due)))
                for timer in due
            ]
        )
        for timer in due:
            self._reached("after", "timer", timer.orchestrator)
        self._fired(due)
