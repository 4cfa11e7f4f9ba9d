"""What a snapshot does not tell although a verdict rests on it: left out, and so not read.

Nothing is taken for empty because it is missing, and nothing for the gate because somebody said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from shared.bypass.directory import Directory
from shared.bypass.entries import Assignment, DenyAssignment, PrincipalType, RoleDefinition
from shared.bypass.scopes import at_or_above, canonical, odd_below
from shared.bypass.spelling import fold

_EXPECTED: Final = ("denyAssignments", "roleEligibilityScheduleInstances", "directory")
"""Besides these only `gate`, `related` and `unread` may be left out without anybody asking why."""

_SITE: Final = re.compile(r"/subscriptions/.+/providers/microsoft\.web/sites/[^/]+(?:/slots/[^/]+)?")
_NO_APP: Final = frozenset({PrincipalType.USER, PrincipalType.GROUP, PrincipalType.FOREIGN_GROUP})

Related = tuple[str, Mapping[str, object]]
"""An ARM object with its canonical id."""


class Unread(msgspec.Struct, frozen=True):
    """Something that could not be read. With the `id` of a group: not all its members are known."""

    what: str
    why: str
    id: str | None = None


class Gate(msgspec.Struct, frozen=True):
    """The gate that stands before the target: the object id of its identity, and its site. Folded."""

    principal: str | None
    site: str | None


def of_sections(document: Mapping[str, object]) -> Iterator[Unread]:
    """Yield the sections of a snapshot that are not there."""
    for name in _EXPECTED:
        if document.get(name) is None:
            yield Unread(name, "is not in the snapshot")


def of_denies(denies: Iterable[DenyAssignment]) -> Iterator[Unread]:
    """Yield what deny assignments leave untold and would close less, or nothing, if it were told."""
    for deny in denies:
        if deny.enforced and not deny.effect_told:
            yield Unread(f"whether the deny assignment {deny.id} is enforced", "is not in the snapshot")
        if deny.enforced and not deny.exclusions_told:
            yield Unread(f"what the deny assignment {deny.id} leaves out", "is not in the snapshot")


def of_definitions(
    definitions: Iterable[RoleDefinition], assignments: Iterable[Assignment]
) -> Iterator[Unread]:
    """Yield the role definitions in use that may permit more than they tell."""
    used = {assignment.role for assignment in assignments}
    for definition in definitions:
        for name in definition.untold if definition.key in used else ():
            yield Unread(
                f"{name} of the role definition {definition.id}",
                "is not in the snapshot; read role definitions with api-version 2022-05-01-preview",
            )


def of_scopes(assignments: Iterable[Assignment], places: Iterable[str]) -> Iterator[Unread]:
    """Yield the assignments that may stand at or above one of `places`, by a scope that cannot be compared with them."""
    above = {scope for place in places for scope in at_or_above(place)}
    odd: dict[str, bool] = {}
    for assignment in assignments:
        scope = assignment.scope
        if scope not in odd:
            odd[scope] = scope not in above and odd_below(scope) in above
        if odd[scope]:
            yield Unread(
                f"where the role assignment {assignment.id} stands",
                f"{assignment.written_scope} is not written as Azure writes scopes",
            )


def of_gate(
    gate: Gate,
    *,
    related: Sequence[Related],
    directory: Directory,
    assignments: Iterable[Assignment],
) -> Iterator[Unread]:
    """Yield what is not told of the gate, and what contradicts that it is one."""
    if gate.principal is None:
        yield from _site(gate, related)
        return
    said = {assignment.principal_type for assignment in assignments if assignment.principal == gate.principal}
    if kinds := sorted(_NO_APP & {directory.type_of(gate.principal), *said}):
        yield Unread(
            f"what the gate's identity {gate.principal} is",
            f"it is said to be a {kinds[0]}: whoever that stands for would be taken for the gate",
        )
    yield from _site(gate, related)


def _site(gate: Gate, related: Sequence[Related]) -> Iterator[Unread]:
    # A snapshot need not tell of the site: the report then says what was not looked for (report.Gate).
    if gate.site is None:
        return
    found = [item for place, item in related if place == gate.site]
    if not _SITE.fullmatch(gate.site):
        yield Unread(
            f"the gate's site ({gate.site})",
            "is none of App Service: who can take the gate over was not looked for",
        )
    elif gate.principal is not None and gate.principal not in (
        _identities(found, related) or {gate.principal}
    ):
        yield Unread(f"the gate's identity {gate.principal}", f"it is none of those that {gate.site} has")


def _identities(sites: Iterable[Mapping[str, object]], related: Sequence[Related]) -> frozenset[str]:
    """Return the principals of the identities that `sites`, answers about one site, are said to have."""
    found = []
    for site in sites:
        identity = _object(site, "identity")
        assigned = _object(identity, "userAssignedIdentities")
        named = {canonical(written) for written in assigned}
        found += [identity, *(_object(assigned, written) for written in assigned)]
        for place, item in related:
            if place in named:
                found += [item, _object(item, "properties")]
    principals = (item.get("principalId") for item in found)
    return frozenset(fold(principal) for principal in principals if isinstance(principal, str))


def _object(item: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = item.get(name)
    return found if isinstance(found, dict) else {}
