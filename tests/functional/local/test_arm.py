"""A whole collection over loopback: everything that is there, and whatever could not be read said so, nothing else lost."""

from __future__ import annotations

import asyncio
import io
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest

from local.arm.contoso import (
    CONTRIBUTOR,
    ENDPOINT,
    GATE_GROUP,
    HEIDI,
    IVAN,
    JUDY,
    MALLORY,
    MANAGEMENT_GROUP,
    NIAJ,
    OSCAR,
    OWNER,
    PIPELINE,
    READER,
    RESEARCH,
    SCIENTISTS,
    SITE,
    STORAGE,
    SUBSCRIPTION,
)
from local.arm.tenant import RBAC, Json
from local.batch.front import WORKSPACE
from local.directory import made_up_id
from shared.bypass import snapshot
from shared.bypass.azure import Bounds, Cloud, NoTarget, SignInFault, asked, collect
from shared.bypass.collect.progress import Bar
from tests.functional.local.scene import ML, SCORE, Scene, able

LISTS = (
    "roleAssignments",
    "roleDefinitions",
    "denyAssignments",
    "roleEligibilityScheduleInstances",
    "classicAdministrators",
    "related",
)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


def whys(document: Json) -> dict[str, str]:
    return {entry["what"]: entry["why"] for entry in document["unread"]}


def only(document: Json) -> tuple[str, str]:
    """Give the one thing that is unread."""
    assert len(document["unread"]) == 1, document["unread"]
    return next(iter(whys(document).items()))


def comparable(document: Json) -> Json:
    """Give a snapshot whose lists are in one order."""
    document = deepcopy(document)
    for name in LISTS:
        document[name].sort(key=lambda item: item["id"])
    for relation in ("groupMembers", "groupOwners"):
        document["directory"][relation] = {
            group: sorted(ids) for group, ids in document["directory"][relation].items()
        }
    return document


async def test_nothing_but_reads_is_sent_and_no_secret_asked_for(scene: Scene) -> None:
    """GET, and the one POST that reads; no listKeys, no settings, no passwords, by any name."""
    await scene.collect()
    assert len(scene.sent()) > 30
    for method, target in scene.sent():
        path = target.partition("?")[0]
        assert method == "GET" or (method, path) == ("POST", "/v1.0/directoryObjects/getByIds")
        lower = path.lower()
        for word in (
            "listkeys",
            "/list",
            "appsettings",
            "connectionstrings",
            "publishxml",
            "secrets",
            "token",
        ):
            assert word not in lower
        assert "/roledefinitions/" not in lower, "definitions that were listed are not asked for again"


async def test_the_ways_around_the_gate_can_be_told_from_what_was_collected(scene: Scene) -> None:
    """Inherited, nested, by keys, by owning a group, by the gate's site, by a role to be activated."""
    found = await scene.snapshot()
    assert found.unread == ()
    assert able(found, SCORE, ENDPOINT) == {
        "gate": ("active", ""),
        "heidi": ("active", ""),
        "ivan": ("active", "data-scientists"),
        "judy": ("active", "data-scientists > research"),
        "training-pipeline": ("active", "data-scientists > research"),
        "niaj": ("eligible", ""),
    }
    assert able(found, "Microsoft.Web/sites/config/write", SITE) == {
        "heidi": ("active", ""),
        "mallory": ("active", ""),
        "niaj": ("eligible", ""),
    }
    assert found.directory.owners == {SCIENTISTS: (), RESEARCH: (OSCAR,)}
    assert found.directory.name_of(OSCAR) == "oscar"
    assert found.target["properties"]["authMode"] == "Key"  # type: ignore[index]  # JSON
    assert (found.gate.principal, found.gate.site) == (scene.gate.oid, SITE.lower())
    assert {str(one["id"]) for one in found.related} == {
        WORKSPACE,
        f"{ENDPOINT}/deployments/blue",
        SITE,
        f"{SITE}/config/authsettingsV2",
        STORAGE,
    }


async def test_the_size_of_pages_changes_nothing(scene: Scene) -> None:
    """One entry a page or all at once."""
    whole = await scene.collect()
    scene.arm.page = scene.graph.most = 1
    assert comparable(await scene.collect()) == comparable(whole)


@pytest.mark.parametrize("service", ["arm", "graph"])
async def test_throttling_is_waited_out(scene: Scene, service: str) -> None:
    """For as long as it is asked for."""
    whole = await scene.collect()
    getattr(scene, service).faults.set(status=429, headers={"Retry-After": "9"}, times=3)
    assert await scene.collect() == whole
    assert scene.waited == [9, 9, 9]


@pytest.mark.parametrize("fault", [{"refuse": True}, {"cut": True}, {"status": 503}], ids=str)
async def test_what_passes_loses_nothing(scene: Scene, fault: Json) -> None:
    """A reset, half an answer, a short outage."""
    whole = await scene.collect()
    scene.arm.faults.set(**fault, times=2)
    scene.graph.faults.set(**fault, times=2)
    assert await scene.collect() == whole


