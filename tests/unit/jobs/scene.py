"""Activities over fakes, and whole lives of jobs: the real orchestration, activities that die and run again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.job import Intent, Progress, Stored
from shared.jobs.activities import Activities
from shared.jobs.notify import Notifier
from shared.jobs.orchestrator import orchestration
from shared.jobs.seal import Sealer
from shared.jobs.steps import Step
from shared.model import Policy, Route
from tests.fakes import FakeMemberships, FakeTransport, a_batch, a_membership, a_policy
from tests.jobfakes import (
    JOBS_URL,
    FakeAzureMLJobs,
    FakeJobStore,
    JobRecorder,
    Killed,
    Steps,
    a_stored,
    an_intent,
)


def churn(**changes: Any) -> Route:
    """Return the batch endpoint of an_intent(), with `changes`."""
    return a_batch(name="churn", url=JOBS_URL, **changes)


class Scene:
    """One stored job, and all that its activities speak to. What may change between two calls is read anew for each."""

    def __init__(
        self,
        intent: Intent | None = None,
        *script: Any,
        policy: Policy | None = None,
        secret: str | None = None,
        die_at: tuple[int, ...] = (),
        **stored: Any,
    ) -> None:
        self.steps = Steps(*die_at)
        self.sealer = Sealer(secret)
        self.secret = secret
        self.intent = intent or self.sealer.seal(an_intent())
        self.job = self.intent.job
        self.store = FakeJobStore(a_stored(self.intent, **stored), steps=self.steps)
        self.azure = FakeAzureMLJobs(*script, steps=self.steps)
        self.recorder = JobRecorder(steps=self.steps)
        self.clock = self.azure.clock
        self.memberships = FakeMemberships(known=a_membership())
        self.policy: Policy | None = policy or a_policy(churn())
        self.transport = FakeTransport()
        self.allow_http = False

    @property
    def activities(self) -> Activities:
        """Return those of a process that has just begun."""
        notifier = None
        if self.secret is not None:
            notifier = Notifier(
                self.secret, transport=self.transport, clock=self.clock, allow_http=self.allow_http
            )
        return Activities(
            policy=self.policy,
            memberships=None if self.policy is None else self.memberships,
            jobs=self.azure,  # type: ignore[arg-type]  # a fake in its place
            audit=self.recorder,
            clock=self.clock,
            sealer=self.sealer,
            notifier=notifier,
            allow_http=self.allow_http,
        )

    @property
    def stored(self) -> Stored:
        return self.store.jobs[self.job]

    async def do(self, name: str, job: Any = None) -> Step:
        """Return what the activity says, for the scene's job unless another is named."""
        told = await getattr(self.activities, name)(self.store, self.job if job is None else job)
        return msgspec.convert(told, Step)

    async def wish_for_its_end(self) -> None:
        """Let the owner ask for the end of the job."""
        self.store.notes[f"cancel.{self.job}"] = {"request": "r"}

    @property
    def sent(self) -> int:
        """Return how often a submission was sent."""
        return self.azure.calls.count("submit")


class Life:
    """One job from its start to its end: what Durable does, with activities that run at least once.

    A process that dies takes the activity with it, which is delivered again `again` seconds later. With `late` every
    activity is delivered to a second process as well, some moments later; the first answer counts, and the other process
    goes on, perhaps while the orchestration is elsewhere. With `stale` the store shows progress one change late. `at` has
    things happen: seconds since the start, and what.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        again: float = 1.0,
        late: random.Random | None = None,
        stale: bool = False,
        at: tuple[tuple[float, Callable[[], object]], ...] = (),
    ) -> None:
        self.scene = scene
        self.again = again
        self.late = late
        self.stale = stale
        self.at = sorted(at, key=lambda one: one[0])
        self.deaths = 0
        self.instance_id = scene.job
        self.given: Any = msgspec.to_builtins({"intent": scene.intent, "progress": None})
        self.next = False
        self.shown: list[Progress] = []
        self._shown: Progress | None = None
        self._others: list[asyncio.Task[Any]] = []

    async def live(self) -> Progress:
        """Play to the end, and return the progress that the orchestration ended with."""
        self.next = True
        output = None
        while self.next:
            self.next = False
            generator, sent = orchestration(None)(self), None
            try:
                while True:
                    sent = await self._result(generator.send(sent))
            except StopIteration as stop:
                output = stop.value
        await asyncio.gather(*self._others, return_exceptions=True)
        return msgspec.convert(output, Progress)

    async def _result(self, task: tuple[str, Any]) -> Any:
        kind, value = task
        for _ in range(3):
            await asyncio.sleep(0)
        if kind == "any":
            timer, _ = value
            self._pass((timer[1] - self.current_utc_datetime) / timedelta(seconds=1))
            return timer
        if kind == "timer":
            self._pass((value - self.current_utc_datetime) / timedelta(seconds=1))
            return None
        return await self._deliver(*value)

    async def _deliver(self, name: str, job: str) -> Any:
        while True:
            try:
                return await self._run(name.removeprefix("groupgate_"), job)
            except Killed:
                self.deaths += 1
                self._pass(self.again)

    async def _run(self, name: str, job: str) -> Any:
        once = getattr(self.scene.activities, name)
        if self.late is None:
            return await once(self.scene.store, job)
        lag, chance = self.late.choice([0, 1, 3, 10, 30]), self.late.random()

        async def other() -> Any:
            for _ in range(lag):
                await asyncio.sleep(0)
            return await getattr(self.scene.activities, name)(self.scene.store, job)

        both = [asyncio.ensure_future(once(self.scene.store, job)), asyncio.ensure_future(other())]
        self._others += both
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if chance < 1 / 2:
            # Both have come before Durable takes one of the two answers, and it may be the later one's.
            done, _ = await asyncio.wait(both)
        answers = [task.result() for task in done if task.exception() is None]
        if not answers:
            raise Killed
        return self.late.choice(answers)

    def _pass(self, seconds: float) -> None:
        elapsed = self.scene.clock.wall - self.scene.intent.accepted
        while self.at and self.at[0][0] <= elapsed + seconds:
            self.at.pop(0)[1]()
        self.scene.clock.move(seconds)

    # What the orchestration sees of Durable.

    @property
    def current_utc_datetime(self) -> datetime:
        return datetime.fromtimestamp(self.scene.clock.wall, UTC)

    def get_input(self) -> Any:
        return self.given

    def set_custom_status(self, status: Any) -> None:
        progress = msgspec.convert(status, Progress)
        self.shown.append(progress)
        seen = self._shown if self.stale else progress
        self._shown = progress
        if seen is not None:
            self.scene.store.put(self.scene.job, **msgspec.structs.asdict(seen))

    def continue_as_new(self, given: Any) -> None:
        self.given, self.next = given, True

    def call_activity(self, name: str, given: Any) -> tuple[str, Any]:
        return "activity", (name, given)

    def call_activity_with_retry(self, name: str, retry: object, given: Any) -> tuple[str, Any]:
        return "activity", (name, given)

    def create_timer(self, when: datetime) -> _Timer:
        return _Timer(("timer", when))

    def wait_for_external_event(self, name: str) -> _Timer:
        return _Timer(("event", name))

    def task_any(self, tasks: list[Any]) -> tuple[str, Any]:
        return "any", tasks


class _Timer(tuple[str, Any]):
    __slots__ = ()

    is_completed = False
