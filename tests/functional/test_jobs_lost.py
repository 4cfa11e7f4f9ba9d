"""F39, D10: a thousand batch jobs through the whole gate, killed again and again: nothing is lost, nothing runs twice unseen.

Genuine are the gate, its backend, store, orchestrations (replayed by azure-functions-durable), activities and audit. In
the place of Azure stand the local host's Durable Functions over one file, whose clock is moved, and an Azure ML that loses
answers, refuses, and lists jobs late. Chance has a seed, so that a failure comes again: it stands in the test's id.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions import OrchestrationRuntimeStatus

from local.host.durable.clock import Clock
from local.host.durable.crash import Crash, Switches
from local.host.durable.engine import Engine
from local.host.durable.records import Instance, Query
from local.host.durable.storage import Storage
from shared.audit import Audit
from shared.backends.batch import Batch
from shared.gate import Gate
from shared.job import FINAL, ORCHESTRATOR, Stored
from shared.jobs import ids, steps
from shared.jobs.activities import Activities
from shared.jobs.azureml import Later, Lost, Refused, Seen, Submitted, Unclear, Where
from shared.jobs.orchestrator import note, orchestration
from shared.jobs.seal import Sealer
from shared.jobs.store import NOTE, PAGE, DurableStore, Going
from shared.model import Headers, Principal, Reply
from tests.fakes import (
    JSON_HEADERS,
    FakeBody,
    FakeMemberships,
    FakeQuota,
    a_membership,
    a_policy,
    a_principal,
    an_inbound,
)
from tests.house import BOUNDS, IN, a_batch, a_job, document
from tests.jobfakes import NOW, SECRET

STARTS, WAVE, KILLS = 1000, 10, 50
"""Each wave comes at one moment, about."""
AT_ONCE = 60
"""Turns of the loop in which the callers of one moment come."""
GAP = 2400
"""The most steps that a process lives, before the last one."""
RARE = (
    "before start groupgate_job",
    "after start groupgate_job",
    "before answer",
    "before submit",
    "after submit",
    "after cancel",
    "before event groupgate_job",
    "after event groupgate_job",
    "after timer groupgate_job",
    "after activity groupgate_submit",
    "after activity groupgate_cancel",
    "after activity groupgate_end",
)
"""Kinds of steps, as Kills names them."""
LONG, LONG_TIME = 10, 600.0
"""Every how manyth job takes so many seconds, and is cancelled by its owner."""
OWNERS = [f"22222222-0000-4000-8000-{number:012x}" for number in range(20)]
DAY = 24 * 60
"""Minutes."""
LISTED_LATE = 200.0
"""Seconds: longer than anybody waits before a second attempt."""
NAMES = {
    steps.SUBMIT: Activities.submit,
    steps.POLL: Activities.poll,
    steps.CANCEL: Activities.cancel,
    steps.END: Activities.end,
}


class Kills(Switches):
    """Counts every step of a process, the engine's and the fakes', and kills it at the one whose number is `at`.

    Sooner where the `nth` step of the kind `rare` comes sooner: most steps are of few kinds.
    """

    def __init__(self, at: int, *, rare: str = "", nth: int = 0) -> None:
        super().__init__()
        self._left = {"": at, rare: nth} if rare else {"": at}
        self.struck = ""

    def reached(self, at: str, step: str, name: str = "") -> None:
        if not self.struck:
            here = f"{at} {step} {name}".strip()
            for kind in ("", here):
                if kind in self._left:
                    self._left[kind] -= 1
            if 0 not in self._left.values():
                return
            self.struck = here
        raise Crash(self.struck)


class Client:
    """The durable client of one process, without HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def _engine(self, turns: int = 1) -> Engine:
        """Return the engine after some turns of the loop, in which the process may die."""
        for _ in range(turns):
            self._process.alive()
            await asyncio.sleep(0)
        self._process.alive()
        return self._process.engine

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None
    ) -> str:
        chance = self._process.world.chance
        engine = await self._engine(chance.randrange(8))
        text = json.dumps(json.dumps(client_input))
        started = engine.start_new(orchestration_function_name, text, instance_id or "")
        await self._engine(chance.randrange(8))
        return started

    async def get_status(self, instance_id: str, *, show_input: bool = False) -> Status:
        return Status((await self._engine()).storage.get(instance_id))

    async def get_status_by(
        self, *, runtime_status: list[Going] | None = None, instance_id_prefix: str | None = None
    ) -> list[Status]:
        states = tuple(state.value for state in runtime_status or ())
        query = Query(prefix=instance_id_prefix or "", statuses=states, page=PAGE)
        return [Status(found) for found in (await self._engine()).storage.find(query)]

    async def raise_event(self, instance_id: str, event_name: str) -> None:
        engine = await self._engine()
        found = engine.storage.get(instance_id)
        if found is None or found.ended:
            raise Exception("no such instance runs")  # noqa: TRY002 - the library's own way
        engine.raise_event(found, event_name, '"null"')


