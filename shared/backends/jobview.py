"""What a caller reads of a batch job: the shape of Azure ML's own answers (protocols, 5.2), from what the gate has stored.

Nothing of anybody else is told, and nothing of where or how the gate keeps its jobs (threat I07).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from shared.job import FINAL, Intent, Progress, Stored
from shared.model import Reply
from shared.problem import retry_after_seconds

TYPE: Final = "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs"
CANCEL_REQUESTED: Final = "CancelRequested"
BROKEN: Final = "orchestration-failed"
"""Why a job is over whose orchestration ended without a word of how it went."""
SHORTEST: Final = 2
"""Seconds between two looks at a job: the gate itself asks no sooner."""
_JSON: Final = (("content-type", "application/json"),)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last day that can be told."""


def accepted(intent: Intent, progress: Progress) -> Reply:
    """Return the 202 for a job that is stored, with where to ask for it and when."""
    return _reply(202, intent, progress, headers=(("location", path_of(intent.endpoint, intent.job)),))


def status(stored: Stored) -> Reply:
    """Return the 200 for a job, with when to ask again while it is not final."""
    return _reply(200, stored.intent, seen(stored))


def cancelling(stored: Stored) -> Reply:
    """Return the 202 for a job whose end has just been asked for."""
    progress = msgspec.structs.replace(seen(stored), cancel=True)
    return _reply(202, stored.intent, progress, headers=(("location", _path(stored)),))


def listing(jobs: Iterable[Stored]) -> Reply:
    """Return the 200 for a list of jobs, in the order given."""
    value = [_document(stored.intent, seen(stored)) for stored in jobs]
    return Reply(status=200, headers=_JSON, body=msgspec.json.encode({"value": value}))


def seen(stored: Stored) -> Progress:
    """Return how far a job has come, for those who read it: what stopped without a word has failed."""
    progress = stored.progress
    if stored.running or progress.ended or progress.status in FINAL:
        return progress
    return msgspec.structs.replace(progress, status="Failed", code=BROKEN, ended=True)


def is_final(progress: Progress) -> bool:
    """Say whether nothing about a job changes any more."""
    return progress.ended or progress.status in FINAL


def path_of(endpoint: str, job: str) -> str:
    """Return the job's address at the gate."""
    return f"/endpoints/{endpoint}/jobs/{job}"


def _path(stored: Stored) -> str:
    return path_of(stored.intent.endpoint, stored.intent.job)


def _reply(
    status_code: int, intent: Intent, progress: Progress, *, headers: tuple[tuple[str, str], ...] = ()
) -> Reply:
    # Nothing new can be read before the gate itself has looked again.
    wait = retry_after_seconds(max(SHORTEST, progress.wait))
    again = () if is_final(progress) else (("retry-after", str(wait)),)
    body = msgspec.json.encode(_document(intent, progress))
    return Reply(status=status_code, headers=(*_JSON, *headers, *again), body=body)


def _document(intent: Intent, progress: Progress) -> dict[str, Any]:
    asked_to_end = progress.cancel and not is_final(progress)
    properties: dict[str, Any] = {"status": CANCEL_REQUESTED if asked_to_end else progress.status}
    deployment = progress.deployment or intent.deployment
    if deployment is not None:
        properties["deployment"] = deployment
    if progress.outputs:
        properties["outputs"] = progress.outputs
    if progress.code is not None:
        properties["error"] = {"code": progress.code}
    return {
        "id": path_of(intent.endpoint, intent.job),
        "name": intent.job,
        "type": TYPE,
        "properties": properties,
        "systemData": {"createdAt": _told(intent.accepted)},
    }


def _told(moment: float) -> str:
    # Without the secret anybody's number may stand there: it must not cost the owner the whole list.
    return datetime.fromtimestamp(min(_LAST, max(0.0, moment)), UTC).isoformat()
