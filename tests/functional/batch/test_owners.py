"""Whose a job is: to everybody else it is not there, and to its owner only for as long as the policy lets them in (I07, E01)."""

import asyncio
import time
from typing import Any

import pytest

from tests.functional.batch.apps import App
from tests.functional.batch.policies import AUDITORS
from tests.functional.batch.scene import Scene
from tests.functional.gates import Answer, until
from tests.functional.world import MEMBER

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNKNOWN = "0a1b2c3d-0a1b2c3d4e5f6071-" + "0" * 32
VARYING = {"date", "x-request-id"}
STATED_AGE = 1.0
"""Seconds for which the endpoint `fleeting` lets a proof of membership count; it asks Graph, which answers at once."""
MARGIN = 1.0
"""Seconds for the request itself, on a machine that has other things to do."""


def seen(answer: Answer) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Give all that a caller sees of an answer, but for its ids."""
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in VARYING}
    document = answer.json() if answer.body else {}
    return answer.status, headers, {name: value for name, value in document.items() if name != "instance"}


async def test_everything_that_is_not_the_callers_own_answers_alike(app: App, scene: Scene) -> None:
    """I07: another's job, one of another endpoint, one that nobody has, and what is no id: 404, letter by letter."""
    owner, other = scene.world.person(MEMBER), scene.world.person(MEMBER)
    theirs = await app.started(owner)
    elsewhere = await app.started(other, "hourly")
    own = await app.started(other)
    strangers = {
        "unknown": UNKNOWN,
        "another's": theirs,
        "another endpoint's": elsewhere,
        "in capitals": own.upper(),
        "shortened": own[:-1],
        "lengthened": f"{own}0",
        "an owner's prefix": own[:26],
        "a note": f"note.cancel.{own}",
        "a job's note": f"note.job.{theirs}",
        "an orchestrator": "groupgate_job",
        "a wildcard": "*",
        "a long one": "a" * 4000,
        "an odd one": "%00",
        "a query inside": f"{own}%3Fcode=x",
        "a segment inside": f"x%2F..%2F{own}",
        "a segment inside, twice": f"x%252F..%252F{own}",
    }
    for method in ("GET", "DELETE"):
        expected = seen(await app.ask(method, f"/endpoints/nightly/jobs/{UNKNOWN}", other))
        assert expected[0] == 404
        assert expected[2]["type"] == "urn:groupgate:problem:job-not-found"
        for what, job in strangers.items():
            came = await app.gate.ask(method, f"/endpoints/nightly/jobs/{job}", headers=other)
            if (
                came.request_id
            ):  # else the host has answered, whom the caller's address did not reach the gate through
                assert seen(came) == expected, what
            else:
                assert (came.status, came.body) in ((400, b""), (404, b"")), what
    head = await app.ask("HEAD", f"/endpoints/nightly/jobs/{theirs}", other)
    assert (head.status, head.body) == (404, b"")
    assert await app.listed(other) == [own]
    assert theirs not in (await app.ask("GET", "/endpoints/hourly/jobs", other)).body.decode()
    assert (await app.status(owner, theirs)).status == 200
    assert (await app.ended(owner, theirs))["status"] == "Completed", "nobody has cancelled it"


async def test_the_record_tells_what_the_caller_is_not_told(app: App, scene: Scene) -> None:
    """I07: a look at another's job is on record as that, with the job; an unknown one as unknown."""
    owner, other = scene.world.person(MEMBER), scene.world.person(MEMBER)
    theirs = await app.started(owner)
    for ask in (app.status, app.cancel):
        reasons = [app.gate.decision(await ask(other, job)) for job in (theirs, UNKNOWN)]
        assert [(one["decision"], one["reason"], one["job"]) for one in reasons] == [
            ("deny", "job-owner-mismatch", theirs),
            ("deny", "job-not-found", UNKNOWN),
        ]


async def test_another_members_key_is_their_own(app: App, scene: Scene) -> None:
    """I07: the same Idempotency-Key of two people, with the same body, is two jobs; at two endpoints too."""
    people = [scene.world.person(MEMBER) for _ in range(2)]
    jobs = [await app.started(who, name, key="a-key") for who in people for name in ("nightly", "hourly")]
    assert len(set(jobs)) == 4
    for who, job in zip(people, jobs[::2], strict=True):
        assert await app.listed(who) == [job]


async def test_nobody_but_members_learns_anything(app: App, scene: Scene) -> None:
    """E01: an outsider gets the 403 of an unknown endpoint for every operation, the owner's own id or not."""
    owner = scene.world.person(MEMBER)
    job = await app.started(owner)
    outsiders = [scene.world.person(), scene.world.person(MEMBER, "contractors")]
    for who in (*outsiders, scene.world.person(MEMBER, kind="guest")):
        expected = seen(await app.ask("GET", "/endpoints/no-such-endpoint/jobs", who))
        for method, path in (("GET", f"/{job}"), ("DELETE", f"/{job}"), ("GET", ""), ("GET", f"/{UNKNOWN}")):
            assert seen(await app.ask(method, f"/endpoints/nightly/jobs{path}", who)) == expected


