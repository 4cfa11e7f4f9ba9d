"""Fakes of what batch jobs need: where they are kept, and Azure ML; with a way to die at any step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from copy import replace
from typing import Any

from shared.backends import jobbody
from shared.job import Intent, Progress, Stored
from shared.jobs.azureml import Later, Lost, Refused, Seen, Submitted, Unclear, Where
from shared.jobs.ids import is_job, new_job, sending_note
from shared.problem import Undecidable
from tests.fakes import ALICE, SCOPE, TENANT, FakeClock, FakeRecorder

JOBS_URL = "https://churn.westeurope.inference.ml.azure.com/jobs"
MANAGEMENT = "https://management.azure.com"
WORKSPACE = (
    "/subscriptions/33333333-0000-4000-8000-000000000001/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/w"
)
NOW = 1_750_000_000.0
"""When FakeClock begins."""
SECRET = "a secret of more than thirty-two characters"


ASKED = jobbody.read(
    b'{"properties":{"InputData":{"d":{"JobInputType":"UriFolder","Uri":'
    b'"https://contosodata.blob.core.windows.net/transactions/2025/"}},"OutputData":{"score":{"JobOutputType":'
    b'"UriFolder","Uri":"https://contosodata.blob.core.windows.net/scores/"}}}}'
)
"""What a_batch() of tests.fakes lets its callers have."""


class Killed(BaseException):
    """The process died here."""


class Steps:
    """Counts the steps of several fakes together, and lets the process die at some of them."""

    def __init__(self, *die_at: int) -> None:
        self.die_at = frozenset(die_at)
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) in self.die_at:
            raise Killed(name)


def an_intent(**changes: Any) -> Intent:
    """Return alice's job at the batch endpoint `churn`, with `changes`; unless given, id and body fit the rest."""
    endpoint = changes.get("endpoint", "churn")
    tenant, principal = changes.get("tenant", TENANT), changes.get("principal", ALICE)
    job = changes.pop("job", None) or new_job(endpoint, tenant, principal)
    intent = Intent(
        job=job,
        endpoint="churn",
        tenant=TENANT,
        principal=ALICE,
        kind="user",
        client=None,
        app_roles=(),
        rule="analysts",
        request_id="3f0d9c1e-5a34-4a4e-9a0c-0d6d1f0f3c11",
        accepted=NOW,
        deployment=None,
        body=_body(job, principal),
        asked="a" * 64,
        url=JOBS_URL,
        scope=SCOPE,
        workspace=WORKSPACE,
        management=MANAGEMENT,
        job_timeout=86_400.0,
        notify=None,
    )
    return replace(intent, **changes)


def _body(job: str, principal: str) -> str:
    """Return what is stored of ASKED; for a made-up id just its tag."""
    if not is_job(job):
        return json.dumps({"properties": {"tags": {"groupgate-job": job}}})
    return jobbody.sent(ASKED, own_folder=True, owner=principal, job=job)


def a_stored(intent: Intent | None = None, **changes: Any) -> Stored:
    """Return a stored job, just started; `changes` are of its progress, or `running`, `created` and `updated`."""
    own = {name: changes.pop(name) for name in ("running", "created", "updated") if name in changes}
    stored = Stored(
        intent=intent or an_intent(),
        progress=replace(Progress(), **changes),
        running=True,
        created=NOW,
        updated=NOW,
    )
    return replace(stored, **own)


