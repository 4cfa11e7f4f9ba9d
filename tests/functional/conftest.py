"""One world and one gate for each module and way of hosting; each test finds everything well and brings its own people."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.functional.differences import MODES, Mode
from tests.functional.gates import Gate
from tests.functional.world import World, world_of


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Both ways of hosting."""
    chosen: Mode = request.param
    return chosen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(mode: Mode) -> AsyncIterator[World]:
    """The stand-ins, for all tests of a module."""
    async with world_of(mode) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gate(shared_world: World) -> AsyncIterator[Gate]:
    """A gate with the usual settings, for all tests of a module."""
    async with AsyncExitStack() as opened:
        yield await opened.enter_async_context(shared_world.gate())


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> World:
    """The stand-ins, all well."""
    await shared_world.well()
    return shared_world


@pytest.fixture
def gate(world: World, shared_gate: Gate) -> Gate:
    """The gate, with everything around it well."""
    return shared_gate
