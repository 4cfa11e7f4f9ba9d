"""The gate in front of models: the order of its checks, what a rule gives away, and errors as OpenAI's clients read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.gate import aclose
from shared.model import Headers, Reason, Reply, Standing, Usage
from shared.problem import (
    AskedWrongly,
    ClientClosed,
    NotFound,
    Problem,
    RateLimited,
    Slug,
    Unauthenticated,
    Undecidable,
    UpstreamFault,
)
from tests.fakes import (
    ENGINEERS,
    FakeBody,
    FakeReservation,
    FakeStream,
    a_deny_rule,
    a_membership,
    a_model,
    a_policy,
    a_principal,
    a_route,
    a_rule,
    headers_of,
    settle,
)
from tests.house import House, document, slug, without_ids

TOLD = Usage(prompt=3, completion=4, total=7)
LEFT = ("x-ratelimit-remaining-requests", "59")
TIMEOUT = UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout")
UNREACHABLE = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="upstream-unreachable")
CUT = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=200)
FAILED = UpstreamFault(Slug.UPSTREAM_ERROR, outcome="upstream-500", upstream_status=500)
USED_UP = RateLimited(retry_after=7, headers=(("x-ratelimit-remaining-requests", "0"),))


def models(*routes: Any) -> House:
    """Return a house of the model `gpt`, whose rule has limits, or of `routes`."""
    return House(a_policy(*(routes or (a_model(),))))


def unlimited() -> House:
    return models(a_model(rules=(a_rule(),)))


def streamed(*pieces: bytes | BaseException | None, usage: Usage | None = None) -> tuple[House, FakeStream]:
    house = models()
    source = FakeStream(*pieces)
    source.usage = usage
    house.backend.reply = Reply(status=200, headers=(("content-type", "text/event-stream"),), body=source)
    return house, source


STAGES: list[tuple[str, Callable[[House], None], int, str]] = [
    ("who", lambda h: setattr(h.authenticator, "fault", Unauthenticated(Reason.PRINCIPAL_MISSING)), 401, "authentication-required"),
    ("what", lambda h: h.backend.faults.update(resolve=NotFound(Reason.OPERATION_NOT_ALLOWED)), 404, "not-found"),
    ("whether", lambda h: h.memberships.answers.update(known=a_membership(Standing.OUT)), 403, "forbidden"),
    ("how", lambda h: h.backend.faults.update(prepare=AskedWrongly(Slug.INVALID_REQUEST)), 400, "invalid-request"),
    ("how much", lambda h: setattr(h.quota, "fault", USED_UP), 429, "rate-limited"),
    ("a place and a token", lambda h: h.backend.faults.update(take=Undecidable(Reason.OVERLOADED)), 503, "overloaded"),
    ("the record", lambda h: setattr(h.recorder, "fault", Undecidable(Reason.AUDIT_UNAVAILABLE)), 503, "audit-unavailable"),
    ("the call", lambda h: h.backend.faults.update(send=TIMEOUT), 504, "upstream-timeout"),
]  # fmt: skip
LAST_STEP = ["read", "resolve", "resolve", "prepare", "reserve", "take", "take", "send"]


@pytest.mark.parametrize("first", range(len(STAGES)), ids=[stage[0] for stage in STAGES])
async def test_order_of_several_faults_the_first_is_told_and_nothing_later_is_done(first: int) -> None:
    """401, then 404 and 405 and the body, 403, fields, 429, then a place and a token, the record, and the call."""
    house = models()
    for number, (_, breaks, _, _) in enumerate(STAGES):
        # The record comes at the end of every way, so it is whole until its own turn.
        if number >= first and (number != 6 or first == 6):
            breaks(house)
    reply = await house.ask("openai")
    assert (reply.status, slug(reply)) == STAGES[first][2:]
    steps = [
        step for step in house.log if step not in {"decided", "completed", "settle", "cancel", "release"}
    ]
    assert steps[-1] == LAST_STEP[first]
    assert house.backend.places == 0


async def test_order_everything_that_may_fail_is_done_before_the_record_and_the_record_before_the_call() -> (
    None
):
    """R01: what is reserved is settled before the outcome is on record."""
    house = models()
    await house.ask("openai")
    assert house.log == [
        "read",
        "resolve",
        "specify",
        "prepare",
        "reserve",
        "take",
        "decided",
        "send",
        "settle",
        "completed",
    ]


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        (AskedWrongly(Slug.METHOD_NOT_ALLOWED, headers=(("allow", "POST"),)), 405, "method-not-allowed"),
        (AskedWrongly(Slug.LENGTH_REQUIRED), 411, "length-required"),
        (AskedWrongly(Slug.PAYLOAD_TOO_LARGE), 413, "payload-too-large"),
        (AskedWrongly(Slug.INVALID_REQUEST), 400, "invalid-request"),
    ],
)
async def test_order_what_names_no_model_is_told_to_everybody_alike(
    fault: AskedWrongly, status: int, told: str
) -> None:
    """A model can only be decided on when the request names one: until then members and outsiders read the same."""
    answers = []
    for standing in (Standing.IN, Standing.OUT):
        house = models()
        house.memberships.answers["known"] = a_membership(standing)
        house.backend.faults["resolve"] = fault
        answers.append(without_ids(await house.ask("openai")))
        assert house.memberships.calls == []
    assert answers[0] == answers[1]
    assert answers[0][0] == status
    assert told.encode() in answers[0][2]


async def test_s23_another_sites_page_reaches_no_model() -> None:
    """S23: a cross-site request with a session's cookie is refused before its body is read."""
    house = models()
    pairs = [
        ("content-type", "application/json"),
        ("cookie", "AppServiceAuthSession=x"),
        ("sec-fetch-site", "cross-site"),
    ]
    body = FakeBody(b"{}")
    reply = await house.ask("openai", headers=Headers(pairs), body=body)
    assert (reply.status, slug(reply)) == (403, "forbidden")
    assert "resolve" not in house.log
    assert body.limits == []


