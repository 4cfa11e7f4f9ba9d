"""The local host's Durable Functions at work: many at once, few at a time, a storage that goes away, a clock that is moved."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from local.host.durable.clock import Clock
from local.host.durable.engine import Engine
from local.host.durable.ids import Refused
from local.host.durable.records import Query
from local.host.durable.storage import AlreadyExists, Storage, StorageUnavailable
from tests.unit.local.host.durables import HOUR, START, Hub, output, until, upper


def once(context: df.DurableOrchestrationContext) -> Any:
    """Call one activity."""
    return (yield context.call_activity("work", context.get_input()))


def rest(context: df.DurableOrchestrationContext) -> Any:
    """Wait for an hour."""
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub whose activities run four at once."""
    hub = Hub(tmp_path / "hub.sqlite3", {"once": once, "rest": rest}, {"work": upper}, activities_at_once=4)
    await hub.open()
    yield hub
    await hub.engine.stop()


@pytest.mark.parametrize(
    "instance",
    ["@one", "a/b", "a\\b", "a#b", "a?b", "a\nb", "x" * 257],
)
async def test_id_that_the_extension_forbids_is_refused(hub: Hub, instance: str) -> None:
    """Nothing is stored under it."""
    with pytest.raises(Refused):
        hub.engine.start_new("once", None, instance)
    assert hub.engine.storage.counts() == {}


async def test_unknown_orchestrator_is_refused(hub: Hub) -> None:
    """The message names those that there are."""
    with pytest.raises(Refused, match=r"'nobody' doesn't exist.*'once', 'rest'"):
        hub.engine.start_new("nobody", None)


async def test_running_id_is_taken_and_an_ended_one_is_free(hub: Hub) -> None:
    """The states that may be overridden are those of instances that do not run."""
    await hub.start("rest")
    with pytest.raises(AlreadyExists, match="with the status Running already exists"):
        hub.engine.start_new("rest", None, "one")
    assert (await hub.after(HOUR)).status == "Completed"
    assert (await hub.start("once", "b")).output == '"B"'
    assert len(hub.history()) == 8


async def test_fifty_starts_of_one_id_make_one_instance(hub: Hub) -> None:
    """F44: exactly one of many at once is accepted, and its input is what is stored."""

    async def attempt(number: int) -> int | None:
        try:
            hub.engine.start_new("rest", json.dumps(str(number)), "one")
        except AlreadyExists:
            return None
        return number

    accepted = [one for one in await asyncio.gather(*map(attempt, range(50))) if one is not None]
    assert len(accepted) == 1
    assert (await hub.now()).input == json.dumps(str(accepted[0]))


async def test_hidden_conflict_is_accepted_and_dropped(hub: Hub) -> None:
    """As with Azure Storage, where the slower of two starts is told nothing: only reading back shows whose input counts."""
    await hub.start("rest", "first")
    hub.engine.hide_conflicts = True
    hub.engine.start_new("rest", json.dumps(json.dumps("second")), "one")
    assert json.loads(json.loads((await hub.now()).input or "")) == "first"


