"""`GET /me`: who the caller is to the gate, and what it may call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from shared.model import Allow, Asked, Decision, Policy, Principal, Reply, Route
from shared.surface import ADDRESSES

Decide = Callable[[Asked], Awaitable[Decision]]


async def describe(principal: Principal, policy: Policy, decide: Decide) -> Reply:
    """Return the caller's own page as JSON; `decide` answers each question, and its failures are not caught here.

    Nothing that the caller may not call is named, so the page tells an outsider nothing of what exists.
    """
    endpoints = []
    for route in policy.routes.values():
        await asyncio.sleep(0)  # a policy of thousands of endpoints must not hold up everybody else
        entry = await _entry(route, decide)
        if entry is not None:
            endpoints.append(entry)
    document = {
        "tenant": principal.tenant,
        "principal": principal.oid,
        "kind": principal.kind,
        "client": principal.client,
        "endpoints": endpoints,
    }
    return Reply(
        status=200, headers=(("content-type", "application/json"),), body=msgspec.json.encode(document)
    )


async def _entry(route: Route, decide: Decide) -> dict[str, Any] | None:
    def asked(deployment: str | None) -> Asked:
        return Asked(target=route.target, name=route.name, operation="score", deployment=deployment)

    unnamed = isinstance(await decide(asked(None)), Allow)
    named = sorted({name for rule in route.rules for name in rule.deployments or ()})
    deployments = [name for name in named if isinstance(await decide(asked(name)), Allow)]
    if not unnamed and not deployments:
        return None
    path = "/" + ADDRESSES["score"].template.replace("{name}", route.name)
    return {"name": route.name, "kind": route.kind, "score": path, "deployments": deployments}
