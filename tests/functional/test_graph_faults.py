"""Microsoft Graph failing in every way: nobody gets in by it, and whoever was proven stays (threats F22 to F28, D04)."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest

from local.directory import ML_ENGINEERS
from local.easyauth import principal_headers
from tests.functional.differences import only
from tests.functional.gates import Gate, until
from tests.functional.world import MEMBER, World, back

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]

HTML = {"body": "<html>sign in</html>", "headers": {"Content-Type": "text/html"}}
JSON = {"Content-Type": "application/json"}
FAULTS: dict[str, dict[str, Any]] = {
    "refused": {},
    "reset": {"refuse": True},
    "silence": {"silence": True},
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "2"}},
    "403": {"status": 403, "body": '{"error": {"code": "Authorization_RequestDenied"}}'},
    "401": {"status": 401},
    "400": {"status": 400},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "503 with Retry-After": {"status": 503, "headers": {"Retry-After": "1"}},
    "504": {"status": 504},
    "204": {"status": 204},
    "redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
    "garbage": {"garbage": True},
    "HTML": {"status": 200, **HTML},
    "truncated": {"cut": True},
    "ids that were not asked": {
        "status": 200,
        "body": json.dumps({"value": [ML_ENGINEERS]}),
        "headers": JSON,
    },
    "a next link": {
        "status": 200,
        "body": json.dumps({"value": [], "@odata.nextLink": "http://127.0.0.1:9/"}),
        "headers": JSON,
    },
    "a name twice": {"status": 200, "body": '{"value": [], "value": []}', "headers": JSON},
    "no list": {"status": 200, "body": '{"value": "fraud-analysts"}', "headers": JSON},
    "huge": {"status": 200, "body": '{"value": [' + " " * (2 << 20) + "]}", "headers": JSON},
}
FORBIDDEN = {"403", "401"}


async def break_graph(world: World, how: str) -> None:
    if how == "refused":
        await world.graph.stop()
    else:
        world.graph.faults.set(**FAULTS[how])


@pytest.mark.parametrize("how", FAULTS)
async def test_fifty_requests_are_all_503_and_the_gate_is_back_within_five_seconds(
    gate: Gate, world: World, how: str
) -> None:
    """Never 200, never 403, nothing reaches the model, few calls to Graph; a warm member is served all the while.

    F22, F23, F25, F27, E04, T19, T20.
    """
    warm = world.person(MEMBER, claimed=False)
    assert (await gate.score(warm)).status == 200
    cold = [world.person(MEMBER, claimed=False) for _ in range(5)]
    calls = world.graph_calls()
    await break_graph(world, how)
    world.upstream.reset()

    answers = await asyncio.gather(*(gate.score(who, "fleeting") for who in cold * 10))
    assert {answer.told for answer in answers} == {(503, "membership-unavailable")}
    assert world.upstream.requests == []
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers)
    # Two tries for each flight; what came while a principal's flight was in the air shared it.
    assert world.graph_calls() - calls <= 2 * len(answers)
    if "Retry-After" in how:
        assert world.graph_calls() - calls <= 8
    reasons = {gate.decision(answer)["reason"] for answer in answers}
    assert reasons == {"graph-forbidden" if how in FORBIDDEN else "graph-unavailable"}

    served = await gate.score(warm)
    assert served.status == 200
    assert gate.decision(served)["membership"]["source"] == "cache"

    await back(world.graph)
    world.graph.faults.clear()
    mended = monotonic()
    while (await gate.score(cold[0], "fleeting")).status != 200:
        assert monotonic() - mended < 5.0
        await asyncio.sleep(0.05)


async def test_a_429_is_obeyed_for_everybody(gate: Gate, world: World) -> None:
    """After one 429 nobody is asked about until Retry-After is over, and the callers read what is left of it (F24)."""
    world.graph.faults.set(status=429, headers={"Retry-After": "2"}, times=1)
    people = [world.person(MEMBER, claimed=False) for _ in range(6)]
    started = monotonic()
    first = await gate.score(people[0])
    assert (first.told, first.headers["Retry-After"]) == ((503, "membership-unavailable"), "2")
    others = [await gate.score(who) for who in people[1:]]
    assert {answer.told for answer in others} == {(503, "membership-unavailable")}
    assert world.graph_calls() == 1
    while (answer := await gate.score(people[0])).status != 200:
        assert answer.told == (503, "membership-unavailable")
        await asyncio.sleep(0.05)
    assert 1.9 < monotonic() - started < 3.5


async def test_a_404_is_a_denial_whatever_the_claims_say(gate: Gate, world: World) -> None:
    """A caller whom the directory does not know is no member: 403 principal-not-found, for all fifty (F26)."""
    world.graph.faults.set(status=404, body='{"error": {"code": "Request_ResourceNotFound"}}')
    who = world.person(MEMBER)
    answers = await asyncio.gather(*(gate.score(who, "fraud") for _ in range(50)))
    assert {answer.told for answer in answers} == {(403, "forbidden")}
    assert gate.decision(answers[0])["reason"] == "principal-not-found"
    assert world.upstream.requests == []
    assert world.graph_calls() == 1


@pytest.mark.parametrize("how", ["refused", "503", "silence", "garbage"])
async def test_a_deny_rule_that_cannot_be_checked_lets_nobody_in(gate: Gate, world: World, how: str) -> None:
    """A young claim proves the allow rule, but only Graph can say that a contractor is none: 503, not 200 (E05)."""
    await break_graph(world, how)
    answer = await gate.score(world.person(MEMBER), "fraud")
    assert answer.told == (503, "membership-unavailable")
    assert world.upstream.requests == []


@pytest.mark.parametrize("how", ["refused", "503"])
async def test_a_young_claim_needs_no_graph_where_no_deny_rule_asks(
    gate: Gate, world: World, how: str
) -> None:
    """Where the claims prove all that matters, Graph's outage is not noticed."""
    await break_graph(world, how)
    answer = await gate.score(world.person(MEMBER))
    assert answer.status == 200
    assert gate.decision(answer)["membership"]["source"] == "claim"


