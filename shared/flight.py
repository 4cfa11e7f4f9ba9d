"""Single flight: one piece of work in the air for many that wait, and none of them can bring it down."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any, Final


class Flight[C, T]:
    """Work in the air; `cargo` says what it will bring."""

    __slots__ = ("cargo", "task")

    def __init__(self, cargo: C, task: asyncio.Task[T]) -> None:
        self.cargo: Final = cargo
        self.task: Final = task

    async def land(self) -> T:
        """Return what the work brings, or raise what it raises; a waiter that is cancelled does not cancel it."""
        return await asyncio.shield(self.task)


class Flights[K: Hashable, C, T]:
    """All work in the air, by key: nothing is kept of what has landed, and nothing of a loop that is gone."""

    __slots__ = ("_aloft",)

    def __init__(self) -> None:
        self._aloft: Final[dict[K, tuple[Flight[C, T], ...]]] = {}

    def __len__(self) -> int:
        return len(self._aloft)

    def aloft(self, key: K) -> tuple[Flight[C, T], ...]:
        """Return the flights of `key` that the running loop carries."""
        flights = self._aloft.get(key)
        if not flights:
            return ()
        loop = asyncio.get_running_loop()
        return tuple(flight for flight in flights if flight.task.get_loop() is loop)

    def launch(self, key: K, cargo: C, work: Coroutine[Any, Any, T]) -> Flight[C, T]:
        """Start `work` beside the caller and return its flight; it stays referenced until it has landed."""
        others = self.aloft(key)
        task = asyncio.get_running_loop().create_task(work)
        flight = Flight(cargo, task)
        self._aloft[key] = (*others, flight)

        def landed(task: asyncio.Task[T]) -> None:
            if not task.cancelled():
                task.exception()  # seen: nobody may be left to be told, and that is no warning
            left = tuple(other for other in self._aloft.get(key, ()) if other is not flight)
            if left:
                self._aloft[key] = left
            else:
                self._aloft.pop(key, None)

        task.add_done_callback(landed)
        return flight
