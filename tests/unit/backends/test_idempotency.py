"""One job for one key, and no more jobs than one caller may have running, however many requests come at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from copy import replace

import pytest

from shared.backends import idempotency
from shared.backends.idempotency import Turns
from shared.jobs import ids
from shared.model import Reason, Reply
from shared.problem import RateLimited, Undecidable
from tests.fakes import ALICE, ANALYSTS, TENANT, LoopTime, headers_of, settle
from tests.house import BOB, BOUNDS, IN, HeldStore, JobHouse, a_batch, a_job, document, slug
from tests.jobfakes import SECRET, FakeJobStore

OWNER = ("churn", TENANT, ALICE)
KEY = (("Idempotency-Key", "one"),)
DOWN = Undecidable(Reason.JOB_STORE_UNAVAILABLE)


def name(reply: Reply) -> str:
    """Return the job's id in an answer that accepts it."""
    assert reply.status == 202
    return str(document(reply)["name"])


async def test_f44_one_key_fifty_times_at_once_starts_one_job() -> None:
    """F44: everybody reads the same 202, and exactly one start reaches the store."""
    house = JobHouse()
    replies = await asyncio.gather(*(house.submit(headers=KEY) for _ in range(50)))
    assert {name(reply) for reply in replies} == set(house.store.jobs)
    assert {headers_of(reply)["location"] for reply in replies} == {
        f"/endpoints/churn/jobs/{house.store.started[0]}"
    }
    assert len(house.store.started) == 1


async def test_f44_one_key_at_many_instances_of_the_app_at_once_is_one_job() -> None:
    """F44: what no lock of a process sees, the note does: whoever writes it first names the job for all."""
    store = FakeJobStore()
    houses = [JobHouse(store=store) for _ in range(10)]
    replies = await asyncio.gather(*(house.submit(headers=KEY) for house in houses for _ in range(5)))
    assert {name(reply) for reply in replies} == set(store.jobs) == set(store.started)
    (stored,) = store.jobs.values()
    assert stored.intent.asked == store.notes[ids.key_note(*OWNER, "one")]["asked"]


@pytest.mark.parametrize("started", [True, False], ids=["started", "noted and never started"])
@pytest.mark.parametrize(
    ("again", "headers"),
    [
        pytest.param(a_job(f"{IN}july/"), KEY, id="another input"),
        pytest.param(a_job() + b" ", KEY, id="another byte"),
        pytest.param(a_job(), (*KEY, ("azureml-model-deployment", "blue")), id="another deployment"),
    ],
)
async def test_a_key_that_comes_with_another_body_is_409(
    started: bool, again: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    """Issue 1: the same key and another body start nothing, and tell nothing of the job that has the key."""
    house = JobHouse(
        a_batch(rules=tuple(replace(rule, deployments=frozenset({"blue"})) for rule in a_batch().rules))
    )
    job = name(await house.submit(headers=KEY))
    if not started:
        del house.store.jobs[job]
    reply = await house.submit(again, headers=headers)
    assert (reply.status, slug(reply)) == (409, "idempotency-conflict")
    assert isinstance(reply.body, bytes)
    assert job.encode() not in reply.body
    assert house.store.started == [job]
    assert [record["decision"].reason for record in house.recorder.decisions[1:]] == [Reason.INVALID_REQUEST]


async def test_the_same_key_and_body_give_the_same_job_however_far_it_has_come() -> None:
    """Issue 1: 202 as before, with what the job is now; nothing is started, and no place of the caller's is counted."""
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)))
    first = await house.submit(headers=KEY)
    house.store.put(name(first), status="Running")
    again = await house.submit(headers=KEY)
    assert (name(again), document(again)["properties"]["status"]) == (name(first), "Running")
    house.store.put(name(first), status="Completed", ended=True, running=False)
    after = await house.submit(headers=KEY)
    assert (name(after), document(after)["properties"]["status"]) == (name(first), "Completed")
    assert "retry-after" not in headers_of(after)
    assert len(house.store.started) == 1


