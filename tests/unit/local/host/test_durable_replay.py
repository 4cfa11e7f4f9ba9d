"""What the local host makes of the real SDK's orchestrators: actions become tasks, tasks become history."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from local.host.durable.history import Kind
from tests.unit.local.host.durables import HOUR, Hub, output, refuse, upper

# The SDK warns of events for which nobody waits, and those are the point here.
pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion:UserWarning")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub with two activities; tests add their flows."""
    hub = Hub(tmp_path / "hub.sqlite3", {}, {"upper": upper, "refuse": refuse})
    await hub.open()
    yield hub
    await hub.engine.stop()


async def run(hub: Hub, flow: Any, given: Any = None) -> Any:
    """Start a flow as `flow`, and give its instance."""
    hub.flows["flow"] = flow
    await hub.again()
    return await hub.start("flow", given)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        pytest.param(
            lambda context: context.call_activity("nobody", 1),
            "The function 'nobody' doesn't exist",
            id="an activity that is none",
        ),
        pytest.param(
            lambda context: context.call_sub_orchestrator("flow", 1),
            "does not support actions of type CALL_SUB_ORCHESTRATOR",
            id="a sub-orchestration",
        ),
        pytest.param(
            lambda context: context.call_http("GET", "http://127.0.0.1/"),
            "does not support actions of type CALL_HTTP",
            id="a durable HTTP call",
        ),
        pytest.param(
            lambda context: context.call_entity(df.EntityId("counter", "1"), "get"),
            "does not support actions of type CALL_ENTITY",
            id="an entity",
        ),
    ],
)
async def test_what_is_not_supported_fails_with_a_clear_message(hub: Hub, act: Any, told: str) -> None:
    """Nothing is passed over in silence: the instance fails, and says of what."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield act(context)

    instance = await run(hub, flow)
    assert instance.status == "Failed"
    assert instance.output is not None
    assert instance.output.startswith("Orchestrator function 'flow' failed: ")
    assert told in instance.output


async def test_orchestrator_that_raises_fails_its_instance(hub: Hub) -> None:
    """The output is the framework's sentence with the exception's text."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.call_activity("upper", "a")
        raise RuntimeError("deliberate end")

    instance = await run(hub, flow)
    assert (instance.status, instance.output) == (
        "Failed",
        "Orchestrator function 'flow' failed: deliberate end",
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param(lambda context: context.call_activity("refuse", 1), "named 'refuse'", id="a name"),
        pytest.param(
            lambda context: context.create_timer(context.current_utc_datetime), "a timer task", id="a type"
        ),
        pytest.param(lambda context: context.wait_for_external_event("x"), "hasn't (yet?)", id="a lack"),
    ],
)
async def test_changed_orchestrator_fails_as_non_deterministic(hub: Hub, changed: Any, told: str) -> None:
    """F45: a history that the orchestrator would not make again ends the instance."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.call_activity("upper", "a")
        yield context.wait_for_external_event("go")

    def other(context: df.DurableOrchestrationContext) -> Any:
        yield changed(context)

    await run(hub, flow)
    hub.flows["flow"] = other
    await hub.again()
    instance = await hub.send("go")
    assert instance.status == "Failed"
    assert instance.output is not None
    assert instance.output.startswith("Non-Deterministic workflow detected: ")
    assert told in instance.output


async def test_orchestrator_that_is_gone_fails_its_instance(hub: Hub) -> None:
    """As with the real host, an app that has lost a function ends what waits for it."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.wait_for_external_event("go")

    await run(hub, flow)
    del hub.flows["flow"]
    await hub.again()
    assert "doesn't exist" in ((await hub.send("go")).output or "")


async def test_custom_status_that_is_too_long_fails_the_instance(hub: Hub) -> None:
    """16 KiB of UTF-16 is the extension's limit."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        context.set_custom_status("x" * context.get_input())
        yield context.call_activity("upper", "a")

    assert (await run(hub, flow, 8 * 1024 - 2)).status == "Completed"
    instance = await hub.start("flow", 8 * 1024, "two")
    assert "must not exceed 16 KB" in (instance.output or "")


async def test_activities_run_in_turn_and_their_results_come_back(hub: Hub) -> None:
    """Input and output are JSON; the history has what the framework writes."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        given = context.get_input()
        context.set_custom_status({"seen": given["word"]})
        return [(yield context.call_activity("upper", given["word"])), context.is_replaying]

    instance = await run(hub, flow, {"word": "abc"})
    assert (instance.status, output(instance)) == ("Completed", ["ABC", False])
    assert json.loads(instance.custom or "") == {"seen": "abc"}
    assert [Kind(event["EventType"]).name for event in hub.history()] == [
        "ORCHESTRATOR_STARTED",
        "EXECUTION_STARTED",
        "TASK_SCHEDULED",
        "ORCHESTRATOR_COMPLETED",
        "ORCHESTRATOR_STARTED",
        "TASK_COMPLETED",
        "EXECUTION_COMPLETED",
        "ORCHESTRATOR_COMPLETED",
    ]


