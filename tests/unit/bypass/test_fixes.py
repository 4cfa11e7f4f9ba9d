"""The plan: every fix once, in an order in which neither the gate nor the last who can assign roles is locked out."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass import changes, fixes, snapshot, whatif
from shared.bypass.changes import Assign, DeleteAssignment
from shared.bypass.finding import Report
from shared.bypass.fixes import Step
from shared.bypass.paths import judge
from shared.bypass.readback import parse
from tests.unit.bypass import waysworld, world

ML = "Microsoft.MachineLearningServices/workspaces/"
SCORE = f"{ML}onlineEndpoints/score/action"
CHAT = "Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"

Row = dict[str, Any]


def planned(row: Row, **more: Any) -> tuple[Report, tuple[Step, ...]]:
    """Return the report of a world, and its plan."""
    read = snapshot.read(waysworld.document(row))
    found = judge(read)
    return found, fixes.plan(read, found.findings, **more)


def short(steps: tuple[Step, ...]) -> list[str]:
    """Return each command without `az` and the long values."""
    return [
        " ".join(word for word in step.command.split()[1:4] if not word.startswith("--")) for step in steps
    ]


def deleted(steps: tuple[Step, ...]) -> list[str]:
    """Return the names of the assignments that go, in order."""
    parsed = (parse(step.command) for step in steps)
    return [change.id.rpartition("/")[2] for change in parsed if isinstance(change, DeleteAssignment)]


EVERYTHING: Row = {
    "keys": "taken",
    "public": True,
    "gate": "gate",
    "groups": {"analysts": ["bob", "carol"], "chess": []},
    "owners": {"analysts": ["dave"], "chess": ["dave"]},
    "roles": {"scorer": {"actions": [SCORE]}, "chatter": {"data": [CHAT]}},
    "assign": [
        {"to": "alice", "role": OWNER, "at": "subscription", "id": "owner"},
        {"to": "erin", "role": ADMINISTRATOR, "at": "group", "id": "administrator", "type": "User"},
        {"to": "analysts", "role": CONTRIBUTOR, "at": "corp", "id": "contributor", "type": "Group"},
        {"to": "bob", "role": "scorer", "at": "target", "id": "direct"},
        {"to": "chess", "role": "scorer", "at": "target", "id": "empty"},
        {"to": "gate", "role": DATA_SCIENTIST, "at": "workspace", "id": "gates"},
        {"to": "gate", "role": "chatter", "at": "account", "id": "chats"},
        {"to": "robot", "role": READER, "at": "group", "id": "reader"},
        {"to": "robot", "role": "scorer", "at": "group", "id": "soon", "eligible": True},
    ],
}


def test_the_order_is_safe() -> None:
    """The gate's own access, then no keys, then owners and eligible ones, then roles, those that assign roles last."""
    _, steps = planned(EVERYTHING)
    assert short(steps) == [
        "role definition create",
        "role assignment create",
        "resource update",
        "ad group owner",
        "rest put",
        *["role assignment delete"] * 4,
    ]
    assert deleted(steps) == ["contributor", "direct", "gates", "administrator"]
    assert "authMode=AADToken" in steps[2].command


def test_the_last_who_can_assign_roles_is_kept_and_it_is_said() -> None:
    """Alice's assignment is in no fix; each of her findings says why, and how to go on."""
    found, steps = planned(EVERYTHING)
    assert "owner" not in deleted(steps)
    of_alice = waysworld.about(found, "alice")
    assert of_alice
    assert all(finding.fix == () for finding in of_alice)
    assert all("last assignment by which roles can be assigned" in finding.detail for finding in of_alice)


