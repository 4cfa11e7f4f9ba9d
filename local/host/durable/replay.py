"""Stand-in for the Durable Task Framework's replay of an orchestrator's actions; never compared with the real one.

An out-of-process orchestrator answers with the list of all its actions since the history began. The extension performs them one
after the other, each awaited before the next begins, while the history's events are played: so tasks get their numbers, and
what was decided before must be decided again. What is left over is new. The rules are those of `OutOfProcOrchestrationShim`,
`DurableOrchestrationContext`, `TaskOrchestrationContext` and `RetryInterceptor`; among them: WhenAll waits for every part,
though the SDK goes on at the first failure; a retry is preceded by a timer, and so is giving up; an event goes to the last one
that waits for it; an instance ends only when nothing that it has begun is open, timers that were not cancelled included.
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from local.host.durable.history import Event, Kind, microseconds
from local.host.durable.tasks import Action, Call, NonDeterministic, Task, Timer, Unsupported, over


class Replay:
    """One replay: `play` the events of a history, then read what is new.

    `is_activity` says which names are activities' in this app.
    """

    def __init__(self, actions: Sequence[Mapping[str, Any]], is_activity: Callable[[str], bool]) -> None:
        self._actions = actions
        self._is_activity = is_activity
        self._position = 0
        self._now = 0
        self._next_id = 0
        self._open: dict[int, Task] = {}
        self._waiting: defaultdict[str, list[Task]] = defaultdict(list)
        self._early: defaultdict[str, deque[Event]] = defaultdict(deque)
        self._finished = False
        self.decided: dict[int, Call | Timer] = {}
        """New activities and timers by their numbers."""
        self.continued: str | None = None
        """The JSON text of the input to start over with, if that was asked for."""
        self.carried: list[Event] = []
        """Events that came after that: they belong to the next history."""

    @property
    def ended(self) -> bool:
        """Whether every action was performed and nothing is open."""
        return self._finished and not self._open

    def play(self, events: Iterable[Event]) -> None:
        """Play events, the oldest first. Raises NonDeterministic and Unsupported."""
        for event in events:
            match Kind(event["EventType"]):
                case Kind.ORCHESTRATOR_STARTED:
                    self._now = microseconds(event["Timestamp"])
                case Kind.EXECUTION_STARTED:
                    self._perform()
                case Kind.TASK_SCHEDULED:
                    self._decided_again(event, Call, "an activity task")
                case Kind.TIMER_CREATED:
                    self._decided_again(event, Timer, "a timer task")
                case Kind.TASK_COMPLETED | Kind.TASK_FAILED as kind:
                    self._close(event["TaskScheduledId"], failed=kind is Kind.TASK_FAILED)
                case Kind.TIMER_FIRED:
                    self._close(event["TimerId"])
                case Kind.EVENT_RAISED:
                    self._raise(event)
                case _:
                    pass

    def _perform(self) -> None:
        while self._position < len(self._actions):
            task = self._begin(self._actions[self._position])
            self._position += 1
            if not task.done:
                task.then(self._perform)
                return
        self._finished = True

    def _begin(self, action: Mapping[str, Any]) -> Task:
        match Action(action["actionType"]):
            case Action.CALL_ACTIVITY:
                return self._call(action)
            case Action.CALL_ACTIVITY_WITH_RETRY:
                task = Task()
                self._try(action, task, attempt=1)
                return task
            case Action.CREATE_TIMER:
                return self._timer(microseconds(action["fireAt"]), cancelled=bool(action.get("isCanceled")))
            case Action.WAIT_FOR_EXTERNAL_EVENT:
                return self._wait(action["externalEventName"])
            case Action.CONTINUE_AS_NEW:
                self.continued = json.dumps(action.get("input"))
                return over()
            case (Action.WHEN_ANY | Action.WHEN_ALL) as kind:
                return self._when(action["compoundActions"], every=kind is Action.WHEN_ALL)
            case other:
                raise Unsupported(f"the local host does not support actions of type {other.name}")

    def _call(self, action: Mapping[str, Any]) -> Task:
        name = action["functionName"]
        if not self._is_activity(name):
            raise Unsupported(
                f"The function '{name}' doesn't exist, is disabled, or is not an activity function."
            )
        number, task = self._opened()
        self.decided[number] = Call(id=number, name=name, input=action.get("input") or "null")
        return task

    def _timer(self, due: int, *, cancelled: bool = False) -> Task:
        number, task = self._opened()
        self.decided[number] = Timer(id=number, due=due)
        if cancelled:
            # It was started all the same, and will fire for nobody.
            del self._open[number]
            task.end(failed=True)
        return task

    def _try(self, action: Mapping[str, Any], whole: Task, attempt: int) -> None:
        task = self._call(action)
        task.then(partial(self._tried, action, whole, attempt, task))

    def _tried(self, action: Mapping[str, Any], whole: Task, attempt: int, task: Task) -> None:
        if not task.failed:
            whole.end()
            return
        options = action["retryOptions"]
        pause = self._timer(self._now + options["firstRetryIntervalInMilliseconds"] * 1000)
        if attempt < options["maxNumberOfAttempts"]:
            pause.then(partial(self._try, action, whole, attempt + 1))
        else:
            pause.then(partial(whole.end, failed=True))

    def _wait(self, name: str) -> Task:
        task = Task()
        self._waiting[name.lower()].append(task)
        if self._early[name.lower()]:
            self._raise(self._early[name.lower()].popleft())
        return task

    def _when(self, actions: Sequence[Mapping[str, Any]], *, every: bool) -> Task:
        whole = Task()
        parts = [self._begin(action) for action in actions]
        enough = len(parts) if every else min(1, len(parts))

        def count() -> None:
            if sum(part.done for part in parts) >= enough:
                whole.end()

        count()
        for part in parts:
            part.then(count)
        return whole

    def _opened(self) -> tuple[int, Task]:
        number = self._next_id
        self._next_id += 1
        self._open[number] = Task()
        return number, self._open[number]

    def _close(self, number: int, *, failed: bool = False) -> None:
        # What nobody waits for any more is passed over, as the framework does.
        if (task := self._open.pop(number, None)) is not None:
            task.end(failed=failed)

    def _raise(self, event: Event) -> None:
        name = event["Name"].lower()
        if self.continued is not None:
            self.carried.append(event)
        elif self._waiting[name]:
            self._waiting[name].pop().end()
        else:
            self._early[name].append(event)

    def _decided_again(self, event: Event, kind: type[Call | Timer], what: str) -> None:
        number = event["EventId"]
        named = f" and name '{event['Name']}'" if "Name" in event else ""
        before = (
            f"A previous execution of this orchestration scheduled {what} with sequence ID {number}{named}"
        )
        changed = (
            "Was a change made to the orchestrator code after this instance had already started running?"
        )
        now = self.decided.pop(number, None)
        if now is None:
            raise NonDeterministic(
                f"{before}, but the current replay execution hasn't (yet?) scheduled this task. {changed}"
            )
        if not isinstance(now, kind) or (isinstance(now, Call) and now.name.lower() != event["Name"].lower()):
            instead = f"an activity task named '{now.name}'" if isinstance(now, Call) else "a timer task"
            raise NonDeterministic(
                f"{before}, but the current orchestration replay instead produced {instead}. {changed}"
            )
