"""The story of a batch endpoint: who runs jobs there, who sees whose, and what becomes of them."""

import asyncio
import csv
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from local import flowers
from local.batch.jobs import FINAL, Job
from local.stackpolicy import ELSEWHERE, EXAMPLE, INPUTS
from local.story.stage import PATIENCE, Otherwise, Stage, within_stated_age, words_of

_PACE = 0.3
_SWIFT = 0.0
_STANDSTILL = 600.0
"""Seconds that each status of a job at Azure ML lasts: as usual, where the model takes its time, and for ever."""


class Jobs:
    """Every act gives in a few words what came."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stack = stage.stack
        self._azure = stage.stack.batch
        self._document: dict[str, Any] = {}
        self._record: dict[str, Any] = {}
        self._running = ""
        """The job of alice that stands still."""

    async def predictions(self) -> str:
        """Let alice submit a folder that was just written, wait for her job, and read what it has written."""
        folder = f"{INPUTS}alice/"
        flowers.write(self._azure.storage.path(folder))
        # Where Azure ML hands out addresses that open its storage, nobody must get them.
        self._azure.signs_outputs = True
        self._azure.runner.pace = _SWIFT
        said, job = await self._accepted("alice", folder)
        ended = await self._followed("alice", job)
        if ended != "Completed":
            return f"{said}, {ended}"
        uri = str(self._document["properties"]["outputs"]["score"]["uri"])
        if "?" in uri:
            return f"{said}, {ended}, and what opens the storage"
        written = self._azure.storage.path(uri)
        rows = await asyncio.to_thread(_read, written)
        own = written.parts[-3:-1] == (self._stack.directory.people["alice"].oid, job)
        where = "" if own else " in a folder that is not hers"
        return f"{said}, {ended}: {len(rows)} rows, {rows[0]['prediction']} first{where}"

    async def foreign_storage(self) -> str:
        """Let alice name a folder that the gate's identity may be able to read, and no rule lets her job read."""
        taken = "/irises/jobs"
        before = self._azure.counts[taken]
        said, _ = await self._submit("alice", ELSEWHERE)
        told = "InputData.flowers.Uri" in self._document.get("detail", "")
        sent = self._azure.counts[taken] - before
        return f"{said}, {sent} sent on to Azure{'' if told else ', not told where'}"

    async def of_another_member(self) -> str:
        """Let alice start a job that stands still, and carol look at it, list jobs, and cancel it."""
        self._azure.runner.pace = _STANDSTILL
        _, self._running = await self._accepted("alice")
        await self._at_azure(self._running)
        seen = await self._ask("GET", "carol", self._running)
        listed = await self._listed("carol")
        cancelled = await self._ask("DELETE", "carol", self._running)
        return f"{seen[:3]}, {len(listed)} listed, {cancelled[:3]}"

    async def of_an_auditor(self) -> str:
        """Let grace, who is in a group that sees all jobs, look at it and list jobs."""
        seen = await self._ask("GET", "grace", self._running)
        rule = self._record.get("rule")
        listed = await self._listed("grace")
        return f"{seen} by {rule}, {'' if self._running in listed else 'not '}listed"

    async def cancelled(self) -> str:
        """Let alice cancel it."""
        self._azure.runner.pace = _SWIFT
        said = await self._ask("DELETE", "alice", self._running)
        ended = await self._followed("alice", self._running)
        job = await self._at_azure(self._running)
        return f"{said}, {ended}, {job.status} at Azure ML"

    async def killed(self) -> str:
        """Kill the gate's host when Azure ML has taken a job and its answer has not come; start it again."""
        self._azure.runner.pace = _PACE
        self._azure.faults.set(lose=True, method="POST", path="/irises/jobs", times=1)
        said, job = await self._accepted("alice")
        await self._at_azure(job)
        await self._stack.gate.kill()
        self._azure.faults.clear()
        await self._stack.gate.start_again()
        await self._stack.gate.ready()
        ended = await self._followed("alice", job)
        made = len(self._azure.tagged(job))
        return f"{said}, {ended}, {made} {'job' if made == 1 else 'jobs'} at Azure ML"

    async def membership_lost(self) -> str:
        """Put bob into the group, let him submit, take him out, and let the job end."""
        self._azure.runner.pace = _PACE
        self._stack.directory.add("fraud-analysts", "bob")
        await within_stated_age(lambda: self._ask("GET", "bob"), "200")
        _, job = await self._accepted("bob")
        upstream = await self._at_azure(job)
        running = upstream.status not in FINAL
        self._stack.directory.remove("fraud-analysts", "bob")
        refused = await within_stated_age(lambda: self._ask("GET", "bob", job), "403 not-member")
        await self._until(lambda: upstream.status in FINAL, "the end of the job at Azure ML")
        after = await self._ask("GET", "bob", job)
        if not running or upstream.status != "Completed":
            return f"{refused}, but the job {upstream.status}"
        return f"{refused}, {'still' if refused.startswith(after) else 'then'} {after[:3]}"

    async def _accepted(self, who: str, folder: str = EXAMPLE) -> tuple[str, str]:
        """Submit, and give what came and the job's id; raise Otherwise where there is none."""
        said, status = await self._submit(who, folder)
        if status != HTTPStatus.ACCEPTED:
            raise Otherwise(said)
        return said, str(self._document["name"])

    async def _submit(self, who: str, folder: str) -> tuple[str, int]:
        said = await self._ask("POST", who, body=flowers.job(folder))
        return said, int(said[:3])

    async def _listed(self, who: str) -> list[str]:
        """List jobs; give their ids. Raise Otherwise for no list."""
        said = await self._ask("GET", who)
        if said != "200":
            raise Otherwise(f"{said} in place of a list")
        return [job["name"] for job in self._document["value"]]

    async def _ask(self, method: str, who: str, job: str = "", *, body: object = None) -> str:
        """Ask the endpoint, or about one job; say the status, and the reason in the gate's audit file."""
        url = f"{self._stack.easyauth.url}/endpoints/irises/jobs{'/' if job else ''}{job}"
        headers = {"Authorization": f"Bearer {self._stage.token(who)}"}
        async with self._stage.http.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
        self._stage.details = [f"{name}: {value}" for name, value in answer.headers.items()] + [text[:2000]]
        try:
            self._document = json.loads(text)
        except ValueError:
            self._document = {}
        self._record = self._stage.recorded(answer.headers.get("X-Request-Id"))
        return " ".join([str(answer.status), *words_of(self._document, self._record)])

    async def _followed(self, who: str, job: str) -> str:
        """Ask for a job until it has ended, and show how it comes along; give its last status."""
        started = time.monotonic()
        way: list[str] = []
        while True:
            said = await self._ask("GET", who, job)
            status = str(self._document["properties"]["status"]) if said == "200" else said
            way = way if way[-1:] == [status] else [*way, status]
            age = time.monotonic() - started
            told = f"{who}'s job: {' > '.join(way)}, {age:.1f} s"
            if status in FINAL or age > PATIENCE:
                self._stage.line.end(told)
                return status
            self._stage.line.show(told)
            await asyncio.sleep(0.2)

    async def _at_azure(self, job: str) -> Job:
        """Give the job at Azure ML as soon as it is there."""
        await self._until(lambda: bool(self._azure.tagged(job)), "a job at Azure ML")
        return self._azure.tagged(job)[0]

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > PATIENCE:
                raise Otherwise(f"no sign of {what} in {PATIENCE:.0f} s")
            await asyncio.sleep(0.01)


def _read(predictions: Path) -> list[dict[str, str]]:
    with predictions.open(newline="") as lines:
        return list(csv.DictReader(lines))
