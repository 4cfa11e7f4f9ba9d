"""What became of an attempt to submit a job: how it is found out, and how it is written down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from copy import replace
from typing import Final

from shared.job import Stored
from shared.jobs import ids, steps
from shared.jobs.azureml import AzureMLJobs, Later, Refused
from shared.jobs.reach import Reach
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.ports import Clock, JobStore, Recorder
from shared.problem import Slug, Undecidable

_log: Final = logging.getLogger("groupgate")

PATIENCE: Final = 30.0
"""Seconds after an attempt in doubt has ended until another; doubled with each, for what is asked again and again."""
LONGEST_PATIENCE: Final = 3_600.0
BLIND: Final = 3
"""Attempts in doubt that may follow each other where nobody can look the job up; after them it waits for that."""
MEND: Final = 60.0
"""Seconds until the next look where somebody has to mend something first."""

_DOUBLINGS: Final = 10


class Attempts:
    """Settles attempts."""

    def __init__(
        self, jobs: AzureMLJobs, audit: Recorder, clock: Clock, reach: Reach, sealer: Sealer
    ) -> None:
        self._jobs: Final = jobs
        self._audit: Final = audit
        self._clock: Final = clock
        self._reach: Final = reach
        self._sealer: Final = sealer

    async def take(
        self, store: JobStore, stored: Stored, value: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bool]:
        """Write the note that one run alone can write for this attempt; return what is there, and whether it is this run's."""
        return await store.note(ids.sending_note(stored.intent.job, stored.progress.attempt), value)

    async def mark(self, store: JobStore, stored: Stored, *, timeout: float) -> Mapping[str, str]:
        """Return the note of an attempt that begins now and ends within `timeout` seconds."""
        doubts = 0
        if stored.progress.duplicate_suspected:
            before = await store.noted(ids.sending_note(stored.intent.job, stored.progress.attempt - 1))
            doubts = 1 if before is None else int(before["doubts"]) + 1
        return {"at": str(self._clock.time()), "timeout": str(timeout), "doubts": str(doubts)}

    async def settle(
        self, store: JobStore, stored: Stored, mark: Mapping[str, str], *, ending: str | None = None
    ) -> Step:
        """Find out what became of an attempt whose run has said nothing, or is still running beside this one.

        `ending` says why the job is to end, None where it is not.
        """
        if "status" in mark:
            return await self.closed(stored, mark["status"], mark["code"] or None)
        name, blind = await self.found(stored)
        if name is not None:
            return await self.adopt(store, stored, name)
        name = await self.noted(store, stored)
        if name is not None:
            return await self.adopted(stored, name)
        if await self._may_be_under_way(store, stored, mark):
            return blind or Step(code=steps.SUBMISSION_UNCLEAR)
        return await self._suspect(stored, mark, blind, ending)

    async def _suspect(
        self, stored: Stored, mark: Mapping[str, str], blind: Step | None, ending: str | None
    ) -> Step:
        """Flag an attempt of which nothing is to be seen, and end the job or let another attempt begin."""
        flagged = replace(stored.progress, duplicate_suspected=True, code=steps.SUBMISSION_UNCLEAR)
        if ending is not None:
            stored = replace(stored, progress=flagged)
            if blind is None:
                return await self.closed(stored, "Canceled", why(ending))
            return await self.closed(stored, "Failed", steps.CANCEL_NOT_CONFIRMED)
        if blind is not None and int(mark["doubts"]) >= BLIND:
            return blind
        await self._audit.job(stored.intent, flagged, previous=flagged.status)
        _log.warning("job %s may run twice: attempt %d ended in doubt", stored.intent.job, flagged.attempt)
        return Step(attempt=flagged.attempt + 1, duplicate_suspected=True, code=flagged.code)

    async def found(self, stored: Stored) -> tuple[str | None, Step | None]:
        """Return the name of the job that carries the tag, None for none, and what to wait for where nobody could look."""
        blind: Step | None = Step(code=Slug.GATEWAY_MISCONFIGURED, wait=MEND)
        for where in self._reach.everywhere(stored.intent):
            try:
                found = await self._jobs.find(where, stored.intent.job)
            except Later as later:
                return None, Step(code=later.code, wait=later.seconds or 0.0)
            except Refused as refused:
                return None, Step(code=refused.code)
            if found is not None:
                return found.name, None
            blind = None
        return None, blind

    async def _may_be_under_way(self, store: JobStore, stored: Stored, mark: Mapping[str, str]) -> bool:
        """Say whether it is too early for another attempt: the one in doubt may still be sending, or not be listed yet."""
        unclear = await store.noted(ids.unclear_note(stored.intent.job, stored.progress.attempt))
        since = float(mark["at"]) + float(mark["timeout"]) if unclear is None else float(unclear["at"])
        patience = min(LONGEST_PATIENCE, PATIENCE * 2.0 ** min(int(mark["doubts"]), _DOUBLINGS))
        return self._clock.time() < since + patience

    async def unclear(self, store: JobStore, stored: Stored, code: str) -> Step:
        """Write down that this attempt has ended, and nobody knows how."""
        name = ids.unclear_note(stored.intent.job, stored.progress.attempt)
        await store.note(name, {"at": str(self._clock.time())})
        return Step(code=code)

    async def noted(self, store: JobStore, stored: Stored) -> str | None:
        """Return the name under which Azure ML has the job, as a note of the gate's own says; None for none."""
        there = await store.noted(ids.job_note(stored.intent.job))
        return None if there is None else self._believed(stored, there)

    async def keep(self, store: JobStore, stored: Stored, name: str) -> str:
        """Write down the name under which Azure ML has the job, and return the one that counts: the gate's first."""
        job = stored.intent.job
        value = {"name": name, "seal": self._sealer.seal_name(job, name)}
        there, _ = await store.note(ids.job_note(job), value)
        return self._believed(stored, there) or name

    def _believed(self, stored: Stored, there: Mapping[str, str]) -> str | None:
        """Return the name in a note: whoever can start orchestrations can write one that names another's job."""
        name, seal = there.get("name"), there.get("seal", "")
        return name if name and self._sealer.holds_name(stored.intent.job, name, seal) else None

    async def adopt(self, store: JobStore, stored: Stored, name: str) -> Step:
        """Write down the name under which Azure ML has the job, and record that it has."""
        with suppress(
            Undecidable
        ):  # it reaches the orchestration with this very answer, or is looked up again
            name = await self.keep(store, stored, name)
        return await self.adopted(stored, name)

    async def adopted(self, stored: Stored, name: str) -> Step:
        """Record that Azure ML has the job."""
        await self._audit.job(stored.intent, replace(stored.progress, upstream=name), previous=None)
        return Step(upstream=name)

    async def closed(self, stored: Stored, status: str, code: str | None) -> Step:
        """Record the end of a job that Azure ML has not, as far as can be known."""
        progress = replace(stored.progress, status=status, code=code)
        await self._audit.job(stored.intent, progress, previous=stored.progress.status)
        return Step(status=status, code=code, duplicate_suspected=progress.duplicate_suspected)


def why(ending: str) -> str | None:
    """Return the code of a job that ended because it was to end: None for what its owner knows."""
    return None if ending == steps.CANCEL else ending
