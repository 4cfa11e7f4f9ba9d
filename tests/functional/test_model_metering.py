"""What a call cost, as an owner finds it: in the outcome's record, and summed up by `groupgate usage`."""

import asyncio
import csv
import io
import json
import sys
from typing import Any

import pytest

from local.directory import FRAUD_ANALYSTS
from tests.functional.differences import FIRST_PIECE
from tests.functional.gates import REPOSITORY, Gate
from tests.functional.upstream import (
    DONE,
    END,
    EVENTS_HEAD,
    Exchange,
    answer,
    chat,
    chunk,
    delta,
    says,
    streams,
    usage,
    usage_event,
)
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = says(answer(200, chat(usage=usage(40, 10))))


async def summed(world: World, gate: Gate, *arguments: str) -> tuple[str, str]:
    """Run `groupgate usage` on the gate's audit file; give what it prints, and its complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared", "usage", str(gate.audit), *arguments,
        cwd=REPOSITORY, env=world.environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode(), err.decode()


async def test_an_outcome_says_what_was_asked_and_what_it_cost(gate: Gate, world: World) -> None:
    """Model by its name in the policy, and the model's own count; no word of what was said."""
    world.upstream.behaviour = CHAT
    came = await gate.chat(world.person(MEMBER), "renamed")
    decision, outcome = gate.decision(came), await gate.outcome(came)
    expected = {
        "model": "renamed",
        "prompt_tokens": 40,
        "completion_tokens": 10,
        "total_tokens": 50,
        "bytes_in": len(world.upstream.requests[0].body),
        "bytes_out": len(came.body),
        "outcome": "ok",
    }
    assert {name: outcome[name] for name in expected} == expected
    assert (decision["route"], decision["operation"]) == ("model:renamed", "chat/completions")
    assert (decision["deployment"], decision["counted"]) == (None, None)
    assert decision["membership"]["group"] == FRAUD_ANALYSTS
    assert "MARKER" not in str(gate.records(came.request_id))


async def test_the_time_to_the_first_byte_is_the_first_events(gate: Gate, world: World) -> None:
    """Of a stream it is when its first event came, and not its headers; what the rest takes is in the duration."""

    async def slowly(exchange: Exchange) -> None:
        await exchange.send(EVENTS_HEAD)
        await asyncio.sleep(0.2)
        await exchange.send(chunk(delta("x")))
        await asyncio.sleep(0.2)
        await exchange.send(chunk(usage_event(3, 4)) + chunk(DONE) + END)

    world.upstream.behaviour = slowly
    outcome = await gate.outcome(await gate.chat(world.person(MEMBER), stream=True))
    if FIRST_PIECE.of(gate.mode):
        assert 195 <= outcome["first_byte_ms"] < 390
    assert 0 < outcome["first_byte_ms"] < outcome["duration_ms"]
    assert outcome["duration_ms"] >= 395
    assert outcome["total_tokens"] == 7


async def test_what_is_not_told_is_null(gate: Gate, world: World) -> None:
    """No guess: an answer without usage, a refusal of the model, a call to an endpoint."""
    who = world.person(MEMBER)
    for behaviour in (says(answer(200, chat())), says(answer(500)), streams(delta("x"), DONE)):
        world.upstream.behaviour = behaviour
        outcome = await gate.outcome(await gate.chat(who))
        assert (outcome["model"], outcome["prompt_tokens"], outcome["total_tokens"]) == ("gpt", None, None)


async def test_usage_sums_up_what_was_called(world: World) -> None:
    """By group, model, caller and day; as a table, CSV and JSON; refusals and limits beside it."""
    async with world.gate() as gate:
        alice, bob, app = world.person(MEMBER), world.person(MEMBER), world.person(MEMBER, kind="app")
        world.upstream.behaviour = CHAT
        for who, name, times in ((alice, "gpt", 3), (alice, "three", 4), (bob, "gpt", 2), (app, "gpt", 1)):
            for _ in range(times):
                await gate.chat(who, name)
        world.upstream.behaviour = streams(delta("x"), usage_event(100, 20), DONE)
        await gate.outcome(await gate.chat(bob, "gpt", stream=True))
        await gate.chat(world.person(), "gpt")
        await gate.outcome(await gate.score(alice))

        out, err = await summed(world, gate, "--by", "model,caller", "--json")
        rows = {(row["model"], row["caller"]): row for row in json.loads(out)["rows"]}

        def row(name: str, who: dict[str, str]) -> dict[str, Any]:
            return rows[(name, who["X-MS-CLIENT-PRINCIPAL-ID"])]

        assert (row("gpt", alice)["calls"], row("gpt", alice)["total_tokens"]) == (3, 150)
        assert (row("three", alice)["calls"], row("three", alice)["limited"]) == (3, 1)
        assert (row("gpt", bob)["calls"], row("gpt", bob)["total_tokens"]) == (3, 220)
        assert (row("gpt", app)["prompt_tokens"], row("gpt", app)["completion_tokens"]) == (40, 10)
        total = json.loads(out)["total"]
        assert (total["calls"], total["ok"], total["total_tokens"]) == (10, 10, 570)
        assert (total["refused"], total["limited"]) == (1, 1)
        assert "endpoints are not counted" in err

        out, _ = await summed(world, gate, "--by", "group,model", "--csv")
        table = list(csv.DictReader(io.StringIO(out)))
        mine = [one for one in table if one["group"] == FRAUD_ANALYSTS]
        assert {one["model"]: one["total_tokens"] for one in mine} == {"gpt": "420", "three": "150"}
        assert {one["group_name"] for one in mine} == {MEMBER}

        out, _ = await summed(world, gate)
        heading, *lines, last = out.splitlines()
        assert heading.split()[:3] == ["group", "model", "caller"]
        assert any(line.split()[:2] == [MEMBER, "gpt"] for line in lines)
        assert last.split()[0] == "total"
        assert "570" in last.split()


async def test_the_audit_held(gate: Gate) -> None:
    """T23: the chain is whole."""
    gate.verify_audit()