async def test_failed_activity_raises_in_the_orchestrator(hub: Hub) -> None:
    """It can be caught, and what follows goes on."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        try:
            yield context.call_activity("refuse", 1)
        except Exception as error:  # noqa: BLE001  # the SDK raises this very class
            return [str(error).partition("\n")[0], (yield context.call_activity("upper", "b"))]

    told = output(await run(hub, flow))
    assert told == ["Activity function 'refuse' failed: deliberate failure ", "B"]


async def test_retry_waits_before_each_attempt_and_before_giving_up(hub: Hub) -> None:
    """Three attempts, an hour before each but the first, and one more hour until the failure is raised."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        try:
            yield context.call_activity_with_retry("refuse", df.RetryOptions(3_600_000, 3), 1)
        except Exception:  # noqa: BLE001  # the SDK raises this very class
            return (context.current_utc_datetime).isoformat()

    await run(hub, flow)
    attempts = [len(hub.calls)]
    for _ in range(2):
        assert (await hub.after(HOUR)).status == "Running"
        attempts.append(len(hub.calls))
    assert attempts == [1, 2, 3]
    instance = await hub.after(HOUR)
    assert output(instance) == "2026-01-01T03:00:00+00:00"
    assert len(hub.calls) == 3


async def test_retry_ends_at_the_first_success(hub: Hub) -> None:
    """Tasks after it keep their numbers."""

    async def flaky(given: int) -> int:
        if len(hub.calls) < given:
            raise ValueError("not yet")
        return len(hub.calls)

    def flow(context: df.DurableOrchestrationContext) -> Any:
        parts = [
            context.call_activity_with_retry("flaky", df.RetryOptions(1000, 5), 3),
            context.call_activity("upper", "a"),
        ]
        both = yield context.task_all(parts)
        return [*both, (yield context.call_activity("upper", "b"))]

    hub.works["flaky"] = flaky
    await run(hub, flow)
    assert output(await hub.after(1)) == [3, "A", "B"]


async def test_timer_fires_when_the_clock_says_so(hub: Hub) -> None:
    """Not a second before; what the orchestrator takes for now is no earlier than that."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        due = context.current_utc_datetime + timedelta(hours=1)
        yield context.create_timer(due)
        return context.current_utc_datetime >= due

    await run(hub, flow)
    assert (await hub.after(HOUR - 1)).status == "Running"
    assert output(await hub.after(1)) is True


async def test_long_timer_fires_in_steps(hub: Hub) -> None:
    """Ten days are more than one timer may last: the SDK makes several of three days at most."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(days=10))
        return "rested"

    await run(hub, flow)
    for _ in range(3):
        assert (await hub.after(3 * 24 * HOUR)).status == "Running"
    assert output(await hub.after(24 * HOUR)) == "rested"


async def test_open_timer_holds_the_end_back(hub: Hub) -> None:
    """An instance ends when nothing that it has begun is open: the framework's rule, and a trap."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.task_any([context.call_activity("upper", "a"), timer])
        if context.get_input() == "cancel":
            timer.cancel()
        return "done"

    assert (await run(hub, flow, "leave")).status == "Running"
    assert (await hub.after(HOUR)).status == "Completed"
    assert (await hub.start("flow", "cancel", "two")).status == "Completed"


async def test_cancelled_timer_fires_for_nobody(hub: Hub) -> None:
    """It stays in the history and adds an event when its time has come, and changes nothing."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        woken = context.wait_for_external_event("wake")
        if (yield context.task_any([timer, woken])) is woken:
            timer.cancel()
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))
        return "once"

    await run(hub, flow)
    await hub.send("wake")
    assert (await hub.after(HOUR)).status == "Running"
    fired = [event for event in hub.history() if event["EventType"] == Kind.TIMER_FIRED]
    assert [event["TimerId"] for event in fired] == [0]
    assert output(await hub.after(HOUR)) == "once"


async def test_all_waits_for_every_part_though_one_has_failed(hub: Hub) -> None:
    """The SDK's orchestrator goes on at the first failure; what it does next begins when all parts have ended."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        try:
            yield context.task_all([context.call_activity("refuse", 1), timer])
        except Exception:  # noqa: BLE001  # the SDK raises this very class
            return (yield context.call_activity("upper", "late"))

    await run(hub, flow)
    assert ("upper", "late") not in hub.calls
    assert output(await hub.after(HOUR)) == "LATE"


async def test_event_is_kept_until_somebody_waits(hub: Hub) -> None:
    """Its value arrives as JSON text, which the SDK's client has written once more than its orchestrator reads."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        return (yield context.wait_for_external_event("go"))

    await run(hub, flow)
    await hub.send("go", {"a": 1})
    assert output(await hub.after(HOUR)) == '{"a": 1}'


