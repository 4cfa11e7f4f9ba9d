"""`GET /me`: who the caller is to the gate, and what it may call."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import Any, Final, get_args

import msgspec

from shared.model import Allow, Asked, Policy, Principal, Reply, Route
from shared.operations import SUBMIT, ModelOperation
from shared.ports import Decide
from shared.surface import ADDRESSES

_USE: Final = MappingProxyType({"online": ("score", "score"), "batch": ("jobs", SUBMIT)})
"""For each kind of endpoint: the address that is told, and the operation that whoever reads of it may ask there."""


async def describe(principal: Principal, policy: Policy, decide: Decide) -> Reply:
    """Return the caller's own page as JSON; `decide` answers each question, and its failures are not caught here.

    Nothing that the caller may not call is named, so the page tells an outsider nothing of what exists.
    """
    endpoints, models = [], []
    for route in policy.routes.values():
        await asyncio.sleep(0)  # a policy of thousands of endpoints must not hold up everybody else
        if route.target == "model":
            operations = await _operations(route, decide)
            if operations:
                models.append({"name": route.name, "kind": route.kind, "operations": operations})
        elif (entry := await _entry(route, decide)) is not None:
            endpoints.append(entry)
    document = {
        "tenant": principal.tenant,
        "principal": principal.oid,
        "kind": principal.kind,
        "client": principal.client,
        "endpoints": endpoints,
        "models": models,
    }
    return _json(document)


async def list_models(principal: Principal, policy: Policy, decide: Decide) -> Reply:
    """Return the models that the caller may use, as OpenAI's `GET /models` tells them; see `describe`."""
    del principal
    models = []
    for route in policy.routes.values():
        if route.target == "model":
            await asyncio.sleep(0)  # as above
            if await _operations(route, decide):
                models.append({"id": route.name, "object": "model", "created": 0, "owned_by": "groupgate"})
    return _json({"object": "list", "data": models})


def _json(document: dict[str, Any]) -> Reply:
    return Reply(
        status=200, headers=(("content-type", "application/json"),), body=msgspec.json.encode(document)
    )


async def _operations(route: Route, decide: Decide) -> list[str]:
    """Return what the caller may ask of a model, by the names that a policy grants it by."""
    granted = [name for name in get_args(ModelOperation) if name in route.operations]
    # The rules of a model are for all of its operations: one decision holds for each.
    asked = Asked(target="model", name=route.name, operation=granted[0])
    return granted if isinstance(await decide(asked), Allow) else []


async def _entry(route: Route, decide: Decide) -> dict[str, Any] | None:
    address, operation = _USE[route.kind]

    def asked(deployment: str | None) -> Asked:
        return Asked(target=route.target, name=route.name, operation=operation, deployment=deployment)

    unnamed = isinstance(await decide(asked(None)), Allow)
    named = sorted({name for rule in route.rules for name in rule.deployments or ()})
    deployments = [name for name in named if isinstance(await decide(asked(name)), Allow)]
    if not unnamed and not deployments:
        return None
    path = "/" + ADDRESSES[address].template.replace("{name}", route.name)
    return {"name": route.name, "kind": route.kind, address: path, "deployments": deployments}
