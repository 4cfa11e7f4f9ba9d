"""What a batch job is and how it goes: through the statuses at a pace, with real scoring in between."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local.batch.storage import Storage, StorageError

FINAL = frozenset({"Completed", "Failed", "Canceled"})


class ScoringError(Exception):
    """The model could not score the files; the message says why."""


class Scorer(Protocol):
    """Runs the model over files."""

    async def score(self, inputs: Sequence[Path], output: Path) -> None:
        """Write the predictions for the CSV files `inputs` to `output`; raise `ScoringError`."""

    async def close(self) -> None:
        """Let go of the model."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One job; `number` counts them all from 1."""

    number: int
    name: str
    deployment: str
    request_id: str
    """The `repeatability_request-id` of the request that made it; empty without one."""
    tags: dict[str, str]
    input: str
    output: str
    """Address of the predictions."""
    made: float = field(default_factory=time.monotonic)
    status: str = "NotStarted"
    statuses: list[str] = field(default_factory=lambda: ["NotStarted"])
    """Every status that it had, in order."""
    error: str = ""
    """Why it failed: nothing of it is told to anybody."""

    def becomes(self, status: str) -> None:
        """Note a change of status."""
        self.status = status
        self.statuses.append(status)


class Runner:
    """Runs jobs, one task each; those that `stop` leaves unfinished go on after `start`."""

    def __init__(self, storage: Storage, scorer: Scorer) -> None:
        self.pace = 0.2
        """Seconds that each status lasts at least."""
        self.before = ["Preparing", "Queued"]
        """Statuses between NotStarted and Running; words that Azure ML does not have may be among them."""
        self._storage = storage
        self._scorer = scorer
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def run(self, job: Job) -> None:
        """Let `job` go on from where it is."""
        going = self._end(job) if job.status == "CancelRequested" else self._go(job)
        task = self._tasks[job.name] = asyncio.create_task(going)
        task.add_done_callback(lambda done: self._forget(job.name, done))

    def cancel(self, job: Job) -> None:
        """End `job` as soon as its pace allows; nothing happens to one that has ended."""
        if job.status in FINAL or job.status == "CancelRequested":
            return
        if going := self._tasks.get(job.name):
            going.cancel()
        job.becomes("CancelRequested")
        self.run(job)

    async def stop(self) -> None:
        """Let every job stand still, and the model go."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self._scorer.close()

    async def _go(self, job: Job) -> None:
        way = ["NotStarted", *self.before, "Running", "Finalizing", "Completed"]
        try:
            for status in way[way.index(job.status) if job.status in way else 0 :]:
                if status != job.status:
                    job.becomes(status)
                if status == "Running":
                    await self._score(job)
                if status not in FINAL:
                    await asyncio.sleep(self.pace)
        except (StorageError, ScoringError, OSError) as fault:
            job.error = str(fault)
            job.becomes("Failed")

    def _forget(self, name: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is done:
            del self._tasks[name]

    async def _end(self, job: Job) -> None:
        await asyncio.sleep(self.pace)
        job.becomes("Canceled")

    async def _score(self, job: Job) -> None:
        place = self._storage.path(job.input)
        files = sorted(place.rglob("*.csv")) if place.is_dir() else [place]
        if not files or not all(file.exists() for file in files):
            raise StorageError("nothing to read there")
        await self._scorer.score(files, self._storage.path(job.output))