async def test_each_call_that_is_forbidden_is_unread_and_costs_nothing_else(scene: Scene) -> None:
    """In turn, each alone: it is told, every call that does not hang on it is made all the same, and judging still works."""
    whole = await scene.collect()
    sent = dict.fromkeys(scene.sent())
    # What is asked of several scopes alike is forbidden at the first of them.
    alike = {target.rpartition(RBAC)[2]: (method, target) for method, target in reversed(sent)}
    entries = {name: {item["id"] for item in whole[name]} for name in LISTS}
    leading = (SITE, f"{SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts")
    for method, target in alike.values():
        service = scene.graph if target.startswith("/v1.0") else scene.arm
        scene.arm.requests.clear()
        scene.graph.requests.clear()
        path = target.partition("?")[0]
        # Of deny assignments another version would be asked for, and answer.
        service.forbidden = {path if "denyAssignments" in path else target}
        document = await scene.collect()
        service.forbidden = set()
        told = document["notes"] if method == "POST" else document["unread"]
        assert told, target
        for entry in document["unread"]:
            assert entry["why"].startswith("403 ") or path in leading, (target, entry)
        snapshot.read(document)
        # What was read is what was there: nothing of it is lost but for what that one call alone brought.
        for name in LISTS:
            assert {item["id"] for item in document[name]} <= entries[name]
        for name in {"roleAssignments", "denyAssignments", "related"} - {_brings(path)}:
            assert {item["id"] for item in document[name]} == entries[name], (target, name)
        missing = {one for one in sent if one not in dict.fromkeys(scene.sent())}
        assert all(_hangs_on(path, gone) for _, gone in missing), (target, missing)


def _brings(path: str) -> str:
    """Name the list that a call alone may bring something into."""
    if RBAC in path:
        return path.rpartition("/")[2]
    return "" if path.startswith("/v1.0") else "related"


def _hangs_on(path: str, gone: str) -> bool:
    """Say whether a call is only made when the one at `path` was answered."""
    if path == SITE:
        # Without the site nobody knows its identity, or its storage.
        return any(word in gone for word in ("storageAccounts", "assignedTo"))
    if path.endswith("/storageAccounts"):
        return "contosogatecode" in gone
    if path.endswith("/members"):
        # Of a group whose list breaks off the rest is not asked; of groups in it nothing is known.
        return "/members" in gone or "/owners" in gone or "getByIds" in gone
    return "servicePrincipal" in gone or "$count" in gone


async def test_a_site_that_cannot_be_read_leaves_its_identity_and_storage_unread(scene: Scene) -> None:
    """Not proven, and said so."""
    scene.arm.forbidden = {SITE}
    document = await scene.collect()
    assert whys(document) == {
        f"the gate's site ({SITE})": "403 AuthorizationFailed; it takes the role Reader there",
        f"the gate's identity ({SITE})": "the site has none, or could not be read",
    }
    assert document["gate"] == {"siteId": SITE}


@pytest.mark.parametrize("fault", [{"refuse": True}, {"garbage": True}, {"status": 500}], ids=str)
async def test_without_a_directory_all_of_azure_is_there(scene: Scene, fault: Json) -> None:
    """Groups count as groups nobody could look into; types are those of the assignments."""
    whole = await scene.collect()
    scene.graph.faults.set(**fault)
    document = await scene.collect()
    assert [document[name] for name in LISTS] == [whole[name] for name in LISTS]
    assert [(entry["what"], entry.get("id")) for entry in document["unread"]] == [
        ("what 5 of the principals are", None),
        (f"members of the group {SCIENTISTS}", SCIENTISTS),
        (f"owners of the group {SCIENTISTS}", None),
    ]
    found = snapshot.read(document)
    assert found.directory.is_opaque(SCIENTISTS)
    assert able(found, SCORE, ENDPOINT).keys() >= {SCIENTISTS, HEIDI, NIAJ}


async def test_without_azure_nothing_is_lost_of_what_is_asked_for(scene: Scene) -> None:
    """Every list is there, empty, and everything is unread; the tries in vain end soon."""
    scene.arm.faults.set(status=503)
    document = await scene.collect()
    assert [document[name] for name in LISTS] == [[]] * len(LISTS)
    assert document["target"] == {"id": ENDPOINT}
    assert len(document["unread"]) > 20
    assert sum(scene.waited) < 90
    snapshot.read(document)


async def test_a_token_for_something_else_reads_nothing(scene: Scene) -> None:
    """401 is told like any other missing right."""
    document = await scene.collect(tokens=lambda _: scene.token("https://elsewhere.example"))
    assert all(entry["why"].startswith("401 InvalidAuthenticationToken") for entry in document["unread"][:5])


async def test_whoever_is_not_signed_in_is_told_before_anything_is_read(scene: Scene) -> None:
    """There is nothing to lose yet."""

    def nobody(_scope: str) -> str:
        raise SignInFault("nobody is signed in")

    with pytest.raises(SignInFault):
        await scene.collect(tokens=nobody)
    assert scene.sent() == []


