"""Worlds for the tables in cases/: a snapshot's JSON value out of few words.

Everybody's ids are their names; an assignment's id ends with its name, unless a row writes it whole. The directory knows
the users alice, bob, carol, dave and erin and the apps gate and robot; a table's `[groups]` (and a row's `groups`) list
members by group, `unlisted` names groups whose members were not read. Whoever is in neither is not in the directory.
Scopes have the names below; anything with a slash is itself.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parent / "cases"

USERS = ("alice", "bob", "carol", "dave", "erin")
APPS = ("gate", "robot")

SUBSCRIPTION = "/subscriptions/0b0e1a52-5a3f-4b76-9c0e-000000000001"
OTHER_SUBSCRIPTION = "/subscriptions/0b0e1a52-5a3f-4b76-9c0e-000000000002"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-fraud"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws-fraud"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/fraud-score"

SCOPES = {
    "root": "/",
    "corp": "/providers/Microsoft.Management/managementGroups/mg-corp",
    "subscription": SUBSCRIPTION,
    "other-subscription": OTHER_SUBSCRIPTION,
    "group": GROUP,
    "workspace": WORKSPACE,
    "endpoint": ENDPOINT,
    "deployment": f"{ENDPOINT}/deployments/blue",
    "account": f"{GROUP}/providers/Microsoft.CognitiveServices/accounts/ai-fraud",
    "other-site": f"{OTHER_SUBSCRIPTION}/resourceGroups/rg-gate/providers/Microsoft.Web/sites/gate",
}

ML = "Microsoft.MachineLearningServices/workspaces/"
ACTIONS = {
    "score": f"{ML}onlineEndpoints/score/action",
    "list keys": f"{ML}onlineEndpoints/listKeys/action",
    "write the endpoint": f"{ML}onlineEndpoints/write",
    "write a deployment": f"{ML}onlineEndpoints/deployments/write",
    "assign roles": "Microsoft.Authorization/roleAssignments/write",
    "unassign roles": "Microsoft.Authorization/roleAssignments/delete",
    "remove a deny": "Microsoft.Authorization/denyAssignments/delete",
    "chat": "Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action",
}

Document = dict[str, Any]

_EVERYONE = {"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}


def scope(name: str) -> str:
    """Return the scope that a table means by `name`."""
    return name if "/" in name else SCOPES[name]


def action(name: str) -> str:
    """Return the action that a table means by `name`."""
    return name if "/" in name else ACTIONS[name]


def document(row: dict[str, Any], table: dict[str, Any] | None = None) -> Document:
    """Return the snapshot that `row` of `table` describes."""
    table = table or {}
    groups = {**table.get("groups", {}), **row.get("groups", {})}
    unlisted = [*table.get("unlisted", ()), *row.get("unlisted", ())]
    roles = {**table.get("roles", {}), **row.get("roles", {})}
    assigned = [
        (_assignment(at, given), given.get("eligible", False))
        for at, given in enumerate(row.get("assign", ()))
    ]
    return {
        "target": {"id": scope(row.get("target", "endpoint"))},
        "roleAssignments": [found for found, eligible in assigned if not eligible],
        "roleEligibilityScheduleInstances": [found for found, eligible in assigned if eligible],
        "roleDefinitions": [definition(name, role) for name, role in roles.items()],
        "denyAssignments": [_deny(at, given) for at, given in enumerate(row.get("deny", ()))],
        "classicAdministrators": row.get("classic", []),
        "related": [{"id": scope(name)} for name in row.get("related", ())],
        "directory": {
            "principals": {
                **{name: {"type": "user", "displayName": name.title()} for name in USERS},
                **{name: {"type": "servicePrincipal", "displayName": name.title()} for name in APPS},
                **{name: {"type": "group", "displayName": name.title()} for name in [*groups, *unlisted]},
                **row.get("principals", {}),
            },
            "groupMembers": groups,
            "groupOwners": {},
        },
        "unread": row.get("unread", []),
    }


def definition(name: str, role: dict[str, Any]) -> Document:
    """Return the role definition that a table writes as `role`: one permission, or several as `permissions`."""
    return {
        "id": f"/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "properties": {
            "roleName": role.get("name", f"The {name} role"),
            "permissions": [_permission(one) for one in role.get("permissions", [role])],
        },
    }


def _permission(given: dict[str, Any]) -> Document:
    return {
        "actions": given.get("actions", []),
        "notActions": given.get("not", []),
        "dataActions": given.get("data", []),
        "notDataActions": given.get("not-data", []),
        "condition": given.get("condition"),
        "conditionVersion": given.get("version", "2.0") if "condition" in given else None,
    }


def _assignment(at: int, given: dict[str, Any]) -> Document:
    place = scope(given.get("at", "endpoint"))
    role = given["role"]
    return {
        "id": assignment_id(given.get("id", f"a{at}"), place),
        "properties": {
            "principalId": given["to"],
            "principalType": given.get("type"),
            "roleDefinitionId": role
            if "/" in role
            else f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "scope": place,
            "condition": given.get("condition"),
            "conditionVersion": given.get("version", "2.0") if "condition" in given else None,
        },
    }


def assignment_id(name: str, at: str = ENDPOINT) -> str:
    """Return the id of the assignment `name` at the scope `at`; an id that is written whole as it is."""
    return (
        name
        if "/" in name
        else f"{at.removesuffix('/')}/providers/Microsoft.Authorization/roleAssignments/{name}"
    )


def _deny(at: int, given: dict[str, Any]) -> Document:
    found: Document = {
        "denyAssignmentName": given.get("name", f"deny {at}"),
        "scope": scope(given.get("at", "endpoint")),
        "permissions": [_permission(one) for one in given.get("permissions", [given])],
        "principals": [_named(name) for name in given["from"]],
        "excludePrincipals": [_named(name) for name in given.get("except", ())],
        "doNotApplyToChildScopes": given.get("only-here", False),
        "isSystemProtected": given.get("protected", False),
        "denyAssignmentEffect": given.get("effect", "enforced"),
    }
    return {"id": given.get("id", f"d{at}"), "properties": found}


def _named(name: str | dict[str, str]) -> Document:
    if name == "everyone":
        return _EVERYONE
    if isinstance(name, dict):
        return name
    kind = "User" if name in USERS else "ServicePrincipal" if name in APPS else "Group"
    return {"id": name, "type": kind}


def tables(*names: str) -> list[Any]:
    """Return each row of the tables with its table, its sentence as its id."""
    found = []
    for name in names:
        table = tomllib.loads((CASES / f"{name}.toml").read_text("utf-8"))
        found += [pytest.param(table, row, id=f"{name}: {row['id']}") for row in table["row"]]
    return found
