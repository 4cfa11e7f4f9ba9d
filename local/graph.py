"""Stands in for Microsoft Graph's `checkMemberGroups` on users and service principals.

Not verified against the real service: the error codes of a malformed request, what it says of its own cost
and limits (here: nothing). It takes the gate's identity alone to have the permissions.
"""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from aiohttp import web

from local.directory import App, Directory, Person
from local.entra import Entra
from local.standin import StandIn

AUDIENCE = "https://graph.microsoft.com"
MOST_IDS = 20


class _Asked(msgspec.Struct):
    groupIds: list[UUID]  # noqa: N815 - Graph's own spelling


class Graph(StandIn):
    """Answer from the directory, to the identity named `gate` only."""

    def __init__(self, directory: Directory, entra: Entra, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.directory = directory
        self.entra = entra

    def routes(self) -> list[web.RouteDef]:
        """Serve the two typed paths, and changes of the directory for people and tests."""
        member = "/_directory/groups/{group}/members/{who}"
        return [
            web.post("/v1.0/users/{oid}/checkMemberGroups", self._check),
            web.post("/v1.0/servicePrincipals/{oid}/checkMemberGroups", self._check),
            web.get("/_directory", self._show),
            web.put(member, self._change),
            web.delete(member, self._change),
        ]

    async def _check(self, request: web.Request) -> web.Response:
        claims = self.entra.bearer(request, audience=AUDIENCE)
        if claims is None:
            return _error(401, "InvalidAuthenticationToken", "Access token validation failure.")
        if claims["oid"] != self.directory.apps["gate"].oid:
            return _error(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )
        try:
            asked = msgspec.json.decode(await request.read(), type=_Asked).groupIds
        except msgspec.MsgspecError:
            return _error(400, "Request_BadRequest", "Invalid object identifier or body.")
        if len(asked) > MOST_IDS:
            return _error(
                400, "Request_BadRequest", f"The number of group ids exceeds the limit of {MOST_IDS}."
            )
        kind = Person if "/users/" in request.path else App
        oid = request.match_info["oid"].lower()
        found = self.directory.find(oid)
        if not isinstance(found, kind) or found.oid != oid:
            return _error(404, "Request_ResourceNotFound", f"Resource '{oid}' does not exist.")
        member_of = set(self.directory.groups_of(oid))
        context = f"{AUDIENCE}/v1.0/$metadata#Collection(Edm.String)"
        value = [str(group) for group in asked if str(group) in member_of]
        return web.json_response(
            {"@odata.context": context, "value": value}, headers={"request-id": str(uuid4())}
        )

    async def _show(self, _: web.Request) -> web.Response:
        names = {group_id: name for name, group_id in self.directory.groups.items()}
        members: dict[str, Any] = {
            one.name: {
                "oid": one.oid,
                "groups": [names[group] for group in self.directory.groups_of(one.oid)],
            }
            for one in self.directory.everybody()
        }
        return web.json_response(members)

    async def _change(self, request: web.Request) -> web.Response:
        change = self.directory.add if request.method == "PUT" else self.directory.remove
        try:
            change(request.match_info["group"], request.match_info["who"])
        except KeyError:
            raise web.HTTPNotFound from None
        return web.Response(status=204)


def _error(status: int, code: str, message: str) -> web.Response:
    inner = {"request-id": str(uuid4())}
    return web.json_response(
        {"error": {"code": code, "message": message, "innerError": inner}}, status=status
    )