async def test_a_token_for_azure_alone_reads_azure(scene: Scene) -> None:
    """Without one for Microsoft Graph the directory is unread, with the reason."""

    def tokens(scope: str) -> str:
        if "graph" in scope:
            raise SignInFault("no consent")
        return scene.token(scope)

    document = await scene.collect(tokens=tokens)
    assert {entry["why"] for entry in document["unread"]} == {"no token: no consent"}
    assert len(document["roleAssignments"]) == 4


@pytest.mark.parametrize(
    "base",
    [
        "http://azure.example",
        "http://127.0.0.1:1/x",
        "https://me@azure.example",
        "ftp://127.0.0.1",
        "https://",
        "x",
    ],
)
@pytest.mark.parametrize("name", ["management", "graph"])
def test_tokens_are_sent_to_https_alone(base: str, name: str) -> None:
    """Loopback is excepted where that is asked for, and nothing else."""
    with pytest.raises(ValueError, match="must be"):
        collect(asked(ENDPOINT), lambda _: "a-token", cloud=Cloud(**{name: base}), allow_http=True)


def test_loopback_is_excepted_only_where_that_is_asked_for() -> None:
    """A stand-in believes anybody, and whoever listens there gets a token."""
    with pytest.raises(ValueError, match="must be https"):
        collect(asked(ENDPOINT), lambda _: "a-token", cloud=Cloud(graph="http://127.0.0.1:1"))


# Groups and people.


def a_crowd(scene: Scene, size: int) -> list[str]:
    """Put so many people into the group research; give their ids."""
    crowd = {made_up_id(f"user/{number}"): f"user {number}" for number in range(size)}
    scene.tenant.principals |= {who: {"type": "user", "displayName": name} for who, name in crowd.items()}
    scene.tenant.members[RESEARCH] = [PIPELINE, *crowd]
    return list(crowd)


async def test_a_group_of_a_hundred_thousand_is_read_in_seconds(scene: Scene) -> None:
    """In a hundred pages, whole."""
    crowd = a_crowd(scene, 100_000)
    started = time.monotonic()
    document = await scene.collect()
    took = time.monotonic() - started
    assert document["unread"] == []
    assert set(document["directory"]["groupMembers"][RESEARCH]) == {PIPELINE, *crowd}
    assert document["directory"]["principals"][crowd[-1]]["displayName"] == "user 99999"
    assert len(scene.graph.requests) < 130
    assert took < 30


async def test_a_large_group_takes_the_memory_of_what_is_kept_of_it(scene: Scene) -> None:
    """An id and a name for each; pages are let go one by one."""
    a_crowd(scene, 10_000)
    await scene.collect(gate=None)
    tracemalloc.start()
    document = await scene.collect(gate=None)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(document["directory"]["groupMembers"][RESEARCH]) == 10_001
    assert held < 10_000 * 800 + 4e6
    assert most - held < 6e6


BEYOND: dict[str, tuple[Bounds, str]] = {
    "too many members": (Bounds(members=2), "the groups have more than 2 members"),
    "no time left": (Bounds(seconds=-1.0), "it took longer than -1 s"),
}


@pytest.mark.parametrize(("bounds", "why"), BEYOND.values(), ids=BEYOND)
async def test_what_lies_beyond_the_bounds_is_unread(scene: Scene, bounds: Bounds, why: str) -> None:
    """Whoever was read stays; the group counts as one with more members."""
    document = await scene.collect(bounds=bounds)
    assert set(whys(document).values()) == {why}
    found = snapshot.read(document)
    assert found.directory.is_opaque(SCIENTISTS) or found.directory.is_opaque(RESEARCH)
    assert "heidi" in able(found, SCORE, ENDPOINT)


async def test_too_many_groups_are_unread(scene: Scene) -> None:
    """Those that were read stay."""
    document = await scene.collect(bounds=Bounds(groups=1))
    assert only(document) == ("1 groups, and who is in them", "there are more than 1 groups")
    assert document["directory"]["groupMembers"] == {SCIENTISTS: [IVAN, RESEARCH]}


async def test_a_group_that_breaks_off_has_more_members_than_are_listed(scene: Scene) -> None:
    """Its id stands beside the reason, so that it is judged as one nobody can look into."""
    scene.graph.most = 1
    path = f"/v1.0/groups/{SCIENTISTS}/members"
    scene.graph.forbidden = {f"{path}?%24select=id,displayName&%24top=999&%24skiptoken=1"}
    await scene.collect()
    scene.graph.forbidden = {
        target for _, target in scene.sent() if target.startswith(path) and "skip" in target
    }
    document = await scene.collect()
    assert document["unread"] == [
        {
            "what": f"members of the group data-scientists ({SCIENTISTS})",
            "why": "403 Authorization_RequestDenied; it takes the permission GroupMember.Read.All",
            "id": SCIENTISTS,
        }
    ]
    assert document["directory"]["groupMembers"][SCIENTISTS] == [IVAN]
    assert "data-scientists" in able(snapshot.read(document), SCORE, ENDPOINT)


