"""Sending and mapping: what of the model's side reaches a caller, and every place given back (threats, section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from shared.backends.forward import MAX_ERROR_BODY, RELAYED, Forwarder
from shared.model import Reply, Route
from shared.ports import Forwarded, TransportFault
from shared.problem import Slug, UpstreamFault, render
from tests.fakes import (
    SCOPE,
    TOKEN,
    FakeAnswer,
    FakeClock,
    FakeTokens,
    FakeTransport,
    LoopTime,
    a_call,
    a_route,
    headers_of,
    settle,
)

MARKER = "workspace-of-the-owner"


class Sent:
    """A forwarder over fakes with one place at `fraud`, taken, and its call ready to go."""

    def __init__(self, *script: FakeAnswer | BaseException | None, route: Route | None = None) -> None:
        self.transport = FakeTransport(*script)
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.forwarder = Forwarder(self.transport, self.tokens, self.clock)
        self.route = route or a_route()

    async def send(self) -> Forwarded:
        return await self.forwarder.send(await self.forwarder.take(a_call(route=self.route)))

    async def fault(self) -> UpstreamFault:
        with pytest.raises(UpstreamFault) as raised:
            await self.send()
        return raised.value


async def whole(reply: Reply) -> bytes:
    """Read a reply to its end, as the gate does."""
    assert not isinstance(reply.body, bytes)
    try:
        return b"".join([chunk async for chunk in reply.body])
    finally:
        await reply.body.aclose()  # type: ignore[attr-defined]


ERROR_BODIES: dict[str, Any] = {
    "an HTML page": b"<html>" + MARKER.encode() + b"</html>",
    "nothing": b"",
    "more than 64 KiB of JSON": json.dumps("x" * MAX_ERROR_BODY).encode(),
    "JSON cut short": [b'{"a": ', TransportFault("truncated", sent=True)],
    "JSON that never ends in time": [b'{"a": ', TransportFault("timeout", sent=True)],
    "JSON and more": b"{} {}",
    "JSON that is not UTF-8": b'{"message": "\xff\xfe"}',
    "JSON behind a byte order mark": b"\xef\xbb\xbf{}",
    "a hundred thousand brackets": b"[" * 60_000,
    "NaN": b"NaN",
    "compressed bytes": b"\x1f\x8b\x08\x00\x00",
}

OWN = [
    pytest.param(400, Slug.UPSTREAM_REJECTED, 400, id="400 stays 400"),
    pytest.param(409, Slug.UPSTREAM_REJECTED, 409, id="409 stays 409"),
    pytest.param(413, Slug.UPSTREAM_REJECTED, 413, id="413 stays 413"),
    pytest.param(415, Slug.UPSTREAM_REJECTED, 415, id="415 stays 415"),
    pytest.param(422, Slug.UPSTREAM_REJECTED, 422, id="422 stays 422"),
    pytest.param(424, Slug.MODEL_ERROR, 424, id="424 is the model's error"),
    pytest.param(429, Slug.UPSTREAM_RATE_LIMITED, 429, id="429 is the model's limit"),
    pytest.param(401, Slug.UPSTREAM_AUTH_FAILED, 502, id="I04: 401 is about the gate's identity"),
    pytest.param(403, Slug.UPSTREAM_AUTH_FAILED, 502, id="I04: 403 is about the gate's identity"),
    pytest.param(404, Slug.UPSTREAM_NOT_FOUND, 502, id="404 is an endpoint that is not there"),
    pytest.param(408, Slug.UPSTREAM_TIMEOUT, 504, id="408 is Azure ML's own deadline"),
    pytest.param(504, Slug.UPSTREAM_TIMEOUT, 504, id="504 is a deadline"),
    pytest.param(503, Slug.UPSTREAM_UNAVAILABLE, 503, id="503 is unavailable"),
    *(pytest.param(s, Slug.UPSTREAM_REDIRECT, 502, id=f"T17: {s} is followed nowhere") for s in (301, 302, 303, 304, 307, 308)),
    *(pytest.param(s, Slug.UPSTREAM_ERROR, 502, id=f"{s} is an error") for s in (402, 405, 410, 418, 431, 500, 501, 502, 505, 599)),
]  # fmt: skip


@pytest.mark.parametrize(("upstream", "slug", "status"), OWN)
async def test_an_error_of_the_model_becomes_the_gates_own_with_relay_errors_off(
    upstream: int, slug: Slug, status: int, free_places: Any
) -> None:
    """Threats, section 6: each status has one slug and one status, and no byte of the model's body comes through."""
    answer = FakeAnswer(upstream, json.dumps({"error": MARKER}).encode())
    house = Sent(answer, route=a_route(relay_errors=False))
    fault = await house.fault()
    assert (fault.slug, fault.status) == (slug, status)
    assert (fault.upstream_status, fault.outcome) == (upstream, f"upstream-{upstream}")
    assert MARKER not in str(render(fault, request_id="r"))
    assert answer.closed
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize("kind", ERROR_BODIES)
@pytest.mark.parametrize(("upstream", "slug", "status"), OWN)
async def test_an_error_body_that_is_not_small_json_is_never_relayed(
    upstream: int, slug: Slug, status: int, kind: str, free_places: Any
) -> None:
    """With relay-errors on, only JSON of at most 64 KiB comes through; anything else is the gate's own answer."""
    answer = FakeAnswer(upstream, ERROR_BODIES[kind], {"content-type": "text/html"})
    house = Sent(answer)
    fault = await house.fault()
    assert (fault.slug, fault.status, fault.upstream_status) == (slug, status, upstream)
    assert answer.closed
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize("upstream", sorted(set(range(300, 600)) - RELAYED))
async def test_json_of_any_other_status_is_never_relayed(upstream: int) -> None:
    """Only 400, 409, 413, 415, 422, 424 and 429 may come through with their body, however good its JSON is."""
    fault = await Sent(FakeAnswer(upstream, json.dumps({"error": MARKER}).encode())).fault()
    assert MARKER not in str(render(fault, request_id="r"))


