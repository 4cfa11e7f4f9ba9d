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
- the progress has a number that nobody gave it: the note of the number before is missing, or says that the job has ended.
  Nothing is sent.

Where an earlier attempt stayed in doubt the job is looked up once more before it ends. If nobody can look, it ends as
what may run, whatever ended it.

That Azure ML removes duplicates by `repeatability_request-id` is not verified, nor that its list shows a new job at once
(protocols, 5.4 and 9.1): nothing here relies on either.
"""

from __future__ import annotations

import logging
import uuid
from typing import Final

from msgspec.structs import replace

from shared.authorize import authorize
from shared.backends import jobbody
from shared.job import Stored
from shared.jobs import ids, steps
from shared.jobs.attempts import MEND, Attempts, why
from shared.jobs.azureml import AUTH_PAUSE, AzureMLJobs, Later, Refused, Unclear, Where
from shared.jobs.reach import Reach
from shared.jobs.steps import Step
from shared.model import (
    Allow,
    Asked,
    Deny,
    Effect,
    Kind,
    Policy,
    Principal,
    Reason,
    Route,
    Rule,
    Wanted,
)
from shared.operations import SUBMIT
from shared.ports import Clock, JobStore, Memberships, Recorder
from shared.problem import Problem, Slug

_log: Final = logging.getLogger("groupgate")

LONGEST_AUTH_PAUSE: Final = 600.0
"""Seconds between two attempts, at most, while the gate's own identity is refused or has no token."""


class Submission:
    """Brings one stored job to Azure ML."""

    def __init__(
        self,
        *,
        policy: Policy | None,
        memberships: Memberships | None,
        jobs: AzureMLJobs,
        audit: Recorder,
        clock: Clock,
        attempts: Attempts,
        reach: Reach,
    ) -> None:
        self._policy: Final = policy
        self._memberships: Final = memberships
        self._jobs: Final = jobs
        self._audit: Final = audit
        self._clock: Final = clock
        self._attempts: Final = attempts
        self._reach: Final = reach

    async def step(self, store: JobStore, stored: Stored, *, ending: str | None, sealed: bool) -> Step:
        """Do what is next on the way to Azure ML; raise problem.Undecidable.

        `ending` says why the job is to end instead, None where it is not; `sealed` whether its seal holds.
        """
        job, attempt = stored.intent.job, stored.progress.attempt
        name = await self._attempts.noted(store, stored)
        if name is not None:
            return await self._attempts.adopted(stored, name)
        mark = await store.noted(ids.sending_note(job, attempt))
        if not sealed:
            # What was sent while the seal held may run: it waits for the right secret to come back.
            waiting = Step(code=steps.INTENT_REFUSED, wait=MEND)
            in_doubt = mark is not None or stored.progress.duplicate_suspected
            return waiting if in_doubt else await self._refused(store, stored)
        if mark is not None:
            return await self._attempts.settle(store, stored, mark, ending=ending)
        return await self._next(store, stored, ending)

    async def _next(self, store: JobStore, stored: Stored, ending: str | None) -> Step:
        """Begin an attempt, or end the job, where nobody has done either with this number."""
        job, attempt = stored.intent.job, stored.progress.attempt
        before = None if attempt == 0 else await store.noted(ids.sending_note(job, attempt - 1))
        if before is not None and "status" in before:
            return await self._attempts.closed(stored, before["status"], before["code"] or None)
        unfounded = attempt != 0 and before is None
        blind = False
        if stored.progress.duplicate_suspected or unfounded:
            name, waits_for = await self._attempts.found(stored)
            if name is not None:
                return await self._attempts.adopt(store, stored, name)
            blind = waits_for is not None
        if unfounded:
            return await self._refused(store, stored, blind=blind)
        if ending is not None:
            end = ("Failed", steps.CANCEL_NOT_CONFIRMED) if blind else ("Canceled", why(ending))
            return await self._unsent(store, stored, *end)
        return await self._begun(store, stored, blind=blind)

    async def _begun(self, store: JobStore, stored: Stored, *, blind: bool) -> Step:
        """Decide anew, take the attempt's number, and send.

        `blind` says that an earlier attempt may have been taken, and nobody can look.
        """
        policy, memberships = self._policy, self._memberships
        if policy is None or memberships is None:
            return Step(code=Slug.GATEWAY_MISCONFIGURED, wait=MEND)
        route = self._reach.route(stored.intent)
        asked = _asked(stored, aged=route is not None and self._aged(stored, route))
        if asked is None:
            return await self._refused(store, stored, blind=blind)
        where = self._reach.of_policy(stored.intent)
        if not await self._allowed(stored, asked, policy, memberships) or where is None:
            return await self._unsent(store, stored, "Failed", _doubtful(Slug.FORBIDDEN, blind))
        value = await self._attempts.mark(store, stored, timeout=where.timeout)
        mark, own = await self._attempts.take(store, stored, value)
        if not own:
            return await self._attempts.settle(store, stored, mark)
        return await self._sent(store, stored, where, blind=blind)

    def _aged(self, stored: Stored, route: Route) -> bool:
        """Say whether the caller's app roles are too old to count (threat E01): the directory is never asked for them.

        They count from the request, whose token had them: how old that was by then made no difference there either.
        """
        return self._clock.time() - stored.intent.accepted > route.lifetimes.max_age

    async def _allowed(
        self, stored: Stored, asked: tuple[Principal, Asked], policy: Policy, memberships: Memberships
    ) -> bool:
        """Say whether the job may still be started as it is stored (threats T10, E01); raise problem.Undecidable."""
        principal, question = asked
        ruling = await authorize(policy, memberships, principal, question)
        decision = ruling.decision
        if isinstance(decision, Allow):
            fitting = _fitting(ruling.route, question.wanted, stored)
            if any(rule.id == decision.rule for rule in fitting):
                return True
            # To the rule on record it is a misfit like any other: a later one may let it.
            ruling = await authorize(_only(policy, ruling.route, fitting), memberships, principal, question)
            if isinstance(ruling.decision, Allow):
                return True
            decision = Deny(reason=Reason.INPUT_NOT_ALLOWED)
        elif decision.reason is Reason.INPUT_NOT_ALLOWED:
            # As for a request: that somebody is no member counts before what the job would have.
            standing = await authorize(policy, memberships, principal, replace(question, wanted=None))
            decision = decision if isinstance(standing.decision, Allow) else standing.decision
        # The reason; that the job ends for it is a record of its own.
        await self._audit.decided(
            request_id=stored.intent.request_id, decision=decision, principal=principal, asked=question
        )
        return False

    async def _sent(self, store: JobStore, stored: Stored, where: Where, *, blind: bool) -> Step:
        """Send, as the only run that does for this attempt, and say what came of it."""
        try:
            taken = await self._jobs.submit(where, stored.intent.body, key=_key(stored.intent.job))
        except Refused as refused:
            return await self._no(store, stored, refused, blind=blind)
        except Later as later:
            return Step(attempt=stored.progress.attempt + 1, code=later.code, wait=_wait(later, stored))
        except Unclear as unclear:
            return await self._attempts.unclear(store, stored, unclear.code)
        return await self._attempts.adopt(store, stored, taken.name)

    async def _no(self, store: JobStore, stored: Stored, refused: Refused, *, blind: bool) -> Step:
        """End a job whose attempt was refused; that says nothing of an earlier one in doubt."""
        if stored.progress.duplicate_suspected and not blind:
            name, waits_for = await self._attempts.found(stored)
            if name is not None:
                return await self._attempts.adopt(store, stored, name)
            # A conflict may be one with the attempt in doubt.
            blind = waits_for is not None or refused.status == 409
        return await self._attempts.closed(stored, "Failed", _doubtful(refused.code, blind))

    async def _refused(self, store: JobStore, stored: Stored, *, blind: bool = False) -> Step:
        _log.warning("job %s is not as the gate stores one: it is not submitted", stored.intent.job)
        return await self._unsent(store, stored, "Failed", _doubtful(steps.INTENT_REFUSED, blind))

    async def _unsent(self, store: JobStore, stored: Stored, status: str, code: str | None) -> Step:
        """End the job in place of this attempt, which then nobody sends; else see what became of it."""
        mark, own = await self._attempts.take(store, stored, {"status": status, "code": code or ""})
        if not own:
            return await self._attempts.settle(store, stored, mark)
        return await self._attempts.closed(stored, status, code)


