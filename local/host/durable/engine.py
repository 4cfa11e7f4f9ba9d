"""Stand-in for the task hub of Durable Functions in one process: runs what `Storage` holds; never compared with the real one.

Everything that is to be done is a stored row, and the lists in memory only say which; so what a killed engine leaves is taken up
by the next. Activities run at least once, episodes take effect exactly once. It can be used without HTTP and without a host:

    storage = Storage(path, clock)
    engine = Engine(storage, clock, orchestrators={"flow": run}, activities={"up": act})
    await engine.start()
    engine.start_new("flow", '"input"', "an-id")

where `run` takes the JSON text of a context and returns that of a state, and `act` takes and returns JSON texts.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from local.host.durable.alarm import RETRY, Alarm
from local.host.durable.calls import ActivityFunction, call
from local.host.durable.clock import Clock
from local.host.durable.crash import Crash, Switches
from local.host.durable.episode import Orchestrator, play
from local.host.durable.history import Event, Kind, event
from local.host.durable.ids import Refused, check_id
from local.host.durable.records import Due, Instance
from local.host.durable.storage import AlreadyExists, Storage, StorageUnavailable
from local.host.logs import host_logger

ACTIVITIES_AT_ONCE: Final = 20
EPISODES_AT_ONCE: Final = 10


class Engine:
    """Runs orchestrations. Names of functions are compared without case, as the host does.

    Methods for clients raise StorageUnavailable, and then have done nothing; after a crash switch has struck they raise Crash.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        orchestrators: Mapping[str, Orchestrator],
        activities: Mapping[str, ActivityFunction],
        switches: Switches | None = None,
        activities_at_once: int = ACTIVITIES_AT_ONCE,
        episodes_at_once: int = EPISODES_AT_ONCE,
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.switches = switches or Switches()
        self.hide_conflicts = False
        """Accept a start whose id is taken, and drop it, as Azure Storage may do to the slower of two at once."""
        self._orchestrators = {name.lower(): run for name, run in orchestrators.items()}
        self._activities = {name.lower(): run for name, run in activities.items()}
        self._limits = activities_at_once, episodes_at_once
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._calls: deque[int] = deque()
        self._calling = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(storage, clock, reached=self._reached, fired=self._fired)
        self._stopping = False
        self._quiet = asyncio.Event()
        self._dead: BaseException | None = None
        self.over = asyncio.Event()
        """Set when a crash switch has struck, or the engine itself has failed."""

    async def start(self) -> None:
        """Take up everything that is pending. Raises StorageUnavailable."""
        self._calls.extend(self.storage.activities())
        for instance_id in self.storage.unfinished():
            self._mark(instance_id)
        self._pump()
        self._alarm.look()

    async def stop(self, grace: float = 0.0) -> bool:
        """Begin nothing new, give what runs `grace` seconds, close the storage; return whether all had ended.

        Raises what the engine itself has failed of; a Crash is no such thing.
        """
        self._stopping = True
        self._alarm.stop()
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        ended = not self._tasks
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.storage.close()
        if self._dead is not None and not isinstance(self._dead, Crash):
            raise self._dead
        return ended

    async def idle(self) -> None:
        """Wait until nothing runs and nothing is to be run, timers apart. Raises Crash when a switch strikes meanwhile."""
        while self._dead is None and (self._tasks or self._ready or self._calls):
            self._quiet.clear()
            await self._quiet.wait()
        self._check()

    # For clients

    def start_new(self, name: str, payload: str | None, instance_id: str = "") -> str:
        """Start an orchestration, and return its id when that is stored. Raises Refused and AlreadyExists."""
        instance_id = instance_id or uuid.uuid4().hex
        if name.lower() not in self._orchestrators:
            known = "', '".join(sorted(self._orchestrators))
            raise Refused(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. "
                f"Additional info: The following are the known orchestrator functions: '{known}'."
            )
        check_id(instance_id)
        self._reached("before", "start", name)
        try:
            self.storage.create(name, instance_id, payload)
        except AlreadyExists:
            if self.hide_conflicts:
                return instance_id
            raise
        self._reached("after", "start", name)
        self._wake(instance_id)
        return instance_id

    def raise_event(self, instance: Instance, name: str, payload: str) -> None:
        """Send an event with the JSON text `payload`; it is lost when the instance has ended meanwhile."""
        self._send(instance, event(Kind.EVENT_RAISED, self.clock.now(), Name=name, Input=payload))

    def terminate(self, instance: Instance, reason: str | None) -> None:
        """Have an instance ended; it is not ended yet when this returns."""
        self._send(instance, event(Kind.EXECUTION_TERMINATED, self.clock.now(), Input=reason))

    # For tests

    def advance(self, seconds: float) -> None:
        """Move the clock ahead; timers that are due now fire before this returns, and later engines go by it too."""
        self._check()
        self.storage.move_clock(seconds)
        self._alarm.look()

    # Inside

    def _send(self, instance: Instance, sent: Event) -> None:
        self._reached("before", "event", instance.name)
        accepted = self.storage.add(instance.id, sent)
        self._reached("after", "event", instance.name)
        if accepted:
            self._wake(instance.id)

    def _wake(self, instance_id: str) -> None:
        self._mark(instance_id)
        self._pump()

    def _mark(self, instance_id: str) -> None:
        if instance_id in self._busy:
            self._again.add(instance_id)
        else:
            self._ready[instance_id] = None

    def _pump(self) -> None:
        activities_at_once, episodes_at_once = self._limits
        while self._ready and len(self._busy) < episodes_at_once and not self._stopping:
            instance_id = next(iter(self._ready))
            del self._ready[instance_id]
            self._busy.add(instance_id)
            self._run(self._episode(instance_id))
        while self._calls and self._calling < activities_at_once and not self._stopping:
            self._calling += 1
            self._run(self._activity(self._calls.popleft()))

    def _fired(self, timers: Sequence[Due]) -> None:
        for timer in timers:
            self._mark(timer.instance)
        self._pump()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self._stopping:
                self._die(RuntimeError("a function let a cancellation of its own escape"))
        elif (error := task.exception()) is not None:
            self._die(error)
        self._pump()
        if not (self._tasks or self._ready or self._calls):
            self._quiet.set()

    async def _episode(self, instance_id: str) -> None:
        work = await self._stored(lambda: self.storage.load(instance_id))
        if work is not None:
            name = work.instance.name
            self._reached("before", "episode", name)
            result = await play(
                work,
                self._orchestrators.get(name.lower()),
                now=self.clock.now(),
                is_activity=lambda activity: activity.lower() in self._activities,
            )
            if result.status == "Failed":
                host_logger.error("Instance %s of '%s' failed: %s", instance_id, name, result.output)
            calls = await self._stored(lambda: self.storage.commit(work, result))
            self._reached("after", "episode", name)
            self._calls.extend(calls)
            if result.status == "ContinuedAsNew":
                self._again.add(instance_id)
            if result.timers:
                self._alarm.look()
        self._busy.discard(instance_id)
        if instance_id in self._again:
            self._again.discard(instance_id)
            self._mark(instance_id)

    async def _activity(self, seq: int) -> None:
        activity = await self._stored(lambda: self.storage.activity(seq))
        self._reached("before", "activity", activity.name)
        run = self._activities.get(activity.name.lower())
        ended = await call(activity, run, self.clock)
        self._reached("after", "activity", activity.name)
        self._reached("before", "activity-result", activity.name)
        await self._stored(lambda: self.storage.finish(activity, ended))
        self._reached("after", "activity-result", activity.name)
        self._calling -= 1
        self._mark(activity.instance)

    async def _stored[T](self, ask: Callable[[], T]) -> T:
        told = False
        while True:
            try:
                return ask()
            except StorageUnavailable as error:
                if not told:
                    host_logger.error("The storage of Durable Functions is unavailable: %s", error)
                told = True
                await asyncio.sleep(RETRY)

    def _reached(self, at: str, step: str, name: str) -> None:
        self._check()
        try:
            self.switches.reached(at, step, name)
        except Crash as crash:
            self._die(crash)
            raise

    def _check(self) -> None:
        if self._dead is not None:
            raise self._dead

    def _die(self, error: BaseException) -> None:
        if self._dead is not None:
            return
        self._dead = error
        self._stopping = True
        if not isinstance(error, Crash):
            host_logger.error("The local host's Durable Functions failed", exc_info=error)
        self._alarm.stop()
        for task in self._tasks:
            task.cancel()
        self.storage.close()
        self.over.set()
        self._quiet.set()
