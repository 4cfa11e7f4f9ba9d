"""Stand-in for the host's forwarding to the worker's own HTTP server (streaming); never compared with the real one.

The request goes on as it came: repeated headers stay separate, chunked bodies pass, and what the worker sends is relayed as
it comes. A cut on either side cuts the other.

The host only tries to add ``x-ms-invocation-id``. One sent by the client stays and collides: the worker waits for a request
that never comes. A host without the fix hangs for about 240 seconds; here the function's timeout (``functionTimeout`` in
host.json) ends it with 500, or the load balancer's ceiling with 504, whichever is first.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.host.logs import host_logger
from local.host.worker import Outcome

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_INVOCATION_ID = "x-ms-invocation-id"
_CLIENT_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_HEADER_LIMIT = 256 * 1024
# The worker's server closes idle connections after 5 seconds: never send on one that it may just be closing.
_KEEP_ALIVE = 4.0


class Proxy:
    """Forwards requests to the worker's HTTP server at ``uri``; a body of more than ``body_limit`` bytes is refused."""

    def __init__(self, uri: str, *, body_limit: int) -> None:
        self._uri = uri
        self._body_limit = body_limit
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_CLIENT_HEADERS,
            max_line_size=_HEADER_LIMIT,
            max_field_size=_HEADER_LIMIT,
        )

    async def close(self) -> None:
        """Close all connections to the worker."""
        await self._session.close()

    async def relay(
        self, request: web.BaseRequest, invocation_id: str, call: asyncio.Task[Outcome], *, ceiling: float
    ) -> web.StreamResponse:
        """Forward ``request``, whose invocation is ``call``, and relay the answer, for ``ceiling`` seconds at most."""
        relayed = _Relayed()
        try:
            async with asyncio.timeout(ceiling) as deadline:
                call.add_done_callback(lambda done: relayed.ended(done, deadline))
                return await self._relay(request, invocation_id, relayed)
        except TimeoutError:
            status = 500 if call.done() else 504
        except aiohttp.ClientError as error:
            host_logger.error("Failed to proxy request: %s", type(error).__name__)
            status = 413 if relayed.too_large else 502
        finally:
            relayed.over = True
            if relayed.upstream is not None:
                # Closes the connection unless the answer was read to its end: the worker then cancels its stream.
                relayed.upstream.close()
        if relayed.response is None:
            return web.Response(status=status, headers={"Connection": "close"})
        if request.transport is not None:
            request.transport.abort()
        return relayed.response

    async def _relay(
        self, request: web.BaseRequest, invocation_id: str, relayed: "_Relayed"
    ) -> web.StreamResponse:
        headers = _end_to_end(request.headers)
        headers.pop("Expect", None)
        headers.setdefault(_INVOCATION_ID, invocation_id)
        body: bytes | AsyncIterator[bytes] | None = None
        if request.body_exists:
            # What is here in full already need not be streamed.
            whole = request.content.is_eof()
            body = await request.read() if whole else self._limited(request.content, relayed)
        url = URL(self._uri + request.rel_url.raw_path_qs, encoded=True)
        upstream = relayed.upstream = await self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        )
        response = web.StreamResponse(status=upstream.status, headers=_end_to_end(upstream.headers))
        await response.prepare(request)
        relayed.response = response
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _limited(self, content: aiohttp.StreamReader, relayed: "_Relayed") -> AsyncIterator[bytes]:
        size = 0
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > self._body_limit:
                relayed.too_large = True
                raise aiohttp.ClientPayloadError("request body too large")
            yield chunk


@dataclass(slots=True, kw_only=True)
class _Relayed:
    """How far one request has got."""

    upstream: aiohttp.ClientResponse | None = None
    response: web.StreamResponse | None = None
    too_large: bool = False
    over: bool = False

    def ended(self, call: asyncio.Task[Outcome], deadline: asyncio.Timeout) -> None:
        """Give up at once when the invocation was lost: the worker's server would wait for ever."""
        if not self.over and not deadline.expired() and (call.cancelled() or call.result().lost):
            deadline.reschedule(0)


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)