async def test_members_that_are_counted_and_not_listed_are_missed(scene: Scene) -> None:
    """Graph shows some callers an empty list without an error; a count gives it away."""
    scene.graph.conceals = {JUDY, PIPELINE}
    document = await scene.collect()
    what, why = only(document)
    assert (what, why) == (f"members of the group research ({RESEARCH})", "0 are listed, and 2 are counted")
    assert document["unread"][0]["id"] == RESEARCH


async def test_a_group_of_hidden_membership_is_not_taken_for_empty(scene: Scene) -> None:
    """Without its permission there may be members all the same."""
    scene.tenant.principals[RESEARCH]["visibility"] = "HiddenMembership"
    scene.tenant.members[RESEARCH] = []
    what, why = only(await scene.collect())
    assert what == f"members of the group research ({RESEARCH})"
    assert why == "its membership is hidden, and it takes the permission Member.Read.Hidden"


async def test_groups_in_a_circle_are_read_once(scene: Scene) -> None:
    """And a group that is in itself."""
    scene.tenant.members[RESEARCH] += [SCIENTISTS, RESEARCH]
    document = await scene.collect()
    assert document["unread"] == []
    members = [one.target for one in scene.graph.requests if one.target.split("?")[0].endswith("/members")]
    assert len(members) == 2


async def test_service_principals_own_groups_and_are_in_them(scene: Scene) -> None:
    """Microsoft Graph leaves them out of its plain lists."""
    scene.tenant.owners[RESEARCH] = [OSCAR, PIPELINE]
    document = await scene.collect()
    assert document["directory"]["groupOwners"][RESEARCH] == [OSCAR, PIPELINE]
    assert document["directory"]["principals"][PIPELINE]["type"] == "servicePrincipal"


async def test_a_group_that_cannot_have_service_principals_has_none(scene: Scene) -> None:
    """A Microsoft 365 group answers the question for them with an error of its own."""
    body = '{"error": {"code": "Request_UnsupportedQuery", "message": "no"}}'
    scene.graph.faults.set(status=400, body=body, path=f"{RESEARCH}/members/microsoft.graph")
    scene.tenant.members[RESEARCH] = [JUDY]
    assert (await scene.collect())["unread"] == []


async def test_principals_that_are_gone_leave_nothing_open(scene: Scene) -> None:
    """Assignments outlive people and groups: these are not in the directory, and were not left out."""
    gone = {kind: made_up_id(f"gone/{kind}") for kind in ("User", "Group")}
    for kind, who in gone.items():
        scene.tenant.assign(who, READER, SUBSCRIPTION, principalType=kind)
    document = await scene.collect()
    assert (document["unread"], document["notes"]) == ([], [])
    assert not document["directory"]["principals"].keys() & set(gone.values())
    assert not any(gone["Group"] in target for _, target in scene.sent())
    scene.graph.reads_objects = False
    document = await scene.collect()
    assert document["unread"] == []
    assert {"what": f"the group {gone['Group']}", "why": "the directory does not have it"} in document[
        "notes"
    ]


async def test_reader_and_group_member_read_all_are_enough(scene: Scene) -> None:
    """Without Directory.Read.All the types are those that assignments tell; only some names are missing."""
    whole = await scene.snapshot()
    scene.graph.reads_objects = False
    document = await scene.collect()
    assert document["unread"] == []
    assert [entry["what"] for entry in document["notes"]] == ["names of principals"]
    found = snapshot.read(document)
    assert found.directory.members == whole.directory.members
    assert found.directory.owners == whole.directory.owners
    for who in (HEIDI, IVAN, JUDY, MALLORY, NIAJ, OSCAR, PIPELINE, RESEARCH, SCIENTISTS, scene.gate.oid):
        assert found.directory.type_of(who) == whole.directory.type_of(who), who
    assert found.directory.name_of(JUDY) == "judy"
    assert found.directory.name_of(HEIDI) is None


async def test_a_type_that_nobody_tells_is_unread(scene: Scene) -> None:
    """Whoever it is might be a group."""
    who = made_up_id("gone/untold")
    scene.tenant.assign(who, READER, SUBSCRIPTION, principalType=None)
    scene.graph.reads_objects = False
    assert only(await scene.collect()) == (
        "what 1 of the principals are",
        "it takes the permission Directory.Read.All",
    )


async def test_a_member_that_a_list_tells_nothing_of_is_looked_up(scene: Scene) -> None:
    """A group that came without its type has members of its own."""
    whole = await scene.collect()
    scene.graph.untyped = {RESEARCH, IVAN}
    assert comparable(await scene.collect()) == comparable(whole)
    scene.graph.reads_objects = False
    document = await scene.collect()
    assert document["unread"] == [
        {
            "what": f"what 2 members of the group {SCIENTISTS} are",
            "why": "it takes the permission Directory.Read.All",
            "id": SCIENTISTS,
        }
    ]
    assert able(snapshot.read(document), SCORE, ENDPOINT)["research"][0] == "conditional"


