"""The managed identity endpoint failing in every way, seen through the real azure-identity (threats F18 to F21, E11)."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest

from tests.functional.differences import only
from tests.functional.gates import Gate
from tests.functional.world import MEMBER, World, back

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]

FAULTS: dict[str, dict[str, Any]] = {
    "refused": {},
    "reset": {"refuse": True},
    "silence": {"silence": True},
    "400": {"status": 400, "body": '{"statusCode": 400, "message": "No managed identity"}'},
    "404": {"status": 404},
    "410": {"status": 410},
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "500": {"status": 500},
    "garbage": {"garbage": True},
    "truncated": {"cut": True},
    "another audience": {"token": "audience"},
    "expired": {"token": "expired"},
    "no expires_on": {"token": "no-expiry"},
    "no token": {
        "status": 200,
        "body": json.dumps({"expires_on": "4102444800", "token_type": "Bearer"}),
        "headers": {"Content-Type": "application/json"},
    },
}
COLD = {how: f"scope-{number}" for number, how in enumerate(FAULTS)}
"""An endpoint for each fault, whose token nobody has asked for yet."""

WAITED_FOR = ("refused", "silence", "500", "garbage", "another audience")
"""The pause after a failure is the same whatever failed, and takes more than a second: not waited for after each."""


@pytest.mark.parametrize("how", FAULTS)
async def test_without_a_token_all_is_503_and_with_one_all_is_served(
    gate: Gate, world: World, how: str
) -> None:
    """Cold: 503 upstream-credential-unavailable, nothing sent, few calls; warm: served; back within five seconds."""
    who = world.person(MEMBER)
    assert (await gate.score(who, "plain")).status == 200
    world.identity.counts.clear()
    world.upstream.reset()
    if how == "refused":
        await world.identity.stop()
    else:
        world.identity.faults.set(**FAULTS[how])

    answers = await asyncio.gather(*(gate.score(who, COLD[how]) for _ in range(20)))
    assert {answer.told for answer in answers} == {(503, "upstream-credential-unavailable")}
    assert {answer.headers["Retry-After"] for answer in answers} == {"10"}
    assert world.upstream.requests == []
    # azure-identity tries once more, and underneath it aiohttp does with a GET whose connection broke.
    assert world.token_calls() <= (4 if how == "reset" else 2)
    assert max(answer.seconds for answer in answers) < 4.0
    assert {gate.decision(answer)["reason"] for answer in answers} == {"credential-unavailable"}
    assert (await gate.score(who, "plain")).status == 200

    await back(world.identity)
    world.identity.faults.clear()
    if how not in WAITED_FOR:
        return
    mended = monotonic()
    while (await gate.score(who, COLD[how])).status != 200:
        assert monotonic() - mended < 5.0
        await asyncio.sleep(0.05)
    token = world.upstream.requests[-1].headers["authorization"].removeprefix("Bearer ")
    assert world.entra.verify(token, audience=f"https://model-{COLD[how][6:]}.example") is not None


async def test_a_token_is_renewed_beside_a_request_and_kept_until_it_ends(gate: Gate, world: World) -> None:
    """An outage is not noticed before the old token really ends; after it, 503 (F20)."""
    who = world.person(MEMBER)
    world.identity.lifetime = 3
    try:
        started = monotonic()
        assert (await gate.score(who, "scope-15")).status == 200
        world.identity.faults.set(status=500)
        while (answer := await gate.score(who, "scope-15")).status == 200:
            assert monotonic() - started < 3.5
            await asyncio.sleep(0.05)
        assert monotonic() - started > 1.9
        assert answer.told == (503, "upstream-credential-unavailable")
        # Past half of its life one renewal was tried beside the requests; then the end was noticed.
        assert world.token_calls() <= 1 + 2 + 2
        world.identity.faults.clear()
        world.identity.lifetime = 24 * 3600
        while (await gate.score(who, "scope-15")).status != 200:
            assert monotonic() - started < 8.5
            await asyncio.sleep(0.05)
    finally:
        world.identity.lifetime = 24 * 3600


async def test_without_a_token_for_graph_nobody_is_asked(world: World) -> None:
    """A gate that has no token yet cannot ask Graph: 503 for its lack of a credential, and not ready."""
    async with world.gate() as cold:
        world.identity.faults.set(status=500)
        answer = await cold.score(world.person(MEMBER, claimed=False))
        assert answer.told == (503, "upstream-credential-unavailable")
        assert world.graph_calls() == 0
        assert (await cold.ask("GET", "/readyz")).told == (503, "upstream-credential-unavailable")
        assert (await cold.ask("GET", "/healthz")).status == 200
