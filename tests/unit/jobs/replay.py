"""A stand-in for Durable Functions that replays the genuine azure-functions-durable orchestrator under a virtual clock.

Every step is one episode: the orchestrator runs from its beginning over the history so far, and says what it wants next.
Only what jobs use is here: activities, with retry, timers, one of several, external events, continue_as_new.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df

START = datetime(2025, 6, 15, 15, 6, 40, tzinfo=UTC)
"""1,750,000,000 seconds since 1970: when jobs of these tests are accepted."""


class Failed(Exception):
    """An activity's failure, as Durable would tell it."""


class Host:
    """One orchestration instance. `activity` is called with a name, an input and the seconds since START."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        given: Any,
        activity: Callable[[str, Any, float], Any] = lambda _name, _given, _now: None,
        *,
        instance: str = "job",
        events: tuple[tuple[float, str], ...] = (),
    ) -> None:
        self.handle = df.Orchestrator.create(function)
        self.activity = activity
        self.instance = instance
        self.given = json.dumps(given)
        self.now = START
        self.status: Any = None
        self.statuses: list[Any] = []
        """Every custom status that was new."""
        self.output: Any = None
        self.done = False
        self.calls: list[tuple[str, float]] = []
        """Activities, each with the seconds since START."""
        self.generations = 1
        self.longest = 0
        """Events in the longest history."""
        self.largest = 0
        """Bytes of the largest history, as JSON."""
        self.context: dict[str, Any] = {}
        self.episodes: list[tuple[int, Any]] = []
        """How many events each episode had, and what had been asked for after it."""
        self._order = 0
        self._inbox: list[tuple[datetime, int, int, dict[str, Any]]] = []
        for at, name in events:
            self._post(START + timedelta(seconds=at), 15, {"Name": name, "Input": "null"})
        self._reset()

    @property
    def elapsed(self) -> float:
        return (self.now - START).total_seconds()

    def run(self, *, most: int = 100_000) -> Host:
        """Play until the orchestration has ended."""
        for _ in range(most):
            self._episode()
            if self.done:
                return self
            if not self._inbox:
                raise AssertionError("the orchestration waits for nothing that could come")
            at, _, kind, event = heapq.heappop(self._inbox)
            self.now = max(self.now, at)
            self._begin()
            self._happen(kind, event)
        raise AssertionError("the orchestration does not end")

    def _reset(self) -> None:
        self.history: list[dict[str, Any]] = []
        self._next = 0
        self._seen = 0
        self._asked: list[dict[str, Any]] = []
        self._retries: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}
        self._timers: dict[int, int] = {}
        self._begin()
        self._event(0, Name="groupgate_job", Input=self.given, Version=None, Tags=None)

    def _begin(self) -> None:
        for event in self.history:
            event["IsPlayed"] = True
        self._event(12)

    def _event(self, kind: int, id_: int = -1, **more: Any) -> None:
        self.history.append(
            {"EventType": kind, "EventId": id_, "IsPlayed": False, "Timestamp": _text(self.now), **more}
        )

    def _id(self) -> int:
        self._next += 1
        return self._next - 1

    def _post(self, at: datetime, kind: int, event: dict[str, Any]) -> None:
        self._order += 1
        heapq.heappush(self._inbox, (at, self._order, kind, event))

    def _episode(self) -> None:
        text = json.dumps(self.history)
        self.longest, self.largest = max(self.longest, len(self.history)), max(self.largest, len(text))
        body = {
            "history": self.history,
            "instanceId": self.instance,
            "isReplaying": len(self.history) > 2,
            "parentInstanceId": None,
            "input": self.given,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "maximumShortTimerDuration": "6.00:00:00",
            "longRunningTimerIntervalDuration": "3.00:00:00",
        }
        state = json.loads(self.handle(json.dumps(body)))
        self.context = {name: value for name, value in body.items() if name != "history"}
        self.episodes.append((len(self.history), state["actions"]))
        if state.get("customStatus") != self.status:
            self.status = state.get("customStatus")
            self.statuses.append(self.status)
        actions = [leaf for group in state["actions"] for action in group for leaf in _leaves(action)]
        asked = [{**action, "isCanceled": None} for action in actions]
        # As Durable itself does: code that asks for something else than what stands in the history is not deterministic.
        assert asked[: self._seen] == self._asked
        self._asked = asked
        for place, action in enumerate(actions[self._seen :], self._seen):
            self._schedule(place, action)
        self._seen = len(actions)
        for place, action in enumerate(actions):
            if action["actionType"] == 5 and action["isCanceled"]:
                self._cancel(self._timers[place])
        again = next((action for action in actions if action["actionType"] == 4), None)
        if again is not None:
            self.given = again["input"]
            self.generations += 1
            self._inbox = [entry for entry in self._inbox if entry[2] == 15]
            heapq.heapify(self._inbox)
            self._reset()
            self._episode()
        elif state["isDone"]:
            self.done, self.output = True, state.get("output")
        else:
            self._event(13)

    def _schedule(self, place: int, action: dict[str, Any]) -> None:
        kind = action["actionType"]
        if kind in (0, 1):
            id_ = self._id()
            if kind == 1:
                self._retries["task", id_] = (action, 1)
            self._call(id_, action)
        elif kind == 5:
            self._timers[place] = self._timer(datetime.fromisoformat(action["fireAt"]))
        else:
            assert kind in (4, 6), action

    def _call(self, id_: int, action: dict[str, Any]) -> None:
        name = action["functionName"]
        self._event(4, id_, Name=name, Input=action["input"])
        self.calls.append((name, self.elapsed))
        try:
            result = self.activity(name, json.loads(action["input"]), self.elapsed)
        except Failed as failure:
            event = {"TaskScheduledId": id_, "Reason": str(failure), "Details": "details"}
            self._post(self.now, 6, event)
        else:
            self._post(self.now, 5, {"TaskScheduledId": id_, "Result": json.dumps(result)})

    def _timer(self, at: datetime) -> int:
        id_ = self._id()
        self._event(10, id_, FireAt=_text(at))
        self._post(at.astimezone(UTC), 11, {"TimerId": id_, "FireAt": _text(at)})
        return id_

    def _cancel(self, timer: int) -> None:
        self._inbox = [
            entry for entry in self._inbox if not (entry[2] == 11 and entry[3]["TimerId"] == timer)
        ]
        heapq.heapify(self._inbox)

    def _happen(self, kind: int, event: dict[str, Any]) -> None:
        self._event(kind, **event)
        if kind == 6 and ("task", event["TaskScheduledId"]) in self._retries:
            # Every failure schedules a timer, even the last one: so does the Durable Task Framework.
            action, tries = self._retries.pop(("task", event["TaskScheduledId"]))
            wait = action["retryOptions"]["firstRetryIntervalInMilliseconds"]
            timer = self._timer(self.now + timedelta(milliseconds=wait))
            self._retries["timer", timer] = (action, tries)
        elif kind == 11 and ("timer", event["TimerId"]) in self._retries:
            action, tries = self._retries.pop(("timer", event["TimerId"]))
            if tries < action["retryOptions"]["maxNumberOfAttempts"]:
                id_ = self._id()
                self._retries["task", id_] = (action, tries + 1)
                self._call(id_, action)


def _leaves(action: dict[str, Any]) -> list[dict[str, Any]]:
    if "compoundActions" not in action:
        return [action]
    return [leaf for inner in action["compoundActions"] for leaf in _leaves(inner)]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