# What holds at a scope.


async def test_roles_below_the_target_and_the_gate_are_read(scene: Scene) -> None:
    """A deployment, a slot or a compute is reached by a role that is assigned there alone."""
    below = (f"{ENDPOINT}/deployments/blue", f"{SITE}/slots/next", f"{WORKSPACE}/computes/cpu")
    for scope in below:
        scene.tenant.assign(OSCAR, CONTRIBUTOR, scope)
        scene.tenant.make_eligible(OSCAR, OWNER, scope)
    document = await scene.collect()
    for name in ("roleAssignments", "roleEligibilityScheduleInstances"):
        scopes = {item["properties"]["scope"] for item in document[name]}
        assert scopes >= set(below)


async def test_what_the_gate_holds_elsewhere_is_read(scene: Scene) -> None:
    """More than it needs is more than it needs wherever it is, through its groups too."""
    elsewhere = f"{SUBSCRIPTION}/resourceGroups/rg-other"
    scene.tenant.assign(scene.gate.oid, CONTRIBUTOR, elsewhere)
    team = made_up_id("group/gates")
    scene.tenant.principals[team] = {"type": "group", "displayName": "gates"}
    scene.tenant.members[team] = [scene.gate.oid]
    scene.tenant.assign(team, READER, f"{SUBSCRIPTION}/resourceGroups/rg-third")
    scene.tenant.assign(OSCAR, CONTRIBUTOR, elsewhere)
    document = await scene.collect()
    found = {
        (item["properties"]["principalId"], item["properties"]["scope"])
        for item in document["roleAssignments"]
    }
    assert (scene.gate.oid, elsewhere) in found
    assert (team, f"{SUBSCRIPTION}/resourceGroups/rg-third") in found
    assert (OSCAR, elsewhere) not in found
    assert document["directory"]["groupMembers"][team] == [scene.gate.oid]


async def test_what_management_groups_and_the_root_hand_down_is_read(scene: Scene) -> None:
    """Azure lists it at the target."""
    for scope in (MANAGEMENT_GROUP, "/"):
        scene.tenant.assign(OSCAR, CONTRIBUTOR, scope)
    found = await scene.snapshot()
    assert {one.scope for one in found.assignments if one.principal == OSCAR} == {
        MANAGEMENT_GROUP.lower(),
        "/",
    }


def a_deny(effect: str | None, **properties: Any) -> Json:
    told = {} if effect is None else {"denyAssignmentEffect": effect}
    return {
        "id": f"{ENDPOINT}{RBAC}/denyAssignments/{made_up_id('deny')}",
        "type": "Microsoft.Authorization/denyAssignments",
        "properties": {
            "denyAssignmentName": "seal",
            "scope": ENDPOINT,
            "permissions": [{"actions": [SCORE], "notActions": [], "dataActions": [], "notDataActions": []}],
            "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
            "excludePrincipals": [],
            "isSystemProtected": False,
        }
        | told
        | properties,
    }


async def test_a_deny_assignment_that_only_watches_closes_nothing(scene: Scene) -> None:
    """The versions of the interface that tell its effect are asked first."""
    scene.tenant.lists["denyAssignments"] = [a_deny("audit")]
    found = await scene.snapshot()
    assert not found.denies[0].enforced
    assert "heidi" in able(found, SCORE, ENDPOINT)


async def test_a_deny_assignment_of_a_new_version_is_found_with_an_old_one_around(scene: Scene) -> None:
    """The first version that is known answers; who is excluded is expanded, though it holds no role."""
    rescuers = made_up_id("group/rescuers")
    scene.tenant.principals[rescuers] = {"type": "group", "displayName": "rescuers"}
    scene.tenant.members[rescuers] = [HEIDI]
    scene.tenant.lists["denyAssignments"] = [
        a_deny("enforced", excludePrincipals=[{"id": rescuers, "type": "Group"}])
    ]
    scene.arm.versions["denyassignments"] = {"2022-04-01", "2024-07-01-preview"}
    found = await scene.snapshot()
    assert found.unread == ()
    assert able(found, SCORE, ENDPOINT) == {"heidi": ("active", "")}


async def test_an_effect_that_nobody_tells_is_unread(scene: Scene) -> None:
    """What might be audited only must not count as closed."""
    scene.tenant.lists["denyAssignments"] = [a_deny("audit")]
    scene.arm.versions["denyassignments"] = {"2022-04-01"}
    what, why = only(await scene.collect())
    assert what.startswith("whether the deny assignment ")
    assert why == "Azure answers with a version of its interface that does not tell"


async def test_a_deny_assignment_of_azure_itself_is_always_enforced(scene: Scene) -> None:
    """Those of deployment stacks know no other effect."""
    scene.tenant.lists["denyAssignments"] = [a_deny(None, isSystemProtected=True)]
    assert (await scene.collect())["unread"] == []


