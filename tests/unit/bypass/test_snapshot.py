"""A snapshot is read strictly: what is wrong in it is told with its place, what is missing was not read."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from shared.bypass import snapshot
from shared.bypass.entries import PrincipalType
from shared.bypass.rbac import Evaluator
from shared.bypass.snapshot import SnapshotFault, Unread
from tests.unit.bypass import world

ROLE = "/providers/Microsoft.Authorization/roleDefinitions/scorer"
WHOLE = world.document(
    {
        "roles": {"scorer": {"actions": ["*"]}},
        "groups": {"analysts": ["alice"]},
        "assign": [{"to": "analysts", "role": "scorer"}],
        "deny": [{"from": ["bob"], "actions": ["*"]}],
    }
)
WHERE = tuple[str | int, ...]
NOTHING = object()

FAULTS: dict[str, tuple[WHERE, Any, str]] = {
    "no target": (("target",), NOTHING, "target: is not an object"),
    "a target that is a list": (("target",), [], "target: is not an object"),
    "a target without an id": (("target", "id"), NOTHING, "target.id: is missing"),
    "a target that is no resource": (("target", "id"), "fraud-score", "target.id: is not a scope"),
    "a target with half of a character": (
        ("target", "id"),
        f"{world.ENDPOINT}\ud800",
        "target.id: has half of a character in it",
    ),
    "a target in no subscription": (("target", "id"), "/providers/x", "target.id: is not in a subscription"),
    "no role assignments": (("roleAssignments",), NOTHING, "roleAssignments: is missing"),
    "no role definitions": (("roleDefinitions",), NOTHING, "roleDefinitions: is missing"),
    "a page in place of a list": (
        ("roleAssignments",),
        {"value": []},
        "roleAssignments: is a page of Azure's answer",
    ),
    "a list that is an object": (("denyAssignments",), {}, "denyAssignments: is not a list"),
    "an entry that is no object": (("roleAssignments", 0), "x", "roleAssignments[0]: is not an object"),
    "properties that are no object": (
        ("roleAssignments", 0, "properties"),
        [],
        "roleAssignments[0].properties: is not an object",
    ),
    "an assignment of nobody": (
        ("roleAssignments", 0, "properties", "principalId"),
        None,
        "roleAssignments[0].principalId: is missing",
    ),
    "an assignment of a number": (
        ("roleAssignments", 0, "properties", "principalId"),
        7,
        "roleAssignments[0].principalId: is not text",
    ),
    "an assignment of no role": (
        ("roleAssignments", 0, "properties", "roleDefinitionId"),
        "",
        "roleAssignments[0].roleDefinitionId: is missing",
    ),
    "an assignment nowhere": (
        ("roleAssignments", 0, "properties", "scope"),
        NOTHING,
        "roleAssignments[0].scope: is missing",
    ),
    "a scope that does not begin with a slash": (
        ("roleAssignments", 0, "properties", "scope"),
        "subscriptions/x",
        "roleAssignments[0].scope: is not a scope",
    ),
    "a scope with an empty part": (
        ("roleAssignments", 0, "properties", "scope"),
        "/subscriptions//x",
        "roleAssignments[0].scope: is not a scope",
    ),
    "a scope with blanks around it": (
        ("roleAssignments", 0, "properties", "scope"),
        "/subscriptions/x ",
        "roleAssignments[0].scope: has blanks around it",
    ),
    "an id with blanks around it": (
        ("roleAssignments", 0, "properties", "principalId"),
        "alice\n",
        "roleAssignments[0].principalId: has blanks around it",
    ),
    "a condition that is no text": (
        ("roleAssignments", 0, "properties", "condition"),
        {},
        "roleAssignments[0].condition: is not text",
    ),
    "a role without permissions": (
        ("roleDefinitions", 0, "properties", "permissions"),
        NOTHING,
        "roleDefinitions[0].permissions: is missing",
    ),
    "a role whose permissions are null": (
        ("roleDefinitions", 0, "properties", "permissions"),
        None,
        "roleDefinitions[0].permissions: is missing",
    ),
    "actions that are one text": (
        ("roleDefinitions", 0, "properties", "permissions", 0, "actions"),
        "*",
        "roleDefinitions[0].permissions[0].actions: is not a list",
    ),
    "an action that is no text": (
        ("roleDefinitions", 0, "properties", "permissions", 0, "actions"),
        ["*", None],
        "roleDefinitions[0].permissions[0].actions[1]: is not text",
    ),
    "a NotAction with blanks around it": (
        ("roleDefinitions", 0, "properties", "permissions", 0, "notActions"),
        [" */write"],
        "roleDefinitions[0].permissions[0].notActions[0]: has blanks around it",
    ),
    "a role without an id": (("roleDefinitions", 0, "id"), None, "roleDefinitions[0].id: is missing"),
    "a deny of a principal without an id": (
        ("denyAssignments", 0, "properties", "principals", 0, "id"),
        NOTHING,
        "denyAssignments[0].principals[0].id: is missing",
    ),
    "a deny whose flag is a word": (
        ("denyAssignments", 0, "properties", "doNotApplyToChildScopes"),
        "false",
        "denyAssignments[0].doNotApplyToChildScopes: is neither true nor false",
    ),
    "a directory that is a list": (("directory",), [], "directory: is not an object"),
    "principals that are a list": (
        ("directory", "principals"),
        [],
        "directory.principals: is not an object",
    ),
    "a principal that is a text": (
        ("directory", "principals", "alice"),
        "user",
        "directory.principals.alice: is not an object",
    ),
    "members that are a text": (
        ("directory", "groupMembers", "analysts"),
        "alice",
        "directory.groupMembers.analysts: is not a list",
    ),
    "a member that is an object": (
        ("directory", "groupMembers", "analysts"),
        [{"id": "alice"}],
        "directory.groupMembers.analysts[0]: is not text",
    ),
    "a user with members": (
        ("directory", "groupMembers", "bob"),
        ["alice"],
        "directory.groupMembers.bob: has members, and is no group",
    ),
    "a gate whose site is nowhere": (("gate",), {"siteId": "site"}, "gate.siteId: is not a scope"),
    "a gate with blanks around it": (
        ("gate",),
        {"principalId": "gate "},
        "gate.principalId: has blanks around it",
    ),
    "a related thing that is a text": (("related",), ["x"], "related[0]: is not an object"),
    "a related thing without an id": (("related",), [{"name": "ci"}], "related[0].id: is missing"),
    "a related thing that is nowhere": (("related",), [{"id": "ci"}], "related[0].id: is not a scope"),
    "an unread thing without a name": (("unread",), [{"why": "403"}], "unread[0].what: is missing"),
    "a classic administrator of nothing": (
        ("classicAdministrators",),
        [{"id": "x", "properties": {"emailAddress": "a@b", "role": "CoAdministrator"}}],
        "classicAdministrators[0].id: is not the id of a classic administrator",
    ),
}


def changed(where: WHERE, value: Any) -> dict[str, Any]:
    """Return the whole snapshot with one place changed."""
    found = copy.deepcopy(WHOLE)
    place: Any = found
    for step in where[:-1]:
        place = place[step]
    if value is NOTHING:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    return found


@pytest.mark.parametrize(("where", "value", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_is_told_with_its_place(where: WHERE, value: Any, message: str) -> None:
    """E08: a broken snapshot is no snapshot: nothing in it is left out silently."""
    with pytest.raises(SnapshotFault) as found:
        snapshot.read(changed(where, value))
    assert str(found.value).startswith(message)
    assert str(found.value) == f"{found.value.place}: {found.value.message}"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"target": 1, "target": 2}', b"null", b"[]"],
    ids=["nothing", "half", "no text", "nested without end", "a name twice", "null", "a list"],
)
def test_what_is_no_json_object_is_a_fault(data: bytes) -> None:
    """Whatever the file holds, the fault is one of the snapshot."""
    with pytest.raises(SnapshotFault, match=r"^snapshot: is not"):
        snapshot.parse(data)


def test_the_document_is_kept_as_it_came() -> None:
    """Unknown keys and spellings survive for whoever saves the snapshot or changes a copy."""
    data = {**copy.deepcopy(WHOLE), "taken": {"by": "Somebody", "at": "2026-01-01"}}
    found = snapshot.parse(json.dumps(data).encode())
    assert found.document == data
    assert found.target == data["target"]


@pytest.mark.parametrize("name", ["denyAssignments", "roleEligibilityScheduleInstances", "directory"])
def test_what_is_not_in_the_snapshot_was_not_read(name: str) -> None:
    """A section that is missing is no empty one: it is unread."""
    assert snapshot.read(changed((name,), NOTHING)).unread == (Unread(name, "is not in the snapshot"),)
    assert snapshot.read(changed((name,), None)).unread == (Unread(name, "is not in the snapshot"),)
    assert snapshot.read(WHOLE).unread == ()


def test_what_could_not_be_read_is_told() -> None:
    """`unread` holds sentences, or objects that say what and why, and perhaps of which group."""
    listed = ["eligible assignments", {"what": "members", "why": "403", "id": "Analysts"}, {"what": "owners"}]
    found = snapshot.read(changed(("unread",), listed))
    assert found.unread == (
        Unread("eligible assignments", "no reason is given"),
        Unread("members", "403", "Analysts"),
        Unread("owners", "no reason is given"),
    )
    assert found.directory.is_opaque("analysts")


def test_what_az_prints_is_read_alike() -> None:
    """`az role assignment list` and its like flatten `properties`: the same is understood."""
    flat = copy.deepcopy(WHOLE)
    for name in ("roleAssignments", "roleDefinitions", "denyAssignments"):
        flat[name] = [{**entry.pop("properties"), **entry} for entry in flat[name]]
    one, other = snapshot.read(WHOLE), snapshot.read(flat)
    assert (one.assignments, one.definitions, one.denies) == (
        other.assignments,
        other.definitions,
        other.denies,
    )
    assert len(one.assignments) == len(one.definitions) == len(one.denies) == 1


def test_an_object_is_known_by_its_own_id() -> None:
    """Properties may hold an `id` of something else: it is not the object's."""
    found = snapshot.read(changed(("target", "properties"), {"id": "/subscriptions/x"}))
    assert found.scope == world.ENDPOINT.lower()


