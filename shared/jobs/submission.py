"""Submitting a job to Azure ML once, by an activity that Durable runs at least once, perhaps twice at the same time.

What is sent is decided anew (policy, membership, body), and each POST is one attempt with a number:

1. An attempt sends only if it was the one to write the note `sending.{job}.{attempt}`; and nobody ends the job unsent but
   by writing that note. Of two runs at once, and of a run and its repetition after a crash, one alone does either.
2. The number grows only by the answer of an activity: where the attempt's own run learnt that nothing was taken, or where
   that stayed in doubt and `duplicate_suspected` has been written to the audit.

So a second POST is either harmless or flagged before it is sent, whatever is lost in between. When the process dies, or
another run is under way,

- before the note: nothing was sent, and the next run is the first one.
- between the note and the answer, or the answer is unclear: the next run finds the note, and so a doubt. It looks the job
  up by its tag and adopts it. Is it not found, then after PATIENCE, counted from when that attempt must have ended, it is
  flagged, looked for once more, and sent as a new attempt.
- after the answer, before the note `job.{job}`: as above; after that note the job is adopted, and recorded once more.
- a run that comes late: its note is taken, or its number is a later one, which again one run alone has.
- the store shows an older progress than there is, or none: the number is too low, so its note is taken, and it is a doubt.
  A doubt too many costs a flag too many, never a job that nobody knows of.
- of a note it is not known whether it was written: nothing is sent; if it was, that is a doubt too.

That Azure ML removes duplicates by `repeatability_request-id` is not verified, nor that its list shows a new job at once
(protocols, 5.4 and 9.1): nothing here relies on either.
"""

from __future__ import annotations

import logging
import uuid
from typing import Final

from shared.authorize import authorize
from shared.backends import jobbody
from shared.job import Stored
from shared.jobs import ids, steps
from shared.jobs.attempts import MEND, Attempts, why
from shared.jobs.azureml import AzureMLJobs, Later, Refused, Unclear, Where
from shared.jobs.reach import Reach
from shared.jobs.steps import Step
from shared.model import Allow, Asked, Deny, Kind, Policy, Principal, Route, Wanted
from shared.operations import SUBMIT
from shared.ports import JobStore, Memberships, Recorder
from shared.problem import Problem, Slug

_log: Final = logging.getLogger("groupgate")


