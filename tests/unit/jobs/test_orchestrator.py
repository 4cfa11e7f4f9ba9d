"""A job's orchestration, replayed by the genuine azure-functions-durable under a virtual clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import azure.durable_functions as df
import msgspec
import pytest

from shared.job import Intent, Progress
from shared.jobs import steps
from shared.jobs.answers import MOST_OUTPUT
from shared.jobs.orchestrator import (
    CANCEL_BOUND,
    END_BOUND,
    MOST_TOLD,
    NOTE_TIME,
    ROUNDS,
    note,
    orchestration,
)
from shared.jobs.steps import CANCEL, END, NOTIFY, POLL, SUBMIT, Step
from tests.jobfakes import JOBS_URL, NOW, an_intent
from tests.unit.jobs.light import Light
from tests.unit.jobs.replay import Failed, Host

RETRY = df.RetryOptions(5_000, 3)
JOB = orchestration(RETRY)
TAKEN = Step(upstream="batchjob-1")
RUNNING = Step(status="Running")
ENDED = Step(ended=True)
Say = Step | Exception | Callable[[float], Step] | object


class World:
    """What the activities say: for each a list, of which the last is said for ever; or a function of the seconds."""

    def __init__(self, **said: list[Say]) -> None:
        usual: dict[str, list[Say]] = {
            SUBMIT: [TAKEN],
            POLL: [RUNNING, Step(status="Completed")],
            CANCEL: [Step()],
            END: [ENDED],
            NOTIFY: [Step()],
        }
        self.said = usual | {f"groupgate_{name}": list(what) for name, what in said.items()}
        self.intent = an_intent()

    def __call__(self, name: str, given: Any, now: float) -> Any:
        assert given == self.intent.job, "an activity is given the id, and nothing else"
        said = self.said[name]
        what = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(what, Exception):
            raise what
        answer = what(now) if callable(what) else what
        return msgspec.to_builtins(answer)


def play(
    world: World | None = None,
    *,
    intent: Intent | None = None,
    progress: Progress | None = None,
    events: tuple[tuple[float, str], ...] = (),
) -> Host:
    """Return the ended orchestration of `intent` in `world`."""
    world = world or World()
    world.intent = intent or world.intent
    given = msgspec.to_builtins({"intent": world.intent, "progress": progress})
    return Host(JOB, given, world, instance=world.intent.job, events=events).run()


def names(host: Host) -> list[str]:
    return [name.removeprefix("groupgate_") for name, _ in host.calls]


def times(host: Host, name: str) -> list[float]:
    return [at for called, at in host.calls if called == name]


def rounded(calls: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(name, round(at, 3)) for name, at in calls]


def end_of(host: Host) -> Progress:
    """Return the progress with which the job ended: its output, and what is shown of it."""
    assert host.output == host.status
    return msgspec.convert(host.output, Progress)


def test_a_job_is_submitted_watched_and_ended() -> None:
    """Submit once, look until the status is final, record the end: nothing else, in this order."""
    host = play()
    assert names(host) == ["submit", "poll", "poll", "end"]
    assert end_of(host) == Progress(
        status="Completed", upstream="batchjob-1", polls=2, wait=2.0, ended=True, ended_at=NOW + 4
    )


def test_progress_is_shown_as_it_comes() -> None:
    """The custom status names what is known after each look, the final one before its end is recorded."""
    host = play(World(poll=[Step(status="Queued"), RUNNING, Step(status="Completed", outputs={"a": 1})]))
    shown = [(one["status"], one["upstream"], one["ended"]) for one in host.statuses]
    assert [one for number, one in enumerate(shown) if one not in shown[:number]] == [
        ("NotStarted", None, False),
        ("NotStarted", "batchjob-1", False),
        ("Queued", "batchjob-1", False),
        ("Running", "batchjob-1", False),
        ("Completed", "batchjob-1", False),
        ("Completed", "batchjob-1", True),
    ]
    assert end_of(host).outputs == {"a": 1}


@pytest.mark.parametrize("status", ["Completed", "Succeeded", "Failed", "Canceled"])
def test_final_statuses_end_a_job(status: str) -> None:
    """Both words for success end it, and so do failure and cancellation."""
    host = play(World(poll=[Step(status=status, code="some-code")]))
    assert names(host) == ["submit", "poll", "end"]
    assert (end_of(host).status, end_of(host).code) == (status, "some-code")


@pytest.mark.parametrize(
    "status", ["NotResponding", "Paused", "Unknown", "Finalizing", "CancelRequested", "SomethingNew"]
)
def test_other_statuses_may_change(status: str) -> None:
    """What Azure ML may take back, `NotResponding` above all, ends nothing."""
    host = play(World(poll=[Step(status=status), RUNNING, Step(status="Succeeded")]))
    assert names(host) == ["submit", "poll", "poll", "poll", "end"]
    assert end_of(host).status == "Succeeded"


def test_pauses_grow() -> None:
    """Looks come after 2 seconds, then each half as long again later, up to a minute."""
    host = play(World(poll=[RUNNING] * 14 + [Step(status="Completed")]))
    looks = times(host, POLL)
    gaps = [round(later - earlier, 2) for earlier, later in pairwise(looks)]
    assert gaps[:4] == [2.0, 3.0, 4.5, 6.75]
    assert gaps[-3:] == [60.0, 60.0, 60.0]


def test_a_change_makes_the_next_look_come_soon() -> None:
    """After a long quiet time, a job that has begun to run is looked at after 2 seconds again."""
    host = play(World(poll=[Step(status="Queued")] * 12 + [RUNNING, RUNNING, Step(status="Completed")]))
    gaps = [later - earlier for earlier, later in pairwise(times(host, POLL))]
    assert (gaps[11], gaps[12], gaps[13]) == (60.0, 2.0, 3.0)


@pytest.mark.parametrize(("told", "gap"), [(1.0, 2.0), (45.0, 45.0), (86_400.0, MOST_TOLD)])
def test_a_told_pause_is_kept_within_bounds(told: float, gap: float) -> None:
    """What Retry-After asks for is waited, but never for hours: a lost wake-up call must not matter much."""
    host = play(World(submit=[Step(code="upstream-rate-limited", wait=told), TAKEN]))
    first, second = times(host, SUBMIT)
    assert second - first == gap


def test_a_job_that_is_cancelled_before_it_is_sent_is_never_looked_for() -> None:
    """The submitting activity finds the wish and ends the job."""
    host = play(World(submit=[Step(status="Canceled")]))
    assert names(host) == ["submit", "end"]
    assert end_of(host).status == "Canceled"


def test_a_wish_to_cancel_wakes_a_job_that_is_being_submitted() -> None:
    """A pause of ten minutes ends with the event, not with the timer."""
    later = Step(attempt=1, code="upstream-rate-limited", wait=600.0)
    host = play(World(submit=[later, Step(status="Canceled")]), events=((7.0, steps.WAKE),))
    assert times(host, SUBMIT) == [0.0, 7.0]
    assert host.elapsed == 7.0


def test_a_running_job_is_cancelled_and_watched_to_its_end() -> None:
    """Azure ML is asked to end it, and the status it then has is the job's."""
    wish = Step(status="Running", cancel=True)
    requested = Step(status="CancelRequested", cancel=True)
    host = play(World(poll=[RUNNING, wish, requested, requested, Step(status="Canceled", cancel=True)]))
    assert names(host) == ["submit", "poll", "poll", "cancel", "poll", "poll", "poll", "end"]
    assert (end_of(host).status, end_of(host).cancel) == ("Canceled", True)


