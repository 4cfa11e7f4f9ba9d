"""The command itself: what it prints, how it starts and how it ends."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.local.host.hosts import PATIENCE, Host, launch, parse, receive

APP = """
import asyncio
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="slow")
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    print("slow has started", flush=True)
    await asyncio.sleep(0.3)
    return func.HttpResponse("done")

@app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
async def hourly(timer: func.TimerRequest) -> None:
    pass
"""


def test_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    """Exit status 2, and a message that names the folder."""
    host = launch(tmp_path, None)
    assert host.process.wait(PATIENCE) == 2
    assert str(tmp_path) in host.err.wait_for("There is no function_app.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("raise RuntimeError('broken on purpose')", "broken on purpose", id="an exception"),
        pytest.param("import no_such_module", "no_such_module", id="a missing module"),
        pytest.param("x = 1", "Could not find top level function app", id="no function app"),
        pytest.param(
            APP.replace('"slow"', '"slow/{n:int}"'),
            "the local host supports",
            id="a route that is not supported",
        ),
    ],
)
def test_app_that_cannot_be_loaded_ends_the_host(tmp_path: Path, source: str, message: str) -> None:
    """Exit status 1, the exception on standard error, never READY."""
    host = launch(tmp_path, source)
    assert host.process.wait(PATIENCE) == 1
    host.err.wait_for(message)
    assert "READY" not in str(host.out)


def test_unusable_host_json_ends_the_host(tmp_path: Path) -> None:
    """Exit status 2: a slip in the settings is told."""
    host = launch(tmp_path, APP, {"functionTimeout": "soon"})
    assert host.process.wait(PATIENCE) == 2
    host.err.wait_for("functionTimeout")


def test_port_that_is_taken_ends_the_host(tmp_path: Path, start: Callable[..., Host]) -> None:
    """Exit status 1, as with an app that cannot be loaded."""
    running = start(tmp_path, APP)
    host = launch(tmp_path, APP, None, "--port", str(running.port))
    assert host.process.wait(PATIENCE) == 1
    host.err.wait_for("could not start")
    assert running.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_running_invocations_end(tmp_path: Path, start: Callable[..., Host], number: int) -> None:
    """F36: what runs is answered, nothing new is taken, and the exit status is 0."""
    host = start(tmp_path, APP)
    assert str(host.out).splitlines()[:2] == ["slow  httpTrigger  /api/slow", "hourly  timerTrigger"]
    with host.send("GET /api/slow HTTP/1.1") as connection:
        host.out.wait_for("slow has started")
        assert host.stop(number) == 0
        answer = parse(receive(connection))
    assert (answer.status, answer.body) == (200, b"done")
    with pytest.raises(ConnectionRefusedError):
        host.connect()