async def test_a_key_is_its_owners_own_at_its_endpoint() -> None:
    """I07: nobody reaches another's job, or one of another endpoint, by a key that both use."""
    house = JobHouse(a_batch(), a_batch(name="fraud"))
    jobs = {
        name(await house.submit(headers=KEY)),
        name(await house.submit(headers=KEY, params={"name": "fraud"})),
    }
    house.become(BOB, ANALYSTS)
    jobs.add(name(await house.submit(a_job(f"{IN}july/"), headers=KEY)))
    assert (len(jobs), len(house.store.notes)) == (3, 3)


async def test_f39_a_crash_between_the_note_and_the_start_is_made_good_by_the_repeat() -> None:
    """F39: the key's job was named and never started: who comes again with the key starts it, under that name."""
    house = JobHouse()
    note = ids.key_note(*OWNER, "one")
    job = ids.new_job(*OWNER)
    first = await house.submit(headers=KEY)
    digest = house.store.notes[note]["asked"]
    crashed = JobHouse()
    crashed.store.notes[note] = {"job": job, "asked": digest}
    assert name(await crashed.submit(headers=KEY)) == job != name(first)
    assert crashed.store.jobs[job].intent.body.count(job) == 2, "its folder and its tag are of that name"
    assert crashed.store.started == [job]


async def test_a_job_that_is_made_good_counts_against_the_cap() -> None:
    """D10: a note alone gives no place; the repeat is told to come again, and starts it then."""
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)))
    job = name(await house.submit(headers=KEY))
    del house.store.jobs[job]
    other = name(await house.submit())
    assert slug(await house.submit(headers=KEY)) == "rate-limited"
    house.store.put(other, ended=True, running=False)
    assert name(await house.submit(headers=KEY)) == job


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"job": "", "asked": "digest"},
        {"job": "anything", "asked": "digest"},
        {"job": ids.new_job("churn", TENANT, BOB), "asked": "digest"},
        {"job": ids.new_job("fraud", TENANT, ALICE), "asked": "digest"},
    ],
    ids=["empty", "no job", "no id", "another's job", "another endpoint's job"],
)
async def test_a_note_that_the_gate_did_not_write_leads_to_nobodys_job(forged: Mapping[str, str]) -> None:
    """Whoever holds the host's key can write notes: one that names a job of somebody else is refused."""
    house = JobHouse()
    job = name(await house.submit(headers=KEY))
    note = ids.key_note(*OWNER, "one")
    digest = house.store.notes[note]["asked"]
    house.store.notes[note] = {**forged, **({"asked": digest} if "asked" in forged else {})}
    assert slug(await house.submit(headers=KEY)) == "idempotency-conflict"
    assert house.store.started == [job]


async def test_e10_a_key_whose_job_has_lost_its_seal_is_409() -> None:
    """E10: what stands under the key's job is not what the gate stored: it is neither told nor started over."""
    house = JobHouse(secret=SECRET)
    job = name(await house.submit(headers=KEY))
    assert name(await house.submit(headers=KEY)) == job
    stored = house.store.jobs[job]
    house.store.jobs[job] = replace(stored, intent=replace(stored.intent, rule="another"))
    assert slug(await house.submit(headers=KEY)) == "idempotency-conflict"
    assert house.store.started == [job]


async def test_d10_a_thousand_starts_by_one_caller_start_ten() -> None:
    """D10: 10 run, 990 read 429 with a Retry-After; another caller is served meanwhile."""
    house = JobHouse()
    bob = JobHouse(store=house.store)
    bob.become(BOB, ANALYSTS)
    replies = await asyncio.gather(*(house.submit() for _ in range(1000)), bob.submit())
    assert name(replies.pop()) in house.store.jobs
    assert Counter(reply.status for reply in replies) == {202: 10, 429: 990}
    refused = [reply for reply in replies if reply.status == 429]
    assert {(slug(reply), headers_of(reply)["retry-after"]) for reply in refused} == {("rate-limited", "30")}
    assert len(house.store.started) == 11


async def test_d10_the_cap_counts_what_runs_of_one_caller_at_one_endpoint() -> None:
    """D10: what has ended counts no more, and neither do jobs of others or of other endpoints."""
    routes = [a_batch(name=one, batch=replace(BOUNDS, running_jobs=2)) for one in ("churn", "fraud")]
    house = JobHouse(*routes)
    jobs = [name(await house.submit()) for _ in range(2)]
    assert (await house.submit()).status == 429
    assert (await house.submit(params={"name": "fraud"})).status == 202
    house.become(BOB, ANALYSTS)
    assert (await house.submit()).status == 202
    house.become(ALICE, ANALYSTS)
    house.store.put(jobs[0], status="Completed", ended=True, running=False)
    assert [(await house.submit()).status for _ in range(2)] == [202, 429]


