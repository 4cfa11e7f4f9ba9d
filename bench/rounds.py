"""One measured round: what the generator saw, what the subject's processor did, and who else was at work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench import rig
from bench.report import Section

FOREIGN: Final = 0.08
"""Share of one core that others may have used in a round that counts."""
TRIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round came to."""

    seen: dict[str, Any]
    """What the generator wrote."""
    cpu: float
    """Processor seconds of the subject."""
    foreign: float
    """The others' share of a core."""


@dataclass(slots=True)
class Rounds:
    """The rounds of a section; `live` are all processes that run meanwhile and are ours."""

    live: list[rig.Served]
    tries: int = TRIES
    """How often one is taken before it counts whatever others did."""
    total: int = 0
    repeated: int = 0
    disturbed: int = 0

    def measure(self, served: rig.Served, load: Callable[[], dict[str, Any]]) -> Round:
        """Run `load` against `served`, again while others are at work, and return the last round."""
        self.total += 1
        taken = self._once(served, load)
        for _ in range(self.tries - 1):
            if taken.foreign <= FOREIGN:
                return taken
            self.repeated += 1
            taken = self._once(served, load)
        self.disturbed += taken.foreign > FOREIGN
        return taken

    def tell(self, section: Section) -> None:
        """Note in `section` what was repeated, and what counts although others were at work."""
        if self.repeated:
            section.notes.append(
                f"{self.repeated} rounds were repeated because others were at work on the machine"
            )
        if self.disturbed:
            section.notes.append(
                f"{self.disturbed} of {self.total} rounds count although others used more than {FOREIGN:.0%} of a core"
            )

    def _once(self, served: rig.Served, load: Callable[[], dict[str, Any]]) -> Round:
        cpu, ours, before = served.cpu(), self._ours(), rig.Load.now()
        seen = load()
        after = rig.Load.now()
        foreign = after.busy - before.busy - (self._ours() - ours)
        return Round(seen=seen, cpu=served.cpu() - cpu, foreign=max(0.0, foreign / (after.at - before.at)))

    def _ours(self) -> float:
        """Return the CPU seconds of this process, of all that it started and that ended, and of those still running."""
        return sum(os.times()[:4]) + sum(served.cpu() for served in self.live)
