"""Who may do what: Azure RBAC, evaluated over a snapshot (protocols 8.1; Azure RBAC overview).

Deny assignments first; then the union over all role assignments at or above the scope, of the principal and of its groups,
transitively; each permission's actions without its own exclusions. What cannot be told counts as able: such a grant names
its doubts, and its state is `conditional`. Nothing here is decided by a role's name.

Scopes. An assignment at a subscription, a resource group or a resource applies there and below. One at a management group
applies to every subscription asked about: the hierarchy is not in a snapshot, which lists what stands at or above its
target. One at another subscription never applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

import msgspec

from shared.bypass.conditions import NO_ATTRIBUTES, Attributes, Truth, holds
from shared.bypass.denies import Barrier, Denies
from shared.bypass.directory import Chain
from shared.bypass.entries import Assignment, Condition, PrincipalType
from shared.bypass.grants import Access, Doubt, Grant, Standing, State, given, granted
from shared.bypass.permissions import Match, Permissions, Question
from shared.bypass.scopes import at_or_above, canonical, is_management_group, under_management_groups
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold

__all__ = ["Access", "Doubt", "Evaluator", "Grant", "State"]

Said = frozenset[PrincipalType]
"""What assignments say that their principal is."""


class _Answer(msgspec.Struct, frozen=True):
    """What a question comes to before any group is expanded."""

    question: Question
    holdings: Mapping[str, tuple[Grant, ...]]
    """What each principal is given by the assignments that name it, in order."""
    barrier: Barrier
    standings: dict[str, Standing]
    """Those that were worked out: most principals are reached by several assignments."""


_ANYTHING: Final = Match("*", Truth.TRUE)
_PEOPLE: Final = frozenset({PrincipalType.USER, PrincipalType.SERVICE_PRINCIPAL})


class Evaluator:
    """Answers questions about one snapshot. An answer depends on what the snapshot says, not on the order in which it does.

    The questions share their words. `scope` is where the `action` is to be done; `is_data` tells data actions from
    actions; `attributes` are those of a request that conditions may ask for. An action with a star, and a scope that is
    none, raise ValueError.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Index `snapshot`: patterns by role, assignments by scope and role."""
        self._directory: Final = snapshot.directory
        self._denies: Final = Denies(snapshot)
        self._permissions: Final[Permissions[str | None]] = Permissions(
            (key, permission)
            for key, definitions in snapshot.definitions.items()
            for definition in definitions
            for permission in definition.permissions
        )
        self._assignments: Final = sorted(snapshot.assignments, key=_rank)
        self._at: Final[dict[str, dict[str | None, list[int]]]] = {}
        for at, assignment in enumerate(self._assignments):
            self._at.setdefault(assignment.scope, {}).setdefault(assignment.role, []).append(at)
        self._management_groups: Final = tuple(scope for scope in self._at if is_management_group(scope))
        self._undefined: Final = frozenset(
            assignment.role for assignment in self._assignments if assignment.role is not None
        ).difference(snapshot.definitions)
        self._said: Final[dict[str, Said]] = {}
        for assignment in self._assignments:
            said = self._said.get(assignment.principal, _NOTHING)
            if assignment.principal_type not in said:
                self._said[assignment.principal] = said | {assignment.principal_type}
        self._last: _Answer | None = None

    def held(
        self, action: str, *, is_data: bool, scope: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> tuple[Grant, ...]:
        """Return what assignments grant to those that they name: groups are not expanded, denies not looked at."""
        answer = self._answer(action, is_data=is_data, scope=scope, attributes=attributes)
        return tuple(grant for grants in answer.holdings.values() for grant in grants)

    def who(
        self,
        action: str,
        *,
        is_data: bool,
        scope: str,
        attributes: Attributes = NO_ATTRIBUTES,
        denied: bool = False,
    ) -> Iterator[Grant]:
        """Yield every grant, for every principal that is no group; a group in place of members that are not known.

        With `denied` the grants that deny assignments take away are yielded too, and name them. There are as many as
        principals times the assignments that reach each: `able` yields each principal once.
        """
        answer = self._answer(action, is_data=is_data, scope=scope, attributes=attributes)
        for holder, grants in answer.holdings.items():
            for principal, via in self._reached(holder):
                standing = self._standing(principal, answer)
                if denied or not standing.bar.denied_by:
                    for grant in grants:
                        yield given(grant, principal, via, standing)

    def able(
        self, action: str, *, is_data: bool, scope: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> Iterator[Grant]:
        """Yield each principal that `who` yields once: with its strongest grant, and of those one by the shortest chain.

        Takes time in the assignments, principals and memberships that there are, however they are crossed.
        """
        answer = self._answer(action, is_data=is_data, scope=scope, attributes=attributes)
        best = {holder: min(grants, key=_weakness) for holder, grants in answer.holdings.items()}
        seen: set[str] = set()
        for state in State:
            holders = [holder for holder, grant in best.items() if grant.state is state]
            for principal, via in self._spread(holders, seen):
                standing = self._standing(principal, answer)
                if not standing.bar.denied_by:
                    yield given(best[via[0] if via else principal], principal, via, standing)

    def allows(
        self,
        principal: str,
        action: str,
        *,
        is_data: bool,
        scope: str,
        attributes: Attributes = NO_ATTRIBUTES,
    ) -> Access:
        """Return what `principal` has, by itself and through its groups. A group has what its members get through it."""
        answer = self._answer(action, is_data=is_data, scope=scope, attributes=attributes)
        asked = fold(principal)
        chains: dict[str, Chain] = {asked: (), **self._directory.groups_of(asked)}
        standing = self._standing(asked, answer)
        found = [
            given(grant, asked, chains[holder], standing)
            for holder in sorted(chains.keys() & answer.holdings.keys())
            for grant in answer.holdings[holder]
        ]
        return Access(
            tuple(grant for grant in found if not grant.denied_by),
            tuple(grant for grant in found if grant.denied_by),
        )

    def _answer(self, action: str, *, is_data: bool, scope: str, attributes: Attributes) -> _Answer:
        """Return what the question comes to before any group is expanded; the last one is kept for who asks it again."""
        place = canonical(scope)
        if place is None:
            raise ValueError(f"{scope!r} is not a scope")
        if "*" in action:
            raise ValueError(f"{action!r} is a pattern; ask for one action")
        question = Question(action=fold(action), is_data=is_data, scope=place, attributes=attributes)
        if self._last is None or self._last.question != question:
            holdings = {
                holder: tuple(held)
                for holder, held in groupby(self._held(question), lambda grant: grant.principal)
            }
            self._last = _Answer(question, holdings, self._denies.barrier(question), {})
        return self._last

    def _held(self, question: Question) -> Iterator[Grant]:
        """Yield what each assignment grants that matches, in the order of principals."""
        matches = self._permissions.matching(question)
        if not question.is_data:
            matches[None] = _ANYTHING
        truths: dict[Condition | None, Truth] = {None: Truth.TRUE}
        for at in sorted(self._candidates(question, matches)):
            assignment = self._assignments[at]
            condition = assignment.condition
            if condition not in truths:
                truths[condition] = holds(condition, question.action, question.attributes)
            if truths[condition] is not Truth.FALSE:
                yield granted(assignment, matches.get(assignment.role), truths[condition])

    def _candidates(self, question: Question, matches: Mapping[str | None, Match]) -> Iterator[int]:
        scopes = at_or_above(question.scope)
        if under_management_groups(question.scope):
            scopes = (*{*scopes, *self._management_groups},)
        roles = matches.keys() | self._undefined
        for by_role in filter(None, map(self._at.get, scopes)):
            for role in by_role.keys() & roles:
                yield from by_role[role]

    def _reached(self, holder: str) -> Iterator[tuple[str, Chain]]:
        if not self._directory.is_group(holder):
            yield holder, ()
            return
        yield from self._directory.expand(holder)
        if self._hides_more(holder):
            yield holder, ()

    def _spread(self, holders: list[str], seen: set[str]) -> Iterator[tuple[str, Chain]]:
        """Yield as `_reached` does whom `holders` reach, each once, those that are named themselves before all others."""
        groups = []
        for holder in holders:
            if self._directory.is_group(holder):
                groups.append(holder)
                if self._hides_more(holder):
                    yield holder, ()
            elif holder not in seen:
                seen.add(holder)
                yield holder, ()
        yield from self._directory.spread(groups, seen)

    def _hides_more(self, group: str) -> bool:
        """Say whether `group` is of another tenant, so that what the directory here lists of it need not be all."""
        foreign = PrincipalType.FOREIGN_GROUP in self._said.get(group, _NOTHING)
        return foreign and not self._directory.is_opaque(group)

    def _standing(self, principal: str, answer: _Answer) -> Standing:
        """Return the doubts about who `principal` is, and what deny assignments mean for it."""
        found = answer.standings.get(principal)
        if found is None:
            doubts, opaque = self._doubts(principal)
            found = Standing(doubts, answer.barrier.against(principal, opaque=opaque))
            answer.standings[principal] = found
        return found

    def _doubts(self, principal: str) -> tuple[frozenset[Doubt], bool]:
        """Return the doubts about who `principal` is, and whether others may act as its members."""
        directory, said = self._directory, self._said.get(principal, _NOTHING)
        known = directory.type_of(principal)
        if PrincipalType.FOREIGN_GROUP in {known, *said}:
            return _FOREIGN, True
        if directory.is_group(principal):
            return (_MEMBERS, True) if directory.is_opaque(principal) else (_CERTAIN, False)
        if PrincipalType.GROUP in said:
            return _MEMBERS, True
        if known is not PrincipalType.UNKNOWN:
            return _CERTAIN, False
        nobody_says = not said or not said <= _PEOPLE
        return (_OTHER if principal in directory.known else _MISSING), nobody_says


_NOTHING: Final[Said] = frozenset()
_CERTAIN: Final[frozenset[Doubt]] = frozenset()
_FOREIGN: Final = frozenset({Doubt.FOREIGN_GROUP})
_MEMBERS: Final = frozenset({Doubt.MEMBERS})
_OTHER: Final = frozenset({Doubt.PRINCIPAL_TYPE})
_MISSING: Final = frozenset({Doubt.PRINCIPAL})
_ORDER: Final = {state: at for at, state in enumerate(State)}


def _weakness(grant: Grant) -> tuple[int, int]:
    return _ORDER[grant.state], len(grant.doubts)


def _rank(assignment: Assignment) -> tuple[str, ...]:
    """Return what assignments are put in order by: all that tells them apart, the principal first."""
    condition = assignment.condition
    return (
        assignment.principal,
        fold(assignment.id),
        assignment.scope,
        assignment.role or "",
        "" if condition is None else f"{condition.version} {condition.text}",
        str(assignment.eligible),
        *(assignment.id, assignment.written_scope, assignment.written_role, assignment.principal_type),
    )
