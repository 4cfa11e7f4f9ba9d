"""Passes a streamed answer on event by event, byte for byte, and spoils it where a fault says so."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import aiohttp
import msgspec
from aiohttp import web

from local.faults import Fault, Faults, reset

Events = AsyncIterator[bytes]
_END = b"\n\n"


class StreamFault(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say also what goes wrong between the events of a streamed answer; `cut` takes half of it as a whole."""

    pace: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds before each event; goes with any other."""
    cut_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """That many events and half of the next one, then a reset."""
    silent_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """That many events, then nothing for ever."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cut_after is not None and self.silent_after is not None:
            raise ValueError("one of cut_after, silent_after at a time")


class StreamFaults(Faults):
    """Hold the fault of a stand-in that streams."""

    def set(self, **switches: Any) -> None:
        """Replace the fault; raise `ValueError` for a switch that does not exist or would do nothing here."""
        fault = msgspec.convert(switches, StreamFault)
        super().set(**{name: value for name, value in switches.items() if name in Fault.__struct_fields__})
        self._fault = fault


_NO_FAULT = StreamFault()


async def events_of(content: aiohttp.StreamReader) -> Events:
    """Give the events of a stream as they come, each with the blank line that ends it."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(_END)
        for event in whole:
            yield event + _END
    if rest:
        yield rest


async def relay(
    request: web.Request, events: Events, *, headers: dict[str, str], fault: Fault
) -> tuple[web.StreamResponse, bytes]:
    """Send the events to the caller; give the answer and the bytes that were sent."""
    wrong = fault if isinstance(fault, StreamFault) else _NO_FAULT
    answer = web.StreamResponse(headers=headers)
    await answer.prepare(request)
    sent: list[bytes] = []
    try:
        async for event in events:
            await asyncio.sleep(wrong.pace)
            if len(sent) == wrong.silent_after:
                await asyncio.Event().wait()
            if len(sent) == wrong.cut_after:
                await answer.write(event[: len(event) // 2])
                reset(request)
                break
            sent.append(event)
            await answer.write(event)
    except aiohttp.ClientPayloadError:
        # The server behind broke off: so does the answer.
        reset(request)
    return answer, b"".join(sent)
