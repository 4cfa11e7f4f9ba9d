"""The fixes of a report in a safe order: what people run, one command after the other. Nothing here runs one.

First the gate gets what it needs, then the resource stops taking keys, then others lose what reaches it; whoever can
assign roles loses that last, so that nobody saws off the branch that they sit on, and networks are closed at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from shared.bypass.cautions import cautions
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
from shared.bypass.finding import Finding, Severity
from shared.bypass.readback import parse
from shared.bypass.scopes import canonical
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways.bundle import SEVERITIES


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
    taken = _taken(snapshot)
    assigns = {text: taken(change) in assigning for text, change in parsed.items()}
    ordered = sorted(parsed, key=lambda text: (_turn(parsed[text], assigns=assigns[text]), text))
    told = cautions(snapshot, (parsed[text] for text in ordered if assigns[text]))
    steps = []
    for text in ordered:
        caution, instead = told(parsed[text])
        steps.append(
            Step(command=text, findings=tuple(sorted(reasons[text])), caution=caution, instead=instead)
        )
    return tuple(steps)


def along(
    snapshot: Snapshot, findings: Iterable[Finding], steps: Sequence[Step]
) -> Mapping[str, tuple[int, ...]]:
    """Return by id those owners of groups among `findings` that no step is for, each with the steps that close it.

    Steps are numbered from one. Together they take away everything by which the groups matter.
    """
    named = {id_ for step in steps for id_ in step.findings}
    taken = _taken(snapshot)
    removed = [(number, taken(parse(step.command))) for number, step in enumerate(steps, 1)]
    found = {}
    for finding in findings:
        if finding.way == "group-owner" and finding.id not in named:
            changes = map(parse, finding.fix)
            given = {
                id_
                for change in changes
                if isinstance(change, RemoveOwner)
                for id_ in _given(snapshot, finding, change)
            }
            if numbers := tuple(number for number, id_ in removed if id_ in given):
                found[finding.id] = numbers
    return found


def _gone(snapshot: Snapshot, findings: Iterable[Finding]) -> set[str]:
    """Return the ids, folded, of the assignments that the fixes of `findings` remove."""
    taken = _taken(snapshot)
    return {taken(parse(text)) for text in {text for finding in findings for text in finding.fix}}


def _taken(snapshot: Snapshot) -> Callable[[Change], str]:
    """Return what tells the id, folded, of the assignment that a change removes; nothing for another change."""
    eligible = {
        (assignment.scope, assignment.principal, fold(assignment.written_role)): assignment.id
        for assignment in snapshot.assignments
        if assignment.eligible
    }

    def taken(change: Change) -> str:
        match change:
            case DeleteAssignment(id=found):
                return fold(found)
            case EndEligibility(scope=scope, principal=principal, role=role):
                return fold(eligible.get((canonical(scope) or "", fold(principal), fold(role)), ""))
            case _:
                return ""

    return taken


def _matters(snapshot: Snapshot, finding: Finding, change: Change, gone: set[str]) -> bool:
    """Say whether the group that `change` takes from an owner still gives something when the assignments `gone` are gone."""
    return not isinstance(change, RemoveOwner) or not _given(snapshot, finding, change) <= gone


def _given(snapshot: Snapshot, finding: Finding, change: RemoveOwner) -> set[str]:
    """Return the ids, folded, of the assignments by which the group that `change` takes from an owner gives something."""
    group = fold(change.group)
    holders = {group, *snapshot.directory.groups_of(group)}
    held = {fold(entry.id) for entry in snapshot.assignments if entry.principal in holders}
    granting = {fold(grant.assignment_id) for grant in finding.grants}
    # A group without any of them is one that a deny assignment excludes: its owner has them otherwise.
    return granting & held or granting


def _turn(change: Change, *, assigns: bool) -> int:
    """Return how late a change comes; `assigns` is whether it takes from somebody what they assign roles by."""
    match change:
        case SetProperty(path="authMode" | "disableLocalAuth"):
            return 2
        case DeleteAssignment() if assigns:
            return 6
        case EndEligibility() if assigns:
            # Who works by what they have activated loses it with this.
            return 7
    return _TURNS[type(change)]


_TURNS: Final[Mapping[type[Change], int]] = {
    CreateRole: 0,
    Assign: 1,
    DeleteFederated: 3,
    RemoveMember: 3,
    RemoveOwner: 3,
    EndEligibility: 4,
    DeleteAssignment: 5,
    SetProperty: 8,
    PutDeny: 9,
}
