"""Azure ML online endpoints: what is asked, how it may be asked, and what goes on the wire."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.model import Headers, Inbound, Reason, Route
from shared.ports import Call
from shared.problem import AskedWrongly, ClientClosed, Slug, Undecidable
from tests.fakes import (
    JSON_HEADERS,
    SCOPE,
    TOKEN,
    URL,
    FakeAnswer,
    FakeBody,
    FakeClock,
    FakeTokens,
    FakeTransport,
    a_principal,
    a_route,
    a_rule,
    an_inbound,
    settle,
)

ALLOWED = {
    "accept",
    "x-request-id",
    "content-type",
    "traceparent",
    "azureml-model-deployment",
    "authorization",
}
RID = "00000000-0000-4000-8000-000000000000"


class House:
    """The backend over fakes."""

    def __init__(self) -> None:
        self.transport = FakeTransport(FakeAnswer(200))
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.forwarder = Forwarder(self.transport, self.tokens, self.clock)
        self.online = Online(self.forwarder, self.clock)

    async def prepare(self, inbound: Inbound, route: Route | None = None) -> Call:
        """Return the call that is checked and taken, as the gate takes it."""
        alice = a_principal()
        asked = await self.online.resolve(self.online.read(inbound), inbound, alice)
        call = await self.online.prepare(
            route or a_route(), asked, inbound, rule=a_rule(), principal=alice, request_id=RID
        )
        assert self.tokens.asked == [], "nothing is taken for a call that is still checked"
        return await self.online.take(call)

    async def refusal(self, inbound: Inbound, route: Route | None = None) -> AskedWrongly:
        with pytest.raises(AskedWrongly) as refused:
            await self.prepare(inbound, route)
        assert self.tokens.asked == [], "a token was asked for a request that cannot be sent"
        return refused.value


def with_headers(*pairs: tuple[str, str], **changes: Any) -> Inbound:
    return an_inbound(headers=Headers([*JSON_HEADERS, *pairs]), **changes)


def typed(content_type: str | None, *pairs: tuple[str, str], **changes: Any) -> Inbound:
    own = [] if content_type is None else [("content-type", content_type)]
    return an_inbound(headers=Headers([*own, *pairs]), **changes)


REFUSED = [
    pytest.param(an_inbound(body=FakeBody(b"", length=0)), Slug.LENGTH_REQUIRED, id="D01: a length of zero is 411"),
    pytest.param(an_inbound(body=FakeBody(b"", length=None)), Slug.LENGTH_REQUIRED, id="D01: no length is 411"),
    pytest.param(an_inbound(body=FakeBody(b"{}", length=None)), Slug.LENGTH_REQUIRED, id="no length is 411 though bytes are there"),
    pytest.param(an_inbound(body=FakeBody(b"", length=None, chunked=True)), Slug.LENGTH_REQUIRED, id="chunks of nothing are 411"),
    pytest.param(an_inbound(body=FakeBody(b"", length=5)), Slug.LENGTH_REQUIRED, id="a promised body that is empty is 411"),
    pytest.param(an_inbound(body=FakeBody(b"x", length=1025)), Slug.PAYLOAD_TOO_LARGE, id="D01: one byte over the cap is 413"),
    pytest.param(an_inbound(body=FakeBody(b"x" * 1025, length=5)), Slug.PAYLOAD_TOO_LARGE, id="D01: a false length is 413"),
    pytest.param(an_inbound(body=FakeBody(b"x" * 1025, length=None, chunked=True)), Slug.PAYLOAD_TOO_LARGE, id="D01: long chunks are 413"),
    pytest.param(typed(None), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08: no content type is 415"),
    pytest.param(typed("text/plain"), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08, S23: text/plain is 415"),
    pytest.param(typed("application/x-www-form-urlencoded"), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08, S23: a form is 415"),
    pytest.param(typed("application/json; charset=utf-16"), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08: another charset is 415"),
    pytest.param(with_headers(("Content-Type", "application/json")), Slug.UNSUPPORTED_MEDIA_TYPE, id="two content types are 415"),
    pytest.param(with_headers(("Content-Encoding", "gzip")), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08, D03: gzip is 415"),
    pytest.param(with_headers(("Content-Encoding", "")), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08: an empty encoding is 415"),
    pytest.param(with_headers(("Content-Encoding", "identity"), ("content-encoding", "gzip")), Slug.UNSUPPORTED_MEDIA_TYPE, id="T08: gzip behind identity is 415"),
    pytest.param(an_inbound(query="api-version=1"), Slug.INVALID_REQUEST, id="T04: a query is 400"),
    pytest.param(an_inbound(query="code=secret"), Slug.INVALID_REQUEST, id="T04, E10: a host key in the query is 400"),
    pytest.param(an_inbound(query="&"), Slug.INVALID_REQUEST, id="T04: a query without a name is 400"),
    pytest.param(an_inbound("swagger", query="version=3"), Slug.INVALID_REQUEST, id="T04: a query on swagger.json is 400"),
]  # fmt: skip


@pytest.mark.parametrize(("inbound", "slug"), REFUSED)
async def test_what_is_asked_wrongly_is_refused_before_a_token_is_asked(
    inbound: Inbound, slug: Slug, free_places: Any
) -> None:
    """D01, T04, T08: each way of asking wrongly has its status, takes no place, and asks for no token."""
    house = House()
    assert (await house.refusal(inbound)).slug is slug
    assert await free_places(house.forwarder) == 1


def _wrong(
    *, length: bool = False, size: bool = False, carrier: bool = False, query: bool = False
) -> Inbound:
    declared = None if length else (4096 if size else 2)
    return typed(
        "text/plain" if carrier else "application/json",
        body=FakeBody(length=declared),
        query="a=b" if query else "",
    )


@pytest.mark.parametrize(
    ("inbound", "status"),
    [
        (_wrong(length=True, carrier=True, query=True), 411),
        (_wrong(size=True, carrier=True, query=True), 413),
        (_wrong(carrier=True, query=True), 415),
        (_wrong(query=True), 400),
    ],
)
async def test_of_several_faults_the_first_in_order_is_told(inbound: Inbound, status: int) -> None:
    """Ruling "Order": 411, then 413, then 415, then 400."""
    assert (await House().refusal(inbound)).status == status


async def test_d01_a_body_that_is_declared_too_large_is_not_read() -> None:
    """D01: no byte of a body beyond the cap is read when its length already says so."""
    body = FakeBody(length=10**9)
    await House().refusal(an_inbound(body=body))
    assert body.limits == []


async def test_d01_a_body_is_read_within_the_policys_bound() -> None:
    """D01: the body's reader is told the policy's own `max-body`."""
    body = FakeBody(b"x" * 77, length=None, chunked=True)
    await House().prepare(an_inbound(body=body), a_route(max_body=77))
    assert body.limits == [77]


async def test_d02_a_slow_body_holds_no_place(free_places: Any) -> None:
    """D02: while a body is on its way, neither a place nor a token is taken for it."""
    house = House()
    waiting = asyncio.ensure_future(house.prepare(an_inbound(body=FakeBody(None))))
    await settle()
    assert not waiting.done()
    assert await free_places(house.forwarder) == 1
    waiting.cancel()


async def test_a_caller_who_leaves_in_the_middle_of_the_body_takes_no_place(free_places: Any) -> None:
    """F46: ClientClosed goes on as it is; there is nobody to tell that the request was wrong."""
    house = House()
    with pytest.raises(ClientClosed):
        await house.prepare(an_inbound(body=FakeBody(ClientClosed(), length=5)))
    assert house.tokens.asked == []
    assert await free_places(house.forwarder) == 1


async def test_f18_without_a_token_nothing_can_be_sent_and_no_place_is_held(free_places: Any) -> None:
    """F18: the gate's credential failing is 503 before anything goes upstream."""
    house = House()
    house.tokens.fault = Undecidable(Reason.CREDENTIAL_UNAVAILABLE)
    with pytest.raises(Undecidable) as refused:
        await house.prepare(an_inbound())
    assert (refused.value.slug, refused.value.status) == (Slug.CREDENTIAL_UNAVAILABLE, 503)
    house.tokens.fault = None
    assert await free_places(house.forwarder) == 1