@pytest.mark.parametrize(
    ("assign", "kept"),
    [
        ([("alice", "subscription"), ("bob", "group")], "alice"),
        ([("alice", "subscription"), ("bob", "corp")], "bob"),
        ([("alice", "root"), ("bob", "group")], "bob"),
        ([("alice", "root")], "alice"),
        ([("alice", "group"), ("analysts", "group")], "alice"),
        ([("gone", "subscription"), ("bob", "group")], "bob"),
        ([("gate", "subscription"), ("bob", "group")], "bob"),
        ([("empty", "subscription"), ("bob", "group")], "bob"),
        ([("gone", "subscription")], "gone"),
        ([("robot", "corp"), ("alice", "subscription")], "alice"),
        ([("robot", "corp"), ("analysts", "group")], "analysts"),
        ([("robot", "subscription")], "robot"),
        ([("unlisted", "subscription")], "unlisted"),
        ([("partial", "subscription"), ("unlisted", "corp")], "partial"),
        ([("gate", "subscription")], None),
        ([("bob", "other-subscription")], None),
    ],
)
def test_who_is_kept(assign: list[tuple[str, str]], kept: str | None) -> None:
    """E08: the widest scope but the root, the fewest people; an application or whom nobody knows for want of people.

    Never the gate.
    """
    row: Row = {
        "gate": "gate",
        "groups": {"analysts": ["carol", "dave", "robot"], "empty": [], "partial": ["bob"]},
        "unlisted": ["unlisted"],
        "unread": [{"what": "members", "why": "403", "id": "partial"}],
        "assign": [{"to": to, "role": OWNER, "at": at, "id": f"of-{to}"} for to, at in assign],
    }
    _, steps = planned(row)
    here = {f"of-{to}" for to, at in assign if at != "other-subscription" and to != "empty"}
    assert set(deleted(steps)) == here - {f"of-{kept}"}


@pytest.mark.parametrize("more", [{"eligible": True}, {"condition": "@Principal[team] StringEquals 'risk'"}])
def test_who_may_not_be_able_is_no_last(more: Row) -> None:
    """An eligible Owner, or one under a condition, keeps nobody from being locked out: the certain one is kept."""
    row: Row = {
        "assign": [
            {"to": "alice", "role": OWNER, "at": "subscription", "id": "unsure", **more},
            {"to": "bob", "role": OWNER, "at": "group", "id": "certain"},
        ]
    }
    _, steps = planned(row)
    assert "certain" not in deleted(steps)
    assert len(steps) == 1


CONDITION = "@Principal[team] StringEquals 'risk'"


def test_where_none_is_certain_each_may_be_the_last() -> None:
    """E08: a condition, members or a principal that cannot be told: what of it is good for something cannot be told either."""
    row: Row = {
        "unlisted": ["unlisted"],
        "assign": [
            {"to": "alice", "role": OWNER, "at": "subscription", "id": "conditional", "condition": CONDITION},
            {"to": "unlisted", "role": OWNER, "at": "group", "id": "opaque", "type": "Group"},
            {"to": "gone", "role": OWNER, "at": "workspace", "id": "unknown"},
            {"to": "bob", "role": CONTRIBUTOR, "at": "group", "id": "contributor"},
        ],
    }
    _, steps = planned(row)
    assert deleted(steps) == ["contributor"]


def test_whom_a_deny_keeps_from_assigning_roles_is_no_last() -> None:
    """E08: alice's wider assignment is worth nothing while the deny stands; bob's is the last."""
    row: Row = {
        "assign": [
            {"to": "alice", "role": OWNER, "at": "subscription", "id": "denied"},
            {"to": "bob", "role": OWNER, "at": "group", "id": "certain"},
        ],
        "deny": [{"from": ["alice"], "at": "subscription", "actions": ["Microsoft.Authorization/*/write"]}],
    }
    _, steps = planned(row)
    assert "certain" not in deleted(steps)


def test_what_is_activated_for_hours_is_not_kept_alone() -> None:
    """E08: it ends by itself. Another's lasting assignment is kept, and for want of one what it was activated from, too."""
    activated: list[Row] = [
        {"to": "alice", "role": OWNER, "at": "corp", "id": "activated"},
        {"to": "alice", "role": OWNER, "at": "corp", "id": "eligible", "eligible": True},
    ]
    found, steps = planned({"assign": activated})
    assert steps == ()
    assert all("last assignment" in finding.detail for finding in found.findings)
    lasting = {"to": "bob", "role": OWNER, "at": "group", "id": "lasting"}
    _, steps = planned({"assign": [*activated, lasting]})
    assert (deleted(steps), len(steps)) == (["activated"], 2)


def test_who_is_only_eligible_loses_it_at_the_very_end_and_it_is_said() -> None:
    """E08: who works by an activated Owner would lose it halfway; and when the last is ended nobody here assigns roles."""
    eligible: list[Row] = [
        {"to": name, "role": OWNER, "at": "subscription", "eligible": True} for name in ("alice", "bob")
    ]
    writer: Row = {"to": "carol", "role": CONTRIBUTOR, "at": "group", "id": "writer"}
    _, steps = planned({"assign": [*eligible, writer]})
    assert short(steps) == ["role assignment delete", "rest put", "rest put"]
    assert all("Global Administrator" in (step.caution or "") for step in steps[1:])
    lasting: Row = {"to": "dave", "role": OWNER, "at": "group"}
    _, steps = planned({"assign": [*eligible, writer, lasting]})
    assert [step.caution for step in steps[1:]] == [None, None]


