"""The Azure ML front, before a fake inference server."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from local.azureml import AUDIENCE, DEPLOYMENT, AzureML
from local.entra import Entra
from local.standin import StandIn
from tests.unit.local.conftest import bearer


class FakeScorer(StandIn):
    """Answers what the request's body asks for."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/score", self._score), web.get("/swagger.json", self._swagger)]

    async def _score(self, request: web.Request) -> web.Response:
        wished = await request.json()
        await asyncio.sleep(wished.get("sleep", 0))
        headers = {"x-ms-run-function-failed": "False", "x-ms-run-fn-exec-ms": "1.2", "x-hostile": "1"}
        return web.json_response({"prediction": 1}, status=wished.get("status", 200), headers=headers)

    async def _swagger(self, _: web.Request) -> web.Response:
        return web.json_response({"swagger": "2.0"})


@pytest.fixture
async def azureml(entra: Entra) -> AsyncIterator[AzureML]:
    gate = entra.directory.apps["gate"].oid
    async with (
        FakeScorer() as scorer,
        AzureML(entra, {"blue": scorer.url, "green": scorer.url}, may_score={gate}) as running,
    ):
        yield running


def gate_token(azureml: AzureML) -> dict[str, str]:
    return bearer(azureml.entra.token("gate", audience=AUDIENCE, version="1.0"))


async def test_no_token_or_one_for_elsewhere_is_401(azureml: AzureML, http: aiohttp.ClientSession) -> None:
    """The front checks signature, time and audience."""
    wrong = azureml.entra.token("gate", audience="https://management.azure.com", version="1.0")
    expired = azureml.entra.token("gate", audience=AUDIENCE, version="1.0", age=7200)
    for headers in ({}, bearer(wrong), bearer(expired), bearer("x")):
        async with http.post(f"{azureml.url}/score", json={}, headers=headers) as answer:
            assert answer.status == 401


async def test_a_caller_without_the_azure_role_is_403(azureml: AzureML, http: aiohttp.ClientSession) -> None:
    """Membership of any group does not help: the role decides."""
    token = azureml.entra.token("alice", audience=AUDIENCE, version="1.0")
    async with http.post(f"{azureml.url}/score", json={}, headers=bearer(token)) as answer:
        assert answer.status == 403
        assert "denied by policy" in await answer.text()


async def test_the_gates_identity_scores(azureml: AzureML, http: aiohttp.ClientSession) -> None:
    """The model's answer with the front's own headers and none of the container's others."""
    async with http.post(f"{azureml.url}/score", json={}, headers=gate_token(azureml)) as answer:
        assert (answer.status, await answer.json()) == (200, {"prediction": 1})
        assert answer.headers["server"] == "azureml-frontdoor"
        assert answer.headers[DEPLOYMENT] == "blue"
        assert answer.headers["x-ms-run-function-failed"] == "False"
        assert "x-hostile" not in answer.headers
    async with http.get(f"{azureml.url}/swagger.json", headers=gate_token(azureml)) as answer:
        assert await answer.json() == {"swagger": "2.0"}


async def test_deployments_by_name_and_by_traffic(azureml: AzureML, http: aiohttp.ClientSession) -> None:
    """The header forces one; without it the traffic rules choose; nothing to choose is 404."""
    url, gate = f"{azureml.url}/score", gate_token(azureml)
    async with http.post(url, json={}, headers=gate | {DEPLOYMENT: "green"}) as answer:
        assert answer.headers[DEPLOYMENT] == "green"
    async with http.post(url, json={}, headers=gate | {DEPLOYMENT: "red"}) as answer:
        assert answer.status == 404
    azureml.traffic = {"blue": 0, "green": 100}
    async with http.post(url, json={}, headers=gate) as answer:
        assert answer.headers[DEPLOYMENT] == "green"
    azureml.traffic = {"blue": 0}
    async with http.post(url, json={}, headers=gate) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("status", [400, 415, 500])
async def test_a_failing_model_is_424(azureml: AzureML, http: aiohttp.ClientSession, status: int) -> None:
    """Whatever the container answers but 200, with its status and reason in the headers."""
    async with http.post(
        f"{azureml.url}/score", json={"status": status}, headers=gate_token(azureml)
    ) as answer:
        assert answer.status == 424
        assert answer.headers["ms-azureml-model-error-statuscode"] == str(status)
        assert answer.headers["ms-azureml-model-error-reason"]


async def test_a_slow_model_is_408(azureml: AzureML, http: aiohttp.ClientSession) -> None:
    """Longer than `request_timeout_ms`."""
    azureml.request_timeout = 0.1
    async with http.post(f"{azureml.url}/score", json={"sleep": 5}, headers=gate_token(azureml)) as answer:
        assert answer.status == 408
