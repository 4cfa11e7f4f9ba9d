"""Stands in for the Azure CLI: sends what each command that a bypass report prints would send.

Not verified against the real client: which calls it makes besides (it looks up scopes, subscriptions and principals), and
the versions that it asks with. What the real one takes for a command is checked elsewhere, by the real one.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp

from local.arm.tenant import RBAC, Json
from shared.bypass import changes, readback
from shared.bypass.changes import Change
from shared.ids import guid

MANAGEMENT = "https://management.azure.com"
GRAPH = "https://graph.microsoft.com"
_RBAC_VERSION = "2022-04-01"
_IDENTITY_VERSION = "2023-01-31"


class AzError(Exception):
    """The service did not do what a command asks for; the message says what it answered."""


class Az:
    """Runs commands as whoever `token` is of, which gives a token for an audience."""

    def __init__(
        self, http: aiohttp.ClientSession, *, management: str, graph: str, token: Callable[[str], str]
    ) -> None:
        """Take the addresses of the stand-ins."""
        self._http = http
        self._bases = {MANAGEMENT: management, GRAPH: graph}
        self._token = token

    async def run(self, command: str) -> None:
        """Do what `command` says; raise `NotACommand` for what no report prints, and `AzError`."""
        await self._apply(readback.parse(command))

    async def _apply(self, change: Change) -> None:
        match change:
            case changes.DeleteAssignment(identity):
                await self._arm("DELETE", identity, _RBAC_VERSION)
            case changes.DeleteFederated(identity):
                await self._arm("DELETE", identity, _IDENTITY_VERSION)
            case changes.RemoveMember(group, member):
                await self._sent(GRAPH, "DELETE", f"/v1.0/groups/{group}/members/{member}/$ref")
            case changes.RemoveOwner(group, owner):
                await self._sent(GRAPH, "DELETE", f"/v1.0/groups/{group}/owners/{owner}/$ref")
            case changes.SetProperty(resource, version, path, value):
                await self._set(resource, version, path.split("."), value)
            case changes.CreateRole(definition):
                await self._create(json.loads(definition))
            case changes.Assign(principal, kind, role, scope):
                await self._assign(principal, kind, role, scope)
            case changes.EndEligibility() | changes.PutDeny():
                await self._rest(change)

    async def _set(self, resource: str, version: str, path: list[str], value: str) -> None:
        """Do as `az resource update`: read it, change one value in it, write it."""
        found = await self._arm("GET", resource, version)
        inner = found["properties"]
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = {"true": True, "false": False}.get(value, value)
        await self._arm("PUT", resource, version, found)

    async def _create(self, given: Json) -> None:
        names = ("Actions", "NotActions", "DataActions", "NotDataActions")
        permission = {name[:1].lower() + name[1:]: given.get(name, []) for name in names}
        properties = {
            "roleName": given["Name"],
            "type": "CustomRole",
            "assignableScopes": given["AssignableScopes"],
            "permissions": [permission],
        }
        identity = f"{given['AssignableScopes'][0]}{RBAC}/roleDefinitions/{given.get('Id') or uuid.uuid4()}"
        await self._arm("PUT", identity, _RBAC_VERSION, {"properties": properties})

    async def _assign(self, principal: str, kind: str, role: str, scope: str) -> None:
        properties = {
            "principalId": principal,
            "principalType": kind,
            "roleDefinitionId": await self._role(role, scope),
        }
        identity = f"{scope}{RBAC}/roleAssignments/{uuid.uuid4()}"
        await self._arm("PUT", identity, _RBAC_VERSION, {"properties": properties})

    async def _role(self, role: str, scope: str) -> str:
        """Give the id of a role that is named by its id, the last part of it, or its name."""
        if "/" in role:
            return role
        if guid(role):
            return f"{RBAC}/roleDefinitions/{role}"
        chosen = {"$filter": f"roleName eq '{role}'"}
        listed = await self._arm("GET", f"{scope}{RBAC}/roleDefinitions", _RBAC_VERSION, query=chosen)
        if len(listed["value"]) != 1:
            raise AzError(f"there are {len(listed['value'])} roles of the name {role}")
        return str(listed["value"][0]["id"])

    async def _rest(self, change: Change) -> None:
        words = change.words()
        given = dict(zip(words[1::2], words[2::2], strict=True))
        path, _, version = given["--url"].partition("?api-version=")
        await self._arm(given["--method"].upper(), path, version, json.loads(given["--body"]))

    async def _arm(
        self,
        method: str,
        path: str,
        version: str,
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> Any:
        return await self._sent(MANAGEMENT, method, path, body, {"api-version": version} | (query or {}))

    async def _sent(
        self,
        audience: str,
        method: str,
        path: str,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token(audience)}"}
        url = self._bases[audience] + path
        async with self._http.request(method, url, params=query, json=body, headers=headers) as answer:
            said = await answer.read()
            if not answer.ok:
                raise AzError(f"{method} {path}: {answer.status} {said.decode(errors='replace')}")
            return json.loads(said) if said else None
