"""The real Azure ML inference server behind the front's stand-in."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from local.azureml import AUDIENCE, AzureML
from local.children import ChildError, child, free_port
from local.directory import contoso
from local.entra import Entra
from local.model import EXAMPLE
from local.stack import inference_server


async def test_the_real_server_predicts_fails_and_describes_itself(tmp_path: Path) -> None:
    """A prediction is 200, an exception in the scoring script 424, and swagger.json names the input."""
    port = free_port()
    entra = Entra(contoso())
    gate = entra.directory.apps["gate"].oid
    front = AzureML(entra, {"blue": f"http://127.0.0.1:{port}"}, may_score={gate})
    async with inference_server(tmp_path, port) as server, entra, front, aiohttp.ClientSession() as http:
        await server.ready()
        bearer = {"Authorization": f"Bearer {entra.token('gate', audience=AUDIENCE, version='1.0')}"}
        async with http.post(f"{front.url}/score", json={"data": EXAMPLE}, headers=bearer) as answer:
            assert (answer.status, await answer.json()) == (200, {"prediction": ["setosa"]})
            assert answer.headers["x-ms-server-version"].startswith("azmlinfsrv/")
        async with http.post(f"{front.url}/score", json={"data": [[1.0]]}, headers=bearer) as answer:
            assert answer.status == 424
            assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
            assert answer.headers["x-ms-run-function-failed"] == "True"
        async with http.get(f"{front.url}/swagger.json", headers=bearer) as answer:
            assert "data" in (await answer.json())["definitions"]["ServiceInput"]["properties"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Waiting for a child that ended does not wait for the deadline."""
    command = ["/bin/sh", "-c", "echo the reason; exit 3"]
    async with child("it", command, env={}, log=tmp_path / "log", port=9) as running:
        with pytest.raises(ChildError, match=r"it ended with status 3:\nthe reason"):
            await running.ready()


async def test_a_child_that_never_answers_is_reported(tmp_path: Path) -> None:
    """The deadline is told, and the child is stopped even if it ignores SIGTERM."""
    command = ["/bin/sh", "-c", "trap '' TERM; echo waiting; while :; do sleep 0.2; done"]
    port = free_port()
    with pytest.raises(ChildError, match="did not answer"):
        async with child(
            "it", command, env={"PATH": "/bin:/usr/bin"}, log=tmp_path / "log", port=port
        ) as running:
            await running.ready(within=0.3)
