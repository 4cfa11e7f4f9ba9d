"""Limits that two gates count together in a real Redis, and what becomes of them while it cannot be asked (F34)."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.functional.differences import only
from tests.functional.gates import Gate
from tests.functional.upstream import answer, chat, event, says, streams, usage
from tests.functional.world import LIMITS, MEMBER, SHARED_LIMITS, World, policy
from tests.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]
RESPONSES = "/openai/v1/responses"
COUNTED = says(answer(200, chat(usage=usage(40, 10))))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A real server, on a port of its own."""
    with redis_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gates(shared_world: World, redis: RedisServer) -> AsyncIterator[tuple[Gate, Gate]]:
    """Two gates, each a process of its own, with the same policy and Redis."""
    place = shared_world.folder / "shared.toml"
    place.write_text(policy(shared_world.upstream.url, limits=LIMITS | SHARED_LIMITS))
    async with AsyncExitStack() as opened:
        settings = {"GROUPGATE_POLICY": str(place), "GROUPGATE_REDIS_URL": redis.url}
        one = await opened.enter_async_context(shared_world.gate(**settings))
        yield one, await opened.enter_async_context(shared_world.gate(**settings))


@pytest.fixture
def gates(world: World, shared_gates: tuple[Gate, Gate], redis: RedisServer) -> tuple[Gate, Gate]:
    """The two gates, with everything around them well and nothing spent."""
    redis.admin.flushall()
    world.upstream.behaviour = COUNTED
    return shared_gates


async def test_two_gates_share_one_window_exactly(gates: tuple[Gate, Gate], world: World) -> None:
    """Thirty at once over both: twenty are served, not one more and not one less; the rest sends nothing."""
    who, other = world.person(MEMBER), world.person(MEMBER)
    came = await asyncio.gather(*(gates[number % 2].chat(who, "shared") for number in range(30)))
    served = [one for one in came if one.status == 200]
    refused = [one for one in came if one.status == 429]
    assert (len(served), len(refused), len(world.upstream.requests)) == (20, 10, 20)
    left = sorted(int(one.headers["x-ratelimit-remaining-requests"]) for one in served)
    assert left == list(range(20))
    for one in refused:
        assert one.slug == "rate-limited"
        assert 3500 <= int(one.headers["Retry-After"]) <= 3600
        assert one.headers["x-should-retry"] == "false"
    for gate in gates:
        counted = {
            record["counted"]
            for record in gate.records()
            if record["event"] == "decision" and record["decision"] == "allow"
        }
        assert counted == {"shared"}
        # Another caller's is another window.
        assert (await gate.chat(other, "shared")).status == 200


async def test_two_gates_share_a_rules_window(gates: tuple[Gate, Gate], world: World) -> None:
    """`per = "rule"`: over both gates and all callers."""
    callers = [world.person(MEMBER) for _ in range(30)]
    came = await asyncio.gather(
        *(gates[number % 2].chat(who, "shared-for-all") for number, who in enumerate(callers))
    )
    assert sorted(one.status for one in came) == [200] * 20 + [429] * 10


async def test_tokens_are_settled_for_both(gates: tuple[Gate, Gate], world: World) -> None:
    """What one gate reserved and then knew is what the other finds: whole answers, streams and refusals."""
    who = world.person(MEMBER)

    async def remaining(gate: Gate) -> int:
        came = await gate.chat(who, "shared-tokens", max_tokens=500)
        await gate.outcome(came)
        return int(came.headers["x-ratelimit-remaining-tokens"])

    reserved = 10_000 - await remaining(gates[0])
    spent = 50
    rows = (
        (COUNTED, False, 50),
        (says(answer(422)), False, 0),
        (says(answer(500)), False, reserved),
        (says(answer(200, chat())), False, reserved),
        (streams(event({"choices": [], "usage": usage(40, 10)}), b"data: [DONE]\n\n"), True, 50),
    )
    for behaviour, stream, cost in rows:
        world.upstream.behaviour = behaviour
        await gates[0].outcome(await gates[0].chat(who, "shared-tokens", max_tokens=500, stream=stream))
        spent += cost
        world.upstream.behaviour = COUNTED
        assert await remaining(gates[1]) == 10_000 - spent - reserved
        spent += 50


