"""The backend of batch endpoints: what an address asks, whose a job is, and what the store is told to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import replace
from typing import Any

import pytest

from shared.backends.batch import Batch
from shared.backends.jobplaces import LISTS
from shared.job import Intent, Stored
from shared.jobs import ids
from shared.jobs.seal import Sealer
from shared.model import Asked, Headers, JobTerms, Reason
from shared.operations import CANCEL_JOB, LIST, STATUS, SUBMIT
from shared.problem import Undecidable
from tests.fakes import (
    ALICE,
    ANALYSTS,
    ENGINEERS,
    FakeClock,
    LoopTime,
    a_call,
    a_principal,
    a_rule,
    an_inbound,
    headers_of,
    settle,
)
from tests.house import BOB, BOUNDS, JobHouse, a_batch, document, slug
from tests.jobfakes import SECRET, FakeJobStore, Steps, a_stored, an_intent

DOWN = Undecidable(Reason.JOB_STORE_UNAVAILABLE)
BLUE = Headers((("azureml-model-deployment", "blue"),))
MINE = an_intent()
ADMINS = a_rule(id="admins", groups=frozenset({ENGINEERS}), job=JobTerms(see_all=True))


def with_job(**changes: Any) -> JobHouse:
    """Return a house with alice's job, as far as `changes` say."""
    return JobHouse(store=FakeJobStore(a_stored(MINE, **changes)))


def names(reply: Any) -> list[str]:
    """Return the ids of the jobs in a list."""
    assert reply.status == 200
    return [job["name"] for job in document(reply)["value"]]


@pytest.mark.parametrize(
    ("route", "method", "operation"),
    [
        ("jobs", "POST", SUBMIT),
        ("jobs", "GET", LIST),
        ("jobs", "HEAD", LIST),
        ("jobs", "DELETE", LIST),
        ("job", "GET", STATUS),
        ("job", "HEAD", STATUS),
        ("job", "DELETE", CANCEL_JOB),
        ("job", "POST", STATUS),
        ("job", "", STATUS),
    ],
)
def test_route_and_method_say_what_is_asked(route: str, method: str, operation: str) -> None:
    """Every address and method asks something; wrong methods are the gate's to refuse. Only what is sent is sent somewhere."""
    batch = Batch(FakeClock(), seal=Sealer(None).seal, holds=Sealer(None).holds)
    params = {"name": "churn", "id": MINE.job} if route == "job" else {"name": "churn"}
    asked = batch.read(an_inbound(route, method=method, params=params, headers=BLUE))
    assert (asked.target, asked.name, asked.operation, asked.job_id) == (
        "endpoint",
        "churn",
        operation,
        params.get("id"),
    )
    assert asked.deployment == ("blue" if operation == SUBMIT else None)


def test_t05_a_deployment_named_twice_is_one_that_no_policy_holds() -> None:
    """T05: two values never become one of them."""
    twice = Headers([("azureml-model-deployment", one) for one in ("blue", "green")])
    batch = Batch(FakeClock(), seal=Sealer(None).seal, holds=Sealer(None).holds)
    assert batch.read(an_inbound("jobs", method="POST", headers=twice)).deployment == "blue, green"


async def test_calls_of_another_backend_are_no_jobs() -> None:
    """E05: what another backend made is a bug here, and never somebody's job."""
    batch = Batch(FakeClock(), seal=Sealer(None).seal, holds=Sealer(None).holds)
    asked = Asked(target="endpoint", name="churn", operation=STATUS)
    with pytest.raises(TypeError):
        await batch.prepare(
            a_batch(), asked, an_inbound("job"), rule=a_rule(), principal=a_principal(), request_id="r"
        )
    for step in (batch.take, batch.send):
        with pytest.raises(TypeError):
            await step(a_call())
    with pytest.raises(TypeError):
        batch.release(a_call())


FOREIGN = {
    "an id of something else": "note.key.1",
    "no id at all": "",
    "a path": "../../runtime/webhooks/durabletask/instances",
    "an id in capitals": MINE.job.upper(),
    "an id and more": f"{MINE.job}0",
    "an id with a line feed": f"{MINE.job}\n",
    "an id with Durable's own suffix": f"{MINE.job}:1",
}


