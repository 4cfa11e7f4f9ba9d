"""A large tenant to judge: groups in groups, wildcards, exclusions, conditions, denies, scopes from the root to a deployment."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

DEPARTMENT: Final = 40
"""Groups that nest in each other: one, three in it, nine in these, 27 in those."""
SUBSCRIPTION: Final = "/subscriptions/0b0e1a52-5a3f-4b76-9c0e-000000000001"
AUTHORIZATION: Final = "providers/Microsoft.Authorization"
GROUP: Final = f"{SUBSCRIPTION}/resourceGroups/rg-fraud"
WORKSPACE: Final = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws-fraud"
ENDPOINT: Final = f"{WORKSPACE}/onlineEndpoints/fraud-score"
SITE: Final = f"{SUBSCRIPTION}/resourceGroups/rg-gate/providers/Microsoft.Web/sites/gate"
SCOPES: Final = {
    "/": 1,
    "/providers/Microsoft.Management/managementGroups/mg-corp": 5,
    "/providers/Microsoft.Management/managementGroups/mg-data": 5,
    SUBSCRIPTION: 25,
    GROUP: 15,
    WORKSPACE: 15,
    ENDPOINT: 10,
    f"{ENDPOINT}/deployments/blue": 2,
    SITE: 2,
    f"{SUBSCRIPTION}/resourceGroups/rg-other": 20,
}
"""Of a hundred assignments, how many stand where."""
PROVIDERS: Final = (
    "Compute",
    "Network",
    "Storage",
    "KeyVault",
    "Insights",
    "Search",
    "Sql",
    "Cache",
    "Batch",
)
VERBS: Final = ("read", "write", "delete", "listKeys/action", "*", "*/read")
ENDPOINTS: Final = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
SCORE: Final = f"{ENDPOINTS}/score/action"
REACHING: Final = (
    SCORE,
    "*",
    f"{ENDPOINTS}/*",
    "*/read",
    "Microsoft.MachineLearningServices/workspaces/*/action",
)
"""What some roles have, in turn: each reaches the model, its workspace or the gate."""
UNDERSTOOD: Final = (
    "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR "
    "(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals "
    "{5e0bd9bd-7b93-4f28-af87-19fc36ad61bd}))"
)
UNTOLD: Final = "(@Resource[Microsoft.Storage/storageAccounts:name] StringEquals 'fraud')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a tenant is made by; the same shape makes the same tenant."""

    assignments: int
    seed: int
    nested: int = DEPARTMENT
    """Groups in a tree."""
    reaching: int = 40
    """Of so many roles one reaches the model, its workspace or the gate."""

    @property
    def roles(self) -> int:
        return self.assignments // 25

    @property
    def principals(self) -> int:
        return self.assignments * 2


