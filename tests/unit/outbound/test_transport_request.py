"""What leaves: exactly what was handed in, to exactly where, once."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import time
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.outbound.transport import AiohttpTransport
from shared.ports import TransportFault
from tests.unit.outbound.servers import OK, RealClock, Request, reset, serve

SOON = 5.0


def at(seconds: float = SOON) -> float:
    return time.monotonic() + seconds


async def get(
    transport: AiohttpTransport, url: str, *, method: str = "GET", body: bytes | None = None
) -> bytes:
    answer = await transport.send(method, url, headers={}, body=body, deadline=at())
    return await answer.read(1 << 20)


async def test_exactly_the_given_headers_leave_with_host_length_and_identity_encoding(
    transport: AiohttpTransport,
) -> None:
    """T12, I01: no User-Agent, no Accept, no Content-Type, nothing that the gate did not write."""
    async with serve(OK) as server:
        answer = await transport.send(
            "POST",
            f"{server.url}/score",
            headers={"authorization": "Bearer t", "x-a": "1"},
            body=b"{}",
            deadline=at(),
        )
        assert await answer.read(10) == b"ok"
    assert {(name.lower(), value) for name, value in server.requests[0].headers} == {
        ("host", f"127.0.0.1:{server.port}"),
        ("content-length", "2"),
        ("authorization", "Bearer t"),
        ("x-a", "1"),
        ("accept-encoding", "identity"),
    }


async def test_a_get_carries_no_length_and_no_body(transport: AiohttpTransport) -> None:
    """A GET without a body says nothing about one."""
    async with serve(OK) as server:
        await get(transport, server.url + "/swagger.json")
    assert server.requests[0].header("content-length") == []


async def test_an_empty_post_says_length_zero(transport: AiohttpTransport) -> None:
    """Azure ML's cancel takes an empty POST; the length must be there."""
    async with serve(OK) as server:
        await get(transport, server.url + "/", method="POST", body=b"")
    assert server.requests[0].header("content-length") == ["0"]


@pytest.mark.parametrize(
    "target",
    ["/score", "/a/%2e%2e/b", "/a/../b", "//a//b/", "/a;v=1/%2F%5c?x=%20+&y=1&x=2", "/%zz", "/?", "/%E4%F6"],
)
async def test_the_target_goes_out_as_it_was_written(transport: AiohttpTransport, target: str) -> None:
    """T01, T02, P6: no normalisation, no quoting, no decoding on the last stretch."""
    async with serve(OK) as server:
        await get(transport, server.url + target)
    # A "?" with nothing behind it names the same thing without it.
    assert server.requests[0].line == f"GET {target.removesuffix('?')} HTTP/1.1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["/elsewhere", "http://127.0.0.2:1/steal"])
async def test_a_redirect_is_an_answer_and_is_not_followed(
    transport: AiohttpTransport, status: int, where: str
) -> None:
    """T17, F14: one request, whatever Location says."""
    moved = f"HTTP/1.1 {status} Moved\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode()
    async with serve(moved) as server:
        answer = await transport.send("POST", server.url, headers={}, body=b"{}", deadline=at())
        assert (answer.status, await answer.read(10)) == (status, b"")
    assert len(server.requests) == 1


