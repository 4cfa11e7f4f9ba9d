"""How much is asked of the store of jobs at once: a bound for each endpoint, and one for all lists (threats D07, D10)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from shared.backends.bulkhead import Bulkhead
from shared.model import Route

LISTS: Final = 2
"""Lists at once in the process: one may have to read every job of an endpoint, bodies and all."""


class Places:
    """Places at the store of jobs: `concurrency` for each endpoint, and few for lists; who finds none waits two seconds."""

    def __init__(self) -> None:
        self._lists: Final = Bulkhead(LISTS)
        self._each: Final[dict[str, Bulkhead]] = {}

    async def take(self, route: Route) -> Callable[[], None]:
        """Take a place of this endpoint and return what gives it back; raise Undecidable(overloaded)."""
        places = self._each.get(route.name)
        if places is None:
            places = self._each[route.name] = Bulkhead(route.concurrency)
        await places.take()
        return places.give

    @asynccontextmanager
    async def one(self, route: Route) -> AsyncIterator[None]:
        """Hold a place of this endpoint; raise Undecidable(overloaded)."""
        give = await self.take(route)
        try:
            yield
        finally:
            give()

    @asynccontextmanager
    async def list(self, route: Route) -> AsyncIterator[None]:
        """Hold a place for a list, and one of this endpoint; raise Undecidable(overloaded)."""
        await self._lists.take()
        try:
            # In this order: lists that wait for each other take no place from what is not a list.
            async with self.one(route):
                yield
        finally:
            self._lists.give()
