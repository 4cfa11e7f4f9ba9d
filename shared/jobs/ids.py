"""Ids of batch jobs and names of notes: who may look for what is told by how they begin. Pure but for chance.

A job's id is `{endpoint}-{owner}-{chance}`: 8, 16 and 32 hex digits. The first two are digests, so that the jobs of an
endpoint, and those of one owner there, are found by a prefix; the last are 128 random bits, so that nobody guesses one
(threat I07). Digests are no secrets: who may do what is decided by what is stored, never by an id.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{32}")
_CHANCE: Final = 16
"""Bytes."""


def new_job(endpoint: str, tenant: str, oid: str) -> str:
    """Return a new id for a job of the caller `oid` of `tenant` at `endpoint`."""
    return owner_prefix(endpoint, tenant, oid) + secrets.token_hex(_CHANCE)


def endpoint_prefix(endpoint: str) -> str:
    """Return how the ids of all jobs at `endpoint` begin."""
    return f"{_digest(endpoint)[:8]}-"


def owner_prefix(endpoint: str, tenant: str, oid: str) -> str:
    """Return how the ids of this owner's jobs at `endpoint` begin."""
    return f"{endpoint_prefix(endpoint)}{_digest(tenant, oid, endpoint)[:16]}-"


def is_job(text: str) -> bool:
    """Say whether `text` has the form of a job's id."""
    return _ID.fullmatch(text) is not None


def key_note(endpoint: str, tenant: str, oid: str, key: str) -> str:
    """Return the name of the note that says which job an Idempotency-Key of this owner at `endpoint` belongs to."""
    return f"key.{_digest(tenant, oid, endpoint, key)}"


def cancel_note(job: str) -> str:
    """Return the name of the note that asks for the end of `job`."""
    return f"cancel.{job}"


def job_note(job: str) -> str:
    """Return the name of the note that says under which name Azure ML knows `job`."""
    return f"job.{job}"


def sending_note(job: str, attempt: int) -> str:
    """Return the name of the note without which attempt number `attempt` sends nothing."""
    return f"sending.{job}.{attempt}"


def unclear_note(job: str, attempt: int) -> str:
    """Return the name of the note that says when attempt number `attempt` ended without a clear answer."""
    return f"unclear.{job}.{attempt}"


def _digest(*parts: str) -> str:
    # No part but the last, which is visible ASCII, could hold a line feed: no two lists of parts join to one text.
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
