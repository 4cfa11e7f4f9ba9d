"""The endpoints of the local host's Durable Functions, asked by the real SDK's client and by hand."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import azure.durable_functions as df
import pytest
from azure.durable_functions.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus as Status
from azure.durable_functions.models.utils import http_utils

from local.host.durable.binding import Links
from local.host.durable.control import Control
from local.host.durable.rpc import Rpc
from tests.unit.local.host.durables import HOUR, Hub, refuse, upper


def flow(context: df.DurableOrchestrationContext) -> Any:
    """Wait for an event, unless the input says to end or to fail."""
    given = context.get_input()
    context.set_custom_status({"given": given})
    if given == "fail":
        yield context.call_activity("refuse", 1)
    if given == "wait":
        return (yield context.wait_for_external_event("go"))
    return (yield context.call_activity("upper", given))


class Door:
    """A hub behind its endpoints: the SDK's client, and plain requests."""

    def __init__(self, hub: Hub, url: str, control: str, http: aiohttp.ClientSession) -> None:
        self.hub = hub
        self.url = url
        self.control = control
        self.http = http
        binding = Links(hub="TestHubName", origin="http://127.0.0.1:7071").binding(url)
        self.client = df.DurableOrchestrationClient(binding)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Give the status and the JSON of an answer."""
        async with self.http.request(method, self.url + path, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def started(self, given: str, instance: str = "one") -> str:
        """Start an instance and let it run."""
        made = await self.client.start_new("flow", instance, given)
        await self.hub.engine.idle()
        return made


@pytest.fixture
async def door(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[Door]:
    """A hub with its endpoints, and the one that controls it."""
    hub = Hub(tmp_path / "hub.sqlite3", {"flow": flow}, {"upper": upper, "refuse": refuse})
    await hub.open()
    rpc = Rpc(hub.engine, Links(hub="TestHubName", origin="http://127.0.0.1:7071"))
    control = Control(hub.engine)
    yield Door(hub, await rpc.start(), f"http://127.0.0.1:{await control.start(0)}", http)
    await http_utils._close_session()
    await control.stop()
    await rpc.stop()
    await hub.engine.stop()


async def test_unknown_orchestrator_is_400_with_a_reason(door: Door) -> None:
    """The SDK's client raises the extension's sentence."""
    with pytest.raises(Exception, match="The function 'nobody' doesn't exist"):
        await door.client.start_new("nobody", "one", 1)
    status, told = await door.ask("POST", "orchestrators/nobody/one")
    assert status == 400
    assert "doesn't exist" in told["ExceptionMessage"]


async def test_running_id_is_409(door: Door) -> None:
    """And free again when the instance has ended; the message is the framework's."""
    await door.started("wait")
    status, told = await door.ask("POST", "orchestrators/flow/one", json='"b"')
    assert (status, told) == (
        409,
        {"Message": "An Orchestration instance with the status Running already exists."},
    )
    with pytest.raises(Exception, match="already exists"):
        await door.client.start_new("flow", "one", "b")
    await door.client.raise_event("one", "go", 1)
    await door.hub.engine.idle()
    assert await door.started("b") == "one"
    assert (await door.client.get_status("one")).output == "B"


