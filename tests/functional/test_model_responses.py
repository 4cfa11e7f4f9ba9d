"""What the models' side stores belongs to who made it: read, deleted, cancelled and built upon by nobody else (T09)."""

import asyncio
import itertools
import json
from collections.abc import Mapping

import pytest

from tests.functional.differences import only
from tests.functional.gates import Answer, Gate
from tests.functional.upstream import answer, event, says, streams
from tests.functional.world import MEMBER, World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]
RESPONSES = "/openai/v1/responses"
_numbers = itertools.count(1)


async def create(
    gate: Gate,
    world: World,
    who: Mapping[str, str],
    *,
    name: str = "gpt",
    stream: bool = False,
    **fields: object,
) -> tuple[str, Answer]:
    """Have a response made; give its id and the answer."""
    id_ = f"resp_{next(_numbers)}{'a' * 40}"
    item = {"type": "message", "id": f"msg_{id_}"}
    made = {"id": id_, "object": "response", "output": [item]}
    if stream:
        world.upstream.behaviour = streams(
            event({"type": "response.created", "response": {"id": id_}}, name="response.created"),
            event({"type": "response.output_item.added", "item": item}, name="response.output_item.added"),
            event({"type": "response.completed", "response": made}, name="response.completed"),
        )
    else:
        world.upstream.behaviour = says(answer(200, made))
    came = await respond(gate, who, name=name, **({"stream": True} if stream else {}), **fields)
    return id_, came


