"""A gate that is killed in the middle of its work: what reached the model is on record (R01, T23)."""

import asyncio
import json
import random
from collections import Counter

import pytest

from shared.audit import verify
from tests.functional.differences import only
from tests.functional.gates import Gate, until
from tests.functional.upstream import Exchange, answer
from tests.functional.world import MEMBER, World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
DEATHS = 10
"""In each way of hosting."""
AT_ONCE = 16


async def test_whatever_the_model_saw_has_its_decision_on_disk(world: World) -> None:
    """Killed under load again and again: no request without its record, and each allowed call gets its one outcome."""
    chance = random.Random(4)
    audit = world.folder / "crash.jsonl"
    who = world.person(MEMBER)

    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(chance.random() * 0.01)
        await exchange.send(answer())

    world.upstream.behaviour = slowly
    seen: set[str] = set()
    for _ in range(DEATHS):
        async with world.gate(GROUPGATE_AUDIT=f"file:{audit}") as gate:
            load = [asyncio.create_task(_asks(gate, who)) for _ in range(AT_ONCE)]
            await until(lambda: len(world.upstream.requests) >= AT_ONCE)
            await asyncio.sleep(chance.random() * 0.05)
            gate.process.kill()
            await asyncio.gather(*load)
            await gate.process.wait()
        allowed = {
            record["request_id"]
            for record in map(json.loads, _whole_lines(audit.read_bytes()))
            if record.get("decision") == "allow"
        }
        now = {exchange.headers["x-request-id"] for exchange in world.upstream.requests}
        assert now <= allowed
        seen |= now
        world.upstream.requests.clear()
    # One more start mends what the last death left open.
    async with world.gate(GROUPGATE_AUDIT=f"file:{audit}") as gate:
        assert (await gate.score(who)).status == 200
        assert (await gate.score(world.person())).status == 403
        await until(lambda: set(_outcomes(audit.read_bytes())) == _allowed(audit.read_bytes()))
    data = audit.read_bytes()
    assert verify(_whole_lines(data)) == []
    assert set(Counter(_outcomes(data)).values()) == {1}
    assert len(seen) >= DEATHS * AT_ONCE


async def _asks(gate: Gate, who: dict[str, str]) -> None:
    while (came := await gate.score(who)).status:
        assert came.status == 200


def _whole_lines(data: bytes) -> list[bytes]:
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _allowed(data: bytes) -> set[str]:
    records = map(json.loads, _whole_lines(data))
    return {record["request_id"] for record in records if record.get("decision") == "allow"}


def _outcomes(data: bytes) -> list[str]:
    records = map(json.loads, _whole_lines(data))
    return [record["request_id"] for record in records if record["event"] == "outcome"]
