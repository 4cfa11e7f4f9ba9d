"""Who can give themselves more: delegated role managers, roles in use, owners of groups, deny assignments that can be lifted."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass.finding import Report
from tests.unit.bypass import waysworld, world

DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
OPENAI_USER = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
RBAC_ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SCORE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"
RIGHTS = "Microsoft.Authorization"
OPENAI = "Microsoft.CognitiveServices/accounts/OpenAI"
ASSIGN = f"{RIGHTS}/roleAssignments/write"
LIFT = "Microsoft.Authorization/denyAssignments/delete"
ROLE = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"

Row = dict[str, Any]


def delegated(kind: str, condition: str, *known: str) -> Report:
    """Return what is found where alice may assign roles under `condition`, and the definitions of `known` were read."""
    made = waysworld.document(
        {
            "target": kind,
            "roles": {"delegate": {"actions": [ASSIGN]}},
            "assign": [{"to": "alice", "role": "delegate", "at": "group", "condition": condition}],
        }
    )
    made["roleDefinitions"] += [waysworld.ROLES[role] for role in known]
    return waysworld.judged(made)


def only(role: str) -> str:
    return f"!(ActionMatches{{'{ASSIGN}'}}) OR {ROLE} ForAnyOfAnyValues:GuidEquals {{{role}}}"


def but(*roles: str) -> str:
    return f"!(ActionMatches{{'{ASSIGN}'}}) OR {ROLE} ForAnyOfAllValues:GuidNotEquals {{{', '.join(roles)}}}"


@pytest.mark.parametrize(
    ("kind", "condition", "known", "told"),
    [
        ("online", only(READER), [READER], []),
        ("online", only(OPENAI_USER), [OPENAI_USER], []),
        ("account", only(DATA_SCIENTIST), [DATA_SCIENTIST], []),
        ("online", only(DATA_SCIENTIST), [DATA_SCIENTIST], ["grant medium active"]),
        ("online", only(RBAC_ADMINISTRATOR), [RBAC_ADMINISTRATOR], ["grant medium active"]),
        ("account", only(OPENAI_USER), [OPENAI_USER], ["grant medium active"]),
        ("online", only(DATA_SCIENTIST), [], ["grant medium active"]),
        ("online", but(OWNER, RBAC_ADMINISTRATOR), [OWNER, RBAC_ADMINISTRATOR], ["grant medium active"]),
        ("online", "@Principal[team] StringEquals 'risk'", [], ["grant medium conditional"]),
        ("online", f"{only(DATA_SCIENTIST)} AND nonsense", [DATA_SCIENTIST], ["grant medium conditional"]),
    ],
)
def test_a_delegated_role_manager_has_a_way_if_some_role_left_to_them_is_one(
    kind: str, condition: str, known: list[str], told: list[str]
) -> None:
    """Who may assign Reader and nothing else opens nothing; who may assign all but Owner does."""
    assert waysworld.told(delegated(kind, condition, *known)).get("alice", []) == told


UNNAMED = "00000000-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("kind", "role", "told"),
    [
        ("online", {"actions": [f"{RIGHTS}/roleAssignmentScheduleRequests/write"]}, ["grant medium active"]),
        ("online", {"actions": [f"{RIGHTS}/roleEligibilityScheduleRequests/write"]}, ["grant medium active"]),
        ("online", {"actions": [f"{RIGHTS}/roleDefinitions/write"]}, ["grant medium active"]),
        ("online", {"actions": [f"{RIGHTS}/elevateAccess/action"]}, ["grant medium active"]),
        ("online", {"actions": ["Microsoft.Storage/storageAccounts/listKeys/action"]}, []),
        ("online", {"data": [f"{OPENAI}/assistants/threads/runs/write"]}, []),
        ("account", {"data": [f"{OPENAI}/assistants/threads/runs/write"]}, ["grant medium active"]),
        ("account", {"data": [f"{OPENAI}/deployments/realtime/action"]}, ["grant medium active"]),
        ("account", {"data": [f"{OPENAI}/assistants/read"]}, []),
    ],
)
def test_a_role_left_to_a_role_manager_counts_by_all_that_it_can_lead_to(
    kind: str, role: Row, told: list[str]
) -> None:
    """E08: other rights to grant, and models that no table knows, though nobody has such a role yet."""
    row: Row = {
        "target": kind,
        "roles": {"delegate": {"actions": [ASSIGN]}, UNNAMED: role},
        "assign": [{"to": "alice", "role": "delegate", "at": "group", "condition": only(UNNAMED)}],
    }
    assert waysworld.told(waysworld.report(row)).get("alice", []) == told


@pytest.mark.parametrize(("kept_out", "told"), [([], []), (["bob"], ["grant medium active"])])
def test_a_role_that_lifts_denies_counts_where_there_is_one(kept_out: list[str], told: list[str]) -> None:
    """E08: who may assign to themselves what deletes the seal, deletes it."""
    row: Row = {
        "roles": {"delegate": {"actions": [ASSIGN]}, UNNAMED: {"actions": [LIFT]}},
        "assign": [{"to": "alice", "role": "delegate", "at": "group", "condition": only(UNNAMED)}],
        "deny": [{"from": [name], "at": "target", "actions": [SCORE]} for name in kept_out],
    }
    assert waysworld.told(waysworld.report(row)).get("alice", []) == told


def test_a_role_in_use_can_be_redefined_only_if_it_is_custom() -> None:
    """Built-in roles cannot be changed: where no other is assigned, writing definitions opens nothing."""
    made = waysworld.document({"assign": [{"to": "alice", "role": "definer", "at": "group"}]})
    definition = world.definition("definer", {"actions": ["Microsoft.Authorization/roleDefinitions/write"]})
    made["roleDefinitions"] = [definition]
    for kind, told in (("BuiltInRole", []), ("CustomRole", ["grant medium active"])):
        definition["properties"]["type"] = kind
        assert waysworld.told(waysworld.judged(made)).get("alice", []) == told
    flat = {
        **definition["properties"],
        "id": definition["id"],
        "type": "Microsoft.Authorization/roleDefinitions",
    }
    for kind, told in (("BuiltInRole", []), ("CustomRole", ["grant medium active"])):
        made["roleDefinitions"] = [{**flat, "roleType": kind}]
        assert waysworld.told(waysworld.judged(made)).get("alice", []) == told


@pytest.mark.parametrize(
    ("kind", "place"), [("online", "deployment"), ("account", "project"), ("online", "slot")]
)
def test_roles_assigned_below_the_target_count_there(kind: str, place: str) -> None:
    """Who assigns roles at a deployment replaces the model; at a project calls it; at a slot deploys to it."""
    row: Row = {
        "target": kind,
        "gate": "gate",
        "roles": {"delegate": {"actions": [ASSIGN]}},
        "assign": [{"to": "alice", "role": "delegate", "at": place}],
    }
    assert waysworld.told(waysworld.report(row)) == {"alice": ["grant medium active"]}


# Owners of groups.

ANALYSTS: Row = {
    "roles": {"scorer": {"actions": [SCORE]}},
    "groups": {"analysts": []},
    "assign": [{"to": "analysts", "role": "scorer", "at": "group"}],
}


def test_the_owner_of_a_group_without_roles_has_no_way() -> None:
    """Only groups that hold a role here, or are within one, matter."""
    found = waysworld.report(
        {**ANALYSTS, "groups": {"analysts": [], "chess": []}, "owners": {"chess": ["bob"]}}
    )
    assert waysworld.told(found) == {}
    assert found.verdict == "closed"


def test_the_owner_of_an_empty_group_can_fill_it() -> None:
    """RB9: no Azure role is needed. Who it is, by which group, and how to end it."""
    found = waysworld.report({**ANALYSTS, "owners": {"analysts": ["bob"]}})
    [finding] = found.findings
    assert (finding.way, finding.severity, finding.state) == ("group-owner", "medium", "active")
    assert (finding.principal.id, finding.via) == ("bob", ("analysts",))
    assert waysworld.assignments(finding) == ["a0"]
    assert finding.fix == ("az ad group owner remove --group analysts --owner-object-id bob",)
    assert finding.detail == 'May add members to "Analysts". A member may score with a token of its own.'
    assert found.verdict == "open"


def test_an_owner_is_told_what_the_group_gives_and_nothing_that_others_have() -> None:
    """A Contributor beside the group does not make its members able to do more."""
    row = {**ANALYSTS, "owners": {"analysts": ["bob"]}}
    row["roles"] = {**ANALYSTS["roles"], "all": {"actions": ["*"]}}
    row["assign"] = [*ANALYSTS["assign"], {"to": "alice", "role": "all", "at": "group"}]
    [finding] = waysworld.about(waysworld.report(row), "bob")
    assert finding.detail == 'May add members to "Analysts". A member may score with a token of its own.'


def test_the_owner_of_a_group_within_a_group_is_as_able() -> None:
    """The chain goes up to the group that holds the role."""
    nested = {"analysts": ["risk"], "risk": ["desk"], "desk": []}
    found = waysworld.report({**ANALYSTS, "groups": nested, "owners": {"desk": ["bob"]}})
    assert [finding.via for finding in waysworld.about(found, "bob")] == [("desk", "risk", "analysts")]


def test_the_owner_of_several_groups_is_told_once() -> None:
    """Every group is in the fix; the shortest chain is the one told."""
    nested = {"analysts": ["risk"], "risk": []}
    found = waysworld.report({**ANALYSTS, "groups": nested, "owners": {"analysts": ["bob"], "risk": ["bob"]}})
    [finding] = waysworld.about(found, "bob")
    assert finding.via == ("analysts",)
    assert [fix.split()[6] for fix in finding.fix] == ["analysts", "risk"]


@pytest.mark.parametrize(
    ("assigned", "told"),
    [
        ({"eligible": True}, ["group-owner medium eligible"]),
        ({"condition": "@Principal[team] StringEquals 'risk'"}, ["group-owner medium conditional"]),
    ],
)
def test_an_owner_has_what_the_group_has(assigned: Row, told: list[str]) -> None:
    """An eligible group's owner is eligible."""
    given = {**ANALYSTS["assign"][0], **assigned}
    found = waysworld.report({**ANALYSTS, "assign": [given], "owners": {"analysts": ["bob"]}})
    assert waysworld.told(found)["bob"] == told


