"""What a record holds, and what happens when nobody takes it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from copy import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit import Audit
from shared.audit.line import MAX_VALUE, clean, encode
from shared.audit.record import unknown_outcome
from shared.model import Allow, Asked, Deny, Fact, Kind, Principal, Reason, Source, Standing, Usage
from shared.problem import AskedWrongly, NotFound, Problem, RateLimited, Slug, Unauthenticated, Undecidable

BLNS = Path(__file__).resolve().parents[3] / "../shared/vectors/blns/blns.json"
PRINTABLE = re.compile(rb"[ -~]+\n")
ID = "44444444-0000-4000-8000-000000000004"
GROUP = "6f1b2c3d-0000-4000-8000-000000000002"
PROOF = Fact(standing=Standing.IN, source=Source.CLAIM, age=12.0)
CALLER = Principal(tenant="t", oid="o", kind=Kind.USER)


def naughty() -> list[str]:
    """Return the Big List of Naughty Strings, and what it lacks: bidirectional marks, C1, DEL, lone surrogates."""
    extra = [
        "\x1b[2J",
        "a\r\nb",
        "\u202e\u2066",
        "\x85\x9b",
        "\x7f",
        "\ud800",
        "x\udfff",
        "</script>",
        "\u2028",
        "ü" * 400,
        "A" * 100_000,
    ]
    return extra + (json.loads(BLNS.read_text("utf-8")) if BLNS.exists() else [])


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), TimeoutError(), RuntimeError("boom")]
)
async def test_f43_a_required_sink_that_fails_refuses_the_request(
    fault: Exception,
    fake_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
) -> None:
    """Threat R02, fault F43: no record, no call: 503 audit-unavailable, whatever the sink raised."""
    audit = auditing(fake_sink(fault=fault))
    with pytest.raises(Undecidable) as raised:
        await decide(audit, ID)
    assert raised.value.reason is Reason.AUDIT_UNAVAILABLE
    assert (raised.value.status, raised.value.retry_after) == (503, 5)
    assert audit.dropped == 1


async def test_a_best_effort_sink_that_fails_lets_the_request_pass(
    fake_sink: Callable[..., Any], auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """Threat R02: with `log` a record may be lost; the loss is counted."""
    audit = auditing(fake_sink(required=False, fault=OSError("gone")))
    await decide(audit, ID)
    await audit.completed(request_id=ID, outcome="ok", status=200, duration_ms=1.0)
    assert audit.dropped == 2


async def test_an_outcome_that_cannot_be_written_raises_nothing(
    fake_sink: Callable[..., Any], auditing: Callable[..., Audit]
) -> None:
    """The call was made and its answer is on its way: a lost outcome is counted, and told once by the log."""
    audit = auditing(fake_sink(fault=OSError("gone")))
    await audit.completed(request_id=ID, outcome="ok", status=200, duration_ms=1.0)
    assert audit.dropped == 1


async def test_r03_the_log_of_a_failing_sink_quotes_no_record(
    fake_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Threat R03: what the sink's error says could hold a record; only its kind is logged, once until it recovers."""
    sink = fake_sink(required=False, fault=OSError(5, "MARKER"))
    audit = auditing(sink)
    with caplog.at_level(logging.INFO, "groupgate"):
        await decide(audit, ID)
        await decide(audit, ID)
        sink.fault = None
        await decide(audit, ID)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "audit sink does not take records: OSError (5)",
        "audit sink takes records again; 2 were not stored since the start",
    ]
    assert not any(marker in message for message in messages for marker in ("MARKER", ID))


async def test_a_decision_record_has_the_fields_of_the_contract(
    audit: Audit, sink: Any, decide: Callable[..., Any]
) -> None:
    """The ruling "Audit record"; `seq` and `previous` are the sink's to add, in the order of the lines."""
    await decide(audit, ID)
    assert sink.record() == {
        "event": "decision",
        "time": "2026-07-14T03:33:20.250Z",
        "request_id": ID,
        "instance": "i1",
        "process": "p1",
        "tenant": "11111111-0000-4000-8000-000000000001",
        "principal": "22222222-0000-4000-8000-000000000002",
        "kind": "user",
        "client": "33333333-0000-4000-8000-000000000003",
        "route": "endpoint:fraud",
        "operation": "score",
        "deployment": "blue",
        "job": None,
        "decision": "allow",
        "reason": "member",
        "rule": "analysts",
        "membership": {"source": "claim", "age_s": 12.0, "group": None},
        "counted": None,
        "policy": "d" * 64,
    }


