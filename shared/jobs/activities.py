"""The activities of a job: all that it does outside Durable.

Each takes a job's id and nothing else, and reads what is stored: whoever holds the host's keys can call one by hand, and
then it does what it would have done anyway, or nothing. Each runs at least once, so that all they write is the same when
it is written again; a record in the audit may come twice. A reader tells repeats by this: the records of one job that
follow each other and differ in nothing but their time and place in the chain are one change. Honest changes never look
so, for each begins with the state in which the one before ended.

Nothing here ends a job because of a failure: what could not be done or asked is said in the Step's code, and asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from copy import replace
from typing import Any, Final

import msgspec

from shared.job import FINAL, Intent, Stored
from shared.jobs import ids, steps
from shared.jobs.attempts import Attempts
from shared.jobs.azureml import AzureMLJobs
from shared.jobs.notify import Notifier, NotTold
from shared.jobs.reach import Reach
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.jobs.submission import Submission
from shared.jobs.watch import Watch
from shared.model import Policy
from shared.ports import Clock, JobStore, Memberships, Recorder
from shared.problem import Undecidable

_log: Final = logging.getLogger("groupgate")

Told = dict[str, Any]
"""A Step as JSON."""


class ActivityFailed(Exception):
    """An activity did not do its work; the message says which, and a receiver's status or the kind of error."""


class Activities:
    """What Durable calls. Every method returns a Step as JSON, or raises ActivityFailed."""

    def __init__(
        self,
        *,
        policy: Policy | None,
        memberships: Memberships | None,
        jobs: AzureMLJobs,
        audit: Recorder,
        clock: Clock,
        sealer: Sealer,
        notifier: Notifier | None,
        allow_http: bool,
    ) -> None:
        """Take what the app has now; without a policy, for it is broken, jobs that run go on as far as seals let them.

        `notifier` is None without GROUPGATE_JOBS_SECRET: then nobody is told of the end of a job.
        """
        self._audit: Final = audit
        self._clock: Final = clock
        self._sealer: Final = sealer
        self._notifier: Final = notifier
        self._reach: Final = Reach(policy, sealer, allow_http=allow_http)
        attempts = Attempts(jobs, audit, clock, self._reach, sealer)
        self._watch: Final = Watch(jobs, audit, sealer, self._reach, attempts)
        self._submission: Final = Submission(
            policy=policy,
            memberships=memberships,
            jobs=jobs,
            audit=audit,
            clock=clock,
            attempts=attempts,
            reach=self._reach,
        )

    async def submit(self, store: JobStore, job: str) -> Told:
        """Decide anew and bring the job to Azure ML, once."""
        return await self._run(steps.SUBMIT, store, job, self._submit)

    async def poll(self, store: JobStore, job: str) -> Told:
        """Ask the endpoint how the job is, and record what has changed."""
        return await self._run(steps.POLL, store, job, self._poll)

    async def cancel(self, store: JobStore, job: str) -> Told:
        """Ask Azure ML to end a job that its owner or the policy's bound wants ended."""
        return await self._run(steps.CANCEL, store, job, self._cancel)

    async def end(self, store: JobStore, job: str) -> Told:
        """Record the end of a job whose status is final."""
        return await self._run(steps.END, store, job, self._end)

    async def notify(self, store: JobStore, job: str) -> Told:
        """Tell the end of a job to whom its rule says; raise ActivityFailed where that is to be tried again."""
        return await self._run(steps.NOTIFY, store, job, self._notify)

    async def _run(
        self,
        name: str,
        store: JobStore,
        job: object,
        do: Callable[[JobStore, Stored], Awaitable[Step]],
    ) -> Told:
        try:
            stored = await _running(store, job)
            if stored is None and name == steps.NOTIFY and isinstance(job, str) and ids.is_job(job):
                raise ActivityFailed(f"{name}: no such job")
            step = Step() if stored is None else await do(store, stored)
        except ActivityFailed:
            raise
        except Undecidable as fault:
            if name == steps.NOTIFY:
                # Only a failure is tried again by Durable: an answer would say that the end has been told.
                raise ActivityFailed(f"{name}: {fault.slug}") from None
            step = Step(code=fault.slug, wait=fault.retry_after or 0.0)
        except NotTold as fault:
            _log.warning("the end of job %s was not told: %s", job, fault)
            raise ActivityFailed(f"{name}: {fault}") from None
        except Exception as fault:  # noqa: BLE001 - it goes on as a failure, but for its text
            # Durable keeps the text of what is raised, and the host logs it with its causes.
            _log.error("%s failed: %s", name, type(fault).__name__)
            raise ActivityFailed(f"{name}: {type(fault).__name__}") from None
        told: Told = msgspec.to_builtins(step)
        return told

    async def _submit(self, store: JobStore, stored: Stored) -> Step:
        if stored.progress.status in FINAL:
            return Step()
        if stored.progress.upstream is not None:
            return Step(upstream=stored.progress.upstream)
        ending = await self._ending(store, stored.intent)
        sealed = self._sealer.holds(stored.intent)
        return await self._submission.step(store, stored, ending=ending, sealed=sealed)

    async def _poll(self, store: JobStore, stored: Stored) -> Step:
        return await self._watch.poll(store, stored, ending=await self._ending(store, stored.intent))

    async def _cancel(self, store: JobStore, stored: Stored) -> Step:
        if await self._ending(store, stored.intent) is None:
            return Step()
        return await self._watch.cancel(store, stored)

    async def _end(self, store: JobStore, stored: Stored) -> Step:
        del store
        intent, progress = stored.intent, stored.progress
        if progress.status not in FINAL or progress.ended:
            return Step(ended=progress.ended)
        if not self._sealer.holds(intent):
            # Somebody has put it there, or the secret is another one: what it says of itself is not believed.
            progress = replace(progress, status="Failed", code=steps.INTENT_REFUSED)
        await self._audit.job(intent, replace(progress, ended=True), previous=progress.status)
        return Step(ended=True)

    async def _notify(self, store: JobStore, stored: Stored) -> Step:
        del store
        intent = stored.intent
        if self._notifier is None or intent.notify is None or stored.progress.status not in FINAL:
            return Step()
        if self._sealer.secured and self._sealer.holds(intent) and self._may_tell(intent, intent.notify):
            # The same at every try, for a receiver tells them by one id; not so when its storage was last written.
            ended = stored.updated if stored.progress.ended_at is None else stored.progress.ended_at
            await self._notifier.tell(intent.notify, intent, stored.progress, ended=ended)
        return Step()

    def _may_tell(self, intent: Intent, url: str) -> bool:
        """Say whether the policy lets jobs of this endpoint be told there; a policy that has lost the endpoint says nothing."""
        route = self._reach.route(intent)
        if route is None:
            return True
        return any(rule.job is not None and rule.job.notify == url for rule in route.rules)

    async def _ending(self, store: JobStore, intent: Intent) -> str | None:
        """Return why the job is to end: `steps.CANCEL` for its owner's wish, `steps.JOB_TIMEOUT`, or None."""
        if await store.noted(ids.cancel_note(intent.job)) is not None:
            return steps.CANCEL
        return steps.JOB_TIMEOUT if self._clock.time() >= intent.accepted + intent.job_timeout else None


async def _running(store: JobStore, job: object) -> Stored | None:
    """Return the job with this id, None unless it is one whose orchestration runs, under its own name."""
    if not isinstance(job, str) or not ids.is_job(job):
        return None
    stored = await store.get(job)
    if stored is None or not stored.running or stored.intent.job != job:
        return None
    return stored
