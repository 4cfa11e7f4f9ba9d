"""Submitting: decided anew from scratch, sent once, and what becomes of an attempt of which nobody knows."""

from __future__ import annotations

import asyncio
import json
import uuid
from copy import replace
from itertools import pairwise
from typing import Any

import pytest

from shared.job import Progress
from shared.jobs import ids
from shared.jobs.attempts import BLIND, LONGEST_PATIENCE, PATIENCE
from shared.jobs.azureml import Later, Refused, Unclear
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.model import JobTerms, Kind, Lifetimes, Membership, Principal, Reason, Standing
from shared.places import parse
from shared.problem import Undecidable
from tests.fakes import (
    ANALYSTS,
    CONTRACTORS,
    TERMS,
    FakeMemberships,
    a_deny_rule,
    a_membership,
    a_policy,
    a_principal,
    a_rule,
)
from tests.jobfakes import JOBS_URL, NOW, SECRET, Taken, an_intent
from tests.unit.jobs.scene import Scene, churn

TIMEOUT = 60.0
"""Of a_batch()."""


async def test_an_allowed_job_is_sent_as_it_is_stored() -> None:
    """Body, deployment and key go as the intent says; the address, scope and time limit are the policy's."""
    intent = an_intent(deployment="blue", url="https://elsewhere.westeurope.inference.ml.azure.com/jobs")
    scene = Scene(intent, policy=a_policy(churn(rules=(a_rule(job=TERMS, deployments=frozenset({"blue"})),))))
    step = await scene.do("submit")
    assert step == Step(upstream="batchjob-0")
    (taken,) = scene.azure.taken
    assert (taken["body"], taken["where"].deployment) == (intent.body, "blue")
    assert (taken["where"].url, taken["where"].timeout) == (JOBS_URL, TIMEOUT)
    assert uuid.UUID(taken["key"]).version == 5


async def test_a_submitted_job_is_on_record() -> None:
    """One record: where it came from nothing, it has a name at Azure ML now."""
    scene = Scene()
    await scene.do("submit")
    ((intent, progress, previous),) = scene.recorder.jobs
    assert (intent, progress, previous) == (scene.intent, Progress(upstream="batchjob-0"), None)
    assert scene.recorder.decisions == []


async def test_every_attempt_has_the_same_key() -> None:
    """Whatever Azure ML makes of `repeatability_request-id`, one job has one."""
    scene = Scene(None, Unclear("upstream-timeout"), Unclear("upstream-timeout"))
    scene.azure.hidden = True
    keys = set()
    submit = scene.azure.submit

    async def seen(where: Any, body: str, *, key: str) -> Any:
        keys.add(key)
        return await submit(where, body, key=key)

    scene.azure.submit = seen  # type: ignore[method-assign]
    for _ in range(40):
        step = await scene.do("submit")
        scene.store.put(scene.job, attempt=max(step.attempt, scene.stored.progress.attempt))
        scene.clock.move(60)
    assert scene.sent == 3
    assert len(keys) == 1


