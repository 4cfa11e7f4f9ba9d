"""What rules give away, counted in the gate: requests and tokens, taken before the call and made true after it (D05, I10)."""

import asyncio
import json
from typing import Any

import pytest

from tests.functional.differences import CALLER_GONE, CUT_EVENTS
from tests.functional.gates import Answer, Gate, until
from tests.functional.upstream import (
    DONE,
    EVENTS_HEAD,
    Behaviour,
    answer,
    chat,
    chunk,
    delta,
    drips_events,
    event,
    resets,
    says,
    silent,
    streams,
    usage,
    usage_event,
)
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST = delta("first", usage=None)
COUNTED = says(answer(200, chat(usage=usage(40, 10))))


def left(came: Answer, counter: str) -> int:
    """Give what an answer says is left."""
    return int(came.headers[f"x-ratelimit-remaining-{counter}"])


def seconds(text: str) -> int:
    """Give the seconds of a time to the next window as OpenAI writes it."""
    total = 0
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        number, found, rest = text.partition(unit)
        if found:
            total, text = total + int(number) * size, rest
    return total


async def test_requests_are_counted_for_each_caller_i10(gate: Gate, world: World) -> None:
    """I10: the fourth of three is 429 with nothing sent, and tells when; nobody else has spent anything."""
    alice, bob = world.person(MEMBER), world.person(MEMBER)
    for remaining in ("2", "1", "0"):
        came = await gate.chat(alice, "three")
        assert came.status == 200
        assert came.headers["x-ratelimit-limit-requests"] == "3"
        assert came.headers["x-ratelimit-remaining-requests"] == remaining
        assert 3590 <= seconds(came.headers["x-ratelimit-reset-requests"]) <= 3600
        assert gate.decision(came)["counted"] == "instance"
    world.upstream.reset()
    for _ in range(3):
        came = await gate.chat(alice, "three")
        assert came.told == (429, "rate-limited")
        assert 3590 <= int(came.headers["Retry-After"]) <= 3600
        assert came.headers["x-should-retry"] == "false"
        assert came.headers["x-ratelimit-limit-requests"] == "3"
        assert came.headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-ratelimit-limit-tokens" not in came.headers
        record = gate.decision(came)
        assert (record["decision"], record["reason"], record["counted"]) == ("error", "rate-limited", None)
        assert len(gate.records(came.request_id)) == 1
    assert world.upstream.requests == []
    assert (await gate.chat(bob, "three")).headers["x-ratelimit-remaining-requests"] == "2"
    assert (await gate.chat(alice, "gpt")).status == 200


async def test_two_callers_at_once_never_spend_each_others(gate: Gate, world: World) -> None:
    """Ten of each at the same moment: three and three."""
    callers = [world.person(MEMBER) for _ in range(5)]
    came = await asyncio.gather(*(gate.chat(who, "three") for _ in range(10) for who in callers))
    for number in range(5):
        assert [one.status for one in came[number::5]].count(200) == 3
    assert {one.told for one in came} == {(200, ""), (429, "rate-limited")}
    assert len(world.upstream.requests) == 15


async def test_a_rules_own_limit_is_everybodys(gate: Gate, world: World) -> None:
    """`per = "rule"`: three in all, whoever asks; who may not ask at all spends nothing."""
    assert (await gate.chat(world.person(), "three-for-all")).status == 403
    came = [await gate.chat(world.person(MEMBER), "three-for-all") for _ in range(4)]
    assert [one.status for one in came] == [200, 200, 200, 429]


async def test_a_short_wait_is_told_and_then_served(gate: Gate, world: World) -> None:
    """`Retry-After` in seconds, no word against trying again, and after it there is room."""
    who = world.person(MEMBER)
    came = await asyncio.gather(*(gate.chat(who, "two-a-second") for _ in range(4)))
    refused = [one for one in came if one.status == 429]
    assert len(refused) == 2
    for one in refused:
        assert one.headers["Retry-After"] == "1"
        assert "x-should-retry" not in one.headers
    await asyncio.sleep(1.05)
    assert (await gate.chat(who, "two-a-second")).status == 200