def test_cancelling_is_asked_again_until_azure_has_heard() -> None:
    """A cancel that was lost or refused is sent again with each look; it is harmless twice."""
    wish = Step(status="Running", cancel=True)
    host = play(
        World(
            poll=[wish, wish, wish, Step(status="Canceled")],
            cancel=[Step(code="upstream-unavailable"), Failed("gone")],
        )
    )
    assert names(host) == ["submit", "poll", "cancel", "poll", "cancel", "poll", "cancel", "poll", "end"]


def test_a_job_that_completes_while_it_is_cancelled_is_complete() -> None:
    """What Azure ML says last counts."""
    host = play(World(poll=[Step(status="Running", cancel=True), Step(status="Completed", cancel=True)]))
    assert end_of(host).status == "Completed"


def test_an_end_that_nobody_confirms_is_given_up() -> None:
    """Ten minutes after the first cancel the job is Failed, and its code says why."""
    host = play(World(poll=[Step(status="Running", cancel=True)]))
    assert (end_of(host).status, end_of(host).code) == ("Failed", "cancel-not-confirmed")
    assert CANCEL_BOUND <= host.elapsed - times(host, CANCEL)[0] < CANCEL_BOUND + 60


def test_an_end_that_was_asked_for_elsewhere_is_given_up_as_well() -> None:
    """Azure ML says `CancelRequested` when the wish is first seen: the ten minutes count from then."""
    host = play(World(poll=[Step(status="CancelRequested", cancel=True)]))
    assert (end_of(host).status, end_of(host).code) == ("Failed", "cancel-not-confirmed")
    assert CANCEL not in [name for name, _ in host.calls]
    assert CANCEL_BOUND <= host.elapsed < CANCEL_BOUND + 90


