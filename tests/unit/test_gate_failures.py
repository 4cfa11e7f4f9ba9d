"""P10, E05: an exception in any dependency never ends in an allow, and never in an unhandled error."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest

from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.model import Membership, Reason, Standing
from shared.problem import Undecidable
from tests.fakes import (
    SCOPE,
    FakeAnswer,
    FakeBody,
    FakeClock,
    FakeTokens,
    FakeTransport,
    a_call,
    a_membership,
    headers_of,
)
from tests.house import House, slug

SECRET = "secret-in-the-exception"

EXCEPTIONS: list[type[Exception]] = [
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    AssertionError,
    OSError,
    TimeoutError,
    ConnectionResetError,
    RecursionError,
    MemoryError,
    OverflowError,
    LookupError,
    StopAsyncIteration,
    ArithmeticError,
    msgspec.ValidationError,
    json.JSONDecodeError,
    UnicodeDecodeError,
    ExceptionGroup,
]

PLACES = [
    "authenticator.authenticate",
    "memberships.known",
    "memberships.ask",
    "memberships.graced",
    "backend.read",
    "backend.resolve",
    "backend.prepare",
    "backend.take",
    "audit.decided",
    "body.read",
    "tokens.token",
    "clock.monotonic",
]
"""Every method of a port that is called before anything goes upstream."""


def make(kind: type[Exception]) -> Exception:
    """Return an exception of `kind` whose text must reach nobody."""
    if kind is json.JSONDecodeError:
        return json.JSONDecodeError(SECRET, SECRET, 0)
    if kind is UnicodeDecodeError:
        return UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET)
    if kind is ExceptionGroup:
        return ExceptionGroup(SECRET, [ValueError(SECRET)])
    return kind(SECRET)


class Broken:
    """A gate over the real backend, with one dependency that raises."""

    def __init__(self, place: str, fault: BaseException) -> None:
        self.transport = FakeTransport(FakeAnswer(200, b"prediction"))
        self.tokens = FakeTokens(fault=fault if place == "tokens.token" else None)
        self.forwarder = Forwarder(self.transport, self.tokens, FakeClock())
        self.online = Online(self.forwarder, FakeClock())
        self.house = House(backend=self.online)
        self.body = FakeBody(fault if place == "body.read" else b"{}")

        def raises(*_: Any, **__: Any) -> Any:
            raise fault

        async def raises_later(*_: Any, **__: Any) -> Any:
            await asyncio.sleep(0)
            raise fault

        answers = {
            "memberships.known": {"known": fault},
            "memberships.ask": {"known": None, "ask": fault},
            "memberships.graced": {
                "known": None,
                "ask": Undecidable(Reason.GRAPH_UNAVAILABLE),
                "graced": fault,
            },
        }
        self.house.memberships.answers.update(answers.get(place, {}))
        if not isinstance(fault, Undecidable) and place == "memberships.ask":
            self.house.memberships.answers["graced"] = a_membership()  # a grace that must not cover a bug
        methods: dict[str, tuple[object, str, Any]] = {
            "authenticator.authenticate": (self.house.authenticator, "authenticate", raises_later),
            "backend.read": (self.online, "read", raises),
            "backend.resolve": (self.online, "resolve", raises_later),
            "backend.prepare": (self.online, "prepare", raises_later),
            "backend.take": (self.online, "take", raises_later),
            "audit.decided": (self.house.recorder, "decided", raises_later),
            "clock.monotonic": (self.house.clock, "monotonic", raises),
        }
        if place in methods:
            setattr(*methods[place])


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("place", PLACES)
async def test_p10_an_unforeseen_exception_anywhere_is_an_error_and_never_an_allow(
    place: str, kind: type[Exception]
) -> None:
    """P10, E05, I01, R03: whatever raises before the call, nothing is sent, the place is free, and no text leaks."""
    broken = Broken(place, make(kind))
    reply = await broken.house.ask(body=broken.body)
    assert reply.status >= 400
    assert isinstance(reply.body, bytes)
    assert SECRET.encode() not in reply.body
    assert SECRET not in str(reply.headers)
    assert broken.transport.sent == []
    assert {"x-request-id", "cache-control", "vary"} <= set(headers_of(reply))
    broken.tokens.fault = None
    await asyncio.wait_for(broken.forwarder.take(a_call()), 0.1)


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("streams", [True, False])
async def test_p10_an_unforeseen_exception_in_sending_is_500_without_data(
    kind: type[Exception], streams: bool
) -> None:
    """P10, I01: a bug in the way out is `internal-error`, with nothing of the exception in it."""
    transport = FakeTransport(make(kind))
    house = House(backend=Online(Forwarder(transport, FakeTokens(), FakeClock()), FakeClock()))
    reply = await house.ask(streams=streams)
    assert (reply.status, slug(reply)) == (500, "internal-error")
    assert len(transport.sent) == 1
    assert isinstance(reply.body, bytes)
    assert SECRET.encode() not in reply.body


@pytest.mark.parametrize("kind", EXCEPTIONS)
async def test_p10_a_readiness_that_breaks_is_not_ready(kind: type[Exception]) -> None:
    """P10: /readyz is never 200 on an exception."""
    house = House()
    house.not_ready = make(kind)
    assert (await house.ask("readyz")).status >= 500


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize(
    "place", ["authenticator.authenticate", "memberships.known", "memberships.ask", "memberships.graced"]
)
async def test_p10_me_names_nothing_on_an_exception(place: str, kind: type[Exception]) -> None:
    """P10: `GET /me` is an error, and no list with holes, when it could not decide about one endpoint."""
    broken = Broken(place, make(kind))
    reply = await broken.house.ask("me")
    assert reply.status >= 500
    assert isinstance(reply.body, bytes)
    assert b"fraud" not in reply.body


@pytest.mark.parametrize(
    "place",
    [
        "authenticator.authenticate",
        "memberships.known",
        "backend.resolve",
        "backend.prepare",
        "backend.take",
        "audit.decided",
        "body.read",
        "tokens.token",
    ],
)
async def test_cancellation_goes_on_and_leaves_nothing_taken(place: str) -> None:
    """F46: cancellation is not an error to answer; it frees the place and sends nothing."""
    broken = Broken(place, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await broken.house.ask(body=broken.body)
    assert broken.transport.sent == []
    broken.tokens.fault = None
    await asyncio.wait_for(broken.forwarder.take(a_call()), 0.1)


async def test_r03_a_bug_is_logged_by_its_class_and_request_alone(caplog: pytest.LogCaptureFixture) -> None:
    """R03: the log says which class of exception and which request, and nothing that it holds."""
    house = House()
    house.authenticator.fault = RuntimeError(SECRET)
    with caplog.at_level(logging.DEBUG):
        reply = await house.ask()
    assert "RuntimeError" in caplog.text
    assert headers_of(reply)["x-request-id"] in caplog.text
    assert SECRET not in caplog.text


OUTAGES = [
    (Reason.GRAPH_UNAVAILABLE, "membership-unavailable"),
    (Reason.GRAPH_FORBIDDEN, "membership-unavailable"),
    (Reason.OVERLOADED, "overloaded"),
]


@pytest.mark.parametrize(("reason", "expected"), OUTAGES)
async def test_f23_a_directory_that_is_down_is_503_and_never_403(reason: Reason, expected: str) -> None:
    """F23, F25, E03: where only Graph could tell, its outage is "cannot say" and no denial."""
    broken = Broken("memberships.ask", Undecidable(reason))
    reply = await broken.house.ask()
    assert (reply.status, slug(reply)) == (503, expected)
    assert "retry-after" in headers_of(reply)
    assert broken.transport.sent == []


async def test_e04_an_answer_that_leaves_the_question_open_is_503_and_never_403() -> None:
    """E03, E04: a directory that answers without saying what was asked has not said "no"."""
    house = House()
    house.memberships.answers.update(known=Membership(), ask=Membership())
    reply = await house.ask()
    assert (reply.status, slug(reply)) == (503, "membership-unavailable")
    assert house.backend.sent == 0


async def test_e06_a_proven_member_within_the_grace_outlives_the_outage() -> None:
    """E06: with `outage-grace`, an answer that proved membership before still serves."""
    broken = Broken("memberships.ask", OSError())
    broken.house.memberships.answers.update(ask=Undecidable(Reason.GRAPH_UNAVAILABLE), graced=a_membership())
    assert (await broken.house.ask()).status == 200


async def test_e06_grace_is_no_proof_of_absence_to_come_back_with() -> None:
    """E06: what the grace does not cover is still the outage: 503."""
    broken = Broken("memberships.ask", OSError())
    broken.house.memberships.answers.update(ask=Undecidable(Reason.GRAPH_UNAVAILABLE), graced=Membership())
    assert (await broken.house.ask()).status == 503


@pytest.mark.parametrize("standing", [Standing.OUT, Standing.UNKNOWN])
async def test_e05_no_standing_but_in_proves_anything(standing: Standing) -> None:
    """E05: only a positive proof allows."""
    house = House()
    house.memberships.answers.update(known=a_membership(standing), ask=a_membership(standing))
    assert (await house.ask()).status >= 400
    assert house.backend.sent == 0


async def test_i04_the_token_is_dropped_and_the_model_not_called_again() -> None:
    """I04, F13: the model's 401 about the gate is 502 for the caller, whose own token is not blamed."""
    transport, tokens = FakeTransport(FakeAnswer(401, b"{}", {"www-authenticate": "Bearer"})), FakeTokens()
    house = House(backend=Online(Forwarder(transport, tokens, FakeClock()), FakeClock()))
    reply = await house.ask()
    assert (reply.status, slug(reply)) == (502, "upstream-auth-failed")
    assert "www-authenticate" not in headers_of(reply)
    assert (len(transport.sent), tokens.dropped) == (1, [SCOPE])