DENIED = [
    pytest.param({"memberships": FakeMemberships(known=a_membership(Standing.OUT))}, id="membership is lost"),
    pytest.param({"policy": a_policy()}, id="the endpoint is gone from the policy"),
    pytest.param(
        {"policy": a_policy(churn(kind="online", operations=frozenset({"score"}), batch=None))},
        id="the endpoint is of another kind",
    ),
    pytest.param(
        {
            "policy": a_policy(
                churn(rules=(a_rule(id="others", groups=frozenset({CONTRACTORS}), job=TERMS),))
            ),
            "memberships": FakeMemberships(known=a_membership(Standing.OUT, CONTRACTORS)),
        },
        id="the rule on record is gone, and no other lets the caller in",
    ),
    pytest.param(
        {
            "policy": a_policy(
                churn(
                    rules=(
                        a_rule(
                            job=replace(
                                TERMS, inputs=(parse("https://contosodata.blob.core.windows.net/other/"),)
                            )
                        ),
                    )
                )
            )
        },
        id="the inputs are not allowed any more",
    ),
    pytest.param(
        {
            "policy": a_policy(
                churn(
                    rules=(
                        a_rule(
                            job=replace(
                                TERMS, outputs=(parse("https://contosodata.blob.core.windows.net/other/"),)
                            )
                        ),
                    )
                )
            )
        },
        id="the outputs are not allowed any more",
    ),
    pytest.param(
        {
            "policy": a_policy(churn(rules=(a_deny_rule(), a_rule(job=TERMS)))),
            "memberships": FakeMemberships(
                known=a_membership(Standing.IN, "6f1b2c3d-0000-4000-8000-000000000001", CONTRACTORS)
            ),
        },
        id="a deny rule matches by now",
    ),
    pytest.param(
        {"policy": a_policy(churn(rules=(a_rule(job=TERMS, callers=frozenset({Kind.APP})),)))},
        id="the caller's kind is not let in any more",
    ),
    pytest.param(
        {
            "policy": a_policy(
                churn(rules=(a_rule(job=TERMS, clients=frozenset({"44444444-0000-4000-8000-000000000001"})),))
            )
        },
        id="the caller's client is not let in any more",
    ),
]


@pytest.mark.parametrize("changed", DENIED)
async def test_a_job_that_is_not_allowed_any_more_is_not_sent(changed: dict[str, Any]) -> None:
    """E01, T10: between the 202 and the submission everything is decided anew; the job fails, and the audit says why."""
    scene = Scene()
    for name, value in changed.items():
        setattr(scene, name, value)
    step = await scene.do("submit")
    assert step == Step(status="Failed", code="forbidden")
    assert scene.azure.calls == []
    assert scene.recorder.states == [("NotStarted", "Failed")]
    assert len(scene.recorder.decisions) == 1


async def test_a_deployment_that_nobody_may_name_any_more_is_not_sent() -> None:
    """T10: the deployment is a part of what is decided."""
    scene = Scene(an_intent(deployment="blue"))
    assert (await scene.do("submit")).code == "forbidden"
    assert scene.azure.calls == []


async def test_another_rule_may_let_the_job_in_by_now() -> None:
    """The rule on record has another id than when the job was accepted: what counts is the decision."""
    scene = Scene(policy=a_policy(churn(rules=(a_rule(id="renamed", job=TERMS),))))
    assert (await scene.do("submit")).upstream == "batchjob-0"


async def test_claims_that_are_too_old_by_now_are_not_enough() -> None:
    """E01: what the request's claims proved they prove no longer: the directory is asked before anything is sent."""
    scene = Scene()
    scene.memberships = FakeMemberships(ask=a_membership())
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert [name for name, _ in scene.memberships.calls] == ["known", "ask"]