@pytest.mark.parametrize("job", FOREIGN.values(), ids=list(FOREIGN))
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_i07_what_is_no_id_is_no_job_and_the_store_is_not_asked(job: str, method: str) -> None:
    """I07: nothing but a job's id ever reaches the store, and the answer is that of an unknown job."""
    house = with_job()
    assert slug(await house.look(job, method=method)) == "job-not-found"
    assert house.store.steps.names == []
    assert house.recorder.decisions[0]["asked"].job_id is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"endpoint": "fraud"}, id="another endpoint's"),
        pytest.param({"tenant": "99999999-0000-4000-8000-000000000009"}, id="another tenant's"),
        pytest.param({"job": ids.new_job(*("churn", MINE.tenant, ALICE))}, id="another job's"),
        pytest.param({"principal": BOB}, id="another owner's"),
    ],
)
async def test_i07_a_job_is_whose_its_intent_says_and_never_whose_its_id_says(
    changes: dict[str, Any],
) -> None:
    """I07: ids are digests cut short; one that fits by chance, or was put there by hand, opens nothing."""
    intent = an_intent(**{"job": MINE.job, **changes})
    house = JobHouse(store=FakeJobStore())
    house.store.jobs[MINE.job] = a_stored(intent)
    for method in ("GET", "DELETE"):
        assert slug(await house.look(MINE.job, method=method)) == "job-not-found"
    if "job" not in changes:
        assert names(await house.list()) == []
    assert house.store.notes == {}


class Prefixes(FakeJobStore):
    """A store that keeps which prefixes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: list[str] = []

    async def find(
        self, prefix: str, *, holds: Callable[[Intent], bool], running: bool = False
    ) -> tuple[Stored, ...]:
        self.prefixes.append(prefix)
        return await super().find(prefix, holds=holds, running=running)


async def test_i07_no_job_of_others_is_read_for_a_list_of_ones_own() -> None:
    """I07: the store is asked for the owner's jobs alone, and for the endpoint's only where the policy shows them."""
    store = Prefixes()
    house = JobHouse(a_batch(rules=(*a_batch().rules, ADMINS)), store=store)
    for groups in ((ANALYSTS,), (ANALYSTS, ENGINEERS)):
        house.become(ALICE, *groups)
        await house.list()
    assert store.prefixes == [ids.owner_prefix("churn", MINE.tenant, ALICE), ids.endpoint_prefix("churn")]


async def test_a_list_is_the_callers_own_newest_first() -> None:
    """List: the caller's own jobs at this endpoint, in the store's order."""
    older, newer = an_intent(), an_intent()
    store = FakeJobStore(
        *map(a_stored, (older, an_intent(principal=BOB), newer, an_intent(endpoint="fraud")))
    )
    assert names(await JobHouse(store=store).list()) == [newer.job, older.job]


async def test_who_may_see_all_jobs_lists_those_of_everyone_at_this_endpoint() -> None:
    """`see = "all"`: the jobs of all owners, and still those of this endpoint and tenant alone."""
    mine, bobs = an_intent(), an_intent(principal=BOB)
    elsewhere = an_intent(endpoint="fraud")
    abroad = an_intent(tenant="99999999-0000-4000-8000-000000000009")
    house = JobHouse(
        a_batch(rules=(*a_batch().rules, ADMINS)),
        store=FakeJobStore(*map(a_stored, (mine, bobs, elsewhere, abroad))),
    )
    house.become(ALICE, ANALYSTS, ENGINEERS)
    assert names(await house.list()) == [bobs.job, mine.job]
    house.become(ALICE, ANALYSTS)
    assert names(await house.list()) == [mine.job]


async def test_f44_a_host_that_gives_no_store_is_503() -> None:
    """F44: without a store nothing is accepted, and nothing is said not to be there."""
    house = JobHouse()
    for reply in (
        await house.submit(jobs=None),
        await house.list(jobs=None),
        await house.look(MINE.job, jobs=None),
        await house.cancel(MINE.job, jobs=None),
    ):
        assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (
            503,
            "job-store-unavailable",
            "10",
        )
    assert [record["decision"].reason for record in house.recorder.decisions] == [
        Reason.JOB_STORE_UNAVAILABLE
    ] * 4


@pytest.mark.parametrize("operation", ["submit", "list", "look", "cancel"])
async def test_f44_a_store_that_is_down_is_503_and_never_404_or_an_empty_list(operation: str) -> None:
    """F44: "no such job" and "no jobs" are said only when the store has said so."""
    house = with_job()
    house.store.fault = DOWN
    reply = await getattr(house, operation)(*([MINE.job] if operation in ("look", "cancel") else []))
    assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (
        503,
        "job-store-unavailable",
        "10",
    )
    assert house.recorder.decisions[-1]["decision"].reason is Reason.JOB_STORE_UNAVAILABLE
    assert house.recorder.outcomes == []


async def test_cancel_is_noted_before_anybody_is_woken() -> None:
    """Cancel: the note makes sure of it, the event only hastens it; 202 with what the job is now."""
    steps = Steps()
    house = JobHouse(store=FakeJobStore(a_stored(MINE, status="Running"), steps=steps))
    reply = await house.cancel(MINE.job)
    assert (reply.status, document(reply)["properties"]["status"]) == (202, "CancelRequested")
    assert [name for name in steps.names if name.startswith("before")] == [
        "before get",
        "before note cancel",
        "before wake",
    ]
    assert house.store.notes == {ids.cancel_note(MINE.job): {"request": headers_of(reply)["x-request-id"]}}
    assert house.store.woken == [MINE.job]


async def test_d10_a_job_is_woken_once_however_often_its_end_is_asked_for() -> None:
    """D10: each event is history that Durable replays, so only who writes the note sends one."""
    house = JobHouse(a_batch(concurrency=20), store=FakeJobStore(a_stored(MINE, status="Running")))
    replies = await asyncio.gather(*(house.cancel(MINE.job) for _ in range(20)))
    assert {reply.status for reply in replies} == {202}
    assert house.store.woken == [MINE.job]


@pytest.mark.parametrize("seal", ["", "0" * 64], ids=["no seal", "a wrong one"])
async def test_e10_a_stored_job_whose_seal_does_not_hold_is_not_there(seal: str) -> None:
    """E10: what somebody put into the store is in no answer and no list, is not cancelled, and fills nobody's cap."""
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)), secret=SECRET)
    house.store.jobs[MINE.job] = a_stored(an_intent(job=MINE.job, seal=seal))
    for method in ("GET", "DELETE"):
        assert slug(await house.look(MINE.job, method=method)) == "job-not-found"
    assert names(await house.list()) == []
    own = document(await house.submit())["name"]
    assert names(await house.list()) == [own]
    assert (await house.look(own)).status == 200
    assert slug(await house.submit()) == "rate-limited"
    assert house.store.notes == {}