async def test_a_call_that_is_never_sent_gives_its_place_back(free_places: Any) -> None:
    """`release` frees the place that `take` took."""
    house = House()
    call = await house.prepare(an_inbound())
    assert await free_places(house.forwarder) == 0
    house.online.release(call)
    assert await free_places(house.forwarder) == 1
    assert house.transport.sent == []


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "_method"])
async def test_t16_a_method_override_changes_nothing(name: str) -> None:
    """T16: a scoring request is a POST upstream whatever its headers or body say, and the override goes nowhere."""
    house = House()
    call = await house.prepare(with_headers((name, "DELETE"), body=FakeBody(b"_method=DELETE")))
    assert (call.method, call.url) == ("POST", URL)
    assert name not in call.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_swagger_is_a_get_beside_the_score_without_a_body(method: str) -> None:
    """Ruling "Body": `swagger.json` is asked beside the `score` of the policy's url, with no body of the caller's."""
    house = House()
    body = FakeBody(b"smuggled")
    call = await house.prepare(an_inbound("swagger", method=method, body=body))
    assert (call.method, call.url, call.body) == (
        "GET",
        "https://fraud.westeurope.inference.ml.azure.com/swagger.json",
        None,
    )
    assert "content-type" not in call.headers
    assert body.limits == []