async def test_who_may_see_all_sees_lists_and_cancels_all(app: App, scene: Scene) -> None:
    """`see = "all"`: every job of the endpoint and none of another's, by that rule, which is on record."""
    people = [scene.world.person(MEMBER) for _ in range(2)]
    auditor = scene.world.person(AUDITORS)
    scene.front.shown = "Running"
    jobs = [await app.started(who) for who in people]
    elsewhere = await app.started(people[0], "hourly")
    listed = await app.listed(auditor)
    assert {*jobs} <= {*listed}
    assert elsewhere not in listed
    came = await app.status(auditor, jobs[0])
    own = await app.status(people[0], jobs[0])
    assert seen(came) == seen(own)
    decision = app.gate.decision(came)
    assert (decision["rule"], decision["job"]) == ("auditors", jobs[0])
    assert app.gate.decision(own)["rule"] == "analysts"
    assert (await app.cancel(auditor, jobs[0])).status == 202
    scene.front.shown = None
    assert (await app.ended(people[0], jobs[0]))["status"] in ("Canceled", "Completed")
    assert (await app.status(auditor, elsewhere)).told == (404, "job-not-found")


async def test_who_leaves_the_group_is_shut_out(app: App, scene: Scene) -> None:
    """E01: of their own jobs, and of everybody's, at every operation within the stated age; the job itself goes on."""
    world = scene.world
    names = {MEMBER: world.name(MEMBER), AUDITORS: world.name(AUDITORS)}
    who, auditor = world.headers(names[MEMBER]), world.headers(names[AUDITORS])
    job = await app.started(who, "fleeting")
    assert (await app.ended(who, job, "fleeting"))["status"] == "Completed"
    assert (await app.status(auditor, job, "fleeting")).status == 200
    for group, name in names.items():
        world.directory.remove(group, name)
    removed = time.monotonic()
    for one in (who, auditor):
        while (await app.status(one, job, "fleeting")).status == 200:
            assert time.monotonic() - removed < STATED_AGE + MARGIN
            await asyncio.sleep(0.05)
        for came in (
            await app.status(one, job, "fleeting"),
            await app.cancel(one, job, "fleeting"),
            await app.ask("GET", "/endpoints/fleeting/jobs", one),
            await app.submit(one, "fleeting"),
        ):
            assert came.told == (403, "forbidden")
            assert app.gate.decision(came)["reason"] == "not-member"


async def test_who_leaves_the_group_before_the_job_is_submitted_starts_none(app: App, scene: Scene) -> None:
    """E01, T10: decided anew just before it is sent: the job ends, and nothing is sent in that person's name."""
    world = scene.world
    name = world.name(MEMBER)
    who = world.headers(name)
    scene.front.faults.set(status=503, headers={"Retry-After": "600"}, method="POST")
    job = await app.started(who, "fleeting")
    await until(lambda: any(job.encode() in posted.body for posted in scene.front.requests))
    world.directory.remove(MEMBER, name)
    await asyncio.sleep(STATED_AGE)
    scene.front.faults.clear()
    await app.over(job, step=60)
    assert scene.sent(job) == []
    end = await app.recorded(job)
    assert (end["state"], end["code"]) == ("Failed", "forbidden")
    reasons = [one["reason"] for one in app.gate.records(end["request_id"]) if one["event"] == "decision"]
    assert reasons == ["member", "not-member"]


DURABLES = [
    "/runtime/webhooks/durabletask/instances",
    "/runtime/webhooks/durabletask/instances/{job}",
    "/runtime/webhooks/durabletask/instances/{job}?code=guess&taskHub=Groupgate&connection=Storage",
    "/runtime/webhooks/DurableTask/instances/{job}/terminate?reason=x",
    "/runtime/webhooks/durabletask/orchestrators/groupgate_job",
    "/endpoints/%2e%2e/runtime/webhooks/durabletask/instances",
    "/endpoints/nightly/jobs/..%2F..%2F..%2F..%2Fruntime/webhooks/durabletask/instances",
    "/durabletask/instances",
    "/durabletask/instances/{job}",
    "/durabletask/orchestrators/groupgate_job",
    "/admin/functions/groupgate_submit",
    "/admin/host/status",
    "/admin/host/systemkeys/durabletask_extension",
    "/admin/functions/groupgate_job/keys",
    "/api/groupgate_job",
    "/groupgate_submit",
    "/groupgate_job",
    "/clock",
    "/instances/{job}",
]


@pytest.mark.parametrize("path", DURABLES)
async def test_durable_is_not_reached_through_the_app(app: App, scene: Scene, path: str) -> None:
    """I07: neither its webhooks nor what the worker asks, for whomever, by whatever method: no data, nothing done."""
    member = scene.world.person(MEMBER)
    job = await job_of(app, scene)
    for who in ({}, member):
        for method in ("GET", "POST", "DELETE"):
            body = b"{}" if method == "POST" else None
            came = await app.gate.ask(method, path.format(job=job), headers=who, body=body)
            assert came.status in (400, 401, 404), came.status
            assert came.body == b""
    assert (await app.instance(job))["name"] == "groupgate_job"


async def job_of(app: App, scene: Scene) -> str:
    """Give some job that is there."""
    for path in scene.audit.read_text().splitlines() if scene.audit.exists() else ():
        if '"event":"job"' in path:
            return path.partition('"job":"')[2].partition('"')[0]
    return await app.started(scene.world.person(MEMBER))