@pytest.mark.parametrize("scope", [f"{world.WORKSPACE}/", "/", world.SUBSCRIPTION.upper()])
def test_an_eligible_assignment_is_ended_however_its_scope_is_written(scope: str) -> None:
    """E08: a slash at the end is left out, in the command and in its name."""
    row: Row = {"assign": [{"to": "bob", "role": CONTRIBUTOR, "at": scope, "eligible": True}]}
    before = snapshot.read(waysworld.document(row))
    steps = fixes.plan(before, judge(before).findings)
    assert len(steps) == 1
    assert judge(whatif.apply(before, [steps[0].command])).findings == ()


def test_classic_administrators_are_told_without_a_command() -> None:
    """Azure has retired them, and `az` has no command for what is left."""
    classic = {
        "id": f"{world.SUBSCRIPTION}/providers/Microsoft.Authorization/classicAdministrators/1",
        "emailAddress": "old@contoso.com",
        "role": "CoAdministrator",
    }
    found, steps = planned({"classic": [classic]})
    assert steps == ()
    assert found.verdict == "open"
    assert all("classic administrators" in finding.detail for finding in found.findings)


@pytest.mark.parametrize(
    "assignment",
    [
        "--include-inherited/",
        "/subscriptions/S/resourceGroups/rg-prod?api-version=2021-04-01&x=/",
        "/subscriptions/S/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gate",
        f"{world.ENDPOINT}/providers/Microsoft.Authorization/roleAssignments/a?api-version=1",
        f"{world.ENDPOINT}/providers/Microsoft.Authorization/roleAssignments/../../..",
        f"{world.ENDPOINT}/providers/Microsoft.Authorization/roleAssignments/a/",
        f"{world.ENDPOINT}/providers/Microsoft.Authorization/roleA\u017f\u017fignments/a",
        f"{world.ENDPOINT}/../x/providers/Microsoft.Authorization/roleAssignments/a",
        f"{world.WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/a",
        f"{world.OTHER_SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/a",
    ],
)
def test_an_id_of_anything_but_an_assignment_at_its_scope_is_in_no_command(assignment: str) -> None:
    """E08: `az` sends a DELETE to whatever it is given. It is told, without a command that does something else."""
    row: Row = {
        "roles": {"scorer": {"actions": [SCORE]}},
        "assign": [{"to": "bob", "role": "scorer", "id": assignment}],
    }
    found, steps = planned(row)
    assert steps == ()
    assert "would not take" in found.findings[0].detail


@pytest.mark.parametrize("at", ["root", "corp", "subscription", "target"])
def test_an_id_of_an_assignment_at_its_scope_is_in_a_command(at: str) -> None:
    """Whatever the case in which Azure writes either."""
    made = waysworld.document(
        {"roles": {"scorer": {"actions": [SCORE]}}, "assign": [{"to": "bob", "role": "scorer", "at": at}]}
    )
    made["roleAssignments"][0]["id"] = made["roleAssignments"][0]["id"].upper()
    before = snapshot.read(made)
    assert len(fixes.plan(before, judge(before).findings)) == 1


def test_without_a_gate_every_command_that_may_take_its_access_says_so() -> None:
    """E07: who is not named is like anybody; only of users it is certain that they are no gate."""
    row: Row = {
        "roles": {"scorer": {"actions": [SCORE]}},
        "groups": {"callers": ["gate"]},
        "assign": [{"to": name, "role": "scorer", "id": name} for name in ("gate", "callers", "bob")],
    }
    _, steps = planned(row)
    told = {name: step.caution or "" for name, step in zip(deleted(steps), steps, strict=True)}
    assert {name: "No gate is named" in caution for name, caution in told.items()} == {
        "bob": False,
        "callers": True,
        "gate": True,
    }
    _, steps = planned({**row, "gate": "gate"})
    assert not any("No gate is named" in (step.caution or "") for step in steps)