async def test_a_lawful_request_goes_out_with_the_gates_own_headers_only() -> None:
    """T12, T13: everything that is sent is made by the gate, and the token is the gate's."""
    house = House()
    call = await house.prepare(an_inbound())
    await house.online.send(call)
    (sent,) = house.transport.sent
    assert sent == {
        "method": "POST",
        "url": URL,
        "body": b"{}",
        "deadline": house.clock.monotonic() + 60.0,
        "headers": {
            "accept": "*/*",
            "x-request-id": RID,
            "content-type": "application/json",
            "authorization": f"Bearer {TOKEN}",
        },
    }
    assert house.tokens.asked == [SCOPE]


async def test_the_deadline_of_the_whole_call_starts_before_the_body_is_read() -> None:
    """D02: the policy's timeout counts from the beginning, so a slow body leaves less time to the model."""
    house = House()

    class Slow(FakeBody):
        async def read(self, limit: int) -> bytes:
            house.clock.move(10)
            return await super().read(limit)

    begun = house.clock.monotonic()
    call = await house.prepare(an_inbound(body=Slow()), a_route(timeout=25.0))
    assert call.deadline == begun + 25.0


@pytest.mark.parametrize(
    ("pairs", "deployment"),
    [
        ([], None),
        ([("azureml-model-deployment", "blue")], "blue"),
        ([("AzureML-Model-Deployment", "blue")], "blue"),
        ([("azureml-model-deployment", "")], ""),
        ([("azureml-model-deployment", "blue"), ("AZUREML-MODEL-DEPLOYMENT", "green")], "blue, green"),
        ([("azureml_model_deployment", "blue")], None),
        ([("x-azureml-model-deployment", "blue")], None),
    ],
)
def test_t05_the_deployment_asked_for_is_what_the_header_says_in_full(
    pairs: list[tuple[str, str]], deployment: str | None
) -> None:
    """T05: a repeated header names no deployment that a policy can hold; look-alikes of the header name nothing."""
    assert House().online.read(with_headers(*pairs)).deployment == deployment


async def test_t05_the_decided_deployment_is_set_once() -> None:
    """T05: the deployment that was decided on goes out, and no variant of the header beside it."""
    house = House()
    call = await house.prepare(
        with_headers(("AzureML-Model-Deployment", "blue"), ("azureml_model_deployment", "green"))
    )
    assert call.headers["azureml-model-deployment"] == "blue"
    assert [name for name in call.headers if "deployment" in name.lower()] == ["azureml-model-deployment"]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_t24_traceparent_goes_on_and_tracestate_and_baggage_do_not() -> None:
    """T24: of the tracing headers only a well-formed traceparent is sent."""
    house = House()
    call = await house.prepare(
        with_headers(("traceparent", TRACE), ("tracestate", "a=b"), ("baggage", "user=alice"))
    )
    assert call.headers["traceparent"] == TRACE
    assert set(call.headers) <= ALLOWED


