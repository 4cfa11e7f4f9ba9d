"""The report as SARIF 2.1.0: the published structure, what code scanning reads of it, and names that mean harm."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
import pytest

from shared.bypass.finding import Principal, Unread
from shared.bypass.report import Acceptance
from shared.bypass.sarif import MOST, sarif
from tests.unit.bypass import told

Text = Annotated[str, msgspec.Meta(min_length=1)]
Level = Literal["none", "note", "warning", "error"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class _Object(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """An object of the published schema: its members that are used here, each of its type, and no other name."""


class Message(_Object):
    text: Text


class Configuration(_Object):
    level: Level


class Rule(_Object):
    id: Text
    name: Text
    short_description: Message
    full_description: Message
    help: Message
    default_configuration: Configuration
    properties: dict[str, Any]


class Driver(_Object):
    name: Text
    rules: list[Rule]


class Tool(_Object):
    driver: Driver


class Notification(_Object):
    level: Level
    message: Message


class Invocation(_Object):
    execution_successful: bool
    end_time_utc: datetime
    tool_execution_notifications: list[Notification]


class Artifact(_Object):
    uri: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~%/-]+$")]


class Region(_Object):
    start_line: Annotated[int, msgspec.Meta(ge=1)]


class Physical(_Object):
    artifact_location: Artifact
    region: Region


class Logical(_Object):
    fully_qualified_name: Text
    kind: Text


class Location(_Object):
    physical_location: Physical
    logical_locations: list[Logical] = []


class Suppression(_Object):
    kind: Literal["inSource", "external"]
    status: Literal["accepted", "underReview", "rejected"]
    justification: Text


class Result(_Object):
    rule_id: Text
    rule_index: Count
    level: Level
    message: Message
    locations: list[Location]
    partial_fingerprints: dict[str, str]
    properties: dict[str, Any] = {}
    suppressions: list[Suppression] = []


class Automation(_Object):
    id: Text


class Run(_Object):
    tool: Tool
    automation_details: Automation
    invocations: list[Invocation]
    results: list[Result]
    properties: dict[str, Any]


class Log(_Object):
    schema: Annotated[str, msgspec.Meta(pattern="sarif-schema-2.1.0.json$")] = msgspec.field(name="$schema")
    version: Literal["2.1.0"]
    runs: list[Run]


def run(report: Any) -> Run:
    """Return the one run of the report's log, each object of it checked."""
    return msgspec.json.decode(json.dumps(sarif(report)), type=Log).runs[0]


def test_a_whole_report_has_the_published_structure() -> None:
    """Each finding and each thing unread is a result of a rule that stands at its index."""
    made = run(told.SAMPLE)
    rules = made.tool.driver.rules
    assert [result.rule_id for result in made.results] == [
        *("auth-mode/critical", "invoke/high", "invoke/high", "grant/medium", "network/low", "not-read"),
    ]
    assert all(rules[result.rule_index].id == result.rule_id for result in made.results)
    assert len({rule.id for rule in rules}) == len(rules) == 5
    assert made.automation_details.id.endswith("/onlineEndpoints/fraud-score/")


_LEVELS: list[tuple[Any, str, float, float]] = [
    ("critical", "error", 9.0, 10.0),
    ("high", "error", 7.0, 8.9),
    ("medium", "warning", 4.0, 6.9),
    ("low", "note", 0.1, 3.9),
]


@pytest.mark.parametrize(("severity", "level", "least", "most"), _LEVELS, ids=[row[0] for row in _LEVELS])
def test_code_scanning_shows_each_severity_as_itself(
    severity: Any, level: str, least: float, most: float
) -> None:
    """It reads the level of the result, and the severity from the rule's score."""
    made = run(told.report(told.finding(severity=severity)))
    (rule,) = made.tool.driver.rules
    assert made.results[0].level == rule.default_configuration.level == level
    assert least <= float(rule.properties["security-severity"]) <= most
    assert "security" in rule.properties["tags"]


def test_one_way_of_two_severities_is_two_rules() -> None:
    """Else the latent one would be shown as bad as the other."""
    made = run(told.report(told.finding("1"), told.finding("2", severity="low", state="latent")))
    assert [rule.id for rule in made.tool.driver.rules] == ["invoke/high", "invoke/low"]


