"""Stand-in for running one activity and telling how it ended (`TaskActivityShim`); never compared with the real one."""

from collections.abc import Awaitable, Callable

from local.host.durable.clock import Clock
from local.host.durable.history import Event, Kind, event
from local.host.durable.records import Activity

type ActivityFunction = Callable[[str], Awaitable[str | None]]
"""Runs an activity function on the JSON text of its input; returns that of its result, None for none; raises any Exception."""


async def call(activity: Activity, run: ActivityFunction | None, clock: Clock) -> Event:
    """Run an activity by its function, if there is one, and return the event that tells its orchestrator."""
    try:
        if run is None:
            raise LookupError(f"The function '{activity.name}' is not an activity function.")
        result = await run(activity.input)
    except Exception as failure:  # noqa: BLE001  # whatever an activity raises is told to its orchestrator
        details = str(failure) or type(failure).__name__
        reason = f"Activity function '{activity.name}' failed: {details.partition('\n')[0]}"
        now = clock.now()
        return event(Kind.TASK_FAILED, now, TaskScheduledId=activity.task, Reason=reason, Details=details)
    return event(Kind.TASK_COMPLETED, clock.now(), TaskScheduledId=activity.task, Result=result)