async def test_no_more_activities_run_at_once_than_are_allowed(hub: Hub) -> None:
    """Four of a hundred; the rest waits its turn, and all end."""
    running = most = 0

    async def work(word: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return word

    hub.works["work"] = work
    await hub.again()
    for number in range(100):
        hub.engine.start_new("once", '"1"', f"i{number}")
    await hub.engine.idle()
    assert hub.engine.storage.counts() == {"Completed": 100}
    assert most == 4


async def test_no_more_orchestrators_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    """Three of fifty, and no instance twice at once."""
    running: list[str] = []
    most = 0

    async def run(context: str) -> str:
        nonlocal most
        instance = json.loads(context)["instanceId"]
        assert instance not in running
        running.append(instance)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(instance)
        return json.dumps({"isDone": True, "actions": [[]], "schemaVersion": 2})

    clock = Clock()
    engine = Engine(
        Storage(tmp_path / "hub.sqlite3", clock),
        clock,
        orchestrators={"empty": run},
        activities={},
        episodes_at_once=3,
    )
    await engine.start()
    for number in range(50):
        engine.start_new("empty", None, f"i{number}")
    await engine.idle()
    assert engine.storage.counts() == {"Completed": 50}
    assert most == 3
    await engine.stop()


async def test_three_hundred_instances_wait_without_a_task_each(hub: Hub) -> None:
    """Waiting costs a row and nothing else."""
    before = len(asyncio.all_tasks())
    for number in range(300):
        hub.engine.start_new("rest", None, f"i{number}")
    await hub.engine.idle()
    assert len(asyncio.all_tasks()) == before
    hub.engine.advance(HOUR)
    await hub.engine.idle()
    assert hub.engine.storage.counts() == {"Completed": 300}


async def test_outage_accepts_nothing_and_loses_nothing(hub: Hub) -> None:
    """F44: while the storage is away starts fail and leave nothing; what had been accepted goes on when it is back."""
    gate = asyncio.Event()

    async def work(word: str) -> str:
        await gate.wait()
        return word

    hub.works["work"] = work
    await hub.again()
    hub.engine.start_new("once", '"1"', "one")
    await until(lambda: bool(hub.calls))
    hub.engine.storage.refuse(120)
    gate.set()
    with pytest.raises(StorageUnavailable):
        hub.engine.start_new("once", '"2"', "two")
    await asyncio.sleep(0.01)
    hub.engine.advance(119)
    with pytest.raises(StorageUnavailable):
        hub.engine.storage.get("one")
    hub.engine.advance(1)
    assert output(await hub.now()) == 1
    assert hub.engine.storage.get("two") is None
    assert len(hub.calls) == 1


async def test_timer_that_is_due_during_an_outage_fires_after_it(hub: Hub) -> None:
    """The engine looks again by itself."""
    await hub.start("rest")
    hub.engine.storage.refuse(2 * HOUR)
    hub.engine.advance(HOUR)
    with pytest.raises(StorageUnavailable):
        hub.ended()
    hub.engine.storage.refuse(0)
    await until(hub.ended)


async def test_file_that_is_no_storage_is_told(tmp_path: Path) -> None:
    """Neither a folder that is not there nor another kind of file becomes an empty storage."""
    other = tmp_path / "other"
    other.write_text(
        "something else, longer than the head of a file of SQLite, which has a hundred bytes of it" * 2
    )
    for path in (tmp_path / "nowhere" / "hub.sqlite3", other):
        with pytest.raises(StorageUnavailable):
            Storage(path, Clock())
    assert other.read_text().startswith("something else")


async def test_moved_clock_stays_moved(hub: Hub) -> None:
    """What was made at the later time must not wait again when the file is opened anew."""
    hub.engine.advance(10 * HOUR)
    await hub.start("rest")
    await hub.again()
    assert hub.engine.clock.now() == round((START + 10 * HOUR) * 1_000_000)
    assert (await hub.after(HOUR)).status == "Completed"
    with pytest.raises(ValueError, match="ahead"):
        hub.engine.advance(-1)


async def test_terminated_instance_ends_with_its_reason(hub: Hub) -> None:
    """Whatever it waits for is dropped."""
    instance = await hub.start("rest")
    hub.engine.terminate(instance, "enough")
    ended = await hub.now()
    assert (ended.status, ended.output) == ("Terminated", "enough")
    assert hub.engine.storage.next_due() is None


async def test_result_for_a_run_that_is_over_is_dropped(hub: Hub) -> None:
    """The activity of a terminated instance ends for nobody, though the id is in use again."""
    gate = asyncio.Event()

    async def work(word: str) -> str:
        await gate.wait()
        return word

    hub.works["work"] = work
    await hub.again()
    hub.engine.start_new("once", '"1"', "one")
    await until(lambda: bool(hub.calls))
    found = hub.engine.storage.get("one")
    assert found is not None
    hub.engine.terminate(found, None)
    await until(hub.ended)
    hub.engine.start_new("rest", None, "one")
    gate.set()
    assert (await hub.now()).status == "Running"
    assert len(hub.history()) == 4


async def test_real_clock_fires_timers_by_itself(tmp_path: Path) -> None:
    """Without anybody moving it."""

    def soon(context: df.DurableOrchestrationContext) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=30))

    handle = df.Orchestrator.create(soon)

    async def run(context: str) -> str:
        return handle(context)

    clock = Clock()
    engine = Engine(
        Storage(tmp_path / "hub.sqlite3", clock), clock, orchestrators={"soon": run}, activities={}
    )
    await engine.start()
    try:
        engine.start_new("soon", None, "one")
        await until(lambda: engine.storage.counts() == {"Completed": 1})
        (found,) = engine.storage.find(Query())
        assert found.updated - found.created >= 30_000
    finally:
        await engine.stop()
