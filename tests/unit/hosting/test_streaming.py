"""Streaming hosting: bytes relayed as they come, a cut one never ended cleanly, and everything let go of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from azurefunctions.extensions.http.fastapi import Request

from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.gate import aclose
from shared.hosting.streaming import (
    BODY_DEADLINE,
    PATIENCE,
    StreamedAnswer,
    StreamedBody,
    durable_function_for,
    function_for,
)
from shared.model import Ambiguous, Inbound, Reply
from shared.ports import TransportFault
from shared.problem import AskedWrongly, ClientClosed, Slug, UpstreamFault
from tests.fakes import (
    FakeAnswer,
    FakeClock,
    FakeStream,
    FakeTokens,
    FakeTransport,
    LoopTime,
    a_call,
    settle,
)
from tests.house import House

Message = dict[str, Any]


def part(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


class Client:
    """The other end of an ASGI connection: what it sends, in order, and what it got."""

    def __init__(self, *messages: Message, fail_at: int | None = None, reads: int | None = None) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self.messages.put_nowait(message)
        self.got: list[Message] = []
        self.fail_at = fail_at
        self.reads = reads
        """After how many messages it stops reading; None for never."""

    async def receive(self) -> Message:
        message = await self.messages.get()
        if message is GONE:
            self.leave()  # one who has gone stays gone, however often the server asks
        return message

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self.fail_at == len(self.got):
            raise OSError("the connection is gone")
        if self.reads == len(self.got):
            await asyncio.Event().wait()
        self.got.append(message)

    def leave(self) -> None:
        self.messages.put_nowait(GONE)

    @property
    def status(self) -> int:
        return int(self.got[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.got[1:])

    @property
    def ended(self) -> bool:
        """Whether the answer was ended cleanly."""
        return len(self.got) > 1 and not self.got[-1].get("more_body", False)

    def request(
        self, method: str = "POST", *, query: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
    ) -> Request:
        declared = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        scope = {
            "type": "http",
            "method": method,
            "path": "/endpoints/fraud/score",
            "query_string": query,
            "headers": declared if headers is None else headers,
            "path_params": {"name": "fraud"},
            "scheme": "http",
            "server": ("127.0.0.1", 80),
        }
        return Request(scope, self.receive, self.send)


async def play(answer: Any, client: Client) -> None:
    """Let the server send `answer`."""
    await answer({"type": "http", "method": "POST"}, client.receive, client.send)


def served(
    *script: FakeAnswer | BaseException | None,
) -> tuple[Callable[[Request], Awaitable[Any]], FakeTransport, Forwarder, House]:
    """Return the function that serves `score` over the real backend."""
    transport = FakeTransport(*script)
    forwarder = Forwarder(transport, FakeTokens(), FakeClock())
    house = House(backend=Online(forwarder, FakeClock()))
    return function_for("score", house.handle), transport, forwarder, house


async def place_is_free(forwarder: Forwarder) -> None:
    await asyncio.wait_for(forwarder.take(a_call()), 0.1)


async def test_d01_a_body_beyond_the_limit_is_not_read_on() -> None:
    """D01: bytes are counted as they come, and reading stops at the first part beyond the limit."""
    client = Client(part(b"12", more=True), part(b"345", more=True), part(b"never read"))
    body = StreamedBody(None, chunked=True, receive=client.receive)
    with pytest.raises(AskedWrongly) as refused:
        await body.read(4)
    assert refused.value.slug is Slug.PAYLOAD_TOO_LARGE
    assert client.messages.qsize() == 1


async def test_a_caller_who_leaves_in_the_middle_of_the_body_is_client_closed() -> None:
    """Threats fact 3: half a body is never taken for a whole one."""
    client = Client(part(b"12", more=True), GONE)
    body = StreamedBody(9, chunked=False, receive=client.receive)
    with pytest.raises(ClientClosed):
        await body.read(99)
    assert not body.over.is_set()


async def test_d02_a_body_that_does_not_arrive_is_given_up() -> None:
    """D02: after the body's deadline the request is 400, however the parts are spread."""
    time = LoopTime()
    client = Client(part(b"12", more=True))
    reading = asyncio.ensure_future(StreamedBody(9, chunked=False, receive=client.receive).read(99))
    await settle()
    await time.pass_(BODY_DEADLINE - 1)
    client.messages.put_nowait(part(b"3", more=True))
    await settle()
    assert not reading.done()
    await time.pass_(2)
    fault = reading.exception()
    assert isinstance(fault, AskedWrongly)
    assert fault.slug is Slug.INVALID_REQUEST