def test_an_owner_whom_nobody_knows_counts() -> None:
    """It cannot be told who that is."""
    found = waysworld.report({**ANALYSTS, "owners": {"analysts": ["gone"]}})
    assert waysworld.told(found) == {"gone": ["group-owner medium conditional"]}


def test_a_group_with_keys_alone_opens_nothing_to_its_owner() -> None:
    """Keys that the endpoint refuses are low in any hands."""
    role = {"actions": ["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action"]}
    row = {**ANALYSTS, "roles": {"scorer": role}, "owners": {"analysts": ["bob"]}}
    assert waysworld.told(waysworld.report(row)) == {}
    assert "bob" in waysworld.told(waysworld.report({**row, "keys": "taken"}))


def test_a_group_with_jobs_alone_opens_nothing_to_its_owner() -> None:
    """Running jobs beside an online endpoint is low in any hands."""
    role = {"actions": ["Microsoft.MachineLearningServices/workspaces/jobs/write"]}
    row = {
        **ANALYSTS,
        "roles": {"scorer": role},
        "groups": {"analysts": ["carol"]},
        "owners": {"analysts": ["bob"]},
    }
    assert waysworld.told(waysworld.report(row)) == {"carol": ["run-elsewhere low active"]}


def test_only_groups_that_help_are_taken_from_their_owner() -> None:
    """Bob owns two groups, and is kept from what one of them holds whether he is in it or not."""
    write = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/write"
    row: Row = {
        "roles": {"scorer": {"actions": [SCORE]}, "writer": {"actions": [write]}},
        "groups": {"analysts": [], "writers": []},
        "assign": [
            {"to": "analysts", "role": "scorer", "at": "group"},
            {"to": "writers", "role": "writer", "at": "group"},
        ],
        "owners": {"analysts": ["bob"], "writers": ["bob"]},
        "deny": [{"from": ["everyone"], "at": "target", "actions": [SCORE]}],
    }
    [finding] = waysworld.about(waysworld.report(row), "bob")
    assert finding.fix == ("az ad group owner remove --group writers --owner-object-id bob",)
    assert waysworld.assignments(finding) == ["a1"]


