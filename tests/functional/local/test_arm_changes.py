"""The tenant behind the stand-ins can be changed as the printed fixes change a real one: each way closes, and opens again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import requests

from local.arm.az import Az, AzError
from local.arm.contoso import (
    CONTRIBUTOR,
    ENDPOINT,
    HEIDI,
    JUDY,
    MALLORY,
    MANAGEMENT_GROUP,
    NIAJ,
    OSCAR,
    OWNER,
    RESEARCH,
    SCIENTISTS,
    SCORER,
    SITE,
    SUBSCRIPTION,
)
from local.arm.tenant import RBAC, Json
from local.directory import made_up_id
from local.managed_identity import ManagedIdentity
from shared.bypass import changes
from shared.bypass.collect.signin import signed_in
from shared.bypass.paths import judge
from shared.bypass.readback import NotACommand
from shared.bypass.snapshot import Snapshot
from tests.functional.local.scene import AUDITOR, ENTRA, ML, SCORE, Scene, able

ARM, GRAPH = "https://management.azure.com", "https://graph.microsoft.com"
CONFIG = "Microsoft.Web/sites/config/write"


class Changing(Scene):
    """A scene in which somebody with every right sends what the command line of Azure would send."""

    async def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        version: str = "2022-04-01",
        who: str = "alice",
    ) -> int:
        directory = path.startswith("/v1.0")
        base, audience = (self.graph.url, GRAPH) if directory else (self.arm.url, ARM)

        def sent() -> int:
            response = requests.request(
                method,
                base + path,
                params={} if directory else {"api-version": version},
                json=body,
                headers={"Authorization": f"Bearer {self.token(audience, who)}"},
                timeout=10,
            )
            return response.status_code

        return await asyncio.to_thread(sent)

    async def authorization(self, method: str, entry: Json) -> int:
        """Send an entry that was collected back as it is, or take it away."""
        return await self.send(method, entry["id"], {"properties": entry["properties"]})


@pytest.fixture
async def scene() -> AsyncIterator[Changing]:
    async with Changing() as scene:
        yield scene


def authmode(found: Snapshot) -> Any:
    return found.target["properties"]["authMode"]  # type: ignore[index]  # JSON


async def test_every_way_closes_by_what_is_printed_for_it_and_one_opens_again(scene: Changing) -> None:
    """Assignments removed, keys off, an eligible role taken back; then somebody adds an inherited Contributor."""
    before = await scene.collect()
    for entry in before["roleAssignments"]:
        if entry["properties"]["principalId"] != scene.gate.oid:
            assert await scene.authorization("DELETE", entry) == 200
    assert (
        await scene.send("PATCH", ENDPOINT, {"properties": {"authMode": "AADToken"}}, version="2025-12-01")
        == 200
    )
    assert (
        await scene.send(
            "PUT",
            f"{MANAGEMENT_GROUP}{RBAC}/roleEligibilityScheduleRequests/{made_up_id('request')}",
            {"properties": {"principalId": NIAJ, "roleDefinitionId": OWNER, "requestType": "AdminRemove"}},
            version="2020-10-01",
        )
        == 201
    )
    closed = await scene.snapshot()
    assert able(closed, SCORE, ENDPOINT) == {"gate": ("active", "")}
    assert able(closed, CONFIG, SITE) == {}
    assert (closed.unread, authmode(closed)) == ((), "AADToken")
    bob = ENTRA.directory.people["bob"].oid
    opened = f"{SUBSCRIPTION}{RBAC}/roleAssignments/{made_up_id('assignment')}"
    wish = {"principalId": bob, "roleDefinitionId": CONTRIBUTOR, "principalType": "User"}
    assert await scene.send("PUT", opened, {"properties": wish}) == 201
    assert able(await scene.snapshot(), SCORE, ENDPOINT) == {"gate": ("active", ""), "bob": ("active", "")}
    assert await scene.send("DELETE", opened) == 200
    assert able(await scene.snapshot(), SCORE, ENDPOINT) == {"gate": ("active", "")}


@pytest.fixture
async def az(scene: Changing) -> AsyncIterator[Az]:
    """The command line of somebody with every right."""
    async with aiohttp.ClientSession() as http:
        yield Az(
            http,
            management=scene.arm.url,
            graph=scene.graph.url,
            token=lambda audience: scene.token(audience, "alice"),
        )


async def test_the_printed_commands_close_what_was_found(scene: Changing, az: Az) -> None:
    """E08: each once, in the order in which they are printed: afterwards nothing goes around the gate."""
    report = judge(await scene.snapshot())
    assert report.verdict == "open"
    assert {finding.way for finding in report.findings} >= {
        "invoke",
        "auth-mode",
        "group-owner",
        "take-gate",
        "grant",
    }
    for command in dict.fromkeys(command for finding in report.findings for command in finding.fix):
        await az.run(command)
    report = judge(await scene.snapshot())
    assert (report.verdict, report.findings, report.unread) == ("closed", (), ())
    scene.tenant.assign(ENTRA.directory.people["bob"].oid, CONTRIBUTOR, SUBSCRIPTION)
    report = judge(await scene.snapshot())
    assert report.verdict == "open"
    assert {finding.principal.display_name for finding in report.findings} == {"bob"}
    assert {grant.scope for finding in report.findings for grant in finding.grants} == {SUBSCRIPTION}


async def test_every_kind_of_command_does_what_it_says(scene: Changing, az: Az) -> None:
    """Also those that the tenant of the demo has no use for."""
    identity = (
        f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gate"
    )
    federated = f"{identity}/federatedIdentityCredentials/ci"
    scene.tenant.add({"id": federated, "properties": {}})
    everyone = {"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}
    permission = {"actions": [SCORE], "notActions": [], "dataActions": [], "notDataActions": []}
    seal = {"denyAssignmentName": "seal", "permissions": [permission], "principals": [everyone]}
    role = {"Name": "Groupgate", "Actions": [f"{ML}/read"], "AssignableScopes": [ENDPOINT]}
    for change in (
        changes.CreateRole(changes.text(role)),
        changes.Assign(MALLORY, "User", "Groupgate", ENDPOINT),
        changes.Assign(JUDY, "User", CONTRIBUTOR.rpartition("/")[2], ENDPOINT),
        changes.Assign(OSCAR, "User", CONTRIBUTOR, ENDPOINT),
        changes.SetProperty(SITE, "2025-05-01", "siteConfig.alwaysOn", "true"),
        changes.RemoveMember(RESEARCH, JUDY),
        changes.RemoveOwner(RESEARCH, OSCAR),
        changes.EndEligibility(MANAGEMENT_GROUP, NIAJ, OWNER),
        changes.DeleteFederated(federated),
        changes.PutDeny(ENDPOINT, changes.text(seal)),
    ):
        await az.run(changes.command(change))
    found = await scene.snapshot()
    assert set(able(found, f"{ML}/read", ENDPOINT)) >= {"mallory", "judy", "oscar"}
    assert able(found, SCORE, ENDPOINT) == {}
    assert NIAJ not in {one.principal for one in found.assignments if one.eligible}
    assert JUDY not in found.directory.members[RESEARCH]
    assert found.directory.owners[RESEARCH] == ()
    assert federated.lower() not in scene.tenant.resources
    assert scene.tenant.resources[SITE.lower()]["properties"]["siteConfig"] == {"alwaysOn": True}


async def test_a_command_that_fails_is_told(az: Az) -> None:
    """With what the service answers; and nothing is run that no report prints."""
    with pytest.raises(AzError, match=r"404 .*Request_ResourceNotFound"):
        await az.run(changes.command(changes.RemoveOwner(RESEARCH, HEIDI)))
    with pytest.raises(AzError, match="0 roles of the name Nobody"):
        await az.run(changes.command(changes.Assign(HEIDI, "User", "Nobody", ENDPOINT)))
    with pytest.raises(NotACommand):
        await az.run("az group delete --name rg-ml --yes")


async def test_a_role_is_narrowed_in_place(scene: Changing) -> None:
    """Whoever holds it holds what it now permits."""
    scorer = scene.tenant.role(SCORER)
    assert scorer is not None
    scorer["properties"]["permissions"][0]["actions"] = [f"{ML}/*"]
    assert "gate" in able(await scene.snapshot(), f"{ML}/onlineEndpoints/write", ENDPOINT)
    narrow = [{"actions": [SCORE], "notActions": [], "dataActions": [], "notDataActions": []}]
    assert (
        await scene.send("PUT", SCORER, {"properties": {"roleName": "scorer", "permissions": narrow}}) == 200
    )
    found = await scene.snapshot()
    assert "gate" not in able(found, f"{ML}/onlineEndpoints/write", ENDPOINT)
    assert "gate" in able(found, SCORE, ENDPOINT)


async def test_an_assignment_is_narrowed_by_another_in_its_place(scene: Changing) -> None:
    """First the new one, then the old one away: two that are alike are refused."""
    wish = {"principalId": SCIENTISTS, "roleDefinitionId": SCORER, "principalType": "Group"}
    for status, name in ((201, "new"), (409, "again")):
        path = f"{ENDPOINT}{RBAC}/roleAssignments/{made_up_id(name)}"
        assert await scene.send("PUT", path, {"properties": wish}) == status
    old = next(
        one
        for one in scene.tenant.lists["roleAssignments"]
        if "f6c7c914" in one["properties"]["roleDefinitionId"]
    )
    assert await scene.authorization("DELETE", old) == 200
    assert await scene.authorization("DELETE", old) == 204
    found = await scene.snapshot()
    assert "judy" in able(found, SCORE, ENDPOINT)
    assert "judy" not in able(found, f"{ML}/onlineEndpoints/write", ENDPOINT)


async def test_a_seal_is_put_on_and_taken_off(scene: Changing) -> None:
    """A deny assignment for everyone but the gate."""
    everyone = {"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}
    seal = f"{ENDPOINT}{RBAC}/denyAssignments/{made_up_id('seal')}"
    properties = {
        "denyAssignmentName": "seal",
        "denyAssignmentEffect": "enforced",
        "permissions": [{"actions": [SCORE], "notActions": [], "dataActions": [], "notDataActions": []}],
        "principals": [everyone],
        "excludePrincipals": [{"id": scene.gate.oid, "type": "ServicePrincipal"}],
    }
    version = "2024-07-01-preview"
    assert await scene.send("PUT", seal, {"properties": properties}, version=version) == 201
    assert set(able(await scene.snapshot(), SCORE, ENDPOINT)) == {"gate"}
    assert await scene.send("DELETE", seal, version=version) == 200
    assert "heidi" in able(await scene.snapshot(), SCORE, ENDPOINT)


async def test_members_and_owners_come_and_go(scene: Changing) -> None:
    """As `az ad group` does it."""
    group = f"/v1.0/groups/{RESEARCH}"
    assert await scene.send("DELETE", f"{group}/owners/{OSCAR}/$ref") == 204
    assert await scene.send("DELETE", f"{group}/owners/{OSCAR}/$ref") == 404
    assert await scene.send("DELETE", f"{group}/members/{JUDY}/$ref") == 204
    new = {"@odata.id": f"{GRAPH}/v1.0/directoryObjects/{MALLORY}"}
    assert await scene.send("POST", f"{group}/members/$ref", new) == 204
    assert await scene.send("POST", f"{group}/members/$ref", new) == 400
    found = await scene.snapshot()
    assert found.directory.owners[RESEARCH] == ()
    assert able(found, SCORE, ENDPOINT).keys() >= {"mallory"}
    assert "judy" not in able(found, SCORE, ENDPOINT)


REFUSED = {
    "whoever only reads": ("DELETE", f"{ENDPOINT}{RBAC}/roleAssignments/x", "auditor", "2022-04-01", 403),
    "a version that nobody knows": (
        "DELETE",
        f"{ENDPOINT}{RBAC}/roleAssignments/x",
        "alice",
        "2020-01-01",
        400,
    ),
    "no version": ("GET", ENDPOINT, "auditor", "", 400),
    "a list that nothing changes": (
        "DELETE",
        f"{SUBSCRIPTION}{RBAC}/classicAdministrators/x",
        "alice",
        "2015-07-01",
        405,
    ),
    "an assignment that is patched": (
        "PATCH",
        f"{ENDPOINT}{RBAC}/roleAssignments/x",
        "alice",
        "2022-04-01",
        405,
    ),
    "a resource that is deleted twice": ("DELETE", f"{ENDPOINT}-not", "alice", "2025-12-01", 404),
    "a resource that is posted to": ("POST", ENDPOINT, "alice", "2025-12-01", 405),
    "keys": ("POST", f"{ENDPOINT}/listKeys", "alice", "2025-12-01", 404),
    "a resource that is not there": ("PATCH", f"{ENDPOINT}-not", "alice", "2025-12-01", 404),
    "members, by whoever only reads": (
        "DELETE",
        f"/v1.0/groups/{RESEARCH}/members/{JUDY}/$ref",
        "auditor",
        "",
        403,
    ),
    "a group that is not there": ("DELETE", f"/v1.0/groups/{HEIDI}/members/{JUDY}/$ref", "alice", "", 404),
    "a cast without its header": (
        "GET",
        f"/v1.0/groups/{RESEARCH}/members/microsoft.graph.servicePrincipal",
        "auditor",
        "",
        400,
    ),
    "a count without its header": ("GET", f"/v1.0/groups/{RESEARCH}/members/$count", "auditor", "", 400),
}


@pytest.mark.parametrize(("method", "path", "who", "version", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_azure_would_refuse_is_refused(
    scene: Changing, method: str, path: str, who: str, version: str, status: int
) -> None:
    """A fix that only works here is none."""
    assert await scene.send(method, path, {"properties": {}}, version=version, who=who) == status


async def test_a_token_for_one_service_is_none_for_the_other(scene: Changing) -> None:
    """As audiences are there for."""
    for base, path, audience in (
        (scene.arm.url, f"{ENDPOINT}?api-version=2025-12-01", GRAPH),
        (scene.graph.url, f"/v1.0/groups/{RESEARCH}/members", ARM),
    ):
        headers = {"Authorization": f"Bearer {scene.token(audience)}"}
        response = await asyncio.to_thread(requests.get, base + path, headers=headers, timeout=10)
        assert response.status_code == 401


async def test_whoever_is_signed_in_by_azure_identity_collects(
    scene: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a managed identity, as of a pipeline in Azure: DefaultAzureCredential finds it by itself."""
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    async with ManagedIdentity(ENTRA, AUDITOR) as identity:
        for name, value in identity.environment.items():
            monkeypatch.setenv(name, value)
        tokens = signed_in()
        document = await scene.collect(tokens=tokens)
        assert document["unread"] == []
        assert identity.counts["/msi/token"] == 2
