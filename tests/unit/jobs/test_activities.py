"""Watching, cancelling, ending and telling; and what a call by hand comes to."""

from __future__ import annotations

import json
import logging
from copy import replace
from typing import Any

import pytest

from shared.job import Intent, Progress
from shared.jobs import ids
from shared.jobs.activities import ActivityFailed
from shared.jobs.azureml import Later, Lost, Refused
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.model import Reason
from shared.problem import Undecidable
from tests.fakes import TERMS, FakeAnswer, a_policy, a_rule
from tests.jobfakes import JOBS_URL, NOW, SECRET, an_intent
from tests.unit.jobs.scene import Scene, churn

HOOK = "https://hooks.contoso.com/jobs"
OTHER = "https://churn.northeurope.inference.ml.azure.com/jobs"


async def submitted(*args: Any, **options: Any) -> Scene:
    """Return the scene of a job that Azure ML has, and that nobody has looked at."""
    scene = Scene(*args, **options)
    step = await scene.do("submit")
    scene.store.put(scene.job, upstream=step.upstream)
    scene.recorder.jobs.clear()
    scene.azure.calls.clear()
    scene.azure.wheres.clear()
    return scene


# Looking.


async def test_a_look_tells_status_outputs_and_deployment() -> None:
    """What the endpoint reports goes into the job's progress."""
    scene = await submitted()
    scene.azure.statuses, scene.azure.deployments = ["Completed"], ["blue"]
    step = await scene.do("poll")
    assert step == Step(status="Completed", outputs=scene.azure.outputs, deployment="blue")


async def test_each_change_of_status_is_on_record_once() -> None:
    """A look that sees nothing new writes nothing; one that does says what it was before."""
    scene = await submitted()
    scene.azure.statuses = ["Queued", "Queued", "Running", "NotResponding", "Running", "Completed"]
    for _ in range(6):
        step = await scene.do("poll")
        scene.store.put(scene.job, status=step.status)
    assert scene.recorder.states == [
        ("NotStarted", "Queued"),
        ("Queued", "Running"),
        ("Running", "NotResponding"),
        ("NotResponding", "Running"),
        ("Running", "Completed"),
    ]
    assert {progress.upstream for _, progress, _ in scene.recorder.jobs} == {"batchjob-0"}


async def test_a_repeated_record_differs_in_nothing() -> None:
    """The activity ran, and its process died before Durable knew: a reader can tell the second record from a new change."""
    scene = await submitted()
    await scene.do("poll")
    scene.azure.taken[0]["looks"] = 0
    await scene.do("poll")
    one, other = scene.recorder.jobs
    assert one == other


async def test_a_change_that_cannot_be_recorded_is_not_shown() -> None:
    """With a required audit sink the status stays what it was until the record is written."""
    scene = await submitted()
    scene.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    step = await scene.do("poll")
    assert (step.status, step.code) == (None, "audit-unavailable")


async def test_another_deployment_than_before_is_on_record() -> None:
    """The endpoint's default was moved while the job ran: a record says so, once."""
    scene = await submitted()
    scene.azure.statuses, scene.azure.deployments = ["Running"], ["blue", "green", "green"]
    scene.store.put(scene.job, status="Running")
    for _ in range(3):
        step = await scene.do("poll")
        scene.store.put(scene.job, deployment=step.deployment)
    assert [(p.status, p.deployment, p.code) for _, p, _ in scene.recorder.jobs] == [
        ("Running", "green", "deployment-changed")
    ]


async def test_another_deployment_than_was_asked_for_is_on_record() -> None:
    """The caller named one, and the endpoint runs another."""
    rules = (a_rule(job=TERMS, deployments=frozenset({"blue"})),)
    scene = await submitted(an_intent(deployment="blue"), policy=a_policy(churn(rules=rules)))
    scene.azure.statuses, scene.azure.deployments = ["Running"], ["green"]
    scene.store.put(scene.job, status="Running")
    await scene.do("poll")
    assert [progress.code for _, progress, _ in scene.recorder.jobs] == ["deployment-changed"]


