"""Callers who vanish, dawdle or crowd: what they held is given back, and nobody else notices (F46, D02, D07)."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.functional.differences import CALLER_GONE, FIRST_PIECE
from tests.functional.gates import BODY, Gate, until
from tests.functional.upstream import STREAM_HEAD, Exchange, answer, chunk, drips
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
TIMES = 50


@asynccontextmanager
async def connected(
    gate: Gate, data: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send bytes on a connection that is broken off at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    try:
        writer.write(data)
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()


def request(who: dict[str, str], name: str, body: bytes = BODY) -> bytes:
    """Give a whole scoring request as bytes."""
    lines = {"Host": "gate", "Content-Type": "application/json", "Content-Length": str(len(body)), **who}
    fields = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    return f"POST /endpoints/{name}/score HTTP/1.1\r\n{fields}\r\n".encode() + body


class Thinking:
    """A model that answers when it is told to, and sees whether the gate has gone."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        gone = asyncio.create_task(exchange.until_gone())
        done = asyncio.create_task(self.done.wait())
        await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        done.cancel()
        await asyncio.gather(gone, done, return_exceptions=True)
        if not exchange.gone.is_set():
            await exchange.send(answer())


async def test_a_caller_that_leaves_while_the_model_thinks_gives_its_place_back(
    gate: Gate, world: World
) -> None:
    """Fifty times at an endpoint with one place: the model's call is ended within a second where that is seen (F46)."""
    who = world.person(MEMBER)
    for turn in range(TIMES):
        world.upstream.reset()
        thinking = world.upstream.behaviour = Thinking()
        async with connected(gate, request(who, "narrow")):
            await until(lambda: len(world.upstream.requests) == 1)
        (seen,) = world.upstream.requests
        if CALLER_GONE.of(gate.mode) == "client-closed":
            await until(seen.gone.is_set, within=1.0)
        else:
            thinking.done.set()
        outcome = await _outcome_of(gate, seen)
        assert outcome == CALLER_GONE.of(gate.mode), turn
        world.upstream.reset()
        assert (await gate.score(who, "narrow")).status == 200


async def test_a_caller_that_leaves_in_the_middle_of_the_answer(gate: Gate, world: World) -> None:
    """Fifty times: the model's stream is cancelled within a second, the outcome is client-closed, the place is free."""
    if CALLER_GONE.of(gate.mode) != "client-closed":
        pytest.skip(CALLER_GONE.why)
    who = world.person(MEMBER)
    for _ in range(TIMES):
        world.upstream.reset()
        world.upstream.behaviour = drips
        async with connected(gate, request(who, "narrow")) as (reader, _writer):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readexactly(512)
        (seen,) = world.upstream.requests
        await until(seen.gone.is_set, within=1.0)
        assert await _outcome_of(gate, seen) == "client-closed"
        world.upstream.reset()
        assert (await gate.score(who, "narrow")).status == 200


