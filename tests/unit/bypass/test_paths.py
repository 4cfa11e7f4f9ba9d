"""The whole report: its verdict, one finding for each principal and way, ids that stay, and what was not read."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bypass import paths
from shared.bypass.finding import Finding, Principal, Report, Unread
from tests.unit.bypass import big, oracle, waysworld, world

ML = "Microsoft.MachineLearningServices/workspaces/"
SCORE = f"{ML}onlineEndpoints/score/action"
KEYS = f"{ML}onlineEndpoints/listKeys/action"
ASSIGN = "Microsoft.Authorization/roleAssignments/write"

Row = dict[str, Any]


def finding(severity: Any) -> Finding:
    return Finding(
        id="0",
        severity=severity,
        way="invoke",
        principal=Principal(id="a", type="user"),
        state="active",
        detail="",
    )


UNREAD = Unread(what="groups", why="403")


@pytest.mark.parametrize(
    ("severities", "unread", "verdict"),
    [
        ([], [], "closed"),
        (["low"], [], "closed"),
        ([], [UNREAD], "not-proven"),
        (["low"], [UNREAD], "not-proven"),
        (["medium"], [], "open"),
        (["medium"], [UNREAD], "open"),
        (["critical", "low"], [], "open"),
    ],
)
def test_the_verdict(severities: list[str], unread: list[Unread], verdict: str) -> None:
    """Open by any finding of medium or above, whatever was not read; closed only if all was."""
    assert paths.verdict(map(finding, severities), unread) == verdict


def test_nobody_and_nothing_is_closed() -> None:
    """E08: the gate alone may call, all was read, nobody comes from the public internet."""
    row: Row = {
        "gate": "gate",
        "roles": {"scorer": {"actions": [SCORE]}},
        "assign": [{"to": "gate", "role": "scorer"}],
    }
    found = waysworld.report(row)
    assert found == Report(verdict="closed", target=world.ENDPOINT)


def test_what_was_not_read_is_never_closed() -> None:
    """It comes first, with its reason, in whatever order it was written."""
    unread = [{"what": "siblings", "why": "429"}, "denies", {"what": "groups", "why": "403", "id": "g"}]
    found = waysworld.report({"unread": unread})
    assert found.verdict == "not-proven"
    assert [(entry.what, entry.why) for entry in found.unread] == [
        ("denies", "no reason is given"),
        ("groups", "403"),
        ("siblings", "429"),
    ]


@pytest.mark.parametrize("missing", ["denyAssignments", "roleEligibilityScheduleInstances", "directory"])
def test_what_a_snapshot_leaves_out_was_not_read(missing: str) -> None:
    """Nothing is empty because it is not there."""
    made = waysworld.document({})
    del made[missing]
    found = waysworld.judged(made)
    assert (found.verdict, [entry.what for entry in found.unread]) == ("not-proven", [missing])


def test_a_role_without_definition_may_permit_anything() -> None:
    """Whoever has it has every way, as one that cannot be told; and the role is named as not read."""
    found = waysworld.report(
        {"gate": "gate", "assign": [{"to": "alice", "role": "lost", "at": "subscription"}]}
    )
    assert {item.way for item in waysworld.about(found, "alice")} >= {
        *("invoke", "keys", "change-resource", "run-elsewhere", "secrets", "grant", "take-gate"),
    }
    assert {item.state for item in waysworld.about(found, "alice")} == {"conditional", "latent"}
    assert [entry.what for entry in found.unread] == [
        f"role definition {world.SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/lost"
    ]
    [invoke] = [item for item in waysworld.about(found, "alice") if item.way == "invoke"]
    assert invoke.grants[0].action == SCORE
    assert "the definition of a role was not read" in invoke.detail


TWICE: Row = {
    "keys": "taken",
    "roles": {
        "scorer": {"actions": [SCORE, KEYS, f"{ML}onlineEndpoints/token/action"]},
        "all": {"actions": [f"{ML}*"], "not": [ASSIGN]},
    },
    "groups": {"outer": ["inner"], "inner": ["alice"]},
    "assign": [
        {"to": "outer", "role": "all", "at": "subscription", "id": "wide"},
        {"to": "alice", "role": "scorer", "at": "workspace", "id": "near", "eligible": True},
        {"to": "inner", "role": "scorer", "at": "target", "id": "here"},
    ],
}


def test_all_that_gives_somebody_a_way_is_one_finding() -> None:
    """E08: each assignment with the pattern that matched, the smallest scope first, and the fix takes every one away."""
    found = waysworld.report(TWICE)
    [invoke] = [item for item in waysworld.about(found, "alice") if item.way == "invoke"]
    assert [*zip(waysworld.assignments(invoke), (grant.action for grant in invoke.grants), strict=True)] == [
        ("here", SCORE),
        ("near", SCORE),
        ("wide", f"{ML}*"),
    ]
    assert (invoke.state, invoke.via) == ("active", ("inner",))
    assert [fix.split()[1] for fix in invoke.fix] == ["role", "rest", "role"]
    [keys] = [item for item in waysworld.about(found, "alice") if item.way == "keys"]
    assert [*zip(waysworld.assignments(keys), (grant.action for grant in keys.grants), strict=True)] == [
        ("here", KEYS),
        ("here", f"{ML}onlineEndpoints/token/action"),
        ("near", KEYS),
        ("near", f"{ML}onlineEndpoints/token/action"),
        ("wide", f"{ML}*"),
    ]
    assert len(keys.fix) == 3
    assert keys.detail == "May list its keys; fetch a token that needs no role; regenerate its keys."


def test_a_finding_says_since_when() -> None:
    """As Azure tells it of the assignment, or of the eligible one."""
    made = waysworld.document(TWICE)
    made["roleAssignments"][0]["properties"]["createdOn"] = "2024-05-06T07:08:09Z"
    made["roleEligibilityScheduleInstances"][0]["properties"]["startDateTime"] = "2025-01-01T00:00:00Z"
    found = waysworld.judged(made)
    since = {
        name: grant.since
        for item in found.findings
        for name, grant in zip(waysworld.assignments(item), item.grants, strict=True)
    }
    assert since == {"wide": "2024-05-06T07:08:09Z", "near": "2025-01-01T00:00:00Z", "here": None}


def test_the_worst_comes_first() -> None:
    """Then by way, then by who."""
    found = waysworld.report(
        {
            **TWICE,
            "public": True,
            "assign": [*TWICE["assign"], {"to": "bob", "role": "scorer", "eligible": True}],
        }
    )
    assert [(item.severity, item.way, item.principal.id) for item in found.findings][:4] == [
        ("critical", "auth-mode", world.ENDPOINT),
        ("high", "invoke", "alice"),
        ("high", "keys", "alice"),
        ("medium", "invoke", "bob"),
    ]
    assert found.findings[-1].way == "network"


def test_who_it_is_stands_as_the_directory_has_it() -> None:
    """Its type and its name; of whom the directory does not know, the type that the assignment says."""
    row: Row = {
        "roles": {"scorer": {"actions": [SCORE]}},
        "assign": [
            {"to": "robot", "role": "scorer"},
            {"to": "gone", "role": "scorer", "type": "ServicePrincipal"},
            {"to": "lost", "role": "scorer"},
        ],
    }
    assert [item.principal for item in waysworld.report(row).findings] == [
        Principal(id="gone", type="servicePrincipal"),
        Principal(id="lost", type="unknown"),
        Principal(id="robot", type="servicePrincipal", display_name="Robot"),
    ]


def test_ids_tell_findings_apart_and_stay() -> None:
    """They follow from way, principal and target alone: not from the case of letters, the grants or who else is there."""
    found = waysworld.report(TWICE)
    ids = {(item.way, item.principal.id): item.id for item in found.findings}
    assert len(set(ids.values())) == len(found.findings)
    fewer = copy.deepcopy(TWICE)
    fewer["assign"] = [{"to": "Alice", "role": "SCORER", "at": "workspace"}]
    again = waysworld.report(fewer)
    assert {(item.way, item.principal.id): item.id for item in again.findings}.items() <= ids.items()
    other = waysworld.document(TWICE)
    other["target"]["id"] = f"{world.ENDPOINT.upper()}/"
    assert {item.id for item in waysworld.judged(other).findings} == set(ids.values())
    other["target"]["id"] = f"{world.WORKSPACE}/onlineEndpoints/other"
    assert not {item.id for item in waysworld.judged(other).findings} & set(ids.values())
    assert ids["invoke", "alice"] == "364e028241f4b1da"


# What holds in every world.

PATTERNS = ("*", f"{ML}*", SCORE, KEYS, f"{ML}onlineEndpoints/write", ASSIGN, "Microsoft.Authorization/*")
PLACES = ("root", "corp", "subscription", "group", "workspace", "target", "other-subscription", "site")
PEOPLE = ("alice", "bob", "gate", "analysts", "risk", "gone", "unlisted")
GROUPS = ("analysts", "risk", "emergency")

patterns = st.lists(st.sampled_from(PATTERNS), max_size=2)
roles = st.fixed_dictionaries({"actions": patterns, "not": patterns})
assignments = st.fixed_dictionaries(
    {
        "to": st.sampled_from(PEOPLE),
        "role": st.sampled_from(["one", "two", "missing"]),
        "at": st.sampled_from(PLACES),
        "eligible": st.booleans(),
    },
    optional={"condition": st.sampled_from([oracle.NO_WRITES, oracle.UNTOLD])},
)
denies = st.fixed_dictionaries(
    {
        "from": st.sampled_from([["everyone"], ["alice"], ["analysts"]]),
        "except": st.lists(st.sampled_from(["gate", "emergency", "bob"]), max_size=2),
        "at": st.sampled_from(PLACES[2:6]),
        "actions": patterns,
        "protected": st.booleans(),
        "effect": st.sampled_from(["enforced", "enforced", "audit"]),
    }
)
members = st.lists(st.sampled_from([*PEOPLE, "carol"]), max_size=3)
worlds = st.fixed_dictionaries(
    {
        "keys": st.sampled_from(["refused", "taken"]),
        "gate": st.just("gate"),
        "roles": st.fixed_dictionaries({"one": roles, "two": roles}),
        "groups": st.fixed_dictionaries(dict.fromkeys(GROUPS, members)),
        "owners": st.fixed_dictionaries(dict.fromkeys(GROUPS, members)),
        "unlisted": st.just(["unlisted"]),
        "assign": st.lists(assignments, max_size=5),
        "deny": st.lists(denies, max_size=2),
    }
)


def shuffled(value: Any, pick: random.Random) -> Any:
    """Return the JSON value with every list and every object in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(inner, pick)) for name, inner in value.items()]
        pick.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return pick.sample([shuffled(inner, pick) for inner in value], len(value))
    return value


