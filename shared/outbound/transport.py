"""HTTP on the way out, and the only importer of aiohttp (threats T15, T17 to T19)."""

from __future__ import annotations

import asyncio
import errno
import io
import math
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from shared.ports import Answer, Clock, TransportFault

CONNECT_TIMEOUT: Final = 2.0
"""Seconds for name, connection and TLS together (threats, 5.2)."""
KEEPALIVE: Final = 15.0
"""Seconds that an idle connection is kept: shorter than servers keep theirs, so that a POST seldom meets a closing one."""

_MAX_LINE: Final = 8_190
_MAX_HEADERS: Final = 128
_WHOLE: Final = 1 << 20
"""Bytes up to which a body is written in one piece; larger ones go in chunks, so that the loop breathes between."""
_TRIES: Final = 3
_NO_AUTO: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_IDENTITY: Final = {"accept-encoding": "identity"}


class _Connector(aiohttp.TCPConnector):
    """Gives no request a connection on which bytes already wait: they answer nothing that it asked (threat T15).

    aiohttp looks only at whether a pooled connection is open, and would take a surplus answer for the next one's.
    """

    def __init__(self, *, keepalive: float, connect_timeout: float) -> None:
        super().__init__(limit=0, keepalive_timeout=keepalive)
        self.connect_timeout: Final = connect_timeout

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        for _ in range(_TRIES):
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if isinstance(protocol, ResponseHandler) and not protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the server speaks before it is asked")

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # Timed here and not by aiohttp's own setting, which sets a timer for every request, connected or not.
        try:
            async with asyncio.timeout(self.connect_timeout):
                return await super()._create_connection(req, traces, timeout)
        except TimeoutError as late:
            raise aiohttp.ConnectionTimeoutError from late


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    """Return `text` as it goes on the wire: exactly as the policy wrote it (threats T01, T02)."""
    return URL(text, encoded=True)


class _SentOnce(aiohttp.ClientError):
    """A request that may have arrived and is not sent again, whatever its method."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself after a broken connection: once is once (ports.Transport)."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as fault:
        raise _SentOnce from fault


_ONCE: Final = (_send_once,)


class AiohttpTransport:
    """A ports.Transport on one lazily opened aiohttp session; constructing it opens nothing and needs no loop.

    How many calls are in the air at once is limited by those who call, for each endpoint.
    """

    def __init__(
        self, clock: Clock, *, connect_timeout: float = CONNECT_TIMEOUT, keepalive: float = KEEPALIVE
    ) -> None:
        self._clock: Final = clock
        self._connect_timeout: Final = connect_timeout
        self._keepalive: Final = keepalive
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """Return the answer once its headers are here; see ports.Transport. TLS certificates are always verified."""
        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = await self._open()
        try:
            return await self._try(session, method, url, headers=headers, body=body, deadline=deadline)
        except _Refused:
            try:
                return await self._try(session, method, url, headers=headers, body=body, deadline=deadline)
            except _Refused as refused:
                raise TransportFault("unreachable", sent=False) from refused

    async def close(self) -> None:
        """Close every connection; the next call opens anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> aiohttp.ClientSession:
        old, old_loop = self._session, self._loop
        self._loop = asyncio.get_running_loop()
        session = self._session = aiohttp.ClientSession(
            connector=_Connector(keepalive=self._keepalive, connect_timeout=self._connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=_NO_AUTO,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
        )
        if old is not None and old_loop is not None and old_loop.is_closed():
            # The sockets died with their loop; this only tells the session so.
            await old.close()
        return session

    async def _try(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise TransportFault("timeout", sent=False)
        try:
            response = await session.request(
                method,
                _url(url),
                headers=headers if "accept-encoding" in headers else {**headers, **_IDENTITY},
                data=body if body is None or len(body) <= _WHOLE else io.BytesIO(body),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=left, ceil_threshold=math.inf),
                middlewares=None if method == "POST" else _ONCE,
            )
        except aiohttp.ClientConnectorError as fault:
            if fault.os_error.errno == errno.ECONNREFUSED:
                raise _Refused from fault
            raise TransportFault("unreachable", sent=False) from fault
        except aiohttp.ConnectionTimeoutError as fault:
            raise TransportFault("unreachable", sent=False) from fault
        except TimeoutError as fault:
            raise TransportFault("timeout", sent=True) from fault
        except (aiohttp.ClientResponseError, ValueError) as fault:
            # No HTTP came back, or no HTTP could be made of what was handed in.
            raise TransportFault("protocol", sent=True) from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise TransportFault("unreachable", sent=True) from fault
        if response.status < 200:
            response.close()
            raise TransportFault("protocol", sent=True)  # 101: nobody asked for an upgrade
        return _Answer(response, self._clock, deadline)


class _Refused(Exception):
    """The connection was refused: nothing was sent."""


class _Answer:
    """A ports.Answer over aiohttp's response."""

    __slots__ = ("_clock", "_deadline", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock, deadline: float) -> None:
        self._response: Final = response
        self._clock: Final = clock
        self._deadline: Final = deadline
        self.status: Final = response.status
        self.headers: Final[Mapping[str, str]] = response.headers

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise TransportFault("too-large") beyond `limit` bytes."""
        pieces: list[bytes] = []
        left = limit
        while piece := await self._next():
            left -= len(piece)
            if left < 0:
                self.close()
                raise TransportFault("too-large", sent=True)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, undecoded; raise TransportFault when it is cut short or the deadline passes."""
        try:
            while piece := await self._next():
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection unless the whole answer has come, in which case it is in the pool already."""
        response = self._response
        if response.closed:
            return
        connection = response.connection
        if connection is not None and connection.transport is not None:
            # Not close(): what is still to be written to a peer that reads nothing would keep the socket for ever.
            connection.transport.abort()
        response.close()

    async def _next(self) -> bytes:
        """Return the next bytes of the body, empty at its end."""
        content = self._response.content
        try:
            if self._clock.monotonic() >= self._deadline and not content.at_eof():
                raise TimeoutError
            return await content.readany()
        except TimeoutError as fault:
            self.close()
            raise TransportFault("timeout", sent=True) from fault
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError) as fault:
            self.close()
            raise TransportFault("truncated", sent=True) from fault
        except BaseException:
            self.close()
            raise
