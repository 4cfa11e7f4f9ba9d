"""Stand-in for the events of an instance's history, as the Durable Task Framework writes them; never compared with the real one."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

type Event = dict[str, Any]
"""An event as the worker reads it: `EventType`, `EventId`, `IsPlayed`, `Timestamp` and what its type adds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(IntEnum):
    """Types of events, with the framework's numbers."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_RAISED = 15


_SHOWN = {
    Kind.EXECUTION_STARTED: "ExecutionStarted",
    Kind.EXECUTION_COMPLETED: "ExecutionCompleted",
    Kind.EXECUTION_TERMINATED: "ExecutionTerminated",
    Kind.TASK_COMPLETED: "TaskCompleted",
    Kind.TASK_FAILED: "TaskFailed",
    Kind.TASK_SCHEDULED: "TaskScheduled",
    Kind.TIMER_CREATED: "TimerCreated",
    Kind.TIMER_FIRED: "TimerFired",
    Kind.EVENT_RAISED: "EventRaised",
}
_HIDDEN = ("EventId", "IsPlayed", "TaskScheduledId", "TimerId", "Input", "Name", "Version", "Tags")


def event(kind: Kind, at: int, event_id: int = -1, **fields: Any) -> Event:
    """Make an event that happened at microsecond `at`, not yet played."""
    return {
        "EventType": int(kind),
        "EventId": event_id,
        "IsPlayed": False,
        "Timestamp": instant(at),
        **fields,
    }


def played(event: Event) -> Event:
    """Return an event as later replays see it: the framework never marks the starts of episodes."""
    return event if event["EventType"] == Kind.ORCHESTRATOR_STARTED else {**event, "IsPlayed": True}


def instant(at: int) -> str:
    """Write a time as the extension does."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def microseconds(instant: str) -> int:
    """Read a time; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(instant)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)


def shown(events: Sequence[Event], *, output: bool) -> list[Event]:
    """Return a history as `showHistory` tells it: names for types, no inputs, what was scheduled merged into its end."""
    scheduled = {one["EventId"]: one for one in events if one["EventType"] == Kind.TASK_SCHEDULED}
    ended = {one.get("TaskScheduledId") for one in events}
    told = []
    for one in events:
        kind = Kind(one["EventType"])
        if kind not in _SHOWN or (kind is Kind.TASK_SCHEDULED and one["EventId"] in ended):
            continue
        item = {name: value for name, value in one.items() if name not in _HIDDEN}
        item["EventType"] = _SHOWN[kind]
        if kind in {Kind.EXECUTION_STARTED, Kind.TASK_SCHEDULED, Kind.EVENT_RAISED}:
            item["FunctionName" if kind is Kind.EXECUTION_STARTED else "Name"] = one["Name"]
        if (start := scheduled.get(one.get("TaskScheduledId", -1))) is not None:
            item |= {"ScheduledTime": start["Timestamp"], "FunctionName": start["Name"]}
        if "Result" in item:
            item["Result"] = token(item["Result"]) if output else None
            if not output:
                del item["Result"]
        told.append(item)
    return told


def token(text: str | None) -> Any:
    """Read stored JSON as the extension shows it: what is none, such as the reason of a termination, is shown as it is."""
    if text is None or not text.strip():
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
