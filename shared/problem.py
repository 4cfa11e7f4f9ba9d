"""Errors of the gate and their answers: RFC 9457 problems, and the one table from error to status.

The tree::

    Problem                 an answer that is the gate's own and not the model's
    ├── Unauthenticated     401  who is calling is not proven
    ├── AskedWrongly        4xx  the request itself cannot be taken
    ├── NotFound            404  no such operation of models, or a stored response or job that is not the caller's own
    ├── RateLimited         429  the caller has used up what its rule gives
    ├── Undecidable         503  the gate could not decide, or not record, or not ask with its own identity
    └── UpstreamFault       what the model's side did, in the gate's words
    ClientClosed            the caller went away: nobody is left to answer

A denial by policy is no exception: it is the value `model.Deny`, and `forbidden` renders it.
"""

from __future__ import annotations

import enum
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shared.model import Reason, Reply

CONTENT_TYPE: Final = "application/problem+json"
MAX_RETRY_AFTER: Final = 86_400
"""Seconds; a longer wait is told as this (ruling "Retry-After")."""


@dataclass(frozen=True, slots=True)
class Row:
    """One slug: its status and its fixed texts."""

    status: int
    title: str
    detail: str


class Slug(enum.StrEnum):
    """The last part of a problem's `type`; a caller may branch on it."""

    AUTHENTICATION_REQUIRED = "authentication-required"
    PRINCIPAL_INVALID = "principal-invalid"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    JOB_NOT_FOUND = "job-not-found"
    IDEMPOTENCY_CONFLICT = "idempotency-conflict"
    INVALID_REQUEST = "invalid-request"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    LENGTH_REQUIRED = "length-required"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    RATE_LIMITED = "rate-limited"
    OVERLOADED = "overloaded"
    GATEWAY_MISCONFIGURED = "gateway-misconfigured"
    MEMBERSHIP_UNAVAILABLE = "membership-unavailable"
    VERIFICATION_UNAVAILABLE = "verification-unavailable"
    CREDENTIAL_UNAVAILABLE = "upstream-credential-unavailable"
    LIMITS_UNAVAILABLE = "limits-unavailable"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    JOB_STORE_UNAVAILABLE = "job-store-unavailable"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_RATE_LIMITED = "upstream-rate-limited"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    UPSTREAM_AUTH_FAILED = "upstream-auth-failed"
    UPSTREAM_NOT_FOUND = "upstream-not-found"
    UPSTREAM_REJECTED = "upstream-rejected"
    UPSTREAM_REDIRECT = "upstream-redirect"
    UPSTREAM_ERROR = "upstream-error"
    MODEL_ERROR = "model-error"
    INTERNAL_ERROR = "internal-error"


_UNSURE: Final = "Nothing was sent to the model. Try again after the time in Retry-After."