class Status:
    """What the client tells of an instance."""

    def __init__(self, found: Instance | None) -> None:
        self.name = self.instance_id = self.input_ = self.custom_status = self.runtime_status = None
        self.created_time = self.last_updated_time = None
        if found is not None:
            self.name, self.instance_id = found.name, found.id
            self.input_ = None if found.input is None else json.loads(found.input)
            self.custom_status = None if found.custom is None else json.loads(found.custom)
            self.runtime_status = OrchestrationRuntimeStatus(found.status)
            self.created_time = datetime.fromtimestamp(found.created // 1_000_000, UTC)
            self.last_updated_time = datetime.fromtimestamp(found.updated // 1_000_000, UTC)


class Process:
    """One process of the app, with what it knows: all of that dies with it."""

    def __init__(self, world: World, kills: Kills) -> None:
        self.world = world
        self.kills = kills
        self.begun: set[str] = set()
        """Jobs that it has begun to submit."""
        clock = Clock(lambda: NOW, frozen=True)
        policy = a_policy(a_batch(batch=replace(BOUNDS, running_jobs=100), concurrency=100))
        memberships, sealer = FakeMemberships(known=a_membership()), Sealer(SECRET)
        audit = Audit(world, world, policy_digest=policy.digest, instance="i", process="p")
        self._activities = Activities(
            policy=policy,
            memberships=memberships,
            jobs=world.azure,  # type: ignore[arg-type]  # in its place
            audit=audit,
            clock=world,
            sealer=sealer,
            notifier=None,
            allow_http=False,
        )
        self.engine = Engine(
            Storage(world.path, clock),
            clock,
            orchestrators={ORCHESTRATOR: _orchestrator(orchestration(None)), NOTE: _orchestrator(note)},
            activities={name: self._activity(step) for name, step in NAMES.items()},
            switches=self.kills,
        )
        # Half of them as with Azure Storage, where the slower of two starts may be told 202 as well.
        self.engine.hide_conflicts = world.chance.random() < 1 / 2
        self.gates = [
            Gate(
                policy=policy,
                authenticator=Callers(),
                memberships=memberships,
                backends={"batch": Batch(world, seal=sealer.seal, holds=sealer.holds)},
                quota=FakeQuota(),
                audit=audit,
                clock=world,
                ready=_ready,
            )
            for _ in range(5)
        ]
        """As many instances of the app share the task hub."""

    def alive(self) -> None:
        """Raise Crash where this process is dead: it does nothing more, and learns nothing."""
        if self.kills.struck:
            raise Crash(self.kills.struck)

    def store(self) -> DurableStore:
        return DurableStore(Client(self))

    def _activity(self, step: Callable[..., Awaitable[Any]]) -> Callable[[str], Awaitable[str]]:
        async def run(given: str) -> str:
            job = json.loads(given)
            self.begun |= {job} if step is Activities.submit else set()
            return json.dumps(await step(self._activities, self.store(), job))

        return run


def _orchestrator(function: Callable[[Any], Any]) -> Callable[[str], Awaitable[str]]:
    handle = df.Orchestrator.create(function)

    async def run(context: str) -> str:
        return handle(context)

    return run


async def _ready() -> None:
    """Nothing is asked."""


class Callers:
    """Believes what a caller says of itself."""

    async def authenticate(self, headers: Headers) -> Principal:
        return a_principal(oid=headers.joined("x-caller"))


@dataclass
class Start:
    """A job that somebody wants; with a key it is asked for until it is accepted."""

    number: int
    owner: str
    key: str | None
    gate: int = 0
    cancels_at: float | None = None
    """Seconds after its acceptance."""
    sent: bool = False
    job: str | None = None
    """The id in a 202 that has arrived."""
    request_id: str = ""
    accepted: float = 0.0
    cancelled: bool = False

    @property
    def waits(self) -> bool:
        """Say whether it is to be asked for, for the first time or once more: without a key nobody asks twice."""
        return not self.sent or (self.key is not None and self.job is None)

    def regrets(self, now: float) -> bool:
        """Say whether its end is to be asked for, by `now`."""
        if self.job is None or self.cancels_at is None or self.cancelled:
            return False
        return now >= self.accepted + self.cancels_at


@dataclass
class Taken:
    """A job at Azure ML."""

    name: str
    since: float
    ends: float
    listed: float
    status: str
    cancelled: float | None = None


class Azure:
    """Azure ML, which no death of a process touches."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.taken: defaultdict[str, list[Taken]] = defaultdict(list)
        """By the job's id at the gate."""
        self._names: dict[str, Taken] = {}
        self.refused: set[str] = set()
        self.unclear: set[str] = set()
        """Jobs of which it has not said whether it took them."""

    async def submit(self, where: Where, body: str, *, key: str) -> Submitted:
        world, chance = self._world, self._world.chance
        world.point("before", "submit")
        await asyncio.sleep(0)
        job, fate = json.loads(body)["properties"]["tags"]["groupgate-job"], chance.random()
        if fate < 0.01 or fate > 0.98:
            self.unclear.add(job)
        if fate < 0.01:
            raise Unclear("upstream-timeout")
        if fate < 0.05:
            raise Later(chance.choice([None, 3.0]), "upstream-rate-limited")
        if fate < 0.06 or job in self.refused:
            self.refused.add(job)  # whenever it is asked: it is for what the body says
            raise Refused(400)
        now = world.time()
        taken = Taken(
            name=f"batchjob-{len(self._names)}",
            since=now,
            ends=now + (LONG_TIME if _number(body) % LONG == 0 else chance.uniform(1, 8)),
            listed=now + (LISTED_LATE if chance.random() < 0.1 else chance.uniform(0, 20)),
            status="Failed" if chance.random() < 0.05 else "Completed",
        )
        self._names[taken.name] = taken
        self.taken[job].append(taken)
        world.point("after", "submit")
        await asyncio.sleep(0)
        if fate > 0.98:
            raise Unclear("upstream-unreachable")
        return Submitted(name=taken.name, arm_id=None)

    async def find(self, where: Where, job: str) -> Submitted | None:
        await asyncio.sleep(0)
        if self._world.chance.random() < 0.05:
            raise Later(None, "upstream-unavailable")
        for taken in self.taken[job]:
            if taken.listed <= self._world.time():
                return Submitted(name=taken.name, arm_id=None)
        return None

    async def status(self, where: Where, name: str) -> Seen:
        await asyncio.sleep(0)
        if self._world.chance.random() < 0.03:
            raise Later(None, "upstream-timeout")
        taken, now = self._names.get(name), self._world.time()
        if taken is None:
            raise Lost
        status = "Queued" if now < taken.since + 1 else "Running"
        if taken.cancelled is not None and taken.cancelled < taken.ends:
            status = "Canceled" if now >= taken.cancelled + 1 else "CancelRequested"
        elif now >= taken.ends:
            status = taken.status
        return Seen(status=status, outputs={}, deployment="blue", arm_id=None)

    async def cancel(self, where: Where, name: str, arm_id: str | None) -> None:
        await asyncio.sleep(0)
        if self._world.chance.random() < 0.1:
            raise Later(None, "upstream-timeout")
        self._names[name].cancelled = self._world.time()
        self._world.point("after", "cancel")


class World:
    """What outlives every process: storage, audit, Azure ML, time; and the callers. It is clock and sink of audits itself."""

    required = outlives_invocation = True

    def __init__(self, path: Path, chance: random.Random, *, kills: int, gap: int = GAP) -> None:
        self.path = path
        self.chance = chance
        self.azure = Azure(self)
        self.lines: list[bytes] = []
        self.deaths: list[str] = []
        self.doubted: set[str] = set()
        """Jobs of which a process that died has not said what became of submitting them."""
        self._kills = kills
        self._gap = gap
        self.process: Process

    async def open(self, begun: Collection[str] = ()) -> None:
        """Begin with a process, after one that had begun to submit the jobs in `begun`."""
        chance, kills = self.chance, Kills(0)
        if len(self.deaths) < self._kills:
            rare = chance.choice(RARE) if chance.random() < 1 / 2 else ""
            kills = Kills(chance.randint(1, self._gap), rare=rare, nth=chance.randint(1, 40))
        self.process = Process(self, kills)
        storage = self.process.engine.storage
        storage.move_clock(chance.uniform(0, 4))
        self.doubted.update(
            {storage.activity(seq).instance for seq in storage.activities()}.intersection(begun)
        )
        with suppress(Crash):
            await self.process.engine.start()

    def time(self) -> float:
        return self.process.engine.clock.now() / 1_000_000

    def monotonic(self) -> float:
        return self.time()

    async def write(self, line: bytes) -> None:
        self.point("before", "record")
        self.lines.append(line)
        await asyncio.sleep(0)
        self.point("after", "record")

    def point(self, at: str, step: str) -> None:
        self.process.kills.reached(at, step)

    async def stored(self) -> dict[str, Stored]:
        """Return all jobs that were ever stored, by id."""
        store = self.process.store()
        found = await store.find(ids.endpoint_prefix("churn"), holds=lambda _: True)
        # A list keeps no bodies.
        jobs = {job.intent.job: await store.get(job.intent.job) for job in found}
        assert len(jobs) == len(found)
        return {name: job for name, job in jobs.items() if job is not None}

    def records(self, event: str) -> list[dict[str, Any]]:
        """Return what the audit has of `event`."""
        return [record for record in map(json.loads, self.lines) if record["event"] == event]

    async def round(self, starts: list[Start], *, seconds: float) -> None:
        """Let callers ask at once and everything run, then let time pass; bury the process if it has died of that."""
        engine = self.process.engine
        asked = await asyncio.gather(*(self.ask(start) for start in starts), return_exceptions=True)
        assert all(one is None or isinstance(one, Crash) for one in asked), asked
        with suppress(Crash):
            await engine.idle()
            engine.advance(seconds)
            await engine.idle()
        while self.process.kills.struck:
            self.deaths.append(self.process.kills.struck)
            await self.process.engine.stop()
            await self.open(self.process.begun)

    async def ask(self, start: Start) -> None:
        """Ask for a job, or for its end once its time has come."""
        process = self.process
        for _ in range(self.chance.randrange(AT_ONCE)):
            await asyncio.sleep(0)
        if process.kills.struck:
            return  # nobody listens: it is sent when somebody does
        start.sent = True
        if start.job is not None:
            reply = await self.call(
                "job", start.owner, method="DELETE", params={"name": "churn", "id": start.job}
            )
            assert reply.status in (200, 202), reply
            start.cancelled = True
            return
        reply = await self.call(
            "jobs",
            start.owner,
            gate=start.gate,
            key=() if start.key is None else (("Idempotency-Key", start.key),),
            method="POST",
            body=FakeBody(a_job(f"{IN}{start.number}/")),
        )
        assert reply.status == 202, reply
        start.job, start.request_id = document(reply)["name"], dict(reply.headers)["x-request-id"]
        start.accepted = self.time()

    async def call(
        self, route: str, owner: str, *, gate: int = 0, key: tuple[tuple[str, str], ...] = (), **changes: Any
    ) -> Reply:
        """Return the gate's answer, where it arrives."""
        process = self.process
        headers = Headers((*JSON_HEADERS, ("X-Caller", owner), *key))
        lawful = {"params": {"name": "churn"}, "headers": headers, "jobs": process.store()}
        reply = await process.gates[gate % len(process.gates)].handle(
            an_inbound(route, **{**lawful, **changes})
        )
        process.kills.reached("before", "answer")
        return reply

    async def end(self) -> None:
        """Let time pass until no job runs."""
        running = Query(prefix=ids.endpoint_prefix("churn"), statuses=("Pending", "Running"), page=1)
        for _ in range(DAY):
            if not self.process.engine.storage.find(running):
                return
            await self.round([], seconds=60.0)
        raise AssertionError("jobs run for ever")


@pytest.fixture
def chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """Everything that is left to chance, by the seed; ids have no port, and order what is taken up after a death."""
    chance = random.Random(request.param)
    monkeypatch.setattr("secrets.token_hex", lambda size: chance.randbytes(size).hex())
    # The library reads each time in a history anew, and makes a class, at every replay: most of this test's time.
    for module, function in (
        ("history.HistoryEvent", "dt_parse"),
        ("TaskOrchestrationExecutor", "namedtuple"),
    ):
        library = import_module(f"azure.durable_functions.models.{module}")
        monkeypatch.setattr(library, function, lru_cache(getattr(library, function)))
    return chance


@pytest.mark.parametrize("chance", [20260401], indirect=True)
async def test_a_thousand_starts_and_fifty_kills_lose_nothing(chance: random.Random, tmp_path: Path) -> None:
    """F39, D10: every accepted job ends on record, with one job at Azure ML or a flag; what was never stored never runs."""
    world = World(tmp_path / "hub.sqlite3", chance, kills=KILLS)
    await world.open()
    starts = [
        Start(
            number=number,
            owner=chance.choice(OWNERS),
            key=f"key-{number}" if chance.random() < 1 / 2 else None,
            gate=number,
            cancels_at=chance.uniform(0, 8) if number % LONG == 0 or chance.random() < 0.03 else None,
        )
        for number in range(STARTS)
    ]
    due = 0
    while due < STARTS or any(start.waits or start.regrets(math.inf) for start in starts):
        due += WAVE
        asked = [start for start in starts[:due] if start.waits or start.regrets(world.time())]
        await world.round(asked, seconds=chance.uniform(0, 4))
    await world.end()
    assert len(world.deaths) == KILLS
    assert len(set(world.deaths)) >= 15, "they died at all sorts of steps"
    stored = await world.stored()
    _judge_starts(world, starts, stored)
    _judge_jobs(world, starts, stored)
    for owner in OWNERS:
        listed = document(await world.call("jobs", owner))["value"]
        assert {job["name"] for job in listed} == {
            id_ for id_, job in stored.items() if job.intent.principal == owner
        }
        assert {job["properties"]["status"] for job in listed} <= FINAL


def _number(body: str) -> int:
    """Return the number of the start that a job's body is of."""
    uri: str = json.loads(body)["properties"]["InputData"]["data"]["Uri"]
    return int(uri.removesuffix("/").rpartition("/")[2])


def _judge_starts(world: World, starts: list[Start], stored: dict[str, Stored]) -> None:
    """Assert that what was accepted is there, once, and nothing else runs."""
    accepted = {start.job: start for start in starts if start.job is not None}
    assert accepted.keys() <= stored.keys()
    assert world.azure.taken.keys() <= stored.keys(), "what was not stored does not run"
    # However often one was asked for with its key.
    assert len({_number(job.intent.body) for job in stored.values()}) == len(stored)
    decided = {record["request_id"] for record in world.records("decision") if record["decision"] == "allow"}
    assert {start.request_id for start in accepted.values()} <= decided


def _judge_jobs(world: World, starts: list[Start], stored: dict[str, Stored]) -> None:
    """Assert that each has ended on record, and has one job at Azure ML, or a flag, or a reason to have none."""
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in world.records("job"):
        told[record["job"]].append(record)
    cancelled = {start.job for start in starts if start.cancelled}
    outcomes: Counter[tuple[int, bool]] = Counter()
    """Jobs by how many Azure ML has of each, and whether it is flagged."""
    for id_, job in stored.items():
        taken = world.azure.taken.get(id_, [])
        flagged = any(record["duplicate_suspected"] for record in told[id_])
        outcomes[len(taken), flagged] += 1
        _judge_records(job, told[id_], taken)
        status, refused = job.progress.status, id_ in world.azure.refused
        if not flagged:
            unsent = refused or (status == "Canceled" and id_ in cancelled)
            assert len(taken) == (0 if unsent and not taken else 1), job
            long = _number(job.intent.body) % LONG == 0
            assert (status == "Canceled") or refused or not (long and id_ in cancelled), job
        assert not flagged or id_ in world.doubted | world.azure.unclear, "no flag without a reason"
        if status == "Canceled":
            assert flagged or all(one.cancelled is not None for one in taken), "it does not run on"
    flags = sum(count for (_, flagged), count in outcomes.items() if flagged)
    assert flags <= len(stored) / 10, outcomes


def _judge_records(job: Stored, told: list[dict[str, Any]], taken: list[Taken]) -> None:
    """Assert that the audit has submission, changes and end in their order; a step done twice is there twice."""
    progress = job.progress
    assert (progress.status in FINAL, progress.ended, job.running) == (True, True, False), job
    changes = [
        change
        for change, _ in groupby(
            (record["previous_state"], record["state"], record["upstream_job"], record["ended"])
            for record in told
        )
        if change != ("NotStarted", "NotStarted", None, False)  # a flag alone
    ]
    if progress.upstream is not None:
        assert progress.upstream in {one.name for one in taken}
        assert changes.pop(0) == (None, "NotStarted", progress.upstream, False), told
    seen = {"NotStarted"}
    for previous, state, _, _ in changes:
        assert previous in seen, told
        seen.add(state)
    assert changes[-1] == (progress.status, progress.status, progress.upstream, True), told


@pytest.mark.parametrize("chance", range(8), indirect=True)
async def test_fifty_starts_with_one_key_are_one_job(chance: random.Random, tmp_path: Path) -> None:
    """D10, F44: at once, through five instances of the app, killed now and then: all read the same id, and one job runs."""
    world = World(tmp_path / "hub.sqlite3", chance, kills=4, gap=400)
    await world.open()
    starts = [Start(number=7, owner=OWNERS[0], key="a-key", gate=number) for number in range(50)]
    while any(start.waits for start in starts):
        await world.round([start for start in starts if start.waits], seconds=1.0)
    await world.end()
    (job,) = {start.job for start in starts}
    ((name, stored),) = (await world.stored()).items()
    assert (name, stored.progress.ended) == (job, True)
    flagged = any(record["duplicate_suspected"] for record in world.records("job"))
    assert world.azure.taken.keys() <= {job}
    assert flagged or len(world.azure.taken[job]) == (job not in world.azure.refused)