async def test_proxies_and_netrc_of_the_environment_do_nothing(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    """T18: neither the route nor the credentials come out of the environment."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password secret\n")
    async with serve(OK) as server, serve(OK) as proxy:
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        await get(transport, server.url)
        answer = await transport.send(
            "GET", server.url, headers={"authorization": "Bearer own"}, body=None, deadline=at()
        )
        await answer.read(10)
    assert proxy.connections == 0
    assert [request.header("authorization") for request in server.requests] == [[], ["Bearer own"]]


async def test_a_cookie_is_forgotten_at_once(transport: AiohttpTransport) -> None:
    """I03: what one answer sets, no later request carries."""
    async with serve(OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b; Path=/\r\n\r\n")) as server:
        await get(transport, server.url)
        await get(transport, server.url)
    assert [request.header("cookie") for request in server.requests] == [[], []]


async def test_a_large_body_arrives_whole_and_without_a_warning(transport: AiohttpTransport) -> None:
    """P7: four mebibytes are the same four mebibytes on the other side."""
    body = bytes(range(256)) * (4 << 12)
    async with serve(OK) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await get(transport, server.url, method="POST", body=body)
    assert server.requests[0].body == body
    assert server.requests[0].header("content-length") == [str(len(body))]


async def test_a_header_with_a_line_feed_never_leaves(transport: AiohttpTransport) -> None:
    """I01: a value that would start a header of its own ends in a fault, not in a request."""
    async with serve(OK) as server:
        with pytest.raises(TransportFault, match="protocol"):
            await transport.send("GET", server.url, headers={"x-a": "1\r\nx-b: 2"}, body=None, deadline=at())
        assert server.requests == []


class _Counting(AiohttpTransport):
    tries = 0

    async def _try(self, *args, **kwargs):
        self.tries += 1
        return await super()._try(*args, **kwargs)


async def test_a_refused_connection_is_tried_once_more_and_nothing_was_sent() -> None:
    """F01: two tries, quickly, and the caller may know that the model never saw it."""
    transport = _Counting(RealClock())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        with pytest.raises(TransportFault, match="unreachable") as caught:
            await transport.send(
                "POST", f"http://127.0.0.1:{taken.getsockname()[1]}/", headers={}, body=b"{}", deadline=at()
            )
    assert (caught.value.sent, transport.tries) == (False, 2)
    await transport.close()


async def test_a_name_that_does_not_exist_is_unreachable_and_nothing_was_sent(
    transport: AiohttpTransport,
) -> None:
    """F02: an unknown host is no timeout and no retry."""
    with pytest.raises(TransportFault, match="unreachable") as caught:
        await get(transport, "http://nobody.invalid/")
    assert not caught.value.sent


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_request_that_was_cut_off_is_not_sent_again(transport: AiohttpTransport, method: str) -> None:
    """F04: a reset before the answer; the model may have worked already, so once is once, for every method."""

    async def cut(_request: Request, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with serve(cut) as server:
        with pytest.raises(TransportFault, match="unreachable") as caught:
            await get(transport, server.url, method=method)
        assert (caught.value.sent, len(server.requests)) == (True, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_on_a_kept_connection_that_the_server_closes_is_not_sent_again(
    transport: AiohttpTransport, method: str
) -> None:
    """A connection that was good for one request and closes on the second: the second is unreachable, and only one."""

    async def once(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 1:
            writer.write(OK)
        else:
            writer.close()

    async with serve(once) as server:
        await get(transport, server.url)
        with pytest.raises(TransportFault, match="unreachable") as caught:
            await get(transport, server.url, method=method)
        assert (caught.value.sent, len(server.requests), server.connections) == (True, 2, 1)


async def test_silence_ends_at_the_deadline(transport: AiohttpTransport) -> None:
    """F03: a server that accepts and says nothing costs what the deadline allows, to the hundredth."""

    async def silence(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serve(silence) as server:
        before = time.monotonic()
        with pytest.raises(TransportFault, match="timeout") as caught:
            await transport.send("POST", server.url, headers={}, body=b"{}", deadline=at(0.15))
        assert caught.value.sent
        assert 0.1 < time.monotonic() - before < 1


async def test_a_deadline_that_has_passed_sends_nothing(transport: AiohttpTransport) -> None:
    """A call that waited too long for its turn is not made any more."""
    async with serve(OK) as server:
        with pytest.raises(TransportFault, match="timeout") as caught:
            await transport.send("POST", server.url, headers={}, body=b"{}", deadline=at(-0.1))
        assert (caught.value.sent, server.connections) == (False, 0)


async def test_a_cancelled_call_closes_its_connection(transport: AiohttpTransport) -> None:
    """T15: the caller left while the model worked; nobody else gets that connection."""
    arrived = asyncio.Event()

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 1:
            arrived.set()
            await asyncio.sleep(0.05)
        writer.write(OK)

    async with serve(slow) as server:
        call = asyncio.create_task(get(transport, server.url))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await get(transport, server.url)
        assert server.connections == 2


def _self_signed(tmp_path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "both.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    transport: AiohttpTransport, tmp_path
) -> None:
    """F17, T18: self-signed is unreachable; there is no way to ask for less, and no fallback to plain."""
    async with serve(OK, ssl=_self_signed(tmp_path)) as server:
        with pytest.raises(TransportFault, match="unreachable") as caught:
            await get(transport, server.url)
        assert (caught.value.sent, server.requests) == (False, [])


def test_constructing_opens_nothing_and_needs_no_loop() -> None:
    """Importing and building the app open nothing; a transport that was never used needs no closing."""
    AiohttpTransport(RealClock())


def test_a_new_loop_gets_a_new_session() -> None:
    """A worker that restarts its loop goes on: the old connections died with the old loop."""
    transport = AiohttpTransport(RealClock())

    async def one() -> bytes:
        async with serve(OK) as server:
            return await get(transport, server.url)

    async def last() -> bytes:
        try:
            return await one()
        finally:
            await transport.close()

    assert [asyncio.run(one()), asyncio.run(last())] == [b"ok", b"ok"]