class Submission:
    """Brings one stored job to Azure ML."""

    def __init__(
        self,
        *,
        policy: Policy | None,
        memberships: Memberships | None,
        jobs: AzureMLJobs,
        audit: Recorder,
        attempts: Attempts,
        reach: Reach,
    ) -> None:
        self._policy: Final = policy
        self._memberships: Final = memberships
        self._jobs: Final = jobs
        self._audit: Final = audit
        self._attempts: Final = attempts
        self._reach: Final = reach

    async def step(self, store: JobStore, stored: Stored, *, ending: str | None, sealed: bool) -> Step:
        """Do what is next on the way to Azure ML; raise problem.Undecidable.

        `ending` says why the job is to end instead, None where it is not; `sealed` whether its seal holds.
        """
        job, attempt = stored.intent.job, stored.progress.attempt
        adopted = await store.noted(ids.job_note(job))
        if adopted is not None:
            return await self._attempts.adopted(stored, adopted["name"])
        mark = await store.noted(ids.sending_note(job, attempt))
        if not sealed:
            # What was sent while the seal held may run: it waits for the right secret to come back.
            waiting = Step(code=steps.INTENT_REFUSED, wait=MEND)
            return await self._refused(store, stored) if mark is None else waiting
        if mark is not None:
            return await self._attempts.settle(store, stored, mark, ending=ending)
        if stored.progress.duplicate_suspected:
            name, _ = await self._attempts.found(stored)
            if name is not None:
                return await self._attempts.adopt(store, stored, name)
        if ending is not None:
            return await self._unsent(store, stored, "Canceled", why(ending))
        return await self._begun(store, stored)

    async def _begun(self, store: JobStore, stored: Stored) -> Step:
        """Decide anew, take the attempt's number, and send."""
        policy, memberships = self._policy, self._memberships
        if policy is None or memberships is None:
            return Step(code=Slug.GATEWAY_MISCONFIGURED, wait=MEND)
        asked = _asked(stored)
        if asked is None:
            return await self._refused(store, stored)
        where = self._reach.of_policy(stored.intent)
        if not await self._allowed(stored, asked, policy, memberships) or where is None:
            return await self._unsent(store, stored, "Failed", Slug.FORBIDDEN)
        value = await self._attempts.mark(store, stored, timeout=where.timeout)
        mark, own = await self._attempts.take(store, stored, value)
        if not own:
            return await self._attempts.settle(store, stored, mark)
        return await self._sent(store, stored, where)

    async def _allowed(
        self, stored: Stored, asked: tuple[Principal, Asked], policy: Policy, memberships: Memberships
    ) -> bool:
        """Say whether the job may still be started as it is stored (threats T10, E01); raise problem.Undecidable."""
        principal, question = asked
        ruling = await authorize(policy, memberships, principal, question)
        match ruling.decision, ruling.route:
            case Allow() as allow, Route() as route:
                return _in_place(route, allow, question.wanted, stored)
            case Deny() as deny, _:
                # The reason; that the job ends for it is a record of its own.
                await self._audit.decided(
                    request_id=stored.intent.request_id, decision=deny, principal=principal, asked=question
                )
        return False

    async def _sent(self, store: JobStore, stored: Stored, where: Where) -> Step:
        """Send, as the only run that does for this attempt, and say what came of it."""
        try:
            taken = await self._jobs.submit(where, stored.intent.body, key=_key(stored.intent.job))
        except Refused as refused:
            return await self._attempts.closed(stored, "Failed", refused.code)
        except Later as later:
            return Step(attempt=stored.progress.attempt + 1, code=later.code, wait=later.seconds or 0.0)
        except Unclear as unclear:
            return await self._attempts.unclear(store, stored, unclear.code)
        return await self._attempts.adopt(store, stored, taken.name)

    async def _refused(self, store: JobStore, stored: Stored) -> Step:
        _log.warning("job %s is not as the gate stores one: it is not submitted", stored.intent.job)
        return await self._unsent(store, stored, "Failed", steps.INTENT_REFUSED)

    async def _unsent(self, store: JobStore, stored: Stored, status: str, code: str | None) -> Step:
        """End the job in place of this attempt, which then nobody sends; else see what became of it."""
        mark, own = await self._attempts.take(store, stored, {"status": status, "code": code or ""})
        if not own:
            return await self._attempts.settle(store, stored, mark)
        return await self._attempts.closed(stored, status, code)


def _asked(stored: Stored) -> tuple[Principal, Asked] | None:
    """Return who asks for what in a stored job; None where it is not what the gate stores."""
    intent = stored.intent
    try:
        wanted = jobbody.reread(intent.body, job=intent.job)
        kind = Kind(intent.kind)
    except (Problem, ValueError):
        return None
    principal = Principal(
        tenant=intent.tenant,
        oid=intent.principal,
        kind=kind,
        client=intent.client,
        app_roles=frozenset(intent.app_roles),
        groups=frozenset(intent.groups),
        issued_at=intent.issued_at,
    )
    asked = Asked(
        target="endpoint",
        name=intent.endpoint,
        operation=SUBMIT,
        deployment=intent.deployment,
        wanted=wanted,
    )
    return principal, asked


def _in_place(route: Route, allow: Allow, wanted: Wanted | None, stored: Stored) -> bool:
    """Say whether the outputs are in the owner's own folder, where the rule on record wants that."""
    terms = next(rule for rule in route.rules if rule.id == allow.rule).job
    if terms is None or wanted is None:
        return False
    intent = stored.intent
    return not terms.own_folder or jobbody.in_own_folder(wanted, owner=intent.principal, job=intent.job)


def _key(job: str) -> str:
    """Return the job's `repeatability_request-id`: the same for every attempt."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:groupgate:job:{job}"))
