"""What takes one assignment away, and what must be said where no command does."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from shared.bypass.changes import Change, DeleteAssignment, EndEligibility, command, is_plain
from shared.bypass.grants import Doubt, Grant, State
from shared.bypass.scopes import canonical
from shared.bypass.shapes import assigned_at
from shared.bypass.spelling import fold


class Kept(enum.StrEnum):
    """Why there is no command."""

    LAST = (
        "No command is given for what may be the last assignment by which roles can be assigned here: without it only a "
        "Global Administrator who elevates access could. Accept it for an emergency account, or give that right to one "
        "first."
    )
    CLASSIC = "No command is given for classic administrators: Azure has retired them; the portal removes what is left."
    ODD = (
        "No command is given for an assignment whose id is not that of a role assignment at its scope: `az` would not "
        "take it as it is written, or do something else."
    )
    GATE = (
        "No command is given for what the gate calls the target by, for the gate cannot be given access of its own from "
        "here first: its object id or the target's id is no such id."
    )


class Taken(msgspec.Struct, frozen=True):
    """How an assignment is taken away."""

    command: str | None
    kept: Kept | None
    cuts_gate: bool
    """The gate calls the target by it: it must be given its own access first."""


class Removal:
    """Knows which assignments are better kept for now."""

    def __init__(self, *, last: frozenset[str], needed: frozenset[str], gate_first: tuple[str, ...]) -> None:
        """Take ids of assignments: the `last` by which somebody can assign roles, those `needed` by the gate.

        `gate_first` are the commands that give the gate what it needs in another way.
        """
        self._last: Final = frozenset(map(fold, last))
        self._needed: Final = frozenset(map(fold, needed))
        self.gate_first: Final = gate_first

    def of(self, grant: Grant) -> Taken:
        """Return what takes away the assignment that `grant`, as it is held, is from."""
        if Doubt.CLASSIC in grant.doubts:
            return Taken(None, Kept.CLASSIC, cuts_gate=False)
        if fold(grant.assignment) in self._last:
            return Taken(None, Kept.LAST, cuts_gate=False)
        change = _change(grant)
        if change is None or not is_plain(change):
            return Taken(None, Kept.ODD, cuts_gate=False)
        cuts_gate = fold(grant.assignment) in self._needed
        if cuts_gate and not self.gate_first:
            return Taken(None, Kept.GATE, cuts_gate=False)
        return Taken(command(change), None, cuts_gate=cuts_gate)


def _change(grant: Grant) -> Change | None:
    if grant.state is State.ELIGIBLE:
        return EndEligibility(grant.scope, grant.principal, grant.role)
    # Of another scope it would be another assignment, whatever else is said of it.
    stands = assigned_at(grant.assignment) == canonical(grant.scope)
    return DeleteAssignment(grant.assignment) if stands else None
