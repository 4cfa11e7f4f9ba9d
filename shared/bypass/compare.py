"""Two reports about one target: what opened between them, what closed, what became worse or better."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from shared.bypass.finding import Severity, Unread, Verdict
from shared.bypass.report import BypassReport, Gate, ReportedFinding, ReportFault, counting
from shared.bypass.spelling import fold
from shared.bypass.wording import severity_rank, state_rank


class Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A finding that both reports have, and that is not the same in both."""

    before: ReportedFinding
    after: ReportedFinding


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened between an older report and a newer one."""

    version: Literal[1]
    target: str
    gate_before: Gate | None
    gate: Gate | None
    collected_before: datetime | None
    collected: datetime | None
    judged_before: datetime
    judged: datetime
    verdict_before: Verdict
    verdict: Verdict
    unread_before: tuple[Unread, ...]
    unread: tuple[Unread, ...]
    opened: tuple[ReportedFinding, ...]
    worsened: tuple[Change, ...]
    eased: tuple[Change, ...]
    closed: tuple[ReportedFinding, ...]
    unchanged: int
    names: Mapping[str, str]


def compare(old: BypassReport, new: BypassReport) -> Comparison:
    """Return what happened between `old` and `new`; raise ReportFault when they are not about the same target.

    A finding is worse when nobody accepts it any more, when its severity rises, or when it comes nearer to a call with
    its severity the same; in this order. An acceptance that does not say how bad the finding may become was given for
    what it was: of one that became worse it is taken away.
    """
    if fold(old.target) != fold(new.target):
        raise ReportFault(f"these are about two targets, {old.target} and {new.target}")
    before = {finding.id: finding for finding in old.findings}
    after = {finding.id: finding for finding in new.findings}
    both = [_change(before[finding.id], finding) for finding in new.findings if finding.id in before]
    steps = [(_step(change), change) for change in both]
    return Comparison(
        version=1,
        target=new.target,
        gate_before=old.gate,
        gate=new.gate,
        collected_before=old.collected,
        collected=new.collected,
        judged_before=old.judged,
        judged=new.judged,
        verdict_before=old.verdict,
        verdict=new.verdict,
        unread_before=old.unread,
        unread=new.unread,
        opened=tuple(finding for finding in new.findings if finding.id not in before),
        worsened=tuple(change for step, change in steps if step > 0),
        eased=tuple(change for step, change in steps if step < 0),
        closed=tuple(finding for finding in old.findings if finding.id not in after),
        unchanged=sum(step == 0 for step, _ in steps),
        names={**old.names, **new.names},
    )


def opening(comparison: Comparison, fail_on: Severity) -> int:
    """Return how many findings opened or became worse that are at or above `fail_on` and accepted by nobody."""
    return counting((*comparison.opened, *(change.after for change in comparison.worsened)), fail_on)


def untold(comparison: Comparison) -> bool:
    """Say whether more may have opened than is known, and less closed.

    That is so where not all could be read in the newer report; where it is about another gate: the gate itself is no
    way around it, so whoever is named as the gate is no longer found; and where it is the older one.
    """
    return (
        bool(comparison.unread)
        or comparison.verdict == "not-proven"
        or regated(comparison)
        or backwards(comparison)
    )


def backwards(comparison: Comparison) -> bool:
    """Say whether the second report is certain to have been read before the first: what is gone may have come since.

    One that does not say when it was read was read before it was judged.
    """
    before = comparison.collected_before
    return before is not None and (comparison.collected or comparison.judged) < before


def regated(comparison: Comparison) -> bool:
    """Say whether the two reports name two gates, or one of them none."""
    return _named(comparison.gate_before) != _named(comparison.gate)


def _named(gate: Gate | None) -> tuple[str, ...]:
    return () if gate is None else tuple(fold(id_ or "") for id_ in (gate.principal_id, gate.site_id))


def _change(before: ReportedFinding, after: ReportedFinding) -> Change:
    accepted = after.accepted
    if accepted is not None and _badness(after) > _badness(before):
        foreseen = accepted.state if after.severity == before.severity else accepted.severity
        if foreseen is None:
            after = replace(after, accepted=None)
    return Change(before=before, after=after)


def _step(change: Change) -> int:
    """Return how much nearer a finding came: positive for worse, negative for better, 0 for the same."""
    before, after = _weight(change.before), _weight(change.after)
    return (after > before) - (after < before)


def _weight(finding: ReportedFinding) -> tuple[bool, tuple[int, int]]:
    return finding.accepted is None, _badness(finding)


def _badness(finding: ReportedFinding) -> tuple[int, int]:
    return -severity_rank(finding.severity), -state_rank(finding.state)
