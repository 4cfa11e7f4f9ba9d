"""What is recorded of decisions, outcomes and jobs (design, ruling "Audit record"): the only maker of audit records."""

from __future__ import annotations

import logging
from typing import Final, Literal

import msgspec

from shared.audit.job import job_record
from shared.audit.line import clean, encode, timestamp
from shared.job import Intent, Progress
from shared.model import Allow, Asked, Deny, Principal, Reason, Usage
from shared.ports import AuditSink, Clock
from shared.problem import Problem, Undecidable

_LOGGER: Final = logging.getLogger("groupgate")


class Membership(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a decision rests on: where the fact came from, its age in seconds, and the group that let the caller in."""

    source: str
    age_s: float
    group: str | None
    """Object id; null where the decision is no allow."""


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a decision, but for `seq` and `previous`, which the sink adds."""

    event: Literal["decision"] = "decision"
    time: str
    request_id: str | None
    instance: str
    process: str
    tenant: str | None
    principal: str | None
    kind: str | None
    client: str | None
    route: str | None
    operation: str | None
    deployment: str | None
    job: str | None
    """The batch job that was asked about, known or not, or whose end was asked; a new one is named by its own records."""
    decision: str
    reason: str
    rule: str | None
    membership: Membership | None
    counted: str | None
    """Where the call was counted against the rule's limits; null where it has none."""
    policy: str | None


class OutcomeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of an outcome, but for `seq` and `previous`; null is what was never known."""

    event: Literal["outcome"] = "outcome"
    time: str
    request_id: str | None
    instance: str
    process: str
    outcome: str
    policy: str | None
    status: int | None = None
    upstream_status: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    first_byte_ms: float | None = None
    duration_ms: float | None = None
    model: str | None = None
    """Its name in the policy; null for an endpoint."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


_ERRORS: Final = frozenset(
    {
        Reason.GRAPH_UNAVAILABLE,
        Reason.GRAPH_FORBIDDEN,
        Reason.KEYS_UNAVAILABLE,
        Reason.CREDENTIAL_UNAVAILABLE,
        Reason.LIMITS_UNAVAILABLE,
        Reason.AUDIT_UNAVAILABLE,
        Reason.JOB_STORE_UNAVAILABLE,
        Reason.MISCONFIGURED,
        Reason.INVALID_REQUEST,
        Reason.RATE_LIMITED,
        Reason.OVERLOADED,
    }
)
"""Reasons that are no judgement on the caller: nothing was decided, or it was asked wrongly."""


def unknown_outcome(
    request_id: str, *, policy: str | None, time: float, instance: str, process: str
) -> bytes:
    """Return the outcome record of a call whose process died before it could write one (threat R01).

    `policy` is the digest in the record of the decision.
    """
    return encode(
        OutcomeRecord(
            time=timestamp(time),
            request_id=clean(request_id),
            instance=instance,
            process=process,
            outcome="unknown",
            policy=policy,
        )
    )


class Audit:
    """Builds the records and hands them to a sink; the sink numbers and chains them as it writes.

    `policy_digest` is None where there is no policy, and so no decision either: only jobs that go on are recorded then.
    """

    def __init__(
        self, sink: AuditSink, clock: Clock, *, policy_digest: str | None, instance: str, process: str
    ) -> None:
        self._sink: Final = sink
        self._clock: Final = clock
        self._policy: Final = policy_digest
        self._instance: Final = instance
        self._process: Final = process
        self._failing = False
        self.dropped = 0
        """Records that the sink did not take within its deadline, since the start."""

    @property
    def outlives_invocation(self) -> bool:
        """Say whether an outcome that is known only after the invocation's end can be recorded (design 2)."""
        return self._sink.outlives_invocation

    async def decided(
        self,
        *,
        request_id: str,
        decision: Allow | Deny | Problem,
        principal: Principal | None = None,
        asked: Asked | None = None,
        allowed: Allow | None = None,
        counted: str | None = None,
    ) -> None:
        """Record a decision, or the problem that stood in its place; return when the sink has it.

        `allowed` is what had been decided before a problem: its rule and proof are on record with the problem's reason.
        `counted` says where the call was counted, None where nothing bounds it: `ports.Reservation.counted`.
        Raise problem.Undecidable (audit-unavailable) when a required sink does not take it.
        """
        judged = allowed if isinstance(decision, Problem) else decision
        proof = None if judged is None else judged.proof
        line = encode(
            DecisionRecord(
                time=timestamp(self._clock.time()),
                request_id=clean(request_id),
                instance=self._instance,
                process=self._process,
                tenant=None if principal is None else clean(principal.tenant),
                principal=None if principal is None else clean(principal.oid),
                kind=None if principal is None else principal.kind,
                client=None if principal is None else clean(principal.client),
                route=None if asked is None else clean(f"{asked.target}:{asked.name}"),
                operation=None if asked is None else clean(asked.operation),
                deployment=None if asked is None else clean(asked.deployment),
                job=None if asked is None else clean(_job(asked)),
                decision=_word(decision),
                reason=decision.reason,
                rule=None if judged is None else judged.rule,
                membership=None
                if proof is None
                else Membership(
                    source=proof.source,
                    age_s=round(proof.age, 3),
                    group=judged.group if isinstance(judged, Allow) else None,
                ),
                counted=counted,
                policy=self._policy,
            )
        )
        await self._store(line)

    async def completed(
        self,
        *,
        request_id: str,
        outcome: str,
        status: int,
        upstream_status: int | None = None,
        bytes_in: int = 0,
        bytes_out: int = 0,
        first_byte_ms: float | None = None,
        duration_ms: float,
        model: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Record how an allowed call ended. Never raises: a missing outcome is told by the log, and by the next start.

        `model` is the name in the policy, None for an endpoint; `usage` is None where the model told no tokens.
        """
        line = encode(
            OutcomeRecord(
                time=timestamp(self._clock.time()),
                request_id=clean(request_id),
                instance=self._instance,
                process=self._process,
                outcome=outcome,
                policy=self._policy,
                status=status,
                upstream_status=upstream_status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                first_byte_ms=None if first_byte_ms is None else round(first_byte_ms, 3),
                duration_ms=round(duration_ms, 3),
                model=model,
                prompt_tokens=None if usage is None else usage.prompt,
                completion_tokens=None if usage is None else usage.completion,
                total_tokens=None if usage is None else usage.total,
            )
        )
        await self._stored(line)

    async def job(self, intent: Intent, progress: Progress, *, previous: str | None) -> None:
        """Record a change of a batch job; return when the sink has it.

        Raise problem.Undecidable (audit-unavailable) when a required sink does not take it.
        """
        record = job_record(
            intent,
            progress,
            previous=previous,
            time=self._clock.time(),
            instance=self._instance,
            process=self._process,
            policy=self._policy,
        )
        await self._store(encode(record))

    async def _store(self, line: bytes) -> None:
        if not await self._stored(line) and self._sink.required:
            raise Undecidable(Reason.AUDIT_UNAVAILABLE)

    async def _stored(self, line: bytes) -> bool:
        try:
            await self._sink.write(line)
        except Exception as exc:  # noqa: BLE001 - whatever a sink raises, the record is not stored; callers act on that
            self.dropped += 1
            if not self._failing:
                self._failing = True
                # The kind of error alone: its text could quote the record.
                _LOGGER.error("audit sink does not take records: %s", _kind(exc))  # noqa: TRY400 - its trace quotes too
            return False
        if self._failing:
            self._failing = False
            _LOGGER.warning(
                "audit sink takes records again; %d were not stored since the start", self.dropped
            )
        return True


def _job(asked: Asked) -> str | None:
    return asked.job_id if asked.job is None else asked.job.intent.job


def _word(decision: Allow | Deny | Problem) -> str:
    match decision:
        case Allow():
            return "allow"
        case Deny():
            return "deny"
        case Problem():
            return "error" if decision.reason in _ERRORS else "deny"


def _kind(exc: Exception) -> str:
    if not isinstance(exc, OSError) or exc.errno is None:
        return type(exc).__name__
    where = "" if exc.filename is None else f" {exc.filename}"
    return f"{type(exc).__name__} ({exc.errno}){where}"
