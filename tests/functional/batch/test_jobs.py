"""What a member gets: a job's whole life through the gate, in Azure ML's shapes, and what is on record of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from local.batch.front import MANAGEMENT
from shared.jobs import ids
from tests.functional.batch.apps import JSON, App, a_body
from tests.functional.batch.policies import INPUT, OUTPUT
from tests.functional.batch.scene import Scene
from tests.functional.differences import Difference
from tests.functional.gates import Answer, until
from tests.functional.world import MEMBER

pytestmark = pytest.mark.asyncio(loop_scope="module")
TYPE = "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs"
SERVERS = {"Date", "Server", "Content-Length", "Content-Type", "X-Request-ID", "Cache-Control", "Vary"}
"""Headers that every answer has; `X-Request-ID` in whichever case."""
CHUNKED = Difference(
    classic=[(411, "length-required")] * 3,
    stream=[(400, "invalid-request"), (413, "payload-too-large"), (202, "")],
    why="As for a scoring call: the host copies only a body of stated length to a classic worker.",
)


def oid(who: dict[str, str]) -> str:
    """Give somebody's object id."""
    return who["X-MS-CLIENT-PRINCIPAL-ID"]


def own_headers(answer: Answer) -> set[str]:
    """Give the headers that are this answer's and not every answer's."""
    every = {name.lower() for name in SERVERS}
    return {name for name in answer.headers if name.lower() not in every}


async def stands_still(app: App, scene: Scene, who: dict[str, str]) -> str:
    """Start a job that Azure ML has, and that goes on only when it is told to."""
    scene.front.runner.pace = 3600.0
    job = await app.started(who)
    await app.until(who, job, lambda properties: "deployment" in properties)
    return job


async def test_a_job_that_azure_refuses_fails_without_its_words(app: App, scene: Scene) -> None:
    """I01: the code is the gate's, the service's text reaches nobody; a failed job is told once and for all."""
    who = scene.world.person(MEMBER)
    scene.front.faults.set(status=400, body='{"error":"batchjob-secret"}', method="POST", times=1)
    properties = await app.ended(who, await app.started(who))
    assert properties == {"status": "Failed", "error": {"code": "upstream-400"}}
    gone = await app.started(who, azureml_model_deployment="gone")
    assert await app.ended(who, gone) == {
        "status": "Failed",
        "deployment": "gone",
        "error": {"code": "upstream-404"},
    }
    assert (await app.recorded(gone))["code"] == "upstream-404"
    assert scene.sent(gone) == []


async def test_a_gate_without_its_role_waits_for_it(app: App, scene: Scene) -> None:
    """F38: 401 and 403 are about the gate's own identity: nothing ends for it, and the job says what it waits for."""
    who = scene.world.person(MEMBER)
    scene.front.faults.set(status=403, body="denied", method="POST", times=1)
    job = await app.started(who)
    waiting = await app.until(who, job, lambda properties: "error" in properties)
    assert waiting.json()["properties"] == {
        "status": "NotStarted",
        "error": {"code": "upstream-auth-failed"},
    }
    assert int(waiting.headers["Retry-After"]) >= 60
    assert (await app.ended(who, job))["status"] == "Completed"
    assert len(scene.sent(job)) == 1