async def test_event_that_came_early_wakes_every_later_wait_of_its_history(hub: Hub) -> None:
    """A fault of the SDK (azure-functions-durable-python, issue 507): waits after the first do not wait."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        for _ in range(3):
            timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
            woken = context.wait_for_external_event("wake")
            if (yield context.task_any([timer, woken])) is woken:
                timer.cancel()
        return context.current_utc_datetime.isoformat()

    await run(hub, flow)
    await hub.send("wake")
    assert output(await hub.after(HOUR)) == "2026-01-01T01:00:00+00:00"


async def test_event_in_time_wakes_one_wait(hub: Hub) -> None:
    """Each event is for one wait, the last that began."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        seen = []
        for _ in range(2):
            timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
            woken = context.wait_for_external_event("wake")
            first = yield context.task_any([timer, woken])
            seen.append(first is woken)
            if first is woken:
                timer.cancel()
        return seen

    await run(hub, flow)
    assert (await hub.send("wake")).status == "Running"
    assert output(await hub.after(HOUR)) == [True, False]


async def test_starting_over_keeps_the_history_small(hub: Hub) -> None:
    """D10: new input, new history, the custom status stays, and the time of creation is the new history's."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        round_ = context.get_input()
        if round_ == 0:
            context.set_custom_status("first")
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        if round_ < 50:
            context.continue_as_new(round_ + 1)
            return None
        return round_

    before = await run(hub, flow, 0)
    sizes = set()
    for _ in range(50):
        instance = await hub.after(HOUR)
        sizes.add(len(hub.history()))
    assert (instance.status, instance.generation) == ("Running", 50)
    assert sizes == {4}
    assert json.loads(json.loads(instance.input or "")) == 50
    assert instance.created == before.created + 50 * 3_600_000_000
    assert output(await hub.after(HOUR)) == 50


async def test_starting_over_waits_for_what_is_open(hub: Hub) -> None:
    """As an end would: a timer that was not cancelled holds it back."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        if context.get_input() == "again":
            return "over"
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.task_any([context.call_activity("upper", "a"), timer])
        context.continue_as_new("again")
        return None

    assert (await run(hub, flow)).generation == 0
    assert output(await hub.after(HOUR)) == "over"


async def test_timer_of_an_earlier_history_does_not_fire_in_a_later_one(hub: Hub) -> None:
    """Both have the number 0; the first was cancelled and is due before the second."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        if context.get_input() == "second":
            yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))
            return context.current_utc_datetime.isoformat()
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.task_any([timer, context.wait_for_external_event("wake")])
        timer.cancel()
        context.continue_as_new("second")
        return None

    await run(hub, flow, "first")
    assert (await hub.send("wake")).generation == 1
    assert (await hub.after(HOUR)).status == "Running"
    assert output(await hub.after(HOUR)) == "2026-01-01T02:00:00+00:00"


async def test_starting_over_loses_events_that_nobody_saw(hub: Hub) -> None:
    """What came before the decision and was not waited for is gone, as the extension has it; what comes later is not."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        if context.get_input() == "first":
            yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
            context.continue_as_new("second")
            return None
        return (yield context.wait_for_external_event("wake"))

    await run(hub, flow, "first")
    await hub.send("wake", "early")
    assert (await hub.after(HOUR)).status == "Running"
    assert output(await hub.send("wake", "late")) == '"late"'


async def test_starting_over_keeps_events_that_came_after_the_decision(hub: Hub) -> None:
    """In one batch: the timer that leads to starting over, then an event; it belongs to the next history."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        if context.get_input() == "first":
            yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
            context.continue_as_new("second")
            return None
        return (yield context.wait_for_external_event("wake"))

    instance = await run(hub, flow, "first")
    hub.engine.advance(HOUR)
    hub.engine.raise_event(instance, "wake", '"1"')
    assert output(await hub.now()) == "1"


async def test_event_is_for_the_wait_that_began_last(hub: Hub) -> None:
    """A wait that was given up does not take it."""

    def flow(context: df.DurableOrchestrationContext) -> Any:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.task_any([context.wait_for_external_event("wake"), timer])
        return (yield context.wait_for_external_event("wake"))

    await run(hub, flow)
    await hub.after(HOUR)
    assert output(await hub.send("wake", 1)) == "1"