async def test_hidden_conflict_is_202(door: Door) -> None:
    """When it is asked for, a start that comes too late is answered as if it had not."""
    await door.started("wait")
    assert (await door.ask("POST", "orchestrators/flow/one", json='"b"'))[0] == 409
    async with door.http.post(door.control + "/conflicts", json={"hidden": True}) as answer:
        assert answer.status == 204
    assert (await door.ask("POST", "orchestrators/flow/one", json='"b"'))[0] == 202
    assert (await door.client.get_status("one", show_input=True)).input_ == '"wait"'


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        pytest.param("POST", "orchestrators/flow/one", {"data": "{"}, id="a start with no JSON"),
        pytest.param("POST", "orchestrators/flow/@one", {}, id="a start of a forbidden id"),
        pytest.param(
            "POST", "instances/w/raiseEvent/go", {"data": "1"}, id="an event that is not sent as JSON"
        ),
        pytest.param(
            "POST",
            "instances/w/raiseEvent/go",
            {"data": "{", "headers": {"Content-Type": "application/json"}},
            id="an event that is no JSON",
        ),
        pytest.param("DELETE", "instances/", {}, id="a purge of everything"),
        pytest.param(
            "GET", "instances/", {"headers": {"x-ms-continuation-token": "%"}}, id="a token of nobody"
        ),
    ],
)
async def test_malformed_request_is_400(door: Door, method: str, path: str, options: Any) -> None:
    """Nothing happens."""
    await door.started("wait", "w")
    assert (await door.ask(method, path, **options))[0] == 400
    assert door.hub.engine.storage.counts() == {"Running": 1}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "orchestrators/flow"),
        ("PUT", "instances/one"),
        ("POST", "instances/one/nonsense"),
        ("GET", "elsewhere"),
        ("POST", "instances/one/raiseEvent/go/more"),
        ("GET", "../other"),
    ],
)
async def test_unknown_path_is_404(door: Door, method: str, path: str) -> None:
    """What the extension has no route for."""
    await door.started("wait")
    assert (await door.ask(method, path))[0] == 404


@pytest.mark.parametrize("operation", ["rewind", "restart", "suspend", "resume"])
async def test_unsupported_operation_is_501(door: Door, operation: str) -> None:
    """The SDK's client raises, too."""
    await door.started("wait")
    status, told = await door.ask("POST", f"instances/one/{operation}?reason=x")
    assert (status, told) == (501, {"Message": f"The local host does not support {operation}."})
    with pytest.raises(Exception, match=r"501|not support"):
        await getattr(door.client, operation)("one", "x")
    assert (await door.ask("POST", "entities/counter/1?op=add", json=1))[0] == 501


async def test_absent_instance_is_404(door: Door) -> None:
    """For every operation; the SDK's status of it is false."""
    assert not await door.client.get_status("nobody")
    with pytest.raises(Exception, match="No instance with ID nobody"):
        await door.client.raise_event("nobody", "go", 1)
    with pytest.raises(Exception, match="No instance with ID 'nobody'"):
        await door.client.terminate("nobody", "x")
    assert (await door.client.purge_instance_history("nobody")).instances_deleted == 0


async def test_ended_instance_is_gone(door: Door) -> None:
    """410 for an event; terminating it does nothing and is no error to the SDK."""
    await door.started("a")
    assert (await door.ask("POST", "instances/one/terminate?reason=x"))[0] == 410
    with pytest.raises(Exception, match="is gone"):
        await door.client.raise_event("one", "go", 1)
    await door.client.terminate("one", "x")
    assert (await door.client.get_status("one")).runtime_status is Status.Completed


async def test_running_instance_is_not_purged(door: Door) -> None:
    """412 until it has ended; then nothing is left of it."""
    await door.started("wait")
    assert (await door.ask("DELETE", "instances/one"))[0] == 412
    await door.client.terminate("one", "enough")
    await door.hub.engine.idle()
    status = await door.client.get_status("one")
    assert (status.runtime_status, status.output) == (Status.Terminated, "enough")
    assert (await door.client.purge_instance_history("one")).instances_deleted == 1
    assert not await door.client.get_status("one")


async def test_unavailable_storage_is_500(door: Door) -> None:
    """F44: start, event, termination, status and list fail, and nothing of it happens later."""
    await door.started("wait")
    async with door.http.post(door.control + "/outage", json={"seconds": 60}) as answer:
        assert answer.status == 204
    for method, path in (
        ("POST", "orchestrators/flow/two"),
        ("POST", "instances/one/terminate"),
        ("GET", "instances/one"),
        ("GET", "instances/"),
        ("DELETE", "instances/one"),
    ):
        status, told = await door.ask(method, path)
        assert (status, told["Message"]) == (500, "Something went wrong while processing your request")
    with pytest.raises(Exception, match="unrecognized status code 500"):
        await door.client.raise_event("one", "go", 1)
    async with door.http.post(door.control + "/clock", json={"advance": 60}) as answer:
        assert answer.status == 200
    await door.hub.engine.idle()
    assert door.hub.engine.storage.counts() == {"Running": 1}