async def test_the_life_of_a_job(app: App, scene: Scene) -> None:
    """Protocols 5: 202, then 200s with Retry-After, then a last one without; each in the shape of Azure ML's."""
    who = scene.world.person(MEMBER)
    accepted = await app.submit(who)
    document = accepted.json()
    job = document["name"]
    assert ids.is_job(job)
    assert own_headers(accepted) == {"Location", "Retry-After"}
    assert accepted.headers["Content-Type"] == "application/json"
    assert accepted.headers["Location"] == document["id"] == f"/endpoints/nightly/jobs/{job}"
    assert accepted.headers["Retry-After"] == "2"
    assert {*document} == {"id", "name", "type", "properties", "systemData"}
    assert (accepted.status, document["type"], document["properties"]) == (
        202,
        TYPE,
        {"status": "NotStarted"},
    )

    scene.front.shown = "NotResponding"
    seen = await app.until(who, job, lambda properties: properties["status"] == "NotResponding")
    assert own_headers(seen) == {"Retry-After"}
    assert {**seen.json(), "properties": {}} == {**document, "properties": {}}
    scene.front.shown = None

    properties = await app.ended(who, job)
    place = f"{OUTPUT}{oid(who)}/{job}/predictions.csv"
    output = {"jobOutputType": "UriFile", "mode": "ReadWriteMount", "uri": place}
    assert properties == {"status": "Completed", "deployment": "blue", "outputs": {"score": output}}
    last = await app.status(who, job)
    assert (last.status, own_headers(last)) == (200, set())
    assert scene.front.storage.path(place).read_text() == "setosa\n"

    head = await app.ask("HEAD", accepted.headers["Location"], who)
    assert (head.status, head.body) == (200, b"")
    again = await app.cancel(who, job)
    assert (again.status, again.json(), own_headers(again)) == (200, last.json(), set())


async def test_what_azure_is_sent(app: App, scene: Scene) -> None:
    """T10, T11: a new body from what was checked, with the job's tag and its own folder; none of the caller's headers."""
    who = scene.world.person(MEMBER)
    scene.front.requests.clear()
    written = {"properties": {"OutputData": a_body()["properties"]["OutputData"], "InputData": {}}}
    written["properties"]["InputData"]["day"] = {"Uri": INPUT[:-1], "JobInputType": "UriFolder"}
    job = await app.started(
        who,
        body=written,
        key="a-key",
        azureml_model_deployment="blue",
        Cookie="a=b",
        X_Evil="1",
        X_Request_Id="x",
    )
    await app.ended(who, job)
    posted, *polls = scene.front.requests
    assert (posted.method, posted.target) == ("POST", "/irises/jobs")
    assert {name.lower() for name in posted.headers} == {
        "host",
        "accept",
        "accept-encoding",
        "authorization",
        "content-type",
        "content-length",
        "repeatability_request-id",
        "azureml-model-deployment",
    }
    expected = a_body(output=f"{OUTPUT}{oid(who)}/{job}/", tags={"groupgate-job": job})
    assert json.loads(posted.body) == expected
    (taken,) = scene.sent(job)
    assert {poll.target for poll in polls} == {f"/irises/jobs/{taken.name}"}
    assert {poll.method for poll in polls} == {"GET"}
    token = scene.world.entra.verify(
        posted.headers["Authorization"].removeprefix("Bearer "), audience="https://ml.azure.com"
    )
    assert token is not None
    assert token["oid"] == scene.world.directory.apps["gate"].oid


async def test_what_a_rule_opens_is_sent_as_it_is(app: App, scene: Scene) -> None:
    """Literals, experiment, compute, settings, and outputs without a folder of their own, where the rule says so."""
    who = scene.world.person(MEMBER)
    scene.front.requests.clear()
    body = a_body(
        output=f"{OUTPUT}shared/",
        properties={"experimentName": "canary"},
        compute={"target": "cpu-cluster", "instanceCount": 2},
        miniBatchSize=10,
    )
    literal = {"query": {"JobInputType": "Literal", "Value": "https://any.example/?a=b"}}
    body["properties"]["InputData"] |= literal
    job = await app.started(who, "open", body=body)
    await until(lambda: bool(scene.front.requests))
    body["properties"]["tags"] = {"groupgate-job": job}
    assert json.loads(scene.front.requests[0].body) == body


async def test_an_app_runs_jobs_too(app: App, scene: Scene) -> None:
    """A managed identity in the group, by a rule that names apps; its folder is its own object id's."""
    who = scene.world.person(MEMBER, kind="app")
    job = await app.started(who)
    properties = await app.ended(who, job)
    assert f"/{oid(who)}/{job}/" in properties["outputs"]["score"]["uri"]
    assert await app.listed(who) == [job]


