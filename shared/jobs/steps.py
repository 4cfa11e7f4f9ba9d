"""What a job's orchestration and its activities say to each other: small, since all of it is kept in Durable's history."""

from __future__ import annotations

from typing import Any, Final

import msgspec

VERSION: Final = 1
"""Of the orchestration's code: to be raised with every change of what it asks for, or in which order (threat F45)."""

SUBMIT: Final = "groupgate_submit"
POLL: Final = "groupgate_poll"
CANCEL: Final = "groupgate_cancel"
END: Final = "groupgate_end"
NOTIFY: Final = "groupgate_notify"
"""Names of the activities; the input of each is the job's id and nothing else."""
WAKE: Final = "wake"
"""Name of the event that ends a pause early."""

JOB_TIMEOUT: Final = "job-timeout"
CANCEL_NOT_CONFIRMED: Final = "cancel-not-confirmed"
END_NOT_RECORDED: Final = "end-not-recorded"
NOTIFY_FAILED: Final = "notify-failed"
INTENT_REFUSED: Final = "intent-refused"
"""What is stored is not what the gate stored, or its seal does not hold."""
JOB_FAILED: Final = "job-failed"
"""Azure ML ran it, and it failed there."""
CANCELED_AT_AZURE: Final = "canceled-at-azure"
"""Somebody else than the gate ended it."""
DEPLOYMENT_CHANGED: Final = "deployment-changed"
"""In the audit alone: the endpoint says that another deployment runs the job than before."""
SUBMISSION_UNCLEAR: Final = "submission-unclear"
"""Azure ML may have taken it: that is looked into."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What an activity found; a field that is None or False changes nothing of the job's progress, but for `code`."""

    version: int = VERSION
    """Of the code that the activity ran with."""
    status: str | None = None
    upstream: str | None = None
    attempt: int = 0
    """The number that the next attempt at submitting may have: greater only where the one before is settled."""
    code: str | None = None
    """Why it ended, or what it waits for; None is nothing."""
    outputs: dict[str, Any] | None = None
    deployment: str | None = None
    duplicate_suspected: bool = False
    cancel: bool = False
    wait: float = 0.0
    """Seconds that the next look should be away at least."""
    ended: bool = False
    """Whether the end of the job is on record."""
