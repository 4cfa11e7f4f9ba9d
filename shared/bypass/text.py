"""The report as text for people: the verdict first, then what could not be read, then findings, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from shared.bypass.finding import Severity
from shared.bypass.lines import (
    MOST,
    WHOLE,
    bounded,
    bounds,
    called,
    command_lines,
    gated,
    line,
    links,
    place,
    unread_lines,
    who,
)
from shared.bypass.report import Allowance, BypassReport, ReportedFinding, counting, principals, unproven
from shared.bypass.visible import bare, quoted, visible
from shared.bypass.wording import SEVERITIES, STATE, VERDICT, WAYS, counted, times

_STATUS = {
    "expired": "has expired, and the finding counts again",
    "exceeded": "accepts less than the finding has become, and it counts again",
    "unused": "is for a finding that there is not; take it out",
}


def text(report: BypassReport, fail_on: Severity) -> str:
    """Return the report for people; `fail_on` is the severity from which on a finding counts."""
    return "\n".join(_report(report, fail_on)) + "\n"


def headline(report: BypassReport) -> str:
    """Return the verdict in one sentence."""
    around = f"around {'any' if report.gate is None else 'the'} gate to {place(report.target)}"
    found = [finding for finding in report.findings if finding.severity != "low"]
    # What is low lets nobody in by itself: it is told, and is no way.
    beside = ", besides what is of low severity" if len(report.findings) > len(found) else ""
    word = VERDICT[report.verdict]
    if report.after_commands is not None:
        word = f"{word} if {counted(report.after_commands, 'command')} were run"
    if found:
        rest = "; not everything could be read, so there may be more" if unproven(report) else ""
        return f"{word}: {_counts(found)}, {around}{rest}."
    if unproven(report):
        return f"{word}: no way {around} was found{beside}, but not everything could be read."
    return f"{word}: nothing goes {around}{beside}."


def _counts(findings: Sequence[ReportedFinding]) -> str:
    told = f"{counted(len(findings), 'finding')}, by {counted(len({one.way for one in findings}), 'way')}"
    people = principals(findings)
    # What the resource itself takes or answers is of nobody.
    return f"{told}, of {counted(people, 'principal')}" if people else told


def numbers(report: BypassReport, fail_on: Severity) -> str:
    """Return how many findings there are of each severity, how many are accepted and how many count; empty for none."""
    found = Counter(finding.severity for finding in report.findings)
    accepted = sum(finding.accepted is not None for finding in report.findings)
    if not found:
        return ""
    each = ", ".join(f"{found[severity]:,} {severity}" for severity in SEVERITIES if found[severity])
    count = counting(report.findings, fail_on)
    return f"{each}; {accepted:,} accepted; {count:,} at or above {fail_on} and not accepted"


def explain(report: BypassReport, finding: ReportedFinding) -> str:
    """Return one finding with its whole chain, for people."""
    return "\n".join(_explanation(report, finding)) + "\n"


def _report(report: BypassReport, fail_on: Severity) -> Iterator[str]:
    yield headline(report)
    summary = numbers(report, fail_on)
    if summary:
        yield summary
    if report.unread:
        yield ""
        yield f"not read ({len(report.unread):,}): nothing is proven closed"
        yield from unread_lines(report.unread)
    yield ""
    yield f"target  {bare(report.target, 1000)}"
    yield f"gate    {gated(report.gate)}"
    yield f"when    {times(report.collected, report.judged)}"
    yield from _allowances(report.allowances)
    for severity in SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        if found:
            yield ""
            yield f"{severity} ({len(found):,})"
            yield from bounded(
                found,
                lambda finding: line(finding, target=report.target, names=report.names),
                _ways(found[MOST:]),
            )
    yield ""
    if report.findings:
        yield "--explain ID tells the chain of one finding, --fixes the commands that close them."
    yield "What no report proves, such as that nobody copied a key before, stands in docs/bypass.md."


def _ways(findings: Sequence[ReportedFinding]) -> str:
    ways = Counter(finding.way for finding in findings)
    return f" ({', '.join(f'{number:,} {way}' for way, number in ways.most_common())})"


def _allowances(allowances: Sequence[Allowance]) -> Iterator[str]:
    told = [entry for entry in allowances if entry.status != "used"]
    if told:
        yield ""
        yield f"acceptances that do not count ({len(told):,})"
        yield from bounded(
            told,
            lambda entry: (
                f"{bare(entry.id)}  until {entry.until}, {visible(entry.owner)}: {_STATUS[entry.status]}"
            ),
        )


def _explanation(report: BypassReport, finding: ReportedFinding) -> Iterator[str]:
    names = report.names
    wording = WAYS[finding.way]
    yield f"{bare(finding.id)}  {finding.severity}  {finding.way}: {wording.title.lower()}"
    yield f"means   {wording.meaning}"
    yield f"who     {who(finding.principal, report.target)}"
    for how, group in links(finding):
        yield f"        {how} {called(group, names)} (group {bare(group)})"
    yield f"what    {visible(finding.detail, WHOLE)}"
    yield f"state   {finding.state}: {STATE[finding.state]}"
    for grant in finding.grants[:MOST]:
        role = grant.role_definition_id
        name = f"{quoted(names[role])} " if role in names else ""
        yield f"grant   role {name}({bare(role, 1000)})"
        yield f"        at scope {bare(grant.scope, 1000)}"
        yield f"        whose action {bare(grant.action)} matches"
        since = "" if grant.since is None else f", since {bare(grant.since)}"
        yield f"        by assignment {bare(grant.assignment_id, 1000)}{since}"
    if len(finding.grants) > MOST:
        yield f"        and {len(finding.grants) - MOST:,} more; --json has all"
    if finding.accepted is not None:
        accepted = finding.accepted
        owner, why = visible(accepted.owner), visible(accepted.reason, 1000)
        yield f"accepted until {accepted.until} by {owner}{bounds(accepted)}: {why}"
    for command in finding.fix:
        first, *more = command_lines(command)
        yield f"fix     {first}"
        yield from (f"        {written}" for written in more)