def test_a_finding_keeps_its_fingerprint_and_no_two_share_one() -> None:
    """An alert stays the same alert in every run, and two findings at one place are two alerts."""
    first, again = (
        run(told.report(told.finding("1", detail=text), told.finding("2"))) for text in ("a", "b")
    )
    assert [one.partial_fingerprints for one in first.results] == [
        one.partial_fingerprints for one in again.results
    ]
    assert [one.partial_fingerprints["primaryLocationLineHash"] for one in first.results] == ["1", "2"]


def test_an_accepted_finding_stays_and_is_suppressed() -> None:
    """Code scanning closes it, and says who answers for it and until when."""
    accepted = Acceptance(owner="Dana Fox", reason="sealed", until=date(2026, 12, 31))
    made = run(told.report(told.finding("1", accepted=accepted), told.finding("2")))
    assert [len(one.suppressions) for one in made.results] == [1, 0]
    assert made.results[0].suppressions[0] == Suppression(
        kind="external", status="accepted", justification="Dana Fox, until 2026-12-31: sealed"
    )


def test_an_owner_is_told_as_one() -> None:
    """Not as a member of the group."""
    (result,) = run(told.report(told.finding(way="group-owner", severity="medium"))).results
    assert ' as owner of "Fraud Team" > "All Staff": ' in result.message.text


def test_what_was_not_read_is_a_result_and_the_run_no_success() -> None:
    """Nobody takes an analysis for complete that was not; a message says what was missing."""
    made = run(told.report(unread=(Unread(what="denyAssignments", why="403"),), verdict="not-proven"))
    assert not made.invocations[0].execution_successful
    assert [one.message.text for one in made.results] == ["denyAssignments could not be read: 403"]
    assert [one.level for one in made.invocations[0].tool_execution_notifications] == ["note", "error"]


def test_nothing_found_is_a_run_without_results() -> None:
    """An empty list, not a missing one: code scanning then closes what was open."""
    made = run(told.report())
    assert made.results == []
    assert made.invocations[0].execution_successful
    assert made.invocations[0].tool_execution_notifications[0].message.text.startswith("CLOSED: ")


def test_an_acceptance_that_does_not_count_is_notified() -> None:
    """Expired ones and those for nothing are told here too."""
    told_ = [one.message.text for one in run(told.SAMPLE).invocations[0].tool_execution_notifications]
    assert "Acceptance of h1 by Web team does not count: expired." in told_
    assert "Acceptance of zz by Old team does not count: unused." in told_


@pytest.mark.parametrize("name", sorted(told.HOSTILE))
def test_no_name_becomes_a_link_a_placeholder_or_a_control(name: str) -> None:
    """Messages hold no unescaped bracket or brace (SARIF 3.11.5, 3.11.6), and nothing that cannot be seen."""
    value = sarif(told.hostile(told.HOSTILE[name]))
    made = msgspec.json.decode(json.dumps(value), type=Log).runs[0]
    messages = [one.message.text for one in made.results]
    messages += [one.message.text for one in made.invocations[0].tool_execution_notifications]
    messages += [one.justification for result in made.results for one in result.suppressions]
    for text in messages:
        bare = re.sub(r"\\[\\\[\]]|\{\{|\}\}", "", text)
        assert not set(bare) & set("\\[]{}")
    assert all(text.isprintable() and len(text) < 3_000 for text in messages)
    uri = made.results[0].locations[0].physical_location.artifact_location.uri
    assert unquote(uri, errors="surrogatepass").startswith(told.TARGET.strip("/"))


def test_no_more_results_than_code_scanning_keeps_the_worst_first() -> None:
    """Of 50,000 findings it would refuse all; how many are left out is notified, and what was not read stays."""
    worst = told.finding("worst", severity="critical", principal=Principal(id="x", type="user"))
    big = told.many(50_000)
    unread = (Unread(what="denyAssignments", why="403"),)
    made = run(told.report(worst, *big.findings, unread=unread))
    assert len(made.results) == MOST
    assert made.results[0].partial_fingerprints["groupgateFinding/v1"] == "worst"
    assert made.results[-1].rule_id == "not-read"
    told_ = [one.message.text for one in made.invocations[0].tool_execution_notifications]
    assert f"{50_001 + 1 - MOST:,} more findings are left out here; --json has all." in told_
