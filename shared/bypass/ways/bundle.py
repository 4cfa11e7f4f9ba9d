"""What several actions of one way come to: their grants as a report writes them, and what takes them away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from shared.bypass import finding
from shared.bypass.actions import SEVERITY, Reach
from shared.bypass.directory import Chain
from shared.bypass.fields import Fields
from shared.bypass.finding import Severity, State
from shared.bypass.grants import Doubt, Grant
from shared.bypass.grants import State as Standing
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Answer
from shared.bypass.ways.removal import Kept, Removal

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "high", "medium", "low")
"""The worst first."""

_SHARED: Final = 2
"""Of more holders than this hardly two people have the same ones: what they give is not kept for the next."""
_TOLD: Final = 4
"""What a sentence tells of many actions; the rest comes after all other sentences."""
_FEW: Final = 2
"""So few more are told with the others."""
_REST: Final = 100
"""What is told of the rest: roles may name any number of data actions."""
_ORDER: Final = {state: at for at, state in enumerate(Standing)}


class Step(msgspec.Struct, frozen=True):
    """A row of the table that was asked, and what came."""

    reach: Reach
    answer: Answer


class Line(msgspec.Struct, frozen=True):
    """One grant, and what becomes of it."""

    grant: finding.Grant
    command: str | None
    kept: Kept | None
    cuts_gate: bool
    rank: tuple[int, str, str]
    """The smallest scope first: what is removed there takes the least else away."""


class Part(msgspec.Struct, frozen=True):
    """What some holders contribute to a finding."""

    grants: tuple[finding.Grant, ...]
    fix: tuple[str, ...]
    kept: tuple[Kept, ...]


class Ledger:
    """Writes grants down, each once."""

    def __init__(self, snapshot: Snapshot, removal: Removal) -> None:
        """Take from `snapshot` since when assignments are there."""
        self.removal: Final = removal
        self._since: Final = _since(snapshot)
        self._lines: Final[dict[tuple[str, str, str], Line]] = {}

    def line(self, grant: Grant, reach: Reach) -> Line:
        """Return `grant`, as it is held, for the action of `reach`."""
        # A role without a definition may permit anything: what was asked for stands in place of a pattern.
        action = reach.action if grant.pattern is None else grant.pattern
        key = (grant.assignment, grant.principal, action)
        found = self._lines.get(key)
        if found is None:
            taken = self.removal.of(grant)
            found = self._lines[key] = Line(
                grant=finding.Grant(
                    assignment_id=grant.assignment,
                    role_definition_id=grant.role,
                    scope=grant.scope,
                    action=action,
                    since=self._since.get(fold(grant.assignment)),
                ),
                command=taken.command,
                kept=taken.kept,
                cuts_gate=taken.cuts_gate,
                rank=(-len(grant.scope), fold(grant.assignment), action),
            )
        return found


class Bundle:
    """Several steps of one way, told as one."""

    def __init__(self, steps: Iterable[Step], ledger: Ledger) -> None:
        """Put together what each holder has by any of `steps`."""
        self._removal: Final = ledger.removal
        self._lines: Final[dict[str, dict[Line, None]]] = {}
        self._nearest: Final[dict[str, Grant]] = {}
        self._parts: Final[dict[frozenset[str], Part]] = {}
        self._told: Final[dict[tuple[str, tuple[str, ...], frozenset[Doubt], tuple[Kept, ...]], str]] = {}
        self._steps: Final = tuple(steps)
        self._says: Final = _says(self._steps)
        severities: set[Severity] = set()
        for step in self._steps:
            severities.add(step.reach.severity or SEVERITY[step.reach.way])
            for holder, grants in step.answer.held.items():
                lines = self._lines.setdefault(holder, {})
                lines.update((ledger.line(grant, step.reach), None) for grant in grants)
                before = self._nearest.get(holder)
                self._nearest[holder] = min(grants if before is None else (before, *grants), key=distance)
        self.severity: Final = worst(severities)
        self.holders: Final = frozenset(self._lines)

    def part(self, holders: frozenset[str]) -> Part:
        """Return what `holders` give, the smallest first."""
        found = self._parts.get(holders)
        if found is None:
            found = self._part([line for holder in holders for line in self._lines.get(holder, ())])
            if len(holders) <= _SHARED:
                self._parts[holders] = found
        return found

    def nearest(self, holders: Iterable[str]) -> Grant:
        """Return the strongest of what `holders`, at least one of this bundle's, have."""
        return min((self._nearest[holder] for holder in holders if holder in self._nearest), key=distance)

    def sentence(
        self,
        doubts: frozenset[Doubt],
        kept: tuple[Kept, ...],
        *,
        start: str = "May",
        holders: frozenset[str] | None = None,
    ) -> str:
        """Return for people what is permitted, what of it is in doubt, and what no command takes away.

        With `holders` it is what they alone give.
        """
        says = self._says
        if holders is not None:
            says = _says(s for s in self._steps if any(one in s.answer.held for one in holders))
        key = (start, says, doubts, kept)
        found = self._told.get(key)
        if found is None:
            unsure = [_DOUBTS[doubt] for doubt in Doubt if doubt in doubts]
            first, rest = _listed(says)
            parts = [f"{start} {first}."]
            if unsure:
                parts.append(f"Counts as able, because {' and '.join(unsure)}.")
            found = self._told[key] = " ".join([*parts, *kept, *rest])
        return found

    def _part(self, lines: list[Line]) -> Part:
        lines.sort(key=lambda line: line.rank)
        commands = dict.fromkeys(line.command for line in lines if line.command is not None)
        first = self._removal.gate_first if any(line.cuts_gate for line in lines) else ()
        return Part(
            tuple(line.grant for line in lines),
            (*first, *commands),
            tuple(dict.fromkeys(line.kept for line in lines if line.kept is not None)),
        )


