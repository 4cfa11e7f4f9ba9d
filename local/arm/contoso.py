"""The tenant of the story as Azure Resource Manager sees it: a model, its gate, and several ways around it.

bob, whom the gate refuses, is not among them: he is the one who is to get a way later. Nobody is Owner, for an Owner is a
way that no fix closes; who could be one is `niaj`, if he activates it.
"""

from typing import Any

from local.arm.tenant import RBAC, Json, Tenant
from local.batch.front import WORKSPACE
from local.directory import App, Directory, made_up_id

SUBSCRIPTION = "/".join(WORKSPACE.split("/")[:3])
MANAGEMENT_GROUP = "/providers/Microsoft.Management/managementGroups/contoso"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/fraud"
GATE_GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-gate"
SITE = f"{GATE_GROUP}/providers/Microsoft.Web/sites/contoso-gate"
STORAGE = f"{GATE_GROUP}/providers/Microsoft.Storage/storageAccounts/contosogatecode"

OWNER = f"{RBAC}/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = f"{RBAC}/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"
READER = f"{RBAC}/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
DATA_SCIENTIST = f"{RBAC}/roleDefinitions/f6c7c914-8db3-469d-8ca1-694a8f32e121"
WEBSITE_CONTRIBUTOR = f"{RBAC}/roleDefinitions/de139f84-1756-47ae-9be6-808fbbe84772"
SCORER = f"{SUBSCRIPTION}{RBAC}/roleDefinitions/{made_up_id('role/scorer')}"
"""The least role of a gate: score one endpoint, and see it."""

_ML = "Microsoft.MachineLearningServices/workspaces"
_REGION = "westeurope"

HEIDI, IVAN, JUDY, MALLORY, NIAJ, OSCAR = (
    made_up_id(f"user/{name}") for name in ("heidi", "ivan", "judy", "mallory", "niaj", "oscar")
)
PIPELINE = made_up_id("app/training-pipeline")
SCIENTISTS, RESEARCH = made_up_id("group/data-scientists"), made_up_id("group/research")
"""research is in data-scientists: who is in research has what data-scientists holds."""


def contoso_in_azure(people: Directory, gate: App) -> Tenant:
    """Make it, for the people of the local directory and the identity of the gate."""
    tenant = Tenant(management_groups={SUBSCRIPTION: [MANAGEMENT_GROUP]})
    _directory(tenant, people)
    _resources(tenant, gate)
    tenant.lists["roleDefinitions"] += _definitions()
    tenant.assign(gate.oid, SCORER, ENDPOINT)
    tenant.assign(HEIDI, CONTRIBUTOR, SUBSCRIPTION)
    tenant.assign(SCIENTISTS, DATA_SCIENTIST, WORKSPACE)
    tenant.assign(MALLORY, WEBSITE_CONTRIBUTOR, SITE)
    tenant.make_eligible(NIAJ, OWNER, MANAGEMENT_GROUP)
    return tenant


def _directory(tenant: Tenant, people: Directory) -> None:
    for one in people.everybody():
        kind = "servicePrincipal" if isinstance(one, App) else "user"
        tenant.principals[one.oid] = {"type": kind, "displayName": one.name}
    for who, name in zip(
        (HEIDI, IVAN, JUDY, MALLORY, NIAJ, OSCAR),
        ("heidi", "ivan", "judy", "mallory", "niaj", "oscar"),
        strict=True,
    ):
        tenant.principals[who] = {"type": "user", "displayName": name}
    tenant.principals[PIPELINE] = {"type": "servicePrincipal", "displayName": "training-pipeline"}
    for group, name in ((SCIENTISTS, "data-scientists"), (RESEARCH, "research")):
        tenant.principals[group] = {"type": "group", "displayName": name}
    tenant.members |= {SCIENTISTS: [IVAN, RESEARCH], RESEARCH: [JUDY, PIPELINE]}
    tenant.owners |= {SCIENTISTS: [], RESEARCH: [OSCAR]}


