"""Streaming hosting: the FastAPI extension's requests and answers, bytes relayed as they come.

Importing this module switches the whole function app to streaming (protocols, 7.4): only `GROUPGATE_HTTP=stream` does.
"""

# Annotations stay objects here: the worker reads them to bind the request (no `from __future__ import annotations`).
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from azurefunctions.extensions.http.fastapi import Request
from fastapi import Response

from shared.gate import CLIENT_CLOSED, aclose
from shared.hosting.registration import Function, Handle, Keep, declared_length
from shared.model import Headers, Inbound, Reply
from shared.ports import JobStore
from shared.problem import AskedWrongly, ClientClosed, Slug

PATIENCE: Final = 1.0
"""Seconds beyond the call's own time after which a caller that does not read loses the connection."""
BODY_DEADLINE: Final = 30.0
"""Seconds that a caller has for sending its body (threat D02)."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class StreamedBody:
    """A body that is still on the wire."""

    __slots__ = ("_receive", "chunked", "length", "over")

    def __init__(self, length: int | None, *, chunked: bool, receive: Receive) -> None:
        self.length: Final = length
        self.chunked: Final = chunked
        self.over: Final = asyncio.Event()
        """Set when nothing more is to be read, so that what is received next can only be the caller going away."""
        if not length and not chunked:
            self.over.set()
        self._receive: Final = receive

    async def read(self, limit: int) -> bytes:
        """Return the body; raise AskedWrongly beyond `limit` bytes or BODY_DEADLINE, ClientClosed when the caller left."""
        try:
            async with asyncio.timeout(BODY_DEADLINE):
                return await self._read(limit)
        except TimeoutError as late:
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="The body did not arrive in time.") from late

    async def _read(self, limit: int) -> bytes:
        parts = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientClosed
            parts += message.get("body", b"")
            if len(parts) > limit:
                raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)
            if not message.get("more_body", False):
                self.over.set()
                return bytes(parts)


class StreamedAnswer(Response):
    """An ASGI answer that relays chunks at once, ends its body come what may, and never ends a cut one cleanly."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(status_code=reply.status)
        self._reply: Final = reply

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send the reply; stop, and let go of the model's answer, as soon as the caller has gone."""
        body = self._reply.body
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._reply.headers]
        if isinstance(body, bytes):
            if scope["method"] != "HEAD":  # there it would have to be the length that GET has (RFC 9110, 8.6)
                raw.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": self._reply.status, "headers": raw})
            await send({"type": "http.response.body", "body": body})
            return
        start: Message = {"type": "http.response.start", "status": self._reply.status, "headers": raw}
        relay = asyncio.ensure_future(_relay(start, body, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            # The model's own lateness shows in the relay first; what is left is a caller that does not read (D02).
            within = None if self._reply.within is None else self._reply.within + PATIENCE
            done, _ = await asyncio.wait({relay, gone}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if relay.done():
                # Raises when the model's answer was cut: the server then aborts the connection, with no clean end.
                relay.result()
            elif not done:
                raise ClientClosed
        finally:
            gone.cancel()
            relay.cancel()
            await asyncio.gather(relay, gone, return_exceptions=True)
            await aclose(body)


async def _relay(start: Message, body: AsyncIterator[bytes], send: Send) -> None:
    await send(start)
    async for chunk in body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def function_for(route: str, handle: Handle) -> Function:
    """Return the function that serves `route`."""

    async def function(req: Request) -> Response:
        return await _answer(route, handle, req)

    return function


def durable_function_for(route: str, handle: Handle, keep: Keep) -> Function:
    """Return the function that serves `route` with the durable client that the host gives to each call."""

    async def function(req: Request, client: Any) -> Response:
        return await _answer(route, handle, req, keep(client))

    return function


async def _answer(route: str, handle: Handle, req: Request, jobs: JobStore | None = None) -> Response:
    headers = Headers(req.headers.items())
    body = StreamedBody(
        declared_length(headers.joined("content-length")),
        chunked=headers.joined("transfer-encoding") is not None,
        receive=req.receive,
    )
    inbound = Inbound(
        method=req.method,
        route=route,
        params=req.path_params,
        query=req.scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        streams=True,
        jobs=jobs,
    )
    return StreamedAnswer(await _while_there(handle(inbound), body, req.receive))


async def _while_there(handling: Awaitable[Reply], body: StreamedBody, receive: Receive) -> Reply:
    """Return the reply; cancel the handling when the caller goes away while the model is still thinking."""

    async def watch() -> None:
        await body.over.wait()
        await _gone(receive)

    task = asyncio.ensure_future(handling)
    gone = asyncio.ensure_future(watch())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        await _abandon(task)
        raise
    finally:
        gone.cancel()
    await _abandon(task)
    return Reply(status=CLIENT_CLOSED, headers=())


async def _abandon(task: asyncio.Future[Reply]) -> None:
    """Cancel the handling; if it ended all the same, let go of its answer."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        await aclose(task.result().body)