async def test_claims_are_as_old_as_they_were_issued() -> None:
    """E01: groups go to the membership with the time of the token that named them, and not as if they were of now."""
    scene = Scene(an_intent(groups=(ANALYSTS,), issued_at=int(NOW) - 60, app_roles=("Score.All",)))
    seen: list[Principal] = []

    def known(principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        seen.append(principal)
        return a_membership()

    scene.memberships.known = known  # type: ignore[method-assign]
    await scene.do("submit")
    assert seen == [
        a_principal(groups=frozenset({ANALYSTS}), issued_at=int(NOW) - 60, app_roles=frozenset({"Score.All"}))
    ]


async def test_who_is_no_member_any_more_ends_the_job_for_that() -> None:
    """E01: not for what a rule of others, whose group nobody asked about, would not let the job have."""
    scene = Scene()
    sees = a_rule(id="sees", groups=frozenset({CONTRACTORS}), job=JobTerms(see_all=True))
    scene.policy = a_policy(churn(rules=(a_rule(job=TERMS), sees)))
    out = a_membership(Standing.OUT)
    scene.memberships = FakeMemberships(known=out, ask=a_membership(Standing.OUT, CONTRACTORS))
    assert (await scene.do("submit")).code == "forbidden"
    assert [record["decision"].reason for record in scene.recorder.decisions] == [Reason.NOT_MEMBER]


async def test_outputs_outside_of_the_own_folder_are_not_sent() -> None:
    """T10: a rule that wants folders of their owners refuses a body that was stored without."""
    intent = an_intent()
    shared = json.loads(intent.body)
    shared["properties"]["OutputData"]["score"]["Uri"] = "https://contosodata.blob.core.windows.net/scores/"
    body = json.dumps(shared, separators=(",", ":"))
    scene = Scene(replace(intent, body=body))
    assert (await scene.do("submit")).code == "forbidden"
    anywhere = Scene(
        replace(intent, body=body),
        policy=a_policy(churn(rules=(a_rule(job=replace(TERMS, own_folder=False)),))),
    )
    assert (await anywhere.do("submit")).upstream == "batchjob-0"


FORGED = [
    pytest.param({"body": "{}"}, id="a body without anything"),
    pytest.param({"body": "not JSON"}, id="no JSON"),
    pytest.param({"kind": "emperor"}, id="a kind that there is not"),
    pytest.param({"body": an_intent().body}, id="the body of another job"),
    pytest.param(
        {"body": an_intent().body.replace("transactions", "..%2Fsecrets")},
        id="an address that was never checked",
    ),
    pytest.param(
        {"body": an_intent().body.replace('"tags":', '"compute":{"x":1},"tags":')},
        id="a member that nobody wrote",
    ),
]


@pytest.mark.parametrize("changes", FORGED)
async def test_what_the_gate_did_not_write_is_not_sent(changes: dict[str, Any]) -> None:
    """T10: an intent that somebody put into the store, without seals, is parsed and checked like a caller's body."""
    scene = Scene(an_intent(**changes))
    step = await scene.do("submit")
    assert step == Step(status="Failed", code="intent-refused")
    assert scene.azure.calls == []


async def test_a_seal_that_does_not_hold_sends_nothing() -> None:
    """T10: with GROUPGATE_JOBS_SECRET an unsealed or changed intent is refused, though policy and body allow it."""
    for intent in (an_intent(), an_intent(seal="0" * 64)):
        scene = Scene(intent, secret=SECRET)
        assert await scene.do("submit") == Step(status="Failed", code="intent-refused")
        assert scene.azure.calls == []


async def test_a_sealed_job_is_sent() -> None:
    """The gate's own seal holds."""
    scene = Scene(secret=SECRET)
    assert (await scene.do("submit")).upstream == "batchjob-0"


async def test_another_secret_does_not_end_what_may_run() -> None:
    """A job that was sent under the old secret waits for it: nothing is asked, and nothing is declared over."""
    scene = Scene(secret=SECRET)
    scene.store.notes[ids.sending_note(scene.job, 0)] = {"at": "0", "timeout": "1", "doubts": "0"}
    scene.sealer = Sealer(SECRET + "!")
    step = await scene.do("submit")
    assert (step.status, step.code, step.wait) == (None, "intent-refused", 60.0)
    assert scene.azure.calls == []


LATER = [
    pytest.param(
        lambda scene: setattr(scene, "policy", None), "gateway-misconfigured", 60.0, id="the policy is broken"
    ),
    pytest.param(
        lambda scene: setattr(
            scene, "memberships", FakeMemberships(ask=Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=30))
        ),
        "membership-unavailable",
        30.0,
        id="the directory is down",
    ),
    pytest.param(
        lambda scene: setattr(scene.store, "fault", Undecidable(Reason.JOB_STORE_UNAVAILABLE)),
        "job-store-unavailable",
        10.0,
        id="the store is down",
    ),
]


@pytest.mark.parametrize(("broken", "code", "wait"), LATER)
async def test_what_cannot_be_decided_is_asked_again(broken: Any, code: str, wait: float) -> None:
    """No job ends because something else is down, and none is sent."""
    scene = Scene()
    broken(scene)
    step = await scene.do("submit")
    assert (step.status, step.code, step.wait) == (None, code, wait)
    assert scene.azure.calls == []
    assert scene.recorder.jobs == []