def test_the_bound_of_the_policy_is_noticed_at_once() -> None:
    """A pause never reaches beyond the job's time: the activity that looks then sees that it is over."""

    def poll(now: float) -> Step:
        late = now >= 100
        return Step(status="Running", cancel=late, code="job-timeout" if late else None)

    world = World(poll=[poll] * 9 + [Step(status="Canceled", code="job-timeout")])
    host = play(world, intent=an_intent(job_timeout=100.0))
    assert 100.0 in times(host, POLL)
    assert times(host, CANCEL)[0] == 102.0
    assert (end_of(host).status, end_of(host).code) == ("Canceled", "job-timeout")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([Failed("the host is on fire")], id="it fails"),
        pytest.param([None], id="it says nothing"),
        pytest.param([{"version": "one"}], id="it says what nobody understands"),
        pytest.param([Step(code="gateway-misconfigured", wait=60.0)], id="the policy is broken"),
    ],
)
def test_an_activity_that_never_works_ends_no_job_before_its_time(said: list[Say]) -> None:
    """Submitting is tried until the policy's bound has passed, and as long again as an end may take to be confirmed."""
    host = play(World(submit=said), intent=an_intent(job_timeout=120.0))
    assert set(names(host)) == {"submit", "end"}
    assert (end_of(host).status, end_of(host).code) == ("Failed", "cancel-not-confirmed")
    assert 120 + 2 * CANCEL_BOUND <= host.elapsed <= 120 + 2 * CANCEL_BOUND + 60


def test_activities_may_fail_anywhere_in_between() -> None:
    """F39: each step that fails is asked again, and the job comes to the same end."""
    gone = Failed("worker lost")
    host = play(
        World(
            submit=[gone, gone, TAKEN],
            poll=[gone, RUNNING, gone, Step(status="Completed")],
            end=[gone, Step(), ENDED],
        )
    )
    assert names(host) == ["submit"] * 3 + ["poll"] * 4 + ["end"] * 3
    assert end_of(host).status == "Completed"
    assert end_of(host).ended


def test_what_is_known_stays_known() -> None:
    """An answer that comes late neither takes a name away, nor a flag, nor gives an old number again."""
    host = play(
        World(
            submit=[
                Step(attempt=2, duplicate_suspected=True),
                Step(attempt=1),
                Step(upstream="batchjob-1", attempt=0),
            ],
            poll=[
                Step(status="Running", upstream="batchjob-2", deployment="blue", outputs={"a": 1}),
                Step(cancel=True),
                Step(status="Completed"),
            ],
        )
    )
    assert end_of(host) == Progress(
        status="Completed",
        upstream="batchjob-1",
        attempt=2,
        polls=3,
        wait=2.0,
        outputs={"a": 1},
        deployment="blue",
        duplicate_suspected=True,
        cancel=True,
        cancel_since=end_of(host).cancel_since,
        ended=True,
        ended_at=end_of(host).ended_at,
    )


def test_a_long_job_goes_on_in_new_histories() -> None:
    """D10: after ten looks the next history begins, with the intent and the progress, and nothing is asked twice or left out."""
    looks = 4 * ROUNDS
    world = World(poll=[RUNNING] * looks + [Step(status="Completed")])
    host = play(world)
    assert host.generations == 5
    assert end_of(host).polls == looks + 1
    assert names(host) == ["submit"] + ["poll"] * (looks + 1) + ["end"]
    assert msgspec.convert(json.loads(host.given)["intent"], Intent) == world.intent
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(times(host, POLL))]
    assert gaps == sorted(gaps)


