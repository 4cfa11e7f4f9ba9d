"""Classic hosting: what the host read becomes an Inbound, and a whole Reply becomes an HttpResponse."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.hosting.classic import ClassicBody, function_for, inbound_of
from shared.model import Inbound, Reply
from shared.problem import AskedWrongly, Slug
from tests.fakes import FakeAnswer, FakeClock, FakeTokens, FakeTransport
from tests.house import House

JSON = {"content-type": "application/json"}


def request(
    method: str = "POST",
    url: str = "https://gate.azurewebsites.net/endpoints/fraud/score",
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
) -> func.HttpRequest:
    declared = {**JSON, "content-length": str(len(body))}
    return func.HttpRequest(
        method,
        url,
        headers=declared if headers is None else headers,
        route_params={"name": "fraud"},
        body=body,
    )


def gate() -> tuple[Any, FakeTransport]:
    """Return the function that serves `score` over a gate with the real backend, and what it sends."""
    transport = FakeTransport(FakeAnswer(200, [b"[", b"1]"]))
    house = House(backend=Online(Forwarder(transport, FakeTokens(), FakeClock()), FakeClock()))
    return function_for("score", house.handle), transport


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param(JSON, b"", 411, id="D01: chunks that the host dropped"),
        pytest.param(JSON, b"{}", 411, id="D01: bytes without a length"),
        pytest.param({**JSON, "content-length": "0"}, b"", 411, id="D01: a length of zero"),
        pytest.param({**JSON, "content-length": "2, 2"}, b"{}", 411, id="T14: two lengths"),
        pytest.param({**JSON, "content-length": "9999"}, b"{}", 413, id="D01: a length beyond the cap"),
        pytest.param({**JSON, "content-length": "2"}, b"x" * 2000, 413, id="D01: more than was declared, beyond the cap"),
        pytest.param({**JSON, "content-length": "2"}, b"{} ", 400, id="T14: more than was declared"),
        pytest.param({**JSON, "content-length": "5"}, b"{}", 400, id="T14: less than was declared"),
        pytest.param({"content-length": "2"}, b"{}", 415, id="T08: no content type"),
    ],
)  # fmt: skip
async def test_a_body_that_is_not_what_it_says_is_never_sent_on(
    headers: dict[str, str], body: bytes, status: int
) -> None:
    """D01, T14, threats fact 3: a body without a true length is refused, and never forwarded empty or cut."""
    function, transport = gate()
    response = await function(request(headers=headers, body=body))
    assert (response.status_code, transport.sent) == (status, [])


@pytest.mark.parametrize(
    "url",
    [
        "https://[abc]/endpoints/fraud/score",
        "https://[::1/endpoints/fraud/score",
        "https://gate\u2100.test/endpoints/fraud/score",
        "https://gate:port/endpoints/fraud/score",
        "/endpoints/fraud/score",
        "",
        "?",
    ],
)
async def test_t01_a_host_header_that_is_no_host_breaks_nothing(url: str) -> None:
    """T01, P10: the host builds the url from the caller's Host header; whatever it is, the gate answers."""
    function, transport = gate()
    response = await function(request(url=url))
    assert response.status_code == 200
    assert transport.sent[0]["url"].startswith("https://fraud.westeurope")


@pytest.mark.parametrize("query", ["a=b", "&", "=", "code=x", "a#b", "#b", "\ud800", "%00", ";", "a=b?c=d"])
async def test_t04_any_query_is_seen(query: str) -> None:
    """T04: whatever stands behind the question mark is a query, and is refused."""
    function, transport = gate()
    response = await function(request(url=f"https://gate.test/endpoints/fraud/score?{query}"))
    assert (response.status_code, transport.sent) == (400, [])


@given(st.text(max_size=60))
@example("//[abc]/")
def test_p10_no_url_raises(url: str) -> None:
    """P10: reading what the host gave never raises."""
    assert inbound_of("score", request(url=url)).route == "score"


@given(st.binary(max_size=50), st.integers(0, 60), st.integers(0, 60))
async def test_a_body_is_given_whole_or_not_at_all(data: bytes, declared: int, limit: int) -> None:
    """P7: what is returned is exactly what came, within the limit and as long as declared."""
    body = ClassicBody(declared, data)
    try:
        assert await body.read(limit) == data
    except AskedWrongly as wrong:
        assert wrong.slug is (Slug.PAYLOAD_TOO_LARGE if len(data) > limit else Slug.INVALID_REQUEST)
        assert len(data) > limit or len(data) != declared
    else:
        assert len(data) == declared <= limit


def test_s08_headers_are_found_in_any_case_and_a_joined_one_shows_its_comma() -> None:
    """S08, threats fact 2: the host joins repeated headers by a comma; the gate sees the comma."""
    inbound = inbound_of("score", request(headers={"X-MS-CLIENT-PRINCIPAL": "abc,def"}))
    assert inbound.headers.get("x-ms-client-principal") == "abc,def"


def test_the_request_is_told_as_it_came() -> None:
    """Method, route, parameters, query, length: nothing is added, nothing is streamed."""
    inbound = inbound_of("swagger", request("get", "https://gate.test/x?q=1", body=b""))
    assert (inbound.method, inbound.route, dict(inbound.params), inbound.query) == (
        "GET",
        "swagger",
        {"name": "fraud"},
        "q=1",
    )
    assert (inbound.body.length, inbound.body.chunked, inbound.streams) == (0, False, False)


async def test_the_answer_goes_out_with_its_status_headers_and_bytes() -> None:
    """A whole reply becomes an HttpResponse; no content type is made up beside the gate's."""
    function, transport = gate()
    response = await function(request())
    assert (response.status_code, response.get_body()) == (200, b"[1]")
    headers = {name.lower(): value for name, value in response.headers.items()}
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert transport.sent[0]["body"] == b"{}"


async def test_an_answer_that_is_not_whole_is_a_bug_and_not_sent() -> None:
    """In classic the gate never gives a stream; one that comes all the same is no answer."""

    async def handle(inbound: Inbound) -> Reply:
        async def chunks() -> Any:
            yield b"x"

        return Reply(status=200, headers=(), body=chunks())

    with pytest.raises(TypeError):
        await function_for("score", handle)(request())