def _asked(stored: Stored, *, aged: bool) -> tuple[Principal, Asked] | None:
    """Return who asks for what in a stored job, without app roles that have `aged`; None where the gate stores no such."""
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
        app_roles=frozenset() if aged else frozenset(intent.app_roles),
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


def _fitting(route: Route | None, wanted: Wanted | None, stored: Stored) -> tuple[Rule, ...]:
    """Return the rules that let the outputs be where they are, and all deny rules: most want the owner's own folder."""
    if route is None or wanted is None:
        return ()
    in_place = jobbody.in_own_folder(wanted, owner=stored.intent.principal, job=stored.intent.job)
    return tuple(
        rule
        for rule in route.rules
        if rule.effect is Effect.DENY or (rule.job is not None and (in_place or not rule.job.own_folder))
    )


def _only(policy: Policy, route: Route | None, rules: tuple[Rule, ...]) -> Policy:
    """Return the policy with only these rules of `route`."""
    if route is None:
        return policy
    return replace(policy, routes={**policy.routes, (route.target, route.name): replace(route, rules=rules)})


def _doubtful(code: str, blind: bool) -> str:
    """Return the code with which a job ends; where an earlier attempt may run unseen, one that says no more than that."""
    return steps.SUBMISSION_UNCLEAR if blind else code


def _wait(later: Later, stored: Stored) -> float:
    """Return the seconds until the next attempt. Each has a note: they grow where only people can help, and need days."""
    if later.code not in (Slug.UPSTREAM_AUTH_FAILED, Slug.CREDENTIAL_UNAVAILABLE):
        return later.seconds or 0.0
    return min(LONGEST_AUTH_PAUSE, max(later.seconds or AUTH_PAUSE, 2 * stored.progress.wait))


def _key(job: str) -> str:
    """Return the job's `repeatability_request-id`: the same for every attempt."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:groupgate:job:{job}"))
