"""What is registered for batch endpoints, and how an activity begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.durable_functions import DurableOrchestrationClient

from shared.app import App, build
from shared.hosting import classic, streaming
from shared.hosting.jobs import ACTIVITIES, RETRY, NotWired, register_jobs
from shared.hosting.registration import register
from shared.job import ORCHESTRATOR
from shared.jobs import ids, steps
from shared.jobs.activities import ActivityFailed
from shared.jobs.store import NOTE, DurableStore
from shared.settings import Settings
from shared.surface import ADDRESSES
from tests.fakes import ALICE, TENANT

DURABLE = {name for name, address in ADDRESSES.items() if address.durable}
MODES: dict[str, Callable[..., Any]] = {
    "classic": classic.durable_function_for,
    "stream": streaming.durable_function_for,
}


def a_gate(policy: Path, **env: str) -> App:
    """Return an app with jobs whose policy is broken, for it is not there."""
    return build(
        Settings.from_env(
            {"GROUPGATE_TENANT_ID": TENANT, "GROUPGATE_POLICY": str(policy), "GROUPGATE_JOBS": "on", **env}
        )
    )


def functions(gate: App, mode: str = "classic") -> dict[str, Any]:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    register_jobs(app, MODES[mode], gate)
    return {function.get_function_name(): function for function in app.get_functions()}


def bindings(function: Any) -> dict[str, dict[str, Any]]:
    described = json.loads(str(function.get_function_json()))
    return {binding["type"]: binding for binding in described["bindings"]}


class NoInstance:
    """A durable client that knows nothing; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get_status(self, instance: str, *, show_input: bool) -> Any:
        assert show_input
        self.asked.append(instance)
        return type("Blank", (), {"runtime_status": None})


@pytest.mark.parametrize("mode", MODES)
def test_e10_no_host_key_opens_or_identifies_anything(mode: str, tmp_path: Path) -> None:
    """E10: the addresses of jobs are anonymous to the host as all others are, and bound to no method."""
    found = functions(a_gate(tmp_path), mode)
    triggers = [bindings(found[name])["httpTrigger"] for name in DURABLE]
    assert {str(trigger["authLevel"]).upper() for trigger in triggers} == {"ANONYMOUS"}
    assert not [trigger for trigger in triggers if trigger.get("methods")]


@pytest.mark.parametrize("mode", MODES)
def test_everything_a_job_needs_is_a_function(mode: str, tmp_path: Path) -> None:
    """Durable finds orchestrators and activities by name; what asks it or is asked by it has a client."""
    found = functions(a_gate(tmp_path), mode)
    assert set(found) == DURABLE | {ORCHESTRATOR, NOTE} | set(ACTIVITIES)
    assert {name: bindings(found[name])["httpTrigger"]["route"] for name in DURABLE} == {
        name: ADDRESSES[name].template for name in DURABLE
    }
    for name in DURABLE | set(ACTIVITIES):
        assert bindings(found[name])["durableClient"]["name"] == "client"
    for name in (ORCHESTRATOR, NOTE):
        assert bindings(found[name])["orchestrationTrigger"]["name"] == "context"
    for name in ACTIVITIES:
        assert bindings(found[name])["activityTrigger"]["name"] == "job"


def test_no_name_is_registered_twice(tmp_path: Path) -> None:
    """The host refuses an app in which two functions have one name."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    gate = a_gate(tmp_path)
    register(app, classic.function_for, gate.handle)
    register_jobs(app, classic.durable_function_for, gate)
    names = [function.get_function_name() for function in app.get_functions()]
    assert len(names) == len(set(names))
    assert set(ADDRESSES) <= set(names)


@pytest.mark.parametrize("name", sorted(DURABLE | set(ACTIVITIES)))
def test_what_the_host_gives_becomes_the_librarys_client(name: str, tmp_path: Path) -> None:
    """The worker checks annotations: the client comes as text, and each function has the rich one made of it."""
    served = functions(a_gate(tmp_path))[name].get_user_function()
    assert served.__annotations__["client"] is str
    assert set(served.client_function.__code__.co_varnames[:2]) == {
        "client",
        "req" if name in DURABLE else "job",
    }


@pytest.mark.parametrize("name", ACTIVITIES)
@pytest.mark.parametrize("given", [None, 5, "", "x", {"job": "x"}, ["x"], "note.key.1", "A" * 58])
async def test_e10_an_activity_that_is_given_no_id_asks_nobody(
    name: str, given: object, tmp_path: Path
) -> None:
    """E10: with a key of the host one can call an activity by hand, with anything: then it does nothing."""
    client = NoInstance()
    served = functions(a_gate(tmp_path))[name].get_user_function().client_function
    answer = await served(job=given, client=client)
    assert client.asked == []
    json.dumps(answer)


@pytest.mark.parametrize("name", ACTIVITIES)
async def test_e10_an_activity_does_nothing_for_a_job_that_is_not_there(name: str, tmp_path: Path) -> None:
    """E10: what it may do is in the store and nowhere else."""
    client, job = NoInstance(), ids.new_job("churn", TENANT, ALICE)
    served = functions(a_gate(tmp_path))[name].get_user_function().client_function
    if name == steps.NOTIFY:  # the one that Durable tries again: what is not there now may be there then
        with pytest.raises(ActivityFailed, match="no such job"):
            await served(job=job, client=client)
    else:
        assert not (await served(job=job, client=client)).get("ended")
    assert client.asked == [job]


@pytest.mark.parametrize("name", ACTIVITIES)
async def test_s18_with_a_wrong_setting_an_activity_fails_and_says_which_kind(
    name: str, tmp_path: Path
) -> None:
    """S18, I01: nothing is sent with settings in doubt; the text that Durable keeps holds none of them."""
    gate = a_gate(tmp_path, GROUPGATE_CREDENTIAL="MARKER")
    served = functions(gate)[name].get_user_function().client_function
    with pytest.raises(NotWired) as raised:
        await served(job="x", client=NoInstance())
    assert str(raised.value) == "gateway-misconfigured (misconfigured)"
    assert raised.value.__suppress_context__


async def test_a_call_of_a_jobs_address_brings_its_store() -> None:
    """Inbound.jobs: over the client that this call was given, and over no other's."""
    seen = []

    async def handle(inbound: Any) -> Any:
        seen.append(inbound.jobs)
        raise LookupError

    client = object()
    request = func.HttpRequest(
        "GET", "/endpoints/churn/jobs", headers={}, route_params={"name": "churn"}, body=b""
    )
    with pytest.raises(LookupError):
        await classic.durable_function_for("jobs", handle, DurableStore)(request, client=client)
    with pytest.raises(LookupError):
        await classic.function_for("score", handle)(request)
    (store, none) = seen
    assert isinstance(store, DurableStore)
    assert store._client is client
    assert none is None


def test_the_client_library_is_the_one_that_the_store_was_written_for() -> None:
    """JobStore: 2.x is another product; a method that is gone would be found in Azure only."""
    for name in ("start_new", "get_status", "get_status_by", "raise_event"):
        assert callable(getattr(DurableOrchestrationClient, name))


def test_telling_the_end_is_tried_for_about_two_hours() -> None:
    """Batch: a receiver that is down for a while is told all the same; one that is gone for good, not for ever."""
    seconds = RETRY.first_retry_interval_in_milliseconds * RETRY.max_number_of_attempts / 1000
    assert 3600 <= seconds <= 4 * 3600