def ways(found: Report) -> dict[tuple[str, str], str]:
    return {(item.way, item.principal.id): item.severity for item in found.findings}


@settings(max_examples=150, deadline=None)
@given(worlds, st.integers())
def test_order_never_matters(row: Row, seed: int) -> None:
    """Azure's answers come in any order: the report is the same, to the last word."""
    made = waysworld.document(row)
    assert waysworld.judged(shuffled(made, random.Random(seed))) == waysworld.judged(made)


@settings(max_examples=150, deadline=None)
@given(worlds, assignments)
def test_an_assignment_more_closes_no_way(row: Row, more: Row) -> None:
    """Whoever had a way has it still, at least as bad, whatever else is assigned."""
    before = ways(waysworld.report(row))
    after = ways(waysworld.report({**row, "assign": [*row["assign"], more]}))
    order = ["low", "medium", "high", "critical"]
    assert all(order.index(after[way]) >= order.index(severity) for way, severity in before.items())


@settings(max_examples=150, deadline=None)
@given(worlds, denies)
def test_a_deny_more_opens_no_way(row: Row, more: Row) -> None:
    """It takes ways away. What it may add is who can lift it, and who can escape it from a way that was open before.

    Who owns a group that can lift it is one of the first.
    """
    before = waysworld.report(row)
    after = waysworld.report({**row, "deny": [*row["deny"], more]})
    added = ways(after).keys() - ways(before).keys()
    assert {way for way, _ in added} <= {"remove-deny", "group-owner"}
    able = {principal for (_, principal), severity in ways(before).items() if severity != "low"}
    lifts = {item.principal.id for item in after.findings if "deny assignment" in item.detail}
    assert {principal for way, principal in added if way == "group-owner"} <= able | lifts
    assert before.verdict == "open" or after.verdict != "open"


@settings(max_examples=100, deadline=None)
@given(worlds)
def test_findings_are_told_apart_and_the_gate_calls(row: Row) -> None:
    """No id twice, and the gate's calls are never a way around it."""
    found = waysworld.report(row)
    ids = [item.id for item in found.findings]
    assert len(set(ids)) == len(ids)
    assert ("invoke", "gate") not in ways(found)


def test_a_large_tenant_is_judged_in_seconds() -> None:
    """Thousands of assignments, and each of those who are able is told once for each way."""
    made = big.document(assignments=2_000, roles=200, principals=4_000)
    found = waysworld.judged(made)
    told = [(item.way, item.principal.id) for item in found.findings]
    assert len(set(told)) == len(told) > 10_000