async def test_what_an_audit_does_not_take_is_recorded_later() -> None:
    """F43: the job is at Azure ML already; the next run records it and sends nothing."""
    scene = Scene()
    scene.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    assert (await scene.do("submit")).code == "audit-unavailable"
    scene.recorder.fault = None
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert scene.sent == 1
    assert len(scene.recorder.jobs) == 1


ANSWERS = [
    pytest.param(Refused(400), Step(status="Failed", code="upstream-400"), id="a definite no ends the job"),
    pytest.param(
        Later(None, "upstream-unreachable"),
        Step(attempt=1, code="upstream-unreachable"),
        id="what was not sent may be sent again",
    ),
    pytest.param(
        Later(17.0, "upstream-rate-limited"),
        Step(attempt=1, code="upstream-rate-limited", wait=17.0),
        id="a busy service says when",
    ),
    pytest.param(
        Later(60.0, "upstream-auth-failed"),
        Step(attempt=1, code="upstream-auth-failed", wait=60.0),
        id="a missing role may come",
    ),
    pytest.param(
        Unclear("upstream-timeout"),
        Step(code="upstream-timeout"),
        id="an unclear answer keeps the attempt's number",
    ),
]


@pytest.mark.parametrize(("answer", "step"), ANSWERS)
async def test_what_azure_says(answer: Exception, step: Step) -> None:
    """Only a definite no gives the attempt's number free, and only a definite refusal ends the job."""
    assert await Scene(None, answer).do("submit") == step


async def test_a_job_that_was_not_taken_is_sent_again_unflagged() -> None:
    """Two definite noes, then a yes: one job, and no doubt."""
    scene = Scene(None, Later(None, "upstream-unreachable"), Later(1.0, "upstream-unavailable"))
    for attempt in (0, 1, 2):
        scene.store.put(scene.job, attempt=attempt)
        step = await scene.do("submit")
    assert step == Step(upstream="batchjob-0")
    assert not scene.recorder.flagged
    assert len(scene.azure.taken) == 1


async def test_a_job_whose_answer_was_lost_is_found_by_its_tag() -> None:
    """F39: what Azure ML took is adopted, not sent again."""
    scene = Scene(None, Taken())
    assert (await scene.do("submit")).code == "upstream-timeout"
    assert await scene.do("submit") == Step(upstream="batchjob-0")
    assert scene.sent == 1
    assert not scene.recorder.flagged
    assert scene.store.notes[ids.job_note(scene.job)] == {"name": "batchjob-0", "seal": ""}


async def test_a_job_that_is_not_found_waits_before_it_is_sent_again() -> None:
    """The list may lag: until PATIENCE has passed since the unclear answer, it is only looked for."""
    scene = Scene(None, Unclear("upstream-timeout"))
    await scene.do("submit")
    scene.clock.move(PATIENCE - 1)
    assert await scene.do("submit") == Step(code="submission-unclear")
    scene.clock.move(1)
    assert await scene.do("submit") == Step(attempt=1, duplicate_suspected=True, code="submission-unclear")
    assert scene.sent == 1


async def test_a_second_attempt_is_flagged_before_it_is_sent() -> None:
    """The audit names the suspicion first; a sink that does not take it keeps the attempt from being made."""
    scene = Scene(None, Unclear("upstream-timeout"))
    await scene.do("submit")
    scene.clock.move(PATIENCE)
    scene.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    assert (await scene.do("submit")).attempt == 0
    scene.recorder.fault = None
    step = await scene.do("submit")
    assert scene.recorder.flagged
    assert scene.sent == 1
    scene.store.put(scene.job, attempt=step.attempt, duplicate_suspected=True)
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert scene.sent == 2
    assert all(progress.duplicate_suspected for _, progress, _ in scene.recorder.jobs)