def test_a_target_that_az_ml_prints_is_written_as_azure_writes_it() -> None:
    """E08: what `az ml` calls properties is what somebody wrote there, and says nothing of keys."""
    printed = {
        "id": world.ENDPOINT,
        "kind": "Managed",
        "auth_mode": "key",
        "public_network_access": "disabled",
        "properties": {"authMode": "AADToken", "auth_mode": "aad_token"},
    }
    found = snapshot.read(changed(("target",), printed))
    assert found.target == {
        "id": world.ENDPOINT,
        "kind": "Managed",
        "properties": {"authMode": "key", "publicNetworkAccess": "disabled"},
    }
    assert snapshot.read(found.document).target == found.target


def test_the_classic_administrators_that_az_prints_are_read() -> None:
    """`az role assignment list --include-classic-administrators` writes them as assignments of no role."""
    listed = {
        "id": "NA(classic admins)",
        "name": "NA(classic admins)",
        "principalId": None,
        "principalName": "root@example.com",
        "roleDefinitionId": "NA(classic admin role)",
        "roleDefinitionName": "ServiceAdministrator;AccountAdministrator",
        "scope": world.SUBSCRIPTION,
    }
    bills = {**listed, "roleDefinitionName": "AccountAdministrator", "principalName": "bills@example.com"}
    found = snapshot.read(changed(("roleAssignments",), [listed, bills]))
    assert [(one.principal, one.role) for one in found.assignments] == [("root@example.com", None)]
    known = snapshot.read(changed(("roleAssignments",), [{**listed, "principalId": "alice"}]))
    assert [one.principal for one in known.assignments] == ["alice"]


