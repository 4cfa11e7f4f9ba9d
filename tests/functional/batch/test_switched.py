"""With jobs off there is nothing of them; and what runs is led to its end, whatever becomes of the policy meanwhile."""

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.functional.batch.apps import App
from tests.functional.batch.policies import ENDPOINTS, policy
from tests.functional.batch.scene import Scene
from tests.functional.differences import only
from tests.functional.gates import REPOSITORY, gate_in, until
from tests.functional.world import MEMBER

pytestmark = pytest.mark.asyncio(loop_scope="module")
_LOADED = """
import asyncio, json, sys
from pathlib import Path
from local.host import hostjson
from local.host.worker import Worker
app_dir = Path.cwd()
worker = Worker(app_dir, hostjson.load(app_dir / "host.json"))
asyncio.run(worker.start())
print(json.dumps({"modules": sorted(sys.modules), "functions": [one.name for one in worker.functions]}))
"""
"""Loads the app as the host does, with Microsoft's worker library, and says what is there."""


@pytest.mark.parametrize(
    ("mode", "jobs"),
    [("classic", "off"), ("classic", "on"), ("stream", "")],
    indirect=["mode"],
    scope="module",
)
async def test_durable_is_loaded_only_where_jobs_are_on(scene: Scene, jobs: str) -> None:
    """The setting decides alone: neither the policy nor the secret brings in what only jobs need."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LOADED, cwd=REPOSITORY, env=scene.environment(GROUPGATE_JOBS=jobs) | {"GROUPGATE_HTTP": scene.world.mode},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, _ = await process.communicate()
    assert process.returncode == 0
    loaded = json.loads(told.splitlines()[-1])
    of_jobs = [
        name for name in loaded["modules"] if name.startswith(("azure.durable_functions", "shared.jobs"))
    ]
    functions = [name for name in loaded["functions"] if name.startswith(("groupgate_", "job"))]
    assert bool(of_jobs) == bool(functions) == (jobs == "on")


async def test_without_jobs_their_addresses_are_not_there(scene: Scene) -> None:
    """Off: the host's bare 404, for members and methods alike; no further port, and no path that asks for a key."""
    environment = scene.environment(
        GROUPGATE_JOBS="off", GROUPGATE_POLICY=scene.policy(policy(scene.front.scoring_uri, {}))
    )
    who = scene.world.person(MEMBER)
    async with gate_in(scene.folder(), environment, mode=scene.world.mode) as gate:
        assert (await gate.ask("GET", "/readyz")).status == 200
        for path in (
            "/endpoints/scoring/jobs",
            "/endpoints/nightly/jobs",
            "/endpoints/nightly/jobs/x",
            "/runtime/webhooks/durabletask/instances",
        ):
            for method in ("GET", "POST", "DELETE"):
                came = await gate.ask(method, path, headers=who, body=b"{}" if method == "POST" else None)
                assert (came.status, came.body, came.request_id) == (404, b"", "")
        assert "DURABLE" not in gate.log.read_text()


@only("stream")
async def test_a_batch_endpoint_without_jobs_is_a_configuration_fault(scene: Scene) -> None:
    """Off, and the policy has one: everything but /healthz is 503, and the log says where."""
    who = scene.world.person(MEMBER)
    async with gate_in(scene.folder(), scene.environment(GROUPGATE_JOBS=""), mode=scene.world.mode) as gate:
        for method, path in (("POST", "/endpoints/scoring/score"), ("GET", "/me"), ("GET", "/readyz")):
            assert (await gate.ask(method, path, headers=who)).told == (503, "gateway-misconfigured")
        assert (await gate.ask("GET", "/healthz")).status == 200
        assert (await gate.ask("POST", "/endpoints/nightly/jobs", headers=who)).status == 404
        log = gate.log.read_text()
        for name in ENDPOINTS:
            assert log.count(f"configuration fault: endpoints.{name}.kind: ") == 1


