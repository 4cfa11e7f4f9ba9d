"""What holders of real roles can do to a target: protocols 8.8, 8.5 and 6.3, told as ways.

The same cells as in test_reach.py, one level up: cases/reach.toml says which columns a role has; here a column is a way
before a kind of target, and a role that has no column of a way must not be told to have it.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass.finding import Report
from tests.unit.bypass import waysworld, world

REACH = world.tables("reach")
COLUMNS = {
    ("online", "invoke"): ("score",),
    ("online", "keys"): ("keys",),
    ("online", "change-resource"): ("write",),
    ("online", "grant"): ("assign", "define"),
    ("online", "secrets"): ("secrets",),
    ("batch", "invoke"): ("batch",),
    ("batch", "run-elsewhere"): ("compute", "runs", "jobs"),
    ("account", "invoke"): ("model", "foundry"),
    ("account", "keys"): ("list", "regenerate"),
    ("account", "change-resource"): ("account", "deploy"),
}
PROJECT_MANAGER = "eadc314b-1a2d-4efa-be10-5d325db5065e"
"""Writes neither the account nor deployments, which reach.toml has columns for, but projects, which 8.4 counts too."""
FOUNDRY_MANAGERS = {PROJECT_MANAGER, "e47c6f54-e4a2-4754-9501-8e0985b135e1"}
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
OPENAI_USER = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
SAMPLE_1 = "00000000-0000-4000-8000-000000000001"


def report(role: str, kind: str, **more: Any) -> Report:
    """Return what is found where alice has `role` at the resource group."""
    return waysworld.report(
        {"target": kind, "assign": [{"to": "alice", "role": role, "at": "group"}], **more}
    )


def ways(found: Report) -> dict[str, str]:
    return {str(finding.way): str(finding.state) for finding in waysworld.about(found, "alice")}


def cells() -> list[Any]:
    """Return each role with each way, and whether some row says that it has it, and that it has none of it."""
    found = []
    roles = {case.values[1]["role"]: [] for case in REACH}
    for case in REACH:
        roles[case.values[1]["role"]].append(case.values[1])
    for role, rows in roles.items():
        yes = {column for row in rows for column in row.get("yes", ())}
        no = {column for row in rows for column in row.get("no", ())}
        for (kind, way), columns in COLUMNS.items():
            name = f"{waysworld.ROLES[role]['properties']['roleName']} / {kind} {way}"
            if yes & set(columns):
                found.append(pytest.param(role, kind, way, True, id=f"{name}: yes"))
            elif set(columns) <= no and (role, way) != (PROJECT_MANAGER, "change-resource"):
                found.append(pytest.param(role, kind, way, False, id=f"{name}: no"))
    return found


@pytest.mark.parametrize(("role", "kind", "way", "told"), cells())
def test_a_role_has_the_ways_that_the_table_says(role: str, kind: str, way: str, told: bool) -> None:
    """A cell of the reference is a way, and an empty one is none; keys are live here."""
    assert (way in ways(report(role, kind, keys="taken"))) is told


def test_enough_cells_are_there() -> None:
    """Most roles have a cell, yes or no, for most ways."""
    found = cells()
    assert len(found) > 120
    assert {case.values[3] for case in found} == {True, False}


@pytest.mark.parametrize(
    ("kind", "keys", "owner", "contributor"),
    [
        ("online", "refused", "yes", "yes"),
        ("online", "taken", "yes, any key holder", "yes, any key holder"),
        ("account", "refused", "no, but grants, and turns local auth on", "no, but turns local auth on"),
        ("account", "taken", "lists keys", "lists keys"),
    ],
)
def test_owner_and_contributor_are_as_8_5_has_them(
    kind: str, keys: str, owner: str, contributor: str
) -> None:
    """The two columns of Azure Machine Learning, the two of models."""
    for role, cell in ((OWNER, owner), (CONTRIBUTOR, contributor)):
        found = report(role, kind, keys=keys)
        has = ways(found)
        assert ("invoke" in has) == cell.startswith("yes")
        assert ("auth-mode" in {finding.way for finding in found.findings}) == (keys == "taken")
        assert has["keys"] == ("active" if keys == "taken" else "latent")
        assert "change-resource" in has
        assert ("grant" in has) == (role == OWNER)


@pytest.mark.parametrize("role", sorted(FOUNDRY_MANAGERS))
def test_a_foundry_manager_grants_what_the_condition_leaves(role: str) -> None:
    """They may assign Foundry User, which calls models and no endpoint: a way to the one, none to the other."""
    both = {"roles": {}, "assign": [{"to": "alice", "role": role, "at": "group"}]}
    for kind, told in (("account", "active"), ("online", None)):
        made = waysworld.document({"target": kind, **both})
        made["roleDefinitions"].append(waysworld.ROLES["53ca6127-db72-4b80-b1b0-d745d6d5456d"])
        found = waysworld.judged(made)
        assert ways(found).get("grant") == told


def test_a_role_that_a_condition_names_and_nobody_read_counts() -> None:
    """Without the definition of Foundry User nobody can say that it opens nothing here."""
    found = report(PROJECT_MANAGER, "online")
    assert ways(found)["grant"] == "active"


def test_a_project_manager_changes_projects() -> None:
    """8.4 counts writing projects among the changes of rules."""
    assert ways(report(PROJECT_MANAGER, "account"))["change-resource"] == "active"


def test_sample_1_lifts_the_seal() -> None:
    """8.8, side result: it forgets `Microsoft.Authorization/*/delete`, so its holder can delete a deny assignment."""
    seal = {"from": ["everyone"], "actions": ["Microsoft.MachineLearningServices/*"]}
    assert "remove-deny" in ways(report(SAMPLE_1, "online", deny=[seal]))
    assert "remove-deny" not in ways(report(CONTRIBUTOR, "online", deny=[seal]))


def test_a_reader_is_told_and_opens_nothing() -> None:
    """8.8, side result: `*/read` is the workspace's stored secrets too. Low, so the verdict is `closed`."""
    found = report("acdd72a7-3385-48ef-bd42-f606fba81ae7", "online")
    assert waysworld.told(found) == {"alice": ["secrets low active"]}
    assert found.verdict == "closed"


def test_the_smallest_role_for_models_is_no_excess() -> None:
    """Cognitive Services OpenAI User at the account is what the gate needs (6.3), and is no finding."""
    at = {"gate": "gate", "assign": [{"to": "gate", "role": OPENAI_USER, "at": "target"}]}
    assert waysworld.report({"target": "account", **at}).findings == ()


def test_a_data_scientist_as_the_gate_is_excess() -> None:
    """The role that people take for scoring lists keys and swaps models too."""
    found = waysworld.report(
        {"gate": "gate", "assign": [{"to": "gate", "role": DATA_SCIENTIST, "at": "workspace"}]}
    )
    assert waysworld.told(found) == {"gate": ["gate-excess medium active"]}
