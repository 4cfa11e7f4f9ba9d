"""Reading one service of Azure: pages, patience and bounds, and that nothing but reads is sent to nobody but this service."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.bypass.collect import service as module
from shared.bypass.collect.answers import Unreadable
from shared.bypass.collect.patience import Patience
from shared.bypass.collect.service import EVENTUAL, READ_POSTS, TRIES, Service
from shared.bypass.collect.tokens import SignInFault
from tests.unit.outbound.servers import Handler, Server, reset, serve

PATH = "/subscriptions/s/things"


class Waits:
    """Waits without waiting, and remembers how long and why."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.told: list[str] = []

    def patience(self) -> Patience:
        return Patience(self.seconds.append, self.told.append)


def answer(status: int, body: Any = None, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def script(*answers: bytes | None) -> Handler:
    """Give each answer in turn, the last one for ever; None is a broken connection."""
    left = list(answers)

    async def handler(_: Any, writer: asyncio.StreamWriter) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        if now is None:
            reset(writer)
        else:
            writer.write(now)

    return handler


def pages(of: Callable[[Server], Iterable[Any]]) -> tuple[Server, Handler]:
    """Give a handler whose n-th answer is the n-th page of those that `of` makes, knowing the server."""
    server = Server()

    async def handler(request: Any, writer: asyncio.StreamWriter) -> None:
        listed = list(of(server))
        writer.write(answer(200, listed[min(request.number, len(listed)) - 1]))

    return server, handler


async def read[T](server: Server, call: Callable[[Service], T], waits: Waits | None = None) -> T:
    service = Service(server.url, lambda: "a-token", (waits or Waits()).patience())
    try:
        return await asyncio.to_thread(call, service)
    finally:
        service.close()


def all_items(service: Service) -> list[dict[str, object]]:
    return list(service.items(PATH, {"api-version": "1"}))


ELSEWHERE = {
    "another host": "http://azure.example:{port}/x",
    "another port": "http://127.0.0.1:1/x",
    "another scheme": "https://127.0.0.1:{port}/x",
    "somebody's name in it": "http://me@127.0.0.1:{port}/x",
    "a host that only begins alike": "http://127.0.0.1.example:{port}/x",
    "no address": "/x",
    "a port that is none": "http://127.0.0.1:port/x",
    "a number": 7,
    "an object": {},
}


@pytest.mark.parametrize("link", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("name", ["nextLink", "@odata.nextLink"])
async def test_a_token_is_sent_to_no_other_address(link: Any, name: str) -> None:
    """A next page elsewhere is not asked for; what the pages before held is not lost."""
    known: list[object] = []

    def page(server: Server) -> list[Any]:
        return [
            {"value": [{"id": 1}], name: link.format(port=server.port) if isinstance(link, str) else link}
        ]

    server, handler = pages(page)
    async with serve(handler) as running:
        server.port = running.port

        def take(service: Service) -> None:
            for item in service.items(PATH):
                known.append(item)  # noqa: PERF402 - what came before the fault is looked at

        with pytest.raises(Unreadable, match=r"next page is (said to be at another address|not text)"):
            await read(running, take)
    assert (len(running.requests), known) == (1, [{"id": 1}])


async def test_pages_that_go_in_a_circle_end() -> None:
    """A page that leads back to one before is a fault, not a loop."""
    server, handler = pages(
        lambda server: [
            {"value": [], "nextLink": f"{server.url}{PATH}?page=2"},
            {"value": [], "nextLink": f"{server.url}{PATH}?page=3"},
            {"value": [], "nextLink": f"{server.url}{PATH}?page=2"},
        ]
    )
    async with serve(handler) as running:
        server.url = running.url
        with pytest.raises(Unreadable, match="circle"):
            await read(running, all_items)
        assert len(running.requests) == 3


async def test_pages_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a most of pages."""
    monkeypatch.setattr(module, "MAX_PAGES", 4)
    count = iter(range(100))
    server, handler = pages(
        lambda server: [{"value": [], "nextLink": f"{server.url}{PATH}?page={next(count)}"}]
    )
    async with serve(handler) as running:
        server.url = running.url
        with pytest.raises(Unreadable, match="more than 4 pages"):
            await read(running, all_items)


async def test_pages_are_read_to_the_last_with_every_header_and_no_query_twice() -> None:
    """The next page's address is used as it is; the wish for eventual consistency goes with every page."""
    server, handler = pages(
        lambda server: [
            {
                "value": [{"id": 1}],
                "nextLink": f"{server.url.upper().replace('HTTP', 'http')}/next?$skiptoken=a%20b",
            },
            {"value": [{"id": 2}], "@odata.nextLink": None},
        ]
    )
    async with serve(handler) as running:
        server.url = running.url
        found = await read(
            running, lambda service: list(service.items(PATH, {"$top": "1"}, headers=EVENTUAL))
        )
    assert found == [{"id": 1}, {"id": 2}]
    assert [request.line for request in running.requests] == [
        f"GET {PATH}?%24top=1 HTTP/1.1",
        "GET /next?$skiptoken=a%20b HTTP/1.1",
    ]
    assert all(request.header("consistencylevel") == ["eventual"] for request in running.requests)


REFUSED = {
    "a redirect": (answer(307, location="http://127.0.0.1:1/"), "307", None),
    "no right": (
        answer(403, {"error": {"code": "AuthorizationFailed", "message": "token abc"}}),
        "403 AuthorizationFailed",
        "AuthorizationFailed",
    ),
    "a code without an error around it": (answer(404, {"code": "NotFound"}), "404 NotFound", "NotFound"),
    "a code that is a sentence": (answer(400, {"error": {"code": "no code, but a text"}}), "400", None),
    "a code that is a number": (answer(400, {"error": {"code": 7}}), "400", None),
    "a page of a proxy": (answer(403, b"<html>no"), "403", None),
    "deep nesting": (answer(404, b"[" * 200_000), "404", None),
    "success of another kind": (answer(202, {"value": []}), "202", None),
}


@pytest.mark.parametrize(("said", "why", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_told_by_status_and_code_alone_and_once(
    said: bytes, why: str, code: str | None
) -> None:
    """What an answer says besides may hold anything, and no later attempt would change it."""
    async with serve(said) as server:
        with pytest.raises(Unreadable) as fault:
            await read(server, all_items)
    assert (fault.value.why, fault.value.code) == (why, code)
    assert len(server.requests) == 1


NONSENSE = {
    "no JSON": (b"<html>", "not JSON"),
    "no UTF-8": (b'{"value": ["\xff"]}', "not JSON"),
    "a name twice": (b'{"value": [], "value": [{"id": 1}]}', "not JSON"),
    "a number that is none": (b'{"value": [{"id": NaN}]}', "not JSON"),
    "nesting without end": (b'{"value":' * 100_000, "not JSON"),
    "a list in place of a page": (b"[]", "not an object"),
    "a page without a list": (b'{"error": null}', "not a list of objects"),
    "a list of texts": (b'{"value": ["x"]}', "not a list of objects"),
}


@pytest.mark.parametrize(("said", "why"), NONSENSE.values(), ids=NONSENSE)
async def test_an_answer_that_is_not_understood_is_unreadable(said: bytes, why: str) -> None:
    """An answer that could mean something else is no answer."""
    async with serve(answer(200, said)) as server:
        with pytest.raises(Unreadable, match=why):
            await read(server, all_items)


@pytest.mark.parametrize("said", [b"", b"-1", b"1.5", b"12 members", b"\xc2\xb2", b"9" * 10])
async def test_a_count_is_a_number(said: bytes) -> None:
    """Anything else does not pass for none."""
    async with serve(answer(200, said)) as server:
        with pytest.raises(Unreadable, match="not a number"):
            await read(server, lambda service: service.count(f"{PATH}/$count"))


async def test_a_count_may_have_a_byte_order_mark() -> None:
    """As plain text of Graph may have one."""
    async with serve(answer(200, b"\xef\xbb\xbf12\n")) as server:
        assert await read(server, lambda service: service.count(f"{PATH}/$count")) == 12
    assert server.requests[0].line == f"GET {PATH}/$count HTTP/1.1"
    assert server.requests[0].header("consistencylevel") == ["eventual"]


PASSING = {
    "throttled, in words of the service": (answer(429, retry_after="7"), 7.0, "429"),
    "throttled, without words": (
        answer(429, {"error": {"code": "TooManyRequests"}}),
        1.0,
        "429 TooManyRequests",
    ),
    "throttled, in words of nobody": (answer(429, retry_after="soon"), 1.0, "429"),
    "out of service": (answer(503, retry_after="0"), 0.0, "503"),
    "a bad gateway": (answer(502), 1.0, "502"),
    "a slip": (answer(500), 1.0, "500"),
    "a broken connection": (None, 1.0, "the connection failed"),
    "half an answer": (b'HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n{"va', 1.0, "the connection failed"),
}


@pytest.mark.parametrize(("said", "waited", "why"), PASSING.values(), ids=PASSING)
async def test_what_passes_is_waited_for_and_told(said: bytes | None, waited: float, why: str) -> None:
    """One more try after the time that the service asks for, else after a second."""
    waits = Waits()
    handler = script(said, answer(200, {"value": [{"id": 1}]}))

    async def closing(request: Any, writer: asyncio.StreamWriter) -> None:
        await handler(request, writer)
        if said is not None and b"99" in said:
            await writer.drain()
            reset(writer) if request.number == 1 else None

    async with serve(closing) as server:
        assert await read(server, all_items, waits) == [{"id": 1}]
    assert waits.seconds == [waited]
    assert waits.told == [f"{why}: trying again in {waited:.0f} s"]


async def test_a_service_that_stays_away_is_given_up() -> None:
    """After a bounded number of tries, each further from the one before."""
    waits = Waits()
    async with serve(answer(503)) as server:
        with pytest.raises(Unreadable, match=f"503, {TRIES} times") as fault:
            await read(server, all_items, waits)
    assert fault.value.status == 503
    assert len(server.requests) == TRIES
    assert waits.seconds == [1, 2, 4, 8, 16]


async def test_a_service_that_is_away_is_not_waited_for_again_and_again() -> None:
    """After two calls in vain each further one has one try; an answer makes the service worth waiting for again."""
    waits = Waits()
    answers = [answer(503)] * (2 * TRIES + 2) + [
        answer(200, {"value": []}),
        answer(503),
        answer(200, {"value": []}),
    ]
    async with serve(script(*answers)) as server:
        service = Service(server.url, lambda: "a-token", waits.patience())
        told = []
        for _ in range(4):
            with pytest.raises(Unreadable) as fault:
                await asyncio.to_thread(all_items, service)
            told.append(fault.value.why)
        assert told == [f"503, {TRIES} times"] * 2 + ["503"] * 2
        before = len(waits.seconds)
        for _ in range(2):
            assert await asyncio.to_thread(all_items, service) == []
        service.close()
    assert (before, len(waits.seconds)) == (2 * (TRIES - 1), 2 * (TRIES - 1) + 1)


async def test_a_service_that_asks_for_hours_is_not_waited_for() -> None:
    """A collection says what it could not read, and does not stand still for a day."""
    waits = Waits()
    async with serve(answer(429, retry_after="7200")) as server:
        with pytest.raises(Unreadable, match="waiting 7200 s more would be too long"):
            await read(server, all_items, waits)
    assert (len(server.requests), waits.seconds) == (1, [])


async def test_all_waits_together_are_bounded() -> None:
    """Many services that ask for a little each are no reason to wait for ever."""
    waits = Waits()
    patience = waits.patience()
    assert [patience.wait(290, "429") for _ in range(8)] == [True] * 6 + [False] * 2


async def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the longest answer there is is not taken in."""
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    async with serve(answer(200, {"value": [{"id": "x" * (1 << 20)}]})) as server:
        with pytest.raises(Unreadable, match="longer than 1 MiB"):
            await read(server, all_items)


async def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of an answer has a deadline, not only each part of it."""
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.0)
    monkeypatch.setattr(module, "TRIES", 2)
    async with serve(answer(200, {"value": []})) as server:
        with pytest.raises(Unreadable, match="does not end, 2 times"):
            await read(server, all_items)


async def test_silence_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who never answers is asked again, and then is unreadable."""
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.05)
    monkeypatch.setattr(module, "TRIES", 2)

    async def silent(_request: Any, _writer: asyncio.StreamWriter) -> None:
        """Say nothing."""

    async with serve(silent) as server:
        with pytest.raises(Unreadable, match="no answer in time, 2 times"):
            await read(server, all_items)
    assert server.connections == 2


async def test_nothing_that_changes_anything_can_be_sent() -> None:
    """The one POST that there is reads; any other is a mistake of whoever calls."""
    assert {"/v1.0/directoryObjects/getByIds"} == READ_POSTS
    async with serve(answer(200, {"value": [{"id": 1}]})) as server:
        with pytest.raises(ValueError, match="none of the POSTs that read"):
            await read(server, lambda service: service.posted(f"{PATH}/listKeys", {}))
        found = await read(server, lambda service: service.posted(next(iter(READ_POSTS)), {"ids": ["x"]}))
    assert found == [{"id": 1}]
    assert [request.line for request in server.requests] == ["POST /v1.0/directoryObjects/getByIds HTTP/1.1"]
    assert json.loads(server.requests[0].body) == {"ids": ["x"]}


async def test_no_proxy_comes_between_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a password of .netrc: a stand-in is asked straight, with the token that it knows."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serve(answer(200, {"value": []})) as server:
        assert await read(server, all_items) == []
    assert server.requests[0].header("authorization") == ["Bearer a-token"]


async def test_a_proxy_of_the_environment_passes_on_what_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's workstation may know no other way out. The token goes through TLS, and .netrc does not replace it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine azure.example login me password secret\n")
    certificate, key = a_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def tunnel(request: Any, writer: asyncio.StreamWriter) -> None:
        if request.line.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 X\r\n\r\n")
            await writer.drain()
            await writer.start_tls(context)
        else:
            writer.write(answer(200, {"value": []}))

    async with serve(tunnel) as proxy:
        for name, value in (
            ("https_proxy", proxy.url),
            ("NETRC", netrc),
            ("REQUESTS_CA_BUNDLE", certificate),
        ):
            monkeypatch.setenv(name, str(value))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert await read(Server(url="https://azure.example"), all_items) == []
    outside, inside = proxy.requests
    assert (outside.line, outside.header("authorization")) == ("CONNECT azure.example:443 HTTP/1.1", [])
    assert inside.header("authorization") == ["Bearer a-token"]


async def test_a_proxy_that_does_not_let_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what it is, not as Azure's refusal."""
    async with serve(answer(403)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(Unreadable, match="the proxy of the environment could not be reached") as fault:
            await read(Server(url="https://azure.example"), all_items)
    assert fault.value.status is None


async def test_a_certificate_that_nobody_vouches_for_ends_it(tmp_path: Path) -> None:
    """TLS is always verified, and what fails is not tried again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*a_certificate(tmp_path))
    waits = Waits()
    async with serve(answer(200, {"value": []}), ssl=context) as server:
        with pytest.raises(Unreadable, match="certificate could not be verified"):
            await read(server, all_items, waits)
    assert (server.requests, waits.seconds) == ([], [])


async def test_without_a_token_nothing_is_sent() -> None:
    """Why there is none is told in its place."""

    def nobody() -> str:
        raise SignInFault("nobody is signed in")

    async with serve(answer(200, {"value": []})) as server:
        service = Service(server.url, nobody, Waits().patience())
        with pytest.raises(Unreadable, match="no token: nobody is signed in"):
            await asyncio.to_thread(all_items, service)
        service.close()
    assert server.requests == []


async def test_an_address_is_made_of_the_whole_path() -> None:
    """Resource groups may have letters of any script; nothing in a path begins a query."""
    async with serve(answer(200, {})) as server:
        await read(server, lambda service: service.get("/groups/größe (1)/x?y#z", {"$filter": "atScope()"}))
    line = server.requests[0].line
    assert line == "GET /groups/gr%C3%B6%C3%9Fe%20(1)/x%3Fy%23z?%24filter=atScope%28%29 HTTP/1.1"


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine and azure.example that vouches for itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("azure.example")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    written, private = folder / "cert.pem", folder / "key.pem"
    written.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return written, private
