"""Bodies of models' requests: what no gate may let through, and what it lets through as it is (T06 to T09, D01)."""

import hashlib
import json
import random
from collections.abc import AsyncIterator

import pytest

from tests.functional.differences import CHUNKED_BODY, only
from tests.functional.gates import CHAT, PROMPT, Gate
from tests.functional.upstream import answer, chat, says
from tests.functional.world import MEMBER, World
from tests.unit.backends.hostile_bodies import HOSTILE, Hostile

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("stream")]
JSON = {"Content-Type": "application/json"}
RESPONSES = "/openai/v1/responses"
MARKS = ("evil", "169.254", "hello", "etc/passwd", "conv_1", "pmpt_1", "resp_1", "sk-secret")


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.id for hostile in HOSTILE])
async def test_it_does_not_get_through(gate: Gate, world: World, hostile: Hostile) -> None:
    """T06, T07, T08, T09: the status of the table, nothing sent, one decision on record, and nothing of the body in it."""
    headers = {**world.person(MEMBER), **dict(hostile.headers)}
    if hostile.content_type:
        headers["Content-Type"] = hostile.content_type
    came = await gate.ask("POST", f"/openai/v1/{hostile.operation}", headers=headers, body=hostile.body)
    assert came.status == hostile.status
    assert world.upstream.requests == []
    (record,) = gate.records(came.request_id)
    assert (record["event"], record["decision"] == "allow") == ("decision", False)
    assert record["operation"] == hostile.operation
    assert not [mark for mark in MARKS if mark in str(record) or mark in came.json()["detail"]]
    assert "secret" not in came.body.decode()


async def test_a_name_with_escapes_is_refused_t07(gate: Gate, world: World) -> None:
    """T07: a model named by an escaped name is there for one reader and not for another: 400. Values may be escaped."""
    who = {**world.person(MEMBER), **JSON}
    plain = b'{"model":"gpt","messages":[{"role":"user","content":"\\u0065"}]}'
    for name in (b"mod\\u0065l", b"\\u006dessages"):
        body = plain.replace(b"model" if name.startswith(b"mod") else b"messages", name)
        assert (await gate.ask("POST", CHAT, headers=who, body=body)).told == (400, "invalid-request")
    assert world.upstream.requests == []
    assert (await gate.ask("POST", CHAT, headers=who, body=plain)).status == 200


async def test_no_hostile_body_is_counted_or_costs_a_token(gate: Gate, world: World) -> None:
    """T09: what is refused for its body takes nothing of a limit and no token of the gate's identity."""
    who = world.person(MEMBER)
    for _ in range(5):
        came = await gate.chat(who, "cold", data_sources=[{"type": "azure_search"}])
        assert came.told == (400, "invalid-request")
    assert world.token_calls() == 0
    assert (await gate.chat(who, "cold")).headers["x-ratelimit-remaining-requests"] == "2"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"top_n_sigma": 5}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x"}}]}]}),
        (RESPONSES, {"input": "x", "tools": [{"type": "web_search"}]}),
    ],
)  # fmt: skip
async def test_what_the_policy_names_goes_through(
    gate: Gate, world: World, path: str, fields: dict[str, object]
) -> None:
    """T09: `fields` lets in what it names at the model that has it, and nowhere else; nothing is changed on its way."""
    who = world.person(MEMBER)
    for name, status in (("named", 200), ("gpt", 400)):
        messages = {"messages": [{"role": "user", "content": PROMPT}]} if path == CHAT else {}
        body = json.dumps({"model": name, **messages, **fields}).encode()
        came = await gate.ask("POST", path, headers={**who, **JSON}, body=body)
        assert came.status == status
        assert [seen.body for seen in world.upstream.requests[1 if status == 400 else 0 :]] == (
            [body] if status == 200 else []
        )


async def test_what_an_item_refers_to_must_be_the_callers_own_even_where_it_is_named(
    gate: Gate, world: World
) -> None:
    """T09: `fields` lets references in, and still only to what the same caller made: 404."""
    body = json.dumps({"model": "named", "input": [{"type": "item_reference", "id": "msg_1"}]}).encode()
    came = await gate.ask("POST", RESPONSES, headers={**world.person(MEMBER), **JSON}, body=body)
    assert came.told == (404, "not-found")
    assert world.upstream.requests == []


