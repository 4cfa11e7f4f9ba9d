"""The audit trail as an owner reads it: before the model is called, after the last byte, joined and chained (R01, T23)."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.directory import FRAUD_ANALYSTS, TENANT
from local.easyauth import principal_headers
from shared.audit import verify
from tests.functional.differences import OUTCOME_IN_LOG
from tests.functional.gates import BODY, PROMPT, Gate, until
from tests.functional.upstream import OK, Exchange, answer
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

DECISION = {
    "event", "time", "request_id", "instance", "process", "seq", "previous", "tenant", "principal", "kind", "client",
    "route", "operation", "deployment", "job", "decision", "reason", "rule", "membership", "counted", "policy",
}  # fmt: skip
OUTCOME = {
    "event", "time", "request_id", "instance", "process", "seq", "previous", "outcome", "status", "upstream_status",
    "bytes_in", "bytes_out", "first_byte_ms", "duration_ms", "model", "prompt_tokens", "completion_tokens",
    "total_tokens", "policy",
}  # fmt: skip


async def test_the_decision_is_on_disk_before_the_model_sees_the_request(gate: Gate, world: World) -> None:
    """The model itself looks: the allow is in the file, the outcome is not yet; then one outcome follows."""
    found: list[list[tuple[str, str | None]]] = []

    async def looks(exchange: Exchange) -> None:
        records = gate.records(exchange.headers["x-request-id"])
        found.append([(one["event"], one.get("decision")) for one in records])
        await exchange.send(answer())

    world.upstream.behaviour = looks
    who = world.person(MEMBER)
    for _ in range(20):
        came = await gate.score(who)
        assert came.status == 200
        await gate.outcome(came)
    assert found == [[("decision", "allow")]] * 20


async def test_the_records_of_an_allowed_call_say_what_the_contract_lists(gate: Gate, world: World) -> None:
    """Field by field (ruling "Audit record")."""
    who = world.person(MEMBER, claimed=False)
    came = await gate.score(who, "fraud", azureml_model_deployment="blue")
    decision, outcome = gate.decision(came), await gate.outcome(came)
    assert set(decision) == DECISION
    assert set(outcome) == OUTCOME
    expected = {
        "tenant": TENANT,
        "principal": who["X-MS-CLIENT-PRINCIPAL-ID"],
        "kind": "user",
        "route": "endpoint:fraud",
        "operation": "score",
        "deployment": "blue",
        "decision": "allow",
        "reason": "member",
        "rule": "analysts",
        "counted": None,
    }
    assert {name: decision[name] for name in expected} == expected
    assert decision["membership"]["source"] == "graph"
    assert decision["membership"]["group"] == FRAUD_ANALYSTS
    assert 0 <= decision["membership"]["age_s"] < 5
    assert len(decision["policy"]) == 64
    expected_outcome = {
        "outcome": "ok",
        "status": 200,
        "upstream_status": 200,
        "bytes_in": len(BODY),
        "bytes_out": len(json.dumps(OK)),
        "model": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "total_tokens": None,
    }
    assert {name: outcome[name] for name in expected_outcome} == expected_outcome
    assert 0 < outcome["first_byte_ms"] <= outcome["duration_ms"] < 10_000


async def test_a_refusal_is_one_record(gate: Gate, world: World) -> None:
    """Denied, wrongly asked, or not known: one decision, no outcome."""
    for who, expected in (
        (world.person(), ("deny", "not-member")),
        ({}, ("deny", "principal-missing")),
        ({**world.person(MEMBER), "Content-Type": "text/plain"}, ("error", "invalid-request")),
    ):
        came = await gate.score(who)
        (record,) = gate.records(came.request_id)
        assert (record["decision"], record["reason"]) == expected
        assert set(record) == DECISION


async def test_no_record_tells_a_token_a_body_or_a_name(gate: Gate, world: World) -> None:
    """Whatever a caller sends, and whoever it is (R03)."""
    name = world.name(MEMBER)
    claims = world.entra.claims(name, name="Marker Name", preferred_username="marker@contoso.example")
    secret = world.entra.token(name)
    who = {
        **principal_headers(claims, names="long"),
        "Authorization": f"Bearer {secret}",
        "Cookie": "marker-cookie",
    }
    await gate.outcome(await gate.score(who))
    await gate.score({**who, "Content-Type": "marker/type"})
    text = b"".join(gate.lines()).decode().lower()
    for marker in (secret, "marker", PROMPT, world.identity.secret, "bearer"):
        assert marker.lower() not in text
    gate.verify_audit()


async def test_what_was_altered_or_removed_shows(gate: Gate, world: World) -> None:
    """Any change of the past breaks the chain (T23)."""
    for _ in range(3):
        await gate.score(world.person())
    lines = gate.lines()
    assert verify(lines) == []
    middle = len(lines) // 2
    assert verify([*lines[:middle], *lines[middle + 1 :]])
    assert verify(
        [
            *lines[:middle],
            lines[middle].replace(b"deny", b"allow").replace(b'"ok"', b'"no"'),
            *lines[middle + 1 :],
        ]
    )
    assert verify([*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]])


async def test_a_trail_that_cannot_be_written_refuses(gate: Gate, world: World) -> None:
    """The file is replaced by a folder while running: 503, nothing sent; mended, the gate serves and the chain holds."""
    who = world.person(MEMBER)
    assert (await gate.score(who)).status == 200
    kept = gate.audit.with_name("kept.jsonl")
    await until(lambda: gate.records()[-1]["event"] == "outcome")
    gate.audit.rename(kept)
    gate.audit.mkdir()
    world.upstream.reset()
    for _ in range(3):
        came = await gate.score(who)
        assert came.told == (503, "audit-unavailable")
        assert came.headers["Retry-After"] == "5"
        # Not even a refusal goes unrecorded.
        assert (await gate.score(world.person())).told == (503, "audit-unavailable")
    assert world.upstream.requests == []
    assert (await gate.ask("GET", "/healthz")).status == 200
    gate.audit.rmdir()
    assert (await gate.score(who)).status == 200
    assert verify([*kept.read_bytes().splitlines(keepends=True), *gate.lines()]) == []


async def test_a_trail_that_could_never_be_written_refuses_from_the_start(world: World) -> None:
    """`file:` in a folder that is not there: 503 for everybody."""
    async with world.gate(GROUPGATE_AUDIT=f"file:{world.folder}/nowhere/audit.jsonl") as gate:
        assert (await gate.score(world.person(MEMBER))).told == (503, "audit-unavailable")
        assert world.upstream.requests == []


async def test_with_log_the_records_are_in_the_platforms_log(world: World) -> None:
    """Decisions always; the outcome of a streamed answer comes too late for it, and a warning says so."""
    async with world.gate(GROUPGATE_AUDIT="log") as gate:
        who = world.person(MEMBER)
        allowed = [await gate.score(who) for _ in range(3)]
        refused = await gate.score(world.person())
        assert [one.status for one in (*allowed, refused)] == [200, 200, 200, 403]
        await until(lambda: len(_logged(gate.log)) >= (7 if OUTCOME_IN_LOG.of(gate.mode) else 4))
        records = _logged(gate.log)
        events = [one["event"] for one in records]
        assert events.count("decision") == 4
        assert events.count("outcome") == (3 if OUTCOME_IN_LOG.of(gate.mode) else 0)
        text = gate.log.read_text()
        warned = "outcomes of streamed answers are not recorded" in text
        assert warned is not OUTCOME_IN_LOG.of(gate.mode)
        assert PROMPT not in text
        assert "eyJ" not in text
        lines = [line.partition("groupgate.audit: ")[2].encode() + b"\n" for line in _lines(gate.log)]
        assert verify(lines) == []


def _lines(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if "groupgate.audit: " in line]


def _logged(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line.partition("groupgate.audit: ")[2]) for line in _lines(log)]