async def test_a_refusal_leaves_no_note_behind() -> None:
    """D10: the key of a submission that was refused for the cap is free, also for another body."""
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)))
    job = name(await house.submit())
    assert (await house.submit(headers=KEY)).status == 429
    assert house.store.notes == {}
    house.store.put(job, ended=True, running=False)
    assert (await house.submit(a_job(f"{IN}july/"), headers=KEY)).status == 202


async def test_a_caller_who_goes_away_does_not_free_the_place_that_its_job_takes() -> None:
    """D10: a start that is on its way ends, and only then is the next one counted."""
    store = HeldStore()
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)), store=store)
    gone, waiting = (asyncio.ensure_future(house.submit()) for _ in range(2))
    await settle()
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert [record["outcome"] for record in house.recorder.outcomes] == ["client-closed"]
    assert not waiting.done()
    store.go.set()
    assert (await waiting).status == 429
    assert len(store.started) == 1
    assert len(house.batch._turns) == 0


@pytest.mark.parametrize("moment", range(40))
async def test_no_turn_is_lost_whenever_a_caller_goes_away(moment: int) -> None:
    """D05, F46: cancelled at any step of a submission, the owner's next one is served, and nothing is kept."""
    house = JobHouse()
    first = asyncio.ensure_future(house.submit(headers=KEY))
    for _ in range(moment):
        await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        assert (await house.submit(headers=KEY)).status == 202
    await settle()
    assert len(house.batch._turns) == 0
    assert len(house.store.jobs) == 1


@pytest.mark.parametrize("step", ["noted", "find", "note", "start"])
async def test_no_turn_is_lost_when_the_store_fails(step: str) -> None:
    """F44: 503 at any step, and the next one is served once the store is back."""

    class Failing(FakeJobStore):
        async def _before(self, one: str) -> None:
            await super()._before(one)
            if self.fault_at == one.partition(" ")[0]:
                raise DOWN

        fault_at = step

    store = Failing()
    house = JobHouse(store=store)
    reply = await house.submit(headers=KEY)
    assert (reply.status, slug(reply), headers_of(reply)["retry-after"]) == (
        503,
        "job-store-unavailable",
        "10",
    )
    assert len(house.batch._turns) == 0
    store.fault_at = ""
    assert (await house.submit(headers=KEY)).status == 202
    assert len(store.started) == 1


async def test_turns_are_taken_one_after_the_other_by_each_owner() -> None:
    """Each owner for itself; a turn that is given back twice is given back once."""
    turns = Turns()
    turn = await turns.take(OWNER, timeout=1)
    await turns.take(("churn", TENANT, BOB), timeout=1)
    next_one = asyncio.ensure_future(turns.take(OWNER, timeout=1))
    third = asyncio.ensure_future(turns.take(OWNER, timeout=1))
    await settle()
    assert not next_one.done()
    turn.give_back()
    turn.give_back()
    await settle()
    assert (next_one.done(), third.done()) == (True, False)
    (await next_one).give_back()
    (await third).give_back()
    assert len(turns) == 1


async def test_d05_lines_are_bounded_and_nothing_is_kept_of_who_has_gone() -> None:
    """D05: so many may wait, the next is refused at once; whoever waits too long is told that it is busy."""
    time = LoopTime()
    turns = Turns()
    turn = await turns.take(OWNER, timeout=1)
    waiting = [asyncio.ensure_future(turns.take(OWNER, timeout=1)) for _ in range(idempotency.MAX_WAITING)]
    await settle()
    with pytest.raises(RateLimited):
        await turns.take(OWNER, timeout=1)
    await time.pass_(2)
    reasons = {task.exception().reason for task in waiting}  # type: ignore[union-attr]
    assert reasons == {Reason.OVERLOADED}
    assert len(turns) == 1
    turn.give_back()
    assert len(turns) == 0