async def test_the_list_is_the_callers_own_newest_first(app: App, scene: Scene) -> None:
    """One answer with all of them, each as its own address tells it; HEAD has no body."""
    who = scene.world.person(MEMBER)
    assert await app.listed(who) == []
    jobs = [await app.started(who) for _ in range(3)]
    await asyncio.gather(*(app.started(scene.world.person(MEMBER)) for _ in range(3)))
    elsewhere = await app.started(who, "hourly")
    for job in jobs:
        await app.ended(who, job)
    came = await app.ask("GET", "/endpoints/nightly/jobs", who)
    assert {*came.json()} == {"value"}
    assert [one["name"] for one in came.json()["value"]] == jobs[::-1]
    for one in came.json()["value"]:
        assert one == (await app.status(who, one["name"])).json()
    assert own_headers(came) == set()
    assert await app.listed(who, "hourly") == [elsewhere]
    head = await app.ask("HEAD", "/endpoints/nightly/jobs", who)
    assert (head.status, head.body) == (200, b"")


async def test_a_job_is_cancelled_at_azure_as_well(app: App, scene: Scene) -> None:
    """Protocols 5.4: 202 and CancelRequested at once, asked of Azure Resource Manager, told Canceled once it is so."""
    who = scene.world.person(MEMBER)
    job = await stands_still(app, scene, who)
    (taken,) = scene.sent(job)
    scene.front.runner.pace = 0.01
    came = await app.cancel(who, job)
    assert own_headers(came) == {"Location", "Retry-After"}
    assert came.headers["Location"] == came.json()["id"] == f"/endpoints/nightly/jobs/{job}"
    assert (came.status, came.json()["properties"]["status"]) == (202, "CancelRequested")
    assert (await app.cancel(who, job)).status in (200, 202)
    properties = await app.ended(who, job)
    assert (properties["status"], "error" in properties) == ("Canceled", False)
    assert taken.status == "Canceled"
    asked = [
        one
        for one in scene.front.requests
        if one.target.startswith("/subscriptions/") and taken.name in one.target
    ]
    assert [one.method for one in asked] == ["POST"]
    token = asked[0].headers["Authorization"].removeprefix("Bearer ")
    assert scene.world.entra.verify(token, audience=MANAGEMENT) is not None


async def test_a_job_that_is_not_at_azure_yet_is_cancelled_unsent(app: App, scene: Scene) -> None:
    """While it waits to be submitted nothing is sent any more; the wish is looked at at once."""
    who = scene.world.person(MEMBER)
    scene.front.faults.set(status=503, headers={"Retry-After": "3600"}, method="POST")
    job = await app.started(who)
    await app.until(who, job, lambda properties: "error" in properties)
    scene.front.faults.clear()
    assert (await app.cancel(who, job)).status == 202
    # The clock is not moved: the cancellation itself wakes the job.
    properties = await app.until(who, job, lambda properties: properties["status"] == "Canceled", step=0)
    assert properties.json()["properties"] == {"status": "Canceled"}
    assert scene.sent(job) == []


async def test_a_cancel_that_has_no_effect_is_told_so(app: App, scene: Scene) -> None:
    """Protocols 9.1: not confirmed within ten minutes: the gate says so, and does not say that it has ended there."""
    who = scene.world.person(MEMBER)
    scene.front.cancels = False
    job = await stands_still(app, scene, who)
    assert (await app.cancel(who, job)).status == 202
    properties = await app.ended(who, job)
    assert properties["status"] == "Failed"
    assert properties["error"] == {"code": "cancel-not-confirmed"}
    (taken,) = scene.sent(job)
    assert taken.status not in ("Canceled", "Completed")


