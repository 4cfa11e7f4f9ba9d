"""One key is one job, whoever asks at once and whatever fails; and nobody has more jobs running than the policy gives."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.functional.batch.apps import App, a_body
from tests.functional.batch.policies import INPUT, INPUTS
from tests.functional.batch.scene import Scene
from tests.functional.differences import only
from tests.functional.world import MEMBER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
AT_ONCE = 50
CROWD = 40
"""Starts of one caller at once."""
MOST = 10
"""Jobs that one caller may have unfinished where the policy does not say."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(shared_scene: Scene, shared_app: App) -> AsyncIterator[App]:
    """A second instance of the app."""
    async with shared_scene.second_instance(shared_app) as app:
        yield app


async def submitted(apps: list[App], who: dict[str, str], **how: Any) -> list[str]:
    """Start one job fifty times at once, at the apps in turn; give the id that each of the fifty was told."""
    asked = [apps[number % len(apps)].submit(who, **how) for number in range(AT_ONCE)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {202}, {answer.told for answer in answers}
    for answer in answers:
        assert (
            answer.headers["Location"]
            == answer.json()["id"]
            == f"/endpoints/nightly/jobs/{answer.json()['name']}"
        )
    return [answer.json()["name"] for answer in answers]


@pytest.mark.parametrize("hidden", [False, True])
async def test_fifty_at_once_with_one_key_are_one_job(app: App, scene: Scene, hidden: bool) -> None:
    """F44: one instance and one job at Azure ML, where Durable says of a name that it is taken and where it does not."""
    who = scene.world.person(MEMBER)
    await app.tell("/conflicts", hidden=hidden)
    told = await submitted([app], who, key="one")
    assert len({*told}) == 1
    await app.ended(who, told[0])
    assert await app.listed(who) == [told[0]]
    assert len(scene.sent(told[0])) == 1


@pytest.mark.parametrize("hidden", [False, True])
async def test_two_instances_of_the_app_start_one_job(
    app: App, other: App, scene: Scene, hidden: bool
) -> None:
    """F44: nothing in one process keeps the other from starting; the store alone decides."""
    people = [scene.world.person(MEMBER) for _ in range(3)]
    # Both have their first request behind them, so that neither is ahead of the other.
    await asyncio.gather(*(one.listed(people[0]) for one in (app, other)))
    await app.tell("/conflicts", hidden=hidden)
    for who in people:
        told = await submitted([app, other], who, key="one")
        assert len({*told}) == 1
        await app.ended(who, told[0])
        assert await app.listed(who) == await other.listed(who) == [told[0]]
        assert len(scene.sent(told[0])) == 1


async def test_a_key_with_another_body_is_409(app: App, scene: Scene) -> None:
    """Byte by byte: another place, the same place written otherwise, another deployment; nothing is started."""
    who = scene.world.person(MEMBER)
    job = await app.started(who, key="one")
    others: list[dict[str, Any]] = [
        {"body": a_body(uri=f"{INPUTS}other/")},
        {"body": a_body(uri=INPUT[:-1])},
        {"azureml_model_deployment": "blue"},
    ]
    for other in others:
        came = await app.submit(who, key="one", **other)
        assert came.told == (409, "idempotency-conflict")
        assert app.gate.decision(came)["reason"] == "invalid-request"
    assert await app.listed(who) == [job]
    assert await app.started(who, key="one") == job
    assert await app.started(who, key="two", body=a_body(uri=f"{INPUTS}other/")) != job


async def test_a_key_leads_to_its_job_as_far_as_it_has_come(app: App, scene: Scene) -> None:
    """202 and the same job after its end too; without a key each request is a job."""
    who = scene.world.person(MEMBER)
    job = await app.started(who, key="one")
    properties = await app.ended(who, job)
    came = await app.submit(who, key="one")
    assert (came.status, came.json()["name"], came.json()["properties"]) == (202, job, properties)
    assert "Retry-After" not in came.headers
    assert len({await app.started(who) for _ in range(2)} | {job}) == 3
    assert len(scene.sent(job)) == 1


async def test_no_202_while_jobs_cannot_be_stored(app: App, scene: Scene) -> None:
    """F44: 503, nothing is sent, and afterwards the same key gives exactly one job; what ran before goes on."""
    who = scene.world.person(MEMBER)
    scene.front.shown = "Running"
    before = await app.started(who)
    await app.until(who, before, lambda properties: properties["status"] == "Running")
    scene.front.requests.clear()
    await app.tell("/outage", seconds=3600)
    answers = await asyncio.gather(
        *(app.submit(who, key="one") for _ in range(3)),
        app.submit(who),
        app.status(who, before),
        app.cancel(who, before),
        app.ask("GET", "/endpoints/nightly/jobs", who),
    )
    for came in answers:
        assert came.told == (503, "job-store-unavailable")
        assert came.headers["Retry-After"] == "10"
        assert app.gate.decision(came)["decision"] == "error"
    assert not [posted for posted in scene.front.requests if posted.method == "POST"]
    await app.tell("/outage", seconds=0)
    scene.front.shown = None
    job = await app.started(who, key="one")
    assert (await app.ended(who, job))["status"] == "Completed"
    assert (await app.ended(who, before))["status"] == "Completed"
    assert await app.listed(who) == [job, before]
    assert len(scene.sent(job)) == 1


async def test_nobody_has_more_jobs_running_than_the_policy_gives(app: App, scene: Scene) -> None:
    """D10: ten of forty at once are taken, the rest are 429; others and other endpoints have their own ten."""
    who, other = scene.world.person(MEMBER), scene.world.person(MEMBER)
    scene.front.shown = "Running"
    answers = await asyncio.gather(*(app.submit(who, key=f"k{number}") for number in range(CROWD)))
    taken = [answer.json()["name"] for answer in answers if answer.status == 202]
    refused = [answer for answer in answers if answer.status != 202]
    assert (len(taken), len(refused)) == (MOST, CROWD - MOST)
    for came in refused:
        assert came.told == (429, "rate-limited")
        assert came.headers["Retry-After"] == "30"
        decision = app.gate.decision(came)
        assert (decision["decision"], decision["reason"], decision["rule"]) == (
            "error",
            "rate-limited",
            "analysts",
        )
    numbers = [number for number, answer in enumerate(answers) if answer.status == 202]
    assert (await app.submit(who, key=f"k{numbers[0]}")).json()["name"] == taken[0]
    assert (await app.submit(who, key=f"k{numbers[0]}", azureml_model_deployment="blue")).status == 409
    assert (await app.submit(other)).status == (await app.submit(who, "hourly")).status == 202
    scene.front.shown = None
    await app.ended(who, taken[3])
    free = {job for job in taken if "Retry-After" not in (await app.status(who, job)).headers}
    more = [await app.submit(who) for _ in range(len(free) + 1)]
    assert [one.status for one in more[: len(free)]] == [202] * len(free)
    assert len(scene.front.by_tag.keys() & {*taken}) == MOST


async def test_the_policy_says_how_many(app: App, scene: Scene) -> None:
    """D10: `running-jobs = 2`; a cancelled job makes room once it has ended."""
    who = scene.world.person(MEMBER)
    scene.front.shown = "Running"
    jobs = [await app.started(who, "two") for _ in range(2)]
    assert (await app.submit(who, "two")).told == (429, "rate-limited")
    assert (await app.cancel(who, jobs[0], "two")).status == 202
    assert (await app.submit(who, "two")).told == (429, "rate-limited")
    scene.front.shown = None
    await app.ended(who, jobs[0], "two")
    assert (await app.submit(who, "two")).status == 202