def test_a_history_stays_small() -> None:
    """D10: ten looks make a history: so many events and bytes, and never more, however long the job runs."""
    host = play(World(poll=[RUNNING] * 60 + [Step(status="Completed")]))
    assert host.longest <= 2 + 8 * (ROUNDS + 1)
    assert host.largest < 20_000


def test_a_job_of_a_day_is_asked_for_once_a_minute() -> None:
    """24 hours are some 1,450 looks in some 145 histories."""
    world = World(poll=[lambda now: Step(status="Completed" if now >= 86_000 else "Running")])
    given = msgspec.to_builtins({"intent": world.intent, "progress": None})
    light = Light(given, world, instance=world.intent.job).run(JOB)
    assert light.status["ended"]
    assert 1_430 <= light.status["polls"] <= 1_460
    assert 140 <= light.generations <= 150


def test_the_light_context_plays_what_durable_plays() -> None:
    """What the day of a job is counted with asks for the same, at the same times, as the genuine orchestrator."""

    def world() -> World:
        looks: list[Say] = [RUNNING, Failed("x"), Step(status="Running", cancel=True), RUNNING]
        return World(submit=[Failed("x"), TAKEN], poll=looks * 6 + [Step(status="Canceled")])

    one, other = world(), world()
    other.intent = one.intent
    host = play(one)

    def activity(name: str, given: Any, now: float) -> Any:
        try:
            return other(name, given, now)
        except Failed:
            return None

    given = msgspec.to_builtins({"intent": one.intent, "progress": None})
    light = Light(given, activity, instance=one.intent.job).run(JOB)
    assert rounded(light.calls) == rounded(host.calls)
    assert light.generations == host.generations


def test_a_new_deployment_begins_a_new_history_at_once() -> None:
    """F45: code of another version answers, so the old history is replayed no more; the job goes on where it was."""
    world = World(
        poll=[RUNNING, RUNNING, Step(status="Running", version=2), Step(status="Completed", version=2)]
    )
    host = play(world)
    assert host.generations == 2
    assert names(host) == ["submit"] + ["poll"] * 4 + ["end"]
    looks = times(host, POLL)
    assert looks[3] == looks[2]
    assert end_of(host).polls == 4


def test_two_versions_side_by_side_do_not_make_it_busy() -> None:
    """F45: while instances of both versions answer in turn, each look still ends in a pause or moves the job on."""
    world = World(
        poll=[Step(status="Running", version=1 + number % 2) for number in range(20)]
        + [Step(status="Completed")]
    )
    host = play(world)
    looks = times(host, POLL)
    assert sum(later == earlier for earlier, later in pairwise(looks)) <= len(looks) / 2
    assert end_of(host).status == "Completed"


def test_a_call_that_comes_while_an_activity_runs_is_not_lost() -> None:
    """The event is there before anybody waits for it: the next pause is none."""
    host = play(World(poll=[RUNNING, Step(status="Completed")]), events=((0.0, steps.WAKE),))
    assert times(host, POLL) == [0.0, 2.0]


def test_calls_in_a_row_do_not_make_a_job_busy() -> None:
    """Somebody who wakes a job all the time gets one look more in each history of ten, and no more."""
    calls = tuple((number / 2, steps.WAKE) for number in range(60))
    host = play(World(poll=[RUNNING] * 8 + [Step(status="Completed")]), events=calls)
    gaps = [later - earlier for earlier, later in pairwise(times(host, POLL))]
    assert sum(gap < 2 for gap in gaps) <= 1


def test_an_end_that_cannot_be_recorded_is_tried_again() -> None:
    """The audit is down for an hour: the job is shown as final meanwhile, and ends when its end is on record."""
    host = play(World(end=[lambda now: Step(ended=now > 3_600)]))
    assert host.elapsed > 3_600
    assert (end_of(host).status, end_of(host).ended, end_of(host).code) == ("Completed", True, None)
    assert any(one["status"] == "Completed" and not one["ended"] for one in host.statuses)