async def test_i07_a_job_that_was_asked_about_in_vain_is_on_record_by_its_id(audit: Audit, sink: Any) -> None:
    """I07: known or not, and whoever's it is: a probe of ids is seen."""
    asked = Asked(target="endpoint", name="churn", operation="jobs/status", job_id="some-id")
    await audit.decided(request_id=ID, decision=NotFound(Reason.JOB_NOT_FOUND), asked=asked)
    assert (sink.record()["job"], sink.record()["reason"]) == ("some-id", "job-not-found")


async def test_r01_an_allow_by_a_group_names_the_group_and_where_it_was_counted(
    audit: Audit, sink: Any, decide: Callable[..., Any]
) -> None:
    """Threat R01: the one group that let the caller in, by its object id, and the counter: who pays can be told."""
    allow = Allow(rule="engineers", reason=Reason.MEMBER, proof=PROOF, group=GROUP)
    asked = Asked(target="model", name="gpt-4.1-mini", operation="chat/completions")
    await decide(audit, ID, decision=allow, asked=asked, counted="shared")
    record = sink.record()
    assert record["route"] == "model:gpt-4.1-mini"
    assert record["membership"] == {"source": "claim", "age_s": 12.0, "group": GROUP}
    assert record["counted"] == "shared"
    assert list(record)[-3:] == ["membership", "counted", "policy"]


async def test_a_denial_with_a_proof_names_no_group(audit: Audit, sink: Any) -> None:
    """Only what let a caller in is told; a denial keeps the source and the age of its fact."""
    await audit.decided(request_id=ID, decision=Deny(reason=Reason.NOT_MEMBER, proof=PROOF), principal=CALLER)
    assert sink.record()["membership"] == {"source": "claim", "age_s": 12.0, "group": None}


async def test_an_outcome_record_has_the_fields_of_the_contract(audit: Audit, sink: Any) -> None:
    """The ruling "Audit record": the ids, the outcome, both statuses, bytes and milliseconds."""
    await audit.completed(
        request_id=ID,
        outcome="upstream-424",
        status=424,
        upstream_status=424,
        bytes_in=1024,
        bytes_out=77,
        first_byte_ms=12.34567,
        duration_ms=15.0,
    )
    assert sink.record() == {
        "event": "outcome",
        "time": "2026-07-14T03:33:20.250Z",
        "request_id": ID,
        "instance": "i1",
        "process": "p1",
        "outcome": "upstream-424",
        "policy": "d" * 64,
        "status": 424,
        "upstream_status": 424,
        "bytes_in": 1024,
        "bytes_out": 77,
        "first_byte_ms": 12.346,
        "duration_ms": 15.0,
        "model": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "total_tokens": None,
    }


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        pytest.param(None, [None, None, None], id="what the model did not tell is null"),
        pytest.param(Usage(prompt=0, completion=0, total=0), [0, 0, 0], id="nothing used is 0 and not null"),
        pytest.param(
            Usage(prompt=12, completion=30, total=42), [12, 30, 42], id="what the model told stands"
        ),
    ],
)
async def test_an_outcome_of_a_model_tells_its_name_and_tokens(
    usage: Usage | None, tokens: list[int | None], audit: Audit, sink: Any
) -> None:
    """Metering: the policy's name of the model, and the tokens as the model counted them."""
    await audit.completed(
        request_id=ID, outcome="ok", status=200, duration_ms=1.0, model="gpt-4.1-mini", usage=usage
    )
    record = sink.record()
    assert record["model"] == "gpt-4.1-mini"
    assert [record[f"{name}_tokens"] for name in ("prompt", "completion", "total")] == tokens


def test_r01_an_outcome_after_a_crash_has_every_field() -> None:
    """Threat R01: what the dead process knew is null, and the fields are those of every outcome."""
    line = unknown_outcome(ID, policy="d" * 64, time=0.0, instance="i1", process="p2")
    record = json.loads(line)
    assert record["outcome"] == "unknown"
    assert [
        record[name] for name in ("model", "prompt_tokens", "completion_tokens", "total_tokens", "status")
    ] == [None] * 5