async def test_a_refused_quota_takes_no_place_and_sends_nothing() -> None:
    """429 with Retry-After and what is left; it is on record as what it was, counted nowhere, with no outcome."""
    house = models()
    house.quota.fault = USED_UP
    reply = await house.ask("openai")
    headers = headers_of(reply)
    assert (reply.status, slug(reply)) == (429, "rate-limited")
    assert (headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == ("7", "0")
    assert (house.backend.sent, house.backend.places) == (0, 0)
    assert "take" not in house.log
    (record,) = house.recorder.decisions
    assert (record["decision"].reason, record["counted"]) == (Reason.RATE_LIMITED, None)
    assert house.recorder.outcomes == []


async def test_a_limit_that_cannot_be_counted_is_503_and_no_allow() -> None:
    """Limits, `fail = "closed"`: without its counter nothing is given away."""
    house = models()
    house.quota.fault = Undecidable(Reason.LIMITS_UNAVAILABLE)
    reply = await house.ask("openai")
    assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (503, "limits-unavailable", "5")
    assert (house.backend.sent, house.backend.places) == (0, 0)


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, OSError, TimeoutError, ExceptionGroup])
async def test_p10_a_counter_that_breaks_is_no_allow(kind: type[Exception]) -> None:
    """P10, E05: an unforeseen error in counting is 500, and nothing is sent."""
    house = models()
    house.quota.fault = kind("x", [ValueError()]) if kind is ExceptionGroup else kind("x")
    assert (await house.ask("openai")).status == 500
    assert (house.backend.sent, house.backend.places) == (0, 0)


