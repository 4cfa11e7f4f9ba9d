"""A comparison as text for people: what opened first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.bypass.compare import Change, Comparison, backwards, opening, regated, untold
from shared.bypass.finding import Severity
from shared.bypass.lines import Names, bounded, gated, line, place, unread_lines
from shared.bypass.report import ReportedFinding
from shared.bypass.visible import bare
from shared.bypass.wording import VERDICT, times


def text(comparison: Comparison, fail_on: Severity) -> str:
    """Return the comparison for people; `fail_on` is the severity from which on a finding counts."""
    return "\n".join(_lines(comparison, fail_on)) + "\n"


def _lines(comparison: Comparison, fail_on: Severity) -> Iterator[str]:
    names = comparison.names
    closed = "no longer found, which proves nothing" if untold(comparison) else "closed"
    parts = (
        (len(comparison.opened), "opened"),
        (len(comparison.worsened), "became worse"),
        (len(comparison.eased), "became better"),
        (len(comparison.closed), closed.partition(",")[0]),
        (comparison.unchanged, "as before"),
    )
    told = ", ".join(f"{number:,} {what}" for number, what in parts if number) or "nothing to compare"
    yield f"{place(comparison.target)}: {told}."
    before, now = (VERDICT[verdict] for verdict in (comparison.verdict_before, comparison.verdict))
    yield (
        f"Verdict {now}"
        + ("" if before == now else f", before {before}")
        + (
            f"; {opening(comparison, fail_on):,} of what opened or became worse count "
            f"(at or above {fail_on}, not accepted)."
        )
    )
    yield f"target  {bare(comparison.target, 1000)}"
    yield f"before  {times(comparison.collected_before, comparison.judged_before)}"
    yield f"now     {times(comparison.collected, comparison.judged)}"
    if backwards(comparison):
        yield ""
        yield "the second file is older than the first: what is gone may have come since, and nothing is proven closed"
    if regated(comparison):
        yield ""
        yield "another gate: what is gone may be the gate's own now, and nothing is proven closed"
        yield f"  before  {gated(comparison.gate_before)}"
        yield f"  now     {gated(comparison.gate)}"
    if comparison.unread:
        yield ""
        yield f"not read now ({len(comparison.unread):,}): more may have opened, and nothing is proven closed"
        yield from unread_lines(comparison.unread)
    if comparison.unread_before:
        yield ""
        yield f"not read before ({len(comparison.unread_before):,}): what opened may have been open then"
        yield from unread_lines(comparison.unread_before)
    yield from _findings("opened", comparison.opened, comparison.target, names)
    yield from _changes("became worse", comparison.worsened, comparison.target, names)
    yield from _changes("became better", comparison.eased, comparison.target, names)
    yield from _findings(closed, comparison.closed, comparison.target, names)


def _findings(title: str, findings: Sequence[ReportedFinding], target: str, names: Names) -> Iterator[str]:
    if findings:
        yield from ("", f"{title} ({len(findings):,})")
        yield from bounded(findings, lambda one: _line(one, target, names))


def _changes(title: str, changes: Sequence[Change], target: str, names: Names) -> Iterator[str]:
    if changes:
        yield from ("", f"{title} ({len(changes):,})")
        yield from bounded(changes, lambda one: _line(one.after, target, names, _was(one.before)))


def _line(finding: ReportedFinding, target: str, names: Names, was: str | None = None) -> str:
    return f"{finding.severity:<8}  {line(finding, target=target, names=names, was=was)}"


def _was(finding: ReportedFinding) -> str:
    accepted = "" if finding.accepted is None else ", accepted as that"
    return f"was {finding.severity}, {finding.state}{accepted}"