@pytest.mark.parametrize(
    ("decision", "word", "reason"),
    [
        pytest.param(
            Deny(reason=Reason.NOT_MEMBER), "deny", "not-member", id="a refusal by policy is a deny"
        ),
        pytest.param(
            Unauthenticated(Reason.PRINCIPAL_MISSING),
            "deny",
            "principal-missing",
            id="an unproven caller is a deny",
        ),
        pytest.param(
            Unauthenticated(Reason.PLATFORM_AUTH_OFF),
            "deny",
            "platform-auth-off",
            id="no platform auth is a deny",
        ),
        pytest.param(
            Undecidable(Reason.GRAPH_UNAVAILABLE),
            "error",
            "graph-unavailable",
            id="a dead directory is an error",
        ),
        pytest.param(
            Undecidable(Reason.LIMITS_UNAVAILABLE),
            "error",
            "limits-unavailable",
            id="limits that cannot be counted are an error",
        ),
        pytest.param(
            RateLimited(retry_after=1.0), "error", "rate-limited", id="a limit that is used up is an error"
        ),
        pytest.param(
            AskedWrongly(Slug.LENGTH_REQUIRED), "error", "invalid-request", id="a wrong request is an error"
        ),
        pytest.param(
            Allow(rule="r", reason=Reason.APP_ROLE),
            "allow",
            "app-role",
            id="an allow without a group is an allow",
        ),
    ],
)
async def test_what_a_decision_is_called(
    decision: Allow | Deny | Problem, word: str, reason: str, audit: Audit, sink: Any
) -> None:
    """`decision` is allow, deny or error; what was not known when it fell is null, never left out."""
    await audit.decided(request_id=ID, decision=decision)
    record = sink.record()
    assert (record["decision"], record["reason"]) == (word, reason)
    assert [
        record[name] for name in ("tenant", "principal", "kind", "client", "route", "operation", "deployment")
    ] == [None] * 7
    assert record["membership"] is None


async def test_every_reason_is_recorded_under_one_of_three_words(
    fake_sink: Callable[..., Any], auditing: Callable[..., Audit]
) -> None:
    """A problem is never recorded as an allow, whatever its reason."""
    for reason in Reason:
        sink = fake_sink()
        await auditing(sink).decided(request_id=ID, decision=Problem(Slug.FORBIDDEN, reason))
        assert sink.record()["decision"] in ("deny", "error")


@pytest.mark.parametrize(
    "field", ["name", "deployment", "operation", "client", "tenant", "oid", "request_id"]
)
async def test_t23_naughty_strings_stay_one_parseable_line(
    field: str, fake_sink: Callable[..., Any], auditing: Callable[..., Audit]
) -> None:
    """Threat T23: no string in any caller-controlled field breaks a record, hides in it or makes it long."""
    for text in naughty():
        sink = fake_sink()
        asked = Asked(target="endpoint", name="n", operation="score")
        principal = CALLER
        if field in ("name", "deployment", "operation"):
            asked = replace(asked, **{field: text})
        elif field != "request_id":
            principal = replace(principal, **{field: text})
        await auditing(sink).decided(
            request_id=text if field == "request_id" else ID,
            decision=Deny(reason=Reason.UNKNOWN_ENDPOINT),
            principal=principal,
            asked=asked,
        )
        (line,) = sink.lines
        assert PRINTABLE.fullmatch(line), text
        assert b"<" not in line
        record = sink.record()
        assert len(record) == 19
        key = {"name": "route", "oid": "principal"}.get(field, field)
        assert len(record[key].encode("utf-8")) <= MAX_VALUE  # strict: an unpaired surrogate would raise here


@given(st.text(max_size=600))
def test_t23_a_cleaned_value_is_a_prefix_within_the_cap(text: str) -> None:
    """Threat T23: what is recorded is what came, cut, but for unpaired surrogates."""
    cleaned = clean(text)
    assert cleaned is not None
    assert len(cleaned.encode("utf-8")) <= MAX_VALUE
    assert text.encode("utf-8", "replace").decode("utf-8").startswith(cleaned)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_t23_every_record_is_one_line_of_printable_ascii_that_parses_back(record: dict[str, object]) -> None:
    """Threat T23, for any content at all."""
    line = encode(record)
    assert PRINTABLE.fullmatch(line)
    assert json.loads(line) == record


async def test_r03_a_record_names_no_group_and_no_role(
    audit: Audit, sink: Any, decide: Callable[..., Any]
) -> None:
    """Threat R03: fields are listed one by one; what else a principal carries stays out."""
    principal = replace(CALLER, groups=frozenset({"MARKER-group"}), app_roles=frozenset({"MARKER-role"}))
    await decide(audit, ID, principal=principal)
    assert b"MARKER" not in sink.lines[0]
