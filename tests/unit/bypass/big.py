"""A tenant of any size, as a snapshot: what the evaluator's speed is measured on. The same numbers make the same tenant.

Every assignment stands at or above the target, as in a snapshot that was collected there. A fifth of the principals are
service principals, a twentieth groups; groups nest and contain each other, users are in a few each and all in one. One role
in twenty reaches the endpoint, through patterns with stars and without; some assignments have conditions, some are only
eligible, and deny assignments exclude groups.
"""

from __future__ import annotations

import random
from typing import Any

SUBSCRIPTION = "/subscriptions/0b0e1a52-5a3f-4b76-9c0e-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-fraud"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws-fraud"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/fraud-score"
SCOPES = (
    "/",
    "/providers/Microsoft.Management/managementGroups/mg-corp",
    "/providers/Microsoft.Management/managementGroups/mg-data",
    SUBSCRIPTION,
    GROUP,
    WORKSPACE,
    ENDPOINT,
)
SCORE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"

_AUTHORIZATION = "providers/Microsoft.Authorization"
_PROVIDERS = (
    "Compute",
    "Network",
    "Storage",
    "Web",
    "KeyVault",
    "Insights",
    "Search",
    "Sql",
    "Cache",
    "Batch",
)
_REACHING = (
    "*",
    "Microsoft.MachineLearningServices/*",
    "Microsoft.MachineLearningServices/workspaces/*/action",
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/*",
    SCORE,
)
_CONDITION = (
    "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR "
    "(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals "
    "{5e0bd9bd-7b93-4f28-af87-19fc36ad61bd}))"
)


def document(*, assignments: int, roles: int, principals: int, seed: int = 5) -> dict[str, Any]:
    """Return a snapshot's JSON value with that many of each."""
    pick = random.Random(seed)
    ids = [f"{at:08x}-aaaa-4000-8000-{pick.getrandbits(48):012x}" for at in range(principals)]
    groups = ids[: max(2, principals // 20)]
    services = ids[len(groups) : len(groups) + principals // 5]
    users = ids[len(groups) + len(services) :]
    definitions = [_role(pick, at) for at in range(roles)]
    holders = [_holder(pick, groups, services, users) for _ in range(assignments)]
    listed = [_assignment(pick, holder, definitions) for holder in holders]
    eligible = assignments // 10
    return {
        "target": {"id": ENDPOINT, "properties": {"authMode": "AADToken"}},
        "gate": {"principalId": services[0]},
        "roleAssignments": listed[eligible:],
        "roleEligibilityScheduleInstances": listed[:eligible],
        "roleDefinitions": definitions,
        "denyAssignments": [_deny(pick, at, groups, services) for at in range(20)],
        "related": [{"id": WORKSPACE}],
        "directory": {
            "principals": _principals(groups, services, users),
            "groupMembers": _members(pick, groups, services, users),
            "groupOwners": {group: pick.sample(users, 2) for group in groups},
        },
        "unread": [],
    }


def _role(pick: random.Random, at: int) -> dict[str, Any]:
    provider = pick.choice(_PROVIDERS)
    actions = [
        f"Microsoft.{provider}/kind{pick.randrange(400)}/{pick.choice(('read', 'write', 'delete', '*', '*/read'))}"
        for _ in range(pick.randint(3, 25))
    ]
    if at % 20 == 0:
        actions.append(pick.choice(_REACHING))
    name = f"{at:08x}-bbbb-4000-8000-{pick.getrandbits(48):012x}"
    permission = {
        "actions": actions,
        "notActions": ["Microsoft.Authorization/*/Write"] if at % 3 == 0 else [],
        "dataActions": [f"Microsoft.{provider}/data{pick.randrange(50)}/*"] if at % 5 == 0 else [],
        "notDataActions": [],
    }
    return {
        "id": f"/{_AUTHORIZATION}/roleDefinitions/{name}",
        "name": name,
        "properties": {"roleName": f"Role {at}", "permissions": [permission], "assignableScopes": ["/"]},
    }


def _holder(pick: random.Random, groups: list[str], services: list[str], users: list[str]) -> tuple[str, str]:
    kind = pick.choices(("Group", "User", "ServicePrincipal"), (50, 35, 15))[0]
    # The first groups are large: most roles go to others.
    return pick.choice(
        {"Group": groups[2:] or groups, "User": users, "ServicePrincipal": services}[kind]
    ), kind


def _assignment(
    pick: random.Random, holder: tuple[str, str], definitions: list[dict[str, Any]]
) -> dict[str, Any]:
    scope = pick.choice(SCOPES)
    name = f"{pick.getrandbits(32):08x}-cccc-4000-8000-{pick.getrandbits(48):012x}"
    conditional = pick.random() < 0.03
    return {
        "id": f"{scope.rstrip('/')}/{_AUTHORIZATION}/roleAssignments/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "principalId": holder[0],
            "principalType": holder[1],
            "roleDefinitionId": f"{SUBSCRIPTION}{pick.choice(definitions)['id']}",
            "scope": scope,
            "condition": _CONDITION if conditional else None,
            "conditionVersion": "2.0" if conditional else None,
        },
    }


def _deny(pick: random.Random, at: int, groups: list[str], services: list[str]) -> dict[str, Any]:
    action = SCORE if at == 0 else f"Microsoft.{pick.choice(_PROVIDERS)}/*/delete"
    return {
        "id": f"{GROUP}/{_AUTHORIZATION}/denyAssignments/{at:08x}-dddd-4000-8000-000000000000",
        "properties": {
            "denyAssignmentName": f"deny {at}",
            "scope": GROUP,
            "permissions": [{"actions": [action], "notActions": [], "dataActions": [], "notDataActions": []}],
            "principals": [{"id": pick.choice(groups[2:] or groups), "type": "Group"} for _ in range(5)],
            "excludePrincipals": [
                {"id": services[0], "type": "ServicePrincipal"},
                {"id": pick.choice(groups[2:] or groups), "type": "Group"},
            ],
            "denyAssignmentEffect": "enforced",
            "isSystemProtected": False,
        },
    }


def _principals(groups: list[str], services: list[str], users: list[str]) -> dict[str, Any]:
    return {
        **{principal: {"type": "group", "displayName": f"group {principal[:8]}"} for principal in groups},
        **{
            principal: {"type": "servicePrincipal", "displayName": f"app {principal[:8]}"}
            for principal in services
        },
        **{principal: {"type": "user", "displayName": f"person {principal[:8]}"} for principal in users},
    }


def _members(
    pick: random.Random, groups: list[str], services: list[str], users: list[str]
) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {group: [] for group in groups}
    members[groups[0]] = list(users)
    others = groups[1:]
    for principal in [*users, *services]:
        for group in pick.choices(others, k=3):
            members[group].append(principal)
    for at, group in enumerate(others[1:], start=1):
        # A tree of three below each, so that no group is deep down; here and there two groups contain each other.
        members[others[at // 3]].append(group)
        if at % 50 == 0:
            members[group].append(others[at // 3])
    return {group: sorted(set(listed)) for group, listed in members.items()}
