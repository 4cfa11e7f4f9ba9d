"""What is known of a request on its way: the relay of a streamed body, and what a call is charged."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from shared.model import Asked, Usage
from shared.problem import Slug, UpstreamFault
from shared.trail import Relay, Trail, outcome_of
from shared.trail import settle as settle_trail
from tests.fakes import FakeClock, FakeReservation, FakeStream

TOLD = Usage(prompt=3, completion=4, total=7)
CUT = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=200)


def a_trail(**changes: Any) -> Trail:
    return Trail(request_id="r", started=0.0, **changes)


class Relayed:
    """A relay over a fake body, and what it completed with."""

    def __init__(self, *pieces: Any) -> None:
        self.source = FakeStream(*pieces)
        self.trail = a_trail(upstream_status=200)
        self.clock = FakeClock()
        self.ended: list[tuple[str, Usage | None]] = []
        self.relay = Relay(self.source, self.trail, self.clock, self._complete)

    async def _complete(self, trail: Trail, outcome: str) -> None:
        self.ended.append((outcome, trail.usage))

    async def read(self, most: int = 99) -> None:
        try:
            with contextlib.suppress(StopAsyncIteration, UpstreamFault, RuntimeError):
                for _ in range(most):
                    await anext(self.relay)
        finally:
            await self.relay.aclose()


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (200, "ok"),
        (204, "ok"),
        (299, "ok"),
        (300, "upstream-300"),
        (429, "upstream-429"),
    ],
)
def test_the_word_of_a_whole_answer_is_ok_or_its_status(status: int, word: str) -> None:
    """Design, "Answers": `ok` for 2xx, `upstream-STATUS` for a refusal that was relayed."""
    assert outcome_of(a_trail(upstream_status=status)) == word


@pytest.mark.parametrize(
    ("pieces", "read", "outcome"),
    [
        ((b"a", b"b"), 99, "ok"),
        ((), 99, "ok"),
        ((b"a", CUT), 99, "truncated"),
        ((b"a", RuntimeError("bug")), 99, "unknown"),
        ((b"a", b"b"), 1, "client-closed"),
        ((b"a", b"b"), 2, "client-closed"),
        ((b"a",), 0, "client-closed"),
    ],
)
async def test_a_body_has_one_outcome_however_it_ends(pieces: Any, read: int, outcome: str) -> None:
    """Section 5.4: exactly one outcome, at the end that came; the source is let go of."""
    house = Relayed(*pieces)
    await house.read(read)
    await house.relay.aclose()
    assert house.ended == [(outcome, None)]
    assert house.source.closed == 1


async def test_f04_a_body_that_tells_its_own_fault_has_that_faults_outcome() -> None:
    """F04: an error event ends a body well; what it was stands in the source's `fault`."""
    house = Relayed(b"a")
    house.source.fault = CUT
    await house.read()
    assert house.ended == [("truncated", None)]
    assert house.relay.fault is CUT


async def test_a_fault_that_is_no_models_is_no_outcome_of_its_own() -> None:
    """Only a fault of the model's side has a word for the record."""
    house = Relayed(b"a")
    house.source.fault = RuntimeError("x")
    await house.read()
    assert house.ended == [("ok", None)]


async def test_what_the_model_told_is_read_at_the_end() -> None:
    """Metering: usage is known when the source has been closed, and shows through the relay."""
    house = Relayed(b"a", b"b")
    assert house.relay.usage is None
    house.source.usage = TOLD
    assert house.relay.usage == TOLD
    await house.read()
    assert house.ended == [("ok", TOLD)]


async def test_a_source_that_cannot_be_closed_has_its_outcome_all_the_same() -> None:
    """R01: the outcome is on record whatever letting go raises."""
    house = Relayed(b"a")

    async def fails() -> None:
        raise OSError

    house.source.aclose = fails  # type: ignore[method-assign]
    with pytest.raises(OSError):
        await house.relay.aclose()
    assert house.ended == [("client-closed", None)]


async def test_bytes_and_the_first_of_them_are_counted() -> None:
    """Metering: bytes that went on, and when the first did; empty chunks are none."""
    house = Relayed(b"", b"12", b"345")
    for moved in (1, 1, 1):
        house.clock.move(moved)
        await anext(house.relay)
    await house.relay.aclose()
    assert (house.trail.bytes_out, house.trail.first_byte) == (5, 1002.0)


@pytest.mark.parametrize(
    ("known", "end"),
    [
        ({"usage": TOLD, "upstream_status": 200}, ("settle", 7)),
        ({"usage": TOLD, "upstream_status": 500}, ("settle", 7)),
        ({"upstream_status": 302}, ("settle", 0)),
        *(
            ({"upstream_status": status}, ("settle", 0))
            for status in (401, 403, 404, 409, 413, 415, 422, 429, 503)
        ),
        ({"upstream_status": 400, "prompt_tokens": 5}, ("settle", 5)),
        ({"upstream_status": 424, "prompt_tokens": 5}, ("settle", 5)),
        *(({"upstream_status": status}, ("settle", None)) for status in (408, 500, 502, 504)),
        ({"sent": False}, ("cancel", None)),
        ({"upstream_status": 200}, ("settle", None)),
        ({}, ("settle", None)),
    ],
)
async def test_what_a_call_is_charged(known: dict[str, Any], end: tuple[str, int | None]) -> None:
    """Limits: told tokens, nothing for a refusal, all back where nothing was sent, else what was reserved."""
    reservation = FakeReservation([])
    await settle_trail(a_trail(reservation=reservation, **known))
    assert reservation.end == end


async def test_what_was_cut_is_charged_at_least_what_went_on() -> None:
    """Who hangs up before the model tells its usage pays for what was read, though it is more than was reserved."""
    reservation = FakeReservation([])
    house = Relayed(b"a", b"b")
    house.source.relayed = 5000
    house.trail.reservation, house.trail.prompt_tokens = reservation, 40
    await house.read(1)
    await settle_trail(house.trail)
    assert (reservation.end, reservation.at_least) == (("settle", None), 5040)


async def test_nothing_is_charged_where_nothing_was_reserved() -> None:
    """A rule without limits has nothing to settle."""
    await settle_trail(a_trail(usage=TOLD))


@pytest.mark.parametrize(("target", "model"), [("model", "gpt"), ("endpoint", None)])
def test_only_a_model_is_a_model_in_the_record(target: Any, model: str | None) -> None:
    """Metering: `model` is the policy's name of a model, and null for endpoints."""
    assert a_trail(asked=Asked(target=target, name="gpt", operation="x")).model == model
    assert a_trail().model is None