async def test_a_job_that_is_listed_late_is_adopted_by_the_second_attempt() -> None:
    """It is looked for once more before another one is sent."""
    scene = Scene(None, Taken())
    scene.azure.hidden = True
    await scene.do("submit")
    scene.clock.move(PATIENCE)
    step = await scene.do("submit")
    scene.store.put(scene.job, attempt=step.attempt, duplicate_suspected=True)
    scene.azure.hidden = False
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert len(scene.azure.taken) == 1


async def test_an_answer_that_came_late_is_known_to_the_next_attempt() -> None:
    """The attempt in doubt was answered after all, and wrote that down: nothing is sent again, though nobody can look."""
    scene = Scene(attempt=1, duplicate_suspected=True)
    scene.azure.unsearchable = Refused(404)
    scene.store.notes[ids.job_note(scene.job)] = {"name": "batchjob-7"}
    assert (await scene.do("submit")).upstream == "batchjob-7"
    assert scene.azure.calls == []


async def test_an_attempt_that_said_nothing_may_still_be_under_way() -> None:
    """Without an unclear answer it is counted from when its call must have ended, not from when it began."""
    scene = Scene()
    scene.store.notes[ids.sending_note(scene.job, 0)] = {
        "at": str(scene.clock.wall),
        "timeout": str(TIMEOUT),
        "doubts": "0",
    }
    scene.clock.move(TIMEOUT + PATIENCE - 1)
    assert (await scene.do("submit")).attempt == 0
    scene.clock.move(1)
    assert (await scene.do("submit")).attempt == 1


async def test_doubts_in_a_row_take_ever_longer() -> None:
    """A service that fails again and again gets no storm of possible duplicates: each doubt doubles the wait."""
    scene = Scene(None, *[Unclear("upstream-500") for _ in range(20)])
    sent_at: list[float] = []
    while scene.clock.wall < scene.intent.accepted + 80_000:
        before = scene.sent
        step = await scene.do("submit")
        if scene.sent > before:
            sent_at.append(scene.clock.wall)
        progress = scene.stored.progress
        scene.store.put(
            scene.job,
            attempt=max(step.attempt, progress.attempt),
            duplicate_suspected=progress.duplicate_suspected or step.duplicate_suspected,
        )
        scene.clock.move(30)
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    assert gaps[:4] == sorted(gaps[:4])
    assert max(gaps) <= LONGEST_PATIENCE + 90
    assert len(sent_at) < 30


async def test_nobody_sends_blindly_for_ever() -> None:
    """Where no list can be read, only so many attempts follow each other; then it waits until somebody can look."""
    scene = Scene(None, *[Unclear("upstream-500") for _ in range(20)])
    scene.azure.unsearchable = Refused(404)
    for _ in range(500):
        step = await scene.do("submit")
        progress = scene.stored.progress
        scene.store.put(
            scene.job,
            attempt=max(step.attempt, progress.attempt),
            duplicate_suspected=progress.duplicate_suspected or step.duplicate_suspected,
        )
        scene.clock.move(60)
    assert scene.sent == BLIND + 1
    assert step.code == "upstream-404"


async def test_who_cannot_look_says_when_to_come_back() -> None:
    """A list that is busy is asked again when it says."""
    scene = Scene(None, Unclear("upstream-timeout"))
    await scene.do("submit")
    scene.azure.unsearchable = Later(45.0, "upstream-rate-limited")
    assert await scene.do("submit") == Step(code="upstream-rate-limited", wait=45.0)


async def test_two_deliveries_at_once_send_once() -> None:
    """F39: Durable may run an activity twice side by side; one of them takes the attempt's number."""
    scene = Scene()
    one, other = await asyncio.gather(scene.do("submit"), scene.do("submit"))
    assert scene.sent == 1
    assert "batchjob-0" in {one.upstream, other.upstream}
    assert not scene.recorder.flagged


async def test_fifty_deliveries_at_once_send_once() -> None:
    """F39: the same for any number, and for those that come when it is done."""
    scene = Scene()
    await asyncio.gather(*[scene.do("submit") for _ in range(50)])
    assert {(await scene.do("submit")).upstream for _ in range(3)} == {"batchjob-0"}
    assert scene.sent == 1


