"""What is recorded of a batch job, and that readers of the trail take it for nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import replace
from pathlib import Path
from typing import Any

import pytest

from shared.audit import Audit, verify
from shared.audit.line import MAX_VALUE
from shared.cli.main import main
from shared.job import Intent, Progress
from shared.model import Asked, Reason
from shared.operations import SUBMIT
from shared.problem import Undecidable

ID = "44444444-0000-4000-8000-000000000004"
JOB = f"{'a' * 8}-{'b' * 16}-{'c' * 32}"
INTENT = Intent(
    job=JOB,
    endpoint="churn",
    tenant="11111111-0000-4000-8000-000000000001",
    principal="22222222-0000-4000-8000-000000000002",
    kind="user",
    client="MARKER-client",
    app_roles=("MARKER-role",),
    rule="analysts",
    request_id=ID,
    accepted=1_784_000_000.0,
    deployment="MARKER-deployment",
    body='{"properties":"MARKER-body"}',
    asked="MARKER-asked",
    url="https://MARKER-url/jobs",
    scope="MARKER-scope",
    workspace="MARKER-workspace",
    management="MARKER-management",
    job_timeout=86_400.0,
    notify="https://MARKER-notify",
    seal="MARKER-seal",
)
RUNNING = Progress(status="Running", upstream="batchjob-1", outputs={"MARKER-output": {"Uri": "MARKER"}})


@pytest.mark.parametrize("fault", [OSError(28, "full"), TimeoutError(), RuntimeError("boom")])
async def test_f43_a_required_sink_that_fails_stops_the_job_where_it_is(
    fault: Exception, fake_sink: Callable[..., Any], auditing: Callable[..., Audit]
) -> None:
    """R02, F43: a change that is not on record raises audit-unavailable, so that the step is done again."""
    with pytest.raises(Undecidable) as raised:
        await auditing(fake_sink(fault=fault)).job(INTENT, RUNNING, previous="Queued")
    assert raised.value.reason is Reason.AUDIT_UNAVAILABLE


async def test_a_best_effort_sink_that_fails_lets_the_job_go_on(
    fake_sink: Callable[..., Any], auditing: Callable[..., Audit]
) -> None:
    """R02: with `log` a record may be lost; the loss is counted."""
    audit = auditing(fake_sink(required=False, fault=OSError("gone")))
    await audit.job(INTENT, RUNNING, previous=None)
    assert audit.dropped == 1


async def test_a_job_record_names_owner_rule_states_and_the_job_at_azure_ml(audit: Audit, sink: Any) -> None:
    """Audit record of a job: joined to its submission by `request_id`, to its other records by `job`."""
    await audit.job(INTENT, RUNNING, previous="Queued")
    assert sink.record() == {
        "event": "job",
        "time": "2026-07-14T03:33:20.250Z",
        "request_id": ID,
        "instance": "i1",
        "process": "p1",
        "job": JOB,
        "route": "endpoint:churn",
        "tenant": "11111111-0000-4000-8000-000000000001",
        "principal": "22222222-0000-4000-8000-000000000002",
        "rule": "analysts",
        "state": "Running",
        "previous_state": "Queued",
        "upstream_job": "batchjob-1",
        "deployment": None,
        "code": None,
        "duplicate_suspected": False,
        "ended": False,
        "policy": "d" * 64,
    }


async def test_d10_what_may_have_run_twice_is_never_hidden(audit: Audit, sink: Any) -> None:
    """D10, F44: the end of a job whose submission is unclear says so, with its code."""
    end = Progress(status="Failed", code="job-timeout", duplicate_suspected=True, ended=True)
    await audit.job(INTENT, end, previous="CancelRequested")
    record = sink.record()
    assert (record["state"], record["code"], record["duplicate_suspected"], record["ended"]) == (
        "Failed",
        "job-timeout",
        True,
        True,
    )


async def test_r03_a_job_record_holds_no_body_address_or_claim(audit: Audit, sink: Any) -> None:
    """R03: fields are listed one by one; what the job reads, writes and tells stays out."""
    await audit.job(INTENT, RUNNING, previous=None)
    assert b"MARKER" not in sink.lines[0]


async def test_without_a_policy_running_jobs_are_recorded_all_the_same(sink: Any, clock: Any) -> None:
    """Batch: a policy that breaks leaves running jobs to end; `policy` is null then."""
    audit = Audit(sink, clock, policy_digest=None, instance="i1", process="p1")
    await audit.job(INTENT, RUNNING, previous=None)
    assert sink.record()["policy"] is None


async def test_t23_a_long_or_hostile_state_stays_one_short_line(audit: Audit, sink: Any) -> None:
    """T23: what Azure ML answers is data from outside as well."""
    await audit.job(
        INTENT, replace(RUNNING, status="\u202e" * 999, upstream="<\x1b>" * 999), previous="x" * 999
    )
    (line,) = sink.lines
    assert line.isascii()
    assert b"<" not in line
    record = sink.record()
    assert all(len(record[key].encode()) <= MAX_VALUE for key in ("state", "upstream_job", "previous_state"))


async def test_the_chain_holds_through_a_jobs_records(
    file_sink: Callable[..., Any], auditing: Callable[..., Audit], lines: Callable[[], list[bytes]]
) -> None:
    """T23: `previous` is the hash of the line before in a job's record as well, and stands there once."""
    audit = auditing(file_sink())
    await audit.job(INTENT, RUNNING, previous="Queued")
    await audit.job(INTENT, RUNNING, previous="Running")
    assert verify(lines()) == []
    assert [line.count(b'"previous":') for line in lines()] == [1, 1]


