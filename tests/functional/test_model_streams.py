"""Answers that people read as they come: relayed at once and byte for byte, ended well or told that they were not."""

import asyncio
import hashlib
import json
import random
from functools import partial

import pytest

from tests.functional.differences import CALLER_GONE, CUT_EVENTS, FIRST_PIECE, LATE_EVENTS
from tests.functional.gates import CHAT, Answer, Gate, until
from tests.functional.upstream import (
    DONE,
    END,
    EVENTS_HEAD,
    Behaviour,
    Exchange,
    answer,
    chunk,
    delta,
    drips_events,
    event,
    resets,
    says,
    silent,
    streams,
    usage_event,
)
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST, SECOND = delta("first"), delta("sécond 花")


def is_told(gate: Gate, came: Answer, before: bytes, *, late: bool = False) -> bool:
    """Say whether an answer that was cut after `before` came as it must in this way of hosting, and ends well."""
    expected = (LATE_EVENTS if late else CUT_EVENTS).of(gate.mode)
    slug = "upstream-timeout" if late else "upstream-unreachable"
    if expected != "event: error":
        return came.told == (expected, slug)
    assert (came.status, came.whole) == (200, True)
    assert b"[DONE]" not in came.body
    begin = before + b"event: error\ndata: "
    assert came.body.startswith(begin), came.body
    assert came.body.endswith(b"\n\n")
    told = json.loads(came.body[len(begin) :])
    assert told["instance"] == f"urn:uuid:{came.request_id}"
    assert told["error"] == {"code": slug, "message": told["detail"]}
    assert not [marker for marker in gate.markers() if marker in came.body[len(begin) :].decode()]
    return bool(told["type"] == f"urn:groupgate:problem:{slug}")


