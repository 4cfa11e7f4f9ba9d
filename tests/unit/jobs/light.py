"""Durable's orchestration context without Durable: no replay and no history, for jobs of a day in a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.unit.jobs.replay import START


class _Task:
    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value
        self.is_completed = False

    def cancel(self) -> None:
        raise AssertionError("no event ever comes")


class Light:
    """Runs one orchestration; only activities and timers happen."""

    def __init__(self, given: Any, activity: Callable[[str, Any, float], Any], *, instance: str) -> None:
        self.given = given
        self.activity = activity
        self.instance_id = instance
        self.current_utc_datetime: datetime = START
        self.status: Any = None
        self.calls: list[tuple[str, float]] = []
        self.generations = 0
        self.again = False

    def run(self, function: Callable[[Any], Any]) -> Light:
        """Play until the orchestration has ended."""
        self.again = True
        while self.again:
            self.again = False
            self.generations += 1
            generator, sent = function(self), None
            try:
                while True:
                    sent = self._done(generator.send(sent))
            except StopIteration:
                pass
        return self

    def _done(self, task: _Task) -> Any:
        if task.kind == "any":
            task = task.value[0]
            self.current_utc_datetime = task.value
            return task
        if task.kind == "timer":
            self.current_utc_datetime = task.value
            return None
        name, given = task.value
        elapsed = (self.current_utc_datetime - START) / timedelta(seconds=1)
        self.calls.append((name, elapsed))
        return self.activity(name, given, elapsed)

    def get_input(self) -> Any:
        return self.given

    def set_custom_status(self, status: Any) -> None:
        self.status = status

    def continue_as_new(self, given: Any) -> None:
        self.given, self.again = given, True

    def call_activity(self, name: str, given: Any) -> _Task:
        return _Task("activity", (name, given))

    def create_timer(self, at: datetime) -> _Task:
        return _Task("timer", at)

    def wait_for_external_event(self, name: str) -> _Task:
        return _Task("event", name)

    def task_any(self, tasks: list[_Task]) -> _Task:
        return _Task("any", tasks)