def test_owners_that_were_not_read_prove_nothing() -> None:
    """Nobody is in the group, and who could put somebody in is not known."""
    found = waysworld.report({**ANALYSTS, "owners-unread": ["analysts"]})
    assert found.findings == ()
    assert [(entry.what, found.verdict) for entry in found.unread] == [
        ('owners of group "Analysts"', "not-proven")
    ]


# Deny assignments.

SEAL: Row = {"from": ["everyone"], "except": ["gate"], "at": "target", "actions": [SCORE]}
SCORER: Row = {"roles": {"scorer": {"actions": [SCORE]}, "lifter": {"actions": [LIFT]}}, "gate": "gate"}
BOB: Row = {"to": "bob", "role": "scorer", "at": "workspace"}
CAROL: Row = {"to": "carol", "role": "lifter", "at": "group"}


def test_lifting_a_seal_that_keeps_nobody_out_opens_nothing() -> None:
    """The gate is excluded, and nobody else has a role: with or without the seal nobody calls."""
    gate = {"to": "gate", "role": "scorer", "at": "target"}
    found = waysworld.report({**SCORER, "assign": [gate, CAROL], "deny": [SEAL]})
    assert (waysworld.told(found), found.verdict) == ({}, "closed")


def test_lifting_a_seal_that_keeps_the_gate_out_opens_nothing() -> None:
    """The gate was forgotten among the exclusions: it cannot call, and neither can anybody else."""
    gate = {"to": "gate", "role": "scorer", "at": "target"}
    found = waysworld.report({**SCORER, "assign": [gate, CAROL], "deny": [{**SEAL, "except": ["dave"]}]})
    assert (waysworld.told(found), found.unread) == ({}, ())


