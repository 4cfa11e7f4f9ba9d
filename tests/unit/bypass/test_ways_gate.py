"""The gate: what it has beyond its need, which resources it is made of, and that its own rights are found whole."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass import leastrole, snapshot, whatif
from shared.bypass.actions import Kind
from shared.bypass.changes import Assign
from shared.bypass.finding import Finding, Report
from shared.bypass.grants import State
from shared.bypass.paths import judge
from shared.bypass.rbac import Evaluator
from tests.unit.bypass import waysworld, world

ML = "Microsoft.MachineLearningServices/workspaces/"
AI = "Microsoft.CognitiveServices/accounts/"
SCORE = f"{ML}onlineEndpoints/score/action"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
OPENAI_CONTRIBUTOR = "a001fd3d-188f-4b5d-821b-7da978bf7442"
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"

Row = dict[str, Any]


def report(kind: str, *roles: Row, **row: Any) -> Report:
    """Return what is found where the gate has `roles`: what each permits, and `at` which place (default the target)."""
    return waysworld.report(
        {
            "target": kind,
            "gate": "gate",
            "roles": {f"r{at}": role for at, role in enumerate(roles)},
            "assign": [
                {"to": "gate", "role": f"r{at}", "at": role.get("at", "target")}
                for at, role in enumerate(roles)
            ],
            **row,
        }
    )


def deleting(name: str, at: str) -> str:
    """Return the command that removes the assignment `name` at the scope `at`."""
    return f"az role assignment delete --ids {world.assignment_id(name, at)}"


def excess(found: Report) -> Finding:
    """Return the one finding, about the gate."""
    [finding] = found.findings
    assert (finding.way, finding.principal.id) == ("gate-excess", "gate")
    return finding


NEEDED: list[tuple[str, Row]] = [
    ("online", {"actions": [SCORE]}),
    ("online", {"actions": [SCORE, f"{ML}onlineEndpoints/read"]}),
    ("online", {"actions": [SCORE], "at": "workspace"}),
    ("online", {"actions": [SCORE, f"{ML}*/read"], "not": [f"{ML}metadata/secrets/read"], "at": "workspace"}),
    ("batch", {"actions": [f"{ML}batchEndpoints/jobs/write", f"{ML}datastores/listsecrets/action"]}),
    ("account", {"data": [f"{AI}OpenAI/deployments/chat/completions/action"]}),
    ("account", {"data": [f"{AI}MaaS/*"], "actions": ["Microsoft.CognitiveServices/*/read"]}),
]


@pytest.mark.parametrize(("kind", "role"), NEEDED)
def test_what_the_gate_needs_is_no_finding(kind: str, role: Row) -> None:
    """Calling, reading, and for jobs the documented list (4.1, 5.5, 6.3)."""
    found = report(kind, role)
    assert (found.findings, found.verdict) == ((), "closed")


@pytest.mark.parametrize("kind", list(Kind))
def test_the_least_roles_are_no_excess(kind: Kind) -> None:
    """E07: each rung of the ladder, the last one too, is needed or a read that opens nothing."""
    name = {Kind.ONLINE: "online", Kind.BATCH: "batch", Kind.ACCOUNT: "account"}[kind]
    for rung in leastrole.definitions(kind, waysworld.KINDS[name]):
        role = leastrole.permission(rung)
        found = report(
            name,
            {
                "actions": role["Actions"],
                "not": role["NotActions"],
                "data": role["DataActions"],
                "at": "group",
            },
            assign=[{"to": "gate", "role": "r0", "at": "target" if name == "account" else "workspace"}],
        )
        assert found.findings == (), rung


@pytest.mark.parametrize(
    ("kind", "role", "severity"),
    [
        ("online", {"actions": [SCORE, f"{ML}onlineEndpoints/listKeys/action"]}, "medium"),
        ("online", {"actions": [SCORE, f"{ML}onlineEndpoints/write"]}, "medium"),
        ("online", {"actions": [f"{ML}onlineEndpoints/*/action"]}, "medium"),
        ("online", {"actions": [SCORE, "Microsoft.Authorization/roleAssignments/write"]}, "medium"),
        ("online", {"actions": [SCORE, "Microsoft.Web/sites/write"], "at": "subscription"}, "medium"),
        ("online", {"actions": [SCORE, f"{ML}metadata/secrets/read"], "at": "workspace"}, "low"),
        ("online", {"actions": [SCORE, f"{ML}jobs/write"], "at": "workspace"}, "low"),
        ("online", {"actions": [SCORE, "Microsoft.Compute/virtualMachines/write"]}, "low"),
        ("online", {"actions": [SCORE], "data": ["Microsoft.Storage/*"]}, "low"),
        ("online", {"actions": [SCORE], "at": "group"}, "low"),
        ("online", {"actions": [SCORE], "at": "corp"}, "low"),
        (
            "batch",
            {"actions": [f"{ML}batchEndpoints/jobs/write", f"{ML}jobs/write"], "at": "workspace"},
            "medium",
        ),
        (
            "batch",
            {
                "actions": [f"{ML}batchEndpoints/jobs/write", f"{ML}connections/listsecrets/action"],
                "at": "workspace",
            },
            "medium",
        ),
        ("account", {"data": ["Microsoft.CognitiveServices/*"]}, "low"),
        ("account", {"data": [f"{AI}OpenAI/*"], "actions": [f"{AI}listKeys/action"]}, "medium"),
        ("account", {"data": [f"{AI}OpenAI/*"], "actions": [f"{AI}deployments/write"]}, "medium"),
        ("account", {"data": [f"{AI}OpenAI/*"], "at": "group"}, "low"),
    ],
)
def test_what_it_does_not_need_is_told(kind: str, role: Row, severity: str) -> None:
    """E07: medium where it is a way, low where it only reaches further than to call."""
    finding = excess(report(kind, role))
    assert (finding.severity, finding.state) == (severity, "active")


def test_what_its_role_takes_back_is_not_told() -> None:
    """A pattern of which the same role leaves nothing is none."""
    assert report("online", {"actions": [SCORE, "*"], "not": ["*"]}).findings == ()


def test_its_excess_is_told_in_one_order() -> None:
    """Whatever the order in which the role lists it."""
    more = ["Microsoft.Compute/virtualMachines/write", "Microsoft.Cache/redis/write"]
    one, other = (excess(report("online", {"actions": [SCORE, *listed]})) for listed in (more, more[::-1]))
    assert one == other
    assert one.detail == "May do Microsoft.Cache/redis/write; do Microsoft.Compute/virtualMachines/write."


def test_its_fix_gives_it_its_own_access_first() -> None:
    """Otherwise the gate would stop answering between two commands."""
    [create, assign, delete] = excess(report("online", {"actions": ["*"], "at": "group"})).fix
    assert create.startswith("az role definition create ")
    assert assign.startswith("az role assignment create --assignee-object-id gate ")
    assert assign.endswith(f" --scope {world.ENDPOINT}")
    assert delete == deleting("a0", world.GROUP)


def test_its_fix_leaves_its_own_access_alone() -> None:
    """Where it has the least role already, the rest is simply removed."""
    found = report("online", {"actions": [SCORE]}, {"actions": ["*"], "at": "group"})
    assert excess(found).fix == (deleting("a1", world.GROUP),)


CHAT = f"{AI}OpenAI/deployments/chat/completions/action"
MAAS = f"{AI}MaaS/chat/completions/action"


def able(made: snapshot.Snapshot) -> set[str]:
    """Return by which data actions the gate calls the models of an account."""
    evaluator = Evaluator(made)
    asked = (CHAT, MAAS, f"{AI}OpenAI/responses/write", f"{AI}OpenAI/images/generations/action")
    return {
        action
        for action in asked
        if evaluator.allows("gate", action, is_data=True, scope=made.scope).state is State.ACTIVE
    }


@pytest.mark.parametrize(
    "roles",
    [
        [{"data": ["Microsoft.CognitiveServices/*"]}],
        [{"data": ["Microsoft.CognitiveServices/*"]}, {"data": [f"{AI}MaaS/*"]}],
        [{"data": ["Microsoft.CognitiveServices/*"]}, {"data": [CHAT], "at": "project"}],
        [{"data": ["Microsoft.CognitiveServices/*"]}, {"data": [CHAT]}],
        [{"data": [f"{AI}OpenAI/*"], "at": "group"}, {"data": [f"{AI}MaaS/*"]}],
        [{"data": [f"{AI}MaaS/*"], "actions": [f"{AI}listKeys/action"]}],
    ],
)
def test_a_model_gate_loses_no_model(roles: list[Row]) -> None:
    """E07: other models, or these of one project alone, make up for none: it gets its own access first, call by call."""
    made = snapshot.read(
        waysworld.document(
            {
                "target": "account",
                "gate": "gate",
                "roles": {f"r{at}": role for at, role in enumerate(roles)},
                "assign": [
                    {"to": "gate", "role": f"r{at}", "at": role.get("at", "target")}
                    for at, role in enumerate(roles)
                ],
            }
        )
    )
    before = able(made)
    fix = excess(judge(made)).fix
    for count in range(len(fix) + 1):
        assert able(whatif.apply(made, fix[:count])) >= before, fix[:count]
    assert judge(whatif.apply(made, fix)).findings == ()


def test_a_model_gate_gets_the_built_in_role() -> None:
    """6.3: Cognitive Services OpenAI User, by its id."""
    finding = excess(report("account", {"data": ["Microsoft.CognitiveServices/*"]}))
    assert finding.fix[0].split()[8:10] == ["--role", leastrole.OPENAI_USER]
    assert finding.fix[-1] == deleting("a0", waysworld.ACCOUNT)


@pytest.mark.parametrize(
    ("lost", "given"),
    [
        ([CHAT], [leastrole.OPENAI_USER]),
        ([MAAS], ["Groupgate caller of Foundry Models"]),
        ([f"{AI}OpenAI/responses/write"], ["Groupgate caller of responses"]),
        ([CHAT, MAAS], [leastrole.OPENAI_USER, "Groupgate caller of Foundry Models"]),
        ([f"{AI}AIServices/agents/write"], [leastrole.OPENAI_USER]),
    ],
)
def test_only_what_is_lost_is_given_first(lost: list[str], given: list[str]) -> None:
    """E07: a gate that has never called other models is not let in to them by a fix."""
    made = leastrole.first(Kind.ACCOUNT, waysworld.ACCOUNT, "gate", lost)
    roles = [change.role for change in made if isinstance(change, Assign)]
    assert len(roles) == len(given)
    assert all(role.startswith(name) for role, name in zip(roles, given, strict=True))


def test_an_id_that_somebody_else_shares_is_not_the_gates_own() -> None:
    """E07: who takes it from alice takes it from the gate, so the gate gets another first."""
    at = world.assignment_id("shared")
    found = report(
        "online",
        {"actions": [SCORE]},
        assign=[
            {"to": "gate", "role": "r0", "id": at},
            {"to": "alice", "role": "r0", "id": at.upper(), "type": "User"},
        ],
    )
    [finding] = waysworld.about(found, "alice")
    assert [fix.split()[1:4] for fix in finding.fix[:2]] == [
        ["role", "definition", "create"],
        ["role", "assignment", "create"],
    ]


BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"


def test_what_its_host_works_by_is_no_excess() -> None:
    """E07: a host that signs in as the gate writes blobs at the storage of the package: without that it stops."""
    assert report("online", {"actions": [SCORE]}, {"data": [BLOBS], "at": "storage"}).findings == ()
    found = report("online", {"actions": [SCORE]}, {"actions": [LIST_KEYS], "at": "storage"})
    assert excess(found).fix == (deleting("a1", waysworld.STORAGE),)


def test_what_it_has_by_a_group_it_leaves() -> None:
    """The assignment is others' too: the gate goes out of the group, once it has access of its own."""
    row: Row = {
        "groups": {"outer": ["inner"], "inner": ["gate"]},
        "assign": [{"to": "outer", "role": "r0", "at": "group"}],
    }
    finding = excess(report("online", {"actions": ["*"]}, **row))
    assert finding.via == ("inner", "outer")
    assert finding.fix[-1] == "az ad group member remove --group inner --member-id gate"
    assert finding.fix[0].startswith("az role definition create ")


