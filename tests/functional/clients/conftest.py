"""One world for all tests of the public clients; each test finds everything well and brings its own callers."""

from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.functional.clients.around import Around, Door, running
from tests.functional.differences import Mode


@pytest.fixture(scope="session")
def around() -> Iterator[Around]:
    """The stand-ins and both gates, in a thread of their own: clients that block must not hold them up."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running()) as everything:
        yield everything


@pytest.fixture(autouse=True)
def door(around: Around, mode: Mode) -> Iterator[Door]:
    """The gate in one way of hosting; afterwards nothing of the caller may have reached the resource."""
    door = Door(around, mode)
    door.well()
    yield door
    door.check()