async def test_a_store_that_shows_an_old_progress_makes_a_doubt_and_no_job() -> None:
    """The orchestration is at its third attempt, and the store still shows the first: its note is taken, so nothing is sent."""
    scene = Scene(None, Later(None, "upstream-unreachable"))
    await scene.do("submit")
    assert scene.stored.progress.attempt == 0
    assert (await scene.do("submit")).code == "submission-unclear"
    assert scene.sent == 1


# Ends that are wished for.


async def test_a_cancelled_job_is_not_sent() -> None:
    """Nothing was sent, so there is nothing to end."""
    scene = Scene()
    await scene.wish_for_its_end()
    assert await scene.do("submit") == Step(status="Canceled")
    assert scene.azure.calls == []
    assert scene.recorder.states == [("NotStarted", "Canceled")]


async def test_a_job_whose_time_is_over_is_not_sent() -> None:
    """The policy's bound counts from the acceptance, and ends the job with its own code."""
    scene = Scene(an_intent(job_timeout=100.0))
    scene.clock.move(100)
    assert await scene.do("submit") == Step(status="Canceled", code="job-timeout")
    assert scene.azure.calls == []


async def test_a_job_ends_or_is_sent_and_never_both() -> None:
    """One delivery sees the wish to cancel, another one does not: who writes the note first decides for both."""
    for first in ("cancel", "send"):
        scene = Scene()
        if first == "cancel":
            await scene.wish_for_its_end()
            ended = await scene.do("submit")
            del scene.store.notes[f"cancel.{scene.job}"]
            late = await scene.do("submit")
            assert (ended.status, late.status, scene.sent) == ("Canceled", "Canceled", 0)
        else:
            await scene.do("submit")
            await scene.wish_for_its_end()
            late = await scene.do("submit")
            assert (late.status, late.upstream, scene.sent) == (None, "batchjob-0", 1)


@pytest.mark.parametrize("delay", range(30))
async def test_a_cancel_that_races_a_submission_leaves_no_job_behind(delay: int) -> None:
    """At whatever moment the wish comes: either nothing is sent, or the job is known and can be ended."""
    scene = Scene()

    async def wish() -> None:
        for _ in range(delay):
            await asyncio.sleep(0)
        await scene.wish_for_its_end()

    one, other, _ = await asyncio.gather(scene.do("submit"), scene.do("submit"), wish())
    last = await scene.do("submit")
    canceled = "Canceled" in {one.status, other.status, last.status}
    assert canceled == (scene.azure.taken == [])
    assert (last.upstream is None) == canceled


async def test_a_cancelled_job_in_doubt_is_looked_for_first() -> None:
    """Azure ML took it and the answer was lost: it is adopted, so that it can be ended there."""
    scene = Scene(None, Taken())
    await scene.do("submit")
    await scene.wish_for_its_end()
    assert (await scene.do("submit")).upstream == "batchjob-0"


async def test_a_cancelled_job_in_doubt_that_is_nowhere_ends_flagged() -> None:
    """After the same patience it counts as not taken; the audit has the flag, for that is not proven."""
    scene = Scene(None, Unclear("upstream-timeout"))
    await scene.do("submit")
    await scene.wish_for_its_end()
    assert (await scene.do("submit")).status is None
    scene.clock.move(PATIENCE)
    assert await scene.do("submit") == Step(status="Canceled", duplicate_suspected=True)
    assert scene.recorder.flagged
    assert scene.sent == 1


async def test_a_cancelled_job_in_doubt_that_nobody_can_look_for_is_not_called_cancelled() -> None:
    """Nobody knows whether it runs: it ends as Failed, and the code says that its end is not confirmed."""
    scene = Scene(None, Unclear("upstream-timeout"))
    scene.azure.unsearchable = Refused(404)
    await scene.do("submit")
    await scene.wish_for_its_end()
    scene.clock.move(PATIENCE)
    step = await scene.do("submit")
    assert (step.status, step.code, step.duplicate_suspected) == ("Failed", "cancel-not-confirmed", True)


