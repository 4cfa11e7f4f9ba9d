"""Durable Functions in the test's own process: the real SDK's orchestrators on the local host's engine, no HTTP, a clock that stands."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from local.host.durable.clock import Clock
from local.host.durable.crash import Crash, Switch
from local.host.durable.engine import Engine
from local.host.durable.episode import Orchestrator
from local.host.durable.records import Instance
from local.host.durable.storage import Storage

type Flow = Callable[[df.DurableOrchestrationContext], Generator[Any, Any, Any]]
type Work = Callable[[Any], Awaitable[Any]]
HOUR = 3600.0
PATIENCE = 5.0
"""Seconds to wait for something that must happen; reached only by a failing test."""
START = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def orchestrator(flow: Flow) -> Orchestrator:
    """Make of a flow what the worker makes of it."""
    handle = df.Orchestrator.create(flow)

    async def run(context: str) -> str:
        return handle(context)

    return run


class Hub:
    """An engine over a file that can be dropped and opened again."""

    def __init__(
        self,
        path: Path,
        flows: Mapping[str, Flow],
        works: Mapping[str, Work],
        *,
        activities_at_once: int = 20,
    ) -> None:
        self.path = path
        self.flows = dict(flows)
        self.works = dict(works)
        self.calls: list[tuple[str, Any]] = []
        """Every run of an activity, with its input."""
        self._activities_at_once = activities_at_once
        self.engine: Engine

    async def open(self) -> None:
        """Open the file as a new process would; begin."""
        clock = Clock(lambda: START, frozen=True)
        self.engine = Engine(
            Storage(self.path, clock),
            clock,
            orchestrators={name: orchestrator(flow) for name, flow in self.flows.items()},
            activities={name: self._recorded(name, work) for name, work in self.works.items()},
            activities_at_once=self._activities_at_once,
        )
        await self.engine.start()

    async def again(self) -> None:
        """Drop everything that is not stored, open again, and let it run."""
        await self.engine.stop()
        await self.open()
        await self.engine.idle()

    async def start(self, name: str, given: Any = None, instance: str = "one") -> Instance:
        """Start an orchestration as the SDK's client does, and let it run."""
        self.engine.start_new(name, json.dumps(json.dumps(given)), instance)
        return await self.now(instance)

    async def now(self, instance: str = "one") -> Instance:
        """Let everything run that is to run now, and give an instance."""
        await self.engine.idle()
        found = self.engine.storage.get(instance)
        assert found is not None
        return found

    def ended(self, instance: str = "one") -> bool:
        """Tell whether an instance has ended."""
        found = self.engine.storage.get(instance)
        return found is not None and found.ended

    async def after(self, seconds: float, instance: str = "one") -> Instance:
        """Move the clock ahead, let everything run, and give an instance."""
        self.engine.advance(seconds)
        return await self.now(instance)

    async def send(self, name: str, value: Any = None, instance: str = "one") -> Instance:
        """Raise an event as the SDK's client does, and let everything run."""
        self.engine.raise_event(await self.now(instance), name, json.dumps(json.dumps(value)))
        return await self.now(instance)

    async def struck(self, switch: Switch, act: Callable[[], Awaitable[object]]) -> bool:
        """Do something with a crash switch armed; tell whether it struck, and open again if so."""
        self.engine.switches.arm(switch)
        try:
            await act()
        except Crash:
            await self.again()
            return True
        self.engine.switches.disarm()
        return False

    def history(self, instance: str = "one") -> list[dict[str, Any]]:
        """Give the events of an instance."""
        return self.engine.storage.history(instance)

    def _recorded(self, name: str, work: Work) -> Callable[[str], Awaitable[str | None]]:
        async def run(given: str) -> str | None:
            value = json.loads(given)
            self.calls.append((name, value))
            result = await work(value)
            return None if result is None else json.dumps(result)

        return run


def output(instance: Instance) -> Any:
    """Give what an instance came to."""
    assert instance.output is not None
    return json.loads(instance.output)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something is so; fail when it does not come."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < PATIENCE, "it did not come in time"
        await asyncio.sleep(0.001)


async def upper(word: str) -> str:
    """An activity."""
    return word.upper()


async def refuse(_: object) -> None:
    """An activity that always fails."""
    raise ValueError("deliberate failure")