@pytest.mark.parametrize(
    ("status", "wished", "late", "code"),
    [
        pytest.param("Completed", False, False, None, id="a success needs no code"),
        pytest.param("Completed", True, False, None, id="nor one that was to be cancelled"),
        pytest.param("Failed", False, False, "job-failed", id="it failed at Azure ML"),
        pytest.param("Canceled", True, False, None, id="its owner knows why"),
        pytest.param("Canceled", False, True, "job-timeout", id="its time was over"),
        pytest.param("Canceled", True, True, None, id="the owner's wish comes first"),
        pytest.param("Canceled", False, False, "canceled-at-azure", id="somebody ended it past the gate"),
    ],
)
async def test_the_code_says_why_a_job_ended(status: str, wished: bool, late: bool, code: str | None) -> None:
    """One fixed word, or none."""
    scene = await submitted(an_intent(job_timeout=100.0))
    scene.azure.statuses = [status]
    if wished:
        await scene.wish_for_its_end()
    scene.clock.move(100 if late else 0)
    step = await scene.do("poll")
    assert (step.status, step.code, step.cancel) == (status, code, wished or late)


async def test_a_look_sees_the_wish_to_cancel() -> None:
    """The note is enough; the event that wakes the orchestration may be lost."""
    scene = await submitted()
    await scene.wish_for_its_end()
    assert (await scene.do("poll")).cancel


BUSY = [
    pytest.param(
        Later(45.0, "upstream-rate-limited"), "upstream-rate-limited", 45.0, id="the service is busy"
    ),
    pytest.param(Later(None, "upstream-timeout"), "upstream-timeout", 0.0, id="it does not answer"),
    pytest.param(Refused(400), "upstream-400", 0.0, id="it refuses"),
    pytest.param(Lost(), "upstream-not-found", 0.0, id="it knows no such job, or not yet"),
]


@pytest.mark.parametrize(("fault", "code", "wait"), BUSY)
async def test_a_look_that_fails_ends_nothing(fault: Exception, code: str, wait: float) -> None:
    """The job is looked at again, and a wish to cancel is passed on all the same."""
    scene = await submitted()
    scene.azure.statuses = [fault]
    await scene.wish_for_its_end()
    assert await scene.do("poll") == Step(code=code, wait=wait, cancel=True)
    assert scene.recorder.jobs == []


async def test_the_name_is_the_one_that_was_written_down() -> None:
    """The store may show an old progress: the note knows the job's name, and is asked first."""
    scene = await submitted()
    scene.store.put(scene.job, upstream=None)
    assert (await scene.do("poll")).status == "Queued"
    scene.store.put(scene.job, upstream="another-job")
    assert (await scene.do("poll")).status == "Running"


async def test_outputs_cannot_be_taken_for_objects() -> None:
    """Durable's library makes objects of members that look like its own: such names never reach it."""
    scene = await submitted()
    scene.azure.statuses = ["Completed"]
    trap = {"__class__": "Path", "__module__": "pathlib", "__data__": "/"}
    scene.azure.outputs = {**trap, "score": {"uri": "u", **trap}}
    step = await scene.do("poll")
    assert step.outputs is not None
    assert "__class__" not in json.dumps(step.outputs)
    assert step.outputs["score"]["uri"] == "u"


# Where a job is looked for once the policy says something else.


async def test_a_job_is_looked_for_where_the_policy_says() -> None:
    """Address, scope and time limit are those of the policy of today."""
    scene = await submitted()
    await scene.do("poll")
    (where,) = scene.azure.wheres
    assert (where.url, where.timeout) == (JOBS_URL, 60.0)


@pytest.mark.parametrize("policy", [pytest.param(None, id="broken"), pytest.param(a_policy(), id="lost")])
async def test_a_sealed_job_ends_without_the_policy(policy: Any) -> None:
    """The policy breaks or loses its last batch endpoint: a sealed intent still says where the job runs."""
    scene = await submitted(secret=SECRET)
    scene.policy = policy
    assert (await scene.do("poll")).status == "Queued"
    await scene.wish_for_its_end()
    await scene.do("cancel")
    assert scene.azure.taken[0]["cancelled"]


