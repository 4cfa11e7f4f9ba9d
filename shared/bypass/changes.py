"""Changes to Azure and its directory, as the `az` commands that make them.

Nothing here makes one: commands are printed for people. Every command that a report can hold is built here, from core
commands of `az` alone; EXAMPLES has one of each kind.
"""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from shared.bypass import shapes
from shared.bypass.spelling import fold

PIM_VERSION: Final = "2020-10-01"
DENY_VERSION: Final = "2024-07-01-preview"

REQUESTS: Final = "/providers/Microsoft.Authorization/roleEligibilityScheduleRequests/"
DENIES: Final = "/providers/Microsoft.Authorization/denyAssignments/"
FEDERATED: Final = (
    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}"
    "/federatedIdentityCredentials/{}"
)
_SPACE: Final = uuid.UUID("6f0d5c1e-6f5b-5c3e-9b1c-3a8f0a4f6d21")
"""Makes the names of what is created the same whenever the same report is made."""

Json = Mapping[str, object]


class DeleteAssignment(msgspec.Struct, frozen=True):
    """Remove a role assignment."""

    id: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return ("role", "assignment", "delete", "--ids", self.id)


class EndEligibility(msgspec.Struct, frozen=True):
    """Remove an eligible assignment of Privileged Identity Management."""

    scope: str
    principal: str
    role: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        scope = self.scope.removesuffix("/")
        name = uuid.uuid5(_SPACE, f"{scope}\n{self.principal}\n{self.role}")
        body = {"principalId": self.principal, "roleDefinitionId": self.role, "requestType": "AdminRemove"}
        return _put(f"{scope}{REQUESTS}{name}", PIM_VERSION, {"properties": body})


class RemoveMember(msgspec.Struct, frozen=True):
    """Take a direct member out of a group."""

    group: str
    member: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return ("ad", "group", "member", "remove", "--group", self.group, "--member-id", self.member)


class RemoveOwner(msgspec.Struct, frozen=True):
    """Take the ownership of a group from somebody."""

    group: str
    owner: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return ("ad", "group", "owner", "remove", "--group", self.group, "--owner-object-id", self.owner)


class SetProperty(msgspec.Struct, frozen=True):
    """Set one property of a resource; `path` begins below `properties`."""

    resource: str
    api_version: str
    path: str
    value: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return (
            *("resource", "update", "--ids", self.resource, "--api-version", self.api_version),
            *("--set", f"properties.{self.path}={self.value}"),
        )


class CreateRole(msgspec.Struct, frozen=True):
    """Make a custom role. `definition` is the JSON text that `az role definition create` takes."""

    definition: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return ("role", "definition", "create", "--role-definition", self.definition)


class Assign(msgspec.Struct, frozen=True):
    """Assign a role, given by its id or, just made, by its name."""

    principal: str
    principal_type: str
    role: str
    scope: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return (
            *("role", "assignment", "create", "--assignee-object-id", self.principal),
            *("--assignee-principal-type", self.principal_type, "--role", self.role, "--scope", self.scope),
        )


class DeleteFederated(msgspec.Struct, frozen=True):
    """Remove a federated credential from a user-assigned identity."""

    id: str

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        _, _, subscription, _, group, *_, identity, _, name = self.id.removesuffix("/").split("/")
        return (
            *("identity", "federated-credential", "delete", "--subscription", subscription),
            *("--resource-group", group, "--identity-name", identity, "--name", name, "--yes"),
        )


class PutDeny(msgspec.Struct, frozen=True):
    """Make a deny assignment. `properties` is the JSON text of its properties."""

    scope: str
    properties: str

    @property
    def id(self) -> str:
        """Return the id that it will have."""
        return f"{self.scope}{DENIES}{uuid.uuid5(_SPACE, self.scope)}"

    def words(self) -> tuple[str, ...]:
        """Return the command's words after `az`."""
        return _put(self.id, DENY_VERSION, {"properties": json.loads(self.properties)})


Change = (
    DeleteAssignment
    | EndEligibility
    | RemoveMember
    | RemoveOwner
    | SetProperty
    | CreateRole
    | Assign
    | DeleteFederated
    | PutDeny
)


def command(change: Change) -> str:
    """Return the command that makes `change`, quoted for a POSIX shell."""
    return shlex.join(("az", *change.words()))


def is_plain(change: Change) -> bool:
    """Say whether each id has the shape of what the command is about, and `az` and a terminal take all as it is written.

    Another id would do something else to something else. What begins with a dash would be another option, with an at
    sign the name of a file to read.
    """
    wanted = _SHAPES[type(change)]
    values = {name: getattr(change, name) for name in change.__struct_fields__}
    return all(
        value.isprintable()
        and not value.startswith(("-", "@"))
        and (name not in wanted or wanted[name].fullmatch(fold(value)) is not None)
        for name, value in values.items()
    )


_SHAPES: Final[Mapping[type[Change], Mapping[str, re.Pattern[str]]]] = {
    DeleteAssignment: {"id": shapes.ASSIGNMENT},
    EndEligibility: {"scope": shapes.SCOPE, "principal": shapes.NAME, "role": shapes.ROLE},
    RemoveMember: {"group": shapes.NAME, "member": shapes.NAME},
    RemoveOwner: {"group": shapes.NAME, "owner": shapes.NAME},
    SetProperty: {"resource": shapes.RESOURCE, "path": shapes.PROPERTY, "value": shapes.NAME},
    CreateRole: {},
    Assign: {"principal": shapes.NAME, "scope": shapes.SCOPE},
    DeleteFederated: {"id": shapes.FEDERATED},
    PutDeny: {"scope": shapes.SCOPE},
}


def _put(path: str, api_version: str, body: Json) -> tuple[str, ...]:
    # Without a host `az rest` takes the one of the cloud that is signed in to.
    url = f"{path}?api-version={api_version}"
    return ("rest", "--method", "put", "--url", url, "--body", text(body))


def text(value: Json) -> str:
    """Return `value` as JSON, the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def named(*parts: str) -> str:
    """Return a GUID that is the same whenever the same is named."""
    return str(uuid.uuid5(_SPACE, "\n".join(parts)))


_GROUP: Final = "/subscriptions/0b0e1a52-5a3f-4b76-9c0e-000000000001/resourceGroups/rg"
_SOMEBODY: Final = "6f1b2c3d-0000-4000-8000-000000000001"
_SOMETHING: Final = "6f1b2c3d-0000-4000-8000-000000000002"
_ROLE: Final = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"

EXAMPLES: Final[tuple[Change, ...]] = (
    DeleteAssignment(f"{_GROUP}/providers/Microsoft.Authorization/roleAssignments/{_SOMETHING}"),
    EndEligibility(_GROUP, _SOMEBODY, _ROLE),
    RemoveMember(_SOMETHING, _SOMEBODY),
    RemoveOwner(_SOMETHING, _SOMEBODY),
    SetProperty(
        f"{_GROUP}/providers/Microsoft.CognitiveServices/accounts/ai",
        "2025-09-01",
        "disableLocalAuth",
        "true",
    ),
    CreateRole(text({"Name": "Groupgate", "Actions": [], "AssignableScopes": [_GROUP]})),
    Assign(_SOMEBODY, "ServicePrincipal", "Groupgate", _GROUP),
    DeleteFederated(FEDERATED.format("0b0e1a52-5a3f-4b76-9c0e-000000000001", "rg", "gate", "ci")),
    PutDeny(_GROUP, text({"denyAssignmentName": "Groupgate"})),
)
"""One change of each kind: what is checked against the real `az` client, besides what a report prints."""
