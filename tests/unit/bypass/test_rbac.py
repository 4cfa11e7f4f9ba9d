"""What the evaluator tells of a grant, and what it refuses to be asked."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.bypass import snapshot
from shared.bypass.rbac import Doubt, Evaluator, Grant, State
from tests.unit.bypass import big, world

SCORER = {"scorer": {"actions": ["Microsoft.MachineLearningServices/*/Score/action"]}}
ASKED: dict[str, Any] = {"action": world.ACTIONS["score"], "is_data": False, "scope": world.ENDPOINT}


def evaluator(**row: Any) -> Evaluator:
    return Evaluator(snapshot.read(world.document({"roles": SCORER, **row})))


def test_a_grant_names_the_whole_chain_as_it_is_written() -> None:
    """Who, through which groups, by which assignment, of which role, where, and by which pattern."""
    asked = evaluator(
        groups={"analysts": ["alice"]},
        assign=[{"to": "Analysts", "role": "scorer", "at": "group", "id": "/The/Assignment"}],
    )
    assert list(asked.who(**ASKED)) == [
        Grant(
            principal="alice",
            via=("analysts",),
            assignment="/The/Assignment",
            role=f"{world.SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/scorer",
            scope=world.GROUP,
            pattern="Microsoft.MachineLearningServices/*/Score/action",
            state=State.ACTIVE,
        )
    ]


def test_what_assignments_give_is_told_without_expanding_groups() -> None:
    """The holders are asked for where a whole group is to be judged; denies are not looked at."""
    asked = evaluator(
        groups={"analysts": ["alice", "bob"]},
        assign=[{"to": "analysts", "role": "scorer"}, {"to": "gate", "role": "scorer", "eligible": True}],
        deny=[{"from": ["everyone"], "actions": ["*"]}],
    )
    assert [(grant.principal, grant.via, grant.state) for grant in asked.held(**ASKED)] == [
        ("analysts", (), State.ACTIVE),
        ("gate", (), State.ELIGIBLE),
    ]


def test_a_group_has_what_its_members_get_through_it() -> None:
    """Asked about a group, its own assignments and those of the groups that it is in are told."""
    asked = evaluator(
        groups={"analysts": ["alice"], "risk": ["analysts"]},
        assign=[{"to": "risk", "role": "scorer"}, {"to": "bob", "role": "scorer"}],
    )
    access = asked.allows("analysts", **ASKED)
    assert [(grant.principal, grant.via, grant.state) for grant in access.grants] == [
        ("analysts", ("risk",), State.ACTIVE)
    ]


def test_a_group_in_a_ring_has_its_own_assignments_as_its_own() -> None:
    """That a group is, by a detour, within itself makes none of its assignments an inherited one."""
    asked = evaluator(
        groups={"one": ["other", "alice"], "other": ["one"]}, assign=[{"to": "one", "role": "scorer"}]
    )
    assert [grant.via for grant in asked.allows("one", **ASKED).grants] == [()]


def test_every_assignment_is_told() -> None:
    """A principal's assignments are told together, however many scopes and roles they are spread over."""
    asked = evaluator(
        roles={**SCORER, "owner": {"actions": ["*"]}},
        assign=[
            {"to": name, "role": role, "at": place}
            for place in ("endpoint", "workspace", "group", "root", "corp")
            for role in ("scorer", "owner")
            for name in ("alice", "bob", "carol")
        ],
    )
    found = list(asked.who(**ASKED))
    assert [grant.principal for grant in found] == ["alice"] * 10 + ["bob"] * 10 + ["carol"] * 10
    assert len({grant.assignment for grant in found}) == 30
    assert len(asked.allows("bob", **ASKED).grants) == 10


def test_what_is_denied_is_told_apart_from_what_stands() -> None:
    """An answer about one principal holds both, and says so in its state."""
    asked = evaluator(
        assign=[{"to": "alice", "role": "scorer"}], deny=[{"from": ["alice"], "actions": ["*"], "id": "seal"}]
    )
    access = asked.allows("alice", **ASKED)
    assert (access.able, access.state, access.grants) == (False, None, ())
    assert [grant.denied_by for grant in access.denied] == [("seal",)]
    assert list(asked.able(**ASKED)) == []


