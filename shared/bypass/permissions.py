"""Which permissions an action matches: patterns of many role or deny assignments, tried once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.bypass.conditions import NO_ATTRIBUTES, Attributes, Truth, holds
from shared.bypass.entries import Condition, Permission
from shared.bypass.patterns import PatternIndex
from shared.bypass.spelling import fold


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: may one action be done at one scope. Folded."""

    action: str
    is_data: bool
    scope: str
    attributes: Attributes = NO_ATTRIBUTES


class Match(msgspec.Struct, frozen=True):
    """That a permission matches, by which pattern, and whether that is certain."""

    pattern: str
    truth: Truth
    """TRUE or UNKNOWN."""


class Permissions[Owner]:
    """The permissions of many owners. Each permission's exclusions take from that permission alone (RB1, RB9)."""

    def __init__(self, entries: Iterable[tuple[Owner, Permission]]) -> None:
        """Index `entries`: whose a permission is, and the permission."""
        self._entries: Final = list(entries)
        self._given: Final = {
            is_data: PatternIndex(
                (pattern, at)
                for at, (_, permission) in enumerate(self._entries)
                for pattern in (permission.data_actions if is_data else permission.actions)
            )
            for is_data in (False, True)
        }
        self._taken: Final = {
            is_data: PatternIndex(
                (pattern, at)
                for at, (_, permission) in enumerate(self._entries)
                for pattern in (permission.not_data_actions if is_data else permission.not_actions)
            )
            for is_data in (False, True)
        }

    def matching(self, question: Question) -> dict[Owner, Match]:
        """Return whose permissions match, with the best match of each: a certain one, by its longest pattern."""
        found: dict[Owner, Match] = {}
        truths: dict[Condition | None, Truth] = {None: Truth.TRUE}
        for at, pattern in self._patterns(question).items():
            owner, permission = self._entries[at]
            condition = permission.condition
            if condition not in truths:
                truths[condition] = holds(condition, question.action, question.attributes)
            if truths[condition] is not Truth.FALSE:
                match = Match(pattern, truths[condition])
                found[owner] = match if owner not in found else max(found[owner], match, key=_strength)
        return found

    def _patterns(self, question: Question) -> dict[int, str]:
        taken = {at for _, at in self._taken[question.is_data].matching(question.action)}
        found: dict[int, str] = {}
        for pattern, at in self._given[question.is_data].matching(question.action):
            if at not in taken and _length(pattern) > _length(found.get(at, "")):
                found[at] = pattern
        return found


def _length(pattern: str) -> tuple[int, str]:
    return len(pattern), fold(pattern)


def _strength(match: Match) -> tuple[bool, int, str]:
    return match.truth is Truth.TRUE, *_length(match.pattern)
