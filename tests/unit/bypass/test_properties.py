"""What holds of Azure RBAC in every world: Hypothesis makes the worlds, and an oracle answers beside the evaluator."""

from __future__ import annotations

import copy
import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bypass import snapshot
from shared.bypass.rbac import Evaluator, Grant, State
from tests.unit.bypass import oracle, world

STRENGTH = {state: at for at, state in enumerate(reversed(State))}

GROUPS = ("analysts", "risk", "staff")
PRINCIPALS = ("alice", "bob", "gate", *GROUPS, "gone", "unlisted")
PLACES = (
    "root",
    "corp",
    "subscription",
    "group",
    "workspace",
    "endpoint",
    "deployment",
    "other-subscription",
)
PATTERNS = (
    *("*", "*/action", "*/write", "Microsoft.MachineLearningServices/*"),
    *("Microsoft.MachineLearningServices/workspaces/onlineEndpoints/*", "Microsoft.Authorization/*"),
    *(world.ACTIONS["score"], world.ACTIONS["write the endpoint"], world.ACTIONS["assign roles"].upper()),
)
ASKED = st.tuples(
    st.sampled_from(["score", "write the endpoint", "assign roles"]),
    st.booleans(),
    st.sampled_from(["endpoint", "workspace", "group"]),
)

patterns = st.lists(st.sampled_from(PATTERNS), max_size=2)
conditions = st.sampled_from([None, None, oracle.NO_WRITES, oracle.UNTOLD])


