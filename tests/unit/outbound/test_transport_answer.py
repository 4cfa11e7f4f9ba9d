"""What comes back: whole or a fault, undecoded, bounded, and never another request's bytes."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from shared.outbound.transport import AiohttpTransport
from shared.ports import Answer, TransportFault
from tests.unit.outbound.servers import OK, Request, reset, serve


async def call(
    transport: AiohttpTransport, url: str, *, method: str = "POST", seconds: float = 5.0
) -> Answer:
    body = b"{}" if method == "POST" else None
    return await transport.send(method, url, headers={}, body=body, deadline=time.monotonic() + seconds)


async def drain(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer.chunks()])


CUT = {
    "fewer bytes than content-length says": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    "no last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "end within a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\nrest\r\n",
}


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("start", CUT.values(), ids=CUT)
@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_a_body_that_is_cut_short_is_truncated(
    transport: AiohttpTransport, start: bytes, ending: str, *, whole: bool
) -> None:
    """F04, F05, F16: half an answer is never passed off as one."""

    async def cut(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer) if ending == "reset" else writer.close()

    async with serve(cut) as server:
        with pytest.raises(TransportFault, match=r"truncated|protocol") as caught:
            answer = await call(transport, server.url)
            await (answer.read(1 << 20) if whole else drain(answer))
        assert caught.value.sent


HUGE = b"a" * 1_000_000
NONSENSE = {
    "HTTP/0.9": b"<html>hello</html>\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a header of one megabyte": b"HTTP/1.1 200 OK\r\nx-a: " + HUGE + b"\r\ncontent-length: 0\r\n\r\n",
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 1000 + b"content-length: 0\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
    "an upgrade that nobody asked for": b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw",
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_no_http_is_a_protocol_fault(transport: AiohttpTransport, nonsense: bytes) -> None:
    """F15, F16, T15: junk, oversized headers and upgrades end here, and the connection with them."""
    async with serve(nonsense) as server:
        with pytest.raises(TransportFault, match="protocol") as caught:
            await call(transport, server.url)
        assert caught.value.sent


async def test_compressed_bytes_stay_compressed(transport: AiohttpTransport) -> None:
    """T19, D03: what inflates to sixty-four mebibytes stays the few bytes that came."""
    bomb = gzip.compress(bytes(1 << 24))
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    async with serve(head + bomb) as server:
        answer = await call(transport, server.url)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read(1 << 20) == bomb


async def test_a_body_beyond_the_limit_is_too_large(transport: AiohttpTransport) -> None:
    """T19: the bound holds with and without a declared length, and the connection goes."""

    async def endless(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"400\r\n" + b"a" * 1024 + b"\r\n")
            await writer.drain()

    async with serve(endless) as server:
        for _ in range(2):
            answer = await call(transport, server.url)
            with pytest.raises(TransportFault, match="too-large"):
                await answer.read(65_536)
        assert server.connections == 2


@pytest.mark.parametrize(("limit", "fits"), [(2, True), (1, False)])
async def test_the_limit_is_the_last_size_that_fits(
    transport: AiohttpTransport, limit: int, *, fits: bool
) -> None:
    """`limit` bytes are read, one more is too many."""
    async with serve(OK) as server:
        answer = await call(transport, server.url)
        if fits:
            assert await answer.read(limit) == b"ok"
        else:
            with pytest.raises(TransportFault, match="too-large"):
                await answer.read(limit)


@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_the_deadline_covers_the_body(transport: AiohttpTransport, *, whole: bool) -> None:
    """F06, F08: an answer that drips for ever ends at the deadline of the whole call."""

    async def drip(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\na\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(drip) as server:
        before = time.monotonic()
        answer = await call(transport, server.url, seconds=0.2)
        with pytest.raises(TransportFault, match="timeout") as caught:
            await (answer.read(1 << 20) if whole else drain(answer))
        assert caught.value.sent
        assert 0.15 < time.monotonic() - before < 1


async def test_bytes_are_the_same_however_they_are_cut(transport: AiohttpTransport) -> None:
    """F06: one byte at a time, in the middle of characters and chunk sizes."""
    text = 'data: {"é": "日本"}\n\n'.encode()
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)

    async def slices(_request: Request, writer: asyncio.StreamWriter) -> None:
        for place in range(len(wire)):
            writer.write(wire[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0)

    async with serve(slices) as server:
        assert await drain(await call(transport, server.url)) == text


async def test_a_whole_answer_gives_its_connection_back(transport: AiohttpTransport) -> None:
    """Connections are kept: a new one over TLS costs fifty times a kept one."""
    async with serve(OK) as server:
        for _ in range(3):
            answer = await call(transport, server.url)
            assert await drain(answer) == b"ok"
            answer.close()
        assert server.connections == 1


@pytest.mark.parametrize(
    ("method", "wire"),
    [
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"),
        ("POST", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("POST", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
    ids=["204", "304", "HEAD", "length 0", "100 first"],
)
async def test_an_answer_without_a_body_is_empty_and_whole(
    transport: AiohttpTransport, method: str, wire: bytes
) -> None:
    """No waiting for bytes that never come, and the connection is kept."""
    async with serve(wire) as server:
        for _ in range(2):
            assert await (await call(transport, server.url, method=method)).read(0) == b""
        assert server.connections == 1


async def test_an_unread_answer_takes_its_connection_with_it(transport: AiohttpTransport) -> None:
    """T15: what is left on the wire is never the start of somebody else's answer."""

    async def long(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 1:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"A" * 90_000)
        else:
            writer.write(OK)

    async with serve(long) as server:
        answer = await call(transport, server.url)
        async for piece in answer.chunks():
            assert piece
            break
        answer.close()
        answer.close()
        assert await (await call(transport, server.url)).read(10) == b"ok"
        assert server.connections == 2


