"""The gate's own identity: what it calls the target by, and what it has beyond that (`gate-excess`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from shared.bypass import leastrole
from shared.bypass.actions import Reach
from shared.bypass.changes import Change, RemoveMember, command, is_plain
from shared.bypass.conditions import Truth
from shared.bypass.directory import Chain
from shared.bypass.entries import Permission
from shared.bypass.finding import Finding, Way
from shared.bypass.grants import Grant, State, granted
from shared.bypass.patterns import Pattern
from shared.bypass.permissions import Match, Question
from shared.bypass.scopes import at_or_above, canonical, is_management_group
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Answer
from shared.bypass.ways.bundle import Bundle, Ledger, Step, graded
from shared.bypass.ways.case import Case
from shared.bypass.ways.merging import STATES, identity
from shared.bypass.ways.people import People

_WAY: Final[Way] = "gate-excess"
_NOBODY: Final[frozenset[str]] = frozenset()


class Own(msgspec.Struct, frozen=True):
    """What the gate's identity has."""

    chains: Mapping[str, Chain]
    """Itself and the groups it is in, each with the groups in between."""
    excess: tuple[Step, ...] = ()
    """More than it needs."""
    needed: frozenset[str] = _NOBODY
    """Ids of the assignments without which it could no longer call the target in some way that it can now."""
    first: tuple[Change, ...] = ()
    """What gives it these ways in its own right; nothing where none is lost, or where no command can say it."""


def own(case: Case, steps: Mapping[Way, Sequence[Step]]) -> Own:
    """Return what the gate has of what was found, and by the roles that it holds at the target or above."""
    gate = case.snapshot.gate.principal
    if gate is None:
        return Own({})
    chains: dict[str, Chain] = {gate: (), **case.snapshot.directory.groups_of(gate)}
    calls = [step for step in steps.get("invoke", ()) if gate in step.answer.able]
    excess = (
        *_ways(case, gate, steps),
        *_patterns(case, chains),
        *_wide(case, [grant for step in calls for grant in _held(step, chains)]),
    )
    spare = {fold(grant.assignment) for step in excess for grant in _held(step, chains)} | _shared(case, gate)
    lost = [step for step in calls if not _stays(step, gate, spare)]
    if len(lost) < len(calls):
        lost = [step for step in lost if leastrole.is_given(case.kind, step.reach.action)]
    if not lost:
        return Own(chains, excess)
    return Own(
        chains,
        excess,
        frozenset(grant.assignment for step in lost for grant in _held(step, chains)),
        leastrole.first(case.kind, case.target, gate, [step.reach.action for step in lost]),
    )


def _shared(case: Case, gate: str) -> set[str]:
    """Return the ids, folded, by which others have something: who takes it from them takes it from the gate."""
    return {fold(assignment.id) for assignment in case.snapshot.assignments if assignment.principal != gate}


def _stays(step: Step, gate: str, spare: Collection[str]) -> bool:
    """Say whether the gate goes on doing what `step` asks for, by an assignment of its own, when all that is `spare` is gone."""
    return any(
        grant.state is State.ACTIVE and fold(grant.assignment) not in spare
        for grant in step.answer.held.get(gate, ())
    )


def finding(case: Case, found: Own, people: People, ledger: Ledger) -> Finding | None:
    """Return the finding of what the gate has beyond its need, None where there is nothing."""
    gate = case.snapshot.gate.principal
    if gate is None or not found.excess:
        return None
    bundle = Bundle(found.excess, ledger)
    reached = frozenset(found.chains) & bundle.holders
    nearest = bundle.nearest(reached)
    part = bundle.part(reached)
    leave = [RemoveMember(group, gate) for group in _memberships(case, found.chains, reached)]
    if found.needed and not ledger.removal.gate_first:
        leave = []
    fix = dict.fromkeys(
        (
            *(ledger.removal.gate_first if found.needed else ()),
            *(command(change) for change in leave if is_plain(change)),
            *bundle.part(reached & {gate}).fix,
        )
    )
    state = STATES[nearest.state]
    return Finding(
        id=identity(_WAY, gate, case.snapshot.scope),
        severity=graded(bundle.severity, state),
        way=_WAY,
        principal=people.principal(gate),
        via=found.chains[nearest.principal][::-1],
        grants=part.grants,
        state=state,
        detail=bundle.sentence(nearest.doubts, part.kept),
        fix=tuple(fix),
    )


def _memberships(case: Case, chains: Mapping[str, Chain], reached: frozenset[str]) -> list[str]:
    """Return the groups that have the gate as a direct member and lead to any of `reached`: one alone may not be enough."""
    direct = (group for group, chain in chains.items() if chain == (group,))
    groups_of = case.snapshot.directory.groups_of
    return sorted(group for group in direct if not reached.isdisjoint({group, *groups_of(group)}))


def _held(step: Step, chains: Mapping[str, Chain]) -> Iterator[Grant]:
    for holder in sorted(chains.keys() & step.answer.held.keys()):
        yield from step.answer.held[holder]


def _ways(case: Case, gate: str, steps: Mapping[Way, Sequence[Step]]) -> Iterator[Step]:
    """Yield the ways that stand open to the gate, which needs none but to call."""
    for way, found in steps.items():
        for step in found:
            reach = step.reach
            if (
                way != "invoke"
                and gate in step.answer.able
                and not leastrole.is_needed(case.kind, reach.action)
                and not leastrole.is_for_host(reach)
            ):
                yield Step(msgspec.structs.replace(reach, way=_WAY), step.answer)


def _patterns(case: Case, chains: Mapping[str, Chain]) -> Iterator[Step]:
    """Yield what else the gate's roles permit at the target, but for reads."""
    above = frozenset(at_or_above(case.snapshot.scope))
    found = {
        (pattern, assignment.id): assignment
        for assignment in case.snapshot.assignments
        if assignment.scope in above or is_management_group(assignment.scope)
        if assignment.principal in chains and assignment.role is not None
        for definition in case.snapshot.definitions.get(assignment.role, ())
        for permission in definition.permissions
        for pattern in _permitted(permission)
        if not fold(pattern).endswith("/read") and not leastrole.is_needed(case.kind, pattern)
    }
    for (pattern, _), assignment in sorted(found.items(), key=lambda item: item[0]):
        grant = granted(assignment, Match(pattern, Truth.TRUE), Truth.TRUE)
        yield _low(case, grant, pattern, f"do {pattern}")


def _permitted(permission: Permission) -> Iterator[str]:
    """Yield the patterns that the permission does not take back whole."""
    for given, taken in (
        (permission.actions, permission.not_actions),
        (permission.data_actions, permission.not_data_actions),
    ):
        excluded = tuple(map(Pattern, taken))
        for pattern in given:
            if not any(exclusion.matches(fold(pattern)) for exclusion in excluded):
                yield pattern


def _wide(case: Case, invoke: Sequence[Grant]) -> Iterator[Step]:
    """Yield assignments by which the gate reaches more than its target and the workspace around it."""
    inside = {case.snapshot.scope, case.parent}
    for grant in invoke:
        scope = canonical(grant.scope)
        if scope not in inside and not (scope or "").startswith(f"{case.snapshot.scope}/"):
            yield _low(
                case, grant, grant.pattern or "*", f"reach others of its kind, anywhere in {grant.scope}"
            )


def _low(case: Case, grant: Grant, action: str, says: str) -> Step:
    question = Question(action=fold(action), is_data=False, scope=case.snapshot.scope)
    return Step(
        Reach(way=_WAY, action=action, says=says, mark="D", severity="low"),
        Answer(question, {grant.principal: (grant,)}, {}, ()),
    )