def test_an_end_that_can_never_be_recorded_is_given_up_with_a_code() -> None:
    """A day after its own bound the orchestration ends, and says that the record is missing."""
    bound = END_BOUND + 100.0
    world = World(end=[Failed("x")])
    world.intent = an_intent(job_timeout=100.0)

    def activity(name: str, given: Any, now: float) -> Any:
        return None if name == END else world(name, given, now)

    given = msgspec.to_builtins({"intent": world.intent, "progress": None})
    light = Light(given, activity, instance=world.intent.job).run(JOB)
    assert light.status["code"] == "end-not-recorded"
    assert light.status["ended"]
    assert bound <= light.calls[-1][1] < bound + 60


def test_nobody_is_told_without_a_rule_that_says_so() -> None:
    """Only an intent with an address has its end told."""
    assert NOTIFY not in dict(play().calls)


def test_the_end_is_told_once_it_is_on_record() -> None:
    """Telling comes last, and the job is shown as ended before."""
    host = play(intent=an_intent(notify="https://hooks.contoso.com/jobs"))
    assert names(host)[-2:] == ["end", "notify"]
    assert end_of(host).code is None


def test_telling_is_tried_as_often_as_durable_is_told() -> None:
    """A receiver that is down is asked again after the pause of the retry options; then it has been told."""
    world = World(notify=[Failed("500"), Failed("timeout"), Step()])
    host = play(world, intent=an_intent(notify="https://hooks.contoso.com/jobs"))
    gaps = [later - earlier for earlier, later in pairwise(times(host, NOTIFY))]
    assert gaps == [5.0, 5.0]
    assert end_of(host).code is None


def test_an_end_that_nobody_takes_is_shown() -> None:
    """When every try has failed the job is still what it was, with a code for its owner."""
    world = World(notify=[Failed("500")])
    host = play(world, intent=an_intent(notify="https://hooks.contoso.com/jobs"))
    assert names(host).count("notify") == 3
    assert (end_of(host).status, end_of(host).code) == ("Completed", "notify-failed")


def test_a_failed_job_keeps_its_code_whoever_is_not_told() -> None:
    """Why the job failed matters more than that nobody took the news."""
    world = World(poll=[Step(status="Failed", code="job-failed")], notify=[Failed("500")])
    host = play(world, intent=an_intent(notify="https://hooks.contoso.com/jobs"))
    assert end_of(host).code == "job-failed"


def test_an_orchestration_under_another_name_does_nothing() -> None:
    """T10: whoever starts one by hand with the intent of another instance gets nothing done."""
    given = msgspec.to_builtins({"intent": an_intent(), "progress": None})
    host = Host(JOB, given, World(), instance="00000000-0000000000000000-" + "0" * 32).run()
    assert (host.calls, host.output) == ([], None)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="empty"),
        pytest.param({"intent": {"url": JOBS_URL}, "progress": None}, id="half an intent"),
        pytest.param("cd /", id="a text"),
    ],
)
def test_what_is_no_intent_starts_nothing(given: Any) -> None:
    """T10: an orchestration that somebody starts by hand with nonsense fails before it has asked for anything."""
    host = Host(JOB, given, World())
    with pytest.raises(Exception, match="OutOfProcData"):
        host.run()
    assert host.calls == []


def test_the_largest_progress_fits_into_a_custom_status() -> None:
    """Durable takes 16 KiB of UTF-16 there; outputs are bounded for it."""
    outputs = {"x" * 64: {"uri": "u" * 2_000}, "y" * 64: {"uri": "u" * 2_000}, "z": {"uri": "u" * 1_700}}
    assert len(json.dumps(outputs)) <= MOST_OUTPUT
    progress = Progress(
        status="S" * 32,
        upstream="n" * 255,
        code="c" * 64,
        outputs=outputs,
        deployment="d" * 64,
        wait=3_600.123,
        cancel_since=1_750_000_000.123,
    )
    assert len(msgspec.json.encode(progress).decode().encode("utf-16-le")) < 16 * 1024


def test_a_note_keeps_its_name_for_some_days() -> None:
    """Its orchestration waits, asks for nothing, and ends: meanwhile a second start of the same name is refused."""
    host = Host(note, {"nonce": "n", "value": {"job": "j"}}, instance="note.key.x").run()
    assert host.elapsed == NOTE_TIME.total_seconds()
    assert host.calls == []