async def test_a_surplus_answer_is_nobodys(transport: AiohttpTransport) -> None:
    """T15 (CVE-2026-71324): bytes that a server sends unasked on a kept connection never answer the next request."""
    said = asyncio.Event()

    async def two_for_one(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if request.number == 1:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(OK.replace(b"ok", b"NO"))
            await writer.drain()
            said.set()

    async with serve(two_for_one) as server:
        assert await (await call(transport, server.url)).read(10) == b"ok"
        await said.wait()
        await asyncio.sleep(0.02)
        assert await (await call(transport, server.url)).read(10) == b"ok"
        assert server.connections == 2


async def test_a_server_that_speaks_before_it_is_asked_is_given_up(transport: AiohttpTransport) -> None:
    """T15: a greeting is no answer, and trying for ever is no way out."""
    async with serve(OK, greeting=OK) as server:
        answered = False
        try:
            # The greeting may come before the request or behind it; either way one answer is for one request.
            answered = await (await call(transport, server.url)).read(10) == b"ok"
        except TransportFault as fault:
            assert fault.what == "unreachable"
        assert answered or server.connections <= 3


async def test_no_caller_ever_sees_another_callers_bytes(transport: AiohttpTransport) -> None:
    """T15: five hundred callers, every second one leaves in the middle; each of the others gets its own answer."""

    async def marked(request: Request, writer: asyncio.StreamWriter) -> None:
        marker = request.header("x-who")[0].encode()
        body = marker * 2_000
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])
        await asyncio.sleep(0)
        writer.write(body[len(body) // 2 :])

    async def caller(who: int) -> None:
        marker = f"<{who:04d}>"
        answer = await transport.send(
            "POST", server.url, headers={"x-who": marker}, body=b"{}", deadline=time.monotonic() + 20
        )
        if who % 2:
            async for piece in answer.chunks():
                assert piece
                break
            answer.close()
        else:
            assert await answer.read(1 << 20) == marker.encode() * 2_000

    async with serve(marked) as server:
        for start in range(0, 500, 50):
            await asyncio.gather(*(caller(who) for who in range(start, start + 50)))


async def test_an_early_answer_to_a_long_upload_is_read(transport: AiohttpTransport) -> None:
    """A model that says 413 without reading the body is heard."""
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await writer.drain()
        await reader.read(1 << 23)
        await asyncio.sleep(0.05)
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    answer = await transport.send(
        "POST", f"http://127.0.0.1:{port}/", headers={}, body=bytes(3 << 20), deadline=time.monotonic() + 5
    )
    assert (answer.status, await answer.read(10)) == (413, b"no")
    listener.close()


class _Old(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def old_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Old)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


async def test_a_server_of_http_1_0_that_ends_by_closing_is_understood(
    transport: AiohttpTransport, old_server: str
) -> None:
    """No length, no chunks: the body ends with the connection."""
    for _ in range(2):
        answer = await transport.send(
            "POST", old_server, headers={}, body=b"hello", deadline=time.monotonic() + 5
        )
        assert await answer.read(100) == b"HELLO"