async def test_callers_that_leave_at_any_moment_leave_nothing_behind(world: World, tmp_path: Path) -> None:
    """However far a request has got: the place comes back, and every allowed call gets its one outcome on record."""
    who = world.person(MEMBER)
    moments = random.Random(1)

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.005)
        await exchange.send(answer())

    async def leave(gate: Gate) -> None:
        async with connected(gate, request(who, "narrow")):
            await asyncio.sleep(moments.random() * 0.02)

    def without_outcome(gate: Gate) -> set[str]:
        records = gate.records()
        allowed = {one["request_id"] for one in records if one.get("decision") == "allow"}
        outcomes = [one["request_id"] for one in records if one["event"] == "outcome"]
        assert len(outcomes) == len(set(outcomes))
        return allowed - set(outcomes)

    world.upstream.behaviour = slow
    # On a real disk, where a record takes its time and somebody may leave while it is written.
    async with world.gate(GROUPGATE_AUDIT=f"file:{tmp_path}/audit.jsonl") as gate:
        for _ in range(TIMES // 2):
            # Four at a time: where leaving is not seen they run on, and four may wait for a place.
            await asyncio.gather(*(leave(gate) for _ in range(4)))
            left = time.monotonic()
            while (came := await gate.score(who, "narrow")).status != 200:
                # Who left a moment ago may still hold a place, and a disk may stall.
                assert came.slug in ("overloaded", "audit-unavailable")
                assert time.monotonic() - left < 1.5
        await until(lambda: not without_outcome(gate), within=3)


async def test_a_caller_that_leaves_in_the_middle_of_its_body_reaches_nothing(
    gate: Gate, world: World
) -> None:
    """Half a body is never forwarded."""
    who = world.person(MEMBER)
    for _ in range(TIMES):
        async with connected(gate, request(who, "narrow")[: -len(BODY) // 2]):
            await asyncio.sleep(0.002)
    assert (await gate.score(who, "narrow")).status == 200
    assert [seen.body for seen in world.upstream.requests] == [BODY]


async def test_a_caller_that_sends_slowly_is_served(gate: Gate, world: World) -> None:
    """A body in many pieces arrives as one."""
    data = request(world.person(MEMBER), "plain")
    async with connected(gate, data[:-40]) as (reader, writer):
        for start in range(40, 0, -8):
            await asyncio.sleep(0.02)
            writer.write(data[-start : len(data) - start + 8])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert world.upstream.requests[0].body == BODY


async def test_a_hundred_callers_that_never_finish_hold_nobody_up(gate: Gate, world: World) -> None:
    """Half heads and half bodies take no place at an endpoint, not even of the one that has one (D02)."""
    who = world.person(MEMBER)
    whole = request(who, "narrow")
    halves = [whole[:60], whole[:-5]] * 50
    opened = [connected(gate, half) for half in halves]
    try:
        await asyncio.gather(*(one.__aenter__() for one in opened))
        for _ in range(5):
            came = await gate.score(who, "narrow")
            assert came.status == 200
            assert came.seconds < 1.0
    finally:
        for one in opened:
            await one.__aexit__(None, None, None)


async def test_an_endpoint_that_hangs_fills_its_own_places_only(gate: Gate, world: World) -> None:
    """One in flight, four waiting, the next refused at once and the waiting after two seconds: 503 overloaded (D07)."""
    who = world.person(MEMBER)
    thinking = world.upstream.behaviour = Thinking()
    first = asyncio.create_task(gate.score(who, "narrow"))
    await until(lambda: len(world.upstream.requests) == 1)
    waiting = [asyncio.create_task(gate.score(who, "narrow")) for _ in range(4)]
    await asyncio.sleep(0.2)
    refused = await gate.score(who, "narrow")
    assert refused.told == (503, "overloaded")
    assert refused.seconds < 1.0
    assert 1 <= int(refused.headers["Retry-After"]) <= 5
    late = await asyncio.gather(*waiting)
    assert {one.told for one in late} == {(503, "overloaded")}
    assert all(1.5 < one.seconds < 3.0 for one in late)
    assert len(world.upstream.requests) == 1
    thinking.done.set()
    assert (await first).status == 200
    assert (await gate.score(who, "narrow")).status == 200
    assert (await gate.score(who, "plain")).status == 200


async def test_who_waits_for_a_place_gets_it(gate: Gate, world: World) -> None:
    """Five at an endpoint with one place are all served, one after the other, and never two at once."""
    who = world.person(MEMBER)
    most = now = 0

    async def counting(exchange: Exchange) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        await exchange.send(answer())
        now -= 1

    world.upstream.behaviour = counting
    came = await asyncio.gather(*(gate.score(who, "narrow") for _ in range(5)))
    assert [one.status for one in came] == [200] * 5
    assert most == 1


async def test_a_caller_that_reads_nothing_makes_nobody_buffer_for_it(gate: Gate, world: World) -> None:
    """The model is read no faster than the caller reads: an endless answer stops at what the sockets hold (D02)."""
    if not FIRST_PIECE.of(gate.mode):
        pytest.skip(FIRST_PIECE.why)
    sent = 0

    async def floods(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(STREAM_HEAD)
        with contextlib.suppress(ConnectionError):
            while True:
                await exchange.send(chunk(b"x" * 65_536))
                sent += 65_536

    world.upstream.behaviour = floods
    async with connected(gate, request(world.person(MEMBER), "narrow")):
        await until(lambda: sent > 0)
        before = -1
        while sent > before:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 64 << 20
    world.upstream.reset()
    assert (await gate.score(world.person(MEMBER), "narrow")).status == 200


async def test_the_audit_held_through_all_of_it(gate: Gate) -> None:
    """Every line is a record, in a chain."""
    gate.verify_audit()


async def _outcome_of(gate: Gate, seen: Exchange) -> str:
    request_id = seen.headers["x-request-id"]

    def found() -> list[str]:
        return [one["outcome"] for one in gate.records(request_id) if one["event"] == "outcome"]

    await until(lambda: bool(found()), within=1.0)
    (outcome,) = found()
    return str(outcome)
