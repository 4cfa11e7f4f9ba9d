"""What would remain: a report's commands applied to its snapshot, and the snapshot judged again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings

from shared.bypass import fixes, seal, snapshot, whatif
from shared.bypass.changes import DENY_VERSION
from shared.bypass.entries import PrincipalType
from shared.bypass.fields import SnapshotFault
from shared.bypass.finding import Report
from shared.bypass.grants import State
from shared.bypass.paths import judge
from shared.bypass.rbac import Evaluator
from shared.bypass.readback import NotACommand
from shared.bypass.snapshot import Snapshot
from shared.bypass.whatif import NoSuchThing
from tests.unit.bypass import waysworld, world
from tests.unit.bypass.test_fixes import CONTRIBUTOR, DATA_SCIENTIST, EVERYTHING, OWNER, SCORE
from tests.unit.bypass.test_paths import worlds

ASSIGN = "Microsoft.Authorization/roleAssignments/write"
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"

Row = dict[str, Any]


def read(row: Row) -> Snapshot:
    return snapshot.read(waysworld.document(row))


def after(before: Snapshot, **more: Any) -> tuple[Snapshot, Report]:
    """Return the snapshot and the report after the plan."""
    steps = fixes.plan(before, judge(before).findings, **more)
    changed = whatif.apply(before, [step.command for step in steps])
    return changed, judge(changed)


@pytest.mark.parametrize(
    "command",
    [
        "az role assignment delete --ids nothing",
        "az ad group member remove --group analysts --member-id nobody",
        "az ad group member remove --group nobody --member-id bob",
        "az ad group owner remove --group analysts --owner-object-id bob",
        "az role assignment create --assignee-object-id bob --assignee-principal-type User --role Lost --scope /",
        "az identity federated-credential delete --subscription s --resource-group g --identity-name i --name n --yes",
    ],
)
def test_a_command_for_another_snapshot_is_refused(command: str) -> None:
    """It would look as if it had closed something."""
    with pytest.raises(NoSuchThing):
        whatif.apply(read(EVERYTHING), [command])


def test_an_eligible_assignment_that_is_not_there_is_refused() -> None:
    """Found by scope, principal and role: an ended one has no id."""
    before = read(EVERYTHING)
    [end] = [
        step.command for step in fixes.plan(before, judge(before).findings) if "Eligibility" in step.command
    ]
    once = whatif.apply(before, [end])
    assert len(once.assignments) == len(before.assignments) - 1
    with pytest.raises(NoSuchThing):
        whatif.apply(once, [end])


def test_other_text_is_refused() -> None:
    """Only what a report prints."""
    with pytest.raises(NotACommand):
        whatif.apply(read(EVERYTHING), ["az logout"])


def test_the_snapshot_itself_stays_as_it_is() -> None:
    """What would be is another snapshot; unknown keys are in it too."""
    made = {**waysworld.document(EVERYTHING), "collectedBy": {"name": "somebody"}}
    kept = copy.deepcopy(made)
    changed, _ = after(snapshot.read(made), at_least="low")
    assert made == kept
    assert changed.document["collectedBy"] == {"name": "somebody"}


@pytest.mark.parametrize("kind", ["online", "batch", "account"])
def test_after_all_fixes_only_the_last_owner_remains(kind: str) -> None:
    """What no removal can fix: somebody must be able to assign roles. Everything else is gone, the gate's excess too."""
    _, found = after(read({**EVERYTHING, "target": kind}), at_least="low")
    assert {finding.principal.id for finding in found.findings} == {"alice"}
    assert found.verdict == "open"
    assert found.unread == ()


@pytest.mark.parametrize("kind", ["online", "batch", "account"])
def test_without_an_owner_here_all_fixes_close_it(kind: str) -> None:
    """Where roles are assigned from elsewhere the plan ends with `closed`."""
    assigned = [given for given in EVERYTHING["assign"] if given["to"] not in {"alice", "erin"}]
    before = read({**EVERYTHING, "target": kind, "assign": assigned})
    assert judge(before).verdict == "open"
    changed, found = after(before, at_least="low")
    assert (found.findings, found.verdict) == ((), "closed")
    assert changed.gate.principal == "gate"


@pytest.mark.parametrize(
    ("kind", "role"), [("online", DATA_SCIENTIST), ("batch", DATA_SCIENTIST), ("account", FOUNDRY_USER)]
)
def test_the_gate_calls_after_all_fixes(kind: str, role: str) -> None:
    """Whatever it had, it has the least role, by itself, at the target."""
    changed, _ = after(
        read({"target": kind, "gate": "gate", "assign": [{"to": "gate", "role": role, "at": "group"}]})
    )
    assert {(one.principal, one.written_scope) for one in changed.assignments} == {
        ("gate", waysworld.KINDS[kind])
    }
    assert judge(changed).findings == ()
    others = waysworld.told(judge(snapshot.read({**changed.document, "gate": {}})))
    assert others == {"gate": ["invoke high active"]} or kind == "batch"
    assert "invoke high active" in others["gate"]