async def test_status_tells_what_there_is(door: Door) -> None:
    """202 while it runs, with where to look; times in whole seconds; input as the JSON text that the client sent."""
    await door.started("wait")
    async with door.http.get(door.url + "instances/one") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (202, "5")
        assert answer.headers["Location"] == door.url + "instances/one"
        assert await answer.json() == {
            "name": "flow",
            "instanceId": "one",
            "runtimeStatus": "Running",
            "input": '"wait"',
            "customStatus": {"given": "wait"},
            "output": None,
            "createdTime": "2026-01-01T00:00:00Z",
            "lastUpdatedTime": "2026-01-01T00:00:00Z",
        }
    assert (await door.ask("GET", "instances/one?showInput=false"))[1]["input"] is None
    await door.client.raise_event("one", "go", {"a": 1})
    await door.hub.engine.idle()
    status, told = await door.ask("GET", "instances/one")
    assert (status, told["output"]) == (200, '{"a": 1}')


async def test_failed_instance_is_200_unless_asked_otherwise(door: Door) -> None:
    """Its output is the reason."""
    await door.started("fail")
    assert (await door.ask("GET", "instances/one"))[0] == 200
    assert (await door.ask("GET", "instances/one?returnInternalServerErrorOnFailure=true"))[0] == 500
    status = await door.client.get_status("one")
    assert status.runtime_status is Status.Failed
    assert status.output.startswith("Orchestrator function 'flow' failed: Activity function 'refuse' failed")


async def test_history_is_shown_when_asked_for(door: Door) -> None:
    """Names for types, what was called with its result where that was asked for, and no inputs."""
    await door.started("abc")
    _, told = await door.ask("GET", "instances/one?showHistory=true&showHistoryOutput=true")
    events = told["historyEvents"]
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted",
        "TaskCompleted",
        "ExecutionCompleted",
    ]
    assert (events[1]["FunctionName"], events[1]["Result"]) == ("upper", "ABC")
    assert not any("Input" in event for event in events)
    _, told = await door.ask("GET", "instances/one?showHistory=true")
    assert not any("Result" in event for event in told["historyEvents"])


async def test_start_answers_with_links_to_the_webhooks(door: Door) -> None:
    """I07: they hold a key that opens every instance, so an app must never pass them on."""
    async with door.http.post(door.url + "orchestrators/flow", json='"a"') as answer:
        links = await answer.json()
        assert (answer.status, answer.headers["Retry-After"]) == (202, "10")
        assert answer.headers["Location"] == links["statusQueryGetUri"]
    assert "/runtime/webhooks/durabletask/instances/" + links["id"] in links["statusQueryGetUri"]
    assert "&code=" in links["terminatePostUri"]
    payload = door.client.create_http_management_payload("one")
    assert payload["purgeHistoryDeleteUri"].startswith("http://127.0.0.1:7071/runtime/webhooks/")


async def test_list_comes_in_pages(door: Door) -> None:
    """By id, a hundred at a time unless `top` says otherwise, with a header that leads on and is empty at the end.

    The SDK's client reads the first page alone.
    """
    ids = [f"a-{number:03}" for number in range(150)]
    for instance in [*ids, "b-000"]:
        door.hub.engine.start_new("flow", json.dumps('"a"'), instance)
    await door.hub.engine.idle()
    assert len(await door.client.get_status_by(instance_id_prefix="a-")) == 100
    for top, pages in (
        ("", [100, 50]),
        ("&top=60", [60, 60, 30]),
        ("&top=150", [150]),
        ("&top=x", [100, 50]),
    ):
        seen: list[str] = []
        sizes = []
        token = ""
        while True:
            headers = {"x-ms-continuation-token": token} if token else {}
            url = f"{door.url}instances/?instanceIdPrefix=a-{top}"
            async with door.http.get(url, headers=headers) as answer:
                page = await answer.json()
                token = answer.headers["x-ms-continuation-token"]
            sizes.append(len(page))
            seen += [one["instanceId"] for one in page]
            if not token:
                break
        assert (sizes, seen) == (pages, ids), top


