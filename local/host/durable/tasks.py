"""Actions of an orchestrator and the tasks that they become, as the SDK and the Durable Task Framework name them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class NonDeterministic(Exception):
    """The actions do not fit the history; the message is the framework's."""


class Unsupported(Exception):
    """An action that cannot be performed; the message says which."""


class Action(IntEnum):
    """Types of actions, with the SDK's numbers."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    SCHEDULED_SIGNAL_ENTITY = 10
    WHEN_ANY = 11
    WHEN_ALL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An activity to be run; `input` is the JSON text that the SDK made."""

    id: int
    name: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A timer to be started; `due` is in microseconds since 1970."""

    id: int
    due: int


class Task:
    """What an action waits for."""

    def __init__(self) -> None:
        self.done = False
        self.failed = False
        self._then: list[Callable[[], None]] = []

    def end(self, *, failed: bool = False) -> None:
        """End it, and do what waits for that; only the first time counts."""
        if not self.done:
            self.done, self.failed = True, failed
            for then in self._then:
                then()

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called when it ends, at once if it has."""
        if self.done:
            call()
        else:
            self._then.append(call)


def over() -> Task:
    """Return a task that has ended."""
    task = Task()
    task.end()
    return task
