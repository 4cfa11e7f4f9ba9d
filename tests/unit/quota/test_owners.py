"""Who made a stored response: told to its maker alone, and refused when it is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.ports import Owners
from shared.quota import make_owners
from shared.quota.owners import RememberedOwners
from shared.quota.sharedowners import LIFETIME, SharedOwners
from tests.redis_server import RedisServer, redis_server
from tests.unit.quota.places import BOB, InRedis, a_caller

MODEL = "gpt-4.1-mini"


@pytest.fixture(params=["in-memory", "in-redis"])
async def owners(request: pytest.FixtureRequest) -> AsyncIterator[Owners]:
    """Each memory of owners."""
    if request.param == "in-memory":
        yield make_owners(None)
        return
    place = InRedis(request.getfixturevalue("server"))
    yield SharedOwners(place.store)
    await place.store.close()


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server of this test's own, which it may kill."""
    with redis_server() as server:
        yield server


@pytest.mark.parametrize(
    ("id_", "caller"),
    [
        pytest.param("resp_1", a_caller(oid=BOB), id="another user of the tenant"),
        pytest.param("resp_1", a_caller(tenant=BOB), id="the same object id in another tenant"),
        pytest.param("resp_1", a_caller(oid=""), id="no object id"),
        pytest.param("resp_2", a_caller(), id="an id that nobody made"),
        pytest.param("", a_caller(), id="no id"),
        pytest.param("RESP_1", a_caller(), id="the id in another case"),
        pytest.param("resp_1 ", a_caller(), id="the id with a blank"),
        pytest.param("resp_1\x00", a_caller(), id="the id with a NUL"),
        pytest.param("x" * 100_000, a_caller(), id="a very long id"),
    ],
)
async def test_t09_nobody_else_is_told(owners: Owners, id_: str, caller: object) -> None:
    """T09: whatever is not the caller's own looks like what does not exist."""
    await owners.remember(["resp_1"], a_caller(), MODEL)
    assert await owners.model_of(id_, caller) is None  # type: ignore[arg-type]


async def test_t09_the_maker_is_told_the_model(owners: Owners) -> None:
    """T09: the owner gets the model of every id that was remembered."""
    await owners.remember(["resp_1", "conv_ü"], a_caller(), MODEL)
    assert await owners.model_of("resp_1", a_caller()) == MODEL
    assert await owners.model_of("conv_ü", a_caller(groups=frozenset({"g"}))) == MODEL


async def test_t09_the_first_maker_stays_the_owner(owners: Owners) -> None:
    """T09: nobody takes a thing over by making it look like theirs."""
    await owners.remember(["resp_1"], a_caller(), MODEL)
    await owners.remember(["resp_1"], a_caller(oid=BOB), "another")
    assert await owners.model_of("resp_1", a_caller()) == MODEL
    assert await owners.model_of("resp_1", a_caller(oid=BOB)) is None


async def test_d05_the_longest_unused_is_forgotten_first() -> None:
    """D05: memory is bounded; what is forgotten is refused, and asking for another's keeps nothing."""
    owners = RememberedOwners(most=3)
    await owners.remember(["a", "b", "c"], a_caller(), MODEL)
    assert await owners.model_of("a", a_caller()) == MODEL
    assert await owners.model_of("b", a_caller(oid=BOB)) is None
    await owners.remember(["d"], a_caller(), MODEL)
    assert [await owners.model_of(id_, a_caller()) for id_ in "abcd"] == [MODEL, None, MODEL, MODEL]
    assert len(owners) == 3


async def test_hosts_share_what_they_remember(server: RedisServer) -> None:
    """What one host saw made, another one knows; after 30 days nobody does."""
    one, other = InRedis(server), InRedis(server)
    await SharedOwners(one.store).remember(["resp_1"], a_caller(), MODEL)
    assert await SharedOwners(other.store).model_of("resp_1", a_caller()) == MODEL
    with server.admin as admin:
        (key,) = admin.scan_iter()
        assert admin.ttl(key) == pytest.approx(LIFETIME, abs=5)
    await one.store.close()
    await other.store.close()


async def test_f34_without_redis_everything_is_refused(mortal: RedisServer) -> None:
    """F34: remembering is dropped and never raises; nobody is anybody's owner while Redis is down."""
    place = InRedis(mortal)
    owners = SharedOwners(place.store)
    await owners.remember(["resp_1"], a_caller(), MODEL)
    mortal.kill()
    await owners.remember(["resp_2"], a_caller(), MODEL)
    assert await owners.model_of("resp_1", a_caller()) is None
    await place.store.close()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'"gpt"',
        b'{"owner":"*","model":"gpt"}',
        b'{"owner":null,"model":"gpt"}',
        b'{"owner":"","model":"gpt","extra":1}',
    ],
)
async def test_f34_a_poisoned_owner_is_nobody(server: RedisServer, value: bytes) -> None:
    """F34: what cannot be read, or names nobody, is refused; so is what is no text at all."""
    place = InRedis(server)
    owners = SharedOwners(place.store)
    await owners.remember(["resp_1"], a_caller(), MODEL)
    with server.admin as admin:
        (key,) = admin.scan_iter()
        admin.set(key, value)
        assert await owners.model_of("resp_1", a_caller()) is None
        admin.delete(key)
        admin.rpush(key, "x")
        assert await owners.model_of("resp_1", a_caller()) is None
    await place.store.close()