async def test_a_role_that_is_not_assignable_at_the_target_is_asked_for_by_its_id(scene: Scene) -> None:
    """And one that does not exist is unread."""
    elsewhere = f"{SUBSCRIPTION}/resourceGroups/rg-gate{RBAC}/roleDefinitions/{made_up_id('role/x')}"
    missing = f"{RBAC}/roleDefinitions/{made_up_id('role/missing')}"
    odd = "/providers/../roleDefinitions/x?y"
    for role in (elsewhere, missing, odd):
        scene.tenant.assign(OSCAR, role, SITE)
    role = {"roleName": "x", "permissions": [{"actions": ["*/read"], "dataActions": []}]}
    scene.tenant.lists["roleDefinitions"].append({"id": elsewhere, "name": "x", "properties": role})
    scene.arm.page = 2
    scene.arm.faults.set(status=403, path=f"{ENDPOINT}{RBAC}/roleDefinitions")
    document = await scene.collect()
    assert elsewhere in {item["id"] for item in document["roleDefinitions"]}
    assert whys(document) == {
        f"role definitions at {ENDPOINT}": "403; it takes the role Reader there",
        f"the role definition {missing} ({missing})": "404 RoleDefinitionDoesNotExist",
        f"the role definition {odd}": "its id is none",
    }


async def test_conditions_come_with_roles_and_the_roles_that_they_name(scene: Scene) -> None:
    """Who may assign certain roles alone is judged by what these permit."""
    named = READER.rpartition("/")[2].upper()
    condition = f"(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] GuidEquals {{{named}}})"
    scene.tenant.assign(OSCAR, CONTRIBUTOR, ENDPOINT, condition=condition, conditionVersion="2.0")
    scientist = next(
        one
        for one in scene.tenant.lists["roleDefinitions"]
        if "Data Scientist" in one["properties"]["roleName"]
    )
    scientist["properties"]["permissions"][0] |= {
        "condition": "@Resource[x] == 'y'",
        "conditionVersion": "2.0",
    }
    found = await scene.snapshot()
    assert READER.rpartition("/")[2] in found.definitions
    assert able(found, SCORE, ENDPOINT)["ivan"][0] == "conditional"


async def test_a_tenant_without_a_licence_has_nobody_eligible(scene: Scene) -> None:
    """Azure says so; that is a note, and leaves nothing open."""
    scene.arm.licensed = False
    document = await scene.collect()
    assert document["unread"] == []
    assert {entry["why"] for entry in document["notes"]} == {
        "the tenant has no licence for Privileged Identity Management"
    }


async def test_classic_administrators_are_read_while_there_are_any(scene: Scene) -> None:
    """And are no question where Azure has retired them."""
    scene.tenant.lists["classicAdministrators"] = [
        {
            "id": f"{SUBSCRIPTION}/providers/Microsoft.Authorization/classicAdministrators/1",
            "type": "Microsoft.Authorization/classicAdministrators",
            "properties": {"emailAddress": "walter@contoso.example", "role": "ServiceAdministrator"},
        }
    ]
    assert "walter@contoso.example" in able(await scene.snapshot(), SCORE, ENDPOINT)
    scene.arm.knows_classic = False
    document = await scene.collect()
    assert (document["unread"], document["classicAdministrators"]) == ([], [])
    assert document["notes"] == [
        {"what": f"classic administrators of {SUBSCRIPTION}", "why": "Azure has retired them"}
    ]


@pytest.mark.parametrize("scope", [SUBSCRIPTION, WORKSPACE.partition("/providers")[0], GATE_GROUP])
async def test_a_scope_that_is_delegated_to_another_tenant_is_unread(scene: Scene, scope: str) -> None:
    """Azure Lighthouse: no list of roles names these people, and no directory here knows them."""
    tenant = made_up_id("tenant/provider")
    definition = {"properties": {"managedByTenantId": tenant, "authorizations": []}}
    scene.tenant.add(
        {
            "id": f"{scope}/providers/Microsoft.ManagedServices/registrationAssignments/{made_up_id('delegation')}",
            "type": "Microsoft.ManagedServices/registrationAssignments",
            "properties": {"registrationDefinition": definition},
        }
    )
    document = await scene.collect()
    why = f"it is delegated to the tenant {tenant}, whose people cannot be listed from here"
    assert whys(document)[f"Azure Lighthouse at {scope}"] == why
    assert any("registrationAssignments" in item["id"] for item in document["related"])


async def test_a_subscription_that_never_heard_of_delegation_has_none(scene: Scene) -> None:
    """It knows no such resources."""
    body = '{"error": {"code": "MissingSubscriptionRegistration", "message": "no"}}'
    scene.arm.faults.set(status=409, body=body, path="registrationAssignments")
    assert (await scene.collect())["unread"] == []


# The gate.


