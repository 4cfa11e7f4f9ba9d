"""Whole lives of jobs, with processes that die at every step there is (threat F39): ended, on record, and run once or flagged."""

from __future__ import annotations

import random
from collections import Counter
from copy import replace
from typing import Any

import pytest

from shared.job import FINAL, Progress
from shared.jobs.azureml import Later, Refused, Unclear
from shared.jobs.seal import Sealer
from shared.model import Standing
from tests.fakes import TERMS, FakeAnswer, FakeMemberships, a_membership, a_policy, a_rule
from tests.jobfakes import SECRET, Taken, an_intent
from tests.unit.jobs.scene import Life, Scene, churn

OUTAGE = (Later(None, "upstream-unreachable"),) * 200
MAY_RUN = {"cancel-not-confirmed", "submission-unclear"}
"""Codes of a job that is over at the gate, and may run at Azure ML."""
STORIES: dict[str, dict[str, Any]] = {
    "all goes well": {},
    "the service is busy first": {
        "script": (Later(3.0, "upstream-rate-limited"), Later(None, "upstream-unreachable"))
    },
    "the answer is lost": {"script": (Taken(),)},
    "the answer is lost, and nothing was taken": {"script": (Unclear("upstream-timeout"),)},
    "the service refuses": {"script": (Refused(400),)},
    "nobody can look the job up": {"unsearchable": Refused(404)},
    "new jobs are not listed": {"hidden": True},
    "its owner cancels it at once": {"cancel": 0.0},
    "its owner cancels it while it runs": {"cancel": 8.0},
    "its time is over": {"timeout": 5.0},
    "its owner cancels it in an outage": {
        "script": (Taken(), *OUTAGE),
        "unsearchable": OUTAGE[0],
        "cancel": 300.0,
    },
    "its time is over in an outage": {
        "script": (Taken(), *OUTAGE),
        "unsearchable": OUTAGE[0],
        "timeout": 200.0,
    },
    "its owner leaves while it is in doubt": {
        "script": (Taken(), *OUTAGE),
        "unsearchable": OUTAGE[0],
        "leave": 60.0,
    },
    "the second attempt is refused, and nobody can look": {
        "script": (Taken(), Refused(400)),
        "unsearchable": OUTAGE[0],
    },
    "the second attempt conflicts with the first": {"script": (Taken(), Refused(409)), "hidden": True},
    "the seals are on": {"secret": SECRET},
    "the end is told": {"secret": SECRET, "notify": "https://hooks.contoso.com/jobs"},
}


def scene_of(story: dict[str, Any], *die_at: int) -> tuple[Scene, tuple[Any, ...]]:
    """Return the scene of a story, and what happens in it."""
    notify, secret = story.get("notify"), story.get("secret")
    intent = Sealer(secret).seal(an_intent(job_timeout=story.get("timeout", 86_400.0), notify=notify))
    policy = a_policy(churn(rules=(a_rule(job=replace(TERMS, notify=notify)),)))
    scene = Scene(intent, *story.get("script", ()), policy=policy, secret=secret, die_at=die_at)
    scene.transport.script = [FakeAnswer(204) for _ in range(20)]
    scene.azure.unsearchable = story.get("unsearchable")
    scene.azure.hidden = story.get("hidden", False)
    scene.azure.plan = [(0.0, "Queued"), (5.0, "Running"), (30.0, "Completed")]

    def cancel() -> None:
        scene.store.notes[f"cancel.{scene.job}"] = {"request": "r"}

    def leave() -> None:
        scene.memberships = FakeMemberships(known=a_membership(Standing.OUT))

    events = [(story[name], do) for name, do in (("cancel", cancel), ("leave", leave)) if name in story]
    return scene, tuple(events)


async def steps_of(story: dict[str, Any], **how: Any) -> int:
    """Return how many steps a story has when nobody dies."""
    scene, events = scene_of(story)
    await Life(scene, at=events, **how).live()
    return len(scene.steps.names)


def check(scene: Scene, end: Progress) -> None:
    """Assert what is promised of every job, whatever happened to it."""
    taken = scene.azure.taken
    assert end.status in FINAL, end
    assert end.ended
    # One job at Azure ML, or the audit names the suspicion.
    assert len(taken) <= 1 or scene.recorder.flagged
    assert scene.recorder.flagged or not end.duplicate_suspected
    # The last record is the end, and says the same as the orchestration.
    _, last, _ = scene.recorder.jobs[-1]
    assert (last.status, last.code, last.ended) == (end.status, end.code, True)
    # A job that is over at the gate does not run on at Azure ML unseen.
    running = [job for job in taken if not job["cancelled"]]
    if end.status == "Canceled":
        assert not running or scene.recorder.flagged
    if end.upstream is None and end.code not in MAY_RUN:
        # What was never seen there is called over only where somebody could look, and saw nothing.
        assert not running or (scene.azure.hidden and scene.azure.unsearchable is None), end
    if end.status == "Completed":
        assert taken
    # Whoever is to be told is told, again and again the same.
    told = {sent["headers"]["webhook-id"] for sent in scene.transport.sent}
    assert len(told) == (0 if scene.intent.notify is None else 1)


