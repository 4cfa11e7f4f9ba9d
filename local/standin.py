"""What every stand-in is: an HTTP server on loopback, with fault switches and a record of requests."""

import os
import socket
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiohttp import web
from multidict import CIMultiDictProxy

from local.faults import Faults, Handler

AZURE_VARIABLES = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "CONTAINER_APP_NAME")
HEADER_LIMIT = 128 * 1024
"""Bytes of one header or of the request line: principals of 64 KiB must get through."""
_REMEMBERED = 1_000
_BODY_REMEMBERED = 64 * 1024


def refuse_in_azure(environ: Mapping[str, str]) -> None:
    """Raise `RuntimeError` where Azure's environment variables are present: a stand-in believes anybody."""
    if present := [name for name in AZURE_VARIABLES if environ.get(name)]:
        raise RuntimeError(f"stand-ins never run in Azure, and {', '.join(present)} is set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came.

    `target` is the undecoded path and query; `body` its first 64 KiB, nothing where bodies are streamed on.
    """

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes


class StandIn:
    """Serve `routes()` on loopback; after `stop()` the port refuses connections, `start()` takes it again."""

    mints_tokens = False
    streams_bodies = False

    def __init__(self, *, port: int = 0) -> None:
        """Prepare for `port`, 0 meaning a free one."""
        self.port = port
        self.faults = Faults(tokens=self.mints_tokens, streams=self.streams_bodies)
        self.requests: deque[Seen] = deque(maxlen=_REMEMBERED)
        self.counts: Counter[str] = Counter()
        """Requests by route, as in `counts["/v1.0/users/{oid}/checkMemberGroups"]`."""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        if not self.port:
            raise RuntimeError(f"{type(self).__name__} has no port before it is started")
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        """Give the service's routes."""
        raise NotImplementedError

    async def opened(self) -> None:
        """Open what serving needs."""

    async def closed(self) -> None:
        """Close what `opened` opened."""

    async def start(self) -> None:
        """Listen; raise `OSError` when the port is taken."""
        refuse_in_azure(os.environ)
        app = web.Application(middlewares=[self._record], client_max_size=64 * 1024 * 1024)
        app.add_routes(self.faults.routes() + self.routes())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.5,
            auto_decompress=False,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        await self._runner.setup()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", self.port))
        except OSError as exc:
            sock.close()
            await self._runner.cleanup()
            raise OSError(
                exc.errno, f"{type(self).__name__} cannot listen on port {self.port}: {exc.strerror}"
            ) from exc
        self.port = sock.getsockname()[1]
        await self.opened()
        await web.SockSite(self._runner, sock, backlog=1024).start()

    async def stop(self) -> None:
        """Stop listening and drop open connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            await self.closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.raw_path.startswith("/_"):
            return await handler(request)
        body = b"" if self.streams_bodies else await request.read()
        seen = Seen(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body[:_BODY_REMEMBERED],
        )
        self.requests.append(seen)
        resource = request.match_info.route.resource
        self.counts[resource.canonical if resource else "elsewhere"] += 1
        return await self.faults.apply(request, handler)
