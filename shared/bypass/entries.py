"""What a snapshot lists, one entry at a time: role definitions, role assignments and deny assignments."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from shared.bypass.fields import Fields
from shared.bypass.scopes import canonical
from shared.bypass.spelling import fold

EVERYONE: Final = "00000000-0000-0000-0000-000000000000"
"""Of type `SystemDefined`: every principal of the tenant (Azure RBAC, "System-Defined Principal")."""

_CLASSIC: Final = "microsoft.authorization/classicadministrators"
_NOT_A_ROLE: Final = "na(classic"
"""How the role of a classic administrator begins in what `az role assignment list` prints."""


class PrincipalType(enum.StrEnum):
    """What kind of principal an id is said to be."""

    USER = "user"
    GROUP = "group"
    SERVICE_PRINCIPAL = "servicePrincipal"
    FOREIGN_GROUP = "foreignGroup"
    UNKNOWN = "unknown"


_LISTED: Final = ("actions", "dataActions")
_TYPES: Final = {fold(kind): kind for kind in PrincipalType}


class Condition(msgspec.Struct, frozen=True):
    """A condition of attribute-based access control, as it is written."""

    text: str
    version: str | None


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `permissions`; action patterns as Azure spells them."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    condition: Condition | None = None


class RoleDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A role: what its assignments permit. Its name is for people to read; nothing is decided by it."""

    key: str
    """The folded last part of its id: one in the tenant, whatever scope the id is written with."""
    id: str
    name: str | None
    permissions: tuple[Permission, ...]
    untold: tuple[str, ...] = ()
    """Which lists a permission of it lacks: older versions of the API leave data actions out, and that is not nothing."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A role assignment, or an eligible one of Privileged Identity Management. Folded, but for `id` and `written_*`."""

    principal: str
    principal_type: PrincipalType
    scope: str
    role: str | None
    """The key of its role definition; None for a classic administrator, who has every action and no data action."""
    id: str
    written_role: str
    written_scope: str
    condition: Condition | None
    eligible: bool


class Listed(msgspec.Struct, frozen=True, order=True):
    """A principal that a deny assignment names: its folded id, and what it is said to be."""

    id: str
    type: PrincipalType


class DenyAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """A deny assignment. `scope` is folded."""

    id: str
    name: str | None
    scope: str
    permissions: tuple[Permission, ...]
    condition: Condition | None
    everyone: bool
    principals: tuple[Listed, ...]
    excludes_everyone: bool
    excluded: tuple[Listed, ...]
    only_here: bool
    """It does not apply to child scopes."""
    enforced: bool
    """False for effect `audit`, and for an effect that is not known: neither is taken to close anything."""
    system_protected: bool
    """Made by Azure (deployment stacks, managed applications): nobody can remove it directly."""
    effect_told: bool
    """The version of the interface that was asked tells effects, or there is no choice: Azure's own are enforced."""
    exclusions_told: bool
    """Whom and what it leaves out is there, if only as empty lists."""


def role_key(role: str) -> str:
    """Return what tells roles apart: the last part of a role definition's id, folded."""
    return fold(role).rstrip("/").rpartition("/")[2]


def principal_type(text: str | None) -> PrincipalType:
    """Return the type that `text` names, in any case; what is not understood is UNKNOWN."""
    return PrincipalType.UNKNOWN if text is None else _TYPES.get(fold(text), PrincipalType.UNKNOWN)


def scope_of(fields: Fields, name: str = "scope") -> str:
    """Return the canonical scope that `name` holds; raise SnapshotFault when it is none."""
    scope = canonical(fields.text(name))
    if scope is None:
        raise fields.fault(name, "is not a scope; one begins with a slash, as /subscriptions/...")
    return scope


def role_definition(fields: Fields) -> RoleDefinition:
    """Return the role definition that `fields` are; raise SnapshotFault."""
    if fields.get("permissions") is None:
        raise fields.fault("permissions", "is missing")
    found = list(fields.objects("permissions"))
    written = fields.text("id")
    return RoleDefinition(
        key=role_key(written),
        id=written,
        name=fields.maybe("roleName"),
        permissions=tuple(map(_permission, found)),
        untold=tuple(name for name in _LISTED if any(one.get(name) is None for one in found)),
    )