def test_the_gate_is_cut_off_after_no_single_command() -> None:
    """In the order of the plan it can call after each step, as before it."""
    before = read(
        {
            "gate": "gate",
            "roles": {"scorer": {"actions": [SCORE]}},
            "groups": {"callers": ["gate", "bob"]},
            "assign": [
                {"to": "callers", "role": "scorer", "at": "group"},
                {"to": "gate", "role": CONTRIBUTOR, "at": "workspace"},
            ],
        }
    )
    steps = [step.command for step in fixes.plan(before, judge(before).findings)]
    assert len(steps) == 5
    for count in range(len(steps) + 1):
        changed = whatif.apply(before, steps[:count])
        anonymous = {**changed.document, "gate": {}}
        ways = waysworld.told(judge(snapshot.read(anonymous)))["gate"]
        assert any(way.startswith("invoke ") for way in ways), steps[:count]
    assert waysworld.told(judge(whatif.apply(before, steps))) == {}


def test_one_fix_of_one_finding_ends_it() -> None:
    """Each finding's own fix is enough for that finding."""
    before = read(EVERYTHING)
    for finding in judge(before).findings:
        if finding.fix:
            left = judge(whatif.apply(before, finding.fix)).findings
            assert finding.id not in {other.id for other in left if other.severity == finding.severity}, (
                finding
            )


def test_settings_are_set_where_they_stand() -> None:
    """In the properties of the target, of the workspace, and of the gate's sign-in."""
    made = waysworld.document({"target": "batch", "keys": "taken", "public": True, "gate": "gate"})
    sign_in = f"{waysworld.SITE}/config/authsettingsV2"
    made["related"].append(
        {"id": sign_in, "properties": {"platform": {"enabled": False, "runtimeVersion": "~1"}}}
    )
    changed, found = after(snapshot.read(made), at_least="low")
    assert found.findings == ()
    assert changed.target["properties"] == {"authMode": "AADToken"}
    related = {item["id"]: item["properties"] for item in changed.related if "properties" in item}
    assert related[world.WORKSPACE] == {"publicNetworkAccess": "Disabled"}
    assert related[sign_in] == {"platform": {"enabled": True, "runtimeVersion": "~1"}}


def test_settings_that_az_flattens_are_set_as_well() -> None:
    """`az ml` prints a target without properties."""
    made = waysworld.document({"public": True})
    made["target"] = {"id": world.ENDPOINT, "auth_mode": "key", "public_network_access": "enabled"}
    _, found = after(snapshot.read(made), at_least="low")
    assert (found.findings, found.verdict) == ((), "closed")


@pytest.mark.parametrize("end", ["", "/"])
def test_a_federated_credential_goes(end: str) -> None:
    """E08: it is one of the related objects, also with a slash at the end of its id and `resourcegroups` in it."""
    made = waysworld.document({"gate": "gate"})
    identity = waysworld.IDENTITY.replace("resourceGroups", "resourcegroups")
    made["related"].append({"id": f"{identity}/federatedIdentityCredentials/CI{end}", "properties": {}})
    changed, found = after(snapshot.read(made))
    assert found.findings == ()
    assert len(changed.related) == len(made["related"]) - 1


def test_a_federated_credential_whose_id_is_too_short_has_no_command() -> None:
    """E08: it is told all the same, and nothing fails."""
    made = waysworld.document({"gate": "gate"})
    identity = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gate"
    made["related"] += [
        {"id": identity, "properties": {"principalId": "gate"}},
        {"id": f"{identity}/federatedIdentityCredentials/CI", "properties": {}},
    ]
    [finding] = judge(snapshot.read(made)).findings
    assert (finding.way, finding.fix) == ("take-gate", ())


@settings(max_examples=120, deadline=None)
@given(worlds)
def test_no_plan_makes_anything_worse(row: Row) -> None:
    """In no world does a plan open a way that was not there, none of its commands fails, and all that can go goes."""
    before = read(row)
    found = judge(before)
    _, left = after(before, at_least="low")
    assert {finding.id for finding in left.findings} <= {finding.id for finding in found.findings}
    unfixed = {finding.id for finding in found.findings if "No command is given" in finding.detail}
    owned = {finding.id for finding in found.findings if finding.way == "group-owner"}
    assert {finding.id for finding in left.findings} <= unfixed | owned


def callers(seen: Snapshot) -> State | None:
    """Return how the gate is able to call."""
    return Evaluator(seen).allows("gate", SCORE, is_data=False, scope=seen.scope).state


