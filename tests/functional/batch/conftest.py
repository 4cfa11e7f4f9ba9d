"""One scene and one gate with jobs for each module and way of hosting; each test finds everything well and brings its own people."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.functional.batch.apps import App
from tests.functional.batch.scene import Scene, scene_of
from tests.functional.differences import Mode


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_scene(mode: Mode) -> AsyncIterator[Scene]:
    """The stand-ins, for all tests of a module; at its end the audit and the logs are looked at."""
    async with scene_of(mode) as scene:
        yield scene
        scene.check_what_is_written()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_app(shared_scene: Scene) -> AsyncIterator[App]:
    """A gate with the usual settings, for all tests of a module."""
    async with shared_scene.app() as app:
        yield app


@pytest_asyncio.fixture(loop_scope="module")
async def scene(shared_scene: Scene) -> Scene:
    """The stand-ins, all well."""
    await shared_scene.well()
    return shared_scene


@pytest_asyncio.fixture(loop_scope="module")
async def app(scene: Scene, shared_app: App) -> App:
    """The gate, with everything around it well."""
    del scene
    await shared_app.well()
    return shared_app
