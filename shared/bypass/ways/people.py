"""Who somebody is, and through which groups something reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.bypass.directory import Directory
from shared.bypass.entries import PrincipalType
from shared.bypass.finding import Principal
from shared.bypass.snapshot import Snapshot

_NOBODY: Final[frozenset[str]] = frozenset()


class People:
    """The principals of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Index `snapshot`."""
        self._directory: Final = snapshot.directory
        self._said: Final[dict[str, PrincipalType]] = {}
        for assignment in snapshot.assignments:
            known = self._said.setdefault(assignment.principal, assignment.principal_type)
            if known is not assignment.principal_type:
                self._said[assignment.principal] = PrincipalType.UNKNOWN
        self._shown: Final[dict[str, Principal]] = {}
        self._parents: Final = _parents(self._directory)

    def principal(self, identity: str) -> Principal:
        """Return what is known of the object id `identity`: from the directory, else from who assigned something to it."""
        found = self._shown.get(identity)
        if found is None:
            kind = self._directory.type_of(identity)
            if kind is PrincipalType.UNKNOWN:
                kind = self._said.get(identity, kind)
            found = self._shown[identity] = Principal(
                id=identity, type=str(kind), display_name=self._directory.name_of(identity)
            )
        return found

    def within(self, holders: frozenset[str]) -> Holders:
        """Return which of `holders` reach a principal."""
        return Holders(self._parents, holders)


class Holders:
    """Which of some principals, most of them groups, a principal is, or is in."""

    def __init__(self, parents: Mapping[str, list[str]], holders: frozenset[str]) -> None:
        """Take the groups that each principal is a direct member of, and the object ids that matter."""
        self._holders: Final = holders
        self._parents: Final = parents
        self._above: Final[dict[str, frozenset[str]]] = {}

    def of(self, principal: str) -> frozenset[str]:
        """Return those of the holders that `principal` is, or is in, directly or through other groups."""
        own = frozenset((principal,)) if principal in self._holders else _NOBODY
        groups = self._parents.get(principal, ())
        if not groups:
            return own
        if len(groups) == 1 and not own:
            return self._of_group(groups[0])
        return own.union(*map(self._of_group, groups))

    def _of_group(self, group: str) -> frozenset[str]:
        found = self._above.get(group)
        if found is None:
            seen = {group}
            queue = [group]
            for inner in queue:  # grows while it is walked
                for outer in self._parents.get(inner, ()):
                    if outer not in seen:
                        seen.add(outer)
                        queue.append(outer)
            found = self._above[group] = self._holders.intersection(seen)
        return found


def _parents(directory: Directory) -> Mapping[str, list[str]]:
    parents: dict[str, list[str]] = {}
    for group, members in directory.members.items():
        for member in members:
            parents.setdefault(member, []).append(group)
    return parents
