"""Who is in which group, transitively: what the directory's answers in a snapshot say, and where they are silent.

Groups may contain each other, and themselves. Of the chains from a group to a principal the shortest counts; of equally
short ones that whose ids come first, so that the order of Azure's answers never matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from shared.bypass.entries import PrincipalType, principal_type
from shared.bypass.fields import Fields, SnapshotFault, mapping, texts
from shared.bypass.spelling import fold

Chain = tuple[str, ...]
"""Groups in between, from the one that is asked about to the one that the principal is a direct member of."""

_NONE: Final[Chain] = ()
_GROUPS: Final = frozenset({PrincipalType.GROUP, PrincipalType.FOREIGN_GROUP})


class Known(msgspec.Struct, frozen=True):
    """What the directory says of one id."""

    type: PrincipalType
    name: str | None


class Nested(msgspec.Struct, frozen=True):
    """A group that is, or is within, the group that was asked about."""

    group: str
    via: Chain
    """From the group that was asked about to this one, both included."""


class Directory:
    """The principals and groups of a snapshot. Every id is folded. Immutable for those who ask."""

    def __init__(
        self,
        *,
        known: Mapping[str, Known],
        members: Mapping[str, Chain],
        owners: Mapping[str, Chain],
        partial: frozenset[str] = frozenset(),
    ) -> None:
        """Take direct `members` and `owners` by group, ids sorted; of `partial` groups more may be members."""
        self.known: Final = known
        self.members: Final = members
        self.owners: Final = owners
        self._partial: Final = partial
        self._split: Final[dict[str, tuple[Chain, Chain]]] = {}
        self._nested: Final[dict[str, tuple[Nested, ...]]] = {}
        self._parents: dict[str, list[str]] | None = None

    def type_of(self, principal: str) -> PrincipalType:
        """Return what kind of principal the directory says `principal` is; UNKNOWN for one that it does not know."""
        if principal in self.members:
            return PrincipalType.GROUP
        known = self.known.get(principal)
        return PrincipalType.UNKNOWN if known is None else known.type

    def name_of(self, principal: str) -> str | None:
        """Return the display name of `principal`, None for none."""
        known = self.known.get(principal)
        return None if known is None else known.name

    def is_group(self, principal: str) -> bool:
        """Say whether `principal` is known to be a group."""
        return self.type_of(principal) in _GROUPS

    def is_opaque(self, group: str) -> bool:
        """Say whether `group` may have members that are not listed."""
        return group not in self.members or group in self._partial

    def nested(self, group: str) -> tuple[Nested, ...]:
        """Return `group` and every group within it, the nearest first."""
        found = self._nested.get(group)
        if found is None:
            found = self._nested[group] = tuple(self._walk([group], set()))
        return found

    def expand(self, group: str) -> Iterator[tuple[str, Chain]]:
        """Yield each principal that is in `group`, directly or through other groups, with the groups in between.

        Instead of members that are not known the group that has them is yielded; `group` itself then with no chain.
        """
        return self._members(self.nested(group), set())

    def spread(self, groups: Iterable[str], seen: set[str]) -> Iterator[tuple[str, Chain]]:
        """Yield as `expand` does each principal that is in any of `groups`, once, by the shortest chain of all.

        `seen` are groups and principals to pass over, and is added to. Takes time in the memberships there are, however
        many of the groups share them.
        """
        return self._members(self._walk(groups, seen), seen)

    def groups_of(self, principal: str) -> dict[str, Chain]:
        """Return every group that `principal` is in, directly or through other groups, with the groups in between."""
        above = self._above()
        chains: dict[str, Chain] = {group: (group,) for group in above.get(principal, ())}
        level = chains
        while level:
            found: dict[str, Chain] = {}
            for inner, chain in level.items():
                for group in above.get(inner, ()):
                    if group not in chains and group != principal:
                        longer = (group, *chain)
                        found[group] = min(found.get(group, longer), longer)
            chains |= found
            level = found
        return chains

    def _walk(self, groups: Iterable[str], seen: set[str]) -> Iterator[Nested]:
        """Yield `groups` and those within them, breadth first, each once and none of those `seen`."""
        queue = [Nested(group, (group,)) for group in groups if group not in seen]
        seen.update(nested.group for nested in queue)
        for inner in queue:  # grows while it is walked
            yield inner
            for deeper in self._parts(inner.group)[1]:
                if deeper not in seen:
                    seen.add(deeper)
                    queue.append(Nested(deeper, (*inner.via, deeper)))

    def _members(self, walked: Iterable[Nested], seen: set[str]) -> Iterator[tuple[str, Chain]]:
        for inner in walked:
            if self.is_opaque(inner.group):
                yield inner.group, inner.via[:-1]
            for leaf in self._parts(inner.group)[0]:
                if leaf not in seen:
                    seen.add(leaf)
                    yield leaf, inner.via

    def _parts(self, group: str) -> tuple[Chain, Chain]:
        """Return the direct members of `group` that are no groups, and those that are."""
        parts = self._split.get(group)
        if parts is None:
            members = self.members.get(group, _NONE)
            inner = tuple(member for member in members if self.is_group(member))
            leaves = members
            if inner:
                groups = frozenset(inner)
                leaves = tuple(member for member in members if member not in groups)
            parts = self._split[group] = (leaves, inner)
        return parts

    def _above(self) -> dict[str, list[str]]:
        if self._parents is None:
            self._parents = {}
            for group, members in self.members.items():
                for member in members:
                    self._parents.setdefault(member, []).append(group)
        return self._parents


def directory(value: object, partial: frozenset[str], place: str = "directory") -> Directory:
    """Return the directory that a snapshot's `directory` writes; raise SnapshotFault. Nothing at all knows nobody."""
    sections = mapping({} if value is None else value, place)
    known = {}
    for written, entry in _section(sections, "principals", place):
        fields = Fields(entry, f"{place}.principals.{written}")
        known[fold(written)] = Known(principal_type(fields.maybe("type")), fields.maybe("displayName"))
    members = _lists(sections, "groupMembers", place)
    for group in members:
        if known.get(group, Known(PrincipalType.GROUP, None)).type is not PrincipalType.GROUP:
            raise SnapshotFault(
                f"{place}.groupMembers.{group}", "has members, and is no group among the principals"
            )
    return Directory(
        known=known, members=members, owners=_lists(sections, "groupOwners", place), partial=partial
    )


def _section(sections: Mapping[str, object], name: str, place: str) -> Iterator[tuple[str, object]]:
    value = sections.get(name)
    if value is not None:
        yield from mapping(value, f"{place}.{name}").items()


def _lists(sections: Mapping[str, object], name: str, place: str) -> dict[str, Chain]:
    """Return ids by group; a group that is written in two spellings has what both list."""
    found: dict[str, set[str]] = {}
    for written, value in _section(sections, name, place):
        found.setdefault(fold(written), set()).update(map(fold, texts(value, f"{place}.{name}.{written}")))
    return {group: tuple(sorted(ids)) for group, ids in found.items()}