@pytest.mark.parametrize(
    "fault",
    [
        Undecidable(Reason.OVERLOADED),
        Undecidable(Reason.CREDENTIAL_UNAVAILABLE),
        RuntimeError("bug"),
        asyncio.CancelledError(),
    ],
)
@pytest.mark.parametrize("stage", ["take", "decided"])
async def test_what_was_reserved_is_given_back_where_nothing_is_sent(
    stage: str, fault: BaseException
) -> None:
    """A place, a token or a record that does not come, or a caller who leaves before, costs nothing."""
    house = models()
    if stage == "take":
        house.backend.faults["take"] = fault
    else:
        house.recorder.fault = fault
    if isinstance(fault, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await house.ask("openai")
    else:
        assert (await house.ask("openai")).status >= 500
    assert house.quota.reservation.end == ("cancel", None)
    assert (house.backend.sent, house.backend.places) == (0, 0)


@pytest.mark.parametrize("stage", ["take", "decided"])
async def test_f46_a_caller_who_leaves_while_it_waits_is_charged_nothing(stage: str) -> None:
    """F46: cancellation in the very wait for a place, or for the record, gives back what was reserved."""
    house = models()

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    setattr(*((house.backend, "take", never) if stage == "take" else (house.recorder, "decided", never)))
    asking = asyncio.ensure_future(house.ask("openai"))
    await settle()
    assert house.quota.reservation.end is None
    asking.cancel()
    await settle()
    assert asking.cancelled()
    assert house.quota.reservation.end == ("cancel", None)
    assert house.backend.sent == 0


def _answered(status: int, usage: Usage | None = None) -> House:
    house = models()
    house.backend.reply = Reply(status=status, headers=(), body=b"{}")
    house.backend.upstream, house.backend.usage = status, usage
    return house


def _faulty(fault: BaseException) -> House:
    house = models()
    house.backend.faults["send"] = fault
    return house


SETTLED = [
    pytest.param(_answered(200, TOLD), 7, id="a success that tells its tokens costs them"),
    pytest.param(_answered(200, Usage(prompt=0, completion=0, total=0)), 0, id="a success that tells none costs none"),
    pytest.param(_answered(200), None, id="a success that tells nothing costs what was reserved"),
    pytest.param(_answered(400), 0, id="a relayed refusal costs nothing"),
    pytest.param(_answered(429), 0, id="a relayed 429 costs nothing"),
    pytest.param(_answered(424), 0, id="a relayed model error costs nothing"),
    pytest.param(_answered(400, TOLD), 7, id="a refusal that tells tokens costs them"),
    pytest.param(_faulty(FAILED), None, id="a model's 500 costs what was reserved"),
    pytest.param(_faulty(UpstreamFault(Slug.UPSTREAM_AUTH_FAILED, outcome="upstream-401", upstream_status=401)), 0, id="a refusal of the gate costs nothing"),
    pytest.param(_faulty(UpstreamFault(Slug.UPSTREAM_REDIRECT, outcome="upstream-302", upstream_status=302)), 0, id="a redirect costs nothing"),
    pytest.param(_faulty(UpstreamFault(Slug.NOT_FOUND, outcome="upstream-404", upstream_status=404)), 0, id="what is no longer there costs nothing"),
    pytest.param(_faulty(UNREACHABLE), None, id="a connection that broke after sending costs what was reserved"),
    pytest.param(_faulty(TIMEOUT), None, id="a timeout costs what was reserved"),
    pytest.param(_faulty(CUT), None, id="a whole answer that was cut costs what was reserved"),
    pytest.param(_faulty(UpstreamFault(Slug.UPSTREAM_ERROR, outcome="upstream-200", upstream_status=200)), None, id="a success that cannot be read costs what was reserved"),
    pytest.param(_faulty(RuntimeError("bug")), None, id="a bug costs what was reserved"),
]  # fmt: skip


@pytest.mark.parametrize(("house", "charged"), SETTLED)
async def test_a_call_costs_what_the_model_told_nothing_where_it_refused_else_what_was_reserved(
    house: House, charged: int | None
) -> None:
    """Limits: the reservation is settled on `usage`, for failures too; once for each call."""
    await house.ask("openai")
    assert house.quota.reservation.end == ("settle", charged)
    assert house.log.count("settle") == 1
    assert house.log.index("settle") < house.log.index("completed")


async def test_a_call_that_cannot_have_reached_the_model_costs_nothing_at_all() -> None:
    """Limits: a refused connection gives the request back as well as the tokens."""
    fault = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="upstream-unreachable", sent=False)
    house = _faulty(fault)
    await house.ask("openai")
    assert house.quota.reservation.end == ("cancel", None)