def assignment(fields: Fields, *, eligible: bool) -> Assignment:
    """Return the role assignment that `fields` are, or the eligible one; raise SnapshotFault."""
    written = fields.text("roleDefinitionId")
    return Assignment(
        principal=fold(fields.text("principalId")),
        principal_type=principal_type(fields.maybe("principalType")),
        scope=scope_of(fields),
        role=role_key(written),
        id=fields.text("id"),
        written_role=written,
        written_scope=fields.text("scope"),
        condition=_condition(fields),
        eligible=eligible,
    )


def is_classic(fields: Fields) -> bool:
    """Say whether `fields` are a classic administrator, as Azure lists them or as `az role assignment list` does."""
    return fold(fields.maybe("type") or "") == _CLASSIC or fold(
        fields.maybe("roleDefinitionId") or ""
    ).startswith(_NOT_A_ROLE)


def classic_administrator(fields: Fields) -> Assignment | None:
    """Return the assignment that a classic administrator amounts to, None for one who may manage bills only.

    The service administrator and co-administrators are what Owner is at their subscription. Azure says that they have
    been retired since 2024-08-31; a snapshot cannot prove it. Raise SnapshotFault.
    """
    role = fields.maybe("role") or fields.text("roleDefinitionName")
    if {part.strip() for part in fold(role).split(";")} == {"accountadministrator"}:
        return None
    person = next((name for name in ("principalId", "emailAddress") if fields.maybe(name)), "principalName")
    written = fields.maybe("scope") or _owner_of(fields.text("id"))
    scope = canonical(written)
    if scope is None:
        raise fields.fault("id", "is not the id of a classic administrator")
    return Assignment(
        principal=fold(fields.text(person)),
        principal_type=PrincipalType.USER,
        scope=scope,
        role=None,
        id=fields.text("id"),
        written_role=role,
        written_scope=written,
        condition=None,
        eligible=False,
    )


def _owner_of(written: str) -> str:
    """Return the scope that the id of a classic administrator begins with, nothing when it is none."""
    at = fold(written).find(f"/providers/{_CLASSIC}/")
    return written[: max(at, 0)]


def deny_assignment(fields: Fields) -> DenyAssignment:
    """Return the deny assignment that `fields` are; raise SnapshotFault."""
    everyone, principals = _principals(fields, "principals")
    excludes_everyone, excluded = _principals(fields, "excludePrincipals")
    effect, protected = fields.maybe("denyAssignmentEffect"), fields.flag("isSystemProtected")
    permissions = tuple(fields.objects("permissions"))
    left_out = (
        fields.get("excludePrincipals"),
        *(found.get(name) for found in permissions for name in ("notActions", "notDataActions")),
    )
    return DenyAssignment(
        id=fields.text("id"),
        name=fields.maybe("denyAssignmentName"),
        scope=scope_of(fields),
        permissions=tuple(map(_permission, permissions)),
        condition=_condition(fields),
        everyone=everyone,
        principals=principals,
        excludes_everyone=excludes_everyone,
        excluded=excluded,
        only_here=fields.flag("doNotApplyToChildScopes"),
        enforced=fold(effect or "enforced") == "enforced",
        system_protected=protected,
        effect_told=effect is not None or protected,
        exclusions_told=None not in left_out,
    )


def _permission(fields: Fields) -> Permission:
    return Permission(
        actions=fields.texts("actions"),
        not_actions=fields.texts("notActions"),
        data_actions=fields.texts("dataActions"),
        not_data_actions=fields.texts("notDataActions"),
        condition=_condition(fields),
    )


def _condition(fields: Fields) -> Condition | None:
    text = fields.maybe("condition")
    return None if text is None else Condition(text, fields.maybe("conditionVersion"))


def _principals(fields: Fields, name: str) -> tuple[bool, tuple[Listed, ...]]:
    """Return whether the list names everyone, and whom else it names."""
    everyone = False
    found = []
    for entry in fields.objects(name):
        principal, kind = fold(entry.text("id")), entry.maybe("type")
        if principal == EVERYONE and fold(kind or "") == "systemdefined":
            everyone = True
        else:
            found.append(Listed(principal, principal_type(kind)))
    return everyone, tuple(sorted(set(found)))
