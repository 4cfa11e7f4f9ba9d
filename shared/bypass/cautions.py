"""What somebody should know before they run a command, and the smaller command that may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from shared.bypass.changes import (
    Assign,
    Change,
    DeleteAssignment,
    EndEligibility,
    RemoveMember,
    RemoveOwner,
    SetProperty,
    command,
    is_plain,
)
from shared.bypass.entries import Assignment, PrincipalType
from shared.bypass.scopes import ROOT, at_or_above
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways import keeping
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.case import case

Caution = tuple[str | None, tuple[str, ...]]
"""What to know, and what could be done instead."""

_NARROWER: Final = "NARROWER-SCOPE"
_MEMBER: Final = "OBJECT-ID-OF-THE-MEMBER"
_TYPES: Final = {"user": "User", "group": "Group", "servicePrincipal": "ServicePrincipal"}
_LAST: Final = (
    "As far as can be told, roles are assigned here by activating such a role, and by nothing else: when the last is ended "
    "only a Global Administrator who elevates access could. See to another first."
)
_GATE: Final = "No gate is named: this may be what the gate calls by. Judge again with its name, or leave out what is the gate's."
_HOST: Final = "It is the gate's own: make sure that its host does not need it, as for storage or secrets."


def cautions(snapshot: Snapshot, assigning: Iterable[Change]) -> Callable[[Change], Caution]:
    """Return what tells of a change; those of `assigning` take from somebody what they assign roles by."""
    listed = {
        fold(assignment.id): assignment for assignment in snapshot.assignments if not assignment.eligible
    }
    ending = {change for change in assigning if isinstance(change, EndEligibility)}
    if ending and keeping.can_assign(case(snapshot), Asker(snapshot)):
        ending = set()

    def told(change: Change) -> Caution:
        match change:
            case DeleteAssignment(id=found) if fold(found) in listed:
                return _removed(snapshot, listed[fold(found)])
            case EndEligibility() if change in ending:
                return _LAST, ()
            case _:
                return _besides(change), ()

    return told


def _besides(change: Change) -> str | None:
    match change:
        case SetProperty(path="authMode" | "disableLocalAuth"):
            return "Clients that use keys are refused from then on."
        case SetProperty(path="publicNetworkAccess"):
            return "Give the gate a private endpoint to it first: the gate comes from outside too."
        case RemoveOwner():
            return "Name another owner first where the group would have none."
        case Assign():
            return "Takes up to ten minutes to count: wait until the gate's calls are answered."
        case _:
            return None


def _removed(snapshot: Snapshot, assignment: Assignment) -> Caution:
    inherited = _is_inherited(snapshot, assignment)
    group = snapshot.directory.is_group(assignment.principal)
    said = " ".join(_said(snapshot, assignment, inherited=inherited, group=group))
    return said or None, tuple(
        command(change) for change in _smaller(assignment, inherited=inherited, group=group)
    )


def _smaller(assignment: Assignment, *, inherited: bool, group: bool) -> Iterator[Change]:
    kind = _TYPES.get(str(assignment.principal_type))
    role = assignment.written_role.rpartition("/")[2]
    if inherited and kind is not None and is_plain(Assign(assignment.principal, kind, role, ROOT)):
        yield Assign(assignment.principal, kind, role, _NARROWER)
    member = RemoveMember(assignment.principal, _MEMBER)
    if group and is_plain(member):
        yield member


def _said(snapshot: Snapshot, assignment: Assignment, *, inherited: bool, group: bool) -> Iterator[str]:
    directory, gate = snapshot.directory, snapshot.gate.principal
    if inherited:
        name = directory.name_of(assignment.principal) or assignment.principal
        yield f"Takes from {name} all that the role gives anywhere in {assignment.written_scope}, not here alone."
    if group:
        yield "Every member of the group loses it."
    if gate is None and directory.type_of(assignment.principal) is not PrincipalType.USER:
        yield _GATE
    if gate == assignment.principal:
        yield _HOST


def _is_inherited(snapshot: Snapshot, assignment: Assignment) -> bool:
    return assignment.scope in at_or_above(snapshot.scope)[1:] or assignment.scope.startswith(
        "/providers/microsoft.management/"
    )