async def test_p7_a_body_in_parts_is_whole() -> None:
    """P7: parts, empty ones among them, are joined byte for byte."""
    client = Client(part(b"\x00", more=True), part(b"", more=True), part(b"\xff"))
    body = StreamedBody(None, chunked=True, receive=client.receive)
    assert await body.read(2) == b"\x00\xff"
    assert body.over.is_set()


async def test_a_whole_answer_goes_out_with_its_length() -> None:
    """A problem or a relayed error is one message with its Content-Length."""
    client = Client()
    await play(StreamedAnswer(Reply(status=403, headers=(("content-type", "x"),), body=b"123")), client)
    assert client.got == [
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [(b"content-type", b"x"), (b"content-length", b"3")],
        },
        {"type": "http.response.body", "body": b"123"},
    ]


async def test_each_piece_goes_out_at_once_and_no_length_is_promised() -> None:
    """What comes from the model is sent before the next piece is awaited."""
    source, client = FakeStream(b"one", None), Client()
    playing = asyncio.ensure_future(play(StreamedAnswer(Reply(status=200, headers=(), body=source)), client))
    await settle()
    assert (client.body, client.ended) == (b"one", False)
    assert not [name for name, _ in client.got[0]["headers"] if name == b"content-length"]
    client.leave()
    await playing
    assert source.closed == 1