def cut(data: bytes, *, then: str) -> Behaviour:
    """Send these bytes, and when they have arrived end the connection as `then` says."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)
        await asyncio.sleep(0.05)
        if then == "reset":
            exchange.reset()
        else:
            exchange.writer.close()

    return behave


async def test_events_are_relayed_as_they_come(gate: Gate, world: World) -> None:
    """The first is there while the model still thinks of the second; where the host cannot, all come at once."""
    more = asyncio.Event()

    async def in_two(exchange: Exchange) -> None:
        await exchange.send(EVENTS_HEAD + chunk(FIRST))
        await more.wait()
        await exchange.send(chunk(SECOND) + chunk(DONE) + END)

    world.upstream.behaviour = in_two
    pieces: list[bytes] = []
    asking = asyncio.create_task(gate.chat(world.person(MEMBER), stream=True, pieces=pieces))
    await until(lambda: len(world.upstream.requests) == 1)
    if FIRST_PIECE.of(gate.mode):
        await until(lambda: pieces == [FIRST])
    else:
        await asyncio.sleep(0.1)
        assert pieces == []
    more.set()
    came = await asking
    assert (came.status, came.whole, came.body) == (200, True, FIRST + SECOND + DONE)
    assert came.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (await gate.outcome(came))["outcome"] == "ok"


async def test_two_hundred_streams_in_random_slices_arrive_identical_f06(gate: Gate, world: World) -> None:
    """F06: however chunks cut events, letters and line ends, the SHA-256 of what arrives is that of what was sent."""
    chance = random.Random(5)
    sent: dict[str, bytes] = {}

    async def sliced(exchange: Exchange) -> None:
        whole = sent[json.loads(exchange.body)["user"]]
        await exchange.send(EVENTS_HEAD)
        at = 0
        while at < len(whole):
            size = chance.choice((1, 2, 3, 7, 50, 400))
            await exchange.send(b"".join(map(chunk, [whole[at : at + size]])))
            at += size
            if chance.random() < 0.05:
                await asyncio.sleep(0)
        await exchange.send(END)

    world.upstream.behaviour = sliced
    who = world.person(MEMBER)
    for turn in range(20):
        for number in range(10):
            blank = chance.choice((b"\n\n", b"\r\n\r\n", b"\r\r"))
            events = [delta("花🌸é\n" * chance.randrange(5), n=n) for n in range(chance.randrange(1, 30))]
            events += [b": a comment\n\n", event({"type": "x"}, name="other"), usage_event(1, 2), DONE]
            sent[f"{turn}-{number}"] = b"".join(events).replace(b"\n\n", blank)
        names = [name for name in sent if name.startswith(f"{turn}-")]
        came = await asyncio.gather(*(gate.chat(who, user=name, stream=True) for name in names))
        for name, one in zip(names, came, strict=True):
            assert (one.status, one.whole) == (200, True)
            assert hashlib.sha256(one.body).digest() == hashlib.sha256(sent[name]).digest()


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    ("rest", "shown"),
    [
        (b"", b""),
        (chunk(SECOND), SECOND),
        (chunk(SECOND[:20]), b""),
        (chunk(SECOND + SECOND[:-1]), SECOND),
        (b"ffff\r\n" + SECOND, SECOND),
        (chunk(DONE[:-2]), b""),
    ],
    ids=["between events", "after an event", "inside an event", "at its last byte", "inside a chunk", "inside DONE"],
)  # fmt: skip
async def test_an_answer_that_is_cut_ends_with_an_error_f04_f05(
    gate: Gate, world: World, rest: bytes, shown: bytes, then: str
) -> None:
    """F04, F05: what was whole, then one `event: error`, and no [DONE]; the outcome is `truncated`; asked once."""
    world.upstream.behaviour = cut(EVENTS_HEAD + chunk(FIRST) + rest, then=then)
    came = await gate.chat(world.person(MEMBER), stream=True)
    assert is_told(gate, came, FIRST + shown)
    outcome = await gate.outcome(came)
    assert (outcome["outcome"], outcome["upstream_status"]) == ("truncated", 200)
    assert len(world.upstream.requests) == 1


async def test_an_answer_whose_end_comes_with_its_events_is_told_too_f05(gate: Gate, world: World) -> None:
    """F05: the last events may be lost with the connection; what does come are whole ones, and the error."""
    world.upstream.behaviour = says(EVENTS_HEAD + chunk(FIRST) + chunk(SECOND), then="close")
    for _ in range(20):
        came = await gate.chat(world.person(MEMBER), stream=True)
        kept = next(whole for whole in (FIRST + SECOND, FIRST, b"") if came.body.startswith(whole))
        assert is_told(gate, came, kept)
        assert (await gate.outcome(came))["outcome"] == "truncated"


async def test_an_answer_that_is_cut_after_its_end_was_whole(gate: Gate, world: World) -> None:
    """F05: with [DONE] on its way nothing is missing, and no error is added; in classic the body was still cut."""
    world.upstream.behaviour = cut(EVENTS_HEAD + chunk(FIRST) + chunk(DONE), then="close")
    came = await gate.chat(world.person(MEMBER), stream=True)
    if CUT_EVENTS.of(gate.mode) == "event: error":
        assert (came.status, came.whole, came.body) == (200, True, FIRST + DONE)
        assert (await gate.outcome(came))["outcome"] == "ok"
    else:
        assert came.told == (502, "upstream-unreachable")


async def test_a_model_that_dies_before_its_answer_is_502_f04(gate: Gate, world: World) -> None:
    """F04: no status has gone out yet, so it is a status; the request is not sent again."""
    world.upstream.behaviour = resets
    came = await gate.chat(world.person(MEMBER), stream=True)
    assert came.told == (502, "upstream-unreachable")
    assert len(world.upstream.requests) == 1
    assert (await gate.outcome(came))["outcome"] == "upstream-unreachable"


async def test_an_error_before_the_first_event_is_a_status(gate: Gate, world: World) -> None:
    """A refusal of the model is relayed as JSON with its status, streamed or not."""
    error = {"error": {"code": "content_filter", "message": "no"}}
    world.upstream.behaviour = says(answer(400, error))
    came = await gate.chat(world.person(MEMBER), stream=True)
    assert (came.status, came.json(), came.headers["Content-Type"]) == (400, error, "application/json")


@pytest.mark.parametrize("begun", [False, True], ids=["before its first byte", "under way"])
async def test_a_silent_model_ends_at_the_policys_timeout_f07_f08(
    gate: Gate, world: World, begun: bool
) -> None:
    """F07, F08, D02: `timeout = "1s"` is for all of it; then the connection to the model is closed."""

    async def stalls(exchange: Exchange) -> None:
        await exchange.send(EVENTS_HEAD + chunk(FIRST))
        await silent(exchange)

    world.upstream.behaviour = stalls if begun else silent
    came = await gate.chat(world.person(MEMBER), "quick", stream=True)
    if begun:
        assert is_told(gate, came, FIRST, late=True)
    else:
        assert came.told == (504, "upstream-timeout")
    assert 0.9 < came.seconds < 2.0
    async with asyncio.timeout(1):
        await world.upstream.requests[0].gone.wait()
    begun_for_the_caller = begun and gate.mode == "stream"
    outcome = "truncated" if begun_for_the_caller else "upstream-timeout"
    assert (await gate.outcome(came))["outcome"] == outcome


async def test_an_endless_answer_ends_at_the_policys_timeout_f08(gate: Gate, world: World) -> None:
    """F08: events that never stop coming stop there; what came was whole events, and an error after them."""
    world.upstream.behaviour = drips_events
    came = await gate.chat(world.person(MEMBER), "quick", stream=True)
    assert came.seconds < 2.0
    drip = delta("drip")
    times = came.body.count(drip)
    assert is_told(gate, came, drip * times, late=True)
    async with asyncio.timeout(1):
        await world.upstream.requests[0].gone.wait()


async def test_a_caller_that_leaves_cancels_the_model_within_a_second_f46(gate: Gate, world: World) -> None:
    """F46, D02: twenty in a row, mid-stream and before the first event; outcome `client-closed`, and no place is lost."""
    if CALLER_GONE.of(gate.mode) != "client-closed":
        pytest.skip(CALLER_GONE.why)
    who = world.person(MEMBER)
    for turn in range(20):
        world.upstream.reset()
        world.upstream.behaviour = drips_events if turn % 2 else silent
        pieces: list[bytes] = []
        asking = asyncio.create_task(gate.chat(who, "narrow", stream=True, pieces=pieces))
        await until(lambda: len(world.upstream.requests) == 1)
        if turn % 2:
            await until(partial(bool, pieces))
        asking.cancel()
        seen = world.upstream.requests[0]
        async with asyncio.timeout(1):
            await seen.gone.wait()
        records = partial(gate.records, seen.headers["x-request-id"])
        await until(lambda records=records: len(records()) == 2)
        assert records()[1]["outcome"] == "client-closed"


async def test_fifty_streams_at_once_starve_nobody(gate: Gate, world: World) -> None:
    """Each gets its own events, in order, about as fast as any other; one that does not read holds up nobody."""
    begun = asyncio.Event()

    async def counts(exchange: Exchange) -> None:
        name = json.loads(exchange.body)["user"]
        if len(world.upstream.requests) == 50:
            begun.set()
        await begun.wait()
        await exchange.send(EVENTS_HEAD)
        for number in range(20):
            pad = {"pad": "x" * (1 << 20)} if name == "0" else {}
            await exchange.send(chunk(event({"for": name, "number": number, **pad})))
            await asyncio.sleep(0.01)
        await exchange.send(chunk(DONE) + END)

    world.upstream.behaviour = counts
    who = [world.person(MEMBER) for _ in range(50)]
    lag = await gate.chat_that_is_not_read(who[0])
    try:
        came = await asyncio.gather(
            *(gate.chat(one, stream=True, user=str(n)) for n, one in enumerate(who) if n)
        )
    finally:
        lag.transport.abort()
    for number, one in enumerate(came, 1):
        expected = [event({"for": str(number), "number": n}) for n in range(20)]
        assert (one.status, one.whole, one.body) == (200, True, b"".join(expected) + DONE)
    assert max(one.seconds for one in came) < 5


async def test_nobody_reads_what_was_meant_for_another_t15(gate: Gate, world: World) -> None:
    """T15: two callers interleaved while readers and models are killed mid-stream: no mark of one in the other's answer."""
    chance = random.Random(6)

    async def marks(exchange: Exchange) -> None:
        mark = json.loads(exchange.body)["user"]
        await exchange.send(EVENTS_HEAD)
        for _ in range(5):
            await exchange.send(chunk(delta(f"<{mark}>", pad="x" * 500)))
            await asyncio.sleep(chance.random() * 0.005)
            if chance.random() < 0.05:
                exchange.reset()
                return
        await exchange.send(chunk(DONE) + END)

    world.upstream.behaviour = marks
    callers = {"A": world.person(MEMBER), "B": world.person(MEMBER)}

    async def ask(name: str, number: int) -> tuple[str, bytes]:
        mark = f"{name}-{number}"
        pieces: list[bytes] = []
        asking = asyncio.create_task(gate.chat(callers[name], user=mark, stream=True, pieces=pieces))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.03)
            asking.cancel()
        await asyncio.wait({asking})
        return mark, b"".join(pieces)

    for turn in range(10):
        came = await asyncio.gather(*(ask(name, turn * 10 + n) for n in range(10) for name in callers))
        for mark, body in came:
            found = {part.partition(b">")[0].decode() for part in body.split(b"<")[1:]}
            assert found <= {mark}
    world.upstream.reset()
    assert (await gate.chat(callers["A"])).status == 200


