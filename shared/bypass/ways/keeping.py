"""Which assignment is kept so that somebody can still assign roles: whoever removes the last one locks everybody out."""

from __future__ import annotations

from typing import Final

from shared.bypass.entries import PrincipalType
from shared.bypass.grants import Grant, State
from shared.bypass.indirect import ASSIGN_ROLES
from shared.bypass.scopes import ROOT, canonical, is_management_group
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.case import Case

_KNOWN: Final = frozenset({PrincipalType.USER, PrincipalType.SERVICE_PRINCIPAL})


def last(case: Case, asker: Asker) -> frozenset[str]:
    """Return the id of one assignment by which known people can certainly assign roles at the target; none if none does.

    The widest scope is kept, since from there all below can be mended; the root scope only for want of another, for a
    Global Administrator can always take it again. Among equals it is the one that the fewest people have.
    """
    answer = asker.ask(ASSIGN_ROLES.action, is_data=False, scope=case.snapshot.scope)
    ranked = [
        (_width(grant), reached, fold(grant.assignment), grant.assignment)
        for holder, grants in answer.held.items()
        if (reached := _people(case, holder))
        for grant in grants
        if grant.state is State.ACTIVE and not grant.doubts
    ]
    return frozenset(min(ranked)[3:]) if ranked else frozenset()


def _width(grant: Grant) -> tuple[int, int]:
    scope = canonical(grant.scope) or ROOT
    if scope == ROOT:
        return 2, 0
    return (0 if is_management_group(scope) else 1), len(scope)


def _people(case: Case, holder: str) -> int:
    """Return how many known people, the gate aside, have what `holder` has."""
    directory = case.snapshot.directory
    everybody = [holder]
    if directory.is_group(holder):
        everybody = [principal for principal, _ in directory.expand(holder)]
    return sum(
        person != case.snapshot.gate.principal and directory.type_of(person) in _KNOWN for person in everybody
    )