def test_whoever_can_lift_a_seal_has_a_way() -> None:
    """Bob is kept out by the seal alone, and carol can delete it."""
    found = waysworld.report({**SCORER, "assign": [BOB, CAROL], "deny": [SEAL]})
    assert waysworld.told(found) == {"carol": ["remove-deny medium active"]}
    assert found.verdict == "open"


def test_a_seal_on_scoring_is_not_proven() -> None:
    """9.1: whether the endpoint obeys deny assignments only a live canary shows."""
    found = waysworld.report({**SCORER, "assign": [BOB], "deny": [SEAL]})
    assert waysworld.told(found) == {}
    assert found.verdict == "not-proven"
    [entry] = found.unread
    assert entry.what == "deny assignment d0"
    assert "canary" in entry.why


def test_a_seal_on_what_resource_manager_answers_is_proven() -> None:
    """Changes go through Azure Resource Manager, which obeys deny assignments."""
    write = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/write"
    found = waysworld.report(
        {
            "roles": {"writer": {"actions": [write]}},
            "assign": [{"to": "bob", "role": "writer", "at": "workspace"}],
            "deny": [{**SEAL, "actions": [write]}],
        }
    )
    assert (found.findings, found.verdict) == ((), "closed")


@pytest.mark.parametrize("deny", [{"effect": "audit"}, {"from": ["alice"]}, {"except": ["bob"]}])
def test_a_deny_assignment_that_leaves_somebody_able_closes_nothing(deny: Row) -> None:
    """Auditing, about somebody else, or excluding them: bob still calls."""
    found = waysworld.report({**SCORER, "assign": [BOB, CAROL], "deny": [{**SEAL, **deny}]})
    assert waysworld.told(found) == {"bob": ["invoke high active"]}


def test_what_azure_made_is_lifted_by_its_stack_alone() -> None:
    """8.6: nobody deletes a system-protected deny assignment directly."""
    row = {**SCORER, "assign": [BOB, CAROL], "deny": [{**SEAL, "protected": True}]}
    assert waysworld.told(waysworld.report(row)) == {}
    stack = {"actions": ["Microsoft.Resources/deploymentStacks/manageDenySetting/action"]}
    row["roles"] = {**SCORER["roles"], "lifter": stack}
    assert waysworld.told(waysworld.report(row)) == {"carol": ["remove-deny medium active"]}


