"""A model's streamed answer on its way: server-sent events, whole and byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from shared.backends import eventdata
from shared.model import Stream, Usage
from shared.problem import Slug, UpstreamFault

MAX_HELD: Final = 32 * 1024 * 1024
"""Bytes of one unfinished event that are held; beyond them they go on as they come, unread and never hidden."""

FRAME: Final = 400
"""Bytes of an event around the text that it tells, at most."""
CUT_SHORT: Final = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=200)
"""An answer whose connection ended before its last event."""
_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
"""How a chunk of nothing but whole events mostly ends; `eventdata.last_end` knows the mixed forms too."""

OnIds = Callable[[tuple[str, ...]], Awaitable[None]]


class EventRelay:
    """Hands on the whole events of `source` as soon as they are there, and ends a cut answer with an error event.

    What is handed on is what came, byte for byte. When `source` raises UpstreamFault the unfinished event is dropped, a
    last event `error` with the fault's JSON is handed on and the iteration ends, so that the HTTP answer ends well but
    never with `[DONE]` (fault F04). Where the answer was whole by then nothing is added and nothing was at fault; where
    bytes of an unfinished event had gone on, the fault is raised.
    """

    __slots__ = (
        "_bytes",
        "_events",
        "_framed",
        "_held",
        "_hide_usage",
        "_last",
        "_meter",
        "_on_ids",
        "_opaque",
        "_open",
        "_over",
        "_plain",
        "_render",
        "_seam",
        "_skip_lf",
        "_source",
        "fault",
        "usage",
    )

    def __init__(
        self,
        source: Stream,
        *,
        render: Callable[[UpstreamFault], bytes],
        hide_usage: bool = False,
        meter: bool = True,
        framed: bool = True,
        on_ids: OnIds | None = None,
    ) -> None:
        """Wrap `source`, which `aclose` closes.

        `render` makes the error event's data: one line of JSON. `hide_usage` keeps back the one extra chunk that
        `stream_options.include_usage` brings; the `"usage":null` of the other chunks stays. Without
        `meter` no usage is told: what is read again was counted when it was made. Where HTTP does not
        tell the end of the body (not `framed`), only the event that nothing follows shows that it was not cut. `on_ids`
        is awaited with
        the ids of a new response and its items before the event that tells them goes on; None looks for none.
        """
        self._source = source
        self._render = render
        self._hide_usage = hide_usage
        self._meter = meter
        self._framed = framed
        self._events = 0
        self._bytes = 0
        self._on_ids = on_ids
        self.usage: Usage | None = None
        """The last usage that was told; an answer that was cut may never tell it."""
        self.fault: UpstreamFault | None = None
        """What cut the answer short, however the iteration ended."""
        self._held = bytearray()
        """The unfinished event."""
        self._seam = b""
        """The last byte that went on of an unfinished event, while there is one that is too long to hold."""
        self._opaque = 0
        """How many bytes of the current block belong to such an event."""
        self._skip_lf = False
        """Whether a LF that comes next is the rest of a hidden event's CRLF."""
        self._plain = True
        """Whether the next byte begins an event, and no state of the four above holds."""
        self._last = b""
        """The last block with an event's beginning: it tells whether the answer was whole when it was cut."""
        self._over = False
        self._open = True

    @property
    def relayed(self) -> int:
        """Return about how many tokens have gone on: an event is at least one, and what it holds beyond its frame is text."""
        return self._events + max(0, self._bytes - self._events * FRAME) // 4

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                if not self._framed:
                    return self._cut(CUT_SHORT)
                self._over = True
                self._opaque = 0
                block = bytes(self._held)
            except UpstreamFault as fault:
                return self._cut(fault)
            else:
                block = chunk if self._plain and chunk.endswith(_ENDS) else self._whole(chunk)
            if eventdata.may_tell_usage(block) or (
                self._on_ids is not None and eventdata.may_tell_ids(block)
            ):
                block = await self._read(block)
            if block:
                if self._opaque < len(block):
                    self._last = block
                self._events += block.count(b"data:")
                self._bytes += len(block)
                return block
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration and close the source. Idempotent."""
        self._over = True
        if self._open:
            self._open = False
            await self._source.aclose()

    def _whole(self, chunk: bytes) -> bytes:
        """Return what of the bytes held and `chunk` can go on; hold the rest."""
        self._opaque = 0
        through = b""
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if self._seam and chunk:
            # The blank line may begin with the byte that has gone on.
            end = eventdata.first_end(self._seam + chunk) - 1
            if end < 0:
                self._seam = chunk[-1:]
                self._opaque = len(chunk)
                return chunk
            self._seam = b""
            self._opaque = end
            through, chunk = chunk[:end], chunk[end:]
        held = self._held
        searched = max(0, len(held) - 1)
        held += chunk
        end = eventdata.last_end(held, searched)
        if end == 0 and len(held) > MAX_HELD:
            end = len(held)
            self._seam = bytes(held[-1:])
            self._opaque += end
        block = through + bytes(held[:end])
        if self._seam:
            self._last = block
        del held[:end]
        self._plain = not (held or self._seam or self._opaque or self._skip_lf)
        return block

    async def _read(self, block: bytes) -> bytes:
        """Note what the events of `block` tell; return what of it goes on."""
        start = self._opaque
        if block.startswith(b"\n", start):
            start += 1  # the rest of a CRLF whose CR has gone on
        shown, usage, ids = read(block[start:], hide_usage=self._hide_usage, ids=self._on_ids is not None)
        if self._meter:
            self.usage = usage or self.usage
        if ids and self._on_ids is not None:
            await self._on_ids(ids)
        shown = block[:start] + shown
        if not self._held and block.endswith(b"\r") and not shown.endswith(b"\r"):
            self._skip_lf, self._plain = True, False
        return shown

    def _cut(self, fault: UpstreamFault) -> bytes:
        """Return the error event, or end the iteration as `fault` demands."""
        self._over = True
        if not self._seam and eventdata.ends_answer(self._last):
            raise StopAsyncIteration from None
        self.fault = fault
        if self._seam:
            raise fault
        return b"event: error\ndata: " + self._render(fault) + b"\n\n"


def read(block: bytes, *, hide_usage: bool, ids: bool) -> tuple[bytes, Usage | None, tuple[str, ...]]:
    """Return the events in `block` that the caller is shown, the last usage and, where asked for, the ids they tell."""
    kept: list[bytes] = []
    usage: Usage | None = None
    made: list[str] = []
    for event in eventdata.events(block):
        if eventdata.may_tell_usage(event):
            usage = eventdata.usage_of(eventdata.data_of(event)) or usage
            if hide_usage and eventdata.is_usage_only(event):
                continue
        if ids and eventdata.may_tell_ids(event):
            id_ = eventdata.id_of(eventdata.data_of(event))
            if id_ is not None:
                made.append(id_)
        kept.append(event)
    return b"".join(kept), usage, tuple(made)
