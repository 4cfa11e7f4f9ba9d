"""A limit on silence in a body that is still on its way (threat D02, fault F07)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from shared.model import Stream
from shared.problem import Slug, UpstreamFault

IDLE: Final = 60.0
"""Seconds within which a stream's next bytes come."""


class IdleGuard:
    """Ends a body whose next bytes take longer than `idle` seconds to come, from when they are asked for (D02, F07).

    A reader that is slow itself is not its concern. There is one timer for a whole body and not one for each chunk: when
    it fires too early, because bytes came since, it is set anew for what is left.
    """

    usage: Final = None
    relayed: Final = 0
    fault: Final = None

    __slots__ = ("_idle", "_late", "_loop", "_open", "_reader", "_since", "_source", "_timer")

    def __init__(self, source: Stream, *, idle: float = IDLE) -> None:
        self._source = source
        self._idle = idle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[object] | None = None
        """Who waits for the next bytes."""
        self._since = 0.0
        """Since when, on the loop's clock."""
        self._late = False
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes; close the source and raise UpstreamFault (upstream-timeout, truncated) when they do not come."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._since = loop.time()
        reader = self._reader = asyncio.current_task(loop)
        if reader is None:
            raise RuntimeError("a body is read within a task")
        cancelling = reader.cancelling()
        if self._timer is None:
            self._timer = loop.call_at(self._since + self._idle, self._fire, loop)
        try:
            return await anext(self._source)
        except asyncio.CancelledError:
            # As asyncio.timeout does it: a cancellation from elsewhere, beside the guard's own, stays one.
            if not self._late or reader.uncancel() > cancelling:
                raise
            await self.aclose()
            raise UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="truncated") from None
        finally:
            self._reader = None

    async def aclose(self) -> None:
        """Stop the timer and close the source. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open:
            self._open = False
            await self._source.aclose()

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._reader is None:
            return  # the next read sets it anew
        due = self._since + self._idle
        if loop.time() < due:
            self._timer = loop.call_at(due, self._fire, loop)
            return
        self._late = True
        self._reader.cancel()