TABLE: Final[Mapping[Slug, Row]] = MappingProxyType(
    {
        Slug.AUTHENTICATION_REQUIRED: Row(401, "Sign in first", "No signed-in caller came with the request."),
        Slug.PRINCIPAL_INVALID: Row(
            401,
            "The sign-in is not accepted",
            "The caller's identity is malformed or not of this gate's tenant.",
        ),
        Slug.FORBIDDEN: Row(403, "Not allowed", "You may not call this, or it does not exist."),
        Slug.NOT_FOUND: Row(404, "Not found", "There is no such thing here, or it is not yours."),
        Slug.JOB_NOT_FOUND: Row(404, "No such job", "There is no such job here, or it is not yours."),
        Slug.IDEMPOTENCY_CONFLICT: Row(
            409,
            "The key is taken",
            "Another job was started with this Idempotency-Key. Send a new key, or the same body.",
        ),
        Slug.INVALID_REQUEST: Row(
            400, "The request is not valid", "The request cannot be accepted as it stands."
        ),
        Slug.METHOD_NOT_ALLOWED: Row(
            405, "Wrong method", "This address does not take that method; see Allow."
        ),
        Slug.LENGTH_REQUIRED: Row(
            411,
            "Length required",
            "Send a body with its Content-Length; chunked or empty bodies are not taken.",
        ),
        Slug.PAYLOAD_TOO_LARGE: Row(
            413, "The body is too large", "The body is larger than the policy takes."
        ),
        Slug.UNSUPPORTED_MEDIA_TYPE: Row(
            415, "Wrong media type", "Send a Content-Type that the policy takes, with no Content-Encoding."
        ),
        Slug.RATE_LIMITED: Row(
            429, "Too many requests", "You have used up what the policy gives you for now."
        ),
        Slug.OVERLOADED: Row(503, "Too busy", _UNSURE),
        Slug.GATEWAY_MISCONFIGURED: Row(
            503,
            "The gate is not configured",
            "The gate refuses everything until its owner mends its configuration.",
        ),
        Slug.MEMBERSHIP_UNAVAILABLE: Row(503, "Membership cannot be checked", _UNSURE),
        Slug.VERIFICATION_UNAVAILABLE: Row(503, "The sign-in cannot be verified", _UNSURE),
        Slug.CREDENTIAL_UNAVAILABLE: Row(503, "The gate has no credential", _UNSURE),
        Slug.LIMITS_UNAVAILABLE: Row(503, "Limits cannot be counted", _UNSURE),
        Slug.AUDIT_UNAVAILABLE: Row(503, "The decision cannot be recorded", _UNSURE),
        Slug.JOB_STORE_UNAVAILABLE: Row(
            503,
            "Jobs cannot be stored",
            "Whether the job was stored is not known. Try again after the time in Retry-After, with the same "
            "Idempotency-Key.",
        ),
        Slug.UPSTREAM_UNREACHABLE: Row(
            502, "The model cannot be reached", "The connection to the model failed."
        ),
        Slug.UPSTREAM_TIMEOUT: Row(
            504, "The model took too long", "The model did not answer within the time that the policy gives."
        ),
        Slug.UPSTREAM_RATE_LIMITED: Row(429, "The model is busy", "The model takes no more requests now."),
        Slug.UPSTREAM_UNAVAILABLE: Row(
            503, "The model is unavailable", "The model's service is not available now."
        ),
        Slug.UPSTREAM_AUTH_FAILED: Row(
            502,
            "The model refused the gate",
            "The model does not accept the gate's own identity. Tell the gate's owner.",
        ),
        Slug.UPSTREAM_NOT_FOUND: Row(
            502, "The model is not there", "The model's service knows no such endpoint or deployment."
        ),
        Slug.UPSTREAM_REJECTED: Row(
            400, "The model refused the request", "The model's service did not accept the request."
        ),
        Slug.UPSTREAM_REDIRECT: Row(
            502,
            "The model answered elsewhere",
            "The model's service answered with a redirect; the gate follows none.",
        ),
        Slug.UPSTREAM_ERROR: Row(502, "The model failed", "The model's service answered with an error."),
        Slug.MODEL_ERROR: Row(424, "The model failed", "The model's code answered with an error."),
        Slug.INTERNAL_ERROR: Row(
            500, "The gate failed", "An unexpected error; the gate's owner finds it by the request id."
        ),
    }
)