def test_a_gate_whose_id_no_command_may_hold_keeps_what_it_calls_by() -> None:
    """E07: it cannot be given its own access first, so nothing takes away what it has."""
    row: Row = {
        "gate": "@/etc/passwd",
        "principals": {"@/etc/passwd": {"type": "servicePrincipal"}},
        "groups": {"callers": ["@/etc/passwd", "bob"]},
        "roles": {"scorer": {"actions": [SCORE]}},
        "assign": [
            {"to": "callers", "role": "scorer"},
            {"to": "@/etc/passwd", "role": CONTRIBUTOR, "at": "group"},
        ],
    }
    before = snapshot.read(waysworld.document(row))
    found = judge(before)
    assert fixes.plan(before, found.findings, at_least="low") == ()
    assert {finding.way for finding in found.findings} == {"invoke", "gate-excess"}
    assert all("what the gate calls the target by" in finding.detail for finding in found.findings)


def test_low_findings_are_left_unless_they_are_asked_for() -> None:
    """Reads and the public network let nobody in: taking a Reader's role away is no smallest fix."""
    _, steps = planned(EVERYTHING)
    assert "reader" not in deleted(steps)
    _, steps = planned(EVERYTHING, at_least="low")
    assert "reader" in deleted(steps)
    assert "publicNetworkAccess=Disabled" in steps[-1].command
    _, steps = planned(EVERYTHING, at_least="critical")
    assert short(steps) == ["resource update"]


def test_an_owner_is_left_where_the_group_loses_its_role() -> None:
    """Analysts lose Contributor by the findings of their members; Chess has no members, and its owner must go."""
    _, steps = planned(EVERYTHING)
    [owner] = [step.command for step in steps if " owner " in step.command]
    assert owner == "az ad group owner remove --group chess --owner-object-id dave"


def test_an_owner_who_is_left_is_closed_by_what_takes_the_role() -> None:
    """The steps that together take it are told by their numbers; an owner with a step of its own is not, nor who stays."""
    row: Row = {**EVERYTHING, "owners": {"analysts": ["dave"], "chess": ["frank"]}}
    again: Row = {"to": "analysts", "role": "scorer", "at": "target", "id": "again", "type": "Group"}
    for assigned, names in (
        (row["assign"], ["contributor"]),
        ([*row["assign"], again], ["again", "contributor"]),
    ):
        read = snapshot.read(waysworld.document({**row, "assign": assigned}))
        found = judge(read).findings
        steps = fixes.plan(read, found)
        [dave] = [one.id for one in found if one.way == "group-owner" and one.principal.id == "dave"]
        told = fixes.along(read, found, steps)
        assert list(told) == [dave]
        parsed = [parse(steps[number - 1].command) for number in told[dave]]
        assert (
            sorted(one.id.rpartition("/")[2] for one in parsed if isinstance(one, DeleteAssignment)) == names
        )
        assert len(parsed) == len(names)
        left = judge(whatif.apply(read, [step.command for step in steps])).findings
        assert dave not in {finding.id for finding in left}


def test_each_command_names_what_it_is_for() -> None:
    """One command, all the findings that it ends."""
    found, steps = planned(EVERYTHING)
    [contributor] = [step for step in steps if step.command.endswith("/contributor")]
    wanted = {
        finding.id
        for finding in found.findings
        if finding.principal.id in {"bob", "carol"} and finding.severity != "low"
    }
    assert set(contributor.findings) == wanted


def test_what_else_a_command_takes_away_is_said() -> None:
    """Inherited from a management group, by a group: it goes everywhere and for everybody; what is smaller is offered."""
    _, steps = planned(EVERYTHING)
    [contributor] = [step for step in steps if step.command.endswith("/contributor")]
    assert contributor.caution == (
        "Takes from Analysts all that the role gives anywhere in /providers/Microsoft.Management/managementGroups/mg-corp, "
        "not here alone. Every member of the group loses it."
    )
    narrower, member = contributor.instead
    assert parse(narrower) == Assign("analysts", "Group", CONTRIBUTOR, "NARROWER-SCOPE")
    assert member == "az ad group member remove --group analysts --member-id OBJECT-ID-OF-THE-MEMBER"
    [direct] = [step for step in steps if step.command.endswith("/direct")]
    assert (direct.caution, direct.instead) == (None, ())


@pytest.mark.parametrize("kind", ["online", "batch", "account"])
def test_every_command_is_one_that_is_checked(kind: str) -> None:
    """What is printed is of the kinds that the real `az` has parsed, and reads back as itself."""
    found, steps = planned({**EVERYTHING, "target": kind}, at_least="low")
    printed = [*(step.command for step in steps), *(text for step in steps for text in step.instead)]
    printed += [text for finding in found.findings for text in finding.fix]
    kinds = {type(change) for change in changes.EXAMPLES}
    assert printed
    assert all(type(parse(text)) in kinds for text in printed)