@pytest.mark.parametrize("policy", [pytest.param(None, id="broken"), pytest.param(a_policy(), id="lost")])
async def test_an_unsealed_job_waits_for_its_policy(policy: Any) -> None:
    """T10: without seals an address out of the store is not believed: nothing is asked until the policy is mended."""
    scene = await submitted()
    scene.policy = policy
    assert await scene.do("poll") == Step(code="gateway-misconfigured", wait=60.0)
    assert scene.azure.calls == []


@pytest.mark.parametrize(
    ("url", "management", "allowed", "asked"),
    [
        ("http://127.0.0.1:7100/jobs", "http://127.0.0.1:7100", True, True),
        ("http://127.0.0.1:7100/jobs", "http://127.0.0.1:7100", False, False),
        ("http://127.0.0.1:7100/jobs", "https://management.example.org", True, False),
        ("https://example.org/jobs", "http://127.0.0.1:7100", True, False),
    ],
)
async def test_on_a_laptop_an_unsealed_job_may_say_where_it_runs(
    url: str, management: str, allowed: bool, asked: bool
) -> None:
    """With GROUPGATE_ALLOW_HTTP this machine, and nothing else, is believed without a seal."""
    scene = await submitted(an_intent(url=url, management=management))
    scene.policy, scene.allow_http = None, allowed
    assert ((await scene.do("poll")).status is not None) == asked


async def test_a_job_is_found_where_it_was_started_when_its_endpoint_moves() -> None:
    """The policy has another address by now: who does not know the job there is not the last to be asked."""
    scene = await submitted(secret=SECRET)
    scene.policy = a_policy(replace(churn(), url=OTHER))
    look = scene.azure.status

    async def only_at_home(where: Any, name: str) -> Any:
        if where.url == OTHER:
            raise Lost
        return await look(where, name)

    scene.azure.status = only_at_home  # type: ignore[method-assign]
    assert (await scene.do("poll")).status == "Queued"


# Cancelling.


async def test_a_wish_is_passed_on_to_azure() -> None:
    """The workspace to ask is the one that the endpoint itself names for the job."""
    scene = await submitted()
    await scene.wish_for_its_end()
    assert await scene.do("cancel") == Step()
    assert scene.azure.taken[0]["cancelled"]
    assert scene.azure.calls == ["status", "cancel"]


async def test_a_job_whose_time_is_over_is_cancelled() -> None:
    """The policy's bound needs nobody's wish."""
    scene = await submitted(an_intent(job_timeout=100.0))
    scene.clock.move(100)
    await scene.do("cancel")
    assert scene.azure.taken[0]["cancelled"]


async def test_a_job_that_is_over_is_not_cancelled() -> None:
    """It has ended between two looks; the next one tells."""
    scene = await submitted()
    scene.azure.statuses = ["Completed"]
    await scene.wish_for_its_end()
    assert await scene.do("cancel") == Step()
    assert scene.azure.calls == ["status"]


async def test_a_job_whose_endpoint_is_gone_is_cancelled_all_the_same() -> None:
    """Nobody answers at the scoring URI any more; the management API knows the job by the policy's workspace."""
    scene = await submitted()
    scene.azure.statuses = [Later(None, "upstream-unreachable")]
    await scene.wish_for_its_end()
    await scene.do("cancel")
    assert scene.azure.taken[0]["cancelled"]


async def test_what_an_endpoint_does_not_know_is_not_cancelled_by_its_name() -> None:
    """T10: a name that the endpoint has not may be that of any job in the workspace."""
    scene = await submitted(secret=SECRET)
    scene.azure.statuses = [Lost()]
    await scene.wish_for_its_end()
    assert await scene.do("cancel") == Step(code="upstream-not-found")
    assert "cancel" not in scene.azure.calls


