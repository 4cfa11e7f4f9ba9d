"""Durable Functions of the local host through the real worker library and the real SDK, in both hosting modes, killed for real."""

import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.host.hosts import PATIENCE, Answer, Host, launch

FUNCTIONS = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    given = context.get_input()
    word = yield context.call_activity("upper", given)
    context.set_custom_status({"word": word})
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    told = yield context.wait_for_external_event("go")
    return [word, told, (yield context.call_activity_with_retry("look", df.RetryOptions(1000, 3), context.instance_id))]


@app.activity_trigger(input_name="word")
def upper(word: str) -> str:
    logging.warning("upper runs")
    with open("runs.txt", "a") as runs:
        runs.write(word + "\\n")
    return word.upper()


@app.activity_trigger(input_name="job")
@app.durable_client_input(client_name="client")
async def look(job: str, client) -> dict:
    status = await client.get_status(job, show_input=True)
    return {"input": status.input_, "custom": status.custom_status}


@app.orchestration_trigger(context_name="context")
def slow(context):
    return (yield context.call_activity("sleep", context.get_input()))


@app.activity_trigger(input_name="seconds")
async def sleep(seconds: float) -> str:
    print("sleep has started", flush=True)
    await asyncio.sleep(seconds)
    return "slept"


@app.orchestration_trigger(context_name="context")
def careless(context):
    try:
        yield context.call_activity("cancelled", 1)
    except Exception as error:
        return str(error)


@app.activity_trigger(input_name="nothing")
async def cancelled(nothing: int) -> str:
    raise asyncio.CancelledError


async def act(client, name, instance, body):
    try:
        if name == "status":
            status = await client.get_status(instance)
            return 200, status.to_json() if status else None
        if name == "go":
            return 200, await client.raise_event(instance, "go", json.loads(body))
        return 202, await client.start_new(name, instance, json.loads(body))
    except Exception as error:
        return 500, str(error)
"""
HEADS = {
    "classic": """
import asyncio, json, logging
from datetime import timedelta
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="{name}/{instance}")
@app.durable_client_input(client_name="client")
async def door(req: func.HttpRequest, client) -> func.HttpResponse:
    status, told = await act(client, req.route_params["name"], req.route_params["instance"], req.get_body())
    return func.HttpResponse(json.dumps(told), status_code=status)
""",
    "stream": """
import asyncio, json, logging
from datetime import timedelta
import azure.functions as func
import azure.durable_functions as df
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="{name}/{instance}")
@app.durable_client_input(client_name="client")
async def door(req: Request, client) -> Response:
    status, told = await act(client, req.path_params["name"], req.path_params["instance"], await req.body())
    return JSONResponse(told, status_code=status)
""",
}
SETTINGS = {"extensions": {"http": {"routePrefix": ""}}}


class App:
    """A running app and what its host offers besides."""

    def __init__(self, host: Host) -> None:
        self.host = host
        lines = dict(
            re.findall(r"^(DURABLE|CONTROL) http://127\.0\.0\.1:(\d+)/", str(host.out), re.MULTILINE)
        )
        self.rpc = int(lines["DURABLE"])
        self.control = int(lines["CONTROL"])

    def ask(self, path: str, body: object = None) -> Answer:
        """Ask the app's own door."""
        content = json.dumps(body).encode()
        return self.host.ask(f"POST {path} HTTP/1.1\nContent-Length: {len(content)}", content)

    def tell(self, path: str, body: object) -> Any:
        """Ask the door of control."""
        status, content = request(self.control, "POST", path, body)
        assert status in {200, 204}, content
        return content

    def wait(self, instance: str, status: str = "Completed") -> Any:
        """Wait for a status, and give all that the client tells."""
        started = time.monotonic()
        while (told := self.ask(f"/status/{instance}").json())["runtimeStatus"] != status:
            assert time.monotonic() - started < PATIENCE, told
            time.sleep(0.01)
        return told

    def wait_for_word(self, instance: str) -> None:
        """Wait until the first activity of a flow has ended and its orchestrator was told."""
        started = time.monotonic()
        while not self.ask(f"/status/{instance}").json()["customStatus"]:
            assert time.monotonic() - started < PATIENCE
            time.sleep(0.01)

    def finish(self, instance: str) -> Any:
        """Move the clock, send the event, and give the output."""
        self.wait_for_word(instance)
        self.tell("/clock", {"advance": 3601})
        assert self.ask(f"/go/{instance}", {"a": 1}).status == 200
        return self.wait(instance)["output"]


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Ask a server of the host that is not the app's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(text) if text.startswith((b"{", b"[", b'"')) else text


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., App]]:
    """Start apps that are ready to be asked; they are stopped after the tests of the module."""
    hosts: list[Host] = []

    def starter(folder: Path, *arguments: str, mode: str = "classic") -> App:
        host = launch(folder, HEADS[mode] + FUNCTIONS, SETTINGS, "--control", "0", *arguments)
        hosts.append(host)
        ready = re.search(r"READY http://127\.0\.0\.1:(\d+)/", host.out.wait_for("READY"))
        assert ready is not None
        host.port = int(ready[1])
        return App(host)

    yield starter
    for host in hosts:
        if host.process.poll() is None:
            host.process.kill()
            host.process.wait(PATIENCE)


