from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.redis_server import RedisServer, redis_server
from tests.unit.quota.places import InMemory, InRedis, Place


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    """A server for a whole file."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """The file's server, empty and with its counts of commands at zero."""
    with running.admin as admin:
        admin.flushall()
        admin.config_resetstat()
    return running


@pytest.fixture(params=["in-memory", "in-redis"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Each place where limits are counted."""
    if request.param == "in-memory":
        yield InMemory()
        return
    place = InRedis(request.getfixturevalue("server"))
    yield place
    await place.store.close()