@pytest.mark.parametrize("upstream", sorted(RELAYED))
async def test_small_json_of_a_relayed_status_comes_through_untouched(
    upstream: int, free_places: Any
) -> None:
    """With relay-errors on, the status and the exact bytes of a JSON error reach the caller as application/json."""
    body = b'{ "error" : 1.0e0,  "x":"\\u00e9" }\n'
    answer = FakeAnswer(upstream, body, {"content-type": "application/problem+json; evil=1"})
    house = Sent(answer)
    forwarded = await house.send()
    assert (forwarded.reply.status, forwarded.reply.body, forwarded.upstream_status) == (
        upstream,
        body,
        upstream,
    )
    assert headers_of(forwarded.reply)["content-type"] == "application/json"
    assert answer.closed
    assert await free_places(house.forwarder) == 1


async def test_exactly_64_kib_of_json_come_through() -> None:
    """The bound itself is within it."""
    body = json.dumps("x" * (MAX_ERROR_BODY - 2)).encode()
    forwarded = await Sent(FakeAnswer(400, body)).send()
    assert forwarded.reply.body == body


@pytest.mark.parametrize("upstream", [401, 403])
@pytest.mark.parametrize("relay", [True, False])
async def test_i04_a_refusal_of_the_gates_identity_drops_the_token_and_is_not_tried_again(
    upstream: int, relay: bool
) -> None:
    """I04: one call, 502, no challenge for the caller; the token of that audience alone is forgotten."""
    answer = FakeAnswer(upstream, b"{}", {"www-authenticate": "Bearer", "content-type": "application/json"})
    house = Sent(answer, route=a_route(relay_errors=relay))
    fault = await house.fault()
    assert fault.status == 502
    assert house.tokens.dropped == [SCOPE]
    assert len(house.transport.sent) == 1
    assert "www-authenticate" not in headers_of(render(fault, request_id="r"))


