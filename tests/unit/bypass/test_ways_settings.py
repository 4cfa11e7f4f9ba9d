"""Findings about resources: keys that are taken, the network, the gate's sign-in and federated credentials."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from shared.bypass.finding import Finding, Report
from shared.bypass.snapshot import SnapshotFault
from tests.unit.bypass import waysworld, world

GATE = {"gate": "gate"}
CREDENTIAL = f"{waysworld.IDENTITY}/federatedIdentityCredentials/ci"


def report(kind: str, target: dict[str, Any], **row: Any) -> Report:
    """Return what is found of a target with these members beside its id."""
    made = waysworld.document({"target": kind, **row})
    made["target"] = {"id": made["target"]["id"], **target}
    return waysworld.judged(made)


def only(found: Report, way: str) -> Finding:
    """Return the one finding of `way`."""
    [finding] = [finding for finding in found.findings if finding.way == way]
    return finding


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("online", {"properties": {"authMode": "AADToken"}}),
        ("online", {"properties": {"authMode": "aadtoken"}}),
        ("online", {"auth_mode": "aad_token"}),
        ("batch", {"properties": {"authMode": "AADToken"}}),
        ("account", {"properties": {"disableLocalAuth": True}}),
        ("account", {"disableLocalAuth": True}),
    ],
)
def test_a_target_that_asks_who_calls_is_no_finding(kind: str, target: dict[str, Any]) -> None:
    """In every spelling that Azure Resource Manager and `az` have for it."""
    assert not [finding for finding in report(kind, target).findings if finding.way == "auth-mode"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("online", {"properties": {"authMode": "Key"}}),
        ("online", {"properties": {"authMode": "AMLToken"}}),
        ("online", {"auth_mode": "aml_token"}),
        ("online", {"properties": {"authMode": "SomethingNew"}}),
        ("batch", {"properties": {"authMode": "Key"}}),
        ("account", {"properties": {"disableLocalAuth": False}}),
        ("account", {"properties": {"disableLocalAuth": None}}),
        ("account", {"properties": {}}),
    ],
)
def test_a_target_that_takes_keys_is_critical(kind: str, target: dict[str, Any]) -> None:
    """E08: the first check (8.5). What an account does not say is Azure's default, which takes keys."""
    found = report(kind, target)
    finding = only(found, "auth-mode")
    assert (finding.severity, finding.state) == ("critical", "active")
    assert finding.principal.id == found.target
    assert finding.grants == ()
    assert len(finding.fix) == 1
    assert found.findings[0] == finding
    assert found.verdict == "open"


@pytest.mark.parametrize("kind", ["online", "batch", "account"])
def test_a_target_that_was_not_read_proves_nothing(kind: str) -> None:
    """Whether it takes keys is not known: not proven, and who lists keys may be a call away."""
    lister = {
        "online": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action",
        "batch": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/listkeys/action",
        "account": "Microsoft.CognitiveServices/accounts/listKeys/action",
    }
    assert report(kind, {}).verdict == "not-proven"
    found = report(
        kind, {}, roles={"just": {"actions": [lister[kind]]}}, assign=[{"to": "alice", "role": "just"}]
    )
    assert waysworld.told(found)["alice"] == ["keys high conditional"]
    assert [entry.what for entry in found.unread] == ["target"]


def test_an_endpoint_on_kubernetes_knows_no_other_mode() -> None:
    """4.1: AADToken exists on managed endpoints only, so no command is printed that cannot work."""
    finding = only(report("online", {"kind": "K8S", "properties": {"authMode": "Key"}}), "auth-mode")
    assert finding.fix == ()
    assert "Only managed endpoints" in finding.detail


@pytest.mark.parametrize(
    ("name", "value"), [("authMode", 1), ("authMode", ["AADToken"]), ("disableLocalAuth", "true")]
)
def test_a_setting_of_another_shape_breaks_the_snapshot(name: str, value: object) -> None:
    """It is not guessed what it means."""
    kind = "account" if name == "disableLocalAuth" else "online"
    with pytest.raises(SnapshotFault, match=rf"target\.{name}"):
        report(kind, {"properties": {name: value}})


@pytest.mark.parametrize(
    "target",
    [
        world.WORKSPACE,
        f"{world.WORKSPACE}/serverlessEndpoints/one",
        f"{world.ENDPOINT}/deployments/blue",
        world.GROUP,
    ],
)
def test_another_kind_of_target_is_refused(target: str) -> None:
    """Nothing is proven about what no table knows."""
    made = waysworld.document({})
    made["target"]["id"] = target
    with pytest.raises(SnapshotFault, match=r"target\.id"):
        waysworld.judged(made)