def test_who_lifts_one_of_two_seals_opens_nothing() -> None:
    """Bob is kept out by both; carol would have to lift both."""
    row = {**SCORER, "assign": [BOB, CAROL], "deny": [SEAL, {**SEAL, "at": "group", "protected": True}]}
    assert waysworld.told(waysworld.report(row)) == {}
    row["deny"] = [SEAL, {**SEAL, "at": "group"}]
    assert waysworld.told(waysworld.report(row)) == {"carol": ["remove-deny medium active"]}


def test_rewriting_a_seal_is_as_good_as_deleting_it() -> None:
    """An exclusion more, and it is open."""
    roles = {**SCORER["roles"], "lifter": {"actions": ["Microsoft.Authorization/denyAssignments/write"]}}
    found = waysworld.report({**SCORER, "roles": roles, "assign": [BOB, CAROL], "deny": [SEAL]})
    assert waysworld.told(found) == {"carol": ["remove-deny medium active"]}


EMERGENCY: Row = {**SEAL, "except": ["gate", "emergency"]}


def test_the_owner_of_an_excluded_group_escapes_the_seal() -> None:
    """Bob holds the role and owns the emergency group: as its member nothing keeps him out."""
    row = {
        **SCORER,
        "groups": {"emergency": []},
        "assign": [BOB],
        "deny": [EMERGENCY],
        "owners": {"emergency": ["bob"]},
    }
    found = waysworld.report(row)
    [finding] = found.findings
    assert waysworld.said(finding) == "group-owner medium active"
    assert waysworld.assignments(finding) == ["a0"]
    assert finding.fix == ("az ad group owner remove --group emergency --owner-object-id bob",)
    assert waysworld.told(waysworld.report({**row, "owners": {"emergency": ["carol"]}})) == {}
    assert waysworld.told(waysworld.report({**row, "deny": [EMERGENCY, SEAL]})) == {}


def test_the_gate_that_owns_an_excluded_group_is_no_way_around_itself() -> None:
    """The gate was forgotten among the exclusions, and may put itself back: it calls then, as it is meant to."""
    row = {
        **SCORER,
        "groups": {"emergency": []},
        "assign": [{"to": "gate", "role": "scorer", "at": "target"}],
        "deny": [{**SEAL, "except": ["emergency"]}],
        "owners": {"emergency": ["gate"]},
    }
    assert waysworld.told(waysworld.report(row)) == {}


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([], []),
        ([{"to": "dave", "role": "lifter", "at": "subscription"}], ["group-owner medium active"]),
        ([{"to": "erin", "role": "lifter", "at": "subscription"}], ["group-owner medium active"]),
        ([{"to": "nobodys", "role": "lifter", "at": "subscription"}], []),
    ],
    ids=["nobody", "the same owner", "somebody else", "a group that nobody owns"],
)
def test_the_owner_of_a_group_that_lifts_one_of_two_seals_needs_who_lifts_the_other(
    others: list[Row], told: list[str]
) -> None:
    """E08: one seal keeps bob out as well as two do; the wider one is lifted at the subscription alone."""
    found = waysworld.report(
        {
            **SCORER,
            "groups": {"lifters": [], "nobodys": []},
            "owners": {"lifters": ["dave"], "nobodys": []},
            "assign": [BOB, {"to": "lifters", "role": "lifter", "at": "group"}, *others],
            "deny": [SEAL, {**SEAL, "at": "subscription"}],
        }
    )
    assert [
        words for words in waysworld.told(found).get("dave", []) if words.startswith("group-owner")
    ] == told


def test_the_owner_of_a_group_that_the_seal_keeps_out_gains_nothing() -> None:
    """A member of Analysts is denied like everybody else."""
    row = {**ANALYSTS, "owners": {"analysts": ["bob"]}, "deny": [{**SEAL, "except": ["dave"]}]}
    assert waysworld.told(waysworld.report(row)) == {}
