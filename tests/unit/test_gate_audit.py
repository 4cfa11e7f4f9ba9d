"""The gate's trail: a decision on record before anything goes upstream, an outcome after the last byte (threat R01)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.gate import aclose
from shared.model import Allow, Deny, Headers, Reason, Reply, Standing
from shared.ports import TransportFault
from shared.problem import ClientClosed, Problem, Slug, Unauthenticated, Undecidable, UpstreamFault
from tests.fakes import (
    ANALYSTS,
    JSON_HEADERS,
    FakeAnswer,
    FakeBody,
    FakeClock,
    FakeStream,
    FakeTokens,
    FakeTransport,
    a_call,
    a_membership,
    headers_of,
    settle,
)
from tests.house import House, slug

OUTCOMES = {"ok", "upstream-unreachable", "upstream-timeout", "truncated", "client-closed", "unknown"}
CUT = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=200)


def streamed(*pieces: bytes | BaseException | None) -> tuple[House, FakeStream]:
    house = House()
    source = FakeStream(*pieces)
    house.backend.reply = Reply(status=200, headers=(("content-type", "text/event-stream"),), body=source)
    return house, source


@pytest.mark.parametrize("route", ["score", "swagger"])
async def test_r01_a_required_trail_that_fails_sends_nothing(route: str) -> None:
    """R01, R02: the record comes first; when it cannot be written, it is 503, the place is free, nothing was sent."""
    house = House()
    house.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    reply = await house.ask(route)
    assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (503, "audit-unavailable", "5")
    assert (house.backend.sent, house.backend.places) == (0, 0)
    assert house.recorder.outcomes == []


@pytest.mark.parametrize("who", ["refused", "unknown"])
async def test_r02_a_refusal_that_cannot_be_recorded_is_503_too(who: str) -> None:
    """R02: with a required trail down nothing is answered as if it had been recorded."""
    house = House()
    house.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    if who == "refused":
        house.memberships.answers["known"] = a_membership(Standing.OUT)
    else:
        house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
    assert slug(await house.ask()) == "audit-unavailable"


async def test_r01_the_decision_is_on_record_before_the_first_byte_and_the_outcome_after_the_last() -> None:
    """R01: everything that may fail is done, then the decision is recorded, then the call is sent, then its outcome."""
    house = House()
    reply = await house.ask()
    assert house.log == ["read", "resolve", "specify", "prepare", "take", "decided", "send", "completed"]
    (decided,), (completed,) = house.recorder.decisions, house.recorder.outcomes
    assert decided["request_id"] == completed["request_id"] == headers_of(reply)["x-request-id"]


async def test_an_allow_is_recorded_with_its_rule_its_proof_and_its_caller() -> None:
    """Ruling "Audit record": who, what, which rule, the proof with its source and age, and the group that let it in."""
    house = House()
    await house.ask()
    (record,) = house.recorder.decisions
    assert record["decision"] == Allow(
        rule="analysts", reason=Reason.MEMBER, proof=a_membership().facts[ANALYSTS], group=ANALYSTS
    )
    assert record["counted"] is None, "what no rule bounds is counted nowhere"
    assert record["principal"] == house.authenticator.principal
    assert (record["asked"].name, record["asked"].operation, record["asked"].deployment) == (
        "fraud",
        "score",
        None,
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.NOT_MEMBER),
        ({"params": {"name": "nope"}}, Reason.UNKNOWN_ENDPOINT),
        (
            {"headers": Headers([*JSON_HEADERS, ("azureml-model-deployment", "x")])},
            Reason.DEPLOYMENT_NOT_ALLOWED,
        ),
    ],
)
async def test_a_denial_is_recorded_with_its_true_reason_and_has_no_outcome(
    changes: Any, reason: Reason
) -> None:
    """Design, "Answers": the record says the true reason, which the caller never reads; nothing was called."""
    house = House()
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    await house.ask(**changes)
    (record,) = house.recorder.decisions
    assert isinstance(record["decision"], Deny)
    assert record["decision"].reason is reason
    assert record["principal"] is not None
    assert house.recorder.outcomes == []


@pytest.mark.parametrize(
    "reason", [Reason.PRINCIPAL_MISSING, Reason.TENANT_MISMATCH, Reason.PLATFORM_AUTH_OFF]
)
async def test_an_unknown_caller_is_recorded_without_a_principal(reason: Reason) -> None:
    """R01: a 401 is on record with what was asked and why nobody was believed."""
    house = House()
    house.authenticator.fault = Unauthenticated(reason)
    await house.ask()
    (record,) = house.recorder.decisions
    assert isinstance(record["decision"], Problem)
    assert (record["decision"].reason, record["principal"], record["asked"].name) == (reason, None, "fraud")


async def test_what_is_asked_wrongly_is_recorded_as_no_allow() -> None:
    """R01: a call that was allowed but never sent is recorded as the problem that it became, and not as an allow."""
    house = House()
    house.backend.faults["prepare"] = Undecidable(Reason.CREDENTIAL_UNAVAILABLE)
    await house.ask()
    (record,) = house.recorder.decisions
    assert isinstance(record["decision"], Undecidable)
    assert house.recorder.outcomes == []


@pytest.mark.parametrize(
    ("fault", "status", "upstream"),
    [
        (UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout"), 504, None),
        (UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="upstream-unreachable"), 502, None),
        (UpstreamFault(Slug.UPSTREAM_AUTH_FAILED, outcome="upstream-403", upstream_status=403), 502, 403),
        (
            UpstreamFault(Slug.UPSTREAM_REJECTED, outcome="upstream-422", upstream_status=422, status=422),
            422,
            422,
        ),
    ],
)
async def test_a_fault_of_the_model_is_its_outcome(
    fault: UpstreamFault, status: int, upstream: int | None
) -> None:
    """The outcome tells the caller's status and the model's, and its word."""
    house = House()
    house.backend.faults["send"] = fault
    reply = await house.ask(body=FakeBody(b"12345"))
    (record,) = house.recorder.outcomes
    assert reply.status == record["status"] == status
    assert (record["outcome"], record["upstream_status"], record["bytes_in"], record["bytes_out"]) == (
        fault.outcome,
        upstream,
        5,
        0,
    )


@pytest.mark.parametrize(
    ("upstream", "outcome"), [(200, "ok"), (204, "ok"), (400, "upstream-400"), (429, "upstream-429")]
)
@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_of_the_model_is_its_outcome(upstream: int, outcome: str, streams: bool) -> None:
    """2xx is `ok`, a relayed error `upstream-STATUS`; bytes and milliseconds are counted."""
    house = House()
    house.backend.reply = Reply(status=upstream, headers=(), body=b"123")
    house.backend.upstream = upstream
    await house.ask(streams=streams, body=FakeBody(b"12345"))
    (record,) = house.recorder.outcomes
    assert (record["outcome"], record["status"], record["upstream_status"]) == (outcome, upstream, upstream)
    assert (record["bytes_in"], record["bytes_out"]) == (5, 3)


async def test_milliseconds_are_counted_on_the_monotonic_clock() -> None:
    """`first_byte_ms` ends at a stream's first chunk, `duration_ms` after its last; the wall clock is not used."""
    house, source = streamed(b"a", b"b")
    house.clock.wall = -5.0
    house.backend.first_byte = house.clock.monotonic()
    reply = await house.ask(streams=True)
    assert not isinstance(reply.body, bytes)
    house.clock.move(1.5)
    assert await anext(reply.body) == b"a"
    house.clock.move(0.5)
    assert await anext(reply.body) == b"b"
    await aclose(reply.body)
    (record,) = house.recorder.outcomes
    assert (record["first_byte_ms"], record["duration_ms"]) == (1500.0, 2000.0)
    assert source.closed == 1


