"""Worlds for the tables ways-*.toml: what world.py makes, with a target that says how it is set, a gate and its parts.

`keys` is whether the target takes keys: `refused` (default), `taken` or `untold`. It answers no public network unless the
row says `public`. `gate` names the gate's identity; its site, its user-assigned identity and the storage account of its
package are there whenever a row speaks of `gate`.
"""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

import pytest

from shared.bypass import snapshot
from shared.bypass.finding import Finding, Report
from shared.bypass.paths import judge
from tests.unit.bypass import world

BATCH = f"{world.WORKSPACE}/batchEndpoints/nightly"
ACCOUNT = world.SCOPES["account"]
GATES = f"{world.SUBSCRIPTION}/resourceGroups/rg-gate/providers"
SITE = f"{GATES}/Microsoft.Web/sites/gate"
IDENTITY = f"{GATES}/Microsoft.ManagedIdentity/userAssignedIdentities/gate"
STORAGE = f"{GATES}/Microsoft.Storage/storageAccounts/gatepackage"

PLACES = {
    "batch": BATCH,
    "batch-deployment": f"{BATCH}/deployments/blue",
    "project": f"{ACCOUNT}/projects/risk",
    "account-deployment": f"{ACCOUNT}/deployments/chat",
    "datastore": f"{world.WORKSPACE}/datastores/training",
    "compute": f"{world.WORKSPACE}/computes/cluster",
    "connection": f"{world.WORKSPACE}/connections/search",
    "serverless": f"{world.WORKSPACE}/serverlessEndpoints/one",
    "old-service": f"{world.WORKSPACE}/services/older",
    "job": f"{world.WORKSPACE}/jobs/nightly",
    "account-connection": f"{ACCOUNT}/connections/search",
    "other-endpoint": f"{world.WORKSPACE}/onlineEndpoints/other",
    "other-workspace": f"{world.WORKSPACE}-other",
    "other-account": f"{ACCOUNT}-other",
    "gates": GATES.removesuffix("/providers"),
    "site": SITE,
    "slot": f"{SITE}/slots/next",
    "function": f"{SITE}/functions/score",
    "config": f"{SITE}/config/appsettings",
    "host": f"{SITE}/host/default",
    "extension": f"{SITE}/extensions/onedeploy",
    "other-gate": f"{SITE}-other",
    "identity": IDENTITY,
    "storage": STORAGE,
    "container": f"{STORAGE}/blobServices/default/containers/package",
    "share": f"{STORAGE}/fileServices/default/fileshares/content",
    "local-user": f"{STORAGE}/localUsers/deployer",
}
KINDS = {"online": world.ENDPOINT, "batch": BATCH, "account": ACCOUNT}
PROPERTIES: dict[str, dict[str, dict[str, Any]]] = {
    "refused": {
        "online": {"authMode": "AADToken"},
        "batch": {"authMode": "AADToken"},
        "account": {"disableLocalAuth": True},
    },
    "taken": {
        "online": {"authMode": "Key"},
        "batch": {"authMode": "Key"},
        "account": {"disableLocalAuth": False},
    },
    "untold": {"online": {}, "batch": {}, "account": {}},
}
ROLES = {
    entry["definition"]["name"]: entry["definition"]
    for entry in json.loads((world.CASES.parent / "roles.json").read_text("utf-8"))
}

Document = dict[str, Any]


def document(row: Document, table: Document | None = None) -> Document:
    """Return the snapshot that `row` of `table` describes; roles of roles.json are there by their ids."""
    kind = row.get("target", (table or {}).get("target", "online"))
    row = {
        **copy.deepcopy(row),
        "target": KINDS[kind],
        "assign": [_placed(given, kind) for given in row.get("assign", ())],
        "deny": [_placed(given, kind) for given in row.get("deny", ())],
    }
    made = world.document(row, table)
    made["roleDefinitions"] += [
        ROLES[name] for name in {given["role"] for given in row["assign"]} & ROLES.keys()
    ]
    properties = dict(PROPERTIES[row.get("keys", "refused")][kind])
    access = "Enabled" if row.get("public", False) else "Disabled"
    if kind == "batch":
        made["related"].append({"id": world.WORKSPACE, "properties": {"publicNetworkAccess": access}})
    elif row.get("keys") != "untold":
        properties["publicNetworkAccess"] = access
    if properties:
        made["target"]["properties"] = properties
    made["target"].update(row.get("outer", {}))
    made["directory"]["groupOwners"] = {
        **{group: [] for group, entry in made["directory"]["principals"].items() if entry["type"] == "group"},
        **row.get("owners", {}),
    }
    for group in row.get("owners-unread", ()):
        del made["directory"]["groupOwners"][group]
    if "gate" in row:
        made["gate"] = {"principalId": row["gate"], "siteId": SITE}
        made["related"] += gate(row["gate"])
    return made


def gate(principal: str) -> list[Document]:
    """Return the gate's site, identity and package storage as Azure tells of them."""
    address = "https://gatepackage.blob.core.windows.net/package"
    return [
        {
            "id": SITE,
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {IDENTITY: {"principalId": principal}},
            },
            "properties": {"functionAppConfig": {"deployment": {"storage": {"value": address}}}},
        },
        {"id": IDENTITY, "properties": {"principalId": principal}},
        {"id": STORAGE, "properties": {}},
    ]


def _placed(given: Document, kind: str) -> Document:
    name = given.get("at", "target")
    return {**given, "at": KINDS[kind] if name == "target" else PLACES.get(name, name)}


def report(row: Document, table: Document | None = None) -> Report:
    """Return what is found in the world of `row`."""
    return judged(document(row, table))


def said(finding: Finding) -> str:
    """Return a finding in three words."""
    return f"{finding.way} {finding.severity} {finding.state}"


def about(found: Report, principal: str) -> list[Finding]:
    """Return what was found about `principal`."""
    return [finding for finding in found.findings if finding.principal.id == principal]


def assignments(finding: Finding) -> list[str]:
    """Return the names of the assignments that give a finding, in its order."""
    return [grant.assignment_id.rpartition("/")[2] for grant in finding.grants]


def told(found: Report) -> dict[str, list[str]]:
    """Return all findings, by principal, in three words each."""
    everybody: dict[str, list[str]] = {}
    for finding in found.findings:
        everybody.setdefault(finding.principal.id, []).append(said(finding))
    return {principal: sorted(words) for principal, words in everybody.items()}


def tables(*names: str) -> list[Any]:
    """Return each row of the tables with its table, its sentence as its id."""
    found = []
    for name in names:
        table = tomllib.loads((world.CASES / f"ways-{name}.toml").read_text("utf-8"))
        found += [pytest.param(table, row, id=f"{name}: {row['id']}") for row in table["row"]]
    return found


def judged(made: Document) -> Report:
    """Return what is found in the snapshot `made`."""
    return judge(snapshot.read(made))
