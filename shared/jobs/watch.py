"""A job that Azure ML has: how it is, and how it is ended there."""

from __future__ import annotations

from copy import replace
from typing import Any, Final

from shared.job import FINAL, Intent, Stored
from shared.jobs import steps
from shared.jobs.attempts import MEND, Attempts, why
from shared.jobs.azureml import AzureMLJobs, Later, Lost, Refused, Seen, Where
from shared.jobs.reach import Reach
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.ports import JobStore, Recorder
from shared.problem import Slug

_CLASS: Final = "__class__"
"""A member by which Durable's library takes an object for one of a class of its own, and makes it (df_loads)."""


class Watch:
    """Looks at jobs where they run."""

    def __init__(
        self, jobs: AzureMLJobs, audit: Recorder, sealer: Sealer, reach: Reach, attempts: Attempts
    ) -> None:
        self._jobs: Final = jobs
        self._audit: Final = audit
        self._sealer: Final = sealer
        self._reach: Final = reach
        self._attempts: Final = attempts

    async def poll(self, store: JobStore, stored: Stored, *, ending: str | None) -> Step:
        """Ask the endpoint how the job is, and record what has changed; raise problem.Undecidable.

        `ending` says why the job is to end, None where it is not.
        """
        intent, before = stored.intent, stored.progress
        if not self._sealer.holds(intent):
            return Step(code=steps.INTENT_REFUSED, wait=MEND)
        name = await self._name(store, stored)
        if name is None:
            return Step()
        if isinstance(name, Step):
            return _waiting(name, ending)
        found = await self._seen(intent, name)
        if isinstance(found, Step):
            return _waiting(found, ending)
        seen, outputs = found[1], _plain(found[1].outputs)
        code = _code(seen.status, ending) if seen.status in FINAL else _waits_for(ending)
        known = before.deployment or intent.deployment
        if known is not None and seen.deployment is not None and seen.deployment != known:
            moved = replace(before, upstream=name, deployment=seen.deployment, code=steps.DEPLOYMENT_CHANGED)
            await self._audit.job(intent, moved, previous=before.status)
        if seen.status != before.status:
            now = replace(
                before,
                status=seen.status,
                upstream=name,
                code=code,
                outputs=outputs,
                deployment=seen.deployment or before.deployment,
            )
            await self._audit.job(intent, now, previous=before.status)
        return Step(
            status=seen.status,
            code=code,
            outputs=outputs,
            deployment=seen.deployment,
            cancel=ending is not None,
        )

    async def cancel(self, store: JobStore, stored: Stored) -> Step:
        """Ask Azure ML to end the job; raise problem.Undecidable."""
        if not self._sealer.holds(stored.intent):
            return Step()
        name = await self._name(store, stored)
        if not isinstance(name, str):
            return name or Step()
        found = await self._seen(stored.intent, name)
        if isinstance(found, Step):
            # A silent endpoint may have left its job running: the policy says in which workspace. What an endpoint does
            # not know may be anybody's there.
            places = self._reach.everywhere(stored.intent)
            if not places or found.code == Slug.UPSTREAM_NOT_FOUND:
                return found
            where, arm_id = places[0], None
        elif found[1].status in FINAL:
            return Step()
        else:
            where, arm_id = found[0], found[1].arm_id
        try:
            await self._jobs.cancel(where, name, arm_id)
        except (Later, Refused) as fault:
            return _again(fault)
        return Step()

    async def _name(self, store: JobStore, stored: Stored) -> str | Step | None:
        """Return the job's name at Azure ML; None where it has none yet, or the job is over; else what to wait for.

        Progress has no seal. Where there are seals, a name that it alone has is looked up by the job's tag.
        """
        if stored.progress.status in FINAL:
            return None
        name = await self._attempts.noted(store, stored)
        if name is not None or stored.progress.upstream is None:
            return name
        if not self._sealer.secured:
            return stored.progress.upstream
        name, blind = await self._attempts.found(stored)
        if name is None:
            return blind or Step(code=Slug.UPSTREAM_NOT_FOUND)
        return await self._attempts.keep(store, stored, name)

    async def _seen(self, intent: Intent, name: str) -> tuple[Where, Seen] | Step:
        """Return the job as an endpoint reports it, and which one; else what to wait for."""
        step = Step(code=Slug.GATEWAY_MISCONFIGURED, wait=MEND)
        for where in self._reach.everywhere(intent):
            try:
                return where, await self._jobs.status(where, name)
            except Lost:
                step = Step(code=Slug.UPSTREAM_NOT_FOUND)
            except (Later, Refused) as fault:
                return _again(fault)
        return step


def _waits_for(ending: str | None) -> str | None:
    return None if ending is None else why(ending)


def _waiting(step: Step, ending: str | None) -> Step:
    """Return a step that learnt nothing, with what is known of the job all the same."""
    return replace(step, code=step.code or _waits_for(ending), cancel=ending is not None)


def _again(fault: Later | Refused) -> Step:
    wait = fault.seconds if isinstance(fault, Later) else None
    return Step(code=fault.code, wait=wait or 0.0)


def _plain(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return outputs that Durable's library reads as what they are: callers name them, and so does the service."""
    return {
        name: _plain(value) if isinstance(value, dict) else value
        for name, value in outputs.items()
        if name != _CLASS
    }


def _code(status: str, ending: str | None) -> str | None:
    """Return why a job has ended as it has."""
    if status == "Failed":
        return steps.JOB_FAILED
    if status != "Canceled":
        return None
    return steps.CANCELED_AT_AZURE if ending is None else why(ending)
