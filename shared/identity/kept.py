"""A value of the network that is fetched once, kept, and renewed beside the requests that use it.

No task runs by itself: the platform may freeze the process between requests. One flight at a time however many wait,
and a waiter that goes away does not take the flight from the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from shared.flight import Flight, Flights
from shared.model import Reason
from shared.ports import Clock
from shared.problem import Undecidable

LIFETIME: Final = 24 * 3_600
"""Seconds. Past half of it a request starts a renewal; past all of it a request waits for one."""
PAUSE: Final = 300
"""Seconds between attempts while there is a value: an unknown `kid` costs one fetch in five minutes (threat S22)."""
FIRST_PAUSE: Final = 5
"""Seconds after a failed first fetch in which nobody tries again, so that an outage causes no storm."""

_log: Final = logging.getLogger(__name__)


class Kept[T]:
    """One fetched value; `fetch` may raise anything, and a failed renewal keeps the old value for as long as it lasts."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, clock: Clock, what: str) -> None:
        self._fetch = fetch
        self._clock = clock
        self._what = what
        self._value: T | None = None
        self._fetched_at = 0.0
        self._next_attempt = 0.0
        self._failed = False
        self._flights: Flights[None, None, None] = Flights()

    async def get(self) -> T:
        """Return the value, fetching it when there is none; raise Undecidable(keys-unavailable)."""
        if self._value is None:
            await self._attempt()
            return self._held()
        age = self._clock.monotonic() - self._fetched_at
        if age >= LIFETIME:
            await self._attempt()
        elif age >= LIFETIME / 2:
            self._start()
        return self._held()

    async def newer(self, seen: T) -> T:
        """Return a value newer than `seen` where one may be had: what `seen` lacks may have been published since.

        Asks at most once in PAUSE. Return `seen` itself when the last answer is that recent; raise
        Undecidable(keys-unavailable) when the last attempt failed, since nobody knows then what has been published.
        """
        if self._value is seen:
            await self._attempt()
        if self._value is seen and self._failed:
            raise self._unavailable()
        return self._held()

    async def _attempt(self) -> None:
        """Wait for the flight under way, or for a new one if one may start."""
        flight = self._start()
        if flight is not None:
            await flight.land()

    def _start(self) -> Flight[None, None] | None:
        for flight in self._flights.aloft(None):
            return flight
        if self._clock.monotonic() < self._next_attempt:
            return None
        return self._flights.launch(None, None, self._fly())

    async def _fly(self) -> None:
        first = self._value is None
        try:
            self._value = await self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, there is no newer value: the old one or 503
            self._failed = True
            self._next_attempt = self._clock.monotonic() + (FIRST_PAUSE if first else PAUSE)
            _log.warning("%s: fetch failed (%s)", self._what, type(error).__name__)
        else:
            now = self._clock.monotonic()
            self._failed = False
            self._fetched_at = now
            # The first fetch is not the refetch (ruling "Keys").
            self._next_attempt = now if first else now + PAUSE

    def _held(self) -> T:
        if self._value is None:
            raise self._unavailable()
        return self._value

    def _unavailable(self) -> Undecidable:
        return Undecidable(Reason.KEYS_UNAVAILABLE)