@pytest.fixture(scope="module", params=HEADS)
def app(
    request: pytest.FixtureRequest, start: Callable[..., App], tmp_path_factory: pytest.TempPathFactory
) -> App:
    """The sample app in one of the modes."""
    folder = tmp_path_factory.mktemp(request.param)
    return start(folder, "--storage", str(folder / "hub.sqlite3"), mode=request.param)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runtime/webhooks/durabletask/instances", 401),
        ("/runtime/webhooks/DurableTask/instances/a?code=guess", 401),
        ("/runtime/webhooks/durabletask/orchestrators/flow", 401),
        ("/x/%2e%2e/runtime/webhooks/durabletask/instances", 401),
        ("/durabletask/instances/a", 404),
        ("/clock/x/y", 404),
    ],
)
def test_app_port_has_no_way_into_durable(app: App, path: str, status: int) -> None:
    """I07: the webhooks ask for a key that nobody has; what the worker and tests use is on ports of its own."""
    assert app.host.ask(f"GET {path} HTTP/1.1").status == status
    assert app.host.port not in {app.rpc, app.control}


def test_orchestration_runs_through_the_worker(app: App) -> None:
    """Activities, a client inside one, a timer with the clock moved, an event; the functions' log lines are printed."""
    assert app.ask("/flow/one", "abc").json() == "one"
    taken = app.ask("/flow/one", "other")
    assert taken.status == 500
    assert "already exists" in taken.json()
    assert app.ask("/status/nobody").json() is None
    word, told, seen = app.finish("one")
    assert (word, told) == ("ABC", '{"a": 1}')
    assert seen == {"input": '"abc"', "custom": {"word": "ABC"}}
    app.host.err.wait_for("upper runs")
    assert app.ask("/flow/one", "again").status == 202
    assert app.finish("one")[0] == "AGAIN"


def test_endpoints_of_the_worker_answer_on_their_own_port(app: App) -> None:
    """The address is printed, so that tests can ask by hand."""
    status, told = request(app.rpc, "POST", "/durabletask/orchestrators/slow/two", "0")
    assert (status, told["id"]) == (202, "two")
    assert told["statusQueryGetUri"].startswith(f"http://127.0.0.1:{app.rpc}/runtime/webhooks/")
    assert app.wait("two")["output"] == "slept"
    assert request(app.rpc, "GET", "/runtime/webhooks/durabletask/instances/two") == (404, b"")


def test_cancellation_that_escapes_is_a_failure(app: App) -> None:
    """Of the activity alone: everything else goes on."""
    assert app.ask("/careless/three", 1).status == 202
    assert app.wait("three")["output"].startswith("Activity function 'cancelled' failed: CancelledError")
    assert app.ask("/slow/four", 0).status == 202
    assert app.wait("four")["output"] == "slept"


def test_hundred_orchestrations_at_once_all_end(app: App) -> None:
    """None is lost, and none waits for another's timer."""
    for number in range(100):
        assert request(app.rpc, "POST", f"/durabletask/orchestrators/slow/h-{number}", "0")[0] == 202
    started = time.monotonic()
    url = "/durabletask/instances/?instanceIdPrefix=h-&runtimeStatus=Completed"
    while len(request(app.rpc, "GET", url)[1]) < 100:
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.05)