class FakeJobStore:
    """A ports.JobStore in memory. `fault` is raised instead of an answer; `steps` counts before and after each effect."""

    def __init__(self, *jobs: Stored, steps: Steps | None = None) -> None:
        self.jobs: dict[str, Stored] = {stored.intent.job: stored for stored in jobs}
        self.notes: dict[str, Mapping[str, str]] = {}
        self.started: list[str] = []
        self.woken: list[str] = []
        self.fault: Undecidable | None = None
        self.steps = steps or Steps()

    async def _before(self, name: str) -> None:
        self.steps(f"before {name}")
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault

    def put(self, job: str, **changes: Any) -> None:
        """Let the orchestration of `job` have come as far as `changes` say (see a_stored)."""
        stored = self.jobs[job]
        own = {name: changes.pop(name) for name in ("running", "created", "updated") if name in changes}
        self.jobs[job] = replace(stored, progress=replace(stored.progress, **changes), **own)

    async def start(self, intent: Intent) -> None:
        await self._before("start")
        self.started.append(intent.job)
        self.jobs.setdefault(intent.job, a_stored(intent))
        self.steps("after start")

    async def get(self, job: str) -> Stored | None:
        await self._before("get")
        return self.jobs.get(job)

    async def find(
        self, prefix: str, *, holds: Callable[[Intent], bool], running: bool = False
    ) -> tuple[Stored, ...]:
        await self._before("find")
        found = [
            replace(stored, intent=replace(stored.intent, body=""))
            for job, stored in self.jobs.items()
            if job.startswith(prefix) and (stored.running or not running) and holds(stored.intent)
        ]
        return tuple(reversed(found))

    async def note(self, name: str, value: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
        await self._before(f"note {name.partition('.')[0]}")
        written = name not in self.notes
        there = self.notes.setdefault(name, dict(value))
        self.steps(f"after note {name.partition('.')[0]}")
        return there, written

    async def noted(self, name: str) -> Mapping[str, str] | None:
        await self._before("noted")
        return self.notes.get(name)

    async def wake(self, job: str) -> None:
        await self._before("wake")
        self.woken.append(job)

    def marks(self, job: str) -> int:
        """Return how many attempts at `job` have been marked, from the first on."""
        count = 0
        while sending_note(job, count) in self.notes:
            count += 1
        return count


class JobRecorder(FakeRecorder):
    """A ports.Recorder that keeps the records of jobs as well, each with the status before."""

    def __init__(self, *, steps: Steps | None = None) -> None:
        super().__init__()
        self.jobs: list[tuple[Intent, Progress, str | None]] = []
        self.steps = steps or Steps()

    async def job(self, intent: Intent, progress: Progress, *, previous: str | None) -> None:
        self.steps("before record")
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.jobs.append((intent, progress, previous))
        self.steps("after record")

    @property
    def states(self) -> list[tuple[str | None, str]]:
        """Return the changes: the status before and after of each record."""
        return [(previous, progress.status) for _, progress, previous in self.jobs]

    @property
    def flagged(self) -> bool:
        """Say whether any record names a duplicate."""
        return any(progress.duplicate_suspected for _, progress, _ in self.jobs)


class FakeAzureMLJobs:
    """What Azure ML does, in memory, in place of shared.jobs.azureml.AzureMLJobs.

    `script` holds what the next submissions come to: None is a success, an exception is raised and nothing is taken,
    `Taken(exception)` takes the job and raises all the same. `statuses` is what a job goes through, look by look; it
    stays at the last; where there is a `plan` instead, the status is the last one whose seconds since the submission have
    passed on `clock`. `find` sees what is not `hidden`, unless `unsearchable` says why it cannot look.
    """

    def __init__(self, *script: BaseException | Taken | None, steps: Steps | None = None) -> None:
        self.script = list(script)
        self.steps = steps or Steps()
        self.taken: list[dict[str, Any]] = []
        """Every job that was started: `name`, `body`, `key`, `where`, `since`, `looks`, `cancelled`."""
        self.statuses: list[str | BaseException] = ["Queued", "Running", "Completed"]
        self.plan: list[tuple[float, str]] = []
        self.clock = FakeClock()
        self.outputs: dict[str, Any] = {"score": {"uri": "https://contoso.blob.core.windows.net/out/1"}}
        self.deployments: list[str | None] = [None]
        """What each look tells, as `statuses`."""
        self.hidden = False
        self.unsearchable: Later | Refused | None = None
        self.uncancellable: Later | Refused | None = None
        self.heeds_cancel = True
        self.calls: list[str] = []
        self.wheres: list[Where] = []

    def _begin(self, verb: str, where: Where) -> None:
        self.steps(f"before {verb}")
        self.calls.append(verb)
        self.wheres.append(where)

    def _job(self, name: str) -> dict[str, Any]:
        for job in self.taken:
            if job["name"] == name:
                return job
        raise Lost

    async def submit(self, where: Where, body: str, *, key: str) -> Submitted:
        self._begin("submit", where)
        await asyncio.sleep(0)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, BaseException):
            raise step
        name = f"batchjob-{len(self.taken)}"
        self.taken.append(
            {
                "name": name,
                "body": body,
                "key": key,
                "where": where,
                "since": self.clock.time(),
                "looks": 0,
                "cancelled": False,
            }
        )
        self.steps("after submit")
        if isinstance(step, Taken):
            raise step.fault
        return Submitted(name=name, arm_id=f"{WORKSPACE}/batchEndpoints/churn/jobs/{name}")

    async def find(self, where: Where, job: str) -> Submitted | None:
        self._begin("find", where)
        await asyncio.sleep(0)
        if self.unsearchable is not None:
            raise self.unsearchable
        for one in () if self.hidden else self.taken:
            if json.loads(one["body"])["properties"]["tags"]["groupgate-job"] == job:
                return Submitted(name=one["name"], arm_id=None)
        return None

    async def status(self, where: Where, name: str) -> Seen:
        self._begin("status", where)
        await asyncio.sleep(0)
        job = self._job(name)
        look = job["looks"]
        job["looks"] += 1
        status = self.statuses[min(look, len(self.statuses) - 1)]
        if self.plan:
            age = self.clock.time() - job["since"]
            status = next(word for after, word in reversed(self.plan) if age >= after)
        if isinstance(status, BaseException):
            raise status
        if job["cancelled"] and self.heeds_cancel and status not in ("Completed", "Failed"):
            status = "Canceled"
        return Seen(
            status=status,
            outputs=self.outputs if status in ("Completed", "Succeeded") else {},
            deployment=self.deployments[min(look, len(self.deployments) - 1)],
            arm_id=f"{WORKSPACE}/batchEndpoints/churn/jobs/{name}",
        )

    async def cancel(self, where: Where, name: str, arm_id: str | None) -> None:
        self._begin("cancel", where)
        await asyncio.sleep(0)
        if self.uncancellable is not None:
            raise self.uncancellable
        self._job(name)["cancelled"] = True
        self.steps("after cancel")


class Taken:
    """A submission that Azure ML took, and whose answer was lost as `fault` says; by default Unclear."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.fault = fault or Unclear("upstream-timeout")