def document(shape: Shape) -> dict[str, Any]:
    """Return the snapshot of a tenant of `shape`."""
    pick = random.Random(shape.seed)
    ids = [f"{at:08x}-aaaa-4000-8000-{pick.getrandbits(48):012x}" for at in range(shape.principals)]
    groups = ids[: len(ids) // 20]
    services = ids[len(groups) : len(groups) + len(ids) // 5]
    users = ids[len(groups) + len(services) :]
    everybody, *teams = groups
    roles = [_role(pick, at, shape.reaching) for at in range(shape.roles)]
    listed = [_assignment(pick, roles, teams, users, services) for _ in range(shape.assignments)]
    eligible = shape.assignments // 10
    members = _members(pick, teams, [*users, *services], shape.nested)
    return {
        "target": {"id": ENDPOINT, "properties": {"authMode": "AADToken", "publicNetworkAccess": "Disabled"}},
        "gate": {"principalId": services[0], "siteId": SITE},
        "roleAssignments": listed[eligible:],
        "roleEligibilityScheduleInstances": listed[:eligible],
        "roleDefinitions": roles,
        "denyAssignments": [_deny(pick, at, teams, services[0]) for at in range(shape.assignments // 500)],
        "related": [{"id": WORKSPACE}, {"id": SITE, "properties": {"state": "Running"}}],
        "directory": {
            "principals": {
                id_: {"type": kind, "displayName": f"{kind} {id_[:8]}"}
                for kind, listed_ids in (("group", groups), ("servicePrincipal", services), ("user", users))
                for id_ in listed_ids
            },
            "groupMembers": {everybody: users, **members},
            "groupOwners": {group: pick.sample(users, 2) for group in groups},
        },
        "unread": [],
    }


def _role(pick: random.Random, at: int, reaching: int) -> dict[str, Any]:
    provider = pick.choice(PROVIDERS)
    actions = [
        f"Microsoft.{provider}/kind{pick.randrange(400)}/{pick.choice(VERBS)}"
        for _ in range(pick.randint(3, 25))
    ]
    if at % reaching == 0:
        actions.append(REACHING[at // reaching % len(REACHING)])
    name = f"{at:08x}-bbbb-4000-8000-{pick.getrandbits(48):012x}"
    permission = {
        "actions": actions,
        "notActions": ["Microsoft.Authorization/*/Write", f"{ENDPOINTS}/delete"] if at % 3 == 0 else [],
        "dataActions": [f"Microsoft.{provider}/data{pick.randrange(50)}/*"] if at % 5 == 0 else [],
        "notDataActions": [],
    }
    return {
        "id": f"/{AUTHORIZATION}/roleDefinitions/{name}",
        "name": name,
        "properties": {
            "roleName": f"Role {at}",
            "type": "CustomRole",
            "permissions": [permission],
            "assignableScopes": ["/"],
        },
    }


def _assignment(
    pick: random.Random,
    roles: list[dict[str, Any]],
    teams: list[str],
    users: list[str],
    services: list[str],
) -> dict[str, Any]:
    kind, holders = pick.choices(
        (("Group", teams), ("User", users), ("ServicePrincipal", services)), (50, 35, 15)
    )[0]
    (scope,) = pick.choices(tuple(SCOPES), tuple(SCOPES.values()))
    name = f"{pick.getrandbits(32):08x}-cccc-4000-8000-{pick.getrandbits(48):012x}"
    condition = pick.choice((UNDERSTOOD, UNTOLD)) if pick.random() < 0.03 else None
    return {
        "id": f"{scope.rstrip('/')}/{AUTHORIZATION}/roleAssignments/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "principalId": pick.choice(holders),
            "principalType": kind,
            "roleDefinitionId": f"{SUBSCRIPTION}{pick.choice(roles)['id']}",
            "scope": scope,
            "condition": condition,
            "conditionVersion": None if condition is None else "2.0",
            "createdOn": f"2026-01-{pick.randint(1, 28):02}T09:30:00.0000000Z",
        },
    }


def _deny(pick: random.Random, at: int, teams: list[str], gate: str) -> dict[str, Any]:
    denied = SCORE if at % 10 == 0 else f"Microsoft.{pick.choice(PROVIDERS)}/*/delete"
    *kept_out, spared = ({"id": group, "type": "Group"} for group in pick.sample(teams, 6))
    return {
        "id": f"{GROUP}/{AUTHORIZATION}/denyAssignments/{at:08x}-dddd-4000-8000-000000000000",
        "properties": {
            "denyAssignmentName": f"deny {at}",
            "scope": GROUP,
            "permissions": [{"actions": [denied], "notActions": []}],
            "principals": kept_out,
            "excludePrincipals": [{"id": gate, "type": "ServicePrincipal"}, spared],
            "isSystemProtected": False,
        },
    }


def _members(pick: random.Random, teams: list[str], people: list[str], nested: int) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {group: [] for group in teams}
    for person in people:
        members[pick.choice(teams)].append(person)
        if pick.random() < 0.5:
            members[pick.choice(teams)].append(person)
    for at, group in enumerate(teams):
        place = at % nested
        if place:
            outer = teams[at - place + (place - 1) // 3]
            members[outer].append(group)
            if at % 50 == 0:
                members[group].append(outer)
    return {group: list(dict.fromkeys(listed)) for group, listed in members.items()}
