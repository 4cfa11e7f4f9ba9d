"""The tables in cases/: what Azure RBAC makes of a snapshot, one sentence a row.

A row's world is told in world.py. `ask` is an action (default `score`), `data` makes it a data action, `at` where it is to
be done (default the endpoint), `requested-role` the role that an assignment would assign. `expect` lists everybody who is
able, with the strongest state, or a table of `state`, `via`, `doubts` and `pattern`; `denied` who is kept out, with what
denies each of the grants.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass import snapshot
from shared.bypass.conditions import NO_ATTRIBUTES, REQUESTED_ROLE, Attributes, Truth, holds
from shared.bypass.entries import Condition
from shared.bypass.rbac import Evaluator, Grant, State
from shared.bypass.spelling import fold
from tests.unit.bypass import world

EVALUATION = world.tables("actions", "scopes", "principals", "roles", "conditions", "denies")
LANGUAGE = world.tables("language")

ROW_KEYS = {
    *("id", "ask", "at", "data", "requested-role", "expect", "denied"),
    *(
        "target",
        "assign",
        "deny",
        "roles",
        "groups",
        "unlisted",
        "principals",
        "classic",
        "related",
        "unread",
    ),
}
STRENGTH = list(State)


def question(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the row asks, as the evaluator's words."""
    attributes: Attributes = NO_ATTRIBUTES
    if "requested-role" in row:
        attributes = {REQUESTED_ROLE: frozenset({row["requested-role"]})}
    return {
        "action": world.action(row.get("ask", "score")),
        "is_data": row.get("data", False),
        "scope": world.scope(row.get("at", "endpoint")),
        "attributes": attributes,
    }


def strongest(grants: list[Grant]) -> dict[str, Grant]:
    """Return each principal's strongest grant, of those the one with the shortest chain."""
    found: dict[str, Grant] = {}
    for grant in sorted(grants, key=lambda grant: (STRENGTH.index(grant.state), len(grant.via))):
        found.setdefault(grant.principal, grant)
    return found


def described(grant: Grant, wanted: str | dict[str, Any]) -> str | dict[str, Any]:
    """Return of `grant` what the row says something about."""
    if isinstance(wanted, str):
        return str(grant.state)
    told = {
        "state": str(grant.state),
        "via": list(grant.via),
        "doubts": sorted(grant.doubts),
        "pattern": grant.pattern,
    }
    return {name: told[name] for name in wanted}


@pytest.mark.parametrize(("table", "row"), EVALUATION)
def test_who_is_able(table: dict[str, Any], row: dict[str, Any]) -> None:
    """All that the row expects is found, and nobody else is able."""
    assert row.keys() <= ROW_KEYS
    evaluator = Evaluator(snapshot.read(world.document(row, table)))
    asked = question(row)
    found = strongest(list(evaluator.who(**asked)))
    expect = row["expect"]
    assert {
        principal: described(grant, expect.get(principal, "")) for principal, grant in found.items()
    } == expect
    once = list(evaluator.able(**asked))
    assert {grant.principal: described(grant, expect[grant.principal]) for grant in once} == expect
    assert len(once) == len(expect)


@pytest.mark.parametrize(("table", "row"), EVALUATION)
def test_who_is_denied(table: dict[str, Any], row: dict[str, Any]) -> None:
    """What a deny assignment takes away is told with its id, where it is asked for."""
    evaluator = Evaluator(snapshot.read(world.document(row, table)))
    found: dict[str, list[str]] = {}
    for grant in evaluator.who(**question(row), denied=True):
        if grant.denied_by:
            found.setdefault(grant.principal, []).extend(grant.denied_by)
    assert found == row.get("denied", {})


@pytest.mark.parametrize(("table", "row"), EVALUATION)
def test_asking_about_one_principal_agrees(table: dict[str, Any], row: dict[str, Any]) -> None:
    """Whoever is asked about alone has what the answer for all says, by the same chains."""
    evaluator = Evaluator(snapshot.read(world.document(row, table)))
    asked = question(row)
    everybody = list(evaluator.who(**asked, denied=True))
    people = {*world.USERS, *world.APPS, *(grant.principal for grant in everybody)}
    for principal in people:
        access = evaluator.allows(principal.upper(), **asked)
        assert sorted(map(repr, (*access.grants, *access.denied))) == sorted(
            repr(grant) for grant in everybody if grant.principal == principal
        )
        assert access.able == (principal in row["expect"])


@pytest.mark.parametrize(("table", "row"), LANGUAGE)
def test_conditions_are_read(table: dict[str, Any], row: dict[str, Any]) -> None:
    """A condition comes to what the row says; what is not understood is unknown, never false."""
    attributes = {REQUESTED_ROLE: frozenset({row["role"]})} if "role" in row else NO_ATTRIBUTES
    found = holds(Condition(row["text"], "2.0"), fold(world.ACTIONS["assign roles"]), attributes)
    assert found is Truth(row["is"])


def test_the_tables_say_enough() -> None:
    """There are at least 120 cases of evaluation, each with a sentence of its own."""
    ids = [str(case.id) for case in (*EVALUATION, *LANGUAGE)]
    assert len(set(ids)) == len(ids)
    assert len(EVALUATION) >= 120