def test_what_the_assignment_says_of_a_principal_counts_wherever_it_is_met() -> None:
    """A user whom the directory does not know is no group, also as a member: a deny is certain."""
    asked = evaluator(
        groups={"analysts": ["gone"]},
        assign=[
            {"to": "analysts", "role": "scorer"},
            {"to": "gone", "role": "scorer", "at": "other-subscription", "type": "User"},
        ],
        deny=[{"from": ["everyone"], "except": ["gate"], "actions": ["*"]}],
    )
    assert list(asked.who(**ASKED)) == []


def test_several_doubts_are_all_told() -> None:
    """A reader must know everything that could not be told."""
    asked = evaluator(
        assign=[{"to": "gone", "role": "missing", "condition": "@Principal[a] StringEquals 'b'"}],
        deny=[{"from": ["everyone"], "except": ["who-knows"], "actions": ["*"]}],
    )
    [grant] = asked.who(**ASKED)
    assert grant.doubts == {Doubt.PRINCIPAL, Doubt.ROLE_DEFINITION, Doubt.CONDITION, Doubt.DENY}
    assert (grant.state, grant.pattern) == (State.CONDITIONAL, None)


@pytest.mark.parametrize(
    ("action", "scope", "message"),
    [
        ("*", world.ENDPOINT, "is a pattern"),
        ("Microsoft.Web/sites/*", world.ENDPOINT, "is a pattern"),
        (world.ACTIONS["score"], "fraud-score", "is not a scope"),
        (world.ACTIONS["score"], "", "is not a scope"),
    ],
)
def test_a_question_that_is_none_is_refused(action: str, scope: str, message: str) -> None:
    """An answer to it would be nobody, which looks like safety."""
    with pytest.raises(ValueError, match=message):
        evaluator().allows("alice", action, is_data=False, scope=scope)
    with pytest.raises(ValueError, match=message):
        list(evaluator().who(action, is_data=False, scope=scope))


def test_one_question_is_not_mistaken_for_another() -> None:
    """What is remembered of the last question answers only that one."""
    asked = evaluator(assign=[{"to": "alice", "role": "scorer", "at": "workspace"}])
    again = dict(ASKED)
    for change in (
        {},
        {"is_data": True},
        {},
        {"action": world.ACTIONS["list keys"]},
        {},
        {"scope": world.GROUP},
        {},
    ):
        found = [grant.principal for grant in asked.able(**{**again, **change})]
        assert found == ([] if change else ["alice"])


def test_members_that_many_groups_share_are_told_once() -> None:
    """A ring of groups that all hold the role: each has every member, and the answer is no larger than the tenant."""
    groups = [f"ring-{at}" for at in range(400)]
    people = [f"person-{at}" for at in range(10_000)]
    members = {group: [groups[at - 1], *people[at :: len(groups)]] for at, group in enumerate(groups)}
    asked = evaluator(
        groups=members,
        principals={person: {"type": "user"} for person in people},
        assign=[{"to": group, "role": "scorer"} for group in groups],
    )
    started = time.perf_counter()
    found = list(asked.able(**ASKED))
    # Group by group that would be four million grants; a slow machine is allowed for.
    assert time.perf_counter() - started < 3
    assert sorted(grant.principal for grant in found) == sorted(people)
    assert {len(grant.via) for grant in found} == {1}


def test_a_large_tenant_is_judged() -> None:
    """The tenant that speed is measured on is a lawful snapshot, the same every time, in which many are able by roles."""
    made = big.document(assignments=2_500, roles=100, principals=5_000)
    assert made == big.document(assignments=2_500, roles=100, principals=5_000)
    read = snapshot.parse(json.dumps(made).encode())
    assert (len(read.assignments), len(read.definitions), len(read.directory.known)) == (2_500, 100, 5_000)
    states = [grant.state for grant in Evaluator(read).able(big.SCORE, is_data=False, scope=big.ENDPOINT)]
    assert {State.ACTIVE, State.ELIGIBLE} <= set(states)
    assert len(states) > 1_000
