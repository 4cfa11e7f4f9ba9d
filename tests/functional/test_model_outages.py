"""Models while something around the gate is down: 503 with nothing sent and nothing spent, never an allow."""

import asyncio
from pathlib import Path

import pytest

from tests.functional.differences import only
from tests.functional.gates import Gate, until
from tests.functional.upstream import Exchange, answer, chat
from tests.functional.world import MEMBER, World, back, policy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]


async def test_without_graph_nobody_unproven_is_let_in(gate: Gate, world: World) -> None:
    """E05: 503 membership-unavailable, never 403 and never 200; who is proven by a claim is served."""
    unproven, proven = world.person(MEMBER, claimed=False), world.person(MEMBER)
    await world.graph.stop()
    came = await gate.chat(unproven)
    assert came.told == (503, "membership-unavailable")
    assert came.headers["Retry-After"] == "10"
    assert "x-should-retry" not in came.headers
    assert world.upstream.requests == []
    listed = await gate.ask("GET", "/openai/v1/models", headers=unproven)
    assert listed.told == (503, "membership-unavailable")
    assert (await gate.chat(proven)).status == 200
    await back(world.graph)


async def test_without_a_token_nothing_is_sent_and_nothing_spent_e11(world: World) -> None:
    """E11: 503 upstream-credential-unavailable; what had been taken of the limit is given back, every time."""
    async with world.gate() as gate:
        who = world.person(MEMBER)
        world.identity.faults.set(status=500)
        for _ in range(5):
            came = await gate.chat(who, "cold")
            assert came.told == (503, "upstream-credential-unavailable")
            assert gate.decision(came)["reason"] == "credential-unavailable"
        assert world.upstream.requests == []
        world.identity.faults.clear()

        # Who asked in vain tries again after a pause, and by then there is room for all three.
        statuses: list[int] = []
        async with asyncio.timeout(6):
            while statuses.count(200) < 3:
                statuses.append((await gate.chat(who, "cold")).status)
                await asyncio.sleep(0.05)
        assert set(statuses) <= {200, 503}
        assert (await gate.chat(who, "cold")).status == 429


async def test_without_a_trail_nothing_is_sent_and_nothing_spent(world: World) -> None:
    """R01: 503 audit-unavailable, for members and outsiders; places and limits are as before when it is mended."""
    async with world.gate() as gate:
        who = world.person(MEMBER)
        assert (await gate.chat(who, "three")).headers["x-ratelimit-remaining-requests"] == "2"
        await until(lambda: gate.records()[-1]["event"] == "outcome")
        world.upstream.reset()
        gate.audit.rename(gate.audit.with_name("kept.jsonl"))
        gate.audit.mkdir()
        for _ in range(5):
            came = await gate.chat(who, "three")
            assert came.told == (503, "audit-unavailable")
            assert "x-ratelimit-remaining-requests" not in came.headers
            assert (await gate.chat(who, "narrow")).told == (503, "audit-unavailable")
            assert (await gate.chat(world.person())).told == (503, "audit-unavailable")
        assert world.upstream.requests == []
        gate.audit.rmdir()
        assert (await gate.chat(who, "three")).headers["x-ratelimit-remaining-requests"] == "1"
        assert (await gate.chat(who, "narrow")).status == 200


async def test_a_model_that_hangs_holds_up_nobody_elses_d07(gate: Gate, world: World) -> None:
    """D07: `concurrency = 1`: the second waits its two seconds and is turned away; other models answer meanwhile."""
    done = asyncio.Event()

    async def thinks(exchange: Exchange) -> None:
        if b'"narrow"' in exchange.body:
            await done.wait()
        await exchange.send(answer(200, chat()))

    world.upstream.behaviour = thinks
    who = world.person(MEMBER)
    first = asyncio.create_task(gate.chat(who, "narrow"))
    await until(lambda: len(world.upstream.requests) == 1)
    second = asyncio.create_task(gate.chat(who, "narrow"))
    other = await gate.chat(who)
    assert (other.status, other.seconds < 1) == (200, True)
    turned_away = await second
    assert turned_away.told == (503, "overloaded")
    assert 1.8 < turned_away.seconds < 3.5
    assert 1 <= int(turned_away.headers["Retry-After"]) <= 5
    third = asyncio.create_task(gate.chat(who, "narrow"))
    await asyncio.sleep(0.1)
    done.set()
    assert [(await one).status for one in (first, third)] == [200, 200]
    assert len(world.upstream.requests) == 3


async def test_shared_limits_without_redis_are_a_fault_of_the_configuration(world: World) -> None:
    """Every instance would count for itself: 503 with `error` for all of OpenAI's addresses, and the place is named."""
    faulty = world.folder / "without-redis.toml"
    faulty.write_text(policy(world.upstream.url, limits={"shared": 'requests = "20/hour"'}))
    await refuses(world, faulty, "limits")


async def test_faults_of_models_are_named_and_refuse_everything(world: World) -> None:
    """T22: an unknown operation, a field that no policy may let in, an address with a path: each with its place."""
    text = policy(world.upstream.url)
    at = text.index("[models.default]")
    broken = text[at:].replace(f'"{world.upstream.url}"', f'"{world.upstream.url}/openai"', 1)
    faulty = world.folder / "faulty-models.toml"
    faulty.write_text(
        text[:at] + broken.replace('"top_n_sigma"', '"api_key"', 1).replace("'audio/speech'", "'files'", 1)
    )
    log = await refuses(world, faulty, "models.default.url")
    for place in ("models.default.url", "models.named.fields", "operations"):
        assert place in log
    assert log.count("configuration fault") == 3, log


async def refuses(world: World, faulty: Path, place: str) -> str:
    """Assert that a gate with this policy refuses all but /healthz, and names the place; give its log."""
    async with world.gate(GROUPGATE_POLICY=str(faulty)) as gate:
        for who in (world.person(MEMBER), {}):
            for path in ("/openai/v1/chat/completions", "/models/chat/completions", "/openai/v1/nowhere"):
                came = await gate.chat(who, path=path)
                assert came.told == (503, "gateway-misconfigured")
                assert came.headers["x-should-retry"] == "false"
                assert came.headers["Retry-After"] == "60"
        assert (await gate.ask("GET", "/openai/v1/models")).told == (503, "gateway-misconfigured")
        assert (await gate.ask("GET", "/healthz")).status == 200
        assert world.upstream.requests == []
        log = gate.log.read_text()
    assert place in log
    return log