@pytest.mark.parametrize("upstream", [200, 400, 404, 424, 429, 500, 503])
async def test_no_other_answer_drops_the_token(upstream: int) -> None:
    """A token that the model accepted, or said nothing about, is kept."""
    house = Sent(FakeAnswer(upstream, b"{}"))
    with contextlib.suppress(UpstreamFault):
        await house.send()
    assert house.tokens.dropped == []


HOSTILE = {
    "www-authenticate": "Bearer",
    "set-cookie": "a=b",
    "set-cookie2": "a=b",
    "server": "nginx",
    "location": "https://evil.test",
    "content-location": "/x",
    "alt-svc": "h3=':443'",
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
    "strict-transport-security": "max-age=0",
    "content-security-policy": "default-src *",
    "clear-site-data": "*",
    "refresh": "0;url=https://evil.test",
    "link": "<https://evil.test>; rel=preload",
    "cache-control": "public, max-age=9999",
    "expires": "Thu, 01 Jan 2099 00:00:00 GMT",
    "etag": "x",
    "vary": "*",
    "age": "1",
    "date": "x",
    "via": "x",
    "connection": "x-request-id",
    "keep-alive": "x",
    "transfer-encoding": "chunked",
    "content-length": "9999",
    "trailer": "x",
    "upgrade": "h2c",
    "proxy-authenticate": "Basic",
    "x-request-id": "forged",
    "x-powered-by": "x",
    "x-ms-client-principal": "x",
    "x-ms-run-function-failed": "x",
    "x-ms-server-version": "x",
    "x-ms-request-id": "x",
    "azureml-model-deployment": "blue",
    "azureml-model-session": "x",
    "azureml-served-by-cluster": "x",
    "apim-request-id": "x",
    "ms-azureml-model-time": "x",
    "ms-azureml-model-error-reason": "model_error",
    "ms-azureml-model-error-statuscode": "500",
    "retry-after": "7",
}


async def test_i03_of_forty_headers_of_a_success_only_the_content_type_comes_through() -> None:
    """I03: the allow-list of a success is content-type alone; the gate sets the rest itself."""
    assert len(HOSTILE) >= 40
    house = Sent(FakeAnswer(200, b"[1]", {**HOSTILE, "content-type": "application/json"}))
    forwarded = await house.send()
    assert forwarded.reply.headers == (("content-type", "application/json"),)


@pytest.mark.parametrize("upstream", sorted(RELAYED))
@pytest.mark.parametrize("relay", [True, False])
async def test_i03_of_forty_headers_of_an_error_only_three_can_come_through(
    upstream: int, relay: bool
) -> None:
    """I03: content-type, the model's status with 424, a sanitised Retry-After with 429, and nothing else."""
    house = Sent(
        FakeAnswer(upstream, b"{}", {**HOSTILE, "content-type": "text/html"}),
        route=a_route(relay_errors=relay),
    )
    if relay:
        headers = headers_of((await house.send()).reply)
    else:
        headers = headers_of(render(await house.fault(), request_id="r"))
    expected = {"content-type": "application/json" if relay else "application/problem+json"}
    if upstream == 424:
        expected["ms-azureml-model-error-statuscode"] = "500"
    if upstream == 429:
        expected["retry-after"] = "7"
    assert headers == expected


@pytest.mark.parametrize("value", ["", "five", "5 00", "-1", "\u0665", "500\r\nx: y", "5.0"])
async def test_i03_a_model_status_that_is_not_digits_is_left_out(value: str) -> None:
    """I03: `ms-azureml-model-error-statuscode` comes through as digits or not at all."""
    headers = {"ms-azureml-model-error-statuscode": value, "content-type": "application/json"}
    forwarded = await Sent(FakeAnswer(424, b"{}", headers)).send()
    assert "ms-azureml-model-error-statuscode" not in headers_of(forwarded.reply)