async def test_other_streams_go_on_as_they_come(gate: Gate, world: World) -> None:
    """Speech as a file in pieces, images and transcriptions as events, a stored response read again: all unchanged."""
    who = {**world.person(MEMBER), "Content-Type": "application/json"}
    sound = random.Random(7).randbytes(5000)
    head = EVENTS_HEAD.replace(b"text/event-stream; charset=utf-8", b"audio/mpeg")
    world.upstream.behaviour = says(head + chunk(sound[:10]) + chunk(sound[10:]) + END)
    body = b'{"model":"gpt","input":"x","voice":"alloy"}'
    came = await gate.ask("POST", "/openai/v1/audio/speech", headers=who, body=body)
    assert (came.status, came.body, came.headers["Content-Type"]) == (200, sound, "audio/mpeg")
    events = event({"type": "image_generation.partial_image", "b64_json": "AA=="}) + event(
        {"type": "image_generation.completed", "usage": {"input_tokens": 3, "output_tokens": 4}}
    )
    world.upstream.behaviour = streams(events)
    body = b'{"model":"gpt","prompt":"x","stream":true}'
    came = await gate.ask("POST", "/openai/v1/images/generations", headers=who, body=body)
    assert (came.status, came.body) == (200, events)
    assert (await gate.outcome(came))["total_tokens"] == 7


async def test_a_compressed_stream_is_not_passed_on(gate: Gate, world: World) -> None:
    """T19, D03: it was asked for as it is; what comes compressed all the same is 502."""
    head = EVENTS_HEAD.replace(b"content-type", b"content-encoding: gzip\r\ncontent-type")
    world.upstream.behaviour = says(head + chunk(b"\x1f\x8b") + END)
    came = await gate.chat(world.person(MEMBER), stream=True)
    assert came.told == (502, "upstream-error")
    assert world.upstream.requests[0].target == CHAT


async def test_an_event_too_long_to_hold_goes_on_unchanged(gate: Gate, world: World) -> None:
    """A megabyte and more in one event: bounded memory, and the same bytes."""
    long = delta("x" * (3 << 20))
    world.upstream.behaviour = streams(
        FIRST, *(long[at : at + 65_536] for at in range(0, len(long), 65_536)), DONE
    )
    came = await gate.chat(world.person(MEMBER), stream=True)
    assert hashlib.sha256(came.body).digest() == hashlib.sha256(FIRST + long + DONE).digest()


async def test_everything_was_recorded(gate: Gate) -> None:
    """After all of this the audit's chain holds (T23)."""
    gate.verify_audit()
