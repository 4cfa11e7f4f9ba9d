"""Owners of groups: whoever owns a group can add members to it, without any role in Azure (protocols 8.2, 8.7).

That counts where the group holds a role, or is within one that does; and where a deny assignment excludes the group, for
an owner whom it keeps from something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shared.bypass.changes import RemoveOwner, command, is_plain
from shared.bypass.directory import Directory
from shared.bypass.entries import PrincipalType
from shared.bypass.finding import Finding, Unread
from shared.bypass.grants import Doubt
from shared.bypass.snapshot import Snapshot
from shared.bypass.visible import named
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import Bundle, Ledger, Step, graded
from shared.bypass.ways.merging import STATES, identity
from shared.bypass.ways.people import Holders, People

_NONE: Final[frozenset[str]] = frozenset()
_NAMED: Final = 3
"""Groups that a sentence names; the fix names them all."""


class Owners:
    """The owners of the groups by which any of some steps is permitted."""

    def __init__(
        self, snapshot: Snapshot, asker: Asker, people: People, ledger: Ledger, steps: Sequence[Step]
    ) -> None:
        """Take the `steps` that are worth something: none that is latent or of low severity."""
        self._snapshot: Final = snapshot
        self._directory: Final = snapshot.directory
        self._asker: Final = asker
        self._people: Final = people
        self._ledger: Final = ledger
        self._steps: Final = steps
        self._bundles: Final[dict[tuple[bool, ...], Bundle]] = {}
        holding = frozenset(holder for step in steps for holder in step.answer.held)
        self._holders: Final[Holders] = people.within(holding)
        self._groups: Final = {
            group: reached
            for group in sorted({*self._directory.members, *holding, *self._directory.owners})
            if self._directory.is_group(group) and (reached := self._holders.of(group))
        }
        self._excluded: Final = _excluded(steps, self._directory)
        self._matter: Final = sorted(self._groups.keys() | _NONE.union(*self._excluded.values()))

    def findings(self) -> Iterator[Finding]:
        """Yield the finding of each owner."""
        owned: dict[str, list[str]] = {}
        for group in self._matter:
            for owner in self._directory.owners.get(group, ()):
                owned.setdefault(owner, []).append(group)
        for owner, groups in owned.items():
            found = self._finding(owner, groups)
            if found is not None:
                yield found

    def unread(self) -> Iterator[Unread]:
        """Yield the groups that matter and whose owners are not known."""
        for group in self._matter:
            if group not in self._directory.owners:
                name = named(group, self._directory.name_of(group))
                yield Unread(what=f"owners of group {name}", why="are not in the snapshot's directory")

    def _finding(self, owner: str, groups: list[str]) -> Finding | None:
        owned = frozenset(groups)
        denied = [self._asker.denied_by(owner, step.answer) for step in self._steps]
        lifted = [
            bool(ids) and all(not owned.isdisjoint(self._excluded[deny]) for deny in ids) for ids in denied
        ]
        mine = tuple(lift or not ids for ids, lift in zip(denied, lifted, strict=True))
        if not any(mine):
            return None
        bundle = self._bundle(mine)
        through = _NONE.union(*(self._groups.get(group, _NONE) for group in groups)) & bundle.holders
        useful = [group for group in groups if self._groups.get(group, _NONE) & through]
        if any(lifted) and owner != self._snapshot.gate.principal:
            # Within a group that is excluded nothing keeps the owner from what it holds by itself; the gate is to have it.
            through |= self._holders.of(owner) & self._bundle(tuple(lifted)).holders
            excluded = _NONE.union(*self._excluded.values()) if through else _NONE
            useful = [group for group in groups if group in useful or group in excluded]
        if not through:
            return None
        nearest = bundle.nearest(through)
        doubts = nearest.doubts
        state = STATES[nearest.state]
        if self._directory.type_of(owner) is PrincipalType.UNKNOWN:
            doubts |= {Doubt.PRINCIPAL}
            state = "conditional" if state == "active" else state
        part = bundle.part(through)
        told = bundle.sentence(doubts, (), start="A member may", holders=through)
        changes = [RemoveOwner(group, owner) for group in useful]
        return Finding(
            id=identity("group-owner", owner, self._snapshot.scope),
            severity=graded("medium", state),
            way="group-owner",
            principal=self._people.principal(owner),
            via=self._via(useful, through),
            grants=part.grants,
            state=state,
            detail=f"May add members to {self._names(useful)}. {told}",
            fix=tuple(command(change) for change in changes if is_plain(change)),
        )

    def _bundle(self, which: tuple[bool, ...]) -> Bundle:
        found = self._bundles.get(which)
        if found is None:
            chosen = (step for step, taken in zip(self._steps, which, strict=True) if taken)
            found = self._bundles[which] = Bundle(chosen, self._ledger)
        return found

    def _via(self, groups: Iterable[str], through: frozenset[str]) -> tuple[str, ...]:
        """Return the shortest chain from one of `groups` to one that holds a role, that one last."""
        chains = []
        for group in groups:
            if group in through:
                return (group,)
            outer = self._directory.groups_of(group)
            chains += [(group, *outer[holder][::-1]) for holder in through if holder in outer]
        return min(chains, key=lambda chain: (len(chain), chain), default=tuple(groups)[:1])

    def _names(self, groups: Sequence[str]) -> str:
        names = [named(group, self._directory.name_of(group)) for group in groups[:_NAMED]]
        more = len(groups) - len(names)
        return ", ".join(names) + (f" and {more} more groups" if more else "")


def _excluded(steps: Iterable[Step], directory: Directory) -> dict[str, frozenset[str]]:
    """Return by deny assignment the groups, and those within them, that it excludes."""
    denies = {deny.id: deny for step in steps for deny in step.answer.denies}
    return {
        found: frozenset(
            nested.group
            for principal in deny.excluded
            if directory.is_group(principal.id)
            for nested in directory.nested(principal.id)
        )
        for found, deny in denies.items()
    }