def forged(scene: Scene, where: str) -> None:
    """Have somebody say that the job is `other` at Azure ML."""
    if where == "note":
        scene.store.notes[ids.job_note(scene.job)] = {"name": "other", "seal": "0" * 64}
    else:
        scene.store.notes.pop(ids.job_note(scene.job), None)
        scene.store.put(scene.job, upstream="other")


@pytest.mark.parametrize("where", ["note", "progress"])
async def test_a_name_that_somebody_made_up_is_not_believed(where: str) -> None:
    """T10, E10: whoever holds the host's keys has the gate look at, and cancel, no job but the caller's own."""
    scene = await submitted(secret=SECRET)
    scene.azure.taken.append({**scene.azure.taken[0], "name": "other", "body": an_intent().body})
    forged(scene, where)
    await scene.wish_for_its_end()
    assert (await scene.do("poll")).status == "Queued"
    assert scene.recorder.jobs[-1][1].upstream == "batchjob-0"
    await scene.do("cancel")
    assert [job["cancelled"] for job in scene.azure.taken] == [True, False]


@pytest.mark.parametrize("where", ["note", "progress"])
async def test_a_made_up_name_of_a_job_that_is_nowhere_asks_nothing(where: str) -> None:
    """E10: what no list shows is neither watched nor cancelled by a name that nobody vouches for."""
    scene = await submitted(secret=SECRET)
    scene.azure.taken.clear()
    forged(scene, where)
    await scene.wish_for_its_end()
    assert await scene.do("poll") == Step(code="upstream-not-found", cancel=True)
    assert await scene.do("cancel") == Step(code="upstream-not-found")
    assert set(scene.azure.calls) == {"find"}


async def test_no_job_is_taken_for_submitted_by_a_made_up_note() -> None:
    """E10: the note without a seal counts for nothing; the job is submitted as ever."""
    scene = Scene(secret=SECRET)
    forged(scene, "note")
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert scene.sent == 1


async def test_a_job_that_nobody_can_place_is_not_cancelled() -> None:
    """T10: the policy is broken and nothing is sealed: the management API is not asked by what the store says."""
    scene = await submitted()
    scene.policy = None
    await scene.wish_for_its_end()
    assert await scene.do("cancel") == Step(code="gateway-misconfigured", wait=60.0)
    assert scene.azure.calls == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Later(5.0, "upstream-unavailable"), "upstream-unavailable"),
        (Refused(0, "workspace-unknown"), "workspace-unknown"),
    ],
)
async def test_a_cancel_that_fails_says_why(fault: Later | Refused, code: str) -> None:
    """It is asked again; the bound on that is the orchestration's."""
    scene = await submitted()
    scene.azure.uncancellable = fault
    await scene.wish_for_its_end()
    assert (await scene.do("cancel")).code == code


# The end.


async def test_the_end_is_on_record() -> None:
    """The last record of a job says that it has ended, how, and why."""
    scene = Scene(status="Failed", code="job-failed", upstream="batchjob-0")
    assert await scene.do("end") == Step(ended=True)
    ((_, progress, previous),) = scene.recorder.jobs
    assert (progress.status, progress.code, progress.ended, previous) == (
        "Failed",
        "job-failed",
        True,
        "Failed",
    )


async def test_an_end_that_the_store_does_not_show_yet_is_not_recorded() -> None:
    """The activity records what it reads, never what somebody says who calls it."""
    scene = Scene(status="Running")
    assert await scene.do("end") == Step()
    assert scene.recorder.jobs == []


async def test_an_end_that_is_not_written_is_not_an_end() -> None:
    """A required audit sink is down: the job stays unended."""
    scene = Scene(status="Completed")
    scene.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    assert not (await scene.do("end")).ended


async def test_an_intent_that_was_forged_ends_as_refused() -> None:
    """T10: somebody starts an orchestration by hand that says it is complete: the audit is not told that."""
    scene = Scene(an_intent(), secret=SECRET, status="Completed")
    await scene.do("end")
    ((_, progress, _),) = scene.recorder.jobs
    assert (progress.status, progress.code) == ("Failed", "intent-refused")


# Telling.