def test_it_leaves_every_group_that_leads_there() -> None:
    """Directly and by another group: going out of one would leave the other."""
    row: Row = {
        "groups": {"outer": ["inner", "gate"], "inner": ["gate"], "chess": ["gate"]},
        "assign": [{"to": "outer", "role": "r0", "at": "group"}],
    }
    finding = excess(report("online", {"actions": ["*"]}, **row))
    assert [fix.split()[6] for fix in finding.fix[-2:]] == ["inner", "outer"]


def test_others_in_the_gates_group_do_not_cut_it_off() -> None:
    """Their fix removes the assignment that the gate calls by, so the gate gets its own first."""
    row: Row = {
        "groups": {"callers": ["gate", "bob"]},
        "assign": [{"to": "callers", "role": "r0", "at": "target"}],
    }
    found = report("online", {"actions": [SCORE]}, **row)
    [finding] = waysworld.about(found, "bob")
    assert [fix.split()[1:4] for fix in finding.fix] == [
        ["role", "definition", "create"],
        ["role", "assignment", "create"],
        ["role", "assignment", "delete"],
    ]


def test_an_eligible_excess_is_told_as_eligible() -> None:
    """The gate cannot activate anything, but its role can be activated for it."""
    row: Row = {"assign": [{"to": "gate", "role": CONTRIBUTOR, "at": "group", "eligible": True}]}
    finding = excess(waysworld.report({"gate": "gate", **row}))
    assert (finding.severity, finding.state) == ("medium", "eligible")


