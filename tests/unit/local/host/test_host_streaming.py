"""Streaming mode: the host proxies to the worker's own HTTP server."""

import json
from collections.abc import Callable

import pytest

from tests.unit.local.host.hosts import Host, parse, receive

APP = """
import asyncio, json, logging
import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

logging.warning("while importing")
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
RELEASED = asyncio.Event()


@app.route(route="echo/{name?}")
async def echo(req: Request) -> Response:
    headers = [[name.decode(), value.decode()] for name, value in req.headers.raw]
    body = (await req.body()).decode("latin-1")
    return JSONResponse({"method": req.method, "headers": headers, "params": dict(req.path_params),
                         "query": req.query_params.multi_items(), "body": body, "path": req.scope["raw_path"].decode()})


@app.route(route="only", methods=["POST"])
async def only(req: Request) -> Response:
    return Response("posted")


@app.route(route="fail")
async def fail(req: Request) -> Response:
    raise ValueError("deliberate failure")


@app.route(route="size")
async def size(req: Request) -> Response:
    return Response(str(sum([len(chunk) async for chunk in req.stream()])))


@app.route(route="ticks")
async def ticks(req: Request) -> Response:
    RELEASED.clear()
    async def chunks():
        yield b"first"
        await RELEASED.wait()
        logging.warning("after the return")
        yield b"second"
    logging.info('{"event": "decision"}')
    return StreamingResponse(chunks(), headers={"X-Request-Id": "1"})


@app.route(route="release")
async def release(req: Request) -> Response:
    RELEASED.set()
    logging.info("marker of release")
    return Response("ok")


@app.route(route="endless")
async def endless(req: Request) -> Response:
    async def chunks():
        try:
            yield b"first"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("stream cancelled", flush=True)
            raise
    return StreamingResponse(chunks())


@app.route(route="cut")
async def cut(req: Request) -> Response:
    async def chunks():
        yield b"first"
        await asyncio.sleep(0)
        raise ValueError("deliberate cut")
    headers = {"Content-Length": "100"} if req.query_params else {}
    return StreamingResponse(chunks(), headers=headers)
"""


@pytest.fixture(scope="module")
def host(start: Callable[..., Host], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The sample app, with an empty route prefix and a short functionTimeout."""
    settings = {"functionTimeout": "00:00:02", "extensions": {"http": {"routePrefix": ""}}}
    return start(tmp_path_factory.mktemp("streaming"), APP, settings)


@pytest.mark.parametrize("line", ["GET /nothing", "GET /", "GET /only", "GET /echo/a/b"])
def test_unknown_path_or_method_is_a_bare_404(host: Host, line: str) -> None:
    """The host answers itself; the worker is not asked."""
    answer = host.ask(f"{line} HTTP/1.1")
    assert (answer.status, answer.body) == (404, b"")


def test_failing_function_is_500(host: Host) -> None:
    """The worker's server answers; the exception goes to the console."""
    assert host.ask("GET /fail HTTP/1.1").status == 500
    host.err.wait_for("ValueError: deliberate failure")


@pytest.mark.parametrize(("path", "by"), [("/cut", "chunks"), ("/cut?length", "length")])
def test_stream_cut_by_the_worker_cuts_the_client(host: Host, path: str, by: str) -> None:
    """A truncated answer is never made to look complete."""
    answer = host.ask(f"GET {path} HTTP/1.1")
    assert (answer.status, answer.body, answer.complete) == (200, b"first", False), by


def test_client_that_leaves_cancels_the_stream(host: Host) -> None:
    """D03: the worker's generator is cancelled."""
    with host.send("GET /endless HTTP/1.1") as connection:
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
    host.out.wait_for("stream cancelled")


def test_invocation_id_of_a_client_collides(host: Host) -> None:
    """D09: the host only tries to add its header, so the call hangs until functionTimeout (or 230 seconds)."""
    answer = host.ask("GET /echo HTTP/1.1\nX-MS-Invocation-Id: 00000000-0000-0000-0000-000000000000")
    assert answer.status == 500
    host.err.wait_for("Timeout value of 2.0 seconds exceeded")


def test_body_over_the_host_limit_is_413(host: Host) -> None:
    """D01: 104,857,600 bytes are the most, by the stated length."""
    with host.send("POST /size HTTP/1.1\nContent-Length: 104857601") as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_first_byte_is_not_held_back(host: Host) -> None:
    """Bytes are relayed as they come: the first is read before the second is even made."""
    with host.send("GET /ticks HTTP/1.1") as connection:
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        assert b"second" not in received
        host.ask("GET /release HTTP/1.1")
        answer = parse(received + receive(connection))
    assert (answer.body, answer.complete, answer.header("x-request-id")) == (b"firstsecond", True, "1")


def test_log_lines_after_the_function_returned_are_dropped(host: Host) -> None:
    """What the stream itself logs is lost by the real host; what the function logs is printed."""
    with host.send("GET /ticks HTTP/1.1") as connection:
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        host.ask("GET /release HTTP/1.1")
        assert b"second" in receive(connection)
    host.ask("GET /release HTTP/1.1")
    console = host.err.wait_for("marker of release")
    line = next(line for line in console.splitlines() if "decision" in line)
    assert json.loads(line[line.index("{") :]) == {"event": "decision"}
    assert "after the return" not in console
    assert "while importing" not in console


def test_repeated_headers_stay_separate(host: Host) -> None:
    """S02: in streaming nothing is joined; the host adds its invocation id and no client headers of its own."""
    seen = host.ask("GET /echo HTTP/1.1\nX-One: a\nX-One: b").json()
    names = [name for name, _ in seen["headers"]]
    assert [value for name, value in seen["headers"] if name == "x-one"] == ["a", "b"]
    assert sorted(names) == ["host", "x-ms-invocation-id", "x-one", "x-one"]
    assert ["host", "gate.test"] in seen["headers"]


def test_chunked_body_passes(host: Host) -> None:
    """Streaming carries what classic drops."""
    seen = host.ask("POST /echo HTTP/1.1\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n").json()
    assert seen["body"] == "hello"


def test_large_body_of_stated_length_passes(host: Host) -> None:
    """The length is kept, and the body arrives whole."""
    body = bytes(range(256)) * 8192
    assert host.ask(f"POST /size HTTP/1.1\nContent-Length: {len(body)}", body).body == b"2097152"


def test_path_query_and_parameters_pass(host: Host) -> None:
    """The worker's server sees the target as it was sent; parameters are the host's."""
    seen = host.ask("GET /echo/a%2Fb%20c?x=1&x=2 HTTP/1.1").json()
    assert seen["path"] == "/echo/a%2Fb%20c"
    assert seen["params"] == {"name": "a%2Fb c"}
    assert seen["query"] == [["x", "1"], ["x", "2"]]


def test_head_is_answered_without_a_body(host: Host) -> None:
    """HEAD is passed on, and its answer has none."""
    answer = host.ask("HEAD /echo HTTP/1.1")
    assert (answer.status, answer.body) == (200, b"")
