"""Which resources of a snapshot are the gate: what its code may lie in, and what else has its identity."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass.finding import Report
from tests.unit.bypass import waysworld, world

FILES = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
HOST = f"{waysworld.STORAGE}host"
OTHER = waysworld.PLACES["other-gate"]
MACHINE = f"{waysworld.GATES}/Microsoft.Compute/virtualMachines/batch"

Row = dict[str, Any]


def found(has: Row, at: str, *more: Row, flex: bool = True) -> Report:
    """Return what is found where alice has a role at `at`, the snapshot has `more` resources, and the site is of a plan."""
    made = waysworld.document(
        {"gate": "gate", "roles": {"just": has}, "assign": [{"to": "alice", "role": "just", "at": at}]}
    )
    if not flex:
        made["related"][0]["properties"] = {}
    made["related"] += more
    return waysworld.judged(made)


@pytest.mark.parametrize("action", [FILES, BLOBS])
@pytest.mark.parametrize("owner", [{}, {"storageAccount": waysworld.STORAGE.upper()}])
def test_any_storage_that_was_named_may_hold_the_code(action: str, owner: Row) -> None:
    """E08: off Flex Consumption the site does not say where its code is. The workspace may share the account with it."""
    report = found({"data": [action]}, "storage", {"id": world.WORKSPACE, "properties": owner}, flex=False)
    assert waysworld.told(report) == {"alice": ["take-gate medium active"]}


@pytest.mark.parametrize("at", [HOST, "storage"])
def test_a_second_storage_counts_beside_the_one_that_the_site_names(at: str) -> None:
    """E08: the account that the host keeps its keys in is another than that of the package."""
    report = found({"data": [BLOBS]}, at, {"id": HOST, "properties": {}})
    assert waysworld.told(report) == {"alice": ["take-gate medium active"]}


def bearing(scope: str, identity: str = waysworld.IDENTITY) -> Row:
    """Return the resource `scope`, with a user-assigned identity."""
    return {"id": scope, "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}}


@pytest.mark.parametrize("bearer", [OTHER, f"{OTHER}/slots/next", OTHER.upper()])
@pytest.mark.parametrize(
    ("action", "way"),
    [
        ("Microsoft.Web/sites/functions/write", "take-gate"),
        ("Microsoft.Web/sites/slots/write", "take-gate"),
        ("Microsoft.Authorization/roleAssignments/write", "grant"),
    ],
)
def test_another_app_with_the_gates_identity_is_the_gate(bearer: str, action: str, way: str) -> None:
    """E08: whoever runs code there, or may assign themselves a role to, gets tokens of the gate's."""
    report = found({"actions": [action]}, "other-gate", bearing(bearer))
    assert waysworld.told(report) == {"alice": [f"{way} medium active"]}


@pytest.mark.parametrize(
    "beside",
    [bearing(OTHER, f"{waysworld.IDENTITY}-other"), bearing(f"{waysworld.SITE}/slots/next"), {"id": OTHER}],
)
def test_an_app_without_the_gates_identity_is_not_the_gate(beside: Row) -> None:
    """Another identity, the gate's own slot, or none."""
    report = found({"actions": ["Microsoft.Web/sites/*"]}, "other-gate", beside)
    assert (waysworld.told(report), report.verdict) == ({}, "closed")


def test_something_else_with_the_gates_identity_proves_nothing() -> None:
    """E08: how code comes onto a machine no table here says."""
    report = found({"actions": ["Microsoft.Compute/*"]}, "other-gate", bearing(MACHINE))
    assert (waysworld.told(report), report.verdict) == ({}, "not-proven")
    assert [entry.what for entry in report.unread] == [MACHINE]
