"""Stand-in for the endpoints that the Durable extension offers to the worker (`HttpApiHandler`); never compared with the real one.

The real ones are at http://127.0.0.1:17071/durabletask/, or another port when that is taken; these are on a free port. Neither
asks for a key. The body of a start or an event stays as it came: a client of Python's SDK sends JSON text inside a JSON string,
so that is what the status shows as `input`, and what an orchestrator gets as the value of an event.
"""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_plus

from aiohttp import web
from multidict import CIMultiDict

from local.host.durable import listing
from local.host.durable.binding import Links
from local.host.durable.crash import Crash
from local.host.durable.engine import Engine
from local.host.durable.history import shown
from local.host.durable.ids import Refused
from local.host.durable.records import Instance
from local.host.durable.status import flag, status_of
from local.host.durable.storage import AlreadyExists, StorageUnavailable
from local.host.logs import host_logger

ADDRESS: Final = "127.0.0.1"
BASE: Final = "/durabletask/"
_UNSUPPORTED: Final = frozenset({"rewind", "restart", "suspend", "resume"})


class Rpc:
    """The HTTP server in front of `engine`; `links` are those that a started instance answers with."""

    def __init__(self, engine: Engine, links: Links) -> None:
        self._engine = engine
        self._links = links
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int = 0) -> str:
        """Listen, and return the base URL, with a slash at its end. Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, port).start()
        listening: int = self._runner.addresses[0][1]
        return f"http://{ADDRESS}:{listening}{BASE}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        path = unquote_plus(request.rel_url.raw_path)
        if not path.lower().startswith(BASE):
            return web.Response(status=404)
        try:
            return await self._route(request, path[len(BASE) :].strip("/").split("/"))
        except (Refused, ValueError) as error:
            return _error(400, "One or more of the arguments submitted is incorrect", error)
        except StorageUnavailable as error:
            host_logger.error("The storage of Durable Functions is unavailable: %s", error)
            return _error(500, "Something went wrong while processing your request", error)
        except Crash:
            # The process would be gone: nobody would get an answer.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    async def _route(self, request: web.Request, parts: list[str]) -> web.Response:
        answer = web.Response(status=404)
        match [request.method, parts[0].lower(), *parts[1:]]:
            case ["POST", "orchestrators", name]:
                answer = await self._start(request, name, "")
            case ["POST", "orchestrators", name, instance_id]:
                answer = await self._start(request, name, instance_id)
            case ["GET", "instances"]:
                answer = listing.find(self._engine, request)
            case ["DELETE", "instances"]:
                answer = listing.purge(self._engine, request)
            case ["GET", "instances", instance_id]:
                answer = self._known(instance_id, lambda found: self._status(request, found))
            case ["DELETE", "instances", instance_id]:
                answer = self._known(instance_id, self._purge)
            case ["POST", "instances", instance_id, operation]:
                answer = self._operate(request, instance_id, operation.lower())
            case ["POST", "instances", instance_id, operation, name] if operation.lower() == "raiseevent":
                answer = await self._raise(request, instance_id, name)
            case [_, "entities", *_]:
                answer = _unsupported("entities")
            case _:
                pass
        return answer

    async def _start(self, request: web.Request, name: str, instance_id: str) -> web.Response:
        payload = await request.text() or None
        if payload is not None:
            try:
                json.loads(payload)
            except ValueError as error:
                return _error(400, "Invalid JSON content", error)
        try:
            started = self._engine.start_new(name, payload, instance_id)
        except AlreadyExists as error:
            return web.json_response({"Message": str(error)}, status=409)
        links = self._links.of(started, str(request.url.origin()))
        headers = {"Location": links["statusQueryGetUri"], "Retry-After": "10"}
        return web.json_response(links, status=202, headers=headers)

    def _known(self, instance_id: str, answer: Callable[[Instance], web.Response]) -> web.Response:
        found = self._engine.storage.get(instance_id)
        return web.Response(status=404) if found is None else answer(found)

    def _status(self, request: web.Request, found: Instance) -> web.Response:
        query = request.query
        # What is not asked for is shown all the same: the extension's default.
        payload = status_of(found, with_input=flag(query, "showInput", default=True))
        if flag(query, "showHistory"):
            events = self._engine.storage.history(found.id)
            payload["historyEvents"] = shown(events, output=flag(query, "showHistoryOutput"))
        if not found.ended:
            headers = CIMultiDict({"Location": str(request.url), "Retry-After": "5"})
            return web.json_response(payload, status=202, headers=headers)
        failed = found.status == "Failed" and flag(query, "returnInternalServerErrorOnFailure")
        return web.json_response(payload, status=500 if failed else 200)

    def _purge(self, found: Instance) -> web.Response:
        if not found.ended:
            reason = (
                "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID "
                f"{found.id} has status {found.status}"
            )
            return web.json_response(reason, status=412)
        self._engine.storage.purge(found.id)
        return web.json_response({"instancesDeleted": 1})

    def _operate(self, request: web.Request, instance_id: str, operation: str) -> web.Response:
        if operation in _UNSUPPORTED:
            return _unsupported(operation)
        if operation != "terminate":
            return web.Response(status=404)

        def terminate(found: Instance) -> web.Response:
            if found.ended:
                return web.Response(status=410)
            self._engine.terminate(found, request.query.get("reason"))
            return web.Response(status=202)

        return self._known(instance_id, terminate)

    async def _raise(self, request: web.Request, instance_id: str, name: str) -> web.Response:
        payload = await request.text()

        def send(found: Instance) -> web.Response:
            if found.ended:
                return web.Response(status=410)
            if request.content_type != "application/json":
                message = "Only application/json request content is supported"
                return web.json_response({"Message": message}, status=400)
            try:
                json.loads(payload)
            except ValueError as error:
                return _error(400, "Invalid JSON content", error)
            self._engine.raise_event(found, name, payload)
            return web.Response(status=202)

        return self._known(instance_id, send)


def _error(status: int, message: str, error: Exception) -> web.Response:
    told = {"Message": message, "ExceptionMessage": str(error), "ExceptionType": type(error).__name__}
    return web.json_response(told, status=status)


def _unsupported(what: str) -> web.Response:
    message = f"The local host does not support {what}."
    host_logger.error("%s", message)
    return web.json_response({"Message": message}, status=501)
