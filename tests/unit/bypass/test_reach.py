"""The tables of the protocol reference (8.8, 8.5, 6.3): what real role definitions reach, cell for cell.

A row of cases/reach.toml names the columns in which its role says yes, no, or yes by condition. Each column is one action or
several, and a cell is yes only where all of them are, no only where none is.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.bypass import snapshot
from shared.bypass.conditions import REQUESTED_ROLE
from shared.bypass.rbac import Evaluator, State
from tests.unit.bypass import world

ROLES = {
    entry["definition"]["name"]: entry
    for entry in json.loads((world.CASES.parent / "roles.json").read_text("utf-8"))
}
REACH = world.tables("reach")
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
STATES = {"yes": State.ACTIVE, "no": None, "conditional": State.CONDITIONAL}


def evaluator(role: str) -> Evaluator:
    """Return an evaluator of a world in which alice has `role`, as Azure returns it, at the resource group."""
    made = world.document({"assign": [{"to": "alice", "role": role, "at": "group"}]})
    made["roleDefinitions"] = [ROLES[role]["definition"]]
    return Evaluator(snapshot.read(made))


def cells() -> list[Any]:
    """Return every cell of the table: its columns, its role, the column's name and what stands there."""
    return [
        pytest.param(
            *(case.values[0], case.values[1]["role"], column, answer),
            id=f"{case.values[1]['id']} / {column}: {answer}",
        )
        for case in REACH
        for answer in STATES
        for column in case.values[1].get(answer, ())
    ]


@pytest.mark.parametrize(("table", "role", "column", "answer"), cells())
def test_a_role_reaches_what_the_table_says(
    table: dict[str, Any], role: str, column: str, answer: str
) -> None:
    """Every action of the column is as the cell says."""
    is_data = column in table["data-columns"]
    actions = table["data-columns" if is_data else "columns"][column]
    scope = world.SCOPES["account" if "CognitiveServices" in actions[0] else "endpoint"]
    asked = evaluator(role)
    found = {asked.allows("alice", action, is_data=is_data, scope=scope).state for action in actions}
    assert found == {STATES[answer]}


def test_every_role_of_the_reference_is_there() -> None:
    """No definition is without a row, and no row without a definition that says where it is from."""
    assert {case.values[1]["role"] for case in REACH} == ROLES.keys()
    assert all(entry["from"] for entry in ROLES.values())


@pytest.mark.parametrize(
    "role", ["eadc314b-1a2d-4efa-be10-5d325db5065e", "e47c6f54-e4a2-4754-9501-8e0985b135e1"]
)
def test_foundry_managers_assign_foundry_user_and_no_other_role(role: str) -> None:
    """6.3: the condition within the definition is understood, once it is known which role is to be assigned."""
    asked = evaluator(role)

    def may_assign(assigned: str) -> bool:
        return asked.allows(
            "alice",
            world.ACTIONS["assign roles"],
            is_data=False,
            scope=world.SCOPES["account"],
            attributes={REQUESTED_ROLE: frozenset({assigned})},
        ).able

    assert may_assign(FOUNDRY_USER)
    assert not may_assign(OWNER)


def test_every_cell_of_8_8_is_there() -> None:
    """Each row of 8.8 says something of each of its columns; of the account's keys, that they are listed."""
    for case in REACH:
        row = case.values[1]
        if row["id"].startswith("8.8"):
            said = [column for answer in STATES for column in row.get(answer, ())]
            assert {"score", "keys", "write", "batch", "assign", "model", "list"} <= set(said), row["id"]
            assert len(said) == len(set(said)), row["id"]