def _without_none(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


permissions = st.fixed_dictionaries(
    {"actions": patterns, "not": patterns, "data": patterns, "not-data": patterns, "condition": conditions}
).map(_without_none)
roles = st.fixed_dictionaries({"permissions": st.lists(permissions, min_size=1, max_size=2)})
assignments = st.fixed_dictionaries(
    {
        "to": st.sampled_from(PRINCIPALS),
        "role": st.sampled_from(["one", "two", "three", "missing"]),
        "at": st.sampled_from(PLACES),
        "eligible": st.booleans(),
        "condition": conditions,
    }
).map(_without_none)
named = st.lists(st.sampled_from(PRINCIPALS), max_size=2)
denies = st.fixed_dictionaries(
    {
        "from": st.one_of(st.just(["everyone"]), named),
        "except": named,
        "at": st.sampled_from(PLACES),
        "actions": patterns,
        "not": patterns,
        "data": patterns,
        "only-here": st.booleans(),
        "effect": st.sampled_from(["enforced", "enforced", "audit"]),
        "protected": st.just(True),
    }
)
worlds = st.fixed_dictionaries(
    {
        "roles": st.fixed_dictionaries({"one": roles, "two": roles, "three": roles}),
        "groups": st.fixed_dictionaries(
            {name: st.lists(st.sampled_from(PRINCIPALS), max_size=3) for name in GROUPS}
        ),
        "unlisted": st.just(["unlisted"]),
        "assign": st.lists(assignments, max_size=5),
        "deny": st.lists(denies, max_size=2),
    }
)
Asked = tuple[str, bool, str]


def grants(made: world.Document, asked: Asked) -> list[Grant]:
    name, is_data, place = asked
    return list(
        Evaluator(snapshot.read(made)).who(world.action(name), is_data=is_data, scope=world.scope(place))
    )


def states(found: list[Grant]) -> dict[str, State]:
    """Return the strongest state of each principal."""
    strongest: dict[str, State] = {}
    for grant in found:
        before = strongest.get(grant.principal, grant.state)
        strongest[grant.principal] = max(before, grant.state, key=STRENGTH.__getitem__)
    return strongest


def able(row: dict[str, Any], asked: Asked) -> dict[str, State]:
    return states(grants(world.document(row), asked))


@settings(max_examples=500, deadline=None)
@given(worlds, ASKED)
def test_the_evaluator_agrees_with_the_written_algorithm(row: dict[str, Any], asked: Asked) -> None:
    """Protocols 8.1, word by word, comes to the same principals and states."""
    name, is_data, place = asked
    made = world.document(row)
    assert able(row, asked) == oracle.able(made, world.action(name), world.scope(place), is_data=is_data)


@settings(max_examples=60, deadline=None)
@given(worlds, ASKED)
def test_each_once_is_the_strongest_of_all(row: dict[str, Any], asked: Asked) -> None:
    """`able` yields whom `who` yields, once, with the strongest state and the shortest chain that has it."""
    name, is_data, place = asked
    made = world.document(row)
    everything = grants(made, asked)
    strongest = states(everything)
    evaluator = Evaluator(snapshot.read(made))
    once = list(evaluator.able(world.action(name), is_data=is_data, scope=world.scope(place)))
    assert sorted(grant.principal for grant in once) == sorted(strongest)
    for grant in once:
        same = [
            other.via
            for other in everything
            if other.principal == grant.principal and other.state is strongest[grant.principal]
        ]
        assert grant.state is strongest[grant.principal]
        assert len(grant.via) == min(map(len, same))


@settings(max_examples=60, deadline=None)
@given(worlds, assignments, ASKED)
def test_adding_an_assignment_never_closes_a_way(
    row: dict[str, Any], more: dict[str, Any], asked: Asked
) -> None:
    """Whoever was able still is, at least as strongly."""
    before, after = able(row, asked), able({**row, "assign": [*row["assign"], more]}, asked)
    assert before.keys() <= after.keys()
    assert all(STRENGTH[after[principal]] >= STRENGTH[state] for principal, state in before.items())


@settings(max_examples=60, deadline=None)
@given(worlds, denies, ASKED)
def test_adding_a_deny_never_opens_one(row: dict[str, Any], more: dict[str, Any], asked: Asked) -> None:
    """Nobody becomes able, or able more strongly."""
    before, after = able(row, asked), able({**row, "deny": [*row["deny"], more]}, asked)
    assert after.keys() <= before.keys()
    assert all(STRENGTH[state] <= STRENGTH[before[principal]] for principal, state in after.items())


@settings(max_examples=60, deadline=None)
@given(worlds, roles, st.lists(assignments, max_size=3), ASKED)
def test_no_role_takes_from_another(
    row: dict[str, Any], role: dict[str, Any], more: list[dict[str, Any]], asked: Asked
) -> None:
    """What two sets of assignments give together is what each gives alone, whatever their NotActions are."""
    assigned = [{**entry, "role": "new"} for entry in more]
    both = {**row, "roles": {**row["roles"], "new": role}}
    together = able({**both, "assign": [*row["assign"], *assigned]}, asked)
    one, other = able(both, asked), able({**both, "assign": assigned}, asked)
    apart = {
        principal: max(
            (found[principal] for found in (one, other) if principal in found), key=STRENGTH.__getitem__
        )
        for principal in one.keys() | other.keys()
    }
    assert together == apart


@settings(max_examples=60, deadline=None)
@given(worlds, ASKED, st.randoms(use_true_random=False))
def test_order_never_matters(row: dict[str, Any], asked: Asked, random: Any) -> None:
    """Every list and object of the snapshot may come in any order: the answer is the same, grant by grant."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(inner)) for name, inner in value.items()]
            random.shuffle(items)
            return dict(items)
        if isinstance(value, list):
            mixed = [shuffled(inner) for inner in value]
            random.shuffle(mixed)
            return mixed
        return value

    made = world.document(row)
    assert grants(shuffled(copy.deepcopy(made)), asked) == grants(made, asked)


_COMPARED = {"id", "principalId", "roleDefinitionId", "scope"}
_LISTED = {"actions", "notActions", "dataActions", "notDataActions"}
_SWAP = str.maketrans(
    string.ascii_lowercase + string.ascii_uppercase, string.ascii_uppercase + string.ascii_lowercase
)


def recased(value: Any, name: str = "") -> Any:
    """Return a snapshot's value with the case of every id, scope and action swapped."""
    match value:
        case dict():
            inside = name in {"principals", "groupMembers"}
            return {
                key.translate(_SWAP) if inside else key: recased(inner, "member" if inside else key)
                for key, inner in value.items()
            }
        case list():
            return [recased(inner, name if isinstance(inner, str) else "") for inner in value]
        case str() if name in _COMPARED | _LISTED | {"member"}:
            return value.translate(_SWAP)
        case _:
            return value


@settings(max_examples=60, deadline=None)
@given(worlds, ASKED)
def test_case_never_matters(row: dict[str, Any], asked: Asked) -> None:
    """Ids, scopes and actions in another case come to the same, principal by principal and chain by chain."""
    name, is_data, place = asked
    made = world.document(row)
    other = Evaluator(snapshot.read(recased(made))).who(
        world.action(name).translate(_SWAP), is_data=is_data, scope=world.scope(place).translate(_SWAP)
    )
    told = [
        (grant.principal, grant.via, grant.assignment.lower(), grant.state, grant.doubts) for grant in other
    ]
    assert told == [
        (grant.principal, grant.via, grant.assignment.lower(), grant.state, grant.doubts)
        for grant in grants(made, asked)
    ]


@settings(max_examples=30, deadline=None)
@given(worlds, ASKED, st.sampled_from(["Owner", "Reader", "", None]))
def test_renaming_a_role_never_matters(row: dict[str, Any], asked: Asked, name: str | None) -> None:
    """Whatever all roles are called, and be it nothing, the answer is the same."""
    made = world.document(row)
    renamed = copy.deepcopy(made)
    for role in renamed["roleDefinitions"]:
        role["properties"]["roleName"] = name
    assert grants(renamed, asked) == grants(made, asked)