def test_an_assignment_that_was_listed_twice_is_one() -> None:
    """Lists of several scopes overlap."""
    entry = WHOLE["roleAssignments"][0]
    assert len(snapshot.read(changed(("roleAssignments",), [entry, entry])).assignments) == 1


def test_two_answers_about_one_role_both_hold() -> None:
    """A role that changed while it was read may be either: what one of the two permits counts."""
    narrow = copy.deepcopy(WHOLE["roleDefinitions"][0])
    narrow["properties"]["permissions"][0]["actions"] = ["*/read"]
    for listed in ([*WHOLE["roleDefinitions"], narrow], [narrow, *WHOLE["roleDefinitions"]]):
        evaluator = Evaluator(snapshot.read(changed(("roleDefinitions",), listed)))
        assert evaluator.allows("alice", world.ACTIONS["score"], is_data=False, scope=world.ENDPOINT).able


def test_the_gate_is_known_by_its_folded_ids() -> None:
    """The gate is optional; its principal and site compare as everything does."""
    assert snapshot.read(WHOLE).gate == snapshot.Gate(None, None)
    found = snapshot.read(changed(("gate",), {"principalId": "GATE", "siteId": "/Subscriptions/X/Sites/Y/"}))
    assert found.gate == snapshot.Gate("gate", "/subscriptions/x/sites/y")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("User", PrincipalType.USER),
        ("group", PrincipalType.GROUP),
        ("SERVICEPRINCIPAL", PrincipalType.SERVICE_PRINCIPAL),
        ("ForeignGroup", PrincipalType.FOREIGN_GROUP),
        ("Device", PrincipalType.UNKNOWN),
        (None, PrincipalType.UNKNOWN),
    ],
)
def test_types_of_principals_are_read_in_any_case(text: str | None, kind: PrincipalType) -> None:
    """What Azure says of a principal is understood, or unknown."""
    found = snapshot.read(changed(("roleAssignments", 0, "properties", "principalType"), text))
    assert found.assignments[0].principal_type is kind