async def test_list_is_narrowed(door: Door) -> None:
    """By prefix, status and time of creation; a status that is none narrows nothing, as with the extension."""
    await door.started("a", "a-1")
    door.hub.engine.advance(HOUR)
    await door.started("wait", "a-2")
    await door.started("fail", "b-3")

    async def found(query: str) -> list[str]:
        _, told = await door.ask("GET", "instances/?" + query)
        return [one["instanceId"] for one in told]

    assert await found("instanceIdPrefix=a-") == ["a-1", "a-2"]
    assert await found("instanceIdPrefix=A-") == []
    assert await found("runtimeStatus=Running,Pending") == ["a-2"]
    assert await found("runtimeStatus=Failed,Nonsense") == ["b-3"]
    assert await found("runtimeStatus=Nonsense") == ["a-1", "a-2", "b-3"]
    assert await found("createdTimeFrom=2026-01-01T00:30:00Z&showInput=false") == ["a-2", "b-3"]
    assert await found("createdTimeTo=2026-01-01T00:30:00Z") == ["a-1"]
    running = await door.client.get_status_by(runtime_status=[Status.Running], instance_id_prefix="a-")
    assert [one.instance_id for one in running] == ["a-2"]
    assert len(await door.client.get_status_all()) == 3


async def test_purge_by_time_leaves_what_runs(door: Door) -> None:
    """Only instances that have ended go; 404 when there is none."""
    for number in range(120):
        door.hub.engine.start_new("flow", json.dumps('"a"'), f"i{number}")
    await door.started("wait", "running")
    since = datetime(2025, 12, 31, tzinfo=UTC)
    assert (await door.client.purge_instance_history_by(since)).instances_deleted == 120
    assert (await door.client.purge_instance_history_by(since)).instances_deleted == 0
    later = since + timedelta(days=2)
    assert (await door.client.purge_instance_history_by(later)).instances_deleted == 0
    assert door.hub.engine.storage.counts() == {"Running": 1}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/crash", {"json": {"at": "during", "step": "start"}}),
        ("/crash", {"json": {"at": "before", "step": "start", "more": 1}}),
        ("/clock", {"data": '{"advance": 1}'}),
        ("/clock", {"data": "{", "headers": {"Content-Type": "application/json"}}),
        ("/outage", {"json": []}),
        ("/clock", {"json": {}}),
        ("/clock", {"json": {"advance": -1}}),
    ],
)
async def test_control_refuses_what_it_does_not_know(door: Door, path: str, options: Any) -> None:
    """A slip in a test is told; and so is a body that a web page could send unasked."""
    async with door.http.post(door.control + path, **options) as answer:
        assert answer.status == 400


async def test_control_tells_of_instances(door: Door) -> None:
    """How many there are, and how long a history is."""
    await door.started("abc")
    async with door.http.get(door.control + "/instances") as answer:
        assert await answer.json() == {"Completed": 1}
    async with door.http.get(door.control + "/instances/one") as answer:
        told = await answer.json()
    assert told.pop("bytes") > 500
    assert told == {"status": "Completed", "events": 8, "peak": 8, "generation": 0}
    async with door.http.get(door.control + "/instances/two") as answer:
        assert answer.status == 404


async def test_crash_in_a_request_leaves_it_unanswered(door: Door) -> None:
    """F39: the caller cannot know whether it was accepted."""
    async with door.http.post(door.control + "/crash", json={"at": "after", "step": "start"}) as answer:
        assert answer.status == 204
    with pytest.raises(aiohttp.ClientError):
        await door.ask("POST", "orchestrators/flow/one", json='"a"')
    await door.hub.again()
    assert door.hub.engine.storage.counts() == {"Completed": 1}