@pytest.mark.parametrize("mode", HEADS)
def test_killed_host_is_taken_up_where_it_was(tmp_path: Path, start: Callable[..., App], mode: str) -> None:
    """F39: what was accepted goes on: one activity that had ended runs once, one that had not runs again."""
    storage = ("--storage", str(tmp_path / "hub.sqlite3"))
    app = start(tmp_path, *storage, mode=mode)
    assert app.ask("/flow/one", "abc").status == 202
    app.wait_for_word("one")
    app.tell("/clock", {"advance": 3000})
    assert app.ask("/slow/two", 0.3).status == 202
    app.host.out.wait_for("sleep has started")
    app.host.process.send_signal(signal.SIGKILL)
    app.host.process.wait(PATIENCE)
    again = start(tmp_path, *storage, mode=mode)
    again.host.out.wait_for("sleep has started")
    assert again.wait("two")["output"] == "slept"
    again.tell("/clock", {"advance": 601})
    assert again.ask("/go/one", None).status == 200
    assert again.wait("one")["output"][0] == "ABC"
    assert (tmp_path / "runs.txt").read_text() == "abc\n"


def test_crash_switch_ends_the_process_and_the_same_port_finds_the_storage(
    tmp_path: Path, start: Callable[..., App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F39: killed with the result of an activity not stored: it runs again; another port has a storage of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / "app"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = ("--port", str(free.getsockname()[1]))
    app = start(folder, *port)
    app.tell("/crash", {"at": "before", "step": "activity-result", "name": "upper"})
    assert app.ask("/flow/one", "abc").status == 202
    assert app.host.process.wait(PATIENCE) == 137
    again = start(folder, *port)
    assert again.finish("one")[0] == "ABC"
    assert (folder / "runs.txt").read_text() == "abc\nabc\n"
    assert again.host.stop() == 0
    other = start(folder)
    assert other.ask("/status/one").json() is None
    assert len(list(tmp_path.glob("local-host-durable-*"))) == 2
    assert other.host.stop() == 0
    (place,) = tmp_path.glob("local-host-durable-*")
    assert place.stat().st_mode & 0o077 == 0


def test_storage_that_cannot_be_used_ends_the_host(tmp_path: Path, start: Callable[..., App]) -> None:
    """Exit status 1, and why: a folder that is not there, a file that another host has."""
    storage = tmp_path / "hub.sqlite3"
    start(tmp_path, "--storage", str(storage))
    for path, reason in (
        (tmp_path / "nowhere" / "hub", "No such file"),
        (storage, "database is locked"),
    ):
        host = launch(tmp_path, None, None, "--storage", str(path))
        assert host.process.wait(2 * PATIENCE) == 1
        host.err.wait_for("The host could not start")
        host.err.wait_for(reason)
        assert "READY" not in str(host.out)


def test_signal_lets_a_running_activity_end(tmp_path: Path, start: Callable[..., App]) -> None:
    """F36: its result is stored, and the next host goes on from there."""
    storage = ("--storage", str(tmp_path / "hub.sqlite3"))
    app = start(tmp_path, *storage)
    assert app.ask("/slow/one", 0.3).status == 202
    app.host.out.wait_for("sleep has started")
    assert app.host.stop() == 0
    again = start(tmp_path, *storage)
    assert again.wait("one")["output"] == "slept"
    assert "sleep has started" not in str(again.host.out)


def test_app_without_durable_functions_has_nothing_of_it(tmp_path: Path) -> None:
    """No storage, no further ports, no paths that ask for a key."""
    source = """
        import azure.functions as func
        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

        @app.route(route="x")
        async def x(req: func.HttpRequest) -> func.HttpResponse:
            return func.HttpResponse("ok")
    """
    storage = tmp_path / "hub.sqlite3"
    host = launch(tmp_path, source, SETTINGS, "--storage", str(storage), "--control", "0")
    try:
        ready = re.search(r"READY http://127\.0\.0\.1:(\d+)/", host.out.wait_for("READY"))
        assert ready is not None
        host.port = int(ready[1])
        assert host.ask("GET /runtime/webhooks/durabletask/instances HTTP/1.1").status == 404
        assert "DURABLE" not in str(host.out)
        assert not storage.exists()
    finally:
        assert host.stop() == 0
