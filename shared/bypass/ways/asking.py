"""Questions to the evaluator, each answered once: most actions are granted by the same assignments.

Who is able follows from which assignments grant, how they stand and what denies; where two actions agree in all of these
groups are expanded once for both.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Final

import msgspec

from shared.bypass.conditions import NO_ATTRIBUTES, Attributes
from shared.bypass.denies import Barrier, Denies
from shared.bypass.entries import DenyAssignment
from shared.bypass.grants import Grant
from shared.bypass.permissions import Permissions, Question
from shared.bypass.rbac import Evaluator
from shared.bypass.scopes import at_or_above, is_management_group, under_management_groups
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold

_NOBODY: Final[Mapping[str, Grant]] = MappingProxyType({})


class Answer(msgspec.Struct, frozen=True):
    """What was asked, and what came."""

    question: Question
    held: Mapping[str, tuple[Grant, ...]]
    """What assignments grant, by whom they name: groups are not expanded, denies not looked at."""
    able: Mapping[str, Grant]
    """Everybody who is able, with the strongest grant. The same object where two answers have the same people."""
    denies: tuple[DenyAssignment, ...]
    """Deny assignments that may match."""


class Asker:
    """Asks one evaluator."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Index `snapshot`."""
        self.evaluator: Final = Evaluator(snapshot)
        self._enforced: Final = [
            deny for deny in snapshot.denies if deny.enforced and not deny.excludes_everyone
        ]
        self._directory: Final = snapshot.directory
        self._denying: Final = Permissions(
            (at, permission) for at, deny in enumerate(self._enforced) for permission in deny.permissions
        )
        self._barriers: Final = Denies(snapshot)
        self._barrier: Final[dict[Hashable, Barrier]] = {}
        self._known: Final[dict[Hashable, Mapping[str, Grant]]] = {}

    def ask(
        self, action: str, *, is_data: bool, scope: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> Answer:
        """Return who may do `action` at the canonical `scope`."""
        question = Question(action=fold(action), is_data=is_data, scope=scope, attributes=attributes)
        held = self.evaluator.held(action, is_data=is_data, scope=scope, attributes=attributes)
        denies = self._matching(question)
        if not held:
            return Answer(question, {}, _NOBODY, denies)
        key: Hashable = tuple(
            (grant.assignment, grant.principal, grant.state, grant.doubts) for grant in held
        )
        if denies:
            key = (key, _key(question))
        able = self._known.get(key)
        if able is None:
            found: dict[str, Grant] = {}
            for grant in self.evaluator.able(action, is_data=is_data, scope=scope, attributes=attributes):
                found.setdefault(grant.principal, grant)
            able = self._known[key] = found
        holders = {holder: tuple(grants) for holder, grants in groupby(held, lambda grant: grant.principal)}
        return Answer(question, holders, able, denies)

    def denied_by(self, principal: str, answer: Answer) -> tuple[str, ...]:
        """Return the ids of the deny assignments that certainly keep `principal` from what `answer` is about."""
        if not answer.denies:
            return ()
        key = _key(answer.question)
        if key not in self._barrier:
            self._barrier[key] = self._barriers.barrier(answer.question)
        opaque = self._directory.is_group(principal)
        return self._barrier[key].against(principal, opaque=opaque).denied_by

    def kept_out(self, answer: Answer, *, but: str | None) -> frozenset[tuple[str, ...]]:
        """Return which deny assignments together keep somebody from what assignments grant; `but` is left aside."""
        if not answer.denies:
            return frozenset()
        groups = [holder for holder in answer.held if self._directory.is_group(holder)]
        # A group is nobody by itself: those in it count, and it in their place where they are not known.
        people = answer.held.keys() - groups
        people |= {principal for principal, _ in self._directory.spread(groups, set())}
        people.discard(but or "")
        return frozenset(filter(None, (self.denied_by(principal, answer) for principal in people)))

    def _matching(self, question: Question) -> tuple[DenyAssignment, ...]:
        above = frozenset(at_or_above(question.scope))
        managed = under_management_groups(question.scope)
        found = (self._enforced[at] for at in self._denying.matching(question))
        return tuple(
            deny for deny in found if deny.scope in above or (managed and is_management_group(deny.scope))
        )


def _key(question: Question) -> Hashable:
    return question.action, question.is_data, question.scope, frozenset(question.attributes.items())