async def test_a_stream_is_not_read_ahead_and_recorded_at_its_end() -> None:
    """R01: a streamed answer's outcome is recorded when its body has ended, with the bytes that went out."""
    house, source = streamed(b"12", b"345")
    reply = await house.ask(streams=True)
    assert house.log[-1] == "send"
    assert len(source.pieces) == 2
    assert not isinstance(reply.body, bytes)
    assert [chunk async for chunk in reply.body] == [b"12", b"345"]
    await aclose(reply.body)
    (record,) = house.recorder.outcomes
    assert (record["outcome"], record["bytes_out"]) == ("ok", 5)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_where_the_host_cannot_stream_the_answer_is_whole(method: str) -> None:
    """In classic, and for HEAD anywhere, the model's body is read to its end and let go of."""
    house, source = streamed(b"12", b"345")
    head = method == "HEAD"
    reply = await house.ask("swagger" if head else "score", method=method, streams=head)
    assert reply.body == (b"" if head else b"12345")
    assert source.closed == 1
    assert house.recorder.outcomes[0]["outcome"] == "ok"


@pytest.mark.parametrize("streams", [True, False])
async def test_f04_an_answer_that_is_cut_is_truncated_on_record(streams: bool) -> None:
    """F04, F05: in classic it is 502; streamed, what came is followed by a fault; the record says `truncated`."""
    house, source = streamed(b"half of it", CUT)
    reply = await house.ask(streams=streams)
    if streams:
        assert not isinstance(reply.body, bytes)
        with pytest.raises(UpstreamFault):
            [chunk async for chunk in reply.body]
        await aclose(reply.body)
    else:
        assert (reply.status, slug(reply)) == (502, "upstream-unreachable")
        assert isinstance(reply.body, bytes)
        assert b"half of it" not in reply.body
    (record,) = house.recorder.outcomes
    assert (record["outcome"], record["upstream_status"]) == ("truncated", 200)
    assert source.closed == 1


