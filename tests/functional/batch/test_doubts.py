"""Jobs of which nobody knows whether Azure ML has them: looked for first, then flagged, never hidden (F39).

An attempt in doubt is settled half a minute after it must have ended. So hosts are killed here with jobs in every state, the
next one runs at once, and the one after it a minute later.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.functional.batch.apps import App
from tests.functional.batch.scene import PACE, Scene
from tests.functional.differences import only
from tests.functional.gates import until
from tests.functional.world import MEMBER

pytestmark = pytest.mark.asyncio(loop_scope="module")
AT = "quick"
"""The endpoint whose calls to Azure ML take a second at most."""
LATER = 61.0


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Jobs in doubt, and the host that runs a minute later."""

    who: dict[str, str]
    app: App
    unsent: str
    """Killed while it was sent; Azure ML has not had it."""
    unwanted: str
    """Likewise, and cancelled afterwards."""
    hidden: str
    """The answer was lost, and the list does not show the job."""
    long: str
    """In no doubt: it runs, at an endpoint whose jobs have a minute."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doubts(shared_scene: Scene) -> AsyncIterator[Doubts]:
    """Kill a host with jobs in every state; see that the next host sends none of them; run one more a minute later."""
    scene, front = shared_scene, shared_scene.front
    who = scene.world.person(MEMBER)
    jobs: dict[str, str] = {}
    async with scene.app() as app:
        front.runner.pace = 3600.0
        jobs["long"] = await app.started(who, "brief")
        await app.until(who, jobs["long"], lambda properties: "deployment" in properties, name="brief")
        front.runner.pace = PACE
        front.faults.set(lose=True, method="POST", times=1)
        front.hidden = 3600.0
        jobs["hidden"] = await app.started(who, AT)
        await app.until(who, jobs["hidden"], lambda properties: "error" in properties, name=AT)
        front.faults.set(latency=3600, method="POST")
        for name in ("unsent", "unwanted"):
            jobs[name] = await app.started(who, AT)
        await until(lambda: all(is_posted(scene, jobs[name]) for name in ("unsent", "unwanted")))
        app.gate.process.kill()
    front.faults.clear()
    async with scene.app() as app:
        for name in ("unsent", "unwanted"):
            await app.until(who, jobs[name], lambda properties: "error" in properties, name=AT)
            assert scene.sent(jobs[name]) == []
            assert app.of_job(jobs[name]) == []
        assert (await app.cancel(who, jobs["unwanted"], AT)).status == 202
    async with scene.app(later=LATER) as app:
        yield Doubts(who=who, app=app, **jobs)


def is_posted(scene: Scene, job: str) -> bool:
    """Say whether somebody has asked Azure ML for a job."""
    return any(job.encode() in posted.body for posted in scene.front.requests)


def flagged(records: list[dict[str, Any]]) -> list[bool]:
    """Give what the audit says of duplicates, record by record."""
    return [record["duplicate_suspected"] for record in records]


CLASSIC = only("classic")


@CLASSIC
async def test_what_may_have_been_sent_is_flagged_before_it_is_sent_again(
    doubts: Doubts, shared_scene: Scene
) -> None:
    """F39: Azure ML has not had it, which nobody can know: one job, and the audit says from the start what is suspected."""
    job, app = doubts.unsent, doubts.app
    assert (await app.ended(doubts.who, job, AT))["status"] == "Completed"
    assert len(shared_scene.sent(job)) == 1
    records = app.of_job(job)
    assert (records[0]["code"], records[0]["upstream_job"]) == ("submission-unclear", None)
    assert all(flagged(records))


@CLASSIC
async def test_a_job_that_the_list_does_not_show_is_flagged(doubts: Doubts, shared_scene: Scene) -> None:
    """F39: it is sent again, by the same repeatability id, and runs twice: that is on record before, and at the end."""
    job, app = doubts.hidden, doubts.app
    assert (await app.ended(doubts.who, job, AT))["status"] == "Completed"
    one, other = shared_scene.sent(job)
    assert one.request_id == other.request_id != ""
    records = app.of_job(job)
    assert (records[0]["code"], records[0]["upstream_job"]) == ("submission-unclear", None)
    assert all(flagged(records))
    assert records[-1]["upstream_job"] == other.name


@CLASSIC
async def test_a_doubtful_job_that_is_cancelled_is_not_sent_again(
    doubts: Doubts, shared_scene: Scene
) -> None:
    """F39: its owner no longer wants it: it ends Canceled, and flagged, since Azure ML may have it."""
    job, app = doubts.unwanted, doubts.app
    assert (await app.ended(doubts.who, job, AT))["status"] == "Canceled"
    assert shared_scene.sent(job) == []
    end = await app.recorded(job)
    assert (end["state"], end["duplicate_suspected"]) == ("Canceled", True)


@CLASSIC
async def test_a_job_that_takes_longer_than_the_policy_gives_is_ended(
    doubts: Doubts, shared_scene: Scene
) -> None:
    """D10: `job-timeout`: it is cancelled at Azure ML, and its code says why."""
    job, app = doubts.long, doubts.app
    properties = await app.ended(doubts.who, job, "brief")
    assert (properties["status"], properties["error"]["code"]) == ("Canceled", "job-timeout")
    assert [one.status for one in shared_scene.sent(job)] == ["Canceled"]
    assert not any(flagged(app.of_job(job)))


@only("stream")
async def test_killed_before_anything_was_sent_is_a_doubt_too(scene: Scene) -> None:
    """F39: what is written before the call does not say whether the call was made."""
    who = scene.world.person(MEMBER)
    async with scene.app() as app:
        # After the note of the key, the one without which nothing is sent.
        await app.crash("after", "start", "groupgate_note", nth=2)
        assert (await app.submit(who, AT, key="one")).status in (0, 202)
        await app.dies()
    assert not scene.front.requests
    async with scene.app(later=LATER) as app:
        job = await app.started(who, AT, key="one")
        assert (await app.ended(who, job, AT))["status"] == "Completed"
        assert len(scene.sent(job)) == 1
        assert all(flagged(app.of_job(job)))
