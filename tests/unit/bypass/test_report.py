"""The report as JSON: what it holds, the schema that is published of it, and what is no report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.bypass import finding as findings
from shared.bypass import snapshot
from shared.bypass.compare import compare
from shared.bypass.finding import Finding, Principal, Report
from shared.bypass.paths import judge
from shared.bypass.report import (
    Allowance,
    ReportFault,
    allowed,
    counting,
    from_json,
    principals,
    publish,
    to_json,
    unproven,
)
from shared.bypass.schema import schema
from tests.unit.bypass import told, world
from tests.unit.bypass.schemas import faults

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "bypass.report.schema.json"
SCHEMA: dict[str, Any] = json.loads(schema())
OWNER = {
    "id": told.OWNER,
    "roleName": "Owner",
    "permissions": [{"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}],
}


def real() -> dict[str, Any]:
    """Return the report of a snapshot in which alice is Owner through two groups, as JSON."""
    row = {
        "assign": [{"to": "all-staff", "role": told.OWNER, "at": "subscription"}],
        "groups": {"all-staff": ["team"], "team": ["alice"]},
    }
    document = world.document(row) | {"roleDefinitions": [OWNER]}
    document["target"] = {"id": world.ENDPOINT, "properties": {"authMode": "AADToken"}}
    document["gate"] = {"principalId": "gate"}
    document["unread"] = [{"what": "denyAssignments", "why": "403"}]
    seen = snapshot.read(document)
    made: dict[str, Any] = json.loads(to_json(publish(judge(seen), seen, now=told.NOW)))
    return made


def test_the_committed_schema_is_the_one_that_the_types_make() -> None:
    """The file is in step; write it anew with `python -m shared.bypass.schema > docs/bypass.report.schema.json`."""
    assert COMMITTED.read_bytes() == schema()


@pytest.mark.parametrize("name", sorted(SCHEMA["$defs"]))
def test_every_member_of_the_schema_is_explained(name: str) -> None:
    """Who reads a report learns from the schema what each member says."""
    members = SCHEMA["$defs"][name]["properties"]
    assert [member for member, value in members.items() if not value.get("description")] == []


def test_a_real_report_is_valid_by_the_schema() -> None:
    """What `--json` prints of a snapshot is what is published, with findings of several ways."""
    made = real()
    assert list(faults(made, SCHEMA, SCHEMA)) == []
    assert {"invoke", "keys", "grant", "change-resource"} <= {one["way"] for one in made["findings"]}
    assert made["names"] == {"all-staff": "All-Staff", "team": "Team", told.OWNER: "Owner"}


@pytest.mark.parametrize("name", sorted(told.HOSTILE))
def test_a_report_with_hostile_names_is_valid_ascii_and_comes_back_whole(name: str) -> None:
    """No name can steer the terminal that JSON is printed on; none is lost or changed on the way."""
    made = told.hostile(told.HOSTILE[name])
    text = to_json(made)
    assert all(character == "\n" or " " <= character <= "~" for character in text)
    assert list(faults(json.loads(text), SCHEMA, SCHEMA)) == []
    assert from_json(json.loads(text)) == made


def test_a_comparison_is_valid_by_its_part_of_the_schema() -> None:
    """What `--compare --json` prints is published as well, with every kind of change in it."""
    old = told.report(told.finding("a"), told.finding("b"), told.finding("c", severity="low"))
    new = told.report(told.finding("b", severity="low"), told.finding("c"), told.finding("d"))
    made = json.loads(to_json(compare(old, new)))
    assert list(faults(made, SCHEMA["$defs"]["Comparison"], SCHEMA)) == []
    assert all(made[kind] for kind in ("opened", "worsened", "eased", "closed"))


_BROKEN: dict[str, Any] = {
    "no version": lambda made: made.pop("version"),
    "another version": lambda made: made.update(version=2),
    "no findings": lambda made: made.pop("findings"),
    "no list of what was not read": lambda made: made.pop("unread"),
    "a verdict that there is not": lambda made: made.update(verdict="safe"),
    "a time without a zone's sign": lambda made: made.update(judged="yesterday"),
    "findings that are an object": lambda made: made.update(findings={}),
    "a severity that there is not": lambda made: made["findings"][0].update(severity="none"),
    "a way that there is not": lambda made: made["findings"][0].update(way="luck"),
    "a finding without an id": lambda made: made["findings"][0].pop("id"),
    "an acceptance without its end": lambda made: made["findings"][0].update(
        accepted={"owner": "x", "reason": "y"}
    ),
    "a number for a name": lambda made: made["names"].update(x=1),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_what_is_no_report_is_refused_by_the_schema_and_by_who_reads_it(what: str) -> None:
    """Nothing that is missing or misspelt is taken for a report in which nothing was found."""
    made = real()
    _BROKEN[what](made)
    assert list(faults(made, SCHEMA, SCHEMA)) != []
    with pytest.raises(ReportFault):
        from_json(made)


def test_a_report_from_before_a_member_was_told_is_still_a_report() -> None:
    """The report of the night before can be compared with the first one that says more."""
    made = real()
    made["allowances"] = [{"id": "x", "owner": "y", "reason": "z", "until": "2026-12-31", "status": "unused"}]
    del made["collected"]
    assert list(faults(made, SCHEMA, SCHEMA)) == []
    read = from_json(made)
    assert read.collected is None
    assert (read.allowances[0].severity, read.allowances[0].state) == (None, None)


def test_a_member_that_is_not_known_yet_is_passed_over() -> None:
    """A later report with more in it can still be compared with an older one."""
    made = real()
    made["weather"] = made["findings"][0]["mood"] = "fine"
    assert from_json(made).findings[0].id == made["findings"][0]["id"]


def _plain(id_: str, **changes: Any) -> Finding:
    whole = told.finding(id_, **changes)
    return Finding(**{field: getattr(whole, field) for field in Finding.__struct_fields__})


def test_findings_are_told_by_severity_then_way_then_name_then_id() -> None:
    """The order says what to look at first, and is the same however they came."""
    zoe = Principal(id="1", type="user", display_name="Zoe")
    adam = Principal(id="2", type="user", display_name="adam")
    nobody = Principal(id="b", type="user")
    listed = (
        _plain("1", severity="low"),
        _plain("2", way="network"),
        _plain("3", principal=zoe),
        _plain("4", principal=adam),
        _plain("5", principal=nobody),
        _plain("7", principal=adam, severity="critical", way="keys"),
        _plain("6", principal=adam),
    )
    seen = snapshot.read(world.document({}))
    for order in (listed, listed[::-1]):
        made = publish(
            Report(verdict="open", target=told.TARGET, findings=order), seen, now=told.NOW
        ).findings
        assert [one.id for one in made] == ["7", "4", "6", "5", "3", "2", "1"]


def test_nothing_of_a_finding_is_lost_when_it_is_published() -> None:
    """Every member of a judged finding is in the report, and the gate is as the snapshot names it."""
    one = _plain("f1")
    seen = snapshot.read(world.document({}) | {"gate": {"principalId": "GATE"}})
    made = publish(Report(verdict="open", target=told.TARGET, findings=(one,)), seen, now=told.NOW)
    assert {field: getattr(made.findings[0], field) for field in Finding.__struct_fields__} == {
        field: getattr(one, field) for field in Finding.__struct_fields__
    }
    assert made.gate is not None
    assert (made.gate.principal_id, made.gate.site_id) == ("gate", None)
    assert made.judged == told.NOW


@pytest.mark.parametrize(("status", "accepted"), [("used", True), ("expired", False), ("unused", False)])
def test_only_an_allowance_in_use_accepts_its_finding(status: Any, accepted: bool) -> None:
    """A finding that was accepted stays in the report, marked; what no longer holds takes its mark away."""
    entry = Allowance(id="f1", owner="x", reason="y", until=told.ACCEPTED.until, status=status)
    before = told.report(told.finding("f1", accepted=told.ACCEPTED), told.finding("f2"))
    after = allowed(before, [entry])
    assert [one.accepted is not None for one in after.findings] == [accepted, False]
    assert after.allowances == (entry,)


@pytest.mark.parametrize(
    ("fail_on", "count"), [("critical", 1), ("high", 2), ("medium", 3), ("low", 4)], ids=str
)
def test_a_finding_counts_from_its_severity_on_unless_it_is_accepted(fail_on: Any, count: int) -> None:
    """Accepted findings never count, others at and above the severity asked for."""
    assert counting(told.SAMPLE.findings, fail_on) == count


def test_principals_are_counted_once_and_things_never() -> None:
    """The resource itself is nobody, and neither is a credential that stands for the gate."""
    credential = Principal(id="/x/federatedIdentityCredentials/y", type="federatedCredential")
    assert principals(told.SAMPLE.findings) == 2
    assert principals([told.finding(principal=credential)]) == 0


@pytest.mark.parametrize(
    ("verdict", "unread", "answer"),
    [("closed", False, False), ("closed", True, True), ("not-proven", False, True), ("open", True, True)],
)
def test_anything_unread_leaves_everything_unproven(verdict: Any, unread: bool, answer: bool) -> None:
    """Whatever the verdict says: what was not read may hold more."""
    items = (findings.Unread(what="x", why="y"),) if unread else ()
    assert unproven(told.report(verdict=verdict, unread=items)) is answer


def test_json_has_all_findings_however_many() -> None:
    """Other forms are cut, JSON never."""
    made = told.many(5_000)
    assert len(json.loads(to_json(made))["findings"]) == 5_000