async def test_one_job_with_a_time_that_is_none_does_not_cost_the_list() -> None:
    """Without the secret anybody's number may stand there; the list tells it as near as a date can be."""
    strange = an_intent(accepted=1e300)
    house = JobHouse(store=FakeJobStore(a_stored(MINE), a_stored(strange)))
    assert names(await house.list()) == [strange.job, MINE.job]


class Slow(FakeJobStore):
    """A store that does not answer until it is told to, and counts who waits for it."""

    def __init__(self, *jobs: Stored) -> None:
        super().__init__(*jobs)
        self.go = asyncio.Event()
        self.now = self.most = 0

    async def _before(self, name: str) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1


BUSY = ("submit", "list", "look", "cancel")


@pytest.mark.parametrize("operation", BUSY)
async def test_d10_a_slow_store_is_asked_by_so_many_at_once_as_the_endpoint_says(operation: str) -> None:
    """D07, D10: `concurrency` at once; four times as many wait two seconds, then all who got none read 503."""
    time = LoopTime()
    store = Slow(a_stored(MINE))
    house = JobHouse(a_batch(concurrency=1), a_batch(name="fraud"), store=store)
    asking = []
    for number in range(40):
        house.become(f"22222222-0000-4000-8000-{number:012}" if operation == "submit" else ALICE, ANALYSTS)
        given = [MINE.job] if operation in ("look", "cancel") else []
        asking.append(asyncio.ensure_future(getattr(house, operation)(*given)))
        await settle()
    assert store.most == 1
    await time.pass_(3)
    refused = [task.result() for task in asking if task.done()]
    assert {(reply.status, slug(reply)) for reply in refused} == {(503, "overloaded")}
    assert len(refused) == 39
    other = asyncio.ensure_future(house.look(MINE.job, params={"name": "fraud", "id": MINE.job}))
    await settle()
    assert store.now == 2, "another endpoint has places of its own"
    store.go.set()
    assert (await other).status == 404
    assert [(await task).status for task in asking].count(503) == 39
    assert (await getattr(house, operation)(*given)).status in (200, 202)
    assert all(places._free == places._limit for places in house.batch._places._each.values())


