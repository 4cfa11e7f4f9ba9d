"""Fault switches, the same on every stand-in; here on Entra's key route and on the managed identity."""

import asyncio

import aiohttp
import pytest

from local.directory import TENANT
from local.entra import Entra
from local.standin import AZURE_VARIABLES, refuse_in_azure


def keys_of(entra: Entra) -> str:
    return f"{entra.url}/{TENANT}/discovery/v2.0/keys"


@pytest.mark.parametrize("variable", AZURE_VARIABLES)
def test_stand_ins_refuse_where_azure_is(variable: str) -> None:
    """S18: each variable that says "in Azure" stops a stand-in from starting; an empty one is an unset one."""
    with pytest.raises(RuntimeError, match=variable):
        refuse_in_azure({variable: "x"})
    refuse_in_azure({variable: ""})


async def test_start_checks_for_azure(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18: starting reads the real environment."""
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "x")
    with pytest.raises(RuntimeError):
        await Entra(entra.directory).start()


async def test_a_taken_port_is_named(entra: Entra) -> None:
    """A second stand-in on the same port fails with its name and the port."""
    with pytest.raises(OSError, match=f"Entra cannot listen on port {entra.port}"):
        await Entra(entra.directory, port=entra.port).start()


async def test_status_with_body_and_headers_a_number_of_times(
    entra: Entra, http: aiohttp.ClientSession
) -> None:
    """`times` counts down, then the service works again."""
    entra.faults.set(status=429, body="slow", headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        async with http.get(keys_of(entra)) as answer:
            assert (answer.status, await answer.text(), answer.headers["Retry-After"]) == (429, "slow", "7")
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 200
    assert entra.counts["/{tenant}/discovery/v2.0/keys"] == 3


async def test_a_fault_for_one_path_spares_the_others(entra: Entra, http: aiohttp.ClientSession) -> None:
    """`path` limits a fault to the requests that contain it."""
    entra.faults.set(status=500, path="/keys")
    async with http.get(f"{entra.url}/{TENANT}/v2.0/.well-known/openid-configuration") as answer:
        assert answer.status == 200
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 500


async def test_refuse_resets_the_connection(entra: Entra, http: aiohttp.ClientSession) -> None:
    """The caller gets a connection error and no answer."""
    entra.faults.set(refuse=True)
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await http.get(keys_of(entra))


async def test_a_stopped_stand_in_refuses_and_comes_back_on_its_port(
    entra: Entra, http: aiohttp.ClientSession
) -> None:
    """Refused connections: stop and start again."""
    await entra.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(keys_of(entra))
    await entra.start()
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 200


async def test_cut_sends_headers_and_half_then_resets(entra: Entra, http: aiohttp.ClientSession) -> None:
    """The caller sees a 200 whose body never ends."""
    entra.faults.set(cut=True)
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
            await answer.read()


async def test_garbage_is_not_json(entra: Entra, http: aiohttp.ClientSession) -> None:
    """200 and application/json, and yet no JSON."""
    entra.faults.set(garbage=True)
    async with http.get(keys_of(entra)) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        with pytest.raises(ValueError):
            await answer.json()


async def test_silence_never_answers_and_does_not_hold_up_the_end(
    entra: Entra, http: aiohttp.ClientSession
) -> None:
    """The caller's own deadline ends it; stopping the stand-in does not wait for it."""
    entra.faults.set(silence=True)
    with pytest.raises(TimeoutError):
        await http.get(keys_of(entra), timeout=aiohttp.ClientTimeout(total=0.1))
    async with asyncio.timeout(3):
        await entra.stop()


async def test_latency_comes_before_the_true_answer(entra: Entra, http: aiohttp.ClientSession) -> None:
    """A slow answer is a right one."""
    entra.faults.set(latency=0.2)
    started = asyncio.get_running_loop().time()
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 200
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_faults_are_settable_over_http(entra: Entra, http: aiohttp.ClientSession) -> None:
    """PUT sets, GET shows, DELETE clears, and none of them is faulty itself."""
    async with http.put(f"{entra.url}/_faults", json={"status": 503, "times": 5}) as answer:
        assert answer.status == 204
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 503
    async with http.get(f"{entra.url}/_faults") as answer:
        shown = await answer.json()
        assert (shown["status"], shown["left"]) == (503, 4)
    await http.delete(f"{entra.url}/_faults")
    async with http.get(keys_of(entra)) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "wrong", [{"refuse": True, "garbage": True}, {"statsu": 500}, {"status": "x"}, {"times": 0}]
)
async def test_a_switch_that_does_not_exist_is_an_error(
    entra: Entra, http: aiohttp.ClientSession, wrong: dict[str, object]
) -> None:
    """A misspelt or contradictory fault says so instead of doing nothing."""
    with pytest.raises(ValueError):
        entra.faults.set(**wrong)
    async with http.put(f"{entra.url}/_faults", json=wrong) as answer:
        assert answer.status == 400
