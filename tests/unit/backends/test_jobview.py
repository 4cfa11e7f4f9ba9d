"""What a caller reads of a job: Azure ML's shape, and nothing of anybody else or of how jobs are kept."""

from __future__ import annotations

from typing import Any

import pytest

from shared.backends import jobview
from shared.job import FINAL, Progress
from shared.model import Reply
from tests.fakes import ALICE, TENANT, headers_of
from tests.house import document
from tests.jobfakes import JOBS_URL, WORKSPACE, a_stored, an_intent

NAME = "88b2072e-0c63ceae09c89d2d-00000000000000000000000000000001"
PATH = f"/endpoints/churn/jobs/{NAME}"
MINE = an_intent(job=NAME, deployment="blue", seal="5ea1" * 16, notify="https://hooks.contoso.com/churn")
OUTPUTS = {"score": {"uri": "https://contoso.blob.core.windows.net/scores/1/"}}


def of(**changes: Any) -> dict[str, Any]:
    """Return the properties that are told of a job that has come so far."""
    properties: dict[str, Any] = document(jobview.status(a_stored(MINE, **changes)))["properties"]
    return properties


def answers(**changes: Any) -> list[Reply]:
    """Return every answer that there is about a job that has come so far."""
    stored = a_stored(MINE, **changes)
    return [
        jobview.accepted(MINE, stored.progress),
        jobview.status(stored),
        jobview.cancelling(stored),
        jobview.listing([stored]),
    ]


@pytest.mark.parametrize("running", [True, False])
def test_i07_no_answer_tells_of_the_owner_the_store_or_azure_ml(running: bool) -> None:
    """I07, I01: no owner, rule, address, workspace, seal, name at Azure ML, management URL or key of Durable."""
    for reply in answers(running=running, upstream="batchjob-1", outputs=OUTPUTS, polls=3, attempt=1):
        told = repr(reply.headers) + repr(reply.body)
        for hidden in (
            ALICE, TENANT, MINE.rule, MINE.request_id, MINE.seal, MINE.asked, JOBS_URL, WORKSPACE, "hooks.contoso",
            "batchjob-1", "code=", "/runtime/", "webhooks", "instance", "groupgate_job",
        ):  # fmt: skip
            assert hidden not in told


def test_a_job_reads_as_azure_ml_tells_it() -> None:
    """Protocols, 5.2: `id` whose last segment is `name`, `type`, and `properties.status`."""
    reply = jobview.status(a_stored(MINE, status="Running"))
    assert document(reply) == {
        "id": PATH,
        "name": NAME,
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs",
        "properties": {"status": "Running", "deployment": "blue"},
        "systemData": {"createdAt": "2025-06-15T15:06:40+00:00"},
    }
    assert (reply.status, headers_of(reply)["content-type"]) == (200, "application/json")


def test_what_is_accepted_says_where_and_when_to_ask() -> None:
    """Submit: 202 with Location and Retry-After."""
    reply = jobview.accepted(MINE, Progress())
    assert (reply.status, headers_of(reply)["location"], headers_of(reply)["retry-after"]) == (202, PATH, "2")
    assert document(reply)["properties"]["status"] == "NotStarted"


@pytest.mark.parametrize(
    ("wait", "told"), [(0.0, "2"), (1.9, "2"), (3.0, "3"), (4.5, "5"), (60.0, "60"), (float("inf"), "86400")]
)
def test_nobody_is_asked_to_look_sooner_than_the_gate_looks(wait: float, told: str) -> None:
    """Retry-After: whole seconds until something new can be known."""
    assert headers_of(jobview.status(a_stored(MINE, wait=wait)))["retry-after"] == told


@pytest.mark.parametrize("status", sorted(FINAL))
@pytest.mark.parametrize("running", [True, False])
def test_a_final_status_stands_and_asks_nobody_to_come_again(status: str, running: bool) -> None:
    """Protocols, 5.3: final is final, whether or not the orchestration has cleared up after it."""
    stored = a_stored(MINE, status=status, running=running, cancel=True, outputs=OUTPUTS)
    reply = jobview.status(stored)
    assert "retry-after" not in headers_of(reply)
    assert document(reply)["properties"] == {"status": status, "deployment": "blue", "outputs": OUTPUTS}
    assert jobview.is_final(jobview.seen(stored))


@pytest.mark.parametrize(
    "status", ["NotStarted", "Running", "NotResponding", "Paused", "Unknown", "Finalizing"]
)
def test_a_status_that_may_change_asks_to_come_again(status: str) -> None:
    """Protocols, 9.1, 11: `NotResponding` and `Paused` are not final."""
    reply = jobview.status(a_stored(MINE, status=status))
    assert headers_of(reply)["retry-after"] == "2"
    assert document(reply)["properties"]["status"] == status


@pytest.mark.parametrize("running", [True, False])
def test_a_job_that_the_gate_has_ended_stands_as_it_was_ended(running: bool) -> None:
    """Whatever the status is called: nobody looks any more, so nobody is asked to come again."""
    reply = jobview.status(a_stored(MINE, status="Unknown", ended=True, running=running))
    assert document(reply)["properties"]["status"] == "Unknown"
    assert "retry-after" not in headers_of(reply)


def test_a_job_that_stopped_without_a_word_has_failed() -> None:
    """An orchestration that was terminated, or that broke, runs no more: who asks reads so, and does not wait for ever."""
    reply = jobview.status(a_stored(MINE, status="Running", running=False))
    assert document(reply)["properties"]["status"] == "Failed"
    assert document(reply)["properties"]["error"] == {"code": "orchestration-failed"}
    assert "retry-after" not in headers_of(reply)


def test_why_a_job_ended_or_waits_is_told_as_a_code_alone() -> None:
    """R03, I01: the gate's own word, never the service's text."""
    assert of(status="Failed", ended=True, running=False, code="upstream-400")["error"] == {
        "code": "upstream-400"
    }
    assert of(status="NotStarted", code="upstream-auth-failed")["error"] == {"code": "upstream-auth-failed"}
    assert "error" not in of(status="Running")


def test_a_job_whose_end_is_asked_for_says_so_until_it_has_ended() -> None:
    """Cancel: `CancelRequested`, as Azure ML has it, from the answer to the request on."""
    reply = jobview.cancelling(a_stored(MINE, status="Running"))
    assert (reply.status, headers_of(reply)["location"]) == (202, PATH)
    assert document(reply)["properties"]["status"] == "CancelRequested"
    assert of(status="Running", cancel=True)["status"] == "CancelRequested"
    assert of(status="Canceled", cancel=True, ended=True, running=False)["status"] == "Canceled"


def test_the_deployment_that_runs_the_job_is_told_rather_than_the_one_that_was_asked_for() -> None:
    """Deployment changes: what the endpoint says of it stands, else what was asked for."""
    assert of(deployment="green")["deployment"] == "green"
    told = document(jobview.status(a_stored(an_intent(deployment=None))))
    assert "deployment" not in told["properties"]


def test_a_list_keeps_its_order_and_reads_alike() -> None:
    """List: each job as its own address tells it."""
    jobs = [a_stored(MINE, status="Running"), a_stored(an_intent(), status="Completed", running=False)]
    told = document(jobview.listing(jobs))["value"]
    assert told == [document(jobview.status(job)) for job in jobs]
    assert document(jobview.listing([])) == {"value": []}
