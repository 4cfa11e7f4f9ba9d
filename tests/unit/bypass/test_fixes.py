"""The plan: every fix once, in an order in which neither the gate nor the last who can assign roles is locked out."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bypass import changes, fixes, snapshot
from shared.bypass.changes import Assign, DeleteAssignment
from shared.bypass.finding import Report
from shared.bypass.fixes import Step
from shared.bypass.paths import judge
from shared.bypass.readback import parse
from tests.unit.bypass import waysworld, world

ML = "Microsoft.MachineLearningServices/workspaces/"
SCORE = f"{ML}onlineEndpoints/score/action"
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
    """Return the ids of the assignments that go, in order."""
    parsed = (parse(step.command) for step in steps)
    return [change.id for change in parsed if isinstance(change, DeleteAssignment)]


EVERYTHING: Row = {
    "keys": "taken",
    "public": True,
    "gate": "gate",
    "groups": {"analysts": ["bob", "carol"], "chess": []},
    "owners": {"analysts": ["dave"], "chess": ["dave"]},
    "roles": {"scorer": {"actions": [SCORE]}},
    "assign": [
        {"to": "alice", "role": OWNER, "at": "subscription", "id": "owner"},
        {"to": "erin", "role": ADMINISTRATOR, "at": "group", "id": "administrator", "type": "User"},
        {"to": "analysts", "role": CONTRIBUTOR, "at": "corp", "id": "contributor", "type": "Group"},
        {"to": "bob", "role": "scorer", "at": "target", "id": "direct"},
        {"to": "chess", "role": "scorer", "at": "target", "id": "empty"},
        {"to": "gate", "role": DATA_SCIENTIST, "at": "workspace", "id": "gates"},
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
        ([("gone", "subscription")], None),
        ([("bob", "other-subscription")], None),
    ],
)
def test_who_is_kept(assign: list[tuple[str, str]], kept: str | None) -> None:
    """The widest scope but the root, the fewest people; never whom nobody knows, and never the gate."""
    row: Row = {
        "gate": "gate",
        "groups": {"analysts": ["carol", "dave"], "empty": []},
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


def test_an_id_that_az_would_misread_is_in_no_command() -> None:
    """It is told, without a command that does something else."""
    row: Row = {
        "roles": {"scorer": {"actions": [SCORE]}},
        "assign": [{"to": "bob", "role": "scorer", "id": "--include-inherited"}],
    }
    found, steps = planned(row)
    assert steps == ()
    assert "would not take" in found.findings[0].detail


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


def test_each_command_names_what_it_is_for() -> None:
    """One command, all the findings that it ends."""
    found, steps = planned(EVERYTHING)
    [contributor] = [step for step in steps if step.command.endswith("--ids contributor")]
    wanted = {
        finding.id
        for finding in found.findings
        if finding.principal.id in {"bob", "carol"} and finding.severity != "low"
    }
    assert set(contributor.findings) == wanted


def test_what_else_a_command_takes_away_is_said() -> None:
    """Inherited from a management group, by a group: it goes everywhere and for everybody; what is smaller is offered."""
    _, steps = planned(EVERYTHING)
    [contributor] = [step for step in steps if step.command.endswith("--ids contributor")]
    assert contributor.caution == (
        "Takes from Analysts all that the role gives anywhere in /providers/Microsoft.Management/managementGroups/mg-corp, "
        "not here alone. Every member of the group loses it."
    )
    narrower, member = contributor.instead
    assert parse(narrower) == Assign("analysts", "Group", CONTRIBUTOR, "NARROWER-SCOPE")
    assert member == "az ad group member remove --group analysts --member-id OBJECT-ID-OF-THE-MEMBER"
    [direct] = [step for step in steps if step.command.endswith("--ids direct")]
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