async def test_a_limit_of_both_tells_both(gate: Gate, world: World) -> None:
    """Requests and tokens side by side, with a wait of at most a minute: a client may try again by itself."""
    who = world.person(MEMBER)
    for _ in range(2):
        came = await gate.chat(who, "two-a-minute")
        assert {name for name in came.headers if name.lower().startswith("x-ratelimit")} == {
            f"x-ratelimit-{what}-{counter}"
            for what in ("limit", "remaining", "reset")
            for counter in ("requests", "tokens")
        }
    came = await gate.chat(who, "two-a-minute")
    assert came.status == 429
    assert 1 <= int(came.headers["Retry-After"]) <= 60
    assert came.headers.get("x-should-retry") == ("false" if int(came.headers["Retry-After"]) > 30 else None)


SETTLED: list[tuple[str, Behaviour, dict[str, Any], int | None]] = [
    # what happens, how it is asked, what it costs; None is what was reserved
    ("told", COUNTED, {}, 50),
    ("more than was reserved", says(answer(200, chat(usage=usage(40, 5000)))), {}, 5040),
    ("not told", says(answer(200, chat())), {}, None),
    ("nonsense told", says(answer(200, chat(usage={"prompt_tokens": -1, "completion_tokens": 1}))), {}, None),
    ("no JSON", says(answer(200, b"<html>")), {}, None),
    ("refused by the model", says(answer(422, {"error": {}})), {}, 0),
    ("the model busy", says(answer(429, {"error": {}})), {}, 0),
    ("the model broken", says(answer(500)), {}, None),
    ("a redirect", says(answer(302, location="/x")), {}, 0),
    ("the connection broken", resets, {}, None),
    ("silence", silent, {}, None),
    ("cut", says(EVENTS_HEAD + chunk(FIRST), then="reset"), {}, None),
    ("a stream that tells", streams(FIRST, usage_event(40, 10), DONE), {"stream": True}, 50),
    ("a stream that does not tell", streams(FIRST, DONE), {"stream": True}, None),
    ("a stream that is cut", says(EVENTS_HEAD + chunk(FIRST), then="reset"), {"stream": True}, None),
    ("a stream that is late", says(EVENTS_HEAD + chunk(FIRST)), {"stream": True}, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("behaviour", "fields", "cost"), [row[1:] for row in SETTLED], ids=[row[0] for row in SETTLED]
)
async def test_tokens_are_settled_on_what_the_model_told(
    gate: Gate, world: World, behaviour: Behaviour, fields: dict[str, Any], cost: int | None
) -> None:
    """What was told is charged; nothing where the model refused; else, as it may have answered, what was reserved."""
    who = world.person(MEMBER)
    world.upstream.behaviour = COUNTED
    before = await gate.chat(who, "tokens", max_tokens=500)
    reserved = 10_000 - left(before, "tokens")
    assert 500 < reserved < 700
    world.upstream.behaviour = behaviour
    await gate.outcome(await gate.chat(who, "tokens", max_tokens=500, **fields))
    world.upstream.behaviour = COUNTED
    after = await gate.chat(who, "tokens", max_tokens=500)
    assert left(before, "tokens") - left(after, "tokens") - 50 == (reserved if cost is None else cost)


async def test_what_was_never_sent_costs_nothing(gate: Gate, world: World) -> None:
    """A model that refuses connections has done nothing: tokens and requests are given back."""
    who = world.person(MEMBER)
    await world.upstream.stop()
    # On a connection kept from before, what was sent may have arrived: that one is charged, and not looked at here.
    await gate.chat(world.person(MEMBER), "three")
    for name in ("three", "tokens"):
        for _ in range(4):
            assert (await gate.chat(who, name, max_tokens=5000)).told == (502, "upstream-unreachable")
    await world.upstream.start()
    world.upstream.behaviour = COUNTED
    assert left(await gate.chat(who, "three"), "requests") == 2
    assert 4000 < left(await gate.chat(who, "tokens", max_tokens=5000), "tokens") <= 5000


async def test_a_caller_that_leaves_pays_what_was_reserved_f46(gate: Gate, world: World) -> None:
    """F46: the model may have done all of it; so nobody reads for free by leaving before the usage is told."""
    if CALLER_GONE.of(gate.mode) != "client-closed":
        pytest.skip(CALLER_GONE.why)
    who = world.person(MEMBER)
    world.upstream.behaviour = drips_events
    pieces: list[bytes] = []
    asking = asyncio.create_task(gate.chat(who, "tokens", max_tokens=500, stream=True, pieces=pieces))
    await until(lambda: bool(pieces))
    asking.cancel()
    request_id = world.upstream.requests[0].headers["x-request-id"]
    await until(lambda: len(gate.records(request_id)) == 2)
    world.upstream.behaviour = COUNTED
    after = await gate.chat(who, "tokens", max_tokens=500)
    reserved = (10_000 - left(after, "tokens")) // 2
    assert 500 < reserved < 700


async def test_the_gate_asks_for_usage_and_does_not_show_it(gate: Gate, world: World) -> None:
    """Where tokens are limited and the caller did not ask: the one more event that it brings stays inside."""
    world.upstream.behaviour = streams(FIRST, usage_event(40, 10), DONE)
    who = world.person(MEMBER)
    came = await gate.chat(who, "tokens", stream=True)
    assert (came.status, came.body) == (200, FIRST + DONE)
    assert came.headers["x-ratelimit-limit-tokens"] == "10000"
    sent = world.upstream.requests[-1].body
    inserted = b'"stream_options":{"include_usage":true},'
    assert sent.startswith(b"{" + inserted)
    assert b"include_usage" not in sent[len(inserted) :]
    outcome = await gate.outcome(came)
    told = [outcome[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert told == [40, 10, 50]
    # Its own options stay, and what it did not ask for is still not shown.
    for options in ({"include_usage": False}, {"include_obfuscation": False}, None, {}):
        came = await gate.chat(who, "tokens", stream=True, stream_options=options)
        assert came.body == FIRST + DONE
        sent_options = json.loads(world.upstream.requests[-1].body)["stream_options"]
        assert sent_options == {**(options or {}), "include_usage": True}


async def test_who_asked_for_usage_reads_it(gate: Gate, world: World) -> None:
    """The request goes on byte for byte, and so does the answer; it is counted all the same."""
    whole = FIRST + usage_event(40, 10) + DONE
    world.upstream.behaviour = streams(whole)
    who = world.person(MEMBER)
    for name in ("tokens", "gpt"):
        came = await gate.chat(who, name, stream=True, stream_options={"include_usage": True})
        assert came.body == whole
        assert (await gate.outcome(came))["total_tokens"] == 50
    # Where no tokens are limited nobody asks for the caller.
    came = await gate.chat(who, "three", stream=True)
    assert came.body == whole
    assert b"stream_options" not in world.upstream.requests[-1].body


async def test_an_event_with_more_than_usage_is_shown(gate: Gate, world: World) -> None:
    """Only the one extra event is kept back: nothing that holds a part of the answer ever is."""
    last = event({"choices": [{"index": 0, "delta": {"content": "end"}}], "usage": usage(40, 10)})
    world.upstream.behaviour = streams(FIRST, last, DONE)
    came = await gate.chat(world.person(MEMBER), "tokens", stream=True)
    assert came.body == FIRST + last + DONE
    assert (await gate.outcome(came))["total_tokens"] == 50


async def test_tokens_used_up_are_429(gate: Gate, world: World) -> None:
    """What would go beyond is refused before it is sent; smaller calls still fit; another caller has all of its own."""
    world.upstream.behaviour = says(answer(200, chat(usage=usage(4000, 3500))))
    who = world.person(MEMBER)
    assert (await gate.chat(who, "tokens", max_tokens=7000)).status == 200
    world.upstream.reset()
    came = await gate.chat(who, "tokens", max_tokens=7000)
    assert came.told == (429, "rate-limited")
    assert came.headers["x-ratelimit-remaining-tokens"] == "2500"
    assert came.headers["x-should-retry"] == "false"
    # Without a bound of its own a request reserves the policy's default, 1024.
    assert (await gate.chat(who, "tokens")).status == 200
    assert (await gate.chat(who, "tokens", max_tokens=10_000_000)).status == 429
    assert len(world.upstream.requests) == 1
    assert (await gate.chat(world.person(MEMBER), "tokens", max_tokens=10_000_000)).status == 200


async def test_tokens_of_a_rule_are_everybodys(gate: Gate, world: World) -> None:
    """`per = "rule"`: one caller's call leaves less to all others."""
    world.upstream.behaviour = says(answer(200, chat(usage=usage(4000, 3500))))
    assert (await gate.chat(world.person(MEMBER), "tokens-for-all", max_tokens=7000)).status == 200
    assert (await gate.chat(world.person(MEMBER), "tokens-for-all", max_tokens=7000)).status == 429


async def test_other_operations_are_settled_too(gate: Gate, world: World) -> None:
    """Embeddings and responses tell their tokens in their own words."""
    headers = {"Content-Type": "application/json", **world.person(MEMBER)}
    rows: list[tuple[str, dict[str, object], Behaviour, bool]] = [
        ("embeddings", {"input": "x"}, says(answer(200, {"data": [], "usage": {"prompt_tokens": 7}})), False),
        ("responses", {"input": "x"},
         says(answer(200, {"id": "resp_s", "usage": {"input_tokens": 3, "output_tokens": 4}})), False),
        ("responses", {"input": "x", "stream": True},
         streams(event({"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}},
                       name="response.completed")), True),
        ("completions", {"prompt": "x", "stream": True}, streams(FIRST, usage_event(3, 4), DONE), True),
    ]  # fmt: skip
    for operation, fields, behaviour, streamed in rows:
        world.upstream.behaviour = behaviour
        body = json.dumps({"model": "tokens", **fields}).encode()
        came = await gate.ask("POST", f"/openai/v1/{operation}", headers=headers, body=body)
        assert came.status == 200
        outcome = await gate.outcome(came)
        assert (outcome["total_tokens"], outcome["outcome"]) == (7, "ok")
        if operation == "responses":
            assert world.upstream.requests[-1].body == body
        assert (b"event-stream" in came.headers["Content-Type"].encode()) is streamed


async def test_a_whole_answer_to_who_asked_for_events_is_settled_too(gate: Gate, world: World) -> None:
    """A service may answer with JSON all the same: what it tells is charged, and on record."""
    world.upstream.behaviour = COUNTED
    came = await gate.chat(world.person(MEMBER), "tokens", stream=True)
    assert (came.status, came.json()) == (200, chat(usage=usage(40, 10)))
    assert (await gate.outcome(came))["total_tokens"] == 50


async def test_what_a_stream_is_told_at_its_end_is_the_same_in_both_ways_of_hosting(
    gate: Gate, world: World
) -> None:
    """A cut stream whose usage had come is charged what was told, not what was reserved."""
    who = world.person(MEMBER)

    async def behave(exchange: Any) -> None:
        await exchange.send(EVENTS_HEAD + chunk(FIRST + usage_event(40, 10)))
        await asyncio.sleep(0.05)
        exchange.reset()

    world.upstream.behaviour = behave
    came = await gate.chat(who, "tokens", max_tokens=500, stream=True)
    outcome = await gate.outcome(came)
    assert outcome["outcome"] == "truncated"
    streamed = CUT_EVENTS.of(gate.mode) == "event: error"
    assert outcome["total_tokens"] == (50 if streamed else None)
    world.upstream.behaviour = COUNTED
    after = await gate.chat(who, "tokens", max_tokens=500)
    first = 10_000 - left(after, "tokens")
    assert first - 50 > 500 if streamed else first > 1000


async def test_the_audit_held(gate: Gate) -> None:
    """T23: the chain is whole, and every allow of a model with limits says where it was counted."""
    gate.verify_audit()
    for record in gate.records():
        if record["event"] == "decision" and record["decision"] == "allow":
            assert record["counted"] == (None if record["route"] == "model:gpt" else "instance")
