"""Many at once: one question to Graph however many wait, and nobody reads what was meant for another (D04, T15)."""

import asyncio
import hashlib
import json
import random

import pytest

from tests.functional.differences import only
from tests.functional.gates import PROMPT, Answer, Gate
from tests.functional.upstream import Exchange, answer
from tests.functional.world import MEMBER, World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]
CROWD = 1000
PLACES = 256
"""Of an endpoint whose policy does not say."""


async def test_a_thousand_requests_of_a_cold_caller_cost_one_graph_call_and_a_token_for_each_audience(
    world: World,
) -> None:
    """At a gate that has just started: one call to Graph, one token for Graph and one for the model."""
    async with world.gate() as cold:
        # Where the issuer has to be discovered, that is one call more, and of nobody's membership.
        assert (await cold.score(world.person(), "unknown")).status == 403
        who = world.person(MEMBER, claimed=False)
        world.graph.faults.set(latency=0.2)
        came = await asyncio.gather(*(cold.score(who) for _ in range(CROWD)))
        assert {one.status for one in came} <= {200, 503}
        # What is more than the endpoint's places and its waiting line holds is turned away, and by nothing else.
        assert {one.slug for one in came if one.status == 503} <= {"overloaded"}
        assert sum(one.status == 200 for one in came) >= PLACES
        assert world.graph_calls() == 1
        resources = sorted(
            seen.target.partition("resource=")[2].partition("&")[0] for seen in world.identity.requests
        )
        assert len(resources) == len(set(resources)) == 2
        decisions = [one for one in cold.records() if one["event"] == "decision"]
        assert len(decisions) == CROWD + 1
        cold.verify_audit()


async def test_an_outsider_in_a_crowd_costs_one_graph_call_too(gate: Gate, world: World) -> None:
    """Two hundred refusals of one caller: one question, no token for the model, nothing sent."""
    who = world.person(claimed=False)
    came = await asyncio.gather(*(gate.score(who, "fraud") for _ in range(200)))
    assert {one.told for one in came} == {(403, "forbidden")}
    assert world.graph_calls() == 1
    assert world.upstream.requests == []


async def test_nobody_reads_what_was_meant_for_another(gate: Gate, world: World) -> None:
    """Two callers interleaved while half of all connections are killed: each answer has its own caller's bytes (T15)."""
    chance = random.Random(2)

    async def echo(exchange: Exchange) -> None:
        whole = answer(200, {"for": json.loads(exchange.body)["from"], "pad": "x" * 2000})
        await asyncio.sleep(chance.random() * 0.01)
        if chance.random() < 0.25:
            await exchange.send(whole[: chance.randrange(len(whole))])
            exchange.reset()
        else:
            await exchange.send(whole)

    world.upstream.behaviour = echo
    callers = {"A": world.person(MEMBER), "B": world.person(MEMBER)}

    async def ask(name: str, number: int) -> tuple[str, Answer]:
        mark = f"{name}-{number}"
        body = json.dumps({"from": mark, "note": PROMPT}).encode()
        asking = asyncio.create_task(gate.score(callers[name], "plain", body=body))
        if chance.random() < 0.25:
            await asyncio.sleep(chance.random() * 0.02)
            asking.cancel()
        try:
            return mark, await asking
        except asyncio.CancelledError:
            return mark, Answer(status=0)

    for round_ in range(10):
        numbers = range(round_ * 20, round_ * 20 + 20)
        came = await asyncio.gather(*(ask(name, number) for number in numbers for name in callers))
        for mark, one in came:
            assert one.status in (0, 200, 502), one
            if one.status == 200 and one.whole:
                assert one.json()["for"] == mark
            for other in (other for other, _ in came if other != mark):
                assert f'"{other}"'.encode() not in one.body
    assert (await gate.score(callers["A"], body=b'{"from": "A-last"}')).status in (200, 502)


async def test_bodies_go_through_byte_for_byte(gate: Gate, world: World) -> None:
    """Whatever the bytes are, in both directions: the gate reads no body (ruling "Body")."""
    chance = random.Random(3)

    async def mirror(exchange: Exchange) -> None:
        await exchange.send(answer(200, exchange.body, content_type="application/octet-stream"))

    world.upstream.behaviour = mirror
    who = world.person(MEMBER)
    for size in (1, 2, 1023, 1024, 65_536, 1 << 20, 4 << 20):
        body = chance.randbytes(size)
        came = await gate.score(who, body=body)
        assert came.status == 200
        assert hashlib.sha256(came.body).digest() == hashlib.sha256(body).digest()
        assert world.upstream.requests[-1].body == body


async def test_the_audit_held_through_all_of_it(gate: Gate) -> None:
    """Every line is a record, in a chain."""
    gate.verify_audit()