async def test_d10_lists_have_few_places_in_all_and_leave_the_rest_to_others() -> None:
    """D10: a list may read every job of an endpoint; so few run at once in the process, and a look waits for none."""
    time = LoopTime()
    store = Slow(a_stored(MINE))
    house = JobHouse(a_batch(concurrency=256), a_batch(name="fraud", concurrency=256), store=store)
    lists = [asyncio.ensure_future(house.list(params={"name": one})) for one in ("churn", "fraud") * 50]
    await settle()
    assert store.now == LISTS
    look = asyncio.ensure_future(house.look(MINE.job))
    await settle()
    assert store.now == LISTS + 1
    await time.pass_(3)
    assert [slug(task.result()) for task in lists if task.done()] == ["overloaded"] * (100 - LISTS)
    store.go.set()
    assert (await look).status == 200
    assert [(await task).status for task in lists].count(200) == LISTS
    assert (await house.list()).status == 200


@pytest.mark.parametrize("operation", BUSY)
@pytest.mark.parametrize("moment", range(0, 30, 2))
async def test_d05_no_place_is_lost_whenever_a_caller_goes_away(operation: str, moment: int) -> None:
    """D05, F46: cancelled at any step, by the caller or by a store or an audit that fails, the only place comes back."""
    house = JobHouse(a_batch(concurrency=1), store=FakeJobStore(a_stored(MINE, status="Running")))
    given = [MINE.job] if operation in ("look", "cancel") else []
    asking = asyncio.ensure_future(getattr(house, operation)(*given))
    for _ in range(moment):
        await asyncio.sleep(0)
    asking.cancel()
    await settle()
    for fault_of in (house.recorder, house.store):
        fault_of.fault = DOWN
        assert (await getattr(house, operation)(*given)).status == 503
        fault_of.fault = None
    async with asyncio.timeout(5):
        assert (await getattr(house, operation)(*given)).status in (200, 202)


async def test_cancel_is_idempotent() -> None:
    """Threats 5.4, "cancel": asked again it is as before; the first request stays the one on the note."""
    house = with_job(status="Running")
    first = await house.cancel(MINE.job)
    again = await house.cancel(MINE.job)
    assert (again.status, again.body) == (first.status, first.body)
    (note,) = house.store.notes.values()
    assert note["request"] == headers_of(first)["x-request-id"]


@pytest.mark.parametrize("status", ["NotStarted", "NotResponding", "CancelRequested", "Finalizing"])
async def test_a_job_that_may_still_change_is_cancelled(status: str) -> None:
    """Cancel: also while submitting, and while nobody knows."""
    house = with_job(status=status)
    assert (await house.cancel(MINE.job)).status == 202
    assert ids.cancel_note(MINE.job) in house.store.notes


@pytest.mark.parametrize("status", ["Completed", "Succeeded", "Failed", "Canceled"])
async def test_a_job_that_is_over_is_told_and_not_cancelled(status: str) -> None:
    """Cancel: 200 with how it ended; nothing is noted."""
    house = with_job(status=status, ended=True, running=False)
    reply = await house.cancel(MINE.job)
    assert (reply.status, document(reply)["properties"]["status"]) == (200, status)
    assert (house.store.notes, house.store.woken) == ({}, [])


async def test_cancel_of_a_job_that_stopped_without_a_word_tells_that_it_failed() -> None:
    """Nobody is left to heed a note."""
    house = with_job(status="Running", running=False)
    reply = await house.cancel(MINE.job)
    assert (reply.status, document(reply)["properties"]["error"]) == (200, {"code": "orchestration-failed"})
    assert house.store.notes == {}


class Deaf(FakeJobStore):
    """A store that fails at one step."""

    def __init__(self, step: str) -> None:
        super().__init__(a_stored(MINE, status="Running"))
        self.step = step

    async def _before(self, name: str) -> None:
        await super()._before(name)
        if name.startswith(self.step):
            raise DOWN


async def test_a_job_that_cannot_be_woken_is_cancelled_all_the_same() -> None:
    """Cancel: the note is durable, so 202 is true; the job looks by itself."""
    house = JobHouse(store=Deaf("wake"))
    assert (await house.cancel(MINE.job)).status == 202
    assert ids.cancel_note(MINE.job) in house.store.notes


@pytest.mark.parametrize(("operation", "step"), [("submit", "start"), ("cancel", "note")])
async def test_f44_what_may_or_may_not_be_stored_is_503_with_an_outcome_that_nobody_knows(
    operation: str, step: str
) -> None:
    """F44: the decision is on record, then the store failed: 503 before any 202, and the outcome is `unknown`."""
    house = JobHouse(store=Deaf(step))
    reply = await (house.submit() if operation == "submit" else house.cancel(MINE.job))
    assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (
        503,
        "job-store-unavailable",
        "10",
    )
    (outcome,) = house.recorder.outcomes
    assert (outcome["outcome"], outcome["status"], outcome["upstream_status"]) == ("unknown", 503, None)
