"""Stand-in for one episode of an orchestration: the orchestrator sees its history and decides what next. Pure but for the call."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from local.host.durable.history import Event, Kind, event, instant, microseconds
from local.host.durable.records import Result, Work
from local.host.durable.replay import Replay
from local.host.durable.tasks import Call, NonDeterministic, Timer, Unsupported

type Orchestrator = Callable[[str], Awaitable[str]]
"""Runs an orchestrator function: takes the JSON text of its context, returns that of its state.

Raises any Exception when the function fails; the text of one raised by the SDK holds the state.
"""

STATE_LABEL: Final = "$OutOfProcData$:"
"""What stands before the state in the text of an exception."""
CUSTOM_STATUS_LIMIT: Final = 16
"""KiB of UTF-16 that a custom status may have."""


async def play(
    work: Work, orchestrator: Orchestrator | None, *, now: int, is_activity: Callable[[str], bool]
) -> Result:
    """Run one episode, and return what it comes to."""
    instance = work.instance
    started = now
    if work.past:
        # A clock that was set back must not turn a history round.
        started = max(now, microseconds(work.past[-1]["Timestamp"]))
    begun = [event(Kind.ORCHESTRATOR_STARTED, started)]
    if instance.fresh:
        begun.append(
            event(
                Kind.EXECUTION_STARTED,
                instance.created,
                Name=instance.name,
                Version=None,
                Input=instance.input,
                Tags=None,
            )
        )
    begun += [one for _, one in work.inbox]
    episode = _Episode(work, begun, started)
    for one in begun:
        if one["EventType"] == Kind.EXECUTION_TERMINATED:
            return episode.ended("Terminated", one["Input"], instance.custom)
    if orchestrator is None:
        return episode.failed(
            f"The function '{instance.name}' doesn't exist, is disabled, or is not an orchestrator function."
        )
    try:
        state = _state(await orchestrator(_context(work, begun)))
    except Exception as failure:  # noqa: BLE001  # whatever an orchestrator raises is its instance's failure
        found = _state_in(str(failure))
        if found is None:
            return episode.failed(str(failure).partition("\n")[0] or type(failure).__name__)
        state = found
    return episode.decided(state, is_activity)


def _context(work: Work, begun: Sequence[Event]) -> str:
    instance = work.instance
    return json.dumps(
        {
            "history": [*work.past, *begun],
            "input": None if instance.input is None else json.loads(instance.input),
            "instanceId": instance.id,
            "isReplaying": bool(work.past),
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30_000,
        }
    )


def _state(text: str) -> Mapping[str, Any]:
    state = json.loads(text)
    if not isinstance(state, dict):
        raise TypeError("Out of proc orchestrators must return a valid JSON schema")
    return state


def _state_in(text: str) -> Mapping[str, Any] | None:
    _, label, rest = text.partition(STATE_LABEL)
    if not label:
        return None
    found: Mapping[str, Any] = json.JSONDecoder().raw_decode(rest.lstrip())[0]
    return found


class _TooLong(Exception):
    """A custom status that the extension refuses."""


class _Episode:
    """What has begun and is to be ended."""

    def __init__(self, work: Work, begun: Sequence[Event], at: int) -> None:
        self._work = work
        self._begun = begun
        self._at = at
        self._consumed = tuple(seq for seq, _ in work.inbox)

    def decided(self, state: Mapping[str, Any], is_activity: Callable[[str], bool]) -> Result:
        """Perform what the orchestrator decided."""
        (actions,) = state["actions"]
        replay = Replay(actions, is_activity)
        try:
            custom = self._custom(state)
            replay.play([*self._work.past, *self._begun])
        except NonDeterministic as reason:
            return self.ended("Failed", f"Non-Deterministic workflow detected: {reason}", None)
        except (Unsupported, _TooLong) as reason:
            return self.failed(str(reason))
        if replay.ended and state.get("error"):
            return self.failed(state["error"], custom)
        if replay.ended and replay.continued is not None:
            return self._over(replay, custom)
        if replay.ended and state.get("isDone"):
            output = state.get("output")
            return self.ended("Completed", None if output is None else json.dumps(output), custom)
        return self._waiting(replay, custom)

    def failed(self, reason: str, custom: str | None = None) -> Result:
        """End with a failure of the orchestrator function."""
        name = self._work.instance.name
        return self.ended("Failed", f"Orchestrator function '{name}' failed: {reason}", custom)

    def ended(self, status: str, output: str | None, custom: str | None) -> Result:
        """End the instance."""
        end = event(
            Kind.EXECUTION_COMPLETED, self._at, OrchestrationStatus=status, Result=output, Details=None
        )
        return Result(
            status=status,
            at=self._at,
            events=[*self._begun, end, event(Kind.ORCHESTRATOR_COMPLETED, self._at)],
            output=output,
            custom=custom,
            consumed=self._consumed,
        )

    def _custom(self, state: Mapping[str, Any]) -> str | None:
        if (given := state.get("customStatus")) is None:
            # Nothing of the kind is nothing, but for the first episode after starting over.
            return self._work.instance.custom if self._work.instance.fresh else None
        custom = json.dumps(given)
        if (size := len(custom.encode("utf-16-le"))) > CUSTOM_STATUS_LIMIT * 1024:
            raise _TooLong(
                f"The UTF-16 size of the JSON-serialized payload must not exceed {CUSTOM_STATUS_LIMIT} KB. "
                f"The current payload size is {size / 1024:.0f} KB."
            )
        return custom

    def _over(self, replay: Replay, custom: str | None) -> Result:
        # What came after the decision to start over stays in the inbox; what came before, unseen, is lost.
        kept = [id(one) for one in replay.carried]
        consumed = tuple(seq for seq, one in self._work.inbox if id(one) not in kept)
        return Result(
            status="ContinuedAsNew",
            at=self._at,
            events=self._begun,
            output=replay.continued,
            custom=custom,
            consumed=consumed,
        )

    def _waiting(self, replay: Replay, custom: str | None) -> Result:
        calls = [one for one in replay.decided.values() if isinstance(one, Call)]
        timers = [one for one in replay.decided.values() if isinstance(one, Timer)]
        return Result(
            status="Running",
            at=self._at,
            events=[
                *self._begun,
                *(self._scheduled(one) for one in replay.decided.values()),
                event(Kind.ORCHESTRATOR_COMPLETED, self._at),
            ],
            custom=custom,
            consumed=self._consumed,
            calls=calls,
            timers=timers,
        )

    def _scheduled(self, decided: Call | Timer) -> Event:
        if isinstance(decided, Timer):
            return event(Kind.TIMER_CREATED, self._at, decided.id, FireAt=instant(decided.due))
        # The framework passes arguments as a list of one.
        given = json.dumps([decided.input])
        return event(Kind.TASK_SCHEDULED, self._at, decided.id, Name=decided.name, Version="", Input=given)