async def test_what_one_gate_had_made_the_other_knows_t09(gates: tuple[Gate, Gate], world: World) -> None:
    """T09: the owner of a stored response is known to every instance, and nobody else is one."""
    who, other = world.person(MEMBER), world.person(MEMBER)
    headers = {**who, "Content-Type": "application/json"}
    world.upstream.behaviour = says(answer(200, {"id": "resp_shared", "output": []}))
    body = b'{"model":"gpt","input":"x"}'
    assert (await gates[0].ask("POST", RESPONSES, headers=headers, body=body)).status == 200
    assert (await gates[1].ask("GET", f"{RESPONSES}/resp_shared", headers=who)).status == 200
    sent = len(world.upstream.requests)
    for gate in gates:
        came = await gate.ask("GET", f"{RESPONSES}/resp_shared", headers=other)
        assert came.told == (404, "not-found")
    assert len(world.upstream.requests) == sent


async def test_nothing_of_anybody_is_in_redis_t21(
    gates: tuple[Gate, Gate], world: World, redis: RedisServer
) -> None:
    """T21, I01: keys and values are numbers and digests; every one of them ends by itself."""
    who = world.person(MEMBER)
    headers = {**who, "Content-Type": "application/json"}
    await gates[0].chat(who, "shared")
    world.upstream.behaviour = says(answer(200, {"id": "resp_private", "output": []}))
    await gates[0].ask("POST", RESPONSES, headers=headers, body=b'{"model":"gpt","input":"x"}')
    admin = redis.admin
    names = admin.keys("*")
    assert len(names) == 2
    text = str(
        [(name, admin.hgetall(name) if admin.type(name) == "hash" else admin.get(name)) for name in names]
    )
    for mark in (who["X-MS-CLIENT-PRINCIPAL-ID"], "resp_private", "MARKER", MEMBER):
        assert mark not in text
    assert all(admin.ttl(name) > 0 for name in names)


@pytest.mark.parametrize("how", ["killed", "frozen", "spoilt"])
async def test_without_redis_the_policy_says_what_happens_f34(
    gates: tuple[Gate, Gate], world: World, redis: RedisServer, how: str
) -> None:
    """F34: closed is 503 with nothing sent; local counts here and says so; models without limits do not notice."""
    gate, _ = gates
    who = world.person(MEMBER)
    assert (await gate.chat(who, "shared")).status == 200
    world.upstream.requests.clear()
    try:
        if how == "killed":
            redis.kill()
        elif how == "frozen":
            redis.freeze()
        else:
            for name in redis.admin.keys("*"):
                redis.admin.set(name, "nonsense")
        for _ in range(3):
            came = await gate.chat(who, "shared")
            assert came.told == (503, "limits-unavailable")
            assert came.headers["Retry-After"] == "5"
            assert "x-should-retry" not in came.headers
            assert came.seconds < 2
            assert gate.decision(came)["reason"] == "limits-unavailable"
        assert world.upstream.requests == []
        if how != "spoilt":
            local = [await gate.chat(who, "local") for _ in range(6)]
            assert [one.status for one in local] == [200] * 5 + [429]
            assert {gate.decision(one)["counted"] for one in local[:5]} == {"local"}
            assert (await gate.chat(world.person(MEMBER), "local")).status == 200
        assert (await gate.chat(who, "gpt")).status == 200
        assert (await gate.chat(who, "three")).headers["x-ratelimit-remaining-requests"] == "2"
    finally:
        if how == "killed":
            redis.start()
        elif how == "frozen":
            redis.thaw()
        else:
            redis.admin.flushall()
    mended = time.monotonic()
    while (await gate.chat(who, "shared")).status != 200:
        assert time.monotonic() - mended < 5.0
        await asyncio.sleep(0.05)
    came = await gate.chat(who, "local")
    assert (came.status, gate.decision(came)["counted"]) == (200, "shared")


async def test_a_gate_that_never_had_its_redis_starts_and_refuses(world: World) -> None:
    """F34: nothing is asked at the start; where counting is needed it is 503, and all else is served."""
    place = world.folder / "never.toml"
    place.write_text(policy(world.upstream.url, limits=LIMITS | SHARED_LIMITS))
    async with world.gate(GROUPGATE_POLICY=str(place), GROUPGATE_REDIS_URL="redis://127.0.0.1:1") as gate:
        who = world.person(MEMBER)
        assert (await gate.chat(who, "gpt")).status == 200
        world.upstream.reset()
        assert (await gate.chat(who, "shared")).told == (503, "limits-unavailable")
        assert world.upstream.requests == []
        came = await gate.chat(who, "local")
        assert (came.status, gate.decision(came)["counted"]) == (200, "local")


async def test_the_audit_held(gates: tuple[Gate, Gate]) -> None:
    """T23: both chains are whole."""
    for gate in gates:
        gate.verify_audit()
