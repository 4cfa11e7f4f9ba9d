"""Whoever holds the keys of the Functions host: what they start or call by hand sends nothing that nobody was allowed (T10)."""

import asyncio
import json
import sys
from typing import Any

import pytest

from local.directory import TENANT
from shared.jobs import ids
from tests.functional.batch.apps import JSON, App
from tests.functional.batch.policies import INPUT, OUTPUT
from tests.functional.batch.scene import INSTANCE, Scene
from tests.functional.differences import only
from tests.functional.gates import REPOSITORY, until
from tests.functional.world import MEMBER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
ACTIVITIES = ("groupgate_submit", "groupgate_poll", "groupgate_cancel", "groupgate_end", "groupgate_notify")


async def stored(app: App, job: str) -> dict[str, Any]:
    """Give what Durable has as the input of a job: its sealed intent."""
    given = (await app.instance(job))["input"]
    content: dict[str, Any] = json.loads(given) if isinstance(given, str) else given
    return content


async def begins(app: App, instance: str, content: object, *, name: str = "groupgate_job") -> int:
    """Start an orchestration by hand, at the address that the worker uses."""
    body = json.dumps(json.dumps(content)).encode()
    path = f"/orchestrators/{name}/{instance}"
    return (await app.gate.ask("POST", path, headers=JSON, body=body, base=app.rpc)).status


RUNS = {"status": "Running", "upstream": "UPSTREAM"}
ENDS = RUNS | {"cancel": True, "cancel_since": 1.0}
AT_ANOTHER = {"seal": "", "endpoint": "gone", "url": "ELSEWHERE/jobs", "management": "ELSEWHERE"}
FORGED: list[tuple[str, dict[str, Any], dict[str, Any] | None, bool]] = [
    ("no seal", {"seal": ""}, None, False),
    ("a seal of something else", {"seal": "0" * 64}, None, False),
    ("another job's seal", {}, None, False),
    ("a job that runs already", {"seal": ""}, RUNS, True),
    ("a job whose end was asked for long ago", {"seal": ""}, ENDS, False),
    ("a job at another address", AT_ANOTHER, RUNS, True),
    ("a job that has ended well", {"seal": "", "notify": "ELSEWHERE/hook"}, {"status": "Completed"}, False),
    ("another attempt", {"seal": ""}, {"attempt": 7}, False),
    ("another attempt in doubt", {"seal": ""}, {"attempt": 7, "duplicate_suspected": True}, True),
]
"""What is changed of a real intent, the progress beside it, and whether it waits for ever and is not simply refused."""


@pytest.mark.parametrize(
    ("changes", "progress", "waits"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED]
)
async def test_a_made_up_job_sends_nothing(
    app: App, scene: Scene, changes: dict[str, Any], progress: dict[str, Any] | None, waits: bool
) -> None:
    """T10, I07: not to Azure ML, not elsewhere; refused on record where it ends; and its owner, so called, sees nothing of it."""
    who = scene.world.person(MEMBER)
    real = await app.started(who)
    await app.ended(who, real)
    (taken,) = scene.sent(real)
    forged = ids.new_job("nightly", TENANT, who["X-MS-CLIENT-PRINCIPAL-ID"])
    said = {"UPSTREAM": taken.name, "ELSEWHERE": scene.world.upstream.url, real: forged}
    content = json.dumps({"intent": (await stored(app, real))["intent"] | changes, "progress": progress})
    for word, meant in said.items():
        content = content.replace(word, meant)
    scene.front.requests.clear()
    assert await begins(app, forged, json.loads(content)) == 202
    if waits:
        await app.waits_for(forged, "intent-refused")
    else:
        await app.over(forged)
        record = await app.recorded(forged)
        assert (record["state"], record["code"]) == ("Failed", "intent-refused")
    assert not scene.front.requests
    assert scene.world.upstream.requests == []
    assert scene.sent(forged) == []
    assert (await app.status(who, forged)).told == (404, "job-not-found")
    assert await app.listed(who) == [real]


async def test_a_real_intent_serves_for_its_own_job_alone(app: App, scene: Scene) -> None:
    """T10: under another name it does nothing; started again under its own it finds what was sent, and sends nothing."""
    who = scene.world.person(MEMBER)
    job = await app.started(who)
    await app.ended(who, job)
    await app.over(job)
    content = await stored(app, job)
    scene.front.requests.clear()
    other = ids.new_job("nightly", "x", "x")
    assert await begins(app, other, content) == 202
    await app.over(other)
    assert app.of_job(other) == []
    assert not scene.front.requests
    for progress in (None, {"attempt": 3}):
        assert await begins(app, job, content | {"progress": progress}) == 202
        await app.over(job)
    assert {one.method for one in scene.front.requests} == {"GET"}
    assert len(scene.sent(job)) == 1


