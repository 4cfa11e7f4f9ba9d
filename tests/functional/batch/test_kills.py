"""A host that is killed, at any step: what was answered 202 ends, as one job at Azure ML, or as one that is flagged (F39)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.functional.batch.apps import App
from tests.functional.batch.scene import Scene
from tests.functional.differences import only
from tests.functional.world import MEMBER

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = "one"


class Lives:
    """One host after the other on the same storage; one at a time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._running = AsyncExitStack()
        self._app: App | None = None

    async def app(self) -> App:
        """Give the host that runs; start one where none does."""
        app = self._app
        if app is None or app.gate.process.returncode is not None:
            await self.close()
            app = self._app = await self._running.enter_async_context(self._scene.app())
        return app

    async def close(self) -> None:
        """End the host."""
        await self._running.aclose()
        self._app = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lives(shared_scene: Scene) -> AsyncIterator[Lives]:
    """The hosts of a module, one after the other."""
    lives = Lives(shared_scene)
    yield lives
    await lives.close()


def rows(mode: str, *steps: tuple[str, str, str, int, int]) -> list[Any]:
    """Give rows for one way of hosting."""
    return [pytest.param(mode, *row, id=f"{mode}: {' '.join(map(str, row))}") for row in steps]


STEPS = [
    *rows(
        "classic",
        ("before", "start", "groupgate_job", 1, 0),
        ("after", "start", "groupgate_job", 1, 0),
        ("before", "activity", "groupgate_submit", 1, 0),
        ("after", "activity", "groupgate_submit", 1, 1),
        ("after", "episode", "groupgate_job", 2, 1),
        ("before", "timer", "groupgate_job", 1, 1),
        ("before", "activity-result", "groupgate_end", 1, 1),
    ),
    *rows(
        "stream",
        ("before", "start", "groupgate_note", 3, 1),
        ("after", "activity-result", "groupgate_submit", 1, 1),
    ),
]
"""Where the host dies. Notes are: the key's, the attempt's before it is sent, and the job's name at Azure ML after it was.

Last is how many jobs have been started at Azure ML by then.
"""


@pytest.mark.parametrize(
    ("mode", "at", "step", "name", "nth", "sent"), STEPS, indirect=["mode"], scope="module"
)
async def test_a_killed_host_loses_nothing_and_starts_nothing_twice(
    scene: Scene, lives: Lives, at: str, step: str, name: str, nth: int, sent: int
) -> None:
    """F39: the next host takes the job up where it was; who got no answer asks again with the same key."""
    who = scene.world.person(MEMBER)
    app = await lives.app()
    before = len(scene.front.jobs)
    await app.crash(at, step, name, nth=nth)
    first = await app.submit(who, key=KEY)
    assert first.status in (0, 202)
    await app.dies()
    assert len(scene.front.jobs) - before == sent
    app = await lives.app()
    job = await app.started(who, key=KEY)
    if first.status == 202:
        assert job == first.json()["name"]
    assert (await app.ended(who, job))["status"] == "Completed"
    assert await app.listed(who) == [job]
    assert len(scene.sent(job)) == 1
    assert not (await app.recorded(job))["duplicate_suspected"]


@only("classic")
async def test_a_cancellation_survives_as_well(scene: Scene, lives: Lives) -> None:
    """F39: killed after Azure Resource Manager was asked, which nobody remembers: it is asked again, and the job ends."""
    who = scene.world.person(MEMBER)
    app = await lives.app()
    scene.front.runner.pace = 3600.0
    job = await app.started(who)
    await app.until(who, job, lambda properties: "deployment" in properties)
    scene.front.runner.pace = 0.2
    await app.crash("after", "activity", "groupgate_cancel")
    assert (await app.cancel(who, job)).status == 202
    await app.dies()
    app = await lives.app()
    assert (await app.ended(who, job))["status"] == "Canceled"
    assert [one.status for one in scene.sent(job)] == ["Canceled"]
