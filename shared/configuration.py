"""Settings and policy together: one reading for the app and for every command, so that all tell the same faults."""

from __future__ import annotations

from shared.model import Policy
from shared.policy.loader import PolicyFaults, load_file
from shared.ports import Fault
from shared.settings import Settings


def configured(settings: Settings) -> tuple[Policy | None, tuple[Fault, ...]]:
    """Return the policy, or None and every fault of settings and policy. Reads one file; never raises."""
    faults = settings.faults
    wrong = {fault.place for fault in faults}
    if "GROUPGATE_POLICY" in wrong:
        return None, faults  # where no file is named, none is looked for
    try:
        policy = load_file(
            settings.policy_path,
            allow_http=settings.allow_http,
            shared_counters=settings.redis_url is not None,
            jobs=settings.jobs,
            # What is set wrongly has a fault of its own; that it is missing would be a second one.
            jobs_secret=settings.jobs_secret is not None or "GROUPGATE_JOBS_SECRET" in wrong,
        )
    except PolicyFaults as found:
        return None, faults + found.faults
    return (None, faults) if faults else (policy, ())