async def test_a_lost_answer_is_found_by_its_tag(app: App, scene: Scene) -> None:
    """F39: Azure ML took it and nobody heard: the list says which job it is; one job, nothing flagged."""
    who = scene.world.person(MEMBER)
    scene.front.faults.set(lose=True, method="POST", times=1)
    job = await app.started(who)
    assert (await app.ended(who, job))["status"] == "Completed"
    (taken,) = scene.sent(job)
    assert scene.front.posts[taken.request_id] == 1
    assert not any(record["duplicate_suspected"] for record in app.of_job(job))


async def test_another_deployment_than_before_is_noticed(app: App, scene: Scene) -> None:
    """Protocols 5.3: it is told, and on record."""
    who = scene.world.person(MEMBER)
    job = await stands_still(app, scene, who)
    (taken,) = scene.sent(job)
    taken.deployment = "green"
    await app.until(who, job, lambda properties: properties.get("deployment") == "green")
    (change,) = [record for record in app.of_job(job) if record["code"] == "deployment-changed"]
    assert change["deployment"] == "green"


async def test_the_record_of_a_job_joins_its_requests(app: App, scene: Scene) -> None:
    """R01: decision, outcome, one record for the submission, one for each change, one for the end; the chain holds."""
    who = scene.world.person(MEMBER)
    accepted = await app.submit(who, azureml_model_deployment="blue")
    job = accepted.json()["name"]
    await app.ended(who, job)
    decision = app.gate.decision(accepted)
    expected = {
        "route": "endpoint:nightly",
        "operation": "jobs/submit",
        "deployment": "blue",
        "job": None,
        "decision": "allow",
        "reason": "member",
        "rule": "analysts",
        "principal": oid(who),
        "kind": "user",
    }
    assert {name: decision[name] for name in expected} == expected
    outcome = await app.gate.outcome(accepted)
    assert (outcome["outcome"], outcome["status"], outcome["upstream_status"]) == ("ok", 202, None)
    await app.recorded(job)
    records = app.of_job(job)
    (taken,) = scene.sent(job)
    assert (records[0]["state"], records[0]["previous_state"], records[0]["upstream_job"]) == (
        "NotStarted",
        None,
        taken.name,
    )
    for before, after in pairwise(records):
        assert after["previous_state"] == before["state"]
    assert [one["ended"] for one in records] == [False] * (len(records) - 1) + [True]
    assert records[-1]["state"] == "Completed"
    for record in records:
        assert record["request_id"] == accepted.request_id
        assert (record["route"], record["principal"], record["rule"]) == (
            "endpoint:nightly",
            oid(who),
            "analysts",
        )
        assert (record["code"], record["duplicate_suspected"]) == (None, False)
    for operation, came in (
        ("jobs/status", await app.status(who, job)),
        ("jobs/cancel", await app.cancel(who, job)),
        ("jobs/list", await app.ask("GET", "/endpoints/nightly/jobs", who)),
    ):
        decision = app.gate.decision(came)
        assert (decision["operation"], decision["decision"]) == (operation, "allow")
        assert decision["job"] == (None if operation == "jobs/list" else job)
        assert (await app.gate.outcome(came))["status"] == 200


async def test_me_lists_the_batch_endpoints(app: App, scene: Scene) -> None:
    """What the caller may call, these as well."""
    told = (await app.ask("GET", "/me", scene.world.person(MEMBER))).body.decode()
    assert "nightly" in told
    assert "nightly" not in (await app.ask("GET", "/me", scene.world.person())).body.decode()


async def test_a_chunked_body(app: App, scene: Scene) -> None:
    """D02: 411 where the host copies none, else read up to the bound and no further."""

    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    who = {**JSON, **scene.world.person(MEMBER)}
    bodies = (b"x" * 10, b"x" * 2000, json.dumps(a_body()).encode())
    came = [await app.ask("POST", "/endpoints/small/jobs", who, body=chunks(body)) for body in bodies]
    assert [one.told for one in came] == CHUNKED.of(app.mode)
