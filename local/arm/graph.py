"""Stands in for the reads of Microsoft Graph's directory: objects by their ids, members and owners of groups.

Not verified against the real service: the words of its errors; what an application without Directory.Read.All gets for
objects by ids (here: 403); what a group of hidden membership shows without its permission (here: nothing, and no error).
Like v1.0 of the real one it leaves service principals out of members and owners, but for the cast.
"""

from itertools import islice
from typing import Any

from aiohttp import web

from local.arm.front import body_of, error
from local.arm.tenant import Json, Tenant
from local.entra import Entra
from local.standin import StandIn

AUDIENCE = "https://graph.microsoft.com"
MOST_IDS = 1_000
MOST_IN_A_PAGE = 999
_APP = "servicePrincipal"


class DirectoryReads(StandIn):
    """Serve one tenant's directory to the object ids in `may_read`; let those in `may_write` change groups."""

    def __init__(
        self,
        entra: Entra,
        tenant: Tenant,
        *,
        may_read: set[str],
        may_write: set[str] | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.entra = entra
        self.tenant = tenant
        self.may_write = may_write or set()
        self.may_read = may_read | self.may_write
        self.forbidden: set[str] = set()
        """Paths, or paths with their queries as they are sent, that nobody has the permission for."""
        self.most = MOST_IN_A_PAGE
        """Entries in one page of a list, however many are asked for."""
        self.reads_objects = True
        """Whether Directory.Read.All was granted."""
        self.conceals: set[str] = set()
        """Members that are counted and not listed."""
        self.untyped: set[str] = set()
        """Members whose type no list tells."""

    def routes(self) -> list[web.RouteDef]:
        """Serve the reads, and the changes of who is in a group."""
        relation = "/v1.0/groups/{group}/{relation:members|owners}"
        return [
            web.post("/v1.0/directoryObjects/getByIds", self._objects),
            web.get(relation, self._list),
            web.get(relation + "/microsoft.graph.{kind}", self._list),
            web.get(relation + "/$count", self._count),
            web.post(relation + "/$ref", self._change),
            web.delete(relation + "/{who}/$ref", self._change),
        ]

    def _refusal(self, request: web.Request, allowed: set[str]) -> web.Response | None:
        claims = self.entra.bearer(request, audience=AUDIENCE)
        if claims is None:
            return error(401, "InvalidAuthenticationToken", "Access token validation failure.")
        if claims["oid"] not in allowed or self.forbidden & {request.path, request.raw_path}:
            message = "Insufficient privileges to complete the operation."
            return error(403, "Authorization_RequestDenied", message)
        group = request.match_info.get("group")
        if group is not None and self._kind(group) != "group":
            return error(404, "Request_ResourceNotFound", f"Resource '{group}' does not exist.")
        return None

    async def _objects(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, self.may_read if self.reads_objects else set())) is not None:
            return refusal
        ids = (await body_of(request)).get("ids", [])
        if len(ids) > MOST_IDS:
            return error(400, "Request_BadRequest", f"More than {MOST_IDS} ids.")
        return web.json_response(
            {"value": [self._shown(one) for one in ids if one in self.tenant.principals]}
        )

    async def _list(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, self.may_read)) is not None:
            return refusal
        kind = request.match_info.get("kind")
        if kind is not None and not _advanced(request):
            message = "A cast takes the header ConsistencyLevel and $count."
            return error(400, "Request_UnsupportedQuery", message)
        # A token says how many of the related were looked at, so that a page of a large group costs what it holds.
        related, at = self._related(request), int(request.query.get("$skiptoken", 0))
        most = min(int(request.query.get("$top", 100)), self.most)
        page: list[Json] = []
        while at < len(related) and len(page) < most:
            if self._listed(related[at], kind):
                page.append(self._shown(related[at], told=related[at] not in self.untyped))
            at += 1
        answer: Json = {"value": page}
        if any(self._listed(one, kind) for one in islice(related, at, None)):
            answer["@odata.nextLink"] = str(request.url.update_query({"$skiptoken": str(at)}))
        return web.json_response(answer)

    async def _count(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, self.may_read)) is not None:
            return refusal
        if request.headers.get("ConsistencyLevel") != "eventual":
            return error(400, "Request_BadRequest", "A count takes the header ConsistencyLevel.")
        return web.Response(text=str(len(self._related(request))))

    async def _change(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, self.may_write)) is not None:
            return refusal
        related = self._related(request)
        who = request.match_info.get("who")
        if who is None:
            who = str((await body_of(request)).get("@odata.id", "")).rpartition("/")[2]
            if who in related:
                return error(400, "Request_BadRequest", "It is there already.")
            related.append(who)
        elif who in related:
            related.remove(who)
        else:
            return error(404, "Request_ResourceNotFound", f"Resource '{who}' does not exist.")
        return web.Response(status=204)

    def _related(self, request: web.Request) -> list[str]:
        relations = self.tenant.members if request.match_info["relation"] == "members" else self.tenant.owners
        return relations.setdefault(request.match_info["group"], [])

    def _listed(self, who: str, kind: str | None) -> bool:
        if who in self.conceals:
            return False
        return bool(self._kind(who) == kind if kind else self._kind(who) != _APP)

    def _kind(self, who: str) -> Any:
        return self.tenant.principals.get(who, {}).get("type")

    def _shown(self, who: str, *, told: bool = True) -> Json:
        known = self.tenant.principals[who]
        more = {name: value for name, value in known.items() if name != "type"}
        return ({"@odata.type": f"#microsoft.graph.{known['type']}"} if told else {}) | {"id": who} | more


def _advanced(request: web.Request) -> bool:
    counted = request.query.get("$count") == "true" or "$skiptoken" in request.query
    return request.headers.get("ConsistencyLevel") == "eventual" and counted