class Running:
    """Jobs of one member that run at Azure ML until the test ends them there."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.who = scene.world.person(MEMBER)
        scene.front.runner.pace = 3600.0

    async def start(self, app: App) -> str:
        """Start one, and see it running."""
        job = await app.started(self.who)
        await until(lambda: bool(self.scene.sent(job)))
        await app.until(self.who, job, lambda properties: "deployment" in properties)
        return job

    def end(self, job: str) -> None:
        """Let Azure ML be done with it."""
        (taken,) = self.scene.sent(job)
        taken.becomes("Completed")

    def polls(self, job: str) -> int:
        """Count how often the front was asked for it."""
        (taken,) = self.scene.sent(job)
        return sum(taken.name in one.target for one in self.scene.front.requests)

    async def ends(self, app: App, job: str) -> dict[str, Any]:
        """End one, see that the front was asked, and give the record of its end."""
        before = self.polls(job)
        self.end(job)
        await app.over(job)
        assert self.polls(job) > before
        assert app.states(job)[-1] == "Completed"
        record = await app.recorded(job)
        assert (record["state"], record["duplicate_suspected"]) == ("Completed", False)
        assert len(self.scene.sent(job)) == 1
        return record


BROKEN = 'version = 1\n[endpoints.nightly]\nkind = "batc'


@only("classic")
async def test_jobs_end_whatever_becomes_of_the_policy(scene: Scene) -> None:
    """A policy that breaks, jobs switched off and on, a policy that loses its last batch endpoint: polls, end, record.

    Without a secret here: then the address that a job was stored with is used where it is loopback (T10).
    """
    jobs = Running(scene)
    async with scene.app(GROUPGATE_JOBS_SECRET="") as app:
        with_broken, with_none, as_before = [await jobs.start(app) for _ in range(3)]
        scene.front.faults.set(status=503, headers={"Retry-After": "600"}, method="POST")
        unsent = await app.started(jobs.who)
        await app.until(jobs.who, unsent, lambda properties: "error" in properties)
    scene.front.faults.clear()
    scene.front.requests.clear()

    async with scene.app(GROUPGATE_POLICY=scene.policy(BROKEN), GROUPGATE_JOBS_SECRET="") as app:
        assert (await app.status(jobs.who, with_broken)).told == (503, "gateway-misconfigured")
        assert (await app.submit(jobs.who)).told == (503, "gateway-misconfigured")
        assert (await jobs.ends(app, with_broken))["policy"] is None
        await app.waits_for(unsent, "gateway-misconfigured")
        assert scene.sent(unsent) == []

    none = scene.policy(policy(scene.front.scoring_uri, {}))
    before = len(scene.front.requests)
    environment = scene.environment(GROUPGATE_POLICY=none, GROUPGATE_JOBS="off")
    async with gate_in(scene.folder(), environment, mode=scene.world.mode) as gate:
        assert (await gate.ask("GET", f"/endpoints/nightly/jobs/{with_none}", headers=jobs.who)).status == 404
        assert len(scene.front.requests) == before

    async with scene.app(GROUPGATE_POLICY=none, GROUPGATE_JOBS_SECRET="") as app:
        assert (await app.status(jobs.who, with_none)).told == (403, "forbidden")
        assert (await jobs.ends(app, with_none))["policy"] is not None
        await app.over(unsent)
        assert (await app.recorded(unsent))["code"] == "forbidden"
        assert scene.sent(unsent) == []

    async with scene.app(GROUPGATE_JOBS_SECRET="") as app:
        await jobs.ends(app, as_before)
        assert (await app.status(jobs.who, with_broken)).json()["properties"]["status"] == "Completed"


@only("stream")
async def test_jobs_wait_for_their_secret(scene: Scene) -> None:
    """T10: with another secret nothing stored is believed: nobody is asked about it; with the right one it ends."""
    jobs = Running(scene)
    async with scene.app() as app:
        job = await jobs.start(app)
    scene.front.requests.clear()
    async with scene.app(GROUPGATE_JOBS_SECRET="another secret, which is as long as the one before") as app:
        jobs.end(job)
        await app.waits_for(job, "intent-refused")
        assert (await app.status(jobs.who, job)).told == (404, "job-not-found")
        assert await app.listed(jobs.who) == []
        assert not scene.front.requests
    async with scene.app(GROUPGATE_POLICY=scene.policy(BROKEN)) as app:
        await app.over(job)
        assert scene.front.requests
        assert (await app.recorded(job))["state"] == "Completed"
