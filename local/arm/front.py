"""Stands in for Azure Resource Manager, as far as who can reach a resource is read from it, and what closes a way is written.

Not verified against the real service: the words of its errors and which of several it names first; which of its lists come
in pages (here: all, of `page` entries); that a list without a filter tells what is below a scope; how long a change takes
to be seen (here: none). It takes the identities in `may_read` and `may_write` to have the rights everywhere, but for what
`forbidden` names.
"""

import json
from typing import Any

from aiohttp import web

from local.arm.tenant import RBAC, Json, Tenant
from local.entra import Entra
from local.standin import StandIn

AUDIENCE = "https://management.azure.com"
LATEST_DENIES = frozenset({"2024-07-01-preview", "2026-09-01"})
_VERSIONS = {
    "roleassignments": {"2022-04-01"},
    "roledefinitions": {"2022-04-01", "2022-05-01-preview"},
    "denyassignments": {"2022-04-01", *LATEST_DENIES},
    "roleeligibilityscheduleinstances": {"2020-10-01"},
    "roleassignmentscheduleinstances": {"2020-10-01"},
    "classicadministrators": {"2015-07-01"},
}
_REQUESTS = "roleeligibilityschedulerequests"
_NAMES = {
    name.lower(): name
    for name in (
        "roleAssignments",
        "roleDefinitions",
        "denyAssignments",
        "roleEligibilityScheduleInstances",
        "roleAssignmentScheduleInstances",
        "classicAdministrators",
    )
}