@pytest.mark.parametrize("stale", [False, True], ids=["shown at once", "shown late"])
@pytest.mark.parametrize("story", STORIES)
async def test_a_process_may_die_at_any_step(story: str, stale: bool) -> None:
    """F39: at each step of each story: the job ends, on record, with one job at Azure ML or a flag."""
    for at in range(1, await steps_of(STORIES[story], stale=stale) + 1):
        scene, events = scene_of(STORIES[story], at)
        life = Life(scene, at=events, stale=stale)
        end = await life.live()
        assert life.deaths == 1, at
        check(scene, end)


@pytest.mark.parametrize("story", STORIES)
async def test_every_activity_may_run_twice(story: str) -> None:
    """F39: beside each other, or one after the other has answered; now and then one of both dies."""
    for seed in range(30):
        chance = random.Random(seed)
        deaths = [chance.randint(1, 150)] if seed % 2 else []
        scene, events = scene_of(STORIES[story], *deaths)
        check(scene, await Life(scene, at=events, late=chance).live())


@pytest.mark.parametrize("seed", range(60))
async def test_processes_may_die_all_the_time(seed: int) -> None:
    """F39: several deaths in one life, deliveries in two places, a store that lags: nothing is lost and nothing hidden."""
    chance = random.Random(seed)
    story = chance.choice(list(STORIES.values()))
    steps = await steps_of(story)
    deaths = sorted(chance.sample(range(1, 2 * steps), k=chance.randint(2, 8)))
    scene, events = scene_of(story, *deaths)
    life = Life(
        scene,
        at=events,
        again=chance.choice([0.1, 1.0, 40.0, 300.0]),
        late=chance if chance.random() < 0.3 else None,
        stale=chance.random() < 0.3,
    )
    check(scene, await life.live())


async def test_few_jobs_are_suspected_without_need() -> None:
    """F39: of 200 jobs of which each dies once somewhere, all but a few run without a flag."""
    chance = random.Random(7)
    length = await steps_of({})
    outcomes: Counter[tuple[int, bool]] = Counter()
    for _ in range(200):
        scene, _ = scene_of({}, chance.randrange(1, length + 1))
        await Life(scene).live()
        outcomes[len(scene.azure.taken), scene.recorder.flagged] += 1
    assert set(outcomes) <= {(1, False), (1, True)}
    assert outcomes[1, True] <= 20


async def test_a_death_between_note_and_answer_is_found_out() -> None:
    """F39: Azure ML took the job, the process died before it could write that down: the job is found, and not sent again."""
    scene, _ = scene_of({})
    await Life(scene).live()
    place = scene.steps.names.index("after submit") + 1
    scene, _ = scene_of({}, place)
    end = await Life(scene).live()
    assert (scene.sent, end.status, scene.recorder.flagged) == (1, "Completed", False)


async def test_every_change_is_on_record_whoever_dies() -> None:
    """Submission, each status and the end are there, in this order, some perhaps twice."""
    for at in range(1, await steps_of({}) + 1):
        scene, _ = scene_of({}, at)
        await Life(scene).live()
        records = [
            (previous, progress.status, progress.ended) for _, progress, previous in scene.recorder.jobs
        ]
        changes = [one for place, one in enumerate(records) if place == 0 or one != records[place - 1]]
        plain = [one for one in changes if one != ("NotStarted", "NotStarted", False)]
        assert plain == [
            (None, "NotStarted", False),
            ("NotStarted", "Queued", False),
            ("Queued", "Running", False),
            ("Running", "Completed", False),
            ("Completed", "Completed", True),
        ]


async def test_a_cancelled_job_ends_at_azure_too() -> None:
    """The owner's wish while it runs: Azure ML is asked once it is known, and the end is seen there."""
    scene, events = scene_of({"cancel": 8.0})
    end = await Life(scene, at=events).live()
    assert (end.status, end.code, end.cancel) == ("Canceled", None, True)
    assert [job["cancelled"] for job in scene.azure.taken] == [True]