OF_REASON: Final[Mapping[Reason, Slug]] = MappingProxyType(
    {
        Reason.DENY_RULE: Slug.FORBIDDEN,
        Reason.NOT_MEMBER: Slug.FORBIDDEN,
        Reason.UNKNOWN_ENDPOINT: Slug.FORBIDDEN,
        Reason.CALLER_KIND: Slug.FORBIDDEN,
        Reason.CLIENT_NOT_ALLOWED: Slug.FORBIDDEN,
        Reason.DEPLOYMENT_NOT_ALLOWED: Slug.FORBIDDEN,
        Reason.OPERATION_NOT_ALLOWED: Slug.FORBIDDEN,
        Reason.INPUT_NOT_ALLOWED: Slug.FORBIDDEN,
        Reason.PRINCIPAL_NOT_FOUND: Slug.FORBIDDEN,
        Reason.JOB_NOT_FOUND: Slug.JOB_NOT_FOUND,
        Reason.JOB_OWNER_MISMATCH: Slug.JOB_NOT_FOUND,
        Reason.PRINCIPAL_MISSING: Slug.AUTHENTICATION_REQUIRED,
        Reason.PRINCIPAL_MALFORMED: Slug.PRINCIPAL_INVALID,
        Reason.PROVIDER_MISMATCH: Slug.PRINCIPAL_INVALID,
        Reason.TENANT_MISMATCH: Slug.PRINCIPAL_INVALID,
        Reason.ISSUER_MISMATCH: Slug.PRINCIPAL_INVALID,
        Reason.AUDIENCE_MISMATCH: Slug.PRINCIPAL_INVALID,
        Reason.TOKEN_INVALID: Slug.PRINCIPAL_INVALID,
        Reason.PLATFORM_AUTH_OFF: Slug.GATEWAY_MISCONFIGURED,
        Reason.MISCONFIGURED: Slug.GATEWAY_MISCONFIGURED,
        Reason.GRAPH_UNAVAILABLE: Slug.MEMBERSHIP_UNAVAILABLE,
        Reason.GRAPH_FORBIDDEN: Slug.MEMBERSHIP_UNAVAILABLE,
        Reason.KEYS_UNAVAILABLE: Slug.VERIFICATION_UNAVAILABLE,
        Reason.CREDENTIAL_UNAVAILABLE: Slug.CREDENTIAL_UNAVAILABLE,
        Reason.LIMITS_UNAVAILABLE: Slug.LIMITS_UNAVAILABLE,
        Reason.AUDIT_UNAVAILABLE: Slug.AUDIT_UNAVAILABLE,
        Reason.JOB_STORE_UNAVAILABLE: Slug.JOB_STORE_UNAVAILABLE,
        Reason.OVERLOADED: Slug.OVERLOADED,
        Reason.INVALID_REQUEST: Slug.INVALID_REQUEST,
        Reason.RATE_LIMITED: Slug.RATE_LIMITED,
    }
)
"""What a caller reads for each reason that is no allow."""

_JOBS: Final = frozenset({Reason.JOB_NOT_FOUND, Reason.JOB_OWNER_MISMATCH})

DEFAULT_RETRY_AFTER: Final[Mapping[Slug, float]] = MappingProxyType(
    {
        Slug.GATEWAY_MISCONFIGURED: 60,
        Slug.MEMBERSHIP_UNAVAILABLE: 10,
        Slug.VERIFICATION_UNAVAILABLE: 30,
        Slug.CREDENTIAL_UNAVAILABLE: 10,
        Slug.LIMITS_UNAVAILABLE: 5,
        Slug.AUDIT_UNAVAILABLE: 5,
        Slug.JOB_STORE_UNAVAILABLE: 10,
    }
)
"""Seconds told in Retry-After where nobody gave a better number (threats, section 6)."""


LONG_WAIT: Final = 30
"""Seconds beyond which a wait is the caller's to know of: public clients sleep through one or two minutes of Retry-After
without a word, and come back after a few seconds where it is longer."""
NOT_AGAIN: Final = ("x-should-retry", "false")
"""Keeps OpenAI's clients from trying again by themselves."""
_LASTING: Final = frozenset(
    {Slug.GATEWAY_MISCONFIGURED, Slug.UPSTREAM_AUTH_FAILED, Slug.UPSTREAM_NOT_FOUND, Slug.UPSTREAM_REDIRECT}
)
"""What somebody has to mend first."""


class ClientClosed(Exception):
    """The caller went away before the exchange was complete."""