async def test_strange_but_clear_bodies_go_through_byte_for_byte(gate: Gate, world: World) -> None:
    """T07: blanks, escapes, numbers and letters of any kind are the caller's own (SHA-256), and so is the answer."""
    chance = random.Random(4)
    who = world.person(MEMBER)
    alphabet = 'aé花🌸\\"\n\t/\u2028\x7f'

    for _ in range(50):
        text = "".join(chance.choices(alphabet, k=chance.randrange(2000)))
        document = {
            "model": "gpt",
            "messages": [{"role": "user", "content": text, "name": "x"}],
            "temperature": chance.random(),
            "metadata": {text[:5]: text[:20]},
        }
        pairs = list(document.items())
        chance.shuffle(pairs)
        body = json.dumps(
            dict(pairs),
            ensure_ascii=chance.random() < 0.5,
            indent=chance.choice([None, 0, 3, "\t"]),
            separators=chance.choice([None, (",", ":"), (" ,\r\n", " : ")]),
        ).encode()
        whole = chance.randbytes(chance.randrange(5000))
        world.upstream.behaviour = says(answer(200, whole))
        came = await gate.ask("POST", CHAT, headers={**who, **JSON}, body=body)
        assert came.status == 200
        seen = world.upstream.requests[-1]
        assert hashlib.sha256(seen.body).digest() == hashlib.sha256(body).digest()
        assert hashlib.sha256(came.body).digest() == hashlib.sha256(whole).digest()


async def test_a_body_beyond_the_policys_size_is_413_d01(gate: Gate, world: World) -> None:
    """D01: `max-body` of the model, and before the model is known the largest that any model takes."""
    who = world.person(MEMBER)
    assert (await gate.chat(who, "small", user="x" * 700)).status == 200
    world.upstream.reset()
    assert (await gate.chat(who, "small", user="x" * 1024)).told == (413, "payload-too-large")
    assert (await gate.chat(who, "gpt", user="x" * (4 << 20))).told == (413, "payload-too-large")
    assert (await gate.chat(who, "nothing-here", user="x" * (4 << 20))).told == (413, "payload-too-large")
    assert world.upstream.requests == []


async def test_a_body_without_a_length_is_as_the_host_gives_it(gate: Gate, world: World) -> None:
    """D01: read chunk by chunk where the host can, bounded all the same; else 411 (differences)."""
    who = {**world.person(MEMBER), **JSON}
    whole = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "x"}]}).encode()

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    came = await gate.ask("POST", CHAT, headers=who, body=pieces(whole))
    assert came.status == CHUNKED_BODY.of(gate.mode)
    assert [seen.body for seen in world.upstream.requests] == ([whole] if came.status == 200 else [])
    world.upstream.reset()
    for empty in (None, b"", pieces(b"")):
        assert (await gate.ask("POST", CHAT, headers=who, body=empty)).told == (411, "length-required")
    assert world.upstream.requests == []


async def test_an_address_that_takes_no_body_gets_none(gate: Gate, world: World) -> None:
    """What is asked of a stored response stands in its address: a body beside it is 400, and goes nowhere."""
    who = {**world.person(MEMBER), **JSON}
    made = {"id": "resp_with_body", "output": []}
    world.upstream.behaviour = says(answer(200, made))
    body = b'{"model":"gpt","input":"x"}'
    assert (await gate.ask("POST", RESPONSES, headers=who, body=body)).status == 200
    world.upstream.reset()
    for method, path in (("GET", "resp_with_body"), ("POST", "resp_with_body/cancel")):
        came = await gate.ask(method, f"{RESPONSES}/{path}", headers=who, body=body)
        assert came.told == (400, "invalid-request")
    assert world.upstream.requests == []
    world.upstream.behaviour = says(answer(200, chat()))
    assert (await gate.ask("GET", f"{RESPONSES}/resp_with_body", headers=who)).status == 200


async def test_the_audit_held(gate: Gate) -> None:
    """R03, T23: the chain is whole and tells nothing of any body."""
    gate.verify_audit()