def told(today: str | None = HOOK) -> Scene:
    """Return the scene of a completed job whose end is to be told to HOOK, and a policy that has `today` by now."""
    policy = a_policy(churn(rules=(a_rule(job=replace(TERMS, notify=today)),)))
    intent = Sealer(SECRET).seal(an_intent(notify=HOOK))
    scene = Scene(intent, secret=SECRET, policy=policy, status="Completed", ended=True)
    scene.transport.script = [FakeAnswer(204)]
    return scene


async def test_the_end_is_told() -> None:
    """One POST to the address of the rule."""
    scene = told()
    assert await scene.do("notify") == Step()
    (sent,) = scene.transport.sent
    assert (sent["method"], sent["url"]) == ("POST", HOOK)


async def test_a_receiver_that_is_down_makes_the_activity_fail() -> None:
    """Durable tries again because it raises; the text names no address."""
    scene = told()
    scene.transport.script = [FakeAnswer(500)]
    with pytest.raises(ActivityFailed, match=r"^groupgate_notify: 500$"):
        await scene.do("notify")


async def test_nobody_is_told_whom_the_policy_does_not_name_any_more() -> None:
    """The policy of today decides: another address, or none, and nothing is sent."""
    for today in (None, "https://hooks.contoso.com/other"):
        scene = told(today)
        await scene.do("notify")
        assert scene.transport.sent == []


async def test_the_end_is_told_though_the_policy_is_broken() -> None:
    """The address in a sealed intent was allowed when the job was accepted, and no policy says otherwise."""
    scene = told()
    scene.policy = None
    await scene.do("notify")
    assert len(scene.transport.sent) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda scene: scene.store.put(scene.job, status="Running"), id="a job that runs"),
        pytest.param(
            lambda scene: setattr(scene, "sealer", Sealer(SECRET + "!")),
            id="a seal that does not hold",
        ),
        pytest.param(lambda scene: setattr(scene, "secret", None), id="no secret to sign with"),
    ],
)
async def test_nobody_is_told(change: Any) -> None:
    """T10: whoever calls the activity by hand gets nothing sent that would not be sent anyway."""
    scene = told()
    change(scene)
    await scene.do("notify")
    assert scene.transport.sent == []


@pytest.mark.parametrize("missing", [False, True], ids=["the store is down", "the store does not show it"])
async def test_an_end_that_cannot_be_read_is_told_later(missing: bool) -> None:
    """F44: an answer would end Durable's tries, and nobody would be told: the activity fails."""
    scene = told()
    jobs = scene.store.jobs
    if missing:
        scene.store.jobs = {}
    else:
        scene.store.fault = Undecidable(Reason.JOB_STORE_UNAVAILABLE)
    with pytest.raises(ActivityFailed, match=r"^groupgate_notify: (?:job-store-unavailable|no such job)$"):
        await scene.do("notify")
    scene.store.jobs, scene.store.fault = jobs, None
    await scene.do("notify")
    assert len(scene.transport.sent) == 1


# Calls by hand.


EVERY = ["submit", "poll", "cancel", "end", "notify"]
STRANGE = [
    pytest.param("", id="nothing"),
    pytest.param("no-such-job", id="no id"),
    pytest.param("../" + ids.new_job("churn", "t", "o"), id="a path"),
    pytest.param(ids.new_job("churn", "t", "o"), id="an unknown id"),
    pytest.param({"intent": {"url": "https://example.org"}}, id="an intent"),
    pytest.param(["x"], id="a list"),
    pytest.param(17, id="a number"),
]


async def idle(scene: Scene, name: str, job: Any = None) -> None:
    """Assert that the activity finds nothing to do; one that is to tell a job's end fails then, to be tried again."""
    given = scene.job if job is None else job
    if name != "notify" or not (isinstance(given, str) and ids.is_job(given)):
        assert await scene.do(name, job) == Step()
        return
    with pytest.raises(ActivityFailed, match="no such job"):
        await scene.do(name, job)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("job", STRANGE)
