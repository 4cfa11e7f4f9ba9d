"""F39: kills at every step of the local host's Durable Functions, and what is left after them."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from local.host.durable.crash import STEPS, Crash, Switch
from local.host.durable.records import Query
from local.host.durable.storage import AlreadyExists
from tests.unit.local.host.durables import HOUR, Hub, output, upper

REPEATED = {("after", "activity"), ("before", "activity-result")}
"""Where an activity has run and its result is not stored: it runs again."""


def flow(context: df.DurableOrchestrationContext) -> Any:
    """Do one of everything: an activity, a timer, an event, starting over."""
    told = context.get_input()
    if told == "again":
        return "ended"
    word = yield context.call_activity("upper", "a")
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.wait_for_external_event("go")
    context.set_custom_status(word)
    context.continue_as_new("again")
    return None


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub with that flow."""
    hub = Hub(tmp_path / "hub.sqlite3", {"flow": flow}, {"upper": upper})
    await hub.open()
    yield hub
    await hub.engine.stop()


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "during", "step": "start"},
        {"at": "before", "step": "coffee"},
        {"at": "before", "step": "start", "nth": 0},
    ],
)
def test_unknown_switch_is_refused(fields: dict[str, Any]) -> None:
    """A slip in a test is told."""
    with pytest.raises(ValueError, match="at: before or after"):
        Switch(**fields)


async def test_start_that_was_not_stored_is_not_there(hub: Hub) -> None:
    """Nothing was acknowledged, nothing has begun: the caller has to start again, and may."""
    assert await hub.struck(Switch(at="before", step="start"), lambda: hub.start("flow"))
    assert hub.engine.storage.get("one") is None
    assert (await hub.start("flow")).status == "Running"


async def test_start_that_was_stored_goes_on_though_nobody_was_told(hub: Hub) -> None:
    """Starting again is refused: it runs."""
    assert await hub.struck(Switch(at="after", step="start"), lambda: hub.start("flow"))
    with pytest.raises(AlreadyExists):
        hub.engine.start_new("flow", None, "one")
    assert (await hub.now()).status == "Running"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", ["before", "after"])
async def test_killed_at_any_step_an_instance_ends_as_it_would_have(hub: Hub, at: str, step: str) -> None:
    """F39: nothing is lost and nothing takes effect twice, but for the activity whose result was not stored."""

    async def live() -> None:
        if hub.engine.storage.get("one") is None:
            hub.engine.start_new("flow", json.dumps(json.dumps("first")), "one")
        await hub.engine.idle()
        hub.engine.advance(HOUR)
        await hub.engine.idle()
        found = hub.engine.storage.get("one")
        assert found is not None
        if not found.ended and found.generation == 0:
            await hub.send("go")

    assert await hub.struck(Switch(at=at, step=step), live)
    await live()
    instance = await hub.now()
    assert (instance.status, output(instance)) == ("Completed", "ended")
    assert json.loads(instance.custom or "") == "A"
    assert len(hub.calls) == (2 if (at, step) in REPEATED else 1)


async def test_switch_strikes_at_the_named_function_and_time_only(hub: Hub) -> None:
    """The second run of one activity, not of another; then it has done its work."""

    def two(context: df.DurableOrchestrationContext) -> Any:
        for word in ("a", "b", "c"):
            yield context.call_activity("other", word)
            yield context.call_activity("upper", word)

    hub.flows["two"] = two
    hub.works["other"] = upper
    await hub.again()
    assert await hub.struck(
        Switch(at="before", step="activity", name="upper", nth=2), lambda: hub.start("two")
    )
    assert (await hub.now()).status == "Completed"
    assert Counter(hub.calls) == {(name, word): 1 for name in ("other", "upper") for word in "abc"}


async def test_engine_that_was_killed_does_nothing_more(hub: Hub) -> None:
    """Whoever still holds it gets the crash, not an answer."""
    hub.engine.switches.arm(Switch(at="after", step="start"))
    with pytest.raises(Crash):
        hub.engine.start_new("flow", None, "one")
    for call in (
        lambda: hub.engine.start_new("flow", None, "two"),
        lambda: hub.engine.advance(HOUR),
    ):
        with pytest.raises(Crash):
            call()
    await asyncio.wait_for(hub.engine.over.wait(), 1)
    await hub.again()
    assert hub.engine.storage.get("two") is None


async def test_many_instances_survive_many_kills(hub: Hub) -> None:
    """F39: 200 orchestrations, started five by five, and 40 kills at random steps: all that was accepted ends, and ends once."""
    chance = random.Random(20260101)
    sent: set[str] = set()
    kills = 0

    async def live(ids: list[str]) -> None:
        for instance_id in ids:
            if hub.engine.storage.get(instance_id) is None:
                hub.engine.start_new("flow", json.dumps(json.dumps("first")), instance_id)
        await hub.engine.idle()
        hub.engine.advance(HOUR)
        await hub.engine.idle()
        for found in hub.engine.storage.find(Query(statuses=("Running",), page=1000)):
            if found.id not in sent:
                hub.engine.raise_event(found, "go", '"null"')
                sent.add(found.id)
        await hub.engine.idle()

    for number in range(40):
        wave = [f"i{number}-{one}" for one in range(5)]
        step, at = chance.choice(STEPS), chance.choice(["before", "after"])
        if await hub.struck(Switch(at=at, step=step, nth=chance.randint(1, 5)), lambda wave=wave: live(wave)):
            kills += 1
            await live(wave)
    assert kills == 40
    assert hub.engine.storage.counts() == {"Completed": 200}
    assert hub.engine.storage.activities() == []
    assert 200 < len(hub.calls) < 200 + 5 * kills
