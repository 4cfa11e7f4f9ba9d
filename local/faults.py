"""Fault switches of every stand-in, settable while it runs: in Python, or with PUT /_faults."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GARBAGE = b'\x00\xff{"value": [<html>'


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what goes wrong with a request; without any switch nothing does.

    `latency` (seconds) and `times` (requests, default all) go with any other; of the rest one at a time.
    A port that refuses connections altogether is a stand-in that was stopped: `await stand_in.stop()`.
    """

    latency: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    path: str = ""
    """Only requests whose path contains this."""

    refuse: bool = False
    """Reset the connection instead of an answer."""
    silence: bool = False
    """Accept, and never answer."""
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    body: str = ""
    headers: dict[str, str] = {}
    """Body and headers that go with `status`."""
    garbage: bool = False
    """200 with bytes that are neither UTF-8 nor JSON."""
    cut: bool = False
    """The headers and half of the true answer, then a reset."""
    token: Literal["audience", "expired", "garbage", "no-expiry"] | None = None
    """A token that must not be used; for the stand-ins that mint tokens."""

    def __post_init__(self) -> None:
        kinds = (
            self.refuse,
            self.silence,
            self.status is not None,
            self.garbage,
            self.cut,
            self.token is not None,
        )
        if sum(kinds) > 1:
            raise ValueError("one of refuse, silence, status, garbage, cut, token at a time")


NO_FAULT = Fault()
FAULT = web.RequestKey("fault", Fault)


class Faults:
    """Hold the fault of one stand-in and count it down."""

    def __init__(self, *, tokens: bool, streams: bool) -> None:
        self._tokens = tokens
        self._streams = streams
        self._fault = NO_FAULT
        self._left: int | None = None

    def set(self, **switches: Any) -> None:
        """Replace the fault; raise `ValueError` for a switch that does not exist or would do nothing here."""
        fault = msgspec.convert(switches, Fault)
        if fault.token and not self._tokens:
            raise ValueError("this stand-in mints no tokens")
        if fault.cut and self._streams:
            raise ValueError("this stand-in passes answers on as they come; cut them where they come from")
        self._fault, self._left = fault, fault.times

    def clear(self) -> None:
        """Let everything work again."""
        self._fault, self._left = NO_FAULT, None

    def take(self, path: str) -> Fault:
        """Give the fault of one request."""
        if self._fault.path not in path or self._left == 0:
            return NO_FAULT
        if self._left is not None:
            self._left -= 1
        return self._fault

    def routes(self) -> list[web.RouteDef]:
        """Give the control routes, themselves never faulty."""
        return [
            web.get("/_faults", self._show),
            web.put("/_faults", self._put),
            web.delete("/_faults", self._delete),
        ]

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self._fault) | {"left": self._left})

    async def _put(self, request: web.Request) -> web.Response:
        try:
            self.set(**msgspec.json.decode(await request.read(), type=dict[str, Any]))
        except (ValueError, TypeError) as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return web.Response(status=204)

    async def _delete(self, _: web.Request) -> web.Response:
        self.clear()
        return web.Response(status=204)

    async def apply(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve one request with its fault."""
        fault = self.take(request.path)
        request[FAULT] = fault
        if fault.latency:
            await asyncio.sleep(fault.latency)
        if fault.silence:
            await asyncio.Event().wait()
        if fault.refuse:
            reset(request)
            return web.Response()
        if fault.status is not None:
            return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
        if fault.garbage:
            return web.Response(body=GARBAGE, content_type="application/json")
        response = await handler(request)
        return await _cut(request, response) if fault.cut else response


async def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    whole = response.body if isinstance(response, web.Response) else None
    if not isinstance(whole, bytes):
        raise TypeError("only an answer that is known as a whole can be cut")
    part = web.StreamResponse(status=response.status, headers=response.headers)
    part.content_length = len(whole)
    await part.prepare(request)
    await part.write(whole[: len(whole) // 2])
    reset(request)
    return part


def reset(request: web.Request) -> None:
    """End the caller's connection with a TCP reset, as a crashed server does."""
    transport = request.transport
    if transport is None:
        return
    sock: socket.socket = transport.get_extra_info("socket")
    # Closing with a linger of zero seconds sends RST instead of FIN.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
