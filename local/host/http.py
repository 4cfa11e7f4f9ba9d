"""Stand-in for the HTTP front of the Functions host; never compared with the real one (there is no ``func`` here).

The rules come from the host's public sources. Known differences: no function keys, no CORS, no App Service Authentication,
no home page, no webhooks of extensions; the ceiling of 230 seconds is the load balancer's, which ``func start`` does not have.
"""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict

from local.host.hostjson import HostJson
from local.host.logs import host_logger
from local.host.messages import HttpIn, HttpOut, Value
from local.host.proxy import HOP_BY_HOP, Proxy
from local.host.routes import PathError, Route, Routes, decode
from local.host.worker import ADDRESS, Function, Outcome, Worker

CEILING = 230.0
"""Seconds after which the load balancer gives up a request."""
BODY_LIMIT = 104_857_600
"""Bytes: the host's default of FUNCTIONS_REQUEST_BODY_SIZE_LIMIT."""
_HEADER_LIMIT = 256 * 1024
"""Bytes: a principal header alone may have 64 KiB."""
_BACKLOG = 2048


def routes_of(functions: tuple[Function, ...], prefix: str) -> Routes[Function]:
    """Build the routes of every function with an HTTP trigger. Raises RouteError."""
    return Routes(
        Route.parse(template_of(function, prefix), function.trigger.get("methods") or (), function)
        for function in functions
        if is_http(function)
    )


def is_http(function: Function) -> bool:
    """Tell whether a function is called over HTTP."""
    return str(function.trigger["type"]).lower() == "httptrigger"


def template_of(function: Function, prefix: str) -> str:
    """Return the route template with its prefix, without a slash in front."""
    return f"{prefix}/{(function.trigger.get('route') or function.name).strip('/')}".strip("/")