def _says(steps: Iterable[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.reach.says for step in steps))


def _listed(said: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return what a sentence tells of `said`, and the sentence that tells the rest where there is one."""
    first, rest = said[:_TOLD], said[_TOLD:]
    if len(rest) <= _FEW:
        return "; ".join(said), ()
    untold = f"; and {len(rest) - _REST} others" if len(rest) > _REST else ""
    return (
        f"{'; '.join(first)}; and {len(rest)} more of the kind",
        (f"The {len(rest)} more: {'; '.join(rest[:_REST])}{untold}.",),
    )


def worst(severities: Iterable[Severity]) -> Severity:
    """Return the worst of at least one."""
    return min(severities, key=SEVERITIES.index)


def graded(severity: Severity, state: State) -> Severity:
    """Return how bad a way of `severity` is in `state`."""
    if state == "latent":
        return "low"
    if state == "eligible" and severity in {"critical", "high"}:
        return "medium"
    return severity


def distance(grant: Grant) -> tuple[int, int, Chain]:
    """Return what the nearest of several grants has least of: the strongest state, the shortest chain."""
    return _ORDER[grant.state], len(grant.via), grant.via


_DOUBTS: Final[Mapping[Doubt, str]] = {
    Doubt.CONDITION: "a condition cannot be told from here",
    Doubt.ROLE_DEFINITION: "the definition of a role was not read",
    Doubt.PRINCIPAL: "the directory that was read does not know the principal",
    Doubt.PRINCIPAL_TYPE: "the principal is neither a user nor a group nor a service principal",
    Doubt.MEMBERS: "not all members of the group are known",
    Doubt.FOREIGN_GROUP: "it is a group of another tenant",
    Doubt.DENY: "it cannot be told whether a deny assignment stands against it",
    Doubt.CLASSIC: "classic administrators are retired, which cannot be proven from here",
}


def _since(snapshot: Snapshot) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, start in (
        ("roleAssignments", "createdOn"),
        ("roleEligibilityScheduleInstances", "startDateTime"),
    ):
        listed = snapshot.document.get(name)
        for at, item in enumerate(listed if isinstance(listed, list) else ()):
            fields = Fields(item, f"{name}[{at}]")
            when = fields.get(start)
            if isinstance(when, str):
                key = fold(fields.text("id"))
                found[key] = min(when, found.get(key, when))
    return found
