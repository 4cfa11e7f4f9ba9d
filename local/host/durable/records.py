"""What the local host keeps of Durable Functions; how the real extension's storage looks is another matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from local.host.durable.history import Event
from local.host.durable.tasks import Call, Timer

FINAL: Final = frozenset({"Completed", "Failed", "Canceled", "Terminated"})
"""Statuses of instances that have ended; their ids may be used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An orchestration; times are microseconds since 1970, `input`, `output` and `custom` JSON texts as they were given."""

    id: str
    name: str
    execution: str
    """Id of the run: another after starting over, and after the id was used again."""
    status: str
    input: str | None
    output: str | None
    custom: str | None
    created: int
    """When its current history began: starting over moves it, as it does there."""
    updated: int
    fresh: bool
    """Whether its history has not begun."""
    generation: int
    """How often it has started over."""
    peak: int
    """The most events that its history ever had."""

    @property
    def ended(self) -> bool:
        """Tell whether nothing will happen to it any more."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An activity that is to be run, with the orchestration's id and run."""

    seq: int
    instance: str
    execution: str
    task: int
    name: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A timer whose time has come; `orchestrator` is the name of the function that waits."""

    seq: int
    instance: str
    orchestrator: str
    task: int
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an episode begins with: the history so far, and what has come since, with the numbers it has in the inbox."""

    instance: Instance
    past: Sequence[Event]
    inbox: Sequence[tuple[int, Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an episode ends with; `output` is the new input when `status` is ContinuedAsNew."""

    status: str
    at: int
    events: Sequence[Event]
    output: str | None = None
    custom: str | None = None
    consumed: Sequence[int] = ()
    """What has left the inbox."""
    calls: Sequence[Call] = ()
    timers: Sequence[Timer] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which instances to list, by id: `after` is the last id of the page before."""

    prefix: str = ""
    statuses: Sequence[str] = field(default=())
    """Empty means all."""
    created_from: int | None = None
    created_to: int | None = None
    after: str = ""
    page: int = 100