async def test_an_id_that_is_none_does_nothing(name: str, job: Any) -> None:
    """T10: only the id of a stored job is taken, and nothing else is looked at."""
    scene = await submitted()
    await idle(scene, name, "" if job is None else job)
    assert scene.azure.calls == []
    assert scene.recorder.jobs == []


@pytest.mark.parametrize("name", EVERY)
async def test_a_job_that_is_over_does_nothing(name: str) -> None:
    """T10: nobody brings a job back to life by hand, whatever is shown of it."""
    scene = await submitted()
    await scene.wish_for_its_end()
    scene.store.put(scene.job, running=False)
    await idle(scene, name)
    assert scene.azure.calls == []
    assert scene.recorder.jobs == []


async def test_an_end_is_recorded_once_where_it_is_shown() -> None:
    """A late delivery, or a call by hand, finds the job ended, and writes nothing more."""
    scene = Scene(status="Completed", ended=True)
    assert await scene.do("end") == Step(ended=True)
    assert scene.recorder.jobs == []


@pytest.mark.parametrize("name", ["submit", "poll", "cancel"])
async def test_a_final_status_is_final(name: str) -> None:
    """A late delivery, or a call by hand, changes nothing of a job that only waits for its end to be recorded."""
    scene = await submitted()
    await scene.wish_for_its_end()
    scene.store.put(scene.job, status="Completed")
    assert await scene.do(name) == Step()
    assert scene.azure.calls == []


@pytest.mark.parametrize("name", EVERY)
async def test_an_instance_under_another_name_does_nothing(name: str) -> None:
    """T10: a genuine intent was put under another id: it is not that job."""
    scene = await submitted(secret=SECRET)
    other = ids.new_job("churn", "t", "o")
    scene.store.jobs[other] = scene.stored
    await idle(scene, name, other)
    assert scene.azure.calls == []


async def test_nobody_cancels_a_job_by_calling_the_activity() -> None:
    """I07: without its owner's wish, and before its time, the activity asks nothing."""
    scene = await submitted()
    assert await scene.do("cancel") == Step()
    assert scene.azure.calls == []


async def test_submitting_by_hand_sends_no_second_job() -> None:
    """T10: for a job that Azure ML has, the activity says its name, however often it is called."""
    scene = await submitted()
    for _ in range(5):
        assert (await scene.do("submit")).upstream == "batchjob-0"
    assert scene.azure.calls == []


@pytest.mark.parametrize("name", ["poll", "cancel"])
async def test_a_seal_that_does_not_hold_asks_nothing(name: str) -> None:
    """T10: neither the endpoint nor the management API hears of a job that the gate did not seal."""
    scene = await submitted(secret=SECRET)
    await scene.wish_for_its_end()
    forged = replace(scene.intent, management="https://management.example.org")
    scene.store.jobs[scene.job] = replace(scene.stored, intent=forged)
    await scene.do(name)
    assert scene.azure.calls == []


@pytest.mark.parametrize("name", EVERY)
async def test_a_bug_tells_its_kind_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Durable stores the text of what is raised, and the host logs it with its causes: no text of a value goes there."""
    scene = told() if name == "notify" else await submitted()

    def bug(*_args: object) -> None:
        raise ValueError("Bearer eyJ secret body")

    scene.store.get = bug  # type: ignore[assignment]
    with caplog.at_level(logging.DEBUG), pytest.raises(ActivityFailed) as raised:
        await scene.do(name)
    assert str(raised.value) == f"groupgate_{name}: ValueError"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "secret" not in caplog.text


async def test_what_an_activity_says_is_json() -> None:
    """Durable writes it as JSON and gives it back: the same is read from it."""
    scene = await submitted()
    said = await scene.activities.poll(scene.store, scene.job)
    assert json.loads(json.dumps(said)) == said
    assert said["version"] == Step().version


def test_what_is_stored_holds_no_more_than_it_needs() -> None:
    """An intent has no token and no name of its owner: who and what, and the body that was checked."""
    fields = set(Intent.__struct_fields__) | set(Progress.__struct_fields__)
    assert not {name for name in fields if "token" in name or "name" in name}
    assert an_intent().accepted == NOW