def _resources(tenant: Tenant, gate: App) -> None:
    tenant.principals[gate.oid]["alternativeNames"] = ["isExplicit=False", SITE]
    system = {"type": "SystemAssigned", "principalId": gate.oid}
    container = "https://contosogatecode.blob.core.windows.net/releases"
    flex = {"deployment": {"storage": {"type": "blobContainer", "value": container}}}
    for identity, kind, properties, more in (
        (WORKSPACE, _ML, {"publicNetworkAccess": "Enabled"}, {"kind": "Default"}),
        (
            ENDPOINT,
            f"{_ML}/onlineEndpoints",
            {
                # Keys: whoever holds one needs no role.
                "authMode": "Key",
                "publicNetworkAccess": "Enabled",
                "scoringUri": f"https://fraud.{_REGION}.inference.ml.azure.com/score",
                "traffic": {"blue": 100},
                "provisioningState": "Succeeded",
            },
            {"kind": "Managed"},
        ),
        (f"{ENDPOINT}/deployments/blue", f"{_ML}/onlineEndpoints/deployments", {}, {"kind": "Managed"}),
        (SITE, "Microsoft.Web/sites", {"functionAppConfig": flex, "enabled": True}, {"identity": system}),
        (
            f"{SITE}/config/authsettingsV2",
            "Microsoft.Web/sites/config",
            {
                "platform": {"enabled": True},
                "globalValidation": {
                    "requireAuthentication": True,
                    "unauthenticatedClientAction": "Return401",
                },
            },
            {},
        ),
        (STORAGE, "Microsoft.Storage/storageAccounts", {"allowSharedKeyAccess": False}, {}),
    ):
        tenant.add(_resource(identity, kind, properties, more))


def _resource(identity: str, kind: str, properties: Json, more: Json) -> Json:
    name = identity.rpartition("/")[2]
    return {"id": identity, "name": name, "type": kind, "location": _REGION, "properties": properties} | more


def _definitions() -> list[Json]:
    """Give the roles that are assigned. Those of Azure are copied from its documentation, as of 2026-07."""
    return [
        _role(OWNER, "Owner", actions=["*"]),
        _role(
            CONTRIBUTOR,
            "Contributor",
            actions=["*"],
            not_actions=[
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
                "Microsoft.Blueprint/blueprintAssignments/write",
                "Microsoft.Blueprint/blueprintAssignments/delete",
                "Microsoft.Compute/galleries/share/action",
                "Microsoft.Purview/consents/write",
                "Microsoft.Purview/consents/delete",
                "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
                "Microsoft.Subscription/cancel/action",
                "Microsoft.Subscription/enable/action",
            ],
        ),
        _role(READER, "Reader", actions=["*/read"]),
        _role(
            DATA_SCIENTIST,
            "AzureML Data Scientist",
            actions=[f"{_ML}/*/{verb}" for verb in ("read", "action", "delete", "write")],
            not_actions=[
                f"{_ML}/delete",
                f"{_ML}/write",
                f"{_ML}/computes/*/write",
                f"{_ML}/computes/*/delete",
                f"{_ML}/computes/listKeys/action",
                f"{_ML}/listKeys/action",
                f"{_ML}/hubs/write",
                f"{_ML}/hubs/delete",
                f"{_ML}/featurestores/write",
                f"{_ML}/featurestores/delete",
            ],
        ),
        _role(
            WEBSITE_CONTRIBUTOR,
            "Website Contributor",
            actions=[
                "Microsoft.Authorization/*/read",
                "Microsoft.Insights/alertRules/*",
                "Microsoft.Insights/components/*",
                "Microsoft.ResourceHealth/availabilityStatuses/read",
                "Microsoft.Resources/deployments/*",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                "Microsoft.Support/*",
                "Microsoft.Web/certificates/*",
                "Microsoft.Web/listSitesAssignedToHostName/read",
                "Microsoft.Web/register/action",
                "Microsoft.Web/serverFarms/join/action",
                "Microsoft.Web/serverFarms/read",
                "Microsoft.Web/sites/*",
            ],
        ),
        _role(
            SCORER,
            "Groupgate scorer",
            actions=[f"{_ML}/onlineEndpoints/score/action", f"{_ML}/onlineEndpoints/read"],
            type="CustomRole",
            assignableScopes=[WORKSPACE],
        ),
    ]


def _role(
    identity: str, name: str, *, actions: list[str], not_actions: list[str] | None = None, **more: Any
) -> Json:
    permission = {
        "actions": actions,
        "notActions": not_actions or [],
        "dataActions": [],
        "notDataActions": [],
        "condition": None,
        "conditionVersion": None,
    }
    properties = {
        "roleName": name,
        "type": "BuiltInRole",
        "assignableScopes": ["/"],
        "permissions": [permission],
    }
    return {
        "id": identity,
        "name": identity.rpartition("/")[2],
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": properties | more,
    }