@pytest.mark.parametrize("upstream", [429, 503])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nan", None),
        ("inf", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("9" * 40, "86400"),
        ("86401", "86400"),
        ("0.2", "1"),
        ("30", "30"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "0"),
        ("Sun, 15 Jun 2025 15:07:40 GMT", "60"),
    ],
)
async def test_retry_after_goes_out_as_whole_seconds_of_at_most_a_day(
    upstream: int, value: str, told: str | None
) -> None:
    """F09, ruling "Retry-After": seconds or a date become seconds up to 86,400; nonsense is left out."""
    house = Sent(
        FakeAnswer(upstream, b"{}", {"retry-after": value, "content-type": "application/json"}),
        route=a_route(relay_errors=False),
    )
    assert house.clock.time() == 1_750_000_000.0  # 2025-06-15 15:06:40 UTC
    fault = await house.fault()
    assert headers_of(render(fault, request_id="r")).get("retry-after") == told


async def test_a_relayed_429_tells_the_same_retry_after() -> None:
    """A 429 with the model's own body carries the sanitised number, not the model's text."""
    forwarded = await Sent(FakeAnswer(429, b"{}", {"retry-after": "99999999"})).send()
    assert headers_of(forwarded.reply)["retry-after"] == "86400"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x"])
async def test_t19_d03_a_compressed_success_is_refused_and_never_unpacked(
    encoding: str, free_places: Any
) -> None:
    """T19, D03: the gate asked for identity; anything else is 502, the connection closed, the place given back."""
    answer = FakeAnswer(200, b"\x1f\x8b", {"content-encoding": encoding})
    house = Sent(answer)
    fault = await house.fault()
    assert (fault.slug, fault.status, fault.upstream_status) == (Slug.UPSTREAM_ERROR, 502, 200)
    assert answer.closed
    assert not answer.read_to_end
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize(
    ("what", "slug", "status", "outcome"),
    [
        ("unreachable", Slug.UPSTREAM_UNREACHABLE, 502, "upstream-unreachable"),
        ("protocol", Slug.UPSTREAM_UNREACHABLE, 502, "upstream-unreachable"),
        ("truncated", Slug.UPSTREAM_UNREACHABLE, 502, "upstream-unreachable"),
        ("timeout", Slug.UPSTREAM_TIMEOUT, 504, "upstream-timeout"),
    ],
)
async def test_no_answer_is_502_or_504_after_one_call(
    what: str, slug: Slug, status: int, outcome: str, free_places: Any
) -> None:
    """F01 to F03, D06: a call without an answer is mapped, is not repeated here, and gives its place back."""
    for sent in (True, False):
        house = Sent(TransportFault(what, sent=sent))
        fault = await house.fault()
        assert (fault.slug, fault.status, fault.outcome, fault.upstream_status) == (
            slug,
            status,
            outcome,
            None,
        )
        assert len(house.transport.sent) == 1
        assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 206])
async def test_p7_a_success_passes_byte_for_byte(status: int, free_places: Any) -> None:
    """P7: what the model sent reaches the caller in the same bytes; the place is given back at its end."""
    pieces = [b"\x00\xff", b"data: x\n\n", "é".encode()[:1], "é".encode()[1:]]
    answer = FakeAnswer(status, pieces, {"content-type": "text/event-stream"})
    house = Sent(answer)
    forwarded = await house.send()
    assert (forwarded.reply.status, forwarded.upstream_status) == (status, status)
    assert forwarded.reply.headers == (("content-type", "text/event-stream"),)
    assert await free_places(house.forwarder) == 0, "the place is taken while the body is on its way"
    assert await whole(forwarded.reply) == b"".join(pieces)
    assert answer.closed
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize("what", ["truncated", "timeout", "protocol"])
async def test_f04_a_success_that_is_cut_ends_in_a_fault_and_frees_the_place(
    what: str, free_places: Any
) -> None:
    """F04, F05, F08: what came is followed by a fault and no clean end, and is on record as a beginning."""
    house = Sent(FakeAnswer(200, [b"half", TransportFault(what, sent=True)]))
    forwarded = await house.send()
    with pytest.raises(UpstreamFault) as cut:
        await whole(forwarded.reply)
    assert (cut.value.outcome, cut.value.upstream_status) == ("truncated", 200)
    assert await free_places(house.forwarder) == 1