class Front:
    """The HTTP server of the host, on a loopback address only."""

    def __init__(self, worker: Worker, settings: HostJson, *, closed: str = "") -> None:
        """Serve the functions of `worker`; every path under `closed` asks for a key that nobody has: 401."""
        self._worker = worker
        self._closed = closed.lower()
        self._routes = routes_of(worker.functions, settings.route_prefix)
        self._proxy = Proxy(worker.http_uri, body_limit=BODY_LIMIT) if worker.http_uri else None
        self._loop = asyncio.get_running_loop()
        self._calls: set[asyncio.Task[Outcome]] = set()
        self._handling = 0
        self._draining = False
        self._quiet = asyncio.Event()
        self._runner = web.ServerRunner(
            web.Server(
                self._handle,
                request_factory=self._request,
                # A vanished client ends the wait for the answer (not the invocation) and aborts a proxied request.
                handler_cancellation=True,
                logger=host_logger,
                access_log=None,
                max_line_size=_HEADER_LIMIT,
                max_field_size=_HEADER_LIMIT,
                # The real host hands compressed bodies on as they are.
                auto_decompress=False,
            ),
            shutdown_timeout=1.0,
        )

    async def start(self, port: int) -> int:
        """Listen, and return the port (a free one for 0). Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, port, backlog=_BACKLOG).start()
        listening: int = self._runner.addresses[0][1]
        return listening

    async def stop(self, grace: float) -> bool:
        """Stop accepting, give running invocations ``grace`` seconds, close; return whether all had ended."""
        self._draining = True
        for site in list(self._runner.sites):
            await site.stop()
        self._check_quiet()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._quiet.wait()
        ended = not self._calls
        for call in self._calls:
            call.cancel()
        await self._runner.cleanup()
        if self._proxy is not None:
            await self._proxy.close()
        return ended

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=BODY_LIMIT
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._draining:
            return web.Response(status=503, headers={"Connection": "close"})
        self._handling += 1
        try:
            return await self._answer(request)
        finally:
            self._handling -= 1
            self._check_quiet()

    def _check_quiet(self) -> None:
        if self._draining and not self._handling and not self._calls:
            self._quiet.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            found = self._routes.find(request.method, request.rel_url.raw_path)
        except PathError:
            return web.Response(status=400)
        if found is None:
            closed = self._closed and decode(request.rel_url.raw_path).lower().startswith(self._closed)
            return web.Response(status=401 if closed else 404)
        if (refusal := _refusal(request)) is not None:
            return refusal
        if "Expect" in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        function, params = found
        invocation_id = str(uuid.uuid4())
        if self._proxy is not None:
            data = HttpIn(params=params, headers={}, query={})
            call = self._invoke(function, data, invocation_id, request)
            return await self._proxy.relay(request, invocation_id, call, ceiling=CEILING)
        try:
            async with asyncio.timeout(CEILING):
                data = await _classic(request, params)
                return _response(await _outcome(self._invoke(function, data, invocation_id, request)))
        except TimeoutError:
            return web.Response(status=504, headers={"Connection": "close"})

    def _invoke(
        self, function: Function, data: HttpIn, invocation_id: str, request: web.BaseRequest
    ) -> asyncio.Task[Outcome]:
        inputs: Mapping[str, Value] = {function.trigger["name"]: ("http", data)}
        coroutine = self._worker.invoke(
            function, inputs, invocation_id=invocation_id, traceparent=request.headers.get("traceparent", "")
        )
        call = asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        if not call.done():
            self._calls.add(call)
            call.add_done_callback(self._ended)
        return call

    def _ended(self, call: asyncio.Task[Outcome]) -> None:
        self._calls.discard(call)
        self._check_quiet()


def _refusal(request: web.BaseRequest) -> web.Response | None:
    # The real server reads headers as UTF-8 and refuses others; here their bytes came as surrogates.
    if any(not value.isascii() and not _is_text(value) for value in request.headers.values()):
        return web.Response(status=400)
    if (request.content_length or 0) > BODY_LIMIT:
        return web.Response(status=413, headers={"Connection": "close"})
    return None


async def _outcome(call: asyncio.Task[Outcome]) -> Outcome:
    try:
        # The real host lets a Python function run to its end when the client leaves.
        return call.result() if call.done() else await asyncio.shield(call)
    except asyncio.CancelledError:
        if call.cancelled():
            # The function let a cancellation of its own escape.
            return Outcome(ok=False, outputs={})
        raise


async def _classic(request: web.BaseRequest, params: Mapping[str, str]) -> HttpIn:
    headers: dict[str, str] = {}
    for given, value in request.headers.items():
        name = given.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw_query = request.rel_url.raw_query_string
    return HttpIn(
        method=request.method,
        url=f"http://{request.host}{request.rel_url.raw_path}{'?' if raw_query else ''}{raw_query}",
        headers=headers,
        params=params,
        query=_query(raw_query) if raw_query else {},
        # Only a body of stated length is copied: a chunked one arrives empty.
        body=await request.read() if request.content_length else b"",
    )


def _query(raw: str) -> dict[str, str]:
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    for given, value in parse_qsl(raw, keep_blank_values=True):
        name = names.setdefault(given.lower(), given)
        values[name] = f"{values[name]},{value}" if name in values else value
    # The host leaves empty values out for workers without nullable ones, and Python's is one.
    return {name: value for name, value in values.items() if value}


def _response(outcome: Outcome) -> web.Response:
    if not outcome.ok:
        return web.Response(status=500)
    if outcome.returned is None:
        return web.Response(status=204)
    kind, content = outcome.returned
    if not isinstance(content, HttpOut):
        media_type = "application/json" if kind == "json" else "text/plain"
        return web.Response(text=str(content), content_type=media_type, charset="utf-8")
    headers = CIMultiDict(
        (name, value) for name, value in content.headers.items() if name.lower() not in _OWN
    )
    for cookie in content.cookies:
        headers.add("Set-Cookie", cookie)
    return web.Response(status=content.status, headers=headers, body=content.body)


_OWN = HOP_BY_HOP | {"content-length"}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
