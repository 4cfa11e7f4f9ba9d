"""Which assignments are kept so that somebody can still assign roles: whoever removes the last one locks everybody out.

One is enough where it is certain that a person has it. Where none is certain, each may be the last.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.bypass.entries import PrincipalType
from shared.bypass.grants import Doubt, Grant, State
from shared.bypass.indirect import ASSIGN_ROLES
from shared.bypass.scopes import ROOT, canonical, is_management_group
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Answer, Asker
from shared.bypass.ways.case import Case

Rank = tuple[bool, tuple[int, int], int, str]
"""The smallest is kept."""
Holding = tuple[str, str, str]
"""Who, by which role and where, folded."""


def last(case: Case, asker: Asker) -> frozenset[str]:
    """Return the ids of the assignments to keep, of those by which roles can be assigned at the target now.

    That is one which known users certainly have. The widest scope is kept, since from there all below can be mended; the
    root scope only for want of another, for a Global Administrator can always take it again. Among equals it is the one
    that the fewest users have. One that somebody is eligible for besides has been activated for some hours: it is kept
    for want of another, and what it comes from with it.

    Without such a one everything is kept that may be one, and one that only applications have. The gate's own rights
    never count, nor what is only eligible.
    """
    answer = asker.ask(ASSIGN_ROLES.action, is_data=False, scope=case.snapshot.scope)
    eligible = {_holding(grant): grant.assignment for grant in _held(answer) if grant.state is State.ELIGIBLE}
    sure: list[tuple[Rank, Grant]] = []
    apps: list[tuple[Rank, Grant]] = []
    doubtful = set()
    for grant in _held(answer):
        users, others, certain = _reached(case, answer, grant)
        rank = _holding(grant) in eligible, _width(grant), users or others, fold(grant.assignment)
        if grant.state is State.ELIGIBLE or not users + others:
            continue
        if users and grant.state is State.ACTIVE:
            sure.append((rank, grant))
        elif certain and grant.state is State.ACTIVE:
            apps.append((rank, grant))
        else:
            doubtful.add(grant.assignment)
    best = [min(found, key=lambda entry: entry[0])[1] for found in (sure or apps,) if found]
    kept = {grant.assignment for grant in best}
    kept.update(eligible[_holding(grant)] for grant in best if _holding(grant) in eligible)
    return frozenset(kept if sure else kept | doubtful)


def can_assign(case: Case, asker: Asker) -> bool:
    """Say whether anybody but the gate can assign roles at the target now, or cannot be told not to."""
    answer = asker.ask(ASSIGN_ROLES.action, is_data=False, scope=case.snapshot.scope)
    return any(
        principal != case.snapshot.gate.principal
        and grant.state is not State.ELIGIBLE
        and Doubt.CLASSIC not in grant.doubts
        for principal, grant in answer.able.items()
    )


def _held(answer: Answer) -> Iterator[Grant]:
    for grants in answer.held.values():
        yield from grants


def _holding(grant: Grant) -> Holding:
    return grant.principal, fold(grant.role), canonical(grant.scope) or ROOT


def _width(grant: Grant) -> tuple[int, int]:
    scope = canonical(grant.scope) or ROOT
    if scope == ROOT:
        return 2, 0
    return (0 if is_management_group(scope) else 1), len(scope)


def _reached(case: Case, answer: Answer, grant: Grant) -> tuple[int, int, bool]:
    """Return how many users certainly are able through `grant`'s holder, how many others may be, and whether these are known.

    The gate is none of them, nor is whom a deny assignment keeps out.
    """
    directory = case.snapshot.directory
    everybody = [grant.principal]
    if directory.is_group(grant.principal):
        everybody = [principal for principal, _ in directory.expand(grant.principal)]
    able = {
        principal: answer.able[principal]
        for principal in everybody
        if principal in answer.able and principal != case.snapshot.gate.principal
    }
    certain = {principal for principal, found in able.items() if found.state is State.ACTIVE}
    users = sum(directory.type_of(principal) is PrincipalType.USER for principal in certain)
    return users, len(able) - users, len(certain) == len(able)
