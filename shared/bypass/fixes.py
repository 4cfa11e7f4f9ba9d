"""The fixes of a report in a safe order: what people run, one command after the other. Nothing here runs one.

First the gate gets what it needs, then the resource stops taking keys, then others lose what reaches it; whoever can
assign roles loses that last, so that nobody saws off the branch that they sit on, and networks are closed at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from shared.bypass import changes
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
from shared.bypass.entries import Assignment
from shared.bypass.finding import Finding, Severity
from shared.bypass.readback import parse
from shared.bypass.scopes import at_or_above
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways.bundle import SEVERITIES

_NARROWER: Final = "NARROWER-SCOPE"
_MEMBER: Final = "OBJECT-ID-OF-THE-MEMBER"
_TYPES: Final = {"user": "User", "group": "Group", "servicePrincipal": "ServicePrincipal"}


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One command."""

    command: str
    findings: tuple[str, ...]
    """Ids of those that it is for."""
    caution: str | None = None
    """What it does besides, which somebody should know before."""
    instead: tuple[str, ...] = ()
    """Smaller commands for who knows more than a snapshot does; words in capitals are to be replaced."""


def plan(
    snapshot: Snapshot, findings: Iterable[Finding], *, at_least: Severity = "medium"
) -> tuple[Step, ...]:
    """Return what fixes those of `findings` that are at least so severe, in a safe order, each command once.

    An owner of a group stays where everything goes by which the group matters.
    """
    chosen = SEVERITIES[: SEVERITIES.index(at_least) + 1]
    wanted = [finding for finding in findings if finding.severity in chosen]
    gone = _gone(snapshot, (finding for finding in wanted if finding.way != "group-owner"))
    reasons: dict[str, list[str]] = {}
    for finding in wanted:
        for text in finding.fix:
            if finding.way != "group-owner" or _matters(snapshot, finding, parse(text), gone):
                reasons.setdefault(text, []).append(finding.id)
    assigning = {
        fold(grant.assignment_id) for finding in wanted if finding.way == "grant" for grant in finding.grants
    }
    parsed = {text: parse(text) for text in reasons}
    ordered = sorted(parsed, key=lambda text: (_turn(parsed[text], assigning), text))
    about = _about(snapshot)
    return tuple(
        Step(
            command=text,
            findings=tuple(sorted(reasons[text])),
            caution=about(parsed[text])[0],
            instead=about(parsed[text])[1],
        )
        for text in ordered
    )


def _gone(snapshot: Snapshot, findings: Iterable[Finding]) -> set[str]:
    """Return the ids, folded, of the assignments that the fixes of `findings` remove."""
    eligible = {
        (fold(assignment.written_scope), assignment.principal, fold(assignment.written_role)): assignment.id
        for assignment in snapshot.assignments
        if assignment.eligible
    }
    gone = set()
    for text in {text for finding in findings for text in finding.fix}:
        match parse(text):
            case DeleteAssignment(id=found):
                gone.add(fold(found))
            case EndEligibility(scope=scope, principal=principal, role=role):
                gone.add(fold(eligible.get((fold(scope), fold(principal), fold(role)), "")))
            case _:
                pass
    return gone


def _matters(snapshot: Snapshot, finding: Finding, change: Change, gone: set[str]) -> bool:
    """Say whether the group that `change` takes from an owner still gives something when the assignments `gone` are gone."""
    if not isinstance(change, RemoveOwner):
        return True
    group = fold(change.group)
    holders = {group, *snapshot.directory.groups_of(group)}
    held = {fold(entry.id) for entry in snapshot.assignments if entry.principal in holders}
    granting = {fold(grant.assignment_id) for grant in finding.grants}
    # A group without any of them is one that a deny assignment excludes: its owner has them otherwise.
    return not (granting & held or granting) <= gone


def _turn(change: Change, assigning: set[str]) -> int:
    """Return how late a change comes."""
    match change:
        case SetProperty(path="authMode" | "disableLocalAuth"):
            return 2
        case DeleteAssignment() if fold(change.id) in assigning:
            return 6
    return _TURNS[type(change)]


_TURNS: Final[Mapping[type[Change], int]] = {
    CreateRole: 0,
    Assign: 1,
    DeleteFederated: 3,
    RemoveMember: 3,
    RemoveOwner: 3,
    EndEligibility: 4,
    DeleteAssignment: 5,
    SetProperty: 7,
    PutDeny: 8,
}


def _about(snapshot: Snapshot) -> Callable[[Change], tuple[str | None, tuple[str, ...]]]:
    """Return what tells of a change what it does besides, and what could be done instead."""
    listed = {
        fold(assignment.id): assignment for assignment in snapshot.assignments if not assignment.eligible
    }

    def about(change: Change) -> tuple[str | None, tuple[str, ...]]:
        match change:
            case DeleteAssignment(id=found) if fold(found) in listed:
                return _removed(snapshot, listed[fold(found)])
            case SetProperty(path="authMode" | "disableLocalAuth"):
                return "Clients that use keys are refused from then on.", ()
            case SetProperty(path="publicNetworkAccess"):
                return "Give the gate a private endpoint to it first: the gate comes from outside too.", ()
            case RemoveOwner():
                return "Name another owner first where the group would have none.", ()
            case Assign():
                return "Takes up to ten minutes to count: wait until the gate's calls are answered.", ()
            case _:
                return None, ()

    return about


def _removed(snapshot: Snapshot, assignment: Assignment) -> tuple[str | None, tuple[str, ...]]:
    cautions = []
    instead = []
    inherited = assignment.scope in at_or_above(snapshot.scope)[1:] or assignment.scope.startswith(
        "/providers/microsoft.management/"
    )
    name = snapshot.directory.name_of(assignment.principal) or assignment.principal
    if inherited:
        cautions.append(
            f"Takes from {name} all that the role gives anywhere in {assignment.written_scope}, not here alone."
        )
        kind = _TYPES.get(str(assignment.principal_type))
        if kind is not None:
            role = assignment.written_role.rpartition("/")[2]
            narrower = Assign(assignment.principal, kind, role, _NARROWER)
            instead.append(changes.command(narrower))
    if snapshot.directory.is_group(assignment.principal):
        cautions.append("Every member of the group loses it.")
        instead.append(changes.command(RemoveMember(assignment.principal, _MEMBER)))
    return " ".join(cautions) or None, tuple(instead)