async def test_r01_what_has_begun_to_be_settled_ends_though_the_caller_goes() -> None:
    """R01: a caller who leaves while Redis is told the cost takes neither the charge nor the outcome along."""
    house = _answered(200, TOLD)
    slow = asyncio.Event()
    settling = house.quota.reservation.settle

    async def waits(tokens: int | None, *, at_least: int = 0) -> None:
        await slow.wait()
        await settling(tokens, at_least=at_least)

    house.quota.reservation.settle = waits  # type: ignore[method-assign]
    asking = asyncio.ensure_future(house.ask("openai"))
    await settle()
    asking.cancel()
    await settle()
    assert asking.cancelled()
    slow.set()
    await settle()
    assert house.quota.reservation.end == ("settle", 7)
    assert [record["outcome"] for record in house.recorder.outcomes] == ["ok"]


async def test_f46_a_caller_who_leaves_while_the_model_thinks_costs_what_was_reserved() -> None:
    """F46: the model may do all of the work that nobody waits for."""
    house, _ = streamed(None)
    asking = asyncio.ensure_future(house.ask("openai"))
    await settle()
    asking.cancel()
    await settle()
    assert house.quota.reservation.end == ("settle", None)


@pytest.mark.parametrize("outlives", [True, False])
@pytest.mark.parametrize(
    ("pieces", "usage", "read", "charged"),
    [
        pytest.param((b"a", b"b"), TOLD, 9, 7, id="a stream that told its tokens costs them"),
        pytest.param((b"a", b"b"), None, 9, None, id="a stream that told nothing costs what was reserved"),
        pytest.param((b"a", CUT), None, 9, None, id="a stream that was cut costs what was reserved"),
        pytest.param((b"a", TIMEOUT), None, 9, None, id="a stream that came too late costs what was reserved"),
        pytest.param((b"a", CUT), TOLD, 9, 7, id="a stream that told its tokens before it was cut costs them"),
        pytest.param((b"a", b"b"), None, 1, None, id="a stream that the caller left costs what was reserved"),
        pytest.param((b"a", b"b"), None, 0, None, id="a stream that was never read costs what was reserved"),
        pytest.param((b"a", RuntimeError("bug")), None, 9, None, id="a bug costs what was reserved"),
    ],
)  # fmt: skip
async def test_a_stream_is_settled_at_its_end_whether_or_not_it_can_be_recorded(
    outlives: bool, pieces: Any, usage: Usage | None, read: int, charged: int | None
) -> None:
    """Limits, design 2: streams are settled late, where the sink outlives the invocation and where it does not."""
    house, source = streamed(*pieces, usage=usage)
    house.recorder.outlives_invocation = outlives
    reply = await house.ask("openai", streams=True)
    body: Any = reply.body
    assert house.quota.reservation.end is None, "not before its end is known"
    try:
        for _ in range(read):
            await anext(body)
    except (StopAsyncIteration, UpstreamFault, RuntimeError):
        pass
    await aclose(body)
    await aclose(body)
    assert house.quota.reservation.end == ("settle", charged)
    assert house.log.count("settle") == 1
    assert (source.closed, len(house.recorder.outcomes)) == (1, int(outlives))
    assert house.backend.log.count("release") == 0


async def test_f04_a_cut_that_the_stream_itself_told_is_on_record_as_what_it_was() -> None:
    """F04: a stream that ends in an error event ends well for HTTP, and is `truncated` on record all the same."""
    house, source = streamed(b"data: 1\n\n", b"event: error\n\n")
    source.fault = CUT
    reply = await house.ask("openai", streams=True)
    assert not isinstance(reply.body, bytes)
    assert len([chunk async for chunk in reply.body]) == 2
    assert reply.body.fault is CUT
    await aclose(reply.body)
    (record,) = house.recorder.outcomes
    assert (record["outcome"], record["upstream_status"]) == ("truncated", 200)
    assert house.quota.reservation.end == ("settle", None)