def test_a_gate_that_was_not_named_is_like_anybody() -> None:
    """Who it is cannot be guessed: it has a way, like all others."""
    row: Row = {"roles": {"scorer": {"actions": [SCORE]}}, "assign": [{"to": "gate", "role": "scorer"}]}
    assert waysworld.told(waysworld.report(row)) == {"gate": ["invoke high active"]}


@pytest.mark.parametrize(
    ("role", "word"),
    [(OPENAI_CONTRIBUTOR, "medium"), (FOUNDRY_USER, "medium"), (READER, None)],
)
def test_real_roles_of_models_as_the_gate(role: str, word: str | None) -> None:
    """6.3: OpenAI Contributor writes deployments, Foundry User lists keys; a Reader reads."""
    found = waysworld.report(
        {"target": "account", "gate": "gate", "assign": [{"to": "gate", "role": role, "at": "target"}]}
    )
    assert [finding.severity for finding in found.findings] == ([] if word is None else [word])


# Which resources are the gate's.

ASSIGN_IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
LIST_KEYS = "Microsoft.Storage/storageAccounts/listKeys/action"
WRITE_SITE = "Microsoft.Web/sites/write"
WRITE_SLOT = "Microsoft.Web/sites/slots/write"


def taking(action: str, at: str, change: Any) -> list[str]:
    """Return what alice has, with `action` at `at`, after `change` was made to the snapshot."""
    made = waysworld.document(
        {
            "gate": "gate",
            "roles": {"just": {"actions": [action]}},
            "assign": [{"to": "alice", "role": "just", "at": at}],
        }
    )
    change(made)
    return waysworld.told(waysworld.judged(made)).get("alice", [])