def a_user_assigned_identity(scene: Scene, *, site_too: bool = True) -> tuple[str, str]:
    """Give the site an identity of its own resource; return its ARM id and its principal."""
    written = f"{GATE_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gate-identity"
    principal = made_up_id("app/gate-identity")
    names = ["isExplicit=True", written]
    scene.tenant.principals[principal] = {
        "type": "servicePrincipal",
        "displayName": "gate-identity",
        "alternativeNames": names,
    }
    for identity, kind in (
        (written, "userAssignedIdentities"),
        (f"{written}/federatedIdentityCredentials/ci", "userAssignedIdentities/federatedIdentityCredentials"),
    ):
        scene.tenant.add(
            {
                "id": identity,
                "type": f"Microsoft.ManagedIdentity/{kind}",
                "properties": {"principalId": principal, "subject": "repo:contoso/gate"},
            }
        )
    if site_too:
        site = scene.tenant.resources[SITE.lower()]
        site["identity"] = {
            "type": "UserAssigned",
            "userAssignedIdentities": {written: {"principalId": principal, "clientId": made_up_id("c")}},
        }
    scene.tenant.assign(MALLORY, CONTRIBUTOR, written)
    return written, principal


async def test_a_gate_is_found_by_its_identity(scene: Scene) -> None:
    """The directory tells whose identity it is, where it belongs to the site itself."""
    by_site = await scene.collect()
    assert comparable(await scene.collect(gate=scene.gate.oid)) == comparable(by_site)


async def test_an_identity_that_leads_to_no_site_leaves_the_site_unread(scene: Scene) -> None:
    """Who can take the gate cannot be told; the identity itself is looked at."""
    written, principal = a_user_assigned_identity(scene, site_too=False)
    document = await scene.collect(gate=principal)
    assert only(document) == (
        f"the site of the gate ({principal})",
        "nothing that was read tells which it is: name it",
    )
    assert document["gate"] == {"principalId": principal}
    assert written in {item["id"] for item in document["related"]}


async def test_an_identity_that_nobody_may_look_up_leaves_the_site_unread(scene: Scene) -> None:
    """It takes Directory.Read.All to find a site by its identity."""
    scene.graph.reads_objects = False
    document = await scene.collect(gate=scene.gate.oid)
    assert only(document)[0] == f"the site of the gate ({scene.gate.oid})"


async def test_a_user_assigned_identity_can_be_taken_in_more_ways(scene: Scene) -> None:
    """Who may federate or assign it, and what is federated already, is read."""
    written, principal = a_user_assigned_identity(scene)
    document = await scene.collect()
    assert document["unread"] == []
    assert document["gate"]["principalId"] == principal
    related = {item["id"] for item in document["related"]}
    assert {written, f"{written}/federatedIdentityCredentials/ci"} <= related
    assert written in {item["properties"]["scope"] for item in document["roleAssignments"]}


async def test_a_site_with_several_identities_does_not_say_which_is_the_gates(scene: Scene) -> None:
    """Its setting would, which is asked for by nobody; so whoever asks says it."""
    written, principal = a_user_assigned_identity(scene)
    site = scene.tenant.resources[SITE.lower()]
    site["identity"] |= {"type": "SystemAssigned, UserAssigned", "principalId": scene.gate.oid}
    document = await scene.collect()
    assert only(document) == (
        f"the gate's identity ({SITE})",
        "the site has several: name the one that the gate acts as",
    )
    assert "principalId" not in document["gate"]
    document = await scene.collect(identity=principal)
    assert (document["unread"], document["gate"]["principalId"]) == ([], principal)
    assert written in {item["id"] for item in document["related"]}


async def test_an_identity_that_is_not_the_sites_is_told(scene: Scene) -> None:
    """A slip of whoever asks would hide what the true one holds."""
    document = await scene.collect(identity=OSCAR)
    assert only(document) == (f"the gate's identity {OSCAR}", f"it is none of those that {SITE} has")


async def test_storage_that_only_settings_name_is_unread_until_it_is_named(scene: Scene) -> None:
    """Settings hold secrets and are not asked for; who can write the package can run code in the gate."""
    del scene.tenant.resources[SITE.lower()]["properties"]["functionAppConfig"]
    what, why = only(await scene.collect())
    assert what == f"the storage account of the gate's package ({SITE})"
    assert why == "the site's settings alone tell it, which hold secrets: name the account"
    scene.tenant.assign(OSCAR, CONTRIBUTOR, STORAGE)
    document = await scene.collect(storage=[STORAGE])
    assert document["unread"] == []
    assert STORAGE in {item["id"] for item in document["related"]}
    assert STORAGE in {item["properties"]["scope"] for item in document["roleAssignments"]}


async def test_storage_in_another_subscription_is_unread_until_it_is_named(scene: Scene) -> None:
    """The site tells the account's name, not where it is."""
    del scene.tenant.resources[STORAGE.lower()]
    assert only(await scene.collect())[1] == (
        "contosogatecode was not found in the site's subscription: name the account"
    )