CREDENTIALS = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-ms-token-aad-id-token",
    "x-ms-token-aad-access-token",
    "x-ms-token-aad-refresh-token",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-ms-client-principal-name",
    "x-ms-client-principal-idp",
    "x_ms_client_principal",
    "x-functions-key",
    "x-zumo-auth",
    "ocp-apim-subscription-key",
    "api-key",
    "x-api-key",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
    "host",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-original-url",
    "x-rewrite-url",
    "x-azure-fdid",
    "x-ms-invocation-id",
    "x-request-id",
    "expect",
    "content-length",
    "accept-encoding",
    "range",
    "if-none-match",
    "user-agent",
    "referer",
    "origin",
]


@pytest.mark.parametrize("dress", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("name", CREDENTIALS)
async def test_t12_t13_no_header_of_the_callers_is_copied(name: str, dress: Any) -> None:
    """T12, T13, T03: credentials, hop-by-hop and forwarding headers never reach the model, in any spelling."""
    house = House()
    call = await house.prepare(typed("application/json", (dress(name), "marker-of-the-caller")))
    assert "marker-of-the-caller" not in str(dict(call.headers))
    assert set(call.headers) <= ALLOWED
    assert call.url == URL


NAMES = st.sampled_from([*CREDENTIALS, *ALLOWED, "azureml-model-session", "baggage", "tracestate"]) | st.text(
    max_size=20
)


@given(st.lists(st.tuples(NAMES, st.text(max_size=60)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_p5_any_headers_lead_to_an_outbound_set_within_the_allow_list(pairs: list[tuple[str, str]]) -> None:
    """P5, T11 to T13: whatever headers come, what goes out is on the allow-list and printable.

    The deployment is left to the decision: here, as in the pipeline, it gets out only when a rule lists it (`blue`).
    """
    inbound = typed("application/json", *((n, v) for n, v in pairs if n.lower() != "content-type"))

    async def play() -> Call | None:
        house = House()
        if house.online.read(inbound).deployment not in (None, "blue"):
            return None
        try:
            return await house.prepare(inbound)
        except AskedWrongly:
            return None

    call = asyncio.run(play())
    if call is not None:
        assert set(call.headers) <= ALLOWED
        assert all(re.fullmatch(r"[\x20-\x7e]+", value) for value in call.headers.values())
        assert call.headers["authorization"] == f"Bearer {TOKEN}"
        assert call.headers["x-request-id"] == RID


@given(
    st.sampled_from(["score", "swagger"]),
    st.text(max_size=80),
    st.dictionaries(st.text(max_size=9), st.text(max_size=9)),
)
@settings(max_examples=200, deadline=None)
def test_p6_any_name_leads_to_an_address_of_the_policy(route: str, name: str, more: dict[str, str]) -> None:
    """P6, T01 to T03: the wire address is the policy's, whatever the route parameters hold; they are never joined in."""
    inbound = an_inbound(route, params={**more, "name": name})

    async def play() -> Call:
        return await House().prepare(inbound)

    call = asyncio.run(play())
    assert call.url in {URL, "https://fraud.westeurope.inference.ml.azure.com/swagger.json"}


@given(st.binary(min_size=1, max_size=512))
@settings(max_examples=100, deadline=None)
def test_p7_the_body_goes_on_byte_for_byte(data: bytes) -> None:
    """P7, ruling "Body": a scoring body is opaque; the bytes that came are the bytes that go."""

    async def play() -> Call:
        return await House().prepare(an_inbound(body=FakeBody(data)))

    assert asyncio.run(play()).body == data


def test_what_is_asked_names_the_route_and_the_parameter_as_they_came() -> None:
    """T02: the name is taken as the host decoded it, once, and looked up; a request without one names nothing."""
    online = House().online
    assert online.read(an_inbound(params={"name": "../x"})).name == "../x"
    asked = online.read(an_inbound("swagger", params={}))
    assert (asked.target, asked.name, asked.operation) == ("endpoint", "", "swagger")


async def test_an_identity_encoding_is_no_encoding() -> None:
    """RFC 9110, 8.4.1: `Content-Encoding: identity` says that nothing was encoded."""
    house = House()
    call = await house.prepare(with_headers(("Content-Encoding", "Identity")))
    assert call.body == b"{}"


async def test_a_chunked_body_without_a_length_is_taken_where_it_can_be_read() -> None:
    """In stream mode a chunked body is read and bounded like any other."""
    house = House()
    call = await house.prepare(an_inbound(body=FakeBody(b"[1]", length=None, chunked=True)))
    assert call.body == b"[1]"