async def test_f46_a_caller_who_leaves_a_stream_is_client_closed() -> None:
    """F46: a body that is let go of in the middle is `client-closed`, with the bytes that had gone out."""
    house, source = streamed(b"12", b"345")
    reply = await house.ask(streams=True)
    body: Any = reply.body
    assert await anext(body) == b"12"
    await aclose(body)
    (record,) = house.recorder.outcomes
    assert (record["outcome"], record["bytes_out"], source.closed) == ("client-closed", 2, 1)


async def test_a_body_that_is_let_go_of_twice_has_one_outcome() -> None:
    """Section 5.4: each allowed decision has exactly one outcome."""
    house, _ = streamed(b"12")
    reply = await house.ask(streams=True)
    await aclose(reply.body)
    await aclose(reply.body)
    assert len(house.recorder.outcomes) == 1


async def test_an_outcome_after_the_invocation_is_recorded_only_where_it_arrives() -> None:
    """Design 2: the host drops log lines without an invocation, so `log` records decisions of streams alone."""
    house, source = streamed(b"12")
    house.recorder.outlives_invocation = False
    reply = await house.ask(streams=True)
    await aclose(reply.body)
    assert (house.recorder.outcomes, source.closed) == ([], 1)
    house.backend.reply = Reply(status=200, headers=(), body=b"whole")
    await house.ask(streams=True)
    assert len(house.recorder.outcomes) == 1, "a whole answer ends within the invocation"


async def test_f46_a_caller_who_leaves_while_the_model_thinks_is_client_closed() -> None:
    """F46: cancellation goes on, and the outcome is on record."""
    house, source = streamed(None)
    asking = asyncio.ensure_future(house.ask())
    await settle()
    asking.cancel()
    await settle()
    assert asking.cancelled()
    assert [record["outcome"] for record in house.recorder.outcomes] == ["client-closed"]
    assert source.closed == 1