async def test_the_first_byte_of_a_stream_is_the_first_chunks_and_of_a_whole_answer_the_headers() -> None:
    """Metering: `first_byte_ms` is what somebody who reads along waits for; an empty chunk is none."""
    house, _ = streamed(b"", b"a", b"b")
    house.backend.first_byte = house.clock.monotonic() + 0.25
    reply = await house.ask("openai", streams=True)
    body: Any = reply.body
    for _ in range(3):
        house.clock.move(1)
        await anext(body)
    await aclose(body)
    house.backend.reply = Reply(status=200, headers=(), body=b"whole")
    house.backend.first_byte = house.clock.monotonic() + 0.25
    await house.ask("openai")
    assert [record["first_byte_ms"] for record in house.recorder.outcomes] == [2000.0, 250.0]


async def test_what_is_left_is_told_with_a_success_and_with_the_models_own_refusal() -> None:
    """Limits: clients read `x-ratelimit-*` beside every answer of the model."""
    assert LEFT in (await models().ask("openai")).headers
    assert LEFT in (await _answered(400).ask("openai")).headers
    house, _ = streamed(b"a")
    reply = await house.ask("openai", streams=True)
    assert LEFT in reply.headers
    await aclose(reply.body)


@pytest.mark.parametrize("where", ["shared", "instance", "local"])
async def test_where_a_call_was_counted_is_on_record_with_its_decision(where: str) -> None:
    """Limits: a count in this instance alone, because Redis was down, is marked in the audit."""
    house = models()
    house.quota.reservation = FakeReservation(house.log, counted=where)
    await house.ask("openai")
    assert house.recorder.decisions[0]["counted"] == where


async def test_the_outcome_tells_the_model_and_its_tokens() -> None:
    """Metering: the policy's name of the model, and prompt, completion and total tokens; None where nothing was told."""
    house = _answered(200, TOLD)
    await house.ask("openai")
    house.backend.usage = None
    await house.ask("openai")
    assert [(r["model"], r["usage"]) for r in house.recorder.outcomes] == [("gpt", TOLD), ("gpt", None)]
    endpoint = House()
    await endpoint.ask()
    assert (endpoint.recorder.outcomes[0]["model"], endpoint.recorder.outcomes[0]["usage"]) == (None, None)


async def test_a_streams_tokens_are_in_its_outcome() -> None:
    """Metering: what a stream told at its end is on record, though it was not known when it began."""
    house, source = streamed(b"a", b"b")
    reply = await house.ask("openai", streams=True)
    body: Any = reply.body
    await anext(body)
    source.usage = TOLD
    await aclose(body)
    assert house.recorder.outcomes[0]["usage"] == TOLD


@pytest.mark.parametrize("house", [unlimited(), House()], ids=["a model", "an endpoint"])
async def test_a_rule_without_limits_is_counted_nowhere(house: House) -> None:
    """A rule that bounds nothing asks no counter, and tells no numbers."""
    reply = await house.ask("openai" if ("model", "gpt") in house.policy.routes else "score")
    assert reply.status == 200
    assert house.quota.asked == []
    assert LEFT not in reply.headers
    assert house.recorder.decisions[0]["counted"] is None


async def test_the_limits_are_those_of_the_rule_on_record() -> None:
    """Design 1: of two rules that let a caller in, the first in file order is on record, and its limits alone count."""
    generous = a_rule(id="generous", groups=frozenset({ENGINEERS}))
    limited = a_model().rules[0]
    for rules, asked in (((limited, generous), ["analysts"]), ((generous, limited), [])):
        house = models(a_model(rules=rules))
        house.memberships.answers["known"] = a_membership(Standing.IN, *limited.groups, ENGINEERS)
        assert (await house.ask("openai")).status == 200
        assert [rule for rule, _, _ in house.quota.asked] == asked


async def test_what_is_reserved_is_the_callers_own_and_the_calls_tokens() -> None:
    """Limits: two callers can never spend each other's; the tokens are the backend's estimate."""
    house = models()
    house.backend.tokens = 1234
    for oid in ("one", "two"):
        house.authenticator.principal = a_principal(oid=oid)
        await house.ask("openai")
    assert house.quota.asked == [("analysts", "one", 1234), ("analysts", "two", 1234)]


