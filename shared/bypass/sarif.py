"""The report as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), as GitHub code scanning takes it.

Code scanning refuses a run of more than 25,000 results and keeps 5,000 of it; so no more than those are written, the
worst first, and a notification says how many there are. It knows a severity only by the rule, so each way is a rule for
each severity that it comes with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from shared.bypass.finding import Severity, Unread, Way
from shared.bypass.lines import bounds, brief, chained, who
from shared.bypass.report import BypassReport, ReportedFinding, unproven
from shared.bypass.text import headline
from shared.bypass.visible import visible
from shared.bypass.wording import STATE, WAYS, severity_rank, times

MOST: Final = 5_000
_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final[dict[Severity, str]] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
}
_SCORES: Final[dict[Severity, str]] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""Code scanning's `security-severity`: critical from 9.0, high from 7.0, medium from 4.0, low from 0.1."""

_NOT_READ: Final = "not-read"
_UNREAD: Final = 100
_GRANTS: Final = 20

Json = dict[str, Any]


def sarif(report: BypassReport) -> Json:
    """Return the report as a SARIF log, a JSON value; accepted findings are in it, suppressed."""
    # What could not be read comes first: it says how much the rest is worth.
    unread = report.unread[:_UNREAD]
    findings = report.findings[: MOST - len(unread)]
    rules = sorted(
        {(finding.way, finding.severity) for finding in findings},
        key=lambda rule: (rule[0], severity_rank(rule[1])),
    )
    numbers = {_rule_id(*rule): at for at, rule in enumerate(rules)}
    made: list[Json] = [_rule(*rule) for rule in rules]
    if unread:
        numbers[_NOT_READ] = len(made)
        made.append(_not_read_rule())
    run: Json = {
        "tool": {"driver": {"name": "Groupgate bypass", "rules": made}},
        "automationDetails": {"id": f"groupgate-bypass/{_uri(report.target)}/"},
        "invocations": [
            {
                # What could not be read may hide more: an analysis like that was not completed.
                "executionSuccessful": not unproven(report),
                "endTimeUtc": f"{report.judged:%Y-%m-%dT%H:%M:%SZ}",
                "toolExecutionNotifications": list(_notifications(report)),
            }
        ],
        "results": [
            *(_result(finding, report, numbers) for finding in findings),
            *(_unread(item, report, numbers[_NOT_READ]) for item in unread),
        ],
        "properties": {
            "verdict": report.verdict,
            "target": visible(report.target, 1000),
            "times": times(report.collected, report.judged),
        },
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_id(way: Way, severity: Severity) -> str:
    return f"{way}/{severity}"


def _rule(way: Way, severity: Severity) -> Json:
    wording = WAYS[way]
    return {
        "id": _rule_id(way, severity),
        "name": "".join(part.capitalize() for part in way.split("-")),
        "shortDescription": {"text": f"Around the gate: {wording.title.lower()}"},
        "fullDescription": {"text": wording.meaning},
        "help": {
            "text": f"{wording.meaning} groupgate bypass --explain ID tells the chain, --fixes what closes it."
        },
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": {"security-severity": _SCORES[severity], "tags": ["security"]},
    }


def _not_read_rule() -> Json:
    return {
        "id": _NOT_READ,
        "name": "NotRead",
        "shortDescription": {"text": "Not everything could be read: nothing is proven closed"},
        "fullDescription": {"text": "What was not read may hold more ways around the gate."},
        "help": {"text": "Give whoever collects what the message names, or collect as somebody who has it."},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"security-severity": _SCORES["medium"], "tags": ["security"]},
    }


def _result(finding: ReportedFinding, report: BypassReport, numbers: dict[str, int]) -> Json:
    rule = _rule_id(finding.way, finding.severity)
    who_ = f"{who(finding.principal, report.target)}{chained(finding, report.names)}"
    told = f"{who_}: {brief(finding.detail, 400)}"
    result: Json = {
        "ruleId": rule,
        "ruleIndex": numbers[rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": _plain(f"{told} ({finding.state}: {STATE[finding.state]})")},
        "locations": [_location(report.target, finding)],
        "partialFingerprints": {
            "groupgateFinding/v1": visible(finding.id),
            # The one name that code scanning reads: without it two findings at one place would be one alert.
            "primaryLocationLineHash": visible(finding.id),
        },
        "properties": {
            "id": visible(finding.id),
            "severity": finding.severity,
            "state": finding.state,
            "principal": visible(finding.principal.id),
            "via": [visible(group) for group in finding.via],
            "assignments": [visible(grant.assignment_id, 1000) for grant in finding.grants[:_GRANTS]],
        },
    }
    if finding.accepted is not None:
        accepted = finding.accepted
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": _plain(
                    f"{visible(accepted.owner)}, until {accepted.until}{bounds(accepted)}: "
                    f"{visible(accepted.reason, 1000)}"
                ),
            }
        ]
    return result


def _unread(item: Unread, report: BypassReport, number: int) -> Json:
    told = f"{visible(item.what, 400)} could not be read: {visible(item.why, 400)}"
    return {
        "ruleId": _NOT_READ,
        "ruleIndex": number,
        "level": "warning",
        "message": {"text": _plain(told)},
        "locations": [_location(report.target, None)],
        "partialFingerprints": {"primaryLocationLineHash": f"{_NOT_READ}:{visible(item.what)}"},
    }


def _location(target: str, finding: ReportedFinding | None) -> Json:
    # Code scanning wants a file and a line; the target's id stands for both, and is the same in every run.
    location: Json = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(target)}, "region": {"startLine": 1}}
    }
    scopes = [] if finding is None else list(dict.fromkeys(grant.scope for grant in finding.grants))[:_GRANTS]
    if scopes:
        location["logicalLocations"] = [
            {"fullyQualifiedName": visible(scope, 1000), "kind": "resource"} for scope in scopes
        ]
    return location


def _uri(target: str) -> str:
    return quote(target.strip("/").encode("utf-8", "surrogatepass"), safe="/")


def _notifications(report: BypassReport) -> Iterator[Json]:
    yield _notification(headline(report), "note")
    left_out = len(report.findings) + min(len(report.unread), _UNREAD) - MOST
    if left_out > 0:
        yield _notification(f"{left_out:,} more findings are left out here; --json has all.", "warning")
    for item in report.unread[:_UNREAD]:
        yield _notification(f"Not read: {visible(item.what, 400)}: {visible(item.why, 400)}", "error")
    for entry in report.allowances:
        if entry.status != "used":
            yield _notification(
                f"Acceptance of {visible(entry.id)} by {visible(entry.owner)} does not count: {entry.status}.",
                "warning",
            )


def _notification(text: str, level: str) -> Json:
    return {"level": level, "message": {"text": _plain(text)}}


def _plain(text: str) -> str:
    """Return `text` as a plain text message that holds no placeholder and no link (SARIF 3.11.5 and 3.11.6).

    A name such as `[click](https://...)` would be one to follow otherwise, in a place that people trust.
    """
    for character, escaped in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), ("{", "{{"), ("}", "}}")):
        text = text.replace(character, escaped)
    return text
