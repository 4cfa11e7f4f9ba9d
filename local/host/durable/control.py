"""An HTTP endpoint that moves the clock of the local host, kills it at a chosen step, and takes its storage away.

The real host has nothing like it. It is off unless asked for, and listens on loopback only. Bodies are JSON, sent as such (a web
page elsewhere cannot send that unasked). Answers: 204, or 200 with JSON; 400 for a body that is none of these.

- POST /clock {"advance": seconds}: timers that are due then fire at once. {"now": microseconds since 1970}
- POST /crash {"at": "before" or "after", "step": one of `crash.STEPS`, "name": function or null, "nth": from 1}
- DELETE /crash: no switch is armed any more
- POST /outage {"seconds": by the clock}: the storage refuses for so long; 0 ends it
- POST /conflicts {"hidden": true}: a start whose id is taken answers 202 and is dropped, see `Engine.hide_conflicts`
- GET /instances: {"Running": 3, ...}
- GET /instances/{id}: {"status", "events", "bytes" of the history as JSON, "peak" number of events ever, "generation"}
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from local.host.durable.crash import Switch
from local.host.durable.engine import Engine
from local.host.durable.rpc import ADDRESS


class Control:
    """The server of the endpoint."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        application = web.Application(middlewares=[_refusing])
        application.router.add_post("/clock", self._clock)
        application.router.add_post("/crash", self._arm)
        application.router.add_delete("/crash", self._disarm)
        application.router.add_post("/outage", self._outage)
        application.router.add_post("/conflicts", self._conflicts)
        application.router.add_get("/instances", self._counts)
        application.router.add_get("/instances/{id}", self._instance)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> int:
        """Listen, and return the port (a free one for 0). Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, port).start()
        listening: int = self._runner.addresses[0][1]
        return listening

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _clock(self, request: web.Request) -> web.Response:
        body = await _body(request, "advance")
        self._engine.advance(float(body["advance"]))
        return web.json_response({"now": self._engine.clock.now()})

    async def _arm(self, request: web.Request) -> web.Response:
        body = await _body(request, "at", "step", "name", "nth")
        self._engine.switches.arm(Switch(**body))
        return web.Response(status=204)

    async def _disarm(self, _: web.Request) -> web.Response:
        self._engine.switches.disarm()
        return web.Response(status=204)

    async def _outage(self, request: web.Request) -> web.Response:
        body = await _body(request, "seconds")
        self._engine.storage.refuse(float(body["seconds"]))
        return web.Response(status=204)

    async def _conflicts(self, request: web.Request) -> web.Response:
        body = await _body(request, "hidden")
        self._engine.hide_conflicts = body["hidden"] is True
        return web.Response(status=204)

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response(self._engine.storage.counts())

    async def _instance(self, request: web.Request) -> web.Response:
        found = self._engine.storage.get(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound
        events = self._engine.storage.history(found.id)
        told = {
            "status": found.status,
            "events": len(events),
            "bytes": len(json.dumps(events)),
            "peak": found.peak,
            "generation": found.generation,
        }
        return web.json_response(told)


@web.middleware
async def _refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (KeyError, TypeError, ValueError) as error:
        raise web.HTTPBadRequest(text=f"{type(error).__name__}: {error}") from error


async def _body(request: web.Request, *known: str) -> Mapping[str, Any]:
    if request.content_type != "application/json":
        raise web.HTTPBadRequest(text="the body is not sent as JSON")
    body = await request.json()
    if not isinstance(body, dict) or not body.keys() <= set(known):
        raise web.HTTPBadRequest(text="known are: " + ", ".join(known))
    return body
