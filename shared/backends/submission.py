"""What a caller submits to a batch endpoint, read strictly, and the intent that it becomes once it is allowed."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from shared.backends import body, headers, jobbody
from shared.job import Intent
from shared.model import Inbound, Principal, Route, Rule
from shared.problem import AskedWrongly, Slug

CONTENT_TYPES: Final = frozenset({"application/json"})
KEY: Final = "idempotency-key"
# No comma: in classic mode the host joins a repeated header with one, and two keys are none.
_KEY: Final = re.compile(r"[!-+\--~]{1,255}")


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A submitted body with what came beside it."""

    content: jobbody.JobBody
    deployment: str | None
    key: str | None
    """The caller's Idempotency-Key."""
    digest: str
    """What tells two submissions with one key apart."""


def check_no_query(inbound: Inbound) -> None:
    """Raise AskedWrongly (400) for a query: jobs are asked for without one."""
    if inbound.query:
        raise AskedWrongly(Slug.INVALID_REQUEST, detail="This address takes no query.")


async def read(inbound: Inbound, deployment: str | None, *, limit: int) -> Submission:
    """Return what is submitted, of at most `limit` bytes.

    Raise problem.Problem: 411, 413, 415, then 400, then 403 with the place of what no policy lets a job have.
    """
    body.check_length(inbound, limit)
    if headers.content_type(inbound.headers.joined("content-type"), CONTENT_TYPES) is None:
        raise AskedWrongly(Slug.UNSUPPORTED_MEDIA_TYPE)
    body.check_encoding(inbound)
    check_no_query(inbound)
    key = key_of(inbound)
    data = await body.read(inbound, limit)
    return Submission(
        content=jobbody.read(data), deployment=deployment, key=key, digest=digest_of(data, deployment)
    )


def key_of(inbound: Inbound) -> str | None:
    """Return the caller's Idempotency-Key, None for none; raise AskedWrongly for two of them, and for what is no key."""
    if inbound.headers.joined(KEY) is None:
        return None
    key = headers.single(inbound.headers, KEY)
    if key is None or _KEY.fullmatch(key) is None:
        raise AskedWrongly(
            Slug.INVALID_REQUEST,
            detail="Idempotency-Key comes once, with 1 to 255 visible ASCII characters and no comma.",
        )
    return key


def digest_of(data: bytes, deployment: str | None) -> str:
    """Return what tells two requests with one key apart: SHA-256, hex, of the body's bytes and the deployment."""
    # A deployment that a rule names is not empty and holds no line feed: no two submissions join to one text.
    return hashlib.sha256((deployment or "").encode() + b"\n" + data).hexdigest()


def intent(
    submission: Submission,
    *,
    job: str,
    route: Route,
    rule: Rule,
    principal: Principal,
    request_id: str,
    accepted: float,
) -> Intent:
    """Return what is to be done for the caller, by the rule on record, as a job of this id; not sealed yet."""
    if route.batch is None or rule.job is None:
        raise TypeError("no batch endpoint")
    own_folder = rule.job.own_folder
    return Intent(
        job=job,
        endpoint=route.name,
        tenant=principal.tenant,
        principal=principal.oid,
        kind=principal.kind.value,
        client=principal.client,
        app_roles=tuple(sorted(principal.app_roles)),
        groups=tuple(sorted(principal.groups & route.groups)),
        issued_at=principal.issued_at,
        rule=rule.id,
        request_id=request_id,
        accepted=accepted,
        deployment=submission.deployment,
        body=jobbody.sent(submission.content, own_folder=own_folder, owner=principal.oid, job=job),
        asked=submission.digest,
        url=route.url,
        scope=route.scope,
        workspace=route.batch.workspace,
        management=route.batch.management,
        job_timeout=route.batch.job_timeout,
        notify=rule.job.notify,
    )
