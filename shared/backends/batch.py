"""Azure ML batch endpoints: jobs that callers submit, list, look at and cancel, and that outlive the request.

Nothing is sent to Azure ML here. What was decided becomes an intent, which the store of jobs takes durably before the caller
reads 202; what is told of a job is what the store has of it (protocols, 5; threats T10, I07, D10).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from copy import replace
from typing import Final, cast

from shared.backends import jobview, submission
from shared.backends.idempotency import Turns, claim
from shared.backends.jobplaces import Places
from shared.backends.online import DEPLOYMENT
from shared.backends.submission import Submission, check_no_query
from shared.flight import Flights
from shared.job import Intent, Progress, Stored
from shared.jobs import ids
from shared.model import Allow, Asked, Inbound, Principal, Reason, Reply, Route, Rule
from shared.operations import CANCEL_JOB, LIST, STATUS, SUBMIT
from shared.ports import Call, Clock, Decide, Forwarded, JobStore
from shared.problem import NotFound, Undecidable, UpstreamFault

_WRITES: Final = {("jobs", "POST"): SUBMIT, ("job", "DELETE"): CANCEL_JOB}
_READS: Final = {"jobs": LIST, "job": STATUS}


class BatchAsked(Asked, frozen=True, kw_only=True):
    """What a request wants of a batch endpoint, with what its parsing left."""

    submission: Submission | None = None


class JobCall(Call, frozen=True, kw_only=True):
    """A call that the store of jobs answers."""

    store: JobStore
    rule: Rule
    """The one on record."""
    submission: Submission | None = None
    held: ExitStack | None = None
    """The owner's turn to start the job, and the place at the store; None where nothing more is asked of it."""
    before: Stored | None = None
    """The job that the caller's key has started before."""
    found: tuple[Stored, ...] = ()
    """The jobs of a list."""


