"""What is recorded of a batch job: one record for its submission, one for each change of state, one for its end."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.audit.line import clean, timestamp
from shared.job import Intent, Progress


class JobRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a job's change, but for `seq` and `previous`, which the sink adds."""

    event: Literal["job"] = "job"
    time: str
    request_id: str | None
    """Of the request that was answered 202: its decision names the same."""
    instance: str
    process: str
    job: str | None
    """Its id at the gate."""
    route: str | None
    tenant: str | None
    principal: str | None
    """Object id of its owner."""
    rule: str | None
    """The rule that let it in."""
    state: str | None
    """In Azure ML's words."""
    previous_state: str | None
    """The state before, null where there was none. Not called `previous`: that is the hash of the line before."""
    upstream_job: str | None
    """Its name at Azure ML, once it is known."""
    deployment: str | None
    """The deployment that the endpoint says it runs on."""
    code: str | None
    """Why it ended other than well, or what it waits for."""
    duplicate_suspected: bool
    """Whether Azure ML may have started it more than once."""
    ended: bool
    policy: str | None
    """Digest of the policy while this was written, which need not be the one that let the job in; null without one."""


def job_record(
    intent: Intent,
    progress: Progress,
    *,
    previous: str | None,
    time: float,
    instance: str,
    process: str,
    policy: str | None,
) -> JobRecord:
    """Return the record of what a job is at `time`, with its state before in `previous`."""
    return JobRecord(
        time=timestamp(time),
        request_id=clean(intent.request_id),
        instance=instance,
        process=process,
        job=clean(intent.job),
        route=clean(f"endpoint:{intent.endpoint}"),
        tenant=clean(intent.tenant),
        principal=clean(intent.principal),
        rule=clean(intent.rule),
        state=clean(progress.status),
        previous_state=clean(previous),
        upstream_job=clean(progress.upstream),
        deployment=clean(progress.deployment),
        code=clean(progress.code),
        duplicate_suspected=progress.duplicate_suspected,
        ended=progress.ended,
        policy=policy,
    )