def assigners(seen: Snapshot) -> set[tuple[bool, State]]:
    """Return how others than the gate can assign roles at the target, and whether these are users."""
    able = Evaluator(seen).able(ASSIGN, is_data=False, scope=seen.scope)
    return {
        (seen.directory.type_of(grant.principal) is PrincipalType.USER, grant.state)
        for grant in able
        if grant.principal != "gate" and grant.state is not State.ELIGIBLE
    }


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_no_plan_locks_out_the_gate_or_the_last_who_assigns_roles(row: Row) -> None:
    """E07, E08: in no world, and after no single command of the plan."""
    before = read(row)
    steps = [step.command for step in fixes.plan(before, judge(before).findings, at_least="low")]
    calls, assigns = callers(before), assigners(before)
    for count in range(1, len(steps) + 1):
        changed = whatif.apply(before, steps[:count])
        if calls in {State.ACTIVE, State.CONDITIONAL}:
            assert callers(changed) in {State.ACTIVE, calls}, steps[:count]
        left = assigners(changed)
        assert left or not assigns, steps[:count]
        if (True, State.ACTIVE) in assigns:
            assert (True, State.ACTIVE) in left, steps[:count]


# The seal.

SEALED: Row = {
    "gate": "gate",
    "groups": {"emergency": ["erin"]},
    "roles": {"scorer": {"actions": [SCORE]}},
    "assign": [
        {"to": "alice", "role": OWNER, "at": "subscription"},
        {"to": "erin", "role": "scorer", "at": "workspace"},
        {"to": "gate", "role": "scorer", "at": "target"},
    ],
}


def test_there_is_no_seal_without_a_gate() -> None:
    """It would keep the gate out with everybody else."""
    with pytest.raises(SnapshotFault, match=r"gate\.principalId"):
        seal.seal(read({}), emergency_group="emergency")


def test_a_seal_denies_what_can_be_denied() -> None:
    """8.6: endpoints whole; of an account keys and changes, for inference is a data action. Never reads."""
    denied = {}
    for kind in ("online", "batch", "account"):
        made = seal.seal(read({**SEALED, "target": kind}), emergency_group="emergency")
        assert DENY_VERSION in made.command
        assert "Preview" in made.state
        sealed = whatif.apply(read({**SEALED, "target": kind}), [made.command])
        [deny] = sealed.denies
        assert (deny.everyone, deny.only_here, deny.enforced) == (True, False, True)
        assert {entry.id for entry in deny.excluded} == {"gate", "emergency"}
        [permission] = deny.permissions
        assert not permission.data_actions
        denied[kind] = {action.rpartition("workspaces/")[2] for action in permission.actions}
    assert denied["online"] == {
        "onlineEndpoints/score/action",
        "onlineEndpoints/listKeys/action",
        "onlineEndpoints/token/action",
        "onlineEndpoints/regenerateKeys/action",
        "onlineEndpoints/write",
        "onlineEndpoints/deployments/write",
    }
    assert "batchEndpoints/jobs/write" in denied["batch"]
    assert "Microsoft.CognitiveServices/accounts/listKeys/action" in denied["account"]
    assert not any(action.endswith("/read") for actions in denied.values() for action in actions)


def test_a_sealed_endpoint_is_reached_by_the_gate_and_in_an_emergency() -> None:
    """The evaluator takes the seal for what it says; that scoring obeys it only a canary proves, so it is told unread."""
    before = read(SEALED)
    made = seal.seal(before, emergency_group="emergency")
    found = judge(whatif.apply(before, [made.command]))
    callers = {finding.principal.id for finding in found.findings if finding.way == "invoke"}
    assert callers == {"erin"}
    ways = {finding.way for finding in waysworld.about(found, "alice")}
    assert ways == {"run-elsewhere", "secrets", "grant", "take-gate", "remove-deny"}
    assert [entry.what.startswith("deny assignment ") for entry in found.unread] == [True]


@pytest.mark.parametrize(
    ("group", "members", "word"),
    [
        ("emergency", ["erin"], None),
        ("emergency", ["inner"], None),
        ("EMERGENCY", ["erin"], None),
        ("emergency", [], "No user is known to be in Emergency"),
        ("emergency", ["robot"], "No user is known to be in Emergency"),
        ("elsewhere", ["erin"], "is not in the snapshot"),
        ("erin", ["erin"], "is not in the snapshot"),
    ],
)
def test_a_seal_for_a_group_without_people_says_so(group: str, members: list[str], word: str | None) -> None:
    """E08: a wrong id, or a group that nobody is in, would seal everybody out."""
    row = {**SEALED, "groups": {"emergency": members, "inner": ["dave"]}}
    caution = seal.seal(read(row), emergency_group=group).caution
    assert caution is None if word is None else word in (caution or "")


def test_a_canary_calls_what_is_sealed() -> None:
    """A call at the endpoint's own address; of an account a listing of keys."""
    endpoint = seal.seal(
        read({**SEALED, "outer": {"scoringUri": "https://fraud.example.net/score?a=b&c"}}),
        emergency_group="emergency",
    )
    assert endpoint.canary[-1].endswith(" 'https://fraud.example.net/score?a=b&c'")
    account = seal.seal(read({**SEALED, "target": "account"}), emergency_group="emergency")
    [listing] = account.canary
    assert listing.startswith("az cognitiveservices account keys list --subscription 0b0e1a52-")
    assert listing.endswith(" --resource-group rg-fraud --name ai-fraud")