class Arm(StandIn):
    """Serve one tenant to the object ids in `may_read`, and let those in `may_write` change it."""

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
        self.page = 50
        """Entries in one page of a list."""
        self.forbidden: set[str] = set()
        """Paths, or paths with their queries as they are sent, that nobody has the right to."""
        self.versions = dict(_VERSIONS)
        """Api-versions that are known, by list."""
        self.licensed = True
        """Whether the tenant may use Privileged Identity Management."""
        self.knows_classic = True
        """Whether classic administrators are still listed."""

    def routes(self) -> list[web.RouteDef]:
        """Serve every path below a subscription, and of definitions those of the tenant."""
        return [
            web.route("*", "/subscriptions/{rest:.+}", self._serve),
            web.route("*", "/providers/{rest:.+}", self._serve),
        ]

    async def _serve(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        _, found, listed = request.path.rpartition(RBAC)
        return await (
            self._access(request, *listed.strip("/").split("/", 1)) if found else self._resource(request)
        )

    def _refusal(self, request: web.Request) -> web.Response | None:
        claims = self.entra.bearer(request, audience=AUDIENCE)
        if claims is None:
            return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        allowed = self.may_read if request.method == "GET" else self.may_write
        if claims["oid"] not in allowed or self.forbidden & {request.path, request.raw_path}:
            return error(403, "AuthorizationFailed", "The client does not have authorization to do that.")
        if not request.query.get("api-version"):
            return error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        return None

    async def _access(self, request: web.Request, listing: str, entry: str = "") -> web.Response:
        name = listing.lower()
        known = self.versions.get("roleeligibilityscheduleinstances" if name == _REQUESTS else name, set())
        if request.query["api-version"] not in known:
            return error(400, "NoRegisteredProviderFound", "There is no such api-version.")
        if request.method != "GET":
            return self._change(request.method, request.path, name, await body_of(request))
        if entry:
            return self._entry(request)
        return self._list(request, request.path[: request.path.rindex(RBAC)], name)

    def _list(self, request: web.Request, scope: str, name: str) -> web.Response:
        if name.endswith("scheduleinstances") and not self.licensed:
            message = (
                "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."
            )
            return error(400, "AadPremiumLicenseRequired", message)
        if name == "classicadministrators" and not self.knows_classic:
            return error(404, "InvalidResourceType", "The resource type could not be found.")
        return self._paged(request, self._chosen(_NAMES[name], scope, request.query.get("$filter", "")), name)

    def _chosen(self, listing: str, scope: str, chosen: str) -> list[Json]:
        match listing, chosen:
            case ("roleDefinitions", ""):
                return self.tenant.lists[listing]
            case ("roleDefinitions", _):
                name = chosen.removeprefix("roleName eq '").removesuffix("'")
                return [one for one in self.tenant.lists[listing] if one["properties"]["roleName"] == name]
            case ("classicAdministrators", _):
                prefix = f"{scope.lower()}/"
                return [one for one in self.tenant.lists[listing] if one["id"].lower().startswith(prefix)]
            case (_, "atScope()"):
                return self.tenant.at(listing, scope)
            case (_, ""):
                return self.tenant.around(listing, scope)
            case _:
                principal = chosen.removeprefix("assignedTo('").removesuffix("')")
                return list(self.tenant.held_by(principal, scope))

    def _entry(self, request: web.Request) -> web.Response:
        found = self.tenant.role(request.path)
        if found is None or "/roledefinitions/" not in request.path.lower():
            return error(404, "RoleDefinitionDoesNotExist", "There is no such role definition.")
        return web.json_response(shown(found, "roledefinitions", request.query["api-version"]))

    def _paged(self, request: web.Request, found: list[Json], name: str) -> web.Response:
        version = request.query["api-version"]
        start = int(request.query.get("$skiptoken", 0))
        answer: Json = {"value": [shown(one, name, version) for one in found[start : start + self.page]]}
        if len(found) > start + self.page:
            answer["nextLink"] = str(request.url.update_query({"$skiptoken": str(start + self.page)}))
        return web.json_response(answer)

    def _change(self, method: str, path: str, name: str, given: Json) -> web.Response:
        tenant = self.tenant
        if name == _REQUESTS:
            return self._schedule(path, given["properties"])
        if name not in ("roleassignments", "roledefinitions", "denyassignments"):
            return error(405, "MethodNotAllowed", "That cannot be changed.")
        listing = _NAMES[name]
        if method == "DELETE":
            found = tenant.remove(listing, path)
            return web.Response(status=204) if found is None else web.json_response(found)
        if method != "PUT":
            return error(405, "MethodNotAllowed", "That cannot be changed.")
        scope = path[: path.rindex(RBAC)] or "/"
        properties = given["properties"] | ({} if name == "roledefinitions" else {"scope": scope})
        entry = {
            "id": path,
            "name": path.rpartition("/")[2],
            "type": f"Microsoft.Authorization/{listing}",
            "properties": properties,
        }
        if name == "roleassignments" and any(_alike(entry, one) for one in tenant.lists[listing]):
            return error(409, "RoleAssignmentExists", "The role assignment already exists.")
        return web.json_response(entry, status=201 if tenant.put(listing, entry) else 200)

    def _schedule(self, path: str, wish: Json) -> web.Response:
        """Do as Privileged Identity Management is asked: make somebody eligible, or no more."""
        scope = path[: path.rindex(RBAC)] or "/"
        if wish["requestType"] == "AdminAssign":
            self.tenant.make_eligible(wish["principalId"], wish["roleDefinitionId"], scope)
        elif wish["requestType"] == "AdminRemove":
            wanted = {"properties": wish | {"scope": scope}}
            listing = self.tenant.lists["roleEligibilityScheduleInstances"]
            listing[:] = [one for one in listing if not _alike(wanted, one)]
        else:
            return error(400, "BadRequest", "The requestType is none of those that are served here.")
        return web.json_response({"id": path, "properties": wish}, status=201)

    async def _resource(self, request: web.Request) -> web.Response:
        found = self.tenant.resources.get(request.path.lower())
        if request.method == "GET" and found is not None:
            return web.json_response(found)
        if request.method == "GET" and _is_list(request.path):
            return self._paged(request, self.tenant.children(request.path), "")
        if request.method == "GET" or (found is None and request.method != "PUT"):
            return error(404, "ResourceNotFound", "The resource was not found.")
        if request.method == "DELETE":
            del self.tenant.resources[request.path.lower()]
            return web.Response(status=204)
        if request.method not in ("PUT", "PATCH"):
            return error(405, "MethodNotAllowed", "That cannot be done here.")
        given = await body_of(request)
        old = found or {"id": request.path, "name": request.path.rpartition("/")[2], "properties": {}}
        made = old | given | {"id": old["id"], "properties": old["properties"] | given.get("properties", {})}
        return web.json_response(self.tenant.add(made))


def error(status: int, code: str, message: str) -> web.Response:
    """Give an error as Azure Resource Manager and Microsoft Graph write it."""
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


async def body_of(request: web.Request) -> Json:
    """Give the JSON object that a request brings; nothing where it brings none."""
    given: Any = json.loads(await request.read() or b"{}")
    return given if isinstance(given, dict) else {}


def shown(entry: Json, name: str, version: str) -> Json:
    """Give an entry as one version of the interface shows it: the older ones leave out what they do not know."""
    if name == "roledefinitions" and "preview" not in version:
        permissions = [
            _without(one, "condition", "conditionVersion") for one in entry["properties"]["permissions"]
        ]
        return entry | {"properties": entry["properties"] | {"permissions": permissions}}
    if name == "denyassignments" and version not in LATEST_DENIES:
        return entry | {"properties": _without(entry["properties"], "denyAssignmentEffect")}
    return entry


def _without(given: Json, *names: str) -> Json:
    return {name: value for name, value in given.items() if name not in names}


def _alike(one: Json, other: Json) -> bool:
    def key(entry: Json) -> list[str]:
        properties = entry["properties"]
        role = properties["roleDefinitionId"].rpartition("/")[2]
        return [text.lower() for text in (properties["principalId"], role, properties["scope"])]

    return key(one) == key(other)


def _is_list(path: str) -> bool:
    """Say whether a path names a type of resources and not one: behind the provider names and types take turns."""
    behind = path.strip("/").rpartition("providers/")[2]
    return behind.count("/") % 2 == 1
