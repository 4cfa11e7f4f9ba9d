"""Deny assignments: what they take from whom, before any role is looked at (protocols 8.1, 8.6).

A deny closes a way only where that is certain. One in doubt (an exclusion or a condition that cannot be told, a management
group that may not stand above the scope, a read or a data action that people cannot deny) leaves everybody able, and says
so. One with effect `audit` closes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.bypass.conditions import Truth, holds
from shared.bypass.directory import Directory
from shared.bypass.entries import DenyAssignment, Listed, PrincipalType
from shared.bypass.permissions import Permissions, Question
from shared.bypass.scopes import at_or_above, is_management_group, subscription, under_management_groups
from shared.bypass.snapshot import Snapshot

_ITS_OWN: Final = frozenset(
    {"microsoft.authorization/denyassignments/write", "microsoft.authorization/denyassignments/delete"}
)
"""What a deny assignment that people made cannot deny (protocols 8.6): else nobody could take it away again."""

_NO_GROUPS: Final = frozenset({PrincipalType.USER, PrincipalType.SERVICE_PRINCIPAL})


class Bar(msgspec.Struct, frozen=True):
    """What deny assignments mean for one principal."""

    denied_by: tuple[str, ...]
    """Ids of those that certainly deny."""
    in_doubt: bool
    """Another may deny, and may not."""


FREE: Final = Bar((), in_doubt=False)


class _Coverage(msgspec.Struct, frozen=True):
    """Whom a deny assignment is about."""

    everyone: bool
    covered: frozenset[str]
    excluded: frozenset[str]
    more_excluded: bool
    """A group is excluded of which not all members are known."""


class Barrier:
    """The deny assignments that match one question."""

    def __init__(self, matching: Iterable[tuple[DenyAssignment, _Coverage, bool]]) -> None:
        """Take each deny assignment that matches, whom it is about, and whether it certainly matches."""
        self._matching: Final = tuple(matching)

    def against(self, principal: str, *, opaque: bool) -> Bar:
        """Return what stands against `principal`; an `opaque` one is a group, or may be one, whose members are not known."""
        denied_by = []
        in_doubt = False
        for deny, coverage, certain in self._matching:
            if principal in coverage.excluded or not (coverage.everyone or principal in coverage.covered):
                continue
            unsure = coverage.more_excluded or (opaque and bool(coverage.excluded))
            if certain and not unsure:
                denied_by.append(deny.id)
            else:
                in_doubt = True
        return Bar(tuple(denied_by), in_doubt) if denied_by or in_doubt else FREE


class Denies:
    """All deny assignments of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Index those that are enforced."""
        self._directory: Final = snapshot.directory
        self._home: Final = subscription(snapshot.scope) if snapshot.one_subscription else None
        self._denies: Final = sorted(
            (deny for deny in snapshot.denies if deny.enforced and not deny.excludes_everyone),
            key=lambda deny: (deny.scope, deny.id),
        )
        self._permissions: Final = Permissions(
            (at, permission) for at, deny in enumerate(self._denies) for permission in deny.permissions
        )
        self._coverage: Final[dict[int, _Coverage]] = {}

    def barrier(self, question: Question) -> Barrier:
        """Return what deny assignments mean for `question`."""
        above = frozenset(at_or_above(question.scope))
        matching = []
        for at, match in sorted(self._permissions.matching(question).items()):
            deny = self._denies[at]
            here = (
                deny.scope == question.scope if deny.only_here else self._stands_above(deny, question, above)
            )
            truth = holds(deny.condition, question.action, question.attributes)
            itself = question.action in _ITS_OWN and not question.is_data and not deny.system_protected
            if here and truth is not Truth.FALSE and not itself:
                certain = (
                    match.truth is Truth.TRUE
                    and truth is Truth.TRUE
                    and self._is_near(deny, question)
                    and (deny.system_protected or _can_be_denied(question))
                )
                matching.append((deny, self._covers(at), certain))
        return Barrier(matching)

    def _stands_above(self, deny: DenyAssignment, question: Question, above: frozenset[str]) -> bool:
        if is_management_group(deny.scope) and under_management_groups(question.scope):
            return True
        return deny.scope in above

    def _is_near(self, deny: DenyAssignment, question: Question) -> bool:
        """Say whether the deny assignment's scope certainly stands above the question's."""
        if not is_management_group(deny.scope) or deny.scope == question.scope:
            return True
        return self._home is not None and subscription(question.scope) == self._home

    def _covers(self, at: int) -> _Coverage:
        found = self._coverage.get(at)
        if found is None:
            deny = self._denies[at]
            excluded, more = _members(deny.excluded, self._directory)
            found = self._coverage[at] = _Coverage(
                everyone=deny.everyone,
                covered=_members(deny.principals, self._directory)[0],
                excluded=excluded,
                more_excluded=more,
            )
        return found


def _can_be_denied(question: Question) -> bool:
    """Say whether people can deny what is asked: Azure refuses reads and data actions (protocols 8.6)."""
    return not question.is_data and not question.action.endswith("/read")


def _members(listed: tuple[Listed, ...], directory: Directory) -> tuple[frozenset[str], bool]:
    """Return `listed` and all who are in the groups among them, and whether there may be more."""
    found = {principal.id for principal in listed}
    more = False
    for principal in listed:
        if directory.is_group(principal.id):
            for nested in directory.nested(principal.id):
                members = directory.members.get(nested.group, ())
                found.update(members)
                # A member of which nothing is known may be a group, and have members of its own.
                more = (
                    more
                    or directory.is_opaque(nested.group)
                    or any(directory.type_of(member) is PrincipalType.UNKNOWN for member in members)
                )
        elif directory.type_of(principal.id) is PrincipalType.UNKNOWN:
            more = more or principal.type not in _NO_GROUPS
    return frozenset(found), more
