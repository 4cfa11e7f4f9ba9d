"""A tenant: its resources, who holds which role where, and its directory. In memory, as a snapshot has it, and changeable."""

import uuid
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

RBAC = "/providers/Microsoft.Authorization"
LISTS = (
    "roleAssignments",
    "roleDefinitions",
    "denyAssignments",
    "roleEligibilityScheduleInstances",
    "roleAssignmentScheduleInstances",
    "classicAdministrators",
)


class Tenant:
    """What a tenant holds. Its lists have the shape of a snapshot's; ids compare without regard to letter case."""

    def __init__(
        self, document: Json | None = None, *, management_groups: dict[str, list[str]] | None = None
    ) -> None:
        """Take the lists and the `directory` of a snapshot, with `resources`: all ARM objects that can be asked for.

        `management_groups` names those above each subscription, the nearest first.
        """
        given = document or {}
        self.resources: dict[str, Json] = {one["id"].lower(): one for one in given.get("resources", ())}
        self.lists: dict[str, list[Json]] = {name: list(given.get(name, ())) for name in LISTS}
        directory = given.get("directory", {})
        self.principals: dict[str, Json] = dict(directory.get("principals", {}))
        self.members: dict[str, list[str]] = dict(directory.get("groupMembers", {}))
        self.owners: dict[str, list[str]] = dict(directory.get("groupOwners", {}))
        self.management_groups = {
            subscription.lower(): groups for subscription, groups in (management_groups or {}).items()
        }

    def add(self, resource: Json) -> Json:
        """Put an ARM object there, and give it back."""
        self.resources[resource["id"].lower()] = resource
        return resource

    def children(self, listing: str) -> list[Json]:
        """Give the ARM objects of the type that `listing` ends with, in the scope that it begins with."""
        place = listing.lower()
        scope, _, kind = place.rpartition("/providers/")
        if scope.count("/") == 2:  # a subscription: whatever resource group they are in
            of_kind = f"/providers/{kind}"
            return [
                one
                for key, one in self.resources.items()
                if key.startswith(f"{scope}/") and key.rpartition("/")[0].endswith(of_kind)
            ]
        return [one for key, one in self.resources.items() if key.rpartition("/")[0] == place]

    def assign(self, principal: str, role: str, scope: str, **properties: Any) -> Json:
        """Make a role assignment; `role` is the id of a definition."""
        return self._assigned("roleAssignments", principal, role, scope, properties)

    def make_eligible(self, principal: str, role: str, scope: str) -> Json:
        """Let somebody activate a role, by Privileged Identity Management."""
        return self._assigned(
            "roleEligibilityScheduleInstances", principal, role, scope, {"memberType": "Direct"}
        )

    def _assigned(self, listing: str, principal: str, role: str, scope: str, properties: Json) -> Json:
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{listing} {principal} {role} {scope}".lower()))
        kind = self.principals.get(principal, {}).get("type", "user")
        made = {
            "id": f"{'' if scope == '/' else scope}{RBAC}/{listing}/{name}",
            "name": name,
            "type": f"Microsoft.Authorization/{listing}",
            "properties": {
                "roleDefinitionId": role,
                "principalId": principal,
                "principalType": kind[:1].upper() + kind[1:],
                "scope": scope,
                "condition": None,
                "conditionVersion": None,
                "createdOn": "2026-01-15T09:30:00.0000000Z",
            }
            | properties,
        }
        self.lists[listing].append(made)
        return made

    def find(self, listing: str, identity: str) -> Json | None:
        """Find an entry of a list by its id."""
        wanted = identity.lower()
        return next((one for one in self.lists[listing] if one["id"].lower() == wanted), None)

    def put(self, listing: str, entry: Json) -> bool:
        """Add an entry to a list, or put it in the place of the one with its id; say whether it is new."""
        old = self.find(listing, entry["id"])
        if old is not None:
            self.lists[listing].remove(old)
        self.lists[listing].append(entry)
        return old is None

    def remove(self, listing: str, identity: str) -> Json | None:
        """Take an entry out of a list, and give it."""
        found = self.find(listing, identity)
        if found is not None:
            self.lists[listing].remove(found)
        return found

    def role(self, identity: str) -> Json | None:
        """Find a role definition by the last part of its id: a role is one in the tenant, at whatever scope it is asked for."""
        wanted = identity.lower().rpartition("/")[2]
        found = self.lists["roleDefinitions"]
        return next((one for one in found if one["id"].lower().rpartition("/")[2] == wanted), None)

    def above(self, scope: str) -> list[str]:
        """Give `scope` and what lies above it, in lower case: resources, group, subscription, management groups, root."""
        found, rest = [], scope.lower().rstrip("/")
        while rest:
            found.append(rest)
            rest = rest.rpartition("/")[0]
        groups = next((self.management_groups[one] for one in found if one in self.management_groups), [])
        return [*found, *(group.lower() for group in groups), "/"]

    def at(self, listing: str, scope: str) -> list[Json]:
        """Give the entries of a list that apply at `scope`: those there and above."""
        above = set(self.above(scope))
        return [one for one in self.lists[listing] if scope_of(one) in above]

    def around(self, listing: str, scope: str) -> list[Json]:
        """Give the entries at, above and below `scope`."""
        above, below = set(self.above(scope)), f"{scope.lower().rstrip('/')}/"
        return [
            one for one in self.lists[listing] if scope_of(one) in above or scope_of(one).startswith(below)
        ]

    def groups_of(self, principal: str) -> set[str]:
        """Give the groups that hold `principal`, through other groups too."""
        found: set[str] = set()
        waiting = [principal]
        while waiting:
            inner = waiting.pop()
            more = {group for group, members in self.members.items() if inner in members} - found
            found |= more
            waiting += more
        return found

    def held_by(self, principal: str, scope: str) -> Iterator[Json]:
        """Give the role assignments of `principal` and of its groups at, above and below `scope`."""
        holders = {principal.lower(), *self.groups_of(principal)}
        for one in self.around("roleAssignments", scope):
            if one["properties"]["principalId"].lower() in holders:
                yield one


def scope_of(entry: Json) -> str:
    """Give the scope of an assignment, in lower case and without a slash at the end; the root is `/`."""
    scope = str(entry["properties"]["scope"]).lower()
    return scope.rstrip("/") or "/"
