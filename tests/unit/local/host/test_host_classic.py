"""Classic mode: what the host makes of requests and answers of ``azure.functions`` functions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.local.host.hosts import Host

APP = """
import asyncio, json, logging, os, threading
import azure.functions as func

logging.warning("while importing")
IMPORT_FOLDER = os.getcwd()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="echo/{name?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {"method": req.method, "url": req.url, "headers": dict(req.headers), "query": dict(req.params),
            "params": dict(req.route_params), "body": req.get_body().decode("latin-1"),
            "folders": [IMPORT_FOLDER, os.getcwd()], "marker": os.environ.get("MARKER")}
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.route(route="size")
def size(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(len(req.get_body())))


@app.route(route="only", methods=["POST"])
async def only(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("posted")


@app.route(route="fail")
async def fail(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("deliberate failure")


@app.route(route="cancel")
async def cancel(req: func.HttpRequest) -> func.HttpResponse:
    raise asyncio.CancelledError


@app.route(route="answer")
async def answer(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse(b"\\x00\\xff", status_code=418, mimetype="application/octet-stream",
                               headers={"X-One": "1", "X-MS-CLIENT-PRINCIPAL": "kept"})
    answer.headers.add("Set-Cookie", "a=1; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


@app.route(route="text")
async def text(req: func.HttpRequest) -> str:
    return "plain"


async def later():
    await asyncio.sleep(0)
    logging.warning("after the answer")
    FINISHED.set()

FINISHED = asyncio.Event()
TASKS = []


@app.route(route="log/async")
async def log_async(req: func.HttpRequest) -> func.HttpResponse:
    FINISHED.clear()
    logging.getLogger("gate").info('{"event": "decision"}')
    logging.getLogger("gate").debug("too low")
    TASKS.append(asyncio.create_task(later()))
    return func.HttpResponse("ok")


@app.route(route="log/after")
async def log_after(req: func.HttpRequest) -> func.HttpResponse:
    await FINISHED.wait()
    logging.info("marker of the second request")
    return func.HttpResponse("ok")


@app.route(route="log/sync")
def log_sync(req: func.HttpRequest) -> func.HttpResponse:
    thread = threading.Thread(target=logging.warning, args=["in a thread of its own"])
    thread.start()
    thread.join()
    logging.info("in the worker's thread")
    return func.HttpResponse("ok")


@app.route(route="vanish")
async def vanish(req: func.HttpRequest) -> func.HttpResponse:
    print("waiting", flush=True)
    await RELEASED.wait()
    print("ran to its end", flush=True)
    return func.HttpResponse("ok")

RELEASED = asyncio.Event()


@app.route(route="release")
async def release(req: func.HttpRequest) -> func.HttpResponse:
    RELEASED.set()
    return func.HttpResponse("ok")
"""


@pytest.fixture(scope="module")
def host(start: Callable[..., Host], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The sample app, with an empty route prefix."""
    return start(tmp_path_factory.mktemp("classic"), APP, {"extensions": {"http": {"routePrefix": ""}}})


@pytest.mark.parametrize(
    "line",
    ["GET /nothing", "GET /", "GET /api/echo", "GET /only", "HEAD /only", "OPTIONS /only", "GET /echo/a/b"],
)
def test_unknown_path_or_method_is_a_bare_404(host: Host, line: str) -> None:
    """A path that no function has, and a method that a function does not list, never reach the app."""
    answer = host.ask(f"{line} HTTP/1.1")
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("path", ["/fail", "/cancel"])
def test_failing_function_is_a_bare_500(host: Host, path: str) -> None:
    """The exception goes to the console, never to the caller."""
    answer = host.ask(f"GET {path} HTTP/1.1")
    assert (answer.status, answer.body) == (500, b"")


def test_failure_is_told_on_the_console(host: Host) -> None:
    """The developer reads the exception and its stack."""
    host.ask("GET /fail HTTP/1.1")
    assert "in fail" in host.err.wait_for("ValueError: deliberate failure")


def test_chunked_body_arrives_empty_and_without_length(host: Host) -> None:
    """D01, fact 3: only a body of stated length is copied; the caller's bytes vanish."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    seen = host.ask("POST /echo HTTP/1.1\nTransfer-Encoding: chunked", body).json()
    assert seen["body"] == ""
    assert "content-length" not in seen["headers"]
    assert seen["headers"]["transfer-encoding"] == "chunked"


def test_body_over_the_host_limit_is_413(host: Host) -> None:
    """D01: 104,857,600 bytes are the most, by the stated length."""
    with host.send("POST /size HTTP/1.1\nContent-Length: 104857601") as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_body_of_stated_length_arrives_whole(host: Host) -> None:
    """Binary, larger than one read, and as it came even when it says that it is compressed."""
    body = bytes(range(256)) * 8192
    request = f"POST /size HTTP/1.1\nContent-Encoding: gzip\nContent-Length: {len(body)}"
    assert host.ask(request, body).body == b"2097152"


def test_client_that_waits_for_100_is_told_to_go_on(host: Host) -> None:
    """A large upload with ``Expect: 100-continue`` is not stuck."""
    with host.send("POST /size HTTP/1.1\nExpect: 100-continue\nContent-Length: 2") as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"ab")
        assert b"\r\n\r\n2" in connection.recv(4096)


def test_headers_are_lower_cased_and_repeated_ones_joined(host: Host) -> None:
    """S02: a duplicated principal header comes as one value with a comma in it; nothing is filtered."""
    seen = host.ask("GET /echo HTTP/1.1\nX-MS-CLIENT-PRINCIPAL: a\nx-ms-client-principal: b\nX-One: 1").json()
    assert seen["headers"]["x-ms-client-principal"] == "a,b"
    assert seen["headers"]["x-one"] == "1"


def test_header_of_64_kib_passes(host: Host) -> None:
    """S09: the cap on the principal header is the gate's, so that it must be reachable."""
    value = "p" * 65_536
    seen = host.ask(f"GET /echo HTTP/1.1\nX-MS-CLIENT-PRINCIPAL: {value}").json()
    assert seen["headers"]["x-ms-client-principal"] == value


def test_header_that_is_no_utf8_is_400(host: Host) -> None:
    """The real server decodes headers strictly."""
    with host.connect() as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nX-One: \xff\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")


def test_repeated_query_values_are_joined_and_empty_ones_dropped(host: Host) -> None:
    """Names are compared in any case; values are decoded."""
    seen = host.ask("GET /echo?a=1&A=2&b=&c=x%20y+z HTTP/1.1").json()
    assert seen["query"] == {"a": "1,2", "c": "x y z"}
    assert seen["url"] == "http://gate.test/echo?a=1&A=2&b=&c=x%20y+z"


def test_route_parameter_is_decoded_once_and_keeps_its_slash_encoded(host: Host) -> None:
    """T02: %2F in a name neither separates nor is decoded."""
    assert host.ask("GET /echo/a%2Fb%20c HTTP/1.1").json()["params"] == {"name": "a%2Fb c"}


def test_environment_is_left_as_it_is(host: Host) -> None:
    """What the host was started with is what the app sees."""
    assert host.ask("GET /echo HTTP/1.1").json()["marker"] == "as it is"


def test_app_is_imported_before_the_working_folder_changes(
    host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A relative path that is opened while importing fails here as it does in Azure."""
    importing, running = host.ask("GET /echo HTTP/1.1").json()["folders"]
    assert importing == "/"
    assert Path(running).is_relative_to(tmp_path_factory.getbasetemp())


def test_answer_passes_with_status_headers_and_cookies(host: Host) -> None:
    """Nothing is filtered, and each cookie has a header of its own."""
    answer = host.ask("GET /answer HTTP/1.1")
    assert (answer.status, answer.body) == (418, b"\x00\xff")
    assert answer.header("x-one") == "1"
    assert answer.header("x-ms-client-principal") == "kept"
    cookies = [value for name, value in answer.headers if name.lower() == "set-cookie"]
    assert cookies == ["a=1; max-age=60; path=/; secure; samesite=lax; httponly", "b=2"]


def test_text_answer(host: Host) -> None:
    """A function that returns a string answers text."""
    answer = host.ask("GET /text HTTP/1.1")
    assert (answer.status, answer.body) == (200, b"plain")


def test_head_is_answered_without_a_body(host: Host) -> None:
    """HEAD reaches the function; its body is not sent."""
    answer = host.ask("HEAD /size HTTP/1.1")
    assert (answer.status, answer.body) == (200, b"")


def test_connection_serves_many_requests(host: Host) -> None:
    """Connections are kept alive."""
    with host.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /size HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).endswith(b"\r\n\r\n0")


def test_log_lines_outside_a_running_invocation_are_dropped(host: Host) -> None:
    """Printed is what a running invocation logs; not what comes while importing, or from a task after the answer."""
    host.ask("GET /log/async HTTP/1.1")
    host.ask("GET /log/after HTTP/1.1")
    console = host.err.wait_for("marker of the second request")
    line = next(line for line in console.splitlines() if "decision" in line)
    assert "[Information] gate: " in line
    assert json.loads(line[line.index("{") :]) == {"event": "decision"}
    assert "while importing" not in console
    assert "after the answer" not in console
    assert "too low" not in console


def test_log_lines_of_a_synchronous_function_are_printed(host: Host) -> None:
    """The worker's thread belongs to the invocation, a thread that the function starts does not."""
    host.ask("GET /log/sync HTTP/1.1")
    assert "in a thread of its own" not in host.err.wait_for("in the worker's thread")


def test_invocation_runs_to_its_end_when_the_client_leaves(host: Host) -> None:
    """D03: the host does not cancel a Python function."""
    with host.send("GET /vanish HTTP/1.1"):
        host.out.wait_for("waiting")
    host.ask("GET /release HTTP/1.1")
    host.out.wait_for("ran to its end")