def _system_assigned(made: Row) -> None:
    made["related"][0]["identity"] = {
        "principalId": "gate",
        "userAssignedIdentities": {waysworld.IDENTITY: {}},
    }
    del made["related"][1]


def _unread_identity(made: Row) -> None:
    made["related"][0]["identity"] = {"userAssignedIdentities": {waysworld.IDENTITY: {}}}
    del made["related"][1]


def _other_identity(made: Row) -> None:
    made["related"][0]["identity"] = {
        "userAssignedIdentities": {waysworld.IDENTITY: {"principalId": "robot"}}
    }
    made["related"][1]["properties"]["principalId"] = "robot"


def _by_name_alone(made: Row) -> None:
    del made["related"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_system_assigned, []),
        (_other_identity, []),
        (_unread_identity, ["take-gate medium active"]),
        (_by_name_alone, ["take-gate medium active"]),
    ],
)
def test_only_the_gates_own_identity_is_worth_taking(change: Any, told: list[str]) -> None:
    """One whose principal was not read may be the gate's, and counts."""
    assert taking(ASSIGN_IDENTITY, "identity", change) == told


def _another_account(made: Row) -> None:
    address = "https://elsewhere.blob.core.windows.net/package"
    storage = made["related"][0]["properties"]["functionAppConfig"]["deployment"]["storage"]
    storage["value"] = address


def _not_told(made: Row) -> None:
    del made["related"][0]["properties"]


def _the_workspaces(made: Row) -> None:
    _not_told(made)
    made["related"].append(
        {"id": world.WORKSPACE, "properties": {"storageAccount": waysworld.STORAGE.upper()}}
    )


@pytest.mark.parametrize(
    "change",
    [
        _another_account,
        _the_workspaces,
        _not_told,
    ],
)
def test_every_storage_account_that_was_read_may_be_the_gates(change: Any) -> None:
    """E08: beside its package, which the site may name, its keys lie in one that only its settings tell."""
    assert taking(LIST_KEYS, "storage", change) == ["take-gate medium active"]


def test_a_package_in_storage_that_was_not_read_proves_nothing() -> None:
    """Who can write the package is then not known."""
    made = waysworld.document({"gate": "gate"})
    _another_account(made)
    found = waysworld.judged(made)
    assert [entry.what for entry in found.unread] == ["storage account elsewhere"]
    assert found.verdict == "not-proven"


def _is_a_slot(made: Row) -> None:
    made["gate"]["siteId"] = f"{waysworld.SITE}/slots/next"


@pytest.mark.parametrize(("action", "at"), [(WRITE_SITE, "site"), (WRITE_SLOT, "slot"), (WRITE_SLOT, "site")])
def test_a_gate_in_a_slot_is_taken_by_its_site_and_by_the_slot(action: str, at: str) -> None:
    """Whoever writes either runs code there."""
    assert taking(action, at, _is_a_slot) == ["take-gate medium active"]


def test_an_owner_of_all_takes_the_gate_too() -> None:
    """One finding, whatever the number of actions; it tells some of them first, and all of them at its end."""
    found = waysworld.report(
        {"gate": "gate", "assign": [{"to": "alice", "role": OWNER, "at": "subscription"}]}
    )
    [finding] = [finding for finding in waysworld.about(found, "alice") if finding.way == "take-gate"]
    assert len(finding.grants) == 1
    first, _, rest = finding.detail.partition(" more of the kind. ")
    number = int(first.rpartition("; and ")[2])
    assert number > 20
    more = rest.partition(f"The {number} more: ")[2]
    assert len(more.split("; ")) == number