async def test_r01_a_jobs_records_neither_open_nor_close_the_call_that_submitted_it(
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """R01: the next start writes `unknown` for a submission without an outcome, whatever became of its job."""
    submit = Asked(target="endpoint", name="churn", operation=SUBMIT)
    sink = file_sink()
    audit = auditing(sink)
    await decide(audit, ID, asked=submit)
    await audit.job(INTENT, RUNNING, previous=None)
    answered = replace(INTENT, request_id="55555555-0000-4000-8000-000000000005")
    await decide(audit, answered.request_id, asked=submit)
    await audit.completed(request_id=answered.request_id, outcome="ok", status=202, duration_ms=1.0)
    await audit.job(answered, replace(RUNNING, status="Completed", ended=True), previous="Running")
    sink.close()
    again = file_sink(process="p2")
    await auditing(again, "p2").job(INTENT, RUNNING, previous=None)
    again.close()
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().splitlines()]
    unknown = [record["request_id"] for record in records if record.get("outcome") == "unknown"]
    assert unknown == [ID]


async def test_an_answer_that_no_model_gave_has_an_outcome_without_an_upstream_status(
    audit: Audit, sink: Any
) -> None:
    """Audit record: 202 for a stored job is `ok`; nothing was asked of Azure ML yet."""
    await audit.completed(request_id=ID, outcome="ok", status=202, bytes_out=120, duration_ms=3.0)
    record = sink.record()
    assert (record["status"], record["upstream_status"], record["outcome"]) == (202, None, "ok")


async def test_usage_counts_no_job_for_a_call(
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`groupgate usage`: a job's records are read, belong to the chain, and are no further requests."""
    audit = auditing(file_sink())
    await decide(audit, ID, asked=Asked(target="endpoint", name="churn", operation=SUBMIT))
    await audit.job(INTENT, RUNNING, previous=None)
    await audit.completed(request_id=ID, outcome="ok", status=202, duration_ms=1.0)
    await audit.job(INTENT, replace(RUNNING, status="Completed", ended=True), previous="Running")
    code = main(["usage", "--json", "--endpoints", str(tmp_path / "audit.jsonl")])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    counted = {name: count for name, count in json.loads(said.out)["total"].items() if count}
    assert counted == {"calls": 1, "ok": 1}
