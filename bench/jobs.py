"""What batch jobs cost: many started at once through the local host, and the history of one that runs for a day."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import azure.durable_functions as df
import msgspec
from aiohttp import web

from bench import rig, traffic
from bench.report import Section
from local.host.durable.clock import Clock
from local.host.durable.engine import Engine
from local.host.durable.storage import Storage
from shared.job import ORCHESTRATOR, Intent
from shared.jobs import ids, orchestrator, steps

AT_ONCE: Final = 200
LASTS: Final = 10.0
"""Seconds that a job takes at the stub."""
DAY: Final = 86_400.0
INPUTS: Final = "https://benchdata.blob.core.windows.net/incoming/"
OUTPUTS: Final = "https://benchdata.blob.core.windows.net/results/"
BODY: Final = json.dumps(
    {
        "properties": {
            "InputData": {"d": {"JobInputType": "UriFolder", "Uri": INPUTS}},
            "OutputData": {"o": {"JobOutputType": "UriFolder", "Uri": OUTPUTS}},
        }
    }
).encode()
PATIENCE: Final = 180.0


def jobs(quick: bool) -> Section:
    """Start many jobs at once and see each to its end; then let one run for a day under a moved clock."""
    count = 50 if quick else AT_ONCE
    section = Section(
        title=f"{count} batch jobs at once, and a job of 24 hours",
        about=(
            f"`python -m local.host` with Durable on SQLite, audit to the log; {count} callers send one job each at the same "
            f"time to a stub of Azure ML whose jobs take {LASTS:.0f} s, and look every 2 s until theirs has ended. *Polls* are "
            "those of the gate at the stub. The stub and the callers are in the bench's own process. The job of 24 hours is the "
            "genuine orchestrator on the same engine under a moved clock, with activities that answer at once; its history is "
            "counted in the events and the bytes of JSON that Durable gives the orchestrator."
        ),
        head=("what", "came"),
    )
    asyncio.run(_many(section, count))
    asyncio.run(_long(section))
    return section


class _AzureML:
    """Takes jobs, and says Running until their time is over."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.since: dict[str, float] = {}
        self.url = ""

    async def submit(self, request: web.Request) -> web.Response:
        tag = (await request.json())["properties"]["tags"]["groupgate-job"]
        self.taken[tag] += 1
        name = f"batchjob-{len(self.since)}"
        self.since[name] = time.monotonic()
        return web.json_response(_job(name, "Queued"), status=201)

    async def status(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.polls[name] += 1
        over = time.monotonic() - self.since[name] >= LASTS
        return web.json_response(_job(name, "Completed" if over else "Running"))


def _job(name: str, status: str) -> dict[str, Any]:
    return {"id": f"/jobs/{name}", "name": name, "properties": {"status": status}}


async def _many(section: Section, count: int) -> None:
    azure = _AzureML()
    app = web.Application()
    app.add_routes([web.post("/jobs", azure.submit), web.get("/jobs/{name}", azure.status)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", rig.free_port())
    await site.start()
    try:
        with rig.stub() as stub, tempfile.TemporaryDirectory() as made:
            settings = rig.gate_settings(Path(made), stub.url, endpoints=_endpoint(f"{site.name}/jobs"))
            settings["GROUPGATE_JOBS"] = "on"
            with rig.host(rig.ROOT, settings) as host:
                waits, ended, took = await _drive(host.url, count)
                resident = host.resident() / 2**20
    finally:
        await runner.cleanup()
    waits.sort()
    polls = sorted(azure.polls.values())
    section.rows += [
        ("answered 202", f"{len(waits)}"),
        ("ended Completed", f"{ended}"),
        ("submitted to Azure ML more than once", f"{sum(times > 1 for times in azure.taken.values())}"),
        ("submit, p50", f"{statistics.median(waits) * 1000:,.0f} ms"),
        ("submit, p99", f"{waits[max(0, round(len(waits) * 0.99) - 1)] * 1000:,.0f} ms"),
        ("all submitted and ended after", f"{took:,.1f} s"),
        ("polls a job, median and most", f"{statistics.median(polls):.0f}, {polls[-1]}"),
        ("resident memory of the host", f"{resident:,.0f} MiB"),
    ]
    section.exactly("jobs answered 202 that did not end", len(waits) - ended, 0)
    section.exactly("jobs that Azure ML has", len(azure.since), count)


async def _drive(url: str, count: int) -> tuple[list[float], int, float]:
    waits: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(number: int) -> bool:
            headers = dict(traffic.headers(number, traffic.principal(number, 5)))
            headers["Content-Type"] = "application/json"
            began = time.monotonic()
            async with session.post(f"{url}/endpoints/churn/jobs", data=BODY, headers=headers) as answer:
                if answer.status != 202:
                    raise RuntimeError(f"a job was answered {answer.status}: {await answer.text()}")
                waits.append(time.monotonic() - began)
                place = answer.headers["Location"]
            while time.monotonic() < began + PATIENCE:
                await asyncio.sleep(2)
                async with session.get(f"{url}{place}", headers=headers) as answer:
                    told = await answer.json()
                if told.get("properties", {}).get("status") == "Completed":
                    return True
            return False

        began = time.monotonic()
        ended = await asyncio.gather(*(one(number) for number in range(count)))
        return waits, sum(ended), time.monotonic() - began


def _endpoint(url: str) -> str:
    return (
        f'[endpoints.churn]\nkind = "batch"\nurl = "{url}"\n[[endpoints.churn.rules]]\nid = "analysts"\neffect = "allow"\n'
        f'groups = ["analysts"]\ninputs = ["{INPUTS}"]\noutputs = ["{OUTPUTS}"]\n'
    )


async def _long(section: Section) -> None:
    began = 1_767_225_600.0
    clock = Clock(lambda: began, frozen=True)
    job = ids.new_job("churn", traffic.TENANT, traffic.oid(1))
    polls = 0
    largest = (0, 0)
    handle = df.Orchestrator.create(orchestrator.orchestration(df.RetryOptions(5_000, 3)))

    async def episode(context: str) -> str:
        nonlocal largest
        history = json.loads(context)["history"]
        largest = max(largest, (len(history), len(json.dumps(history))))
        told: str = handle(context)
        return told

    async def poll(_given: str) -> str:
        nonlocal polls
        polls += 1
        over = clock.now() / 1_000_000 >= began + DAY
        return _step(status="Completed" if over else "Running")

    def always(**step: Any) -> Any:
        async def run(_given: str) -> str:
            return _step(**step)

        return run

    activities = {
        steps.SUBMIT: always(upstream="batchjob-1"),
        steps.POLL: poll,
        steps.END: always(ended=True),
    }
    with tempfile.TemporaryDirectory() as made:
        engine = Engine(
            Storage(Path(made) / "jobs.sqlite3", clock),
            clock,
            orchestrators={ORCHESTRATOR: episode},
            activities=activities,
        )
        await engine.start()
        content = {"intent": msgspec.to_builtins(_intent(job, began)), "progress": None}
        engine.start_new(ORCHESTRATOR, json.dumps(json.dumps(content)), job)
        for _ in range(10_000):
            await engine.idle()
            found = engine.storage.get(job)
            assert found is not None
            if found.ended:
                break
            engine.advance(30.0)
        await engine.stop()
    section.rows += [
        ("24-hour job: polls", f"{polls:,}"),
        ("24-hour job: largest history, events", f"{largest[0]:,}"),
        ("24-hour job: largest history, KiB", f"{largest[1] / 1024:,.1f}"),
    ]
    section.at_most("24-hour job: events in its largest history", largest[0], 200)


def _step(**step: Any) -> str:
    return json.dumps({"version": steps.VERSION, **step})


def _intent(job: str, accepted: float) -> Intent:
    return Intent(
        job=job,
        endpoint="churn",
        tenant=traffic.TENANT,
        principal=traffic.oid(1),
        kind="user",
        client=None,
        app_roles=(),
        rule="analysts",
        request_id="3f0d9c1e-5a34-4a4e-9a0c-0d6d1f0f3c11",
        accepted=accepted,
        deployment=None,
        body=BODY.decode(),
        asked="a" * 64,
        url="https://churn.westeurope.inference.ml.azure.com/jobs",
        scope="https://ml.azure.com/.default",
        workspace=None,
        management="https://management.azure.com",
        job_timeout=2 * DAY,
        notify=None,
    )
