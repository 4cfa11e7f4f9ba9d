"""Large bodies: few at once, fewer of one caller, and read through beside the loop that all others wait for.

They are read before it is known what their sender may call, so nobody can be allowed to fill memory or time with them
(threats B8, D01, D02, D08).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from shared.backends.bulkhead import Bulkhead
from shared.model import Principal

SMALL: Final = 128 * 1024
"""Bytes of a body that needs no turn and is read through on the spot."""
AT_ONCE: Final = 8
EACH: Final = 2
"""Of one caller."""


class _Caller:
    __slots__ = ("places", "users")

    def __init__(self) -> None:
        self.places: Final = Bulkhead(EACH)
        self.users = 0


class LargeBodies:
    """Turns at receiving and parsing what is larger than SMALL, and a thread of its own for reading it through."""

    def __init__(self) -> None:
        self._all: Final = Bulkhead(AT_ONCE)
        self._callers: Final[dict[tuple[str, str], _Caller]] = {}
        # Not the loop's own pool of threads: a queue in front of that holds up the names of hosts that are looked up.
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="groupgate-bodies")

    @asynccontextmanager
    async def turn(self, length: int | None, principal: Principal) -> AsyncIterator[None]:
        """Hold a turn for a body of `length` bytes, None where nobody said; raise Undecidable (overloaded)."""
        if length is not None and length <= SMALL:
            yield
            return
        key = (principal.tenant, principal.oid)
        caller = self._callers.setdefault(key, _Caller())
        caller.users += 1
        try:
            await caller.places.take()
            try:
                await self._all.take()
                try:
                    yield
                finally:
                    self._all.give()
            finally:
                caller.places.give()
        finally:
            caller.users -= 1
            if not caller.users:
                del self._callers[key]

    async def work[**P, T](self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns for a body of `size` bytes: a large one is worked on in the thread."""
        if size <= SMALL:
            return work(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **kwargs))
