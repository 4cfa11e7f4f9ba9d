"""What would remain: the commands of a report, applied to its snapshot instead of to Azure."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, assert_never

from shared.bypass import changes, leastrole
from shared.bypass.changes import (
    Assign,
    Change,
    CreateRole,
    DeleteAssignment,
    DeleteFederated,
    EndEligibility,
    PutDeny,
    RemoveMember,
    RemoveOwner,
    SetProperty,
)
from shared.bypass.entries import role_key
from shared.bypass.fields import Fields
from shared.bypass.readback import parse
from shared.bypass.scopes import canonical
from shared.bypass.snapshot import Snapshot, read
from shared.bypass.spelling import fold

Document = dict[str, object]
Entry = tuple[str, str]
"""The folded ids of a group and of somebody in it."""
Eligible = tuple[str | None, str, str]
"""Where, who and which role: what an eligible assignment is ended by."""

_AUTHORIZATION: Final = "providers/Microsoft.Authorization"
_ELIGIBLE: Final = "roleEligibilityScheduleInstances"


class NoSuchThing(ValueError):
    """A command changes what is not in the snapshot: it was printed for another one."""


class _Removed:
    """What is taken away: all at once in the end, for a report may name thousands."""

    def __init__(self) -> None:
        self.objects: Final[dict[str, set[str]]] = {"roleAssignments": set(), "related": set()}
        self.eligible: Final[set[Eligible]] = set()
        self.entries: Final[dict[str, set[Entry]]] = {"groupMembers": set(), "groupOwners": set()}


def apply(snapshot: Snapshot, commands: Iterable[str]) -> Snapshot:
    """Return the snapshot that `commands`, as a report prints them, would leave; `snapshot` stays as it is.

    Raise NotACommand for text that no report prints, NoSuchThing for what is not in the snapshot.
    """
    document = dict(snapshot.document)
    removed = _Removed()
    for text in commands:
        _apply(document, parse(text), removed)
    for name, ids in removed.objects.items():
        _drop(document, name, ids, _object_id)
    _drop(document, _ELIGIBLE, removed.eligible, _eligible)
    for name, entries in removed.entries.items():
        _leave(document, name, entries)
    return read(document)


def _apply(document: Document, change: Change, removed: _Removed) -> None:
    match change:
        case DeleteAssignment():
            removed.objects["roleAssignments"].add(_key(change.id))
        case DeleteFederated():
            removed.objects["related"].add(_key(change.id))
        case EndEligibility():
            removed.eligible.add((canonical(change.scope), fold(change.principal), role_key(change.role)))
        case RemoveMember():
            removed.entries["groupMembers"].add((fold(change.group), fold(change.member)))
        case RemoveOwner():
            removed.entries["groupOwners"].add((fold(change.group), fold(change.owner)))
        case SetProperty():
            _set(document, change)
        case CreateRole():
            _define(document, change)
        case Assign():
            _assign(document, change)
        case PutDeny():
            properties = {**json.loads(change.properties), "scope": change.scope}
            _add(document, "denyAssignments", {"id": change.id, "properties": properties})
        case _:
            assert_never(change)


def _drop[Key: Hashable](
    document: Document, name: str, wanted: set[Key], key: Callable[[Document], Key]
) -> None:
    if wanted:
        keyed = [(key(item), item) for item in _items(document, name)]
        missing = wanted - {found for found, _ in keyed}
        if missing:
            raise NoSuchThing(f"{name}: {min(map(str, missing))}")
        document[name] = [item for found, item in keyed if found not in wanted]


def _object_id(item: Document) -> str:
    return _key(str(item.get("id")))


def _key(written: str) -> str:
    """Return what an id is compared by; one that is no path is like itself alone."""
    return canonical(written) or fold(written)


def _eligible(item: Document) -> Eligible:
    fields = Fields(item, _ELIGIBLE)
    return (
        canonical(fields.text("scope")),
        fold(fields.text("principalId")),
        role_key(fields.text("roleDefinitionId")),
    )


def _leave(document: Document, name: str, entries: set[Entry]) -> None:
    if entries:
        directory = _mapping(document.get("directory"))
        lists = _mapping(directory.get(name))
        left = set(entries)
        for group, listed in lists.items():
            kept = []
            for person in listed if isinstance(listed, list) else ():
                entry = (fold(group), fold(str(person)))
                if entry in entries:
                    left.discard(entry)
                else:
                    kept.append(person)
            lists[group] = kept
        if left:
            raise NoSuchThing(f"{name}: {min(left)}")
        document["directory"] = {**directory, name: lists}


def _set(document: Document, change: SetProperty) -> None:
    wanted = canonical(change.resource)
    target = _mapping(document.get("target"))
    if canonical(str(target.get("id"))) == wanted:
        document["target"] = _with(target, change)
        return
    related = _items(document, "related")
    at = next((at for at, item in enumerate(related) if canonical(str(item.get("id"))) == wanted), None)
    if at is None:
        # A workspace need not have been read for its network to be told.
        related.append(_with({"id": change.resource}, change))
    else:
        related[at] = _with(related[at], change)
    document["related"] = related


def _with(item: Document, change: SetProperty) -> Document:
    """Return `item` with the property set in its `properties`, which are looked at before what `az` puts beside them."""
    value = {"true": True, "false": False}.get(change.value, change.value)
    return {**item, "properties": _put(_mapping(item.get("properties")), change.path.split("."), value)}


def _put(inner: Document, path: list[str], value: object) -> Document:
    name, *rest = path
    return {**inner, name: _put(_mapping(inner.get(name)), rest, value) if rest else value}


def _define(document: Document, change: CreateRole) -> None:
    name = str(json.loads(change.definition)["Name"])
    permission = {
        f"{key[0].lower()}{key[1:]}": listed for key, listed in leastrole.permission(change).items()
    }
    _role(document, changes.named("role", name), name, "CustomRole", permission)


def _role(document: Document, guid: str, name: str, kind: str, permission: Mapping[str, object]) -> None:
    properties = {"roleName": name, "type": kind, "permissions": [dict(permission)]}
    _add(
        document,
        "roleDefinitions",
        {"id": f"/{_AUTHORIZATION}/roleDefinitions/{guid}", "properties": properties},
    )


def _assign(document: Document, change: Assign) -> None:
    listed = [
        Fields(item, f"roleDefinitions[{at}]") for at, item in enumerate(_items(document, "roleDefinitions"))
    ]
    roles = {fields.maybe("roleName"): role_key(fields.text("id")) for fields in listed}
    role = roles.get(change.role, fold(change.role))
    if role not in roles.values():
        if role != leastrole.OPENAI_USER:
            raise NoSuchThing(f"roleDefinitions: {change.role}")
        _role(
            document, role, "Cognitive Services OpenAI User", "BuiltInRole", leastrole.OPENAI_USER_PERMISSIONS
        )
    scope = change.scope.removesuffix("/")
    name = changes.named("assignment", change.principal, role, scope)
    properties = {
        "principalId": change.principal,
        "principalType": change.principal_type,
        "roleDefinitionId": f"/{_AUTHORIZATION}/roleDefinitions/{role}",
        "scope": change.scope,
    }
    _add(
        document,
        "roleAssignments",
        {"id": f"{scope}/{_AUTHORIZATION}/roleAssignments/{name}", "properties": properties},
    )


def _add(document: Document, name: str, item: Document) -> None:
    document[name] = [*_items(document, name), item]


def _items(document: Document, name: str) -> list[Document]:
    listed = document.get(name)
    return [_mapping(item) for item in listed] if isinstance(listed, list) else []


def _mapping(value: object) -> Document:
    """Return a copy of the JSON object `value`; of nothing an empty one. What is read again is checked again."""
    return dict(value) if isinstance(value, dict) else {}