async def test_a_caller_who_leaves_in_the_middle_of_its_body_gets_no_answer_and_sends_nothing() -> None:
    """F46: nobody is left to read it: 499, nothing upstream."""
    house = House()
    reply = await house.ask(body=FakeBody(ClientClosed()))
    assert (reply.status, reply.body) == (499, b"")
    assert house.backend.sent == 0


@pytest.mark.parametrize("where", ["send", "body"])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_bug_is_not_blamed_on_the_caller(where: str, streams: bool) -> None:
    """R01: an unforeseen error after the decision has an outcome of the contract, and that is not `client-closed`."""
    house, _ = streamed(b"12", RuntimeError("bug") if where == "body" else b"3")
    if where == "send":
        house.backend.faults["send"] = RuntimeError("bug")
    reply = await house.ask(streams=streams)
    if not isinstance(reply.body, bytes):
        with pytest.raises(RuntimeError):
            [chunk async for chunk in reply.body]
        await aclose(reply.body)
    else:
        assert (reply.status, slug(reply)) == (500, "internal-error")
    (record,) = house.recorder.outcomes
    assert record["outcome"] in OUTCOMES - {"client-closed", "ok"}


async def test_a_caller_who_leaves_while_the_decision_is_recorded_gives_its_place_back() -> None:
    """D07: cancellation between the place and the call frees the place; nothing is sent."""
    house = House()

    async def never(**_: Any) -> None:
        await asyncio.Event().wait()

    house.recorder.decided = never  # type: ignore[method-assign]
    asking = asyncio.ensure_future(house.ask())
    await settle()
    assert house.backend.places == 1
    asking.cancel()
    await settle()
    assert asking.cancelled()
    assert (house.backend.places, house.backend.sent) == (0, 0)


PATHS = [
    pytest.param(FakeAnswer(200, [b"1", b"2"]), id="a success"),
    pytest.param(FakeAnswer(200, []), id="an empty success"),
    pytest.param(FakeAnswer(422, b"{}"), id="a relayed error"),
    pytest.param(FakeAnswer(500, b"{}"), id="an error of the gate's own"),
    pytest.param(FakeAnswer(302, b""), id="a redirect"),
    pytest.param(FakeAnswer(200, b"", {"content-encoding": "gzip"}), id="a compressed success"),
    pytest.param(FakeAnswer(200, [b"1", TransportFault("truncated", sent=True)]), id="an answer that is cut"),
    pytest.param(FakeAnswer(200, [b"1", RuntimeError("bug")]), id="a bug in the middle"),
    pytest.param(TransportFault("timeout", sent=True), id="a timeout"),
    pytest.param(RuntimeError("bug"), id="a bug in sending"),
]


@pytest.mark.parametrize("step", PATHS)
@pytest.mark.parametrize("leave", [None, 0, 1])
@pytest.mark.parametrize("streams", [True, False])
async def test_d07_every_way_through_gives_the_place_back(
    step: Any, leave: int | None, streams: bool
) -> None:
    """D07: through the real backend, whatever the model does and whenever the caller leaves, the one place is free."""
    if isinstance(step, FakeAnswer):
        step = FakeAnswer(step.status, list(step._pieces), dict(step.headers))
    forwarder = Forwarder(FakeTransport(step), FakeTokens(), FakeClock())
    house = House(backend=Online(forwarder, FakeClock()))
    reply = await house.ask(streams=streams)
    if not isinstance(reply.body, bytes):
        body: Any = reply.body
        with contextlib.suppress(StopAsyncIteration, UpstreamFault, RuntimeError):
            for _ in range(99 if leave is None else leave):
                await anext(body)
        await aclose(body)
    await asyncio.wait_for(forwarder.take(a_call()), 0.1)
    second = asyncio.ensure_future(forwarder.take(a_call()))
    await settle()
    assert not second.done(), "the place was given back twice"
    second.cancel()
