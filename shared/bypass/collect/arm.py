"""What is asked of Azure Resource Manager at one scope: who holds which role there (protocols 8.2). Reads alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from shared.bypass.collect.answers import Json, Unreadable
from shared.bypass.collect.ids import is_plain
from shared.bypass.collect.ledger import Ledger, prop, reason, text
from shared.bypass.collect.service import Query, Service
from shared.bypass.entries import role_key
from shared.bypass.spelling import fold
from shared.ids import guid

READER: Final = "the role Reader there"
ASSIGNMENTS: Final = "2022-04-01"
SCHEDULES: Final = "2020-10-01"
DEFINITIONS: Final = "2022-05-01-preview"
"""The stable version of the same time leaves out the conditions that stand in a role."""
DENIES: Final = ("2026-09-01", "2024-07-01-preview", "2022-04-01")
"""The newest first. The last one does not tell whether a deny assignment is enforced."""
CLASSIC: Final = "2015-07-01"
DELEGATIONS: Final = "2022-10-01"

_RBAC: Final = "/providers/Microsoft.Authorization"
_AT_SCOPE: Final = "atScope()"
_RETIRED: Final = "InvalidResourceType"
"""What the list of classic administrators answers since Azure retired them in May 2026."""
_UNLICENSED: Final = "AadPremiumLicenseRequired"
_UNREGISTERED: Final = "MissingSubscriptionRegistration"
_TRY_OLDER: Final = frozenset({400, 403, 404})
"""What an unknown version, or a preview that is not switched on, may be refused with."""
_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ASSIGNING: Final = (
    "roleAssignments",
    "roleEligibilityScheduleInstances",
    "roleAssignmentScheduleInstances",
)


class Arm:
    """Puts Azure's answers into a ledger, and what did not come as unread."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        """Take what to read from, and where to write it down."""
        self._service: Final = service
        self._ledger: Final = ledger

    def resource(self, what: str, scope: str, version: str, *, below: str = "") -> Json | None:
        """Return the ARM object `scope`, or the one `below` it; None where it could not be read."""
        with self._ledger.reading(f"{what} ({scope}{below})", READER):
            return self._service.get(scope + below, {"api-version": version})
        return None

    def related(self, what: str, scope: str, version: str, *, below: str = "") -> Json | None:
        """Do as `resource`, and keep the object among the related ones."""
        found = self.resource(what, scope, version, below=below)
        if found is not None:
            self._ledger.add("related", found)
        return found

    def children(self, what: str, scope: str, version: str, *, below: str) -> list[Json]:
        """Keep the ARM objects of the list `below` `scope` among the related ones, and return them."""
        listed = []
        with self._ledger.reading(f"{what} ({scope}{below})", READER):
            for item in self._service.items(scope + below, {"api-version": version}):
                self._ledger.add("related", item)
                listed.append(item)
        return listed

    def listed(self, what: str, path: str, version: str) -> list[Json]:
        """Return the ARM objects of the list at `path`, and keep none of them."""
        found = []
        with self._ledger.reading(what, READER):
            for item in self._service.items(path, {"api-version": version}):
                found.append(item)  # noqa: PERF402 - what came before a fault is kept
        return found

    def access(self, scope: str) -> None:
        """Read who holds what at `scope`, above it and below it: roles, eligible ones, and what is denied.

        Below, for a deployment, a slot or a project is reached by roles that are assigned there alone.
        """
        for name, version in (
            ("roleAssignments", ASSIGNMENTS),
            ("roleEligibilityScheduleInstances", SCHEDULES),
        ):
            self._listed(name, version, scope, "at and above", _AT_SCOPE)
            self._listed(name, version, scope, "at and below", None)
        self._listed("roleAssignmentScheduleInstances", SCHEDULES, scope, "at and above", _AT_SCOPE)
        with self._ledger.reading(f"deny assignments at and above {scope}", READER):
            self._denies(scope)

    def held_by(self, principal: str, scope: str) -> None:
        """Read what `principal`, an object id, holds at, above and below `scope`, through groups too."""
        chosen = f"assignedTo('{principal}')"
        self._listed("roleAssignments", ASSIGNMENTS, scope, f"of the principal {principal} in", chosen)

    def classic_administrators(self, subscription: str) -> None:
        """Read the classic administrators of a subscription, whom newer subscriptions do not know."""
        what = f"classic administrators of {subscription}"
        try:
            for item in self._rbac("classicAdministrators", subscription, {"api-version": CLASSIC}):
                self._ledger.add("classicAdministrators", item)
        except Unreadable as fault:
            if fault.code == _RETIRED:
                self._ledger.note(what, "Azure has retired them")
            else:
                self._ledger.unread(what, reason(fault, READER))

    def delegations(self, scope: str) -> None:
        """Read whether `scope` is delegated to another tenant (Azure Lighthouse), whose people no list of roles names.

        Who they are stands in the other tenant's directory; so a delegation cannot be judged, and counts as unread.
        """
        what = f"Azure Lighthouse at {scope}"
        path = f"{scope}/providers/Microsoft.ManagedServices/registrationAssignments"
        query = {"api-version": DELEGATIONS, "$expandRegistrationDefinition": "true"}
        try:
            for item in self._service.items(path, query):
                self._ledger.add("related", item)
                tenant = prop(item, "registrationDefinition", "properties", "managedByTenantId")
                named = guid(tenant) if isinstance(tenant, str) else None
                whom = "another tenant" if named is None else f"the tenant {named}"
                self._ledger.unread(
                    what, f"it is delegated to {whom}, whose people cannot be listed from here"
                )
        except Unreadable as fault:
            if fault.code != _UNREGISTERED:
                self._ledger.unread(what, reason(fault, READER))

    def definitions(self, scope: str) -> None:
        """Read the definition of every role that was assigned, or that a condition names, at any scope so far.

        They are listed at `scope`; those that are not assignable there are asked for one by one.
        """
        wanted = self._roles()
        named = self._conditions()
        with self._ledger.reading(f"role definitions at {scope}", READER):
            for item in self._rbac("roleDefinitions", scope, {"api-version": DEFINITIONS}):
                key = role_key(str(item.get("id")))
                if key in wanted or key in named:
                    self._ledger.add("roleDefinitions", item)
                    wanted.pop(key, None)
        for written in wanted.values():
            what = f"the role definition {written}"
            if not is_plain(written):
                self._ledger.unread(what, "its id is none")
            elif (found := self.resource(what, written, DEFINITIONS)) is not None:
                self._ledger.add("roleDefinitions", found)

    def _roles(self) -> dict[str, str]:
        """Return the roles that are assigned: the id of each as it is first written, by the key of the role."""
        found: dict[str, str] = {}
        for name in _ASSIGNING:
            for item in self._ledger.items(name):
                written = text(item, "roleDefinitionId")
                if written is not None:
                    found.setdefault(role_key(written), written)
        return found

    def _conditions(self) -> frozenset[str]:
        """Return whatever in conditions looks like a role: who may assign certain roles alone may assign these."""
        texts = (text(item, "condition") for name in _ASSIGNING for item in self._ledger.items(name))
        return frozenset(guid for found in texts if found for guid in _GUID.findall(fold(found)))

    def _listed(self, name: str, version: str, scope: str, where: str, chosen: str | None) -> None:
        query = {"api-version": version} | ({} if chosen is None else {"$filter": chosen})
        what = f"{_WORDS[name]} {where} {scope}"
        try:
            for item in self._rbac(name, scope, query):
                self._ledger.add(name, item)
        except Unreadable as fault:
            if fault.code == _UNLICENSED:
                self._ledger.note(what, "the tenant has no licence for Privileged Identity Management")
            else:
                self._ledger.unread(what, reason(fault, READER))

    def _denies(self, scope: str) -> None:
        *newer, oldest = DENIES
        for version in newer:
            try:
                found = list(self._denied(scope, version))
            except Unreadable as fault:
                if fault.status not in _TRY_OLDER:
                    raise
            else:
                self._keep_denies(found)
                return
        self._keep_denies(self._denied(scope, oldest))

    def _denied(self, scope: str, version: str) -> Iterable[Json]:
        return self._rbac("denyAssignments", scope, {"api-version": version, "$filter": _AT_SCOPE})

    def _keep_denies(self, found: Iterable[Json]) -> None:
        for item in found:
            self._ledger.add("denyAssignments", item)
            if text(item, "denyAssignmentEffect") is None and prop(item, "isSystemProtected") is not True:
                self._ledger.unread(
                    f"whether the deny assignment {item.get('id')} is enforced",
                    "Azure answers with a version of its interface that does not tell",
                )

    def _rbac(self, name: str, scope: str, query: Query) -> Iterable[Json]:
        return self._service.items(f"{scope}{_RBAC}/{name}", query)


_WORDS: Final = {
    "roleAssignments": "role assignments",
    "roleEligibilityScheduleInstances": "eligible role assignments (PIM)",
    "roleAssignmentScheduleInstances": "active role assignments (PIM)",
}