async def test_f05_an_answer_that_is_cut_is_never_ended_cleanly() -> None:
    """F04, F05: the fault goes on to the server, which aborts the connection; the source is let go of."""
    source, client = (
        FakeStream(b"half", UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated")),
        Client(),
    )
    with pytest.raises(UpstreamFault):
        await play(StreamedAnswer(Reply(status=200, headers=(), body=source)), client)
    assert (client.body, client.ended, source.closed) == (b"half", False, 1)


async def test_f46_a_caller_who_leaves_in_the_middle_lets_go_of_the_model() -> None:
    """F46: as soon as the caller has gone the model's answer is closed, even while nothing comes from it."""
    source, client = FakeStream(b"half", None, b"rest"), Client()
    playing = asyncio.ensure_future(play(StreamedAnswer(Reply(status=200, headers=(), body=source)), client))
    await settle()
    client.leave()
    await asyncio.wait_for(playing, 1)
    assert (client.ended, source.closed) == (False, 1)


@pytest.mark.parametrize("fail_at", [0, 1, 2])
async def test_a_connection_that_breaks_on_sending_lets_go_of_the_model(fail_at: int) -> None:
    """F46, D07: whichever message cannot be sent, the first one included, the source is closed."""
    source, client = FakeStream(b"one", b"two"), Client(fail_at=fail_at)
    with pytest.raises(OSError, match="gone"):
        await play(StreamedAnswer(Reply(status=200, headers=(), body=source)), client)
    assert source.closed == 1


@pytest.mark.parametrize("turns", range(6))
async def test_f46_a_cancelled_answer_lets_go_of_the_model(turns: int) -> None:
    """F46, D07: a server that cancels the answer, however early it is in sending, closes the source."""
    source, client = FakeStream(b"one", None), Client()
    playing = asyncio.ensure_future(play(StreamedAnswer(Reply(status=200, headers=(), body=source)), client))
    await asyncio.sleep(0)  # begun: an answer that is never begun has nothing to hang its end on
    for _ in range(turns):
        await asyncio.sleep(0)
    playing.cancel()
    await settle()
    assert playing.cancelled()
    assert source.closed == 1


@pytest.mark.parametrize("query", [b"a=b", b"&", b"\xff\xfe", b"a\tb", b"#", b"a#b", b"%00"])
async def test_t04_any_query_is_seen_and_breaks_nothing(query: bytes) -> None:
    """T04, P10: whatever bytes stand behind the question mark, the gate refuses them itself."""
    function, transport, _, _ = served()
    client = Client(part(b"{}"))
    await play(await function(client.request(query=query)), client)
    assert (client.status, transport.sent) == (400, [])


@pytest.mark.parametrize("host", [b"[abc]", b"", b"a/b?c", b"\xff", b"[::1]:99999999"])
async def test_t01_a_host_header_that_is_no_host_breaks_nothing(host: bytes) -> None:
    """T01, P10: the caller's Host has no part in what is asked."""
    function, transport, _, _ = served(FakeAnswer(200))
    client = Client(part(b"{}"))
    headers = [(b"host", host), (b"content-type", b"application/json"), (b"content-length", b"2")]
    await play(await function(client.request(headers=headers)), client)
    assert (client.status, len(transport.sent)) == (200, 1)


async def test_s08_repeated_headers_stay_two() -> None:
    """S08: in streaming a repeated header reaches the gate as two values."""
    seen: list[Inbound] = []

    async def handle(inbound: Inbound) -> Reply:
        seen.append(inbound)
        return Reply(status=401, headers=())

    client = Client(part(b""))
    headers = [(b"X-MS-CLIENT-PRINCIPAL", b"a"), (b"x-ms-client-principal", b"b")]
    await function_for("score", handle)(client.request(headers=headers))
    with pytest.raises(Ambiguous):
        seen[0].headers.get("x-ms-client-principal")


@pytest.mark.parametrize(
    ("headers", "length", "chunked"),
    [
        ([(b"content-length", b"5")], 5, False),
        ([(b"content-length", b"5"), (b"content-length", b"6")], None, False),
        ([(b"transfer-encoding", b"chunked")], None, True),
        ([], None, False),
    ],
)
async def test_t14_the_length_is_what_one_header_says(
    headers: list[tuple[bytes, bytes]], length: int | None, chunked: bool
) -> None:
    """T14: two lengths are none; a body without a length can be read only when it is chunked."""
    seen: list[Inbound] = []

    async def handle(inbound: Inbound) -> Reply:
        seen.append(inbound)
        return Reply(status=200, headers=())

    await function_for("score", handle)(Client().request(headers=headers))
    assert (seen[0].body.length, seen[0].body.chunked, seen[0].streams) == (length, chunked, True)


async def test_f46_a_caller_who_leaves_while_the_model_thinks_frees_the_place() -> None:
    """F46, D07: the call upstream is cancelled, recorded as `client-closed`, and its place is free."""
    function, transport, forwarder, house = served(None)
    client = Client(part(b"{}"))
    asking = asyncio.ensure_future(function(client.request()))
    await settle()
    assert len(transport.sent) == 1
    client.leave()
    answer = await asyncio.wait_for(asking, 1)
    assert answer.status_code == 499
    assert [record["outcome"] for record in house.recorder.outcomes] == ["client-closed"]
    await place_is_free(forwarder)


@pytest.mark.parametrize("turns", range(12))
async def test_f46_a_caller_who_leaves_at_any_moment_frees_the_place(turns: int) -> None:
    """F46, D07: whenever the caller goes, while deciding, sending or streaming, the one place comes back."""
    function, _, forwarder, _ = served(FakeAnswer(200, [b"1", None]))
    client = Client(part(b"{}"))

    async def serve() -> None:
        await play(await function(client.request()), client)

    serving = asyncio.ensure_future(serve())
    for _ in range(turns):
        await asyncio.sleep(0)
    client.leave()
    await asyncio.wait_for(serving, 1)
    await place_is_free(forwarder)


@pytest.mark.parametrize("turns", range(1, 12))
async def test_d07_a_worker_that_cancels_the_invocation_frees_the_place(turns: int) -> None:
    """D07: the invocation being cancelled from outside, at any moment until its answer is given, loses no place."""
    function, _, forwarder, _ = served(FakeAnswer(200, [b"1", None]))
    client = Client(part(b"{}"))
    asking = asyncio.ensure_future(function(client.request()))
    for _ in range(turns):
        await asyncio.sleep(0)
    if asking.done():  # the answer was given already: whoever has it ends it
        await aclose(asking.result()._reply.body)
    asking.cancel()
    await settle()
    await place_is_free(forwarder)


async def test_the_models_bytes_reach_the_caller_and_the_outcome_is_ok() -> None:
    """One way through: pieces as they came, a clean end, the outcome on record, the place free."""
    function, _, forwarder, house = served(
        FakeAnswer(200, [b"data: 1\n\n", b"data: 2\n\n"], {"content-type": "text/event-stream"})
    )
    client = Client(part(b"{}"))
    await play(await function(client.request()), client)
    assert (client.status, client.body, client.ended) == (200, b"data: 1\n\ndata: 2\n\n", True)
    assert (b"content-type", b"text/event-stream") in client.got[0]["headers"]
    assert house.recorder.outcomes[0]["outcome"] == "ok"
    await place_is_free(forwarder)


async def test_f04_a_cut_model_reaches_the_caller_as_an_abort() -> None:
    """F04: what came is sent, then the connection is aborted; the outcome is `truncated`."""
    function, _, forwarder, house = served(FakeAnswer(200, [b"half", TransportFault("truncated", sent=True)]))
    client = Client(part(b"{}"))
    with pytest.raises(UpstreamFault):
        await play(await function(client.request()), client)
    assert (client.body, client.ended) == (b"half", False)
    assert house.recorder.outcomes[0]["outcome"] == "truncated"
    await place_is_free(forwarder)


async def test_d02_a_caller_who_does_not_read_loses_the_connection_and_the_place() -> None:
    """D02, D07: the policy's timeout bounds the whole call, the sending to a slow reader included."""
    time = LoopTime()
    source = FakeStream(b"1", b"2")
    client = Client(reads=1)
    answer = StreamedAnswer(Reply(status=200, headers=(), body=source, within=5.0))
    playing = asyncio.ensure_future(play(answer, client))
    await settle()
    await time.pass_(5)
    assert not playing.done()
    await time.pass_(PATIENCE + 0.1)
    assert isinstance(playing.exception(), ClientClosed)
    assert source.closed


async def test_s09_the_streaming_server_takes_the_headers_of_a_caller_in_200_groups() -> None:
    """Threats fact 13: 60 KB of headers in small pieces reach the app; uvicorn's other parser cuts them off at 16 KB."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.ensure_future(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        head = b"GET / HTTP/1.1\r\nhost: x\r\nx-ms-client-principal: " + b"A" * 60_000 + b"\r\n\r\n"
        for start in range(0, len(head), 4096):
            writer.write(head[start : start + 4096])
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        writer.close()
        server.should_exit = True
        await serving


async def test_a_call_of_a_jobs_address_brings_its_store() -> None:
    """Inbound.jobs: made of the client that the host gave to this call; other addresses have none."""
    seen: list[Inbound] = []

    async def handle(inbound: Inbound) -> Reply:
        seen.append(inbound)
        return Reply(status=204, headers=())

    client = Client(part(b"{}"))
    await durable_function_for("jobs", handle, lambda given: given)(client.request(), client="the client")
    await function_for("score", handle)(Client(part(b"{}")).request())
    assert [(inbound.route, inbound.jobs) for inbound in seen] == [("jobs", "the client"), ("score", None)]