async def test_a_refused_caller_spends_nothing() -> None:
    """A denial reserves nothing of anybody's, a deny rule's neither."""
    house = models(a_model(rules=(a_deny_rule(groups=a_rule().groups), *a_model().rules)))
    assert (await house.ask("openai")).status == 403
    assert (house.quota.asked, house.quota.reservation.end) == ([], None)


def _broken(**parts: Any) -> House:
    house = models()
    house.authenticator.fault = parts.get("who")
    house.quota.fault = parts.get("quota")
    house.recorder.fault = parts.get("record")
    for step in ("resolve", "prepare", "take", "send"):
        if step in parts:
            house.backend.faults[step] = parts[step]
    if "standing" in parts:
        house.memberships.answers["known"] = a_membership(parts["standing"])
    if "ask" in parts:
        house.memberships.answers.update(known=None, ask=parts["ask"])
    return house


ERRORS = [
    pytest.param({"who": Unauthenticated(Reason.PRINCIPAL_MISSING)}, 401, "authentication-required", True, id="nobody"),
    pytest.param({"who": Unauthenticated(Reason.TOKEN_INVALID)}, 401, "principal-invalid", True, id="somebody invalid"),
    pytest.param({"who": Unauthenticated(Reason.PLATFORM_AUTH_OFF)}, 503, "gateway-misconfigured", False, id="sign-in that is off"),
    pytest.param({"who": Undecidable(Reason.KEYS_UNAVAILABLE)}, 503, "verification-unavailable", True, id="keys that are away"),
    pytest.param({"who": RuntimeError("bug")}, 500, "internal-error", True, id="a bug"),
    pytest.param({"resolve": NotFound(Reason.OPERATION_NOT_ALLOWED)}, 404, "not-found", True, id="an address of nothing"),
    pytest.param({"resolve": AskedWrongly(Slug.METHOD_NOT_ALLOWED)}, 405, "method-not-allowed", True, id="a wrong method"),
    pytest.param({"resolve": AskedWrongly(Slug.INVALID_REQUEST, detail="Why.")}, 400, "invalid-request", True, id="a wrong body"),
    pytest.param({"standing": Standing.OUT}, 403, "forbidden", True, id="a refusal"),
    pytest.param({"ask": Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=61)}, 503, "membership-unavailable", False, id="Graph away for long"),
    pytest.param({"quota": RateLimited(retry_after=30)}, 429, "rate-limited", True, id="a short wait"),
    pytest.param({"quota": RateLimited(retry_after=30.5)}, 429, "rate-limited", False, id="a long wait"),
    pytest.param({"take": Undecidable(Reason.OVERLOADED)}, 503, "overloaded", True, id="an overload"),
    pytest.param({"record": Undecidable(Reason.AUDIT_UNAVAILABLE)}, 503, "audit-unavailable", True, id="no record"),
    pytest.param({"send": TIMEOUT}, 504, "upstream-timeout", True, id="a timeout"),
    pytest.param({"send": UNREACHABLE}, 502, "upstream-unreachable", True, id="no connection"),
    pytest.param({"send": UpstreamFault(Slug.UPSTREAM_AUTH_FAILED, outcome="upstream-401")}, 502, "upstream-auth-failed", False, id="the gate refused"),
    pytest.param({"send": UpstreamFault(Slug.UPSTREAM_NOT_FOUND, outcome="upstream-404")}, 502, "upstream-not-found", False, id="no such deployment"),
    pytest.param({"send": UpstreamFault(Slug.UPSTREAM_REDIRECT, outcome="upstream-302")}, 502, "upstream-redirect", False, id="a redirect"),
    pytest.param({"send": UpstreamFault(Slug.UPSTREAM_RATE_LIMITED, outcome="upstream-429", retry_after=86_400)}, 429, "upstream-rate-limited", False, id="a busy model for a day"),
    pytest.param({"send": UpstreamFault(Slug.UPSTREAM_RATE_LIMITED, outcome="upstream-429", retry_after=5)}, 429, "upstream-rate-limited", True, id="a busy model"),
    pytest.param({"send": UpstreamFault(Slug.MODEL_ERROR, outcome="upstream-424")}, 424, "model-error", True, id="a model's error"),
]  # fmt: skip