async def test_a_slot_is_looked_at_with_the_site_that_it_is_one_of(scene: Scene) -> None:
    """Who holds a role on the site, or may swap its slots, has the slot."""
    slot = scene.tenant.resources[SITE.lower()] | {"id": f"{SITE}/slots/next"}
    scene.tenant.add(slot)
    settings = scene.tenant.resources[f"{SITE}/config/authsettingsV2".lower()]
    scene.tenant.add(settings | {"id": f"{SITE}/slots/next/config/authsettingsV2"})
    scene.tenant.assign(OSCAR, CONTRIBUTOR, f"{SITE}/slots/other")
    document = await scene.collect(gate=f"{SITE}/slots/next")
    assert {SITE, f"{SITE}/slots/next"} <= {item["id"] for item in document["related"]}
    scopes = {item["properties"]["scope"] for item in document["roleAssignments"]}
    assert {SITE, f"{SITE}/slots/other"} <= scopes
    assert document["unread"] == []


async def test_it_needs_no_gate_to_be_useful(scene: Scene) -> None:
    """Somebody who has only an endpoint and the question gets the answer, and nothing about a gate is asked."""
    document = await scene.collect(gate=None)
    assert (document["unread"], document["gate"]) == ([], {})
    assert not any("rg-gate" in target for _, target in scene.sent())


# Other targets.


async def test_a_batch_endpoint_is_collected_alike(scene: Scene) -> None:
    """With its deployments, and its workspace."""
    batch = f"{WORKSPACE}/batchEndpoints/irises"
    for identity in (batch, f"{batch}/deployments/blue"):
        scene.tenant.add(
            {"id": identity, "type": f"{ML}/batchEndpoints", "properties": {"authMode": "AADToken"}}
        )
    found = await scene.snapshot(batch, gate=None)
    assert found.unread == ()
    assert found.target["id"] == batch
    assert {str(one["id"]) for one in found.related} == {WORKSPACE, f"{batch}/deployments/blue"}
    assert "judy" in able(found, f"{ML}/batchEndpoints/jobs/write", batch)


async def test_an_account_is_collected_with_its_projects(scene: Scene) -> None:
    """A role on a project reaches the models of the account."""
    account = f"{WORKSPACE.partition('/providers')[0]}/providers/Microsoft.CognitiveServices/accounts/ai"
    for identity in (account, f"{account}/deployments/gpt", f"{account}/projects/p"):
        scene.tenant.add({"id": identity, "kind": "AIServices", "properties": {"disableLocalAuth": False}})
    scene.tenant.assign(OSCAR, CONTRIBUTOR, f"{account}/projects/p")
    found = await scene.snapshot(account, gate=None)
    assert found.unread == ()
    assert {str(one["id"]) for one in found.related} == {
        f"{account}/deployments/gpt",
        f"{account}/projects/p",
    }
    assert f"{account}/projects/p".lower() in {one.scope for one in found.assignments}


async def test_an_account_of_azure_openai_is_asked_for_no_projects(scene: Scene) -> None:
    """It cannot have any, and would answer with an error."""
    account = f"{WORKSPACE.partition('/providers')[0]}/providers/Microsoft.CognitiveServices/accounts/ai"
    scene.tenant.add({"id": account, "kind": "OpenAI", "properties": {}})
    scene.arm.faults.set(status=400, path="/projects")
    assert (await scene.collect(account, gate=None))["unread"] == []


async def test_a_snapshot_tells_when_it_was_taken(scene: Scene) -> None:
    """Who judges it later must know how old it is."""
    assert (await scene.collect())["collectedAt"] == "2026-01-31T12:00:00Z"


async def test_a_target_that_is_not_there_is_no_target(scene: Scene) -> None:
    """Who misspelt it is told what to check: nothing else is asked, and there is no snapshot to be judged."""
    with pytest.raises(NoTarget) as fault:
        await scene.collect(f"{WORKSPACE}/onlineEndpoints/none")
    said = str(fault.value)
    assert f"Azure has no {WORKSPACE}/onlineEndpoints/none (404 ResourceNotFound)" in said
    assert "check the id" in said
    assert f"signed in to the tenant of {SUBSCRIPTION} " in said
    assert len(scene.sent()) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 410])
async def test_a_target_that_could_not_be_read_is_unread(scene: Scene, status: int) -> None:
    """It may well be there, and its access is collected all the same."""
    scene.arm.faults.set(status=status, path="/onlineEndpoints/", times=1)
    document = await scene.collect()
    assert only(document)[0] == f"the target ({ENDPOINT})"
    assert document["target"] == {"id": ENDPOINT}
    assert "heidi" in able(snapshot.read(document), SCORE, ENDPOINT)


@pytest.mark.parametrize("target", [ENDPOINT, f"{ENDPOINT}-not"], ids=["there", "not there"])
async def test_the_end_of_reading_is_shown(scene: Scene, target: str) -> None:
    """A log does not break off at the last thing that was begun; and nothing is done that was not."""
    stream = io.StringIO()
    words: Json = {"cloud": scene.cloud, "allow_http": True, "progress": Bar(stream)}
    with suppress(NoTarget):
        await asyncio.to_thread(lambda: collect(asked(target), scene.token, **words))
    last = "done reading" if target == ENDPOINT else "the target"
    assert stream.getvalue().splitlines()[-1] == last
