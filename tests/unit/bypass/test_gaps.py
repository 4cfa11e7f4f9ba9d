"""What a snapshot leaves untold is unread: of deny assignments, of scopes, of the gate."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from shared.bypass import snapshot
from tests.unit.bypass import waysworld, world

SITE = waysworld.SITE.lower()
MADE = waysworld.document(
    {
        "gate": "gate",
        "roles": {"owner": {"actions": ["*"]}},
        "groups": {"analysts": ["alice"]},
        "assign": [{"to": "gate", "role": "owner", "type": "ServicePrincipal"}],
        "deny": [{"from": ["everyone"], "except": ["gate"], "actions": ["*/write"]}],
    }
)
GONE = object()
DENY = ("denyAssignments", 0, "properties")


def unread(*changes: tuple[tuple[str | int, ...], Any], **more: Any) -> dict[str, str]:
    """Return what is unread, and why, with some places of the snapshot changed."""
    made = {**copy.deepcopy(MADE), **more}
    for where, value in changes:
        place: Any = made
        for step in where[:-1]:
            place = place[step]
        if value is GONE:
            del place[where[-1]]
        else:
            place[where[-1]] = value
    return {entry.what: entry.why for entry in snapshot.read(made).unread}


def test_a_snapshot_that_tells_all_leaves_nothing_unread() -> None:
    """The gate, its site that has its identity, a deny assignment with all its parts."""
    assert unread() == {}


@pytest.mark.parametrize("nothing", [GONE, None])
@pytest.mark.parametrize(
    ("where", "what"),
    [
        ((*DENY, "denyAssignmentEffect"), "whether the deny assignment d0 is enforced"),
        ((*DENY, "excludePrincipals"), "what the deny assignment d0 leaves out"),
        ((*DENY, "permissions", 0, "notActions"), "what the deny assignment d0 leaves out"),
        ((*DENY, "permissions", 0, "notDataActions"), "what the deny assignment d0 leaves out"),
    ],
)
def test_a_deny_assignment_tells_what_it_does_not_close(
    where: tuple[str | int, ...], what: str, nothing: object
) -> None:
    """E08: without its effect it may only watch; without its exclusions it may leave out anybody, or anything."""
    assert unread((where, nothing)) == {what: "is not in the snapshot"}


@pytest.mark.parametrize(
    "change",
    [((*DENY, "isSystemProtected"), True), ((*DENY, "denyAssignmentEffect"), "audit")],
    ids=["Azure's own", "one that only watches"],
)
def test_a_deny_assignment_need_not_tell_what_makes_no_difference(
    change: tuple[tuple[str | int, ...], Any],
) -> None:
    """Those of Azure know no effect but one; what closes nothing leaves nothing out."""
    gone = (
        (*DENY, "denyAssignmentEffect")
        if change[0][-1] == "isSystemProtected"
        else (*DENY, "excludePrincipals")
    )
    assert unread((gone, GONE), change) == {}


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (f"{world.GROUP}\u200b", True),
        (world.GROUP.replace("-", "%2D"), True),
        (f"{world.SUBSCRIPTION}/resourceGroups/./rg-fraud", True),
        (f"{world.SUBSCRIPTION}/resourceGroups/rg-other/../rg-fraud", True),
        (f"{world.WORKSPACE}?x", True),
        (f"{waysworld.SITE}#", True),
        (f"{world.SUBSCRIPTION}/resourceGroups/rg-größe", False),
        (f"{world.GROUP}/providers/Microsoft.Insights/alertrules/100%", False),
        (f"{world.ENDPOINT}/deployments/100%", False),
    ],
)
def test_a_scope_that_cannot_be_compared_may_be_any(scope: str, told: bool) -> None:
    """E08: it may stand above the target or the gate; one that lies beside them does not matter."""
    found = unread((("roleAssignments", 0, "properties", "scope"), scope))
    assert list(found.values()) == ([f"{scope} is not written as Azure writes scopes"] if told else [])


def test_a_scope_above_that_is_written_alike_is_above() -> None:
    """Whatever letters it has: two that are the same need not be understood."""
    odd = f"{world.SUBSCRIPTION}/resourceGroups/100%"
    target = f"{odd}/providers/Microsoft.CognitiveServices/accounts/x"
    found = unread((("roleAssignments", 0, "properties", "scope"), odd), (("target", "id"), target))
    assert found == {}


GATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a site of another kind": (
        {"gate": {"principalId": "gate", "siteId": f"{waysworld.GATES}/Microsoft.App/containerApps/gate"}},
        f"the gate's site ({waysworld.GATES}/Microsoft.App/containerApps/gate)".lower(),
        "is none of App Service: who can take the gate over was not looked for",
    ),
    "an identity that the site has not": (
        {"gate": {"principalId": "robot", "siteId": waysworld.SITE}},
        "the gate's identity robot",
        f"it is none of those that {SITE} has",
    ),
    "a gate that is a user": (
        {"gate": {"principalId": "bob", "siteId": waysworld.SITE}, "related": waysworld.gate("bob")},
        "what the gate's identity bob is",
        "it is said to be a user: whoever that stands for would be taken for the gate",
    ),
    "a gate that is a group": (
        {
            "gate": {"principalId": "analysts", "siteId": waysworld.SITE},
            "related": waysworld.gate("analysts"),
        },
        "what the gate's identity analysts is",
        "it is said to be a group: whoever that stands for would be taken for the gate",
    ),
}


@pytest.mark.parametrize(("more", "what", "why"), GATES.values(), ids=GATES.keys())
def test_a_gate_is_taken_for_one_if_all_of_it_was_read(more: dict[str, Any], what: str, why: str) -> None:
    """E07: what is not told of it hides who can take it; what is taken for it by mistake hides who goes around it."""
    assert unread(**more) == {what: why}


def test_what_assignments_say_of_the_gate_counts_as_well() -> None:
    """E07: the directory need not know it."""
    as_group = (("roleAssignments", 0, "properties", "principalType"), "Group")
    nobody_knows = (("directory", "principals", "gate"), GONE)
    assert list(unread(as_group, nobody_knows)) == ["what the gate's identity gate is"]


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "SystemAssigned", "principalId": "GATE"},
        {"userAssignedIdentities": {waysworld.IDENTITY: {"principalId": "Gate"}}},
        {"userAssignedIdentities": {waysworld.IDENTITY.upper(): {}}},
    ],
    ids=["its own", "an assigned one", "an assigned one that tells itself"],
)
def test_an_identity_of_the_site_is_found_wherever_azure_writes_it(identity: dict[str, Any]) -> None:
    """In any case, and also where the site names an identity whose principal the identity alone tells."""
    assert unread((("related", 0, "identity"), identity)) == {}


def test_where_nobody_named_a_gate_nothing_of_one_is_missed() -> None:
    """It must serve somebody who has only an endpoint and the question."""
    assert unread(gate=None, related=[]) == {}
    assert unread(gate={}, related=[]) == {}


def test_what_the_snapshot_itself_says_was_not_read_is_said_once() -> None:
    """Whoever collected it knows better why."""
    told = {"what": f"the gate's site ({waysworld.SITE})", "why": "403"}
    assert list(unread(related=[], unread=[told]).items()) == [(told["what"], "403")]


@pytest.mark.parametrize(
    "more",
    [
        {"gate": {"principalId": "gate"}},
        {"related": []},
        {"related": [{"id": waysworld.SITE, "properties": {}}]},
    ],
    ids=["a site that nobody named", "a site that is not there", "a site that tells no identity"],
)
def test_a_snapshot_need_not_tell_of_the_gates_site(more: dict[str, Any]) -> None:
    """What was not asked for is not unread; the report says what nobody looked at (`lines.unlooked`)."""
    assert unread(**more) == {}


@pytest.mark.parametrize("nothing", [GONE, None])
@pytest.mark.parametrize("name", ["actions", "dataActions"])
def test_a_role_in_use_tells_all_that_it_permits(name: str, nothing: object) -> None:
    """E08: older versions of the API leave data actions out, and what was not read is not nothing."""
    role = MADE["roleDefinitions"][0]["id"]
    told = unread((("roleDefinitions", 0, "properties", "permissions", 0, name), nothing))
    assert list(told) == [f"{name} of the role definition {role}"]
    unused: list[Any] = [
        (("roleAssignments",), []),
        (("roleDefinitions", 0, "properties", "permissions", 0, name), nothing),
    ]
    assert unread(*unused) == {}