async def test_a_job_in_doubt_is_looked_for_where_it_was_sent_though_the_policy_is_broken() -> None:
    """A sealed intent says where; without a seal nobody is asked."""
    for secret, found in ((SECRET, "batchjob-0"), (None, None)):
        scene = Scene(None, Taken(), secret=secret)
        await scene.do("submit")
        scene.policy = None
        assert (await scene.do("submit")).upstream == found
        assert ("find" in scene.azure.calls) == (found is not None)


BLIND_ENDS = [
    pytest.param("cancel", "cancel-not-confirmed", id="its owner wants its end"),
    pytest.param("time", "cancel-not-confirmed", id="its time is over"),
    pytest.param("leave", "submission-unclear", id="its owner has left"),
    pytest.param("refuse", "submission-unclear", id="the next attempt is refused"),
]


async def end_in_doubt(how: str, *, searchable: bool) -> tuple[Scene, Step]:
    """Have a job end whose first attempt is in doubt and flagged, and whose second is next."""
    scene = Scene(an_intent(job_timeout=600.0), Taken(), Refused(400))
    scene.azure.hidden = True
    await scene.do("submit")
    scene.clock.move(PATIENCE)
    step = await scene.do("submit")
    scene.store.put(scene.job, attempt=step.attempt, duplicate_suspected=True)
    if searchable:
        scene.azure.hidden = False
    else:
        scene.azure.unsearchable = Later(None, "upstream-unreachable")
    if how == "cancel":
        await scene.wish_for_its_end()
    elif how == "time":
        scene.clock.move(600)
    elif how == "leave":
        scene.memberships = FakeMemberships(known=a_membership(Standing.OUT))
    return scene, await scene.do("submit")


@pytest.mark.parametrize(("how", "code"), BLIND_ENDS)
async def test_a_flagged_job_that_nobody_can_look_for_ends_as_what_may_run(how: str, code: str) -> None:
    """F39: whatever ends it, an earlier attempt may run: neither Canceled nor a refusal is said of it."""
    scene, step = await end_in_doubt(how, searchable=False)
    assert (step.status, step.code, step.duplicate_suspected) == ("Failed", code, True)
    assert scene.recorder.jobs[-1][1].code == code


@pytest.mark.parametrize("how", ["cancel", "time", "leave"])
async def test_a_flagged_job_is_looked_for_before_it_ends(how: str) -> None:
    """F39: what is listed by now is taken over, so that its end can be asked for there."""
    _, step = await end_in_doubt(how, searchable=True)
    assert (step.status, step.upstream) == (None, "batchjob-0")


@pytest.mark.parametrize(("listed", "upstream"), [(True, "batchjob-0"), (False, None)])
async def test_a_conflict_may_be_with_the_attempt_in_doubt(listed: bool, upstream: str | None) -> None:
    """F39: Azure ML may know the request: the list is read again, and without the job it still may run."""
    scene = Scene(None, Taken(), Refused(409))
    scene.azure.hidden = True
    await scene.do("submit")
    scene.store.put(scene.job, attempt=1, duplicate_suspected=True)
    submit = scene.azure.submit

    async def shown(where: Any, body: str, *, key: str) -> Any:
        scene.azure.hidden = not listed
        return await submit(where, body, key=key)

    scene.azure.submit = shown  # type: ignore[method-assign]
    step = await scene.do("submit")
    assert step.upstream == upstream
    assert listed or (step.status, step.code) == ("Failed", "submission-unclear")


async def test_a_made_up_number_sends_nothing() -> None:
    """E10: a number whose predecessor has no note was given by nobody; the job is looked for, and refused."""
    scene = Scene(secret=SECRET, attempt=999)
    assert (await scene.do("submit")).code == "intent-refused"
    assert scene.sent == 0
    doubtful = Scene(None, Taken(), secret=SECRET)
    await doubtful.do("submit")
    doubtful.store.put(doubtful.job, attempt=999)
    assert (await doubtful.do("submit")).upstream == "batchjob-0"
    assert doubtful.sent == 1
    unseen = Scene(secret=SECRET, attempt=999)
    unseen.azure.unsearchable = Later(None, "upstream-unreachable")
    assert (await unseen.do("submit")).code == "submission-unclear"
    assert unseen.sent == 0