@pytest.mark.parametrize(
    ("kind", "properties", "told"),
    [
        ("online", {"publicNetworkAccess": "Disabled"}, None),
        ("online", {"publicNetworkAccess": "Enabled"}, "active"),
        ("online", {}, "conditional"),
        ("account", {"publicNetworkAccess": "disabled"}, None),
        ("account", {"publicNetworkAccess": "Enabled"}, "active"),
        ("account", {"publicNetworkAccess": "SecuredByPerimeter"}, "conditional"),
        ("account", {"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Deny"}}, None),
        (
            "account",
            {
                "publicNetworkAccess": "Enabled",
                "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.7"}]},
            },
            "active",
        ),
        (
            "account",
            {"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}},
            "active",
        ),
    ],
)
def test_the_public_network_is_low_by_itself(kind: str, properties: dict[str, Any], told: str | None) -> None:
    """It is told, and opens nothing: the verdict stays `closed`."""
    safe = {"authMode": "AADToken", "disableLocalAuth": True}
    found = report(kind, {"properties": {**safe, **properties}})
    assert [(finding.way, finding.severity, finding.state) for finding in found.findings] == (
        [] if told is None else [("network", "low", told)]
    )
    assert found.verdict == "closed"


@pytest.mark.parametrize(("public", "told"), [(False, []), (True, ["network low active"])])
def test_a_batch_endpoint_has_its_workspaces_network(public: bool, told: list[str]) -> None:
    """The endpoint itself has no such setting."""
    found = waysworld.report({"target": "batch", "public": public})
    assert waysworld.told(found).get(world.WORKSPACE, []) == told


def test_a_workspace_that_was_not_read_may_be_public() -> None:
    """It is told as what cannot be told."""
    made = waysworld.document({"target": "batch"})
    made["related"] = []
    assert waysworld.told(waysworld.judged(made)) == {world.WORKSPACE.lower(): ["network low conditional"]}


@pytest.mark.parametrize(
    ("enabled", "told"), [(True, {}), (False, ["take-gate low active"]), (None, ["take-gate low active"])]
)
def test_a_gate_without_app_service_authentication_is_told(enabled: bool | None, told: Any) -> None:
    """Low: a gate that verifies tokens itself needs none, and the others refuse everybody."""
    config = f"{waysworld.SITE}/config/authsettingsV2"
    made = waysworld.document(GATE)
    made["related"].append({"id": config, "properties": {"platform": {"enabled": enabled}}})
    found = waysworld.judged(made)
    assert waysworld.told(found) == ({config: told} if told else {})
    assert found.verdict == "closed"


def test_a_federated_credential_of_the_gates_identity_is_a_way() -> None:
    """Whoever gets that subject's token from that issuer is the gate."""
    made = waysworld.document(GATE)
    made["related"].append(
        {
            "id": CREDENTIAL,
            "properties": {
                "issuer": "https://token.actions.githubusercontent.com",
                "subject": "repo:contoso/fraud",
            },
        }
    )
    found = waysworld.judged(made)
    finding = only(found, "take-gate")
    assert (finding.severity, finding.state, finding.principal.id) == ("medium", "active", CREDENTIAL)
    assert '"repo:contoso/fraud" of "https://token.actions.githubusercontent.com"' in finding.detail
    [fix] = finding.fix
    assert fix.startswith("az identity federated-credential delete --subscription 0b0e1a52-")
    assert fix.endswith(" --resource-group rg-gate --identity-name gate --name ci --yes")
    assert found.verdict == "open"


def test_a_federated_credential_of_another_identity_is_none() -> None:
    """Other identities of the resource group are not the gate's business."""
    made = waysworld.document(GATE)
    other = {"id": f"{waysworld.IDENTITY}-other", "properties": {"principalId": "robot"}}
    made["related"] += [other, {"id": f"{other['id']}/federatedIdentityCredentials/ci", "properties": {}}]
    assert waysworld.judged(made).findings == ()


def test_nothing_of_the_gate_is_asked_where_there_is_none() -> None:
    """It must serve somebody who has only an endpoint and the question."""
    made = copy.deepcopy(waysworld.document(GATE))
    del made["gate"]
    made["related"].append({"id": CREDENTIAL, "properties": {}})
    assert waysworld.judged(made).findings == ()