class Problem(Exception):
    """An answer of the gate itself; `retry_after` is in seconds, `headers` are added to the answer."""

    def __init__(
        self,
        slug: Slug,
        reason: Reason,
        *,
        detail: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{slug} ({reason})")
        self.slug: Final = slug
        self.reason: Final = reason
        self.detail: Final = detail
        self.status: Final = status or TABLE[slug].status
        self.retry_after: Final = _retry_after(slug) if retry_after is None else retry_after
        self.headers: Final = headers


def _retry_after(slug: Slug) -> float | None:
    # Whom an overload turned away comes back spread out, not all in the same second.
    return random.randint(1, 5) if slug is Slug.OVERLOADED else DEFAULT_RETRY_AFTER.get(slug)  # noqa: S311


class Unauthenticated(Problem):
    """Who is calling is not proven: 401, or 503 for `platform-auth-off`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(OF_REASON[reason], reason)


class AskedWrongly(Problem):
    """The request cannot be taken as it stands: 400, 405, 411, 413 or 415; `detail` is fixed text."""

    def __init__(
        self, slug: Slug, *, detail: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(slug, Reason.INVALID_REQUEST, detail=detail, headers=headers)


class NotFound(Problem):
    """404: no such operation, or something stored that is not the caller's own; alike for both (threats T09, I07)."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(OF_REASON[reason] if reason in _JOBS else Slug.NOT_FOUND, reason)


class RateLimited(Problem):
    """The caller has used up what its rule gives: 429, with the seconds until there is more in `retry_after`."""

    def __init__(self, *, retry_after: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(Slug.RATE_LIMITED, Reason.RATE_LIMITED, retry_after=retry_after, headers=headers)


class Undecidable(Problem):
    """The gate could not decide, record or act: always 503, never an allow."""

    def __init__(self, reason: Reason, *, retry_after: float | None = None) -> None:
        super().__init__(OF_REASON[reason], reason, retry_after=retry_after)


class UpstreamFault(Problem):
    """What the model's side did; `outcome` is the word for the audit's outcome record.

    `sent` is False only where nothing can have reached it.
    """

    def __init__(
        self,
        slug: Slug,
        *,
        outcome: str,
        upstream_status: int | None = None,
        sent: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(
            slug, Reason.INVALID_REQUEST, status=status, retry_after=retry_after, headers=headers
        )
        self.outcome: Final = outcome
        self.sent: Final = sent
        self.upstream_status: Final = upstream_status


def check_method(method: str, allowed: tuple[str, ...]) -> None:
    """Raise AskedWrongly (405, with Allow) unless `method` is one of `allowed`."""
    if method not in allowed:
        raise AskedWrongly(Slug.METHOD_NOT_ALLOWED, headers=(("allow", ", ".join(allowed)),))


def forbidden(*, detail: str | None = None) -> Problem:
    """Return the one 403 of the gate: alike for unknown and forbidden, unless `detail` may be told."""
    return Problem(Slug.FORBIDDEN, Reason.NOT_MEMBER, detail=detail)


def render(problem: Problem, *, request_id: str, openai: bool = False) -> Reply:
    """Return the `application/problem+json` answer (RFC 9457) with its own headers; the gate adds the common ones.

    With `openai` it says the same in the words of OpenAI's clients too, and whether trying again by itself helps.
    """
    headers = [("content-type", CONTENT_TYPE), *problem.headers]
    if problem.retry_after is not None:
        headers.append(("retry-after", str(retry_after_seconds(problem.retry_after))))
    if openai and not _worth_retrying(problem):
        headers.append(NOT_AGAIN)
    if problem.slug is Slug.AUTHENTICATION_REQUIRED:
        # RFC 6750, section 3.1: no error code where the request carried no authentication at all.
        headers.append(("www-authenticate", 'Bearer realm="groupgate"'))
    elif problem.slug is Slug.PRINCIPAL_INVALID:
        headers.append(("www-authenticate", 'Bearer realm="groupgate", error="invalid_token"'))
    body = json.dumps(document(problem, request_id=request_id, openai=openai)).encode()
    return Reply(status=problem.status, headers=tuple(headers), body=body)


def document(problem: Problem, *, request_id: str, openai: bool) -> dict[str, object]:
    """Return the members of the problem document."""
    row = TABLE[problem.slug]
    members: dict[str, object] = {
        "type": f"urn:groupgate:problem:{problem.slug}",
        "title": row.title,
        "status": problem.status,
        "detail": problem.detail or row.detail,
        "instance": f"urn:uuid:{request_id}",
    }
    if openai:
        members["error"] = {"code": problem.slug, "message": members["detail"]}
    return members


def _worth_retrying(problem: Problem) -> bool:
    """Say whether a client may try again by itself: it does so soon, whatever it was told to wait (openai-python)."""
    if problem.slug in _LASTING:
        return False
    return problem.retry_after is None or problem.retry_after <= LONG_WAIT


def retry_after_seconds(seconds: float) -> int:
    """Return whole seconds for Retry-After, rounded up, within [0, MAX_RETRY_AFTER]."""
    return math.ceil(max(0, min(MAX_RETRY_AFTER, seconds)))  # bounded first: infinity has no ceiling
