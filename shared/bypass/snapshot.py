"""A snapshot: Azure's and the directory's answers as they came, read once, strictly (design 1, "Bypass").

What is wrong in it is a SnapshotFault with its place; keys that are not known are kept in `document`, untouched. What a
snapshot leaves out was not read, and counts as unread: nothing is taken for empty because it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from shared.bypass import entries
from shared.bypass.directory import Directory, directory
from shared.bypass.entries import Assignment, DenyAssignment, RoleDefinition
from shared.bypass.fields import Fields, SnapshotFault, listing, mapping, objects
from shared.bypass.scopes import canonical, subscription
from shared.bypass.spelling import fold

__all__ = ["Gate", "Snapshot", "SnapshotFault", "Unread", "parse", "read"]

_EXPECTED: Final = ("denyAssignments", "roleEligibilityScheduleInstances", "directory")
"""Besides these only `gate`, `related` and `unread` may be left out without anybody asking why."""


class Unread(msgspec.Struct, frozen=True):
    """Something that could not be read. With the `id` of a group: not all its members are known."""

    what: str
    why: str
    id: str | None = None


class Gate(msgspec.Struct, frozen=True):
    """The gate that stands before the target: the object id of its identity, and its site. Folded."""

    principal: str | None
    site: str | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, ready to be judged. Ids and scopes are folded, but for those of entries' `id` and `written_*`."""

    document: Mapping[str, object]
    """All of it as it came. What is saved is this; what is changed is a copy of this, read again."""
    target: Mapping[str, object]
    """The ARM object of the endpoint or account."""
    scope: str
    """The target's id."""
    gate: Gate
    assignments: tuple[Assignment, ...]
    """Active, eligible and classic ones; each once, however often it was listed."""
    definitions: Mapping[str, tuple[RoleDefinition, ...]]
    """By the key of a role. More than one only where two answers about one role differ: then either may hold."""
    denies: tuple[DenyAssignment, ...]
    related: tuple[Mapping[str, object], ...]
    directory: Directory
    unread: tuple[Unread, ...]
    one_subscription: bool
    """Everything named lies in one subscription: a management group that was listed then stands above all of it."""


def parse(data: bytes) -> Snapshot:
    """Return the snapshot that the JSON text `data` writes; raise SnapshotFault.

    A name that comes twice in an object is refused: who saved the snapshot and who judges it could read it differently.
    """
    try:
        value: object = json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise SnapshotFault("snapshot", f"is not JSON: {error}") from error
    return read(value)


def read(value: object) -> Snapshot:
    """Return the snapshot that `value`, a decoded JSON text, is; raise SnapshotFault. `value` is kept, not copied."""
    document = mapping(value, "snapshot")
    target = Fields(document.get("target"), "target")
    related = tuple(_related(document))
    gate = _gate(document)
    scope = entries.scope_of(target, "id")
    if subscription(scope) is None:
        raise target.fault("id", "is not in a subscription")
    unread = (*_missing(document), *_unread(document))
    return Snapshot(
        document=document,
        target=mapping(document["target"], "target"),
        scope=scope,
        gate=gate,
        assignments=tuple(dict.fromkeys(_assignments(document))),
        definitions=_definitions(document),
        denies=tuple(dict.fromkeys(map(entries.deny_assignment, _objects(document, "denyAssignments")))),
        related=related,
        directory=directory(
            document.get("directory"), frozenset(fold(entry.id) for entry in unread if entry.id is not None)
        ),
        unread=unread,
        one_subscription=_one_subscription([scope, gate.site, *map(_id, related)]),
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice in an object")
    return members


def _objects(document: Mapping[str, object], name: str) -> Iterable[Fields]:
    value = document.get(name)
    return () if value is None else objects(value, name)


def _assignments(document: Mapping[str, object]) -> Iterable[Assignment]:
    if document.get("roleAssignments") is None:
        raise SnapshotFault("roleAssignments", "is missing")
    for fields in _objects(document, "roleAssignments"):
        if not entries.is_classic(fields):
            yield entries.assignment(fields, eligible=False)
        elif (found := entries.classic_administrator(fields)) is not None:
            yield found
    for fields in _objects(document, "classicAdministrators"):
        if (found := entries.classic_administrator(fields)) is not None:
            yield found
    for fields in _objects(document, "roleEligibilityScheduleInstances"):
        yield entries.assignment(fields, eligible=True)


def _definitions(document: Mapping[str, object]) -> dict[str, tuple[RoleDefinition, ...]]:
    if document.get("roleDefinitions") is None:
        raise SnapshotFault("roleDefinitions", "is missing")
    found: dict[str, tuple[RoleDefinition, ...]] = {}
    for definition in map(entries.role_definition, _objects(document, "roleDefinitions")):
        others = found.get(definition.key, ())
        if all(definition.permissions != other.permissions for other in others):
            found[definition.key] = (*others, definition)
    return found


def _related(document: Mapping[str, object]) -> Iterable[Mapping[str, object]]:
    value = document.get("related")
    for at, item in enumerate([] if value is None else listing(value, "related")):
        yield mapping(item, f"related[{at}]")


def _gate(document: Mapping[str, object]) -> Gate:
    value = document.get("gate")
    if value is None:
        return Gate(None, None)
    fields = Fields(value, "gate")
    principal = fields.maybe("principalId")
    site = None if fields.maybe("siteId") is None else entries.scope_of(fields, "siteId")
    return Gate(None if principal is None else fold(principal), site)


def _missing(document: Mapping[str, object]) -> Iterable[Unread]:
    for name in _EXPECTED:
        if document.get(name) is None:
            yield Unread(name, "is not in the snapshot")


def _unread(document: Mapping[str, object]) -> Iterable[Unread]:
    value = document.get("unread")
    for at, item in enumerate([] if value is None else listing(value, "unread")):
        if isinstance(item, str):
            yield Unread(item, "no reason is given")
            continue
        fields = Fields(item, f"unread[{at}]")
        yield Unread(fields.text("what"), fields.maybe("why") or "no reason is given", fields.maybe("id"))


def _id(item: Mapping[str, object]) -> str | None:
    value = item.get("id")
    return canonical(value) if isinstance(value, str) else None


def _one_subscription(ids: Iterable[str | None]) -> bool:
    found = {subscription(scope) for scope in ids if scope is not None}
    return len(found - {None}) == 1
