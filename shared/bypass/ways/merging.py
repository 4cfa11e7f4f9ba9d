"""From answers to findings: one for each principal and way, with every assignment that gives it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from shared.bypass.finding import Finding, State, Way
from shared.bypass.grants import Doubt, Grant
from shared.bypass.grants import State as Standing
from shared.bypass.snapshot import Snapshot
from shared.bypass.ways.bundle import Bundle, Ledger, Step, distance, graded
from shared.bypass.ways.people import People

STATES: Final[Mapping[Standing, State]] = {
    Standing.ACTIVE: "active",
    Standing.CONDITIONAL: "conditional",
    Standing.ELIGIBLE: "eligible",
}


class Merger:
    """Makes the findings about principals."""

    def __init__(self, snapshot: Snapshot, people: People, ledger: Ledger) -> None:
        """Take the gate's identity and the target from `snapshot`."""
        self._gate: Final = snapshot.gate.principal
        self._target: Final = snapshot.scope
        self._people: Final = people
        self._ledger: Final = ledger

    def findings(self, way: Way, steps: Iterable[Step], *, at_best: State = "active") -> Iterator[Finding]:
        """Yield the finding of each principal, but for the gate, that is able by any of `steps`.

        None is nearer to a call than `at_best`: keys that the resource refuses are latent in any hands.
        """
        listed = list(steps)
        layers = _layers(listed)
        bundles: dict[int, Bundle] = {}
        holders = self._people.within(frozenset(holder for step in listed for holder in step.answer.held))
        for principal, mask in self._masks(layers).items():
            bundle = bundles.get(mask)
            if bundle is None:
                bundle = bundles[mask] = Bundle(
                    (step for step in listed if principal in step.answer.able), self._ledger
                )
            able = min((layer[principal] for at, layer in enumerate(layers) if mask >> at & 1), key=distance)
            yield self.finding(
                way,
                principal,
                bundle,
                holders.of(principal),
                state=_capped(STATES[able.state], at_best),
                via=able.via[::-1],
                doubts=able.doubts,
            )

    def finding(
        self,
        way: Way,
        principal: str,
        bundle: Bundle,
        holders: frozenset[str],
        *,
        state: State,
        via: tuple[str, ...],
        doubts: frozenset[Doubt],
        first: tuple[str, ...] = (),
    ) -> Finding:
        """Return one finding, `first` before the commands that take away what `holders` give."""
        part = bundle.part(holders)
        return Finding(
            id=identity(way, principal, self._target),
            severity=graded(bundle.severity, state),
            way=way,
            principal=self._people.principal(principal),
            via=via,
            grants=part.grants,
            state=state,
            detail=bundle.sentence(doubts, part.kept),
            fix=(*first, *part.fix) if first else part.fix,
        )

    def _masks(self, layers: list[Mapping[str, Grant]]) -> dict[str, int]:
        """Return in which layers each principal is, as bits."""
        masks: dict[str, int] = {}
        for at, layer in enumerate(layers):
            for principal in layer:
                masks[principal] = masks.get(principal, 0) | 1 << at
        if self._gate is not None:
            masks.pop(self._gate, None)
        return masks


def identity(way: Way, principal: str, scope: str) -> str:
    """Return the id of the finding about `principal` (folded) at the target `scope`: the same in every run."""
    said = f"{way}\n{principal}\n{scope}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _layers(steps: Iterable[Step]) -> list[Mapping[str, Grant]]:
    """Return who is able by any of the steps, once where several have the same people."""
    found = {id(step.answer.able): step.answer.able for step in steps}
    return [able for able in found.values() if able]


def _capped(state: State, at_best: State) -> State:
    if at_best == "latent" or (at_best == "conditional" and state == "active"):
        return at_best
    return state