async def test_t15_a_body_that_is_left_unread_closes_its_connection(free_places: Any) -> None:
    """T15: letting go of a body in the middle closes the answer, once, and gives the place back, once."""
    answer = FakeAnswer(200, [b"half", b"rest"])
    house = Sent(answer)
    forwarded = await house.send()
    body: Any = forwarded.reply.body
    assert await anext(body) == b"half"
    await body.aclose()
    await body.aclose()
    assert answer.closed == 1
    assert await free_places(house.forwarder) == 1


async def test_a_connection_that_cannot_be_closed_takes_no_place_with_it(free_places: Any) -> None:
    """D07: whatever closing the answer comes to, the place is free afterwards."""
    answer = FakeAnswer(200, b"[1]")
    house = Sent(answer)
    forwarded = await house.send()

    def broken() -> None:
        raise OSError("broken")

    answer.close = broken  # type: ignore[method-assign]
    body: Any = forwarded.reply.body
    with pytest.raises(OSError, match="broken"):
        await body.aclose()
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(None, id="before the model answers"),
        pytest.param(FakeAnswer(400, [b"{", None]), id="while its error is read"),
    ],
)
async def test_f46_a_caller_who_leaves_gives_the_place_back(
    script: FakeAnswer | None, free_places: Any
) -> None:
    """F46, D07: cancellation at any point of a call closes what was open and frees the place."""
    house = Sent(script)
    calling = asyncio.ensure_future(house.send())
    await settle()
    calling.cancel()
    await settle()
    assert calling.cancelled()
    assert script is None or script.closed
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize(
    "bug", [RuntimeError("x"), ValueError("x"), KeyError("x"), OSError("x"), MemoryError()]
)
@pytest.mark.parametrize("where", ["send", "read"])
async def test_p10_an_unforeseen_error_frees_the_place_and_is_no_success(
    bug: Exception, where: str, free_places: Any
) -> None:
    """P10: an error that no port promises goes on as an error, with the place given back."""
    house = Sent(bug if where == "send" else FakeAnswer(400, [bug]))
    with pytest.raises(type(bug)):
        await house.send()
    assert await free_places(house.forwarder) == 1


@pytest.mark.parametrize("fault", [RuntimeError("x"), asyncio.CancelledError(), TimeoutError()])
async def test_a_token_that_does_not_come_takes_no_place(fault: BaseException, free_places: Any) -> None:
    """F18: when the gate's own token fails, or the caller leaves meanwhile, the place is free again."""
    house = Sent()
    house.tokens.fault = fault
    with pytest.raises(type(fault)):
        await house.forwarder.take(a_call(route=house.route))
    house.tokens.fault = None
    assert await free_places(house.forwarder) == 1


async def test_e11_the_token_is_asked_for_the_routes_own_audience() -> None:
    """E11: a route's scope decides which token is asked for."""
    house = Sent(route=a_route(scope="https://ai.azure.com/.default"))
    taken = await house.forwarder.take(a_call(route=house.route))
    assert taken.headers["authorization"] == f"Bearer {TOKEN}"
    assert house.tokens.asked == ["https://ai.azure.com/.default"]


async def test_d07_one_endpoint_that_hangs_holds_no_place_of_another() -> None:
    """D07: places are counted for each endpoint by itself."""
    time = LoopTime()
    house = Sent()
    await house.forwarder.take(a_call())
    await asyncio.wait_for(house.forwarder.take(a_call(route=a_route(name="other"))), 1)
    second = asyncio.ensure_future(house.forwarder.take(a_call()))
    await settle()
    assert not second.done()
    await time.pass_(3)
    assert second.exception() is not None