@pytest.mark.parametrize("route", ["openai", "models"])
@pytest.mark.parametrize(("parts", "status", "code", "retry"), ERRORS)
async def test_an_error_is_told_in_the_words_of_openais_clients_too(
    route: str, parts: dict[str, Any], status: int, code: str, retry: bool
) -> None:
    """Errors: `error.code` is the slug and `error.message` the detail; `x-should-retry: false` where it must be."""
    reply = await _broken(**parts).ask(route)
    told = document(reply)
    assert (reply.status, slug(reply)) == (status, code)
    assert told["error"] == {"code": code, "message": told["detail"]}
    assert told["error"]["message"]
    assert headers_of(reply).get("x-should-retry") == (None if retry else "false")
    assert headers_of(reply)["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "parts",
    [
        {"who": Unauthenticated(Reason.PRINCIPAL_MISSING)},
        {"who": Unauthenticated(Reason.PLATFORM_AUTH_OFF)},
        {"who": RuntimeError("bug")},
        {"standing": Standing.OUT},
        {"prepare": AskedWrongly(Slug.INVALID_REQUEST)},
        {"send": UpstreamFault(Slug.UPSTREAM_AUTH_FAILED, outcome="upstream-401")},
    ],
)
async def test_an_endpoints_error_is_no_openai_error(parts: dict[str, Any]) -> None:
    """Other routes keep to RFC 9457's members, and say nothing of trying again."""
    house = _broken(**parts)
    house.policy.routes["endpoint", "fraud"] = a_route()  # type: ignore[index]
    reply = await house.ask("score")
    assert reply.status >= 400
    assert set(document(reply)) == {"type", "title", "status", "detail", "instance"}
    assert "x-should-retry" not in headers_of(reply)


@pytest.mark.parametrize("rest", ["v1/models", "models"])
async def test_the_list_of_models_tells_errors_in_the_same_words(rest: str) -> None:
    """The list stands under an address of models, so its 401 and 405 are read by the same clients."""
    house = _broken(who=Unauthenticated(Reason.PRINCIPAL_MISSING))
    unknown = await house.ask("openai", method="GET", params={"rest": rest})
    assert (unknown.status, document(unknown)["error"]["code"]) == (401, "authentication-required")
    wrong = await models().ask("openai", method="POST", params={"rest": rest})
    assert (wrong.status, headers_of(wrong)["allow"]) == (405, "GET, HEAD")
    assert document(wrong)["error"]["code"] == "method-not-allowed"


async def test_i02_a_model_that_is_unknown_and_one_that_is_forbidden_answer_alike() -> None:
    """I02: byte for byte but for the ids, with the `error` member as well."""
    house = models()
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    forbidden = without_ids(await house.ask("openai"))
    house = models()
    house.backend.model = "gpt-unknown"
    assert without_ids(await house.ask("openai")) == forbidden


async def test_help_reads_as_the_message_of_the_error() -> None:
    """Design, "Answers": what a refused colleague is told stands in `detail`, and where OpenAI's clients show it."""
    house = models(a_model(help="Ask Ann."))
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    told = document(await house.ask("openai"))
    assert (told["detail"], told["error"]["message"]) == ("Ask Ann.", "Ask Ann.")


async def test_a_caller_who_leaves_in_the_middle_of_its_body_gets_no_answer_and_spends_nothing() -> None:
    """F46: 499 in the record alone; the body of a model's request is read before the decision."""
    house = models()
    house.backend.faults["resolve"] = ClientClosed()
    reply = await house.ask("openai")
    assert (reply.status, reply.body) == (499, b"")
    assert house.quota.asked == []
    assert isinstance(house.recorder.decisions[0]["decision"], Problem)


async def test_head_is_an_answer_without_a_body_for_models_too() -> None:
    """Design, "Routes": HEAD is GET without a body, in refusals and faults."""
    for house in (models(), _broken(standing=Standing.OUT), _broken(who=RuntimeError("bug"))):
        assert (await house.ask("openai", method="HEAD")).body == b""
