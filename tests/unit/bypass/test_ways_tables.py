"""The ways, one action each: protocols 8.3, 8.4 and 8.7 by name, in every state that an assignment can be in.

A row of cases/ways-*.toml says what one action opens (`is`) at each of the places `at`; elsewhere (`not-at`) it opens
nothing. Each row is tried in each state, those in which it opens nothing first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.bypass.finding import Report
from tests.unit.bypass import waysworld

ROWS = waysworld.tables("online", "batch", "account", "rights", "gate")
OPENING = [case for case in ROWS if case.values[1]["is"]]
UNTOLD = "@Principal[team] StringEquals 'risk'"
FALSE = "!(ActionMatches{'*'})"
ROW_KEYS = {"id", "has", "at", "not-at", "data", "is", "taken"}

Row = dict[str, Any]


def patterns(row: Row) -> str:
    return "data" if row.get("data", False) else "actions"


def worlds(table: Row, row: Row, places: list[str], **given: Any) -> Iterator[Report]:
    """Yield what is found where alice has the row's action and no other, at each of `places` before each kind of target.

    `given` goes into the assignment, `world` of it into the world, `role` into the role.
    """
    more = given.pop("world", {})
    role = {patterns(row): [row["has"]], **given.pop("role", {})}
    for kind in table.get("targets", [table.get("target")]):
        for place in places:
            assigned = {"to": "alice", "role": "just", "at": place, **given}
            world = {"target": kind, "roles": {"just": role}, "assign": [assigned], **more}
            if "gate" in table:
                world["gate"] = table["gate"]
            yield waysworld.report(world, table)


def expected(said: str, state: str) -> list[str]:
    """Return the row's words as three, in `state`: what is eligible is medium at most, keys refused are latent."""
    found = []
    for words in filter(None, said.split(", ")):
        way, severity = words.split()
        latent = words == "keys low"
        grade = "medium" if state == "eligible" and severity == "high" else severity
        found.append(f"{way} {grade} {'latent' if latent else state}")
    return sorted(found)


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_elsewhere_it_opens_nothing(table: Row, row: Row) -> None:
    """The action beside the target, and not at it or above, is no way; and without findings the verdict is `closed`."""
    for found in worlds(table, row, row.get("not-at", [])):
        assert waysworld.told(found) == {}
        assert (found.verdict, found.unread) == ("closed", ())


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_role_that_excludes_it_opens_nothing(table: Row, row: Row) -> None:
    """What the role's NotActions, or NotDataActions, take away is not there."""
    excluded = {"not-data" if patterns(row) == "data" else "not": [row["has"]]}
    for found in worlds(table, row, row["at"], role=excluded):
        assert waysworld.told(found) == {}


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_condition_that_never_holds_opens_nothing(table: Row, row: Row) -> None:
    """A condition that is understood, and false, leaves no way."""
    for found in worlds(table, row, row["at"], condition=FALSE):
        assert waysworld.told(found) == {}


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_deny_assignment_closes_it(table: Row, row: Row) -> None:
    """Denied to everyone at the same place, nobody has it."""
    for place in row["at"]:
        deny = {"from": ["everyone"], "at": place, patterns(row): [row["has"]], "protected": True}
        for found in worlds(table, row, [place], world={"deny": [deny]}):
            assert waysworld.told(found) == {}


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_an_active_assignment_opens_it(table: Row, row: Row) -> None:
    """E08: at each place, children included, the action opens what the row says, and nothing else."""
    for found in worlds(table, row, row["at"]):
        assert waysworld.told(found).get("alice", []) == expected(row["is"], "active")
        opens = any(finding.severity != "low" for finding in found.findings)
        assert found.verdict == ("open" if opens else "closed")


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_an_eligible_assignment_opens_it_once_activated(table: Row, row: Row) -> None:
    """What Privileged Identity Management would activate is told as eligible, medium at most."""
    for found in worlds(table, row, row["at"], eligible=True):
        assert waysworld.told(found)["alice"] == expected(row["is"], "eligible")


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_condition_that_cannot_be_told_counts_as_able(table: Row, row: Row) -> None:
    """The state says so, the severity is that of an active one."""
    for found in worlds(table, row, row["at"], condition=UNTOLD):
        assert waysworld.told(found)["alice"] == expected(row["is"], "conditional")


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_member_of_a_member_has_it(table: Row, row: Row) -> None:
    """The groups in between are named, the one that holds the role last."""
    groups = {"groups": {"outer": ["inner"], "inner": ["bob"]}}
    for found in worlds(table, row, row["at"], to="outer", world=groups):
        assert waysworld.told(found)["bob"] == expected(row["is"], "active")
        assert {finding.via for finding in waysworld.about(found, "bob")} == {("inner", "outer")}


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_whom_the_directory_does_not_know_counts_as_able(table: Row, row: Row) -> None:
    """Deleted, foreign, or not readable: it cannot be told, and is not left out."""
    for found in worlds(table, row, row["at"], to="gone"):
        assert waysworld.told(found)["gone"] == expected(row["is"], "conditional")


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_a_group_whose_members_were_not_read_stands_for_them(table: Row, row: Row) -> None:
    """The group is told in their place, and that they were not read."""
    for found in worlds(table, row, row["at"], to="secret", world={"unlisted": ["secret"]}):
        assert waysworld.told(found)["secret"] == expected(row["is"], "conditional")
        assert [entry.what for entry in found.unread] == ['members of group "Secret"']


