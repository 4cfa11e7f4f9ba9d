"""The Graph stand-in: typed paths, limits, the gate's token, nested groups."""

from typing import Any

import aiohttp
import pytest

from local.directory import CONTRACTORS, FRAUD_ANALYSTS, ML_ENGINEERS, Directory
from local.entra import Entra
from local.graph import AUDIENCE, Graph
from tests.unit.local.conftest import bearer


async def ask(
    http: aiohttp.ClientSession, graph: Graph, path: str, ids: list[str], token: str | None = None
) -> tuple[int, Any]:
    token = token or graph.entra.token("gate", audience=AUDIENCE, version="1.0")
    url = f"{graph.url}/v1.0/{path}/checkMemberGroups"
    async with http.post(url, json={"groupIds": ids}, headers=bearer(token)) as answer:
        return answer.status, await answer.json()


@pytest.fixture
async def graph(directory: Directory, entra: Entra) -> Any:
    async with Graph(directory, entra) as running:
        yield running


async def test_more_than_20_ids_are_a_bad_request(graph: Graph, http: aiohttp.ClientSession) -> None:
    """The limit of `checkMemberGroups`."""
    alice = graph.directory.people["alice"].oid
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(21)]
    assert (await ask(http, graph, f"users/{alice}", ids))[0] == 400
    assert (await ask(http, graph, f"users/{alice}", ids[:20]))[0] == 200
    assert (await ask(http, graph, f"users/{alice}", ["no-guid"]))[0] == 400


async def test_the_wrong_kind_or_nobody_is_not_found(graph: Graph, http: aiohttp.ClientSession) -> None:
    """Typed paths: a user is no service principal."""
    alice, nightly = graph.directory.people["alice"].oid, graph.directory.apps["nightly"].oid
    for path in (f"servicePrincipals/{alice}", f"users/{nightly}", "users/alice"):
        status, body = await ask(http, graph, path, [FRAUD_ANALYSTS])
        assert (status, body["error"]["code"]) == (404, "Request_ResourceNotFound")


async def test_only_the_gates_identity_may_ask(graph: Graph, http: aiohttp.ClientSession) -> None:
    """Another audience is 401; another identity, which has no permission, 403."""
    alice = f"users/{graph.directory.people['alice'].oid}"
    other = graph.entra.token("gate", audience="https://ml.azure.com", version="1.0")
    assert (await ask(http, graph, alice, [FRAUD_ANALYSTS], other))[0] == 401
    nightly = graph.entra.token("nightly", audience=AUDIENCE, version="1.0")
    status, body = await ask(http, graph, alice, [FRAUD_ANALYSTS], nightly)
    assert (status, body["error"]["code"]) == (403, "Authorization_RequestDenied")


async def test_the_answer_names_only_what_was_asked_and_holds(
    graph: Graph, http: aiohttp.ClientSession
) -> None:
    """Members and apps alike; groups that were not asked stay unsaid."""
    erin, nightly = graph.directory.people["erin"].oid, graph.directory.apps["nightly"].oid
    assert (await ask(http, graph, f"users/{erin}", [FRAUD_ANALYSTS, ML_ENGINEERS]))[1]["value"] == [
        FRAUD_ANALYSTS
    ]
    assert (await ask(http, graph, f"users/{erin}", [CONTRACTORS]))[1]["value"] == [CONTRACTORS]
    assert (await ask(http, graph, f"servicePrincipals/{nightly}", [FRAUD_ANALYSTS]))[1]["value"] == [
        FRAUD_ANALYSTS
    ]
    assert graph.counts["/v1.0/users/{oid}/checkMemberGroups"] == 2


async def test_membership_is_transitive(graph: Graph, http: aiohttp.ClientSession) -> None:
    """A member of a group in a group is a member; a ring of groups ends."""
    bob = graph.directory.people["bob"].oid
    graph.directory.add("fraud-analysts", "marketing")
    graph.directory.add("marketing", "fraud-analysts")
    assert (await ask(http, graph, f"users/{bob}", [FRAUD_ANALYSTS]))[1]["value"] == [FRAUD_ANALYSTS]


async def test_the_directory_changes_over_http(graph: Graph, http: aiohttp.ClientSession) -> None:
    """PUT adds, DELETE removes, unknown names are 404."""
    bob = graph.directory.people["bob"].oid
    member = f"{graph.url}/_directory/groups/fraud-analysts/members/bob"
    for change, groups in ((http.put, [FRAUD_ANALYSTS]), (http.delete, [])):
        async with change(member) as answer:
            assert answer.status == 204
        assert (await ask(http, graph, f"users/{bob}", [FRAUD_ANALYSTS]))[1]["value"] == groups
    async with http.put(member + "by") as answer:
        assert answer.status == 404
    async with http.get(f"{graph.url}/_directory") as answer:
        assert (await answer.json())["bob"]["groups"] == ["marketing"]
