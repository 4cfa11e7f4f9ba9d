"""A snapshot: Azure's and the directory's answers as they came, read once, strictly (design 1, "Bypass").

What is wrong in it is a SnapshotFault with its place; keys that are not known are kept in `document`, untouched. What a
snapshot leaves out was not read, and counts as unread: nothing is taken for empty because it is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from shared.bypass import entries, gaps
from shared.bypass.directory import Directory, directory
from shared.bypass.entries import Assignment, DenyAssignment, RoleDefinition
from shared.bypass.fields import Fields, SnapshotFault, listing, mapping, objects
from shared.bypass.gaps import Gate, Unread
from shared.bypass.scopes import subscription
from shared.bypass.spelling import fold

__all__ = ["Gate", "Snapshot", "SnapshotFault", "Unread", "parse", "read"]

_UNDERSCORED: Final = re.compile(r"(?<=[a-z])_([a-z])")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, ready to be judged. Ids and scopes are folded, but for those of entries' `id` and `written_*`."""

    document: Mapping[str, object]
    """All of it as it came, but for a target that `az ml` wrote. What is changed is a copy of this, read again."""
    target: Mapping[str, object]
    """The ARM object of the endpoint or account."""
    scope: str
    """The target's id."""
    collected: datetime | None
    """When it was read, by its own word (`collectedAt`), in UTC; None where it does not say."""
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
    document = _az_ml(mapping(value, "snapshot"))
    target = Fields(document.get("target"), "target")
    related = list(_related(document))
    gate = _gate(document)
    scope = entries.scope_of(target, "id")
    if subscription(scope) is None:
        raise target.fault("id", "is not in a subscription")
    told = tuple(_unread(document))
    partial = frozenset(fold(entry.id) for entry in told if entry.id is not None)
    known = directory(document.get("directory"), partial)
    assignments = tuple(dict.fromkeys(_assignments(document)))
    definitions = _definitions(document)
    denies = tuple(dict.fromkeys(map(entries.deny_assignment, _objects(document, "denyAssignments"))))
    places = [scope, *filter(None, [gate.site]), *(place for place, _ in related)]
    untold = (
        *gaps.of_sections(document),
        *gaps.of_definitions((one for alike in definitions.values() for one in alike), assignments),
        *gaps.of_denies(denies),
        *gaps.of_scopes(assignments, places),
        *gaps.of_gate(gate, related=related, directory=known, assignments=assignments),
    )
    return Snapshot(
        document=document,
        target=mapping(document["target"], "target"),
        scope=scope,
        collected=_collected(document),
        gate=gate,
        assignments=assignments,
        definitions=definitions,
        denies=denies,
        related=tuple(item for _, item in related),
        directory=known,
        unread=(*_unsaid(untold, told), *told),
        one_subscription=len({subscription(place) for place in places} - {None}) == 1,
    )


def _az_ml(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return the snapshot with a target that `az ml` wrote as Azure Resource Manager writes it.

    `az ml` puts beside each other, in words with underscores, what Azure puts into `properties`; what it calls so is
    whatever somebody wrote there, `authMode` for instance.
    """
    target = document.get("target")
    if not isinstance(target, dict) or not any(map(_UNDERSCORED.search, target)):
        return document
    found: dict[str, object] = {}
    properties: dict[str, object] = {}
    for name, value in target.items():
        if _UNDERSCORED.search(name):
            properties[_UNDERSCORED.sub(lambda letter: letter[1].upper(), name)] = value
        elif name != "properties":
            found[name] = value
    return {**document, "target": {**found, "properties": properties}}


def _unsaid(untold: Iterable[Unread], told: Iterable[Unread]) -> Iterator[Unread]:
    """Yield what is `untold` and not said by the snapshot itself, which knows better why."""
    said = {fold(entry.what) for entry in told}
    return (entry for entry in untold if fold(entry.what) not in said)


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


def _related(document: Mapping[str, object]) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Yield the related objects with their ids: of one without nothing could be told."""
    value = document.get("related")
    for at, item in enumerate([] if value is None else listing(value, "related")):
        yield entries.scope_of(Fields(item, f"related[{at}]"), "id"), mapping(item, f"related[{at}]")


def _collected(document: Mapping[str, object]) -> datetime | None:
    written = Fields(document, "snapshot").maybe("collectedAt")
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            raise ValueError("no zone is told")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SnapshotFault("collectedAt", "is not a time with its zone") from error


def _gate(document: Mapping[str, object]) -> Gate:
    value = document.get("gate")
    if value is None:
        return Gate(None, None)
    fields = Fields(value, "gate")
    principal = None if fields.maybe("principalId") is None else fields.text("principalId")
    site = None if fields.maybe("siteId") is None else entries.scope_of(fields, "siteId")
    return Gate(None if principal is None else fold(principal), site)


def _unread(document: Mapping[str, object]) -> Iterable[Unread]:
    value = document.get("unread")
    for at, item in enumerate([] if value is None else listing(value, "unread")):
        if isinstance(item, str):
            yield Unread(item, "no reason is given")
            continue
        fields = Fields(item, f"unread[{at}]")
        yield Unread(fields.text("what"), fields.maybe("why") or "no reason is given", fields.maybe("id"))