async def test_a_made_up_name_at_azure_is_not_believed(app: App, scene: Scene) -> None:
    """T10, I07: neither a note nor a progress that names another's job leads there, though it be that job's own note."""
    victim, who = scene.world.person(MEMBER), scene.world.person(MEMBER)
    theirs = await app.started(victim)
    await app.over(theirs)
    (taken,) = scene.sent(theirs)
    scene.front.faults.set(status=503, headers={"Retry-After": "600"}, method="POST")
    job = await app.started(who)
    await until(lambda: any(job.encode() in posted.body for posted in scene.front.requests))
    note = await stored(app, f"note.job.{theirs}")
    assert await begins(app, f"note.job.{job}", note, name="groupgate_note") == 202
    scene.front.faults.clear()
    scene.front.requests.clear()
    properties = await app.ended(who, job)
    assert f"/{job}/" in properties["outputs"]["score"]["uri"]
    await app.over(job)
    progress = {"status": "Running", "upstream": taken.name}
    assert await begins(app, job, await stored(app, job) | {"progress": progress}) == 202
    await app.over(job)
    assert (await app.status(who, job)).json()["properties"] == properties
    assert not [one for one in scene.front.requests if taken.name in one.target]
    assert len(scene.sent(job)) == 1


async def test_what_was_refused_is_refused_again_by_hand(app: App, scene: Scene) -> None:
    """T10, E01: a sealed intent is no leave: membership is decided anew each time that it is to be sent."""
    world = scene.world
    name = world.name(MEMBER)
    who = world.headers(name)
    scene.front.faults.set(status=503, headers={"Retry-After": "600"}, method="POST")
    job = await app.started(who, "fleeting")
    await until(lambda: any(job.encode() in posted.body for posted in scene.front.requests))
    content = await stored(app, job)
    world.directory.remove(MEMBER, name)
    await asyncio.sleep(1.0)
    scene.front.faults.clear()
    await app.over(job, step=60)
    # The attempt that was refused, the one after it, and one that nothing leads to.
    for attempt, code in ((1, "forbidden"), (2, "forbidden"), (7, "intent-refused")):
        progress = {"attempt": attempt}
        assert await begins(app, job, content | {"progress": progress}) == 202
        await app.over(job)
        assert (await app.recorded(job))["code"] == code
    assert scene.sent(job) == []


async def test_nothing_but_the_apps_own_functions_can_be_started(app: App, scene: Scene) -> None:
    """T10: activities are no orchestrations, and what is no intent is no job; nothing of it reaches Azure ML."""
    job = ids.new_job("nightly", "x", "x")
    scene.front.requests.clear()
    for name in ACTIVITIES:
        came = await app.gate.ask(
            "POST", f"/orchestrators/{name}/{job}", headers=JSON, body=b'"x"', base=app.rpc
        )
        assert came.status == 400
    contents: tuple[object, ...] = ({}, [], "x", None, {"intent": {}}, {"intent": {"job": job}})
    for number, content in enumerate(contents):
        assert await begins(app, f"x-{number}", content) == 202
        await app.over(f"x-{number}", status="Failed")
    assert not scene.front.requests


async def test_activities_called_by_hand_do_nothing_more(app: App, scene: Scene) -> None:
    """T10: in another process, with real secrets and ids: no job, no second job, no cancellation, no record of an end."""
    who = scene.world.person(MEMBER)
    over = await app.started(who)
    await app.over(over)
    unknown = ids.new_job("nightly", "x", "x")
    scene.front.shown = "Running"
    running = await app.started(who)
    # So long that the gate itself does not look meanwhile.
    while int((await app.status(who, running)).headers["Retry-After"]) < 30:
        await app.advance(10)
        await asyncio.sleep(0.02)
    (taken,) = scene.sent(running)
    scene.front.requests.clear()
    strangers = [unknown, over, f"note.job.{running}", running.upper(), "", "..", f"{INPUT}", OUTPUT]
    calls = [(name, given) for given in (*strangers, running) for name in ACTIVITIES]
    arguments = [part for name, given in calls for part in ("--call", name, given)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", INSTANCE, *arguments, app.rpc,
        cwd=REPOSITORY, env=scene.environment() | {"GROUPGATE_HTTP": app.mode}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, _ = await process.communicate()
    answers = [json.loads(line) for line in told.splitlines() if line.startswith(b'{"ok"')]
    assert len(answers) == len(calls)
    steps = {
        call: json.loads(answer["returned"] or "null") for call, answer in zip(calls, answers, strict=True)
    }
    nothing = steps["groupgate_end", unknown]
    for (name, given), step in steps.items():
        if given in (unknown, over) and name == "groupgate_notify":
            assert (
                step is None
            )  # a failure, which Durable tries again: an answer would say that somebody was told
        elif given != running:
            assert step == nothing, (name, given, step)
    assert steps["groupgate_submit", running] == nothing | {"upstream": taken.name}
    assert steps["groupgate_cancel", running] == steps["groupgate_end", running] == nothing
    assert steps["groupgate_notify", running] == nothing
    # One look at the one that runs, as the gate itself looks at it.
    assert [(one.method, one.target) for one in scene.front.requests] == [
        ("GET", f"/irises/jobs/{taken.name}")
    ]
    assert len(scene.sent(running)) == 1
    assert not [record for record in app.of_job(running) if record["ended"]]