@pytest.mark.parametrize(("table", "row"), OPENING)
def test_the_gate_may_call_and_no_more(table: Row, row: Row) -> None:
    """The gate's identity is no finding for `invoke`; whatever else it has is one, and is told once."""
    for found in worlds(table, row, row["at"], to="gate", world={"gate": "gate"}):
        words = waysworld.told(found).get("gate", [])
        assert all(word.startswith("gate-excess ") for word in words)
        assert len(words) <= 1


@pytest.mark.parametrize(("table", "row"), [case for case in ROWS if "taken" in case.values[1]])
def test_keys_are_live_where_the_target_takes_them(table: Row, row: Row) -> None:
    """While the resource takes keys it is a finding itself, of the highest grade, and whoever lists them is a call away."""
    for found in worlds(table, row, row["at"], world={"keys": "taken"}):
        assert waysworld.told(found)["alice"] == expected(row["taken"], "active")
        assert waysworld.said(found.findings[0]) == "auth-mode critical active"
        assert found.verdict == "open"


MODELS = "Microsoft.CognitiveServices/accounts"
KNOWN_WRITES = ("OpenAI/responses/write", "AIServices/responses/write", "AIServices/agents/write")
KNOWN_ACTIONS = ("OpenAI/deployments/*", "OpenAI/images/*", "OpenAI/responses/*", "MaaS/*")


@pytest.mark.parametrize(
    ("given", "taken"),
    [("*/action", KNOWN_ACTIONS), ("*/write", KNOWN_WRITES), ("*", (*KNOWN_ACTIONS, *KNOWN_WRITES))],
)
def test_a_role_that_excludes_every_known_model_may_leave_others(given: str, taken: tuple[str, ...]) -> None:
    """E08: Azure adds data actions: what a wide pattern leaves is asked for, also where the table's own are excluded."""
    role = {"data": [f"{MODELS}/{given}"], "not-data": [f"{MODELS}/{pattern}" for pattern in taken]}
    row = {"target": "account", "roles": {"just": role}, "assign": [{"to": "alice", "role": "just"}]}
    assert waysworld.told(waysworld.report(row)) == {"alice": ["invoke high active"]}


@pytest.mark.parametrize(
    ("data", "matching", "told"),
    [
        ("OpenAI/*", "OpenAI/assistants/*", ["invoke high active"]),
        ("*", "*/assistants/*", ["invoke high active"]),
        ("*/write", "OpenAI/*", ["invoke high active"]),
        ("OpenAI/assistants/*", "*/action", ["invoke high active"]),
        ("OpenAI/*", "SpeechServices/*", []),
        ("OpenAI/assistants/*", "OpenAI/batches/*", []),
        ("OpenAI/*", "*/read", []),
    ],
)
@pytest.mark.parametrize("on_the_role", [False, True])
def test_what_a_condition_leaves_of_models_is_asked_for(
    data: str, matching: str, told: list[str], on_the_role: bool
) -> None:
    """E08: a condition tells actions apart that no table knows; who has what it leaves calls models."""
    condition = {"condition": f"ActionMatches{{'{MODELS}/{matching}'}}"}
    role = {"data": [f"{MODELS}/{data}"], **(condition if on_the_role else {})}
    assigned = {"to": "alice", "role": "just", **({} if on_the_role else condition)}
    found = waysworld.report({"target": "account", "roles": {"just": role}, "assign": [assigned]})
    assert waysworld.told(found).get("alice", []) == told


def test_a_role_that_keeps_every_verb_of_a_call_back_calls_nothing() -> None:
    """What stands in place of a star ends as calls do: reading and deleting are left, and call no model."""
    role = {"data": [f"{MODELS}/*"], "not-data": [f"{MODELS}/*/action", f"{MODELS}/*/write"]}
    row = {"target": "account", "roles": {"just": role}, "assign": [{"to": "alice", "role": "just"}]}
    assert waysworld.told(waysworld.report(row)) == {}


def test_the_tables_are_read_whole() -> None:
    """No row has a key that nothing reads, and each sentence stands for one row."""
    assert all(case.values[1].keys() <= ROW_KEYS for case in ROWS)
    assert len({case.id for case in ROWS}) == len(ROWS)
