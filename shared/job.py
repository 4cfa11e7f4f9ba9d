"""A batch job as it is stored: what was accepted, and how far it has come. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

ORCHESTRATOR: Final = "groupgate_job"
"""The name of the orchestrator function; a stored instance of another name is no job."""

FINAL: Final = frozenset({"Completed", "Succeeded", "Failed", "Canceled"})
"""Statuses that end a job (protocols, 5.3); all others may change, `NotResponding` too."""


class Intent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was accepted: written before anything is sent, never changed, and all that a job is allowed to do."""

    job: str
    """The job's id at the gate, and the Durable instance's."""
    endpoint: str
    """Its name in the policy."""
    tenant: str
    principal: str
    """Object id of the owner."""
    kind: str
    client: str | None
    app_roles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """Those of the endpoint's groups that the caller's claims proved at `issued_at`; they prove it as long as claims do."""
    issued_at: int | None = None
    rule: str
    """The rule on record."""
    request_id: str
    """Of the request that was answered 202."""
    accepted: float
    """Seconds since 1970."""
    deployment: str | None
    body: str
    """The JSON text that is sent to the endpoint."""
    asked: str
    """SHA-256, hex, of what the caller sent: body and deployment."""
    url: str
    """The endpoint's scoring URI when the job was accepted, for a policy that has lost it since."""
    scope: str
    workspace: str | None
    management: str
    job_timeout: float
    """Seconds from acceptance."""
    notify: str | None
    seal: str = ""
    """HMAC-SHA-256, hex, of everything else under GROUPGATE_JOBS_SECRET; empty without that setting."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job has come: what the orchestrator shows as its custom status, and carries on into a new history."""

    status: str = "NotStarted"
    """In Azure ML's words (protocols, 5.3)."""
    upstream: str | None = None
    """The job's name at Azure ML, once it is known."""
    attempt: int = 0
    """How many times submitting has been begun."""
    polls: int = 0
    wait: float = 0.0
    """Seconds until the next look."""
    code: str | None = None
    """Why it ended other than well, or what it waits for: a slug or a fixed word, never the service's text."""
    outputs: dict[str, Any] = {}
    """As the endpoint reports them, without query strings."""
    deployment: str | None = None
    """The deployment that the endpoint says the job runs on."""
    duplicate_suspected: bool = False
    """Whether Azure ML may have started it more than once."""
    cancel: bool = False
    """Whether its owner has asked for its end."""
    cancel_since: float | None = None
    """Seconds since 1970 at which its end was first asked of Azure ML."""
    ended: bool = False
    ended_at: float | None = None
    """Seconds since 1970 at which its end was on record; None before, and for jobs that ended under an older gate."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it."""

    intent: Intent
    progress: Progress
    running: bool
    """Whether its orchestration has not ended; one that ended without `progress.ended` failed or was terminated."""
    created: float
    """Seconds since 1970."""
    updated: float