async def test_a_number_after_the_end_sends_nothing() -> None:
    """E10: the attempt before has the job's end for its note: it stays ended as it was."""
    scene = Scene(secret=SECRET, attempt=1)
    scene.store.notes[ids.sending_note(scene.job, 0)] = {"status": "Failed", "code": "forbidden"}
    assert await scene.do("submit") == Step(status="Failed", code="forbidden")
    assert scene.azure.calls == []


async def test_app_roles_count_no_longer_than_membership_does() -> None:
    """E01: the directory is not asked for them, so they count `max-membership-age` from the request, and then no more."""
    rule = a_rule(
        groups=frozenset(), app_roles=frozenset({"Batch.Run"}), callers=frozenset({Kind.APP}), job=TERMS
    )
    intent = an_intent(kind="app", app_roles=("Batch.Run",), client="c", issued_at=int(NOW) - 3_000)
    for waited, sent in ((0.0, 1), (900.0, 1), (901.0, 0)):
        scene = Scene(intent, policy=a_policy(churn(rules=(rule,))))
        scene.memberships = FakeMemberships(known=Membership())
        scene.clock.move(waited)
        step = await scene.do("submit")
        assert (scene.sent, step.code) == (sent, None if sent else "forbidden")


async def test_a_gate_without_its_role_asks_ever_less() -> None:
    """D10: each attempt leaves a note for six days; a role that is missing for a day leaves some hundred, not thousands."""
    scene = Scene(None, *[Later(60.0, "upstream-auth-failed")] * 9)
    waits = []
    for attempt in range(6):
        step = await scene.do("submit")
        waits.append(step.wait)
        scene.store.put(scene.job, attempt=attempt + 1, wait=step.wait)
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


@pytest.mark.parametrize(
    "member", [False, True], ids=["of the later rule alone", "of the first one too by now"]
)
async def test_a_rule_that_wants_the_own_folder_is_no_bar_to_the_next(member: bool) -> None:
    """T10: who has joined another group by now still has what the rule on record gave."""
    intent = an_intent()
    shared = json.loads(intent.body)
    shared["properties"]["OutputData"]["score"]["Uri"] = "https://contosodata.blob.core.windows.net/scores/"
    rules = (
        a_rule(id="first", groups=frozenset({CONTRACTORS}), job=TERMS),
        a_rule(id="later", job=replace(TERMS, own_folder=False)),
    )
    scene = Scene(
        replace(intent, body=json.dumps(shared, separators=(",", ":"))), policy=a_policy(churn(rules=rules))
    )
    both = a_membership(Standing.IN, ANALYSTS, CONTRACTORS)
    known = (
        both
        if member
        else replace(both, facts={**both.facts, **a_membership(Standing.OUT, CONTRACTORS).facts})
    )
    scene.memberships = FakeMemberships(known=known)
    assert (await scene.do("submit")).upstream == "batchjob-0"
    assert scene.recorder.decisions == []


async def test_no_call_takes_longer_than_an_activity_may() -> None:
    """The host ends what runs for five minutes: an endpoint's longer `timeout` counts for no call of a job."""
    for timeout, longest in ((30.0, 30.0), (225.0, 60.0)):
        scene = Scene(policy=a_policy(churn(timeout=timeout)))
        await scene.do("submit")
        assert scene.azure.wheres[0].timeout == longest
    moved = Scene(
        Sealer(SECRET).seal(an_intent(url=JOBS_URL.replace("churn", "old"))), secret=SECRET, attempt=1
    )
    moved.store.notes[ids.sending_note(moved.job, 0)] = {"at": "0", "timeout": "1", "doubts": "0"}
    moved.store.put(moved.job, duplicate_suspected=True)
    await moved.do("submit")
    assert sum(where.timeout for where in moved.azure.wheres) <= 120.0