async def respond(gate: Gate, who: Mapping[str, str], *, name: str = "gpt", **fields: object) -> Answer:
    """Ask for a response."""
    body = json.dumps({"model": name, "input": "x", **fields}).encode()
    return await gate.ask("POST", RESPONSES, headers={**who, "Content-Type": "application/json"}, body=body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_its_maker_reads_deletes_and_cancels_it(gate: Gate, world: World, stream: bool) -> None:
    """Each goes to the address of that response at the same model's resource, and is recorded by its own name."""
    who = world.person(MEMBER)
    id_, came = await create(gate, world, who, stream=stream, name="renamed")
    assert came.status == 200
    await gate.outcome(came)
    world.upstream.reset()
    kept = {"id": id_, "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 4}}
    world.upstream.behaviour = says(answer(200, kept))
    for method, path, operation in (
        ("GET", "", "responses/retrieve"),
        ("HEAD", "", "responses/retrieve"),
        ("POST", "/cancel", "responses/cancel"),
        ("DELETE", "", "responses/delete"),
    ):
        for base in (RESPONSES, "/openai/responses"):
            came = await gate.ask(method, f"{base}/{id_}{path}", headers=who)
            assert (came.status, came.body) == (200, b"" if method == "HEAD" else json.dumps(kept).encode())
            seen = world.upstream.requests[-1]
            sent = "GET" if method == "HEAD" else method
            assert (seen.method, seen.target, seen.body) == (sent, f"{RESPONSES}/{id_}{path}", b"")
            assert "content-type" not in seen.headers
            token = seen.headers["authorization"].removeprefix("Bearer ")
            assert world.entra.verify(token, audience="https://cognitiveservices.azure.com") is not None
            record = gate.decision(came)
            assert (record["route"], record["operation"]) == ("model:renamed", operation)
            # What is read again was counted when it was made.
            assert (await gate.outcome(came))["total_tokens"] is None
    assert id_ not in str(gate.records())


async def test_for_anybody_else_it_is_as_one_that_never_was_t09(gate: Gate, world: World) -> None:
    """T09, I02: 404 alike for another's and for none, byte for byte; nothing is sent, whatever groups they share."""
    alice, bob = world.person(MEMBER), world.person(MEMBER)
    id_, _ = await create(gate, world, alice)
    world.upstream.reset()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        came = [
            await gate.ask(method, f"{RESPONSES}/{one}{path}", headers=bob)
            for one in (id_, "resp_" + "0" * 41)
        ]
        assert {one.told for one in came} == {(404, "not-found")}
        same = [one.body.replace(one.request_id.encode(), b"") for one in came]
        assert same[0] == same[1]
        assert {*came[0].headers} == {*came[1].headers}
        assert {gate.decision(one)["reason"] for one in came} == {"input-not-allowed"}
    outsider = await gate.ask("GET", f"{RESPONSES}/{id_}", headers=world.person())
    assert outsider.told == (404, "not-found")
    assert (await gate.ask("GET", f"{RESPONSES}/{id_}")).told == (401, "authentication-required")
    assert world.upstream.requests == []
    assert (await gate.ask("GET", f"{RESPONSES}/{id_}", headers=alice)).status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_only_its_maker_builds_upon_it_t09(gate: Gate, world: World, stream: bool) -> None:
    """T09: `previous_response_id`, and references to its items, of another or of nobody: 404 with nothing sent."""
    alice, bob = world.person(MEMBER), world.person(MEMBER)
    id_, came = await create(gate, world, alice, stream=stream, name="named")
    await gate.outcome(came)
    items = [{"type": "item_reference", "id": f"msg_{id_}"}]
    world.upstream.reset()
    for fields in (
        {"previous_response_id": id_},
        {"previous_response_id": "resp_unknown"},
        {"input": items},
        {"prompt_cache_options": {"comparison_response_id": id_}},
    ):
        came = await respond(gate, bob, name="named", **fields)
        assert came.told == (404, "not-found")
    assert world.upstream.requests == []
    for fields in ({"previous_response_id": id_}, {"input": items}):
        assert (await respond(gate, alice, name="named", **fields)).status == 200
    assert len(world.upstream.requests) == 2


async def test_a_whole_answer_to_who_asked_for_events_is_its_makers_too(gate: Gate, world: World) -> None:
    """A service may answer with JSON all the same: what it made is known to be the caller's."""
    who = world.person(MEMBER)
    world.upstream.behaviour = says(answer(200, {"id": "resp_whole", "output": []}))
    await gate.outcome(await respond(gate, who, stream=True))
    assert (await gate.ask("GET", f"{RESPONSES}/resp_whole", headers=who)).status == 200


async def test_an_answer_cannot_take_what_another_made(gate: Gate, world: World) -> None:
    """Should the service name an id again, its first maker stays the owner."""
    alice, bob = world.person(MEMBER), world.person(MEMBER)
    id_, _ = await create(gate, world, alice)
    world.upstream.behaviour = says(answer(200, {"id": id_, "output": []}))
    assert (await respond(gate, bob)).status == 200
    assert (await gate.ask("GET", f"{RESPONSES}/{id_}", headers=bob)).told == (404, "not-found")
    assert (await gate.ask("GET", f"{RESPONSES}/{id_}", headers=alice)).status == 200


async def test_one_that_is_gone_at_the_models_side_is_404(gate: Gate, world: World) -> None:
    """It was the caller's own and is no more: no fault of the gate's settings."""
    who = world.person(MEMBER)
    id_, _ = await create(gate, world, who)
    world.upstream.behaviour = says(answer(404, {"error": {"message": "not found at inside.example"}}))
    came = await gate.ask("GET", f"{RESPONSES}/{id_}", headers=who)
    assert came.told == (404, "not-found")
    assert (await gate.outcome(came))["outcome"] == "upstream-404"


async def test_it_is_read_again_as_events_with_what_may_be_asked_of_it(gate: Gate, world: World) -> None:
    """The query by its closed list (T04)."""
    who = world.person(MEMBER)
    id_, _ = await create(gate, world, who)
    whole = event({"type": "response.completed", "response": {"id": id_}}, name="response.completed")
    world.upstream.behaviour = streams(whole)
    query = "stream=true&starting_after=3&include%5B%5D=a.b&include%5B%5D=c&include_obfuscation=false"
    came = await gate.ask("GET", f"{RESPONSES}/{id_}?{query}", headers=who)
    assert (came.status, came.body) == (200, whole)
    assert world.upstream.requests[-1].target == f"{RESPONSES}/{id_}?{query}"
    world.upstream.reset()
    for wrong in ("stream=yes", "starting_after=-1", "include=x", "stream=true&stream=true", "after=1"):
        came = await gate.ask("GET", f"{RESPONSES}/{id_}?{wrong}", headers=who)
        assert came.told == (400, "invalid-request")
    assert (await gate.ask("DELETE", f"{RESPONSES}/{id_}?stream=true", headers=who)).status == 400
    assert world.upstream.requests == []


async def test_who_has_left_the_group_reads_nothing_any_more(gate: Gate, world: World) -> None:
    """What one made is one's own only while one may use the model: 403 within `max-membership-age`."""
    name = world.name(MEMBER)
    who = world.headers(name)
    id_, came = await create(gate, world, who, name="fleeting")
    assert came.status == 200
    assert (await gate.ask("GET", f"{RESPONSES}/{id_}", headers=who)).status == 200
    world.directory.remove(MEMBER, name)
    await asyncio.sleep(1.1)
    world.upstream.reset()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        came = await gate.ask(method, f"{RESPONSES}/{id_}{path}", headers=who)
        assert came.told == (403, "forbidden")
    assert world.upstream.requests == []


async def test_the_audit_held(gate: Gate) -> None:
    """T23: the chain is whole."""
    gate.verify_audit()