class Batch:
    """The Backend of batch endpoints."""

    def __init__(
        self, clock: Clock, *, seal: Callable[[Intent], Intent], holds: Callable[[Intent], bool]
    ) -> None:
        """Take `seal`, which returns an intent with what proves later that the gate made it, and `holds`, which says so."""
        self._clock: Final = clock
        self._seal: Final = seal
        self._holds: Final = holds
        self._places: Final = Places()
        self._turns: Final = Turns()
        self._starts: Final[Flights[str, None, None]] = Flights()

    def read(self, inbound: Inbound) -> BatchAsked:
        """Return what is asked. A repeated deployment header names no deployment that a policy can hold."""
        operation = _WRITES.get((inbound.route, inbound.method)) or _READS[inbound.route]
        job = inbound.params.get("id", "")
        return BatchAsked(
            target="endpoint",
            name=inbound.params.get("name", ""),
            operation=operation,
            # Only what is submitted goes to a deployment; a client that names one everywhere is not refused for it.
            deployment=inbound.headers.joined(DEPLOYMENT) if operation == SUBMIT else None,
            job_id=job if ids.is_job(job) else None,
        )

    async def resolve(self, asked: Asked, inbound: Inbound, principal: Principal) -> Asked:
        """Return `asked` as it is: neither a body nor the store is looked at for somebody who is refused."""
        del inbound, principal
        return asked

    async def specify(
        self, route: Route, asked: Asked, inbound: Inbound, principal: Principal, decide: Decide
    ) -> Asked:
        """Return what a submitted job wants (411, 413, 415, 400, 403), or whose job or list it is (400, 404)."""
        asked = _own(asked)
        if asked.operation == SUBMIT:
            submitted = await submission.read(inbound, asked.deployment, limit=route.max_body)
            return replace(asked, wanted=submitted.content.wanted, submission=submitted)
        check_no_query(inbound)
        everyones = replace(asked, everyones=True)
        if asked.operation == LIST:
            try:
                return everyones if isinstance(await decide(everyones), Allow) else asked
            except Undecidable:
                # Whether others' jobs are shown, nobody can tell now; the caller's own are, which the gate has decided.
                return asked
        async with self._places.one(route):
            stored = await self._visible(_store(inbound), asked, principal)
        if stored is not None and stored.intent.principal == principal.oid:
            return replace(asked, job=stored)
        # Asked for a job that is not there as well: time and failures of the answer tell no difference (threat I07).
        decision = await decide(everyones)
        if stored is None:
            raise NotFound(Reason.JOB_NOT_FOUND)
        if not isinstance(decision, Allow):
            raise NotFound(Reason.JOB_OWNER_MISMATCH)
        return replace(everyones, job=stored)

    async def prepare(
        self,
        route: Route,
        asked: Asked,
        inbound: Inbound,
        *,
        rule: Rule,
        principal: Principal,
        request_id: str,
    ) -> JobCall:
        """Return the call; a job's id is chosen when its turn comes, for its key may have one already."""
        asked = _own(asked)
        return JobCall(
            route=route,
            asked=asked,
            request_id=request_id,
            method=inbound.method,
            url=route.url,
            headers={},
            body=None,
            deadline=self._clock.monotonic() + route.timeout,
            streams=False,
            principal=principal,
            store=_store(inbound),
            rule=rule,
            submission=asked.submission,
        )

    async def take(self, call: Call) -> JobCall:
        """Find what is listed, or give a job its id and its owner's turn to start it.

        Raise problem.Problem (429, 409, 503) with nothing taken.
        """
        call = _job_call(call)
        if call.asked.operation == LIST:
            async with self._places.list(call.route):
                return replace(call, found=await self._listed(call))
        if call.asked.operation == STATUS:
            return call
        with ExitStack() as held:
            if call.submission is not None:
                return await self._claimed(call, call.submission, held)
            held.callback(await self._places.take(call.route))
            return replace(call, held=held.pop_all())

    async def _claimed(self, call: JobCall, submitted: Submission, held: ExitStack) -> JobCall:
        owner = (call.route.name, call.principal.tenant, call.principal.oid)
        # First the turn: who waits for an earlier start of their own takes no place from others.
        turn = await self._turns.take(owner, timeout=call.route.timeout)
        held.callback(turn.give_back)
        held.callback(await self._places.take(call.route))
        claimed = await claim(
            call.store,
            owner,
            key=submitted.key,
            digest=submitted.digest,
            most=0 if call.route.batch is None else call.route.batch.running_jobs,
            holds=self._holds,
        )
        if claimed.before is not None:
            return replace(call, before=claimed.before)
        intent = self._intent(call, submitted, claimed.job)
        return replace(call, intent=intent, body=intent.body.encode(), held=held.pop_all())

    async def send(self, call: Call) -> Forwarded:
        """Do what is asked and return the answer; raise problem.UpstreamFault where the store does not say if it did."""
        call = _job_call(call)
        try:
            reply = await self._reply(call)
        except Undecidable as fault:
            raise UpstreamFault(fault.slug, outcome="unknown") from fault
        finally:
            if call.intent is None:  # a start gives back itself, when it has ended
                self.release(call)
        return Forwarded(reply=reply, upstream_status=None, first_byte=self._clock.monotonic())

    def release(self, call: Call) -> None:
        """Give back turn and place, where any are held. Idempotent."""
        held = _job_call(call).held
        if held is not None:
            held.close()

    def _intent(self, call: JobCall, submitted: Submission, job: str) -> Intent:
        return self._seal(
            submission.intent(
                submitted,
                job=job,
                route=call.route,
                rule=call.rule,
                principal=call.principal,
                request_id=call.request_id,
                accepted=self._clock.time(),
            )
        )

    async def _reply(self, call: JobCall) -> Reply:
        if call.asked.operation == LIST:
            return jobview.listing(call.found)
        if call.intent is not None:
            # Once begun it ends, though the caller goes away meanwhile: the next turn counts what this one starts.
            await self._starts.launch(call.intent.job, None, self._start(call, call.intent)).land()
            return jobview.accepted(call.intent, Progress())
        if call.before is not None:
            return jobview.accepted(call.before.intent, jobview.seen(call.before))
        stored = call.asked.job
        if stored is None:
            raise TypeError("nothing to answer from")
        if call.asked.operation == STATUS or jobview.is_final(jobview.seen(stored)):
            return jobview.status(stored)
        _, first = await call.store.note(ids.cancel_note(stored.intent.job), {"request": call.request_id})
        if first:  # each event is history that Durable replays: one hastens as much as a thousand
            with suppress(Undecidable):  # and only what the note has made sure of
                await call.store.wake(stored.intent.job)
        return jobview.cancelling(stored)

    async def _visible(self, store: JobStore, asked: BatchAsked, principal: Principal) -> Stored | None:
        """Return the job that the address names; None for one that the gate did not store, or for others than these."""
        stored = None if asked.job_id is None else await store.get(asked.job_id)
        if stored is None or stored.intent.job != asked.job_id or not self._holds(stored.intent):
            return None
        return stored if _is_of(stored, asked.name, principal) else None

    async def _listed(self, call: JobCall) -> tuple[Stored, ...]:
        name, principal, everyones = call.route.name, call.principal, call.asked.everyones
        own = ids.owner_prefix(name, principal.tenant, principal.oid)
        prefix = ids.endpoint_prefix(name) if everyones else own
        found = await call.store.find(prefix, holds=self._holds)
        # A prefix is a shortened digest: whose a job is, its intent says.
        return tuple(
            stored
            for stored in found
            if _is_of(stored, name, principal) and (everyones or stored.intent.principal == principal.oid)
        )

    async def _start(self, call: JobCall, intent: Intent) -> None:
        try:
            await call.store.start(intent)
        finally:
            self.release(call)


def _is_of(stored: Stored, endpoint: str, principal: Principal) -> bool:
    return stored.intent.endpoint == endpoint and stored.intent.tenant == principal.tenant


def _store(inbound: Inbound) -> JobStore:
    if inbound.jobs is None:
        raise Undecidable(Reason.JOB_STORE_UNAVAILABLE)
    return cast("JobStore", inbound.jobs)


def _own(asked: Asked) -> BatchAsked:
    if not isinstance(asked, BatchAsked):
        raise TypeError("asked of another backend")
    return asked


def _job_call(call: Call) -> JobCall:
    if not isinstance(call, JobCall):
        raise TypeError("a call of another backend")
    return call