async def test_without_grace_a_proven_member_is_served_to_the_stated_age_and_no_longer(
    gate: Gate, world: World
) -> None:
    """`max-membership-age = "1s"` and `outage-grace = "0s"`: 200 from the cache, then 503."""
    who = world.person(MEMBER, claimed=False)
    started = monotonic()
    assert (await gate.score(who, "fleeting")).status == 200
    world.graph.faults.set(status=503)
    while (answer := await gate.score(who, "fleeting")).status == 200:
        assert monotonic() - started < 1.5
        await asyncio.sleep(0.05)
    assert monotonic() - started > 0.9
    assert answer.told == (503, "membership-unavailable")


async def test_grace_carries_a_proven_member_and_ends(gate: Gate, world: World) -> None:
    """Age 1 s, grace 2 s more: `member`, then `outage-grace` on record, then 503 (E06); never anything else."""
    who, stranger = world.person(MEMBER, claimed=False), world.person(MEMBER, claimed=False)
    started = monotonic()
    assert (await gate.score(who, "grace")).status == 200
    world.graph.faults.set(status=503)
    seen: list[str] = []
    while (answer := await gate.score(who, "grace")).status == 200:
        seen.append(gate.decision(answer)["reason"])
        assert monotonic() - started < 4.0
        await asyncio.sleep(0.1)
    assert monotonic() - started > 2.8
    assert list(dict.fromkeys(seen)) == ["member", "outage-grace"]
    assert answer.told == (503, "membership-unavailable")
    # Grace widens nothing: who was never proven has none.
    assert (await gate.score(stranger, "grace")).told == (503, "membership-unavailable")
    assert (await gate.score(who, "grace")).told == (503, "membership-unavailable")


async def test_a_no_is_not_softened_by_an_outage(gate: Gate, world: World) -> None:
    """Somebody whom Graph refused stays refused while that answer holds, and then is 503: never let in (E06)."""
    who = world.person(claimed=False)
    assert (await gate.score(who, "grace")).told == (403, "forbidden")
    world.graph.faults.set(status=503)
    assert (await gate.score(who, "grace")).told == (403, "forbidden")
    assert (await gate.score(who, "fleeting")).status in (403, 503)
    await asyncio.sleep(0.6)
    assert (await gate.score(who, "fleeting")).told == (503, "membership-unavailable")


async def test_a_change_of_membership_shows_within_the_stated_age(gate: Gate, world: World) -> None:
    """Somebody joins and is let in within `recheck-refused`, leaves and is shut out within `max-membership-age`."""
    name = world.name()
    who = world.person()  # warms nothing of the other
    headers = {**who, **_headers(world, name)}
    assert (await gate.score(headers, "fleeting")).status == 403
    world.directory.add(MEMBER, name)
    started = monotonic()
    while (await gate.score(headers, "fleeting")).status != 200:
        assert monotonic() - started < 1.0
        await asyncio.sleep(0.05)
    world.directory.remove(MEMBER, name)
    started = monotonic()
    while (await gate.score(headers, "fleeting")).status != 403:
        assert monotonic() - started < 1.5
        await asyncio.sleep(0.05)


async def test_the_audit_held_through_all_of_it(gate: Gate) -> None:
    """No fault of Graph tore the chain or told a secret."""
    await until(lambda: bool(gate.lines()))
    gate.verify_audit()


def _headers(world: World, name: str) -> dict[str, str]:
    return principal_headers(world.entra.claims(name, groups=None), names="short")
