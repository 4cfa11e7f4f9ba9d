"""Who made a stored response: told to its maker alone, and refused when it is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.model import Principal
from shared.ports import Owners
from shared.quota import make_owners
from shared.quota.owners import REFERRED, RememberedOwners
from shared.quota.sharedowners import LIFETIME, SharedOwners
from tests.redis_server import RedisServer, redis_server
from tests.unit.quota.losing import losing_line
from tests.unit.quota.places import BOB, InRedis, a_caller

MODEL = "gpt-4.1-mini"
HERE = "https://contoso.openai.azure.com"
THERE = "https://fabrikam.openai.azure.com"


async def made(
    owners: Owners, *ids: str, by: Principal | None = None, model: str = MODEL, at: str = HERE
) -> None:
    await owners.remember(ids, by or a_caller(), model=model, resource=at)


async def owned(owners: Owners, *ids: str, by: Principal | None = None, at: str = HERE) -> bool:
    return await owners.owns(ids, by or a_caller(), resource=at)


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
async def test_t09_nobody_else_is_told(owners: Owners, id_: str, caller: Principal) -> None:
    """T09: whatever is not the caller's own looks like what does not exist."""
    await made(owners, "resp_1")
    assert await owners.model_of(id_, caller) is None
    assert not await owned(owners, id_, by=caller)


async def test_t09_the_maker_is_told_the_model(owners: Owners) -> None:
    """T09: the owner gets the model of every id that was remembered."""
    await made(owners, "resp_1", "conv_ü")
    assert await owners.model_of("resp_1", a_caller()) == MODEL
    assert await owners.model_of("conv_ü", a_caller(groups=frozenset({"g"}))) == MODEL


async def test_t09_the_first_maker_stays_the_owner(owners: Owners) -> None:
    """T09: nobody takes a thing over by making it look like theirs."""
    await made(owners, "resp_1")
    await made(owners, "resp_1", by=a_caller(oid=BOB), model="another")
    assert await owners.model_of("resp_1", a_caller()) == MODEL
    assert await owned(owners, "resp_1")
    assert await owners.model_of("resp_1", a_caller(oid=BOB)) is None
    assert not await owned(owners, "resp_1", by=a_caller(oid=BOB))


async def test_t09_equal_ids_of_two_resources_are_two_things(owners: Owners) -> None:
    """T09: where two resources give out one id, each maker has their own thing, at its own resource."""
    bob = a_caller(oid=BOB)
    await made(owners, "resp_1")
    await made(owners, "resp_1", by=bob, model="theirs", at=THERE)
    assert await owners.model_of("resp_1", a_caller()) == MODEL
    assert await owners.model_of("resp_1", bob) == "theirs"
    assert await owned(owners, "resp_1")
    assert await owned(owners, "resp_1", by=bob, at=THERE)
    assert not await owned(owners, "resp_1", at=THERE)
    assert not await owned(owners, "resp_1", by=bob)


async def test_t09_which_of_two_is_meant_is_not_guessed(owners: Owners) -> None:
    """T09: who made one id at two resources is told of neither by the id alone, and owns both where they are."""
    await made(owners, "resp_1")
    await made(owners, "resp_1", model="other", at=THERE)
    assert await owners.model_of("resp_1", a_caller()) is None
    assert await owned(owners, "resp_1")
    assert await owned(owners, "resp_1", at=THERE)


async def test_t09_the_first_model_of_one_resource_stays(owners: Owners) -> None:
    """A response that is read through another model of its resource stays with the model that made it."""
    await made(owners, "resp_1")
    await made(owners, "resp_1", model="other")
    assert await owners.model_of("resp_1", a_caller()) == MODEL


async def test_t09_one_that_is_not_the_callers_refuses_all(owners: Owners) -> None:
    """T09: every id that a request refers to is the caller's own, or the request is refused."""
    await made(owners, "a", "b", "ü")
    await made(owners, "theirs", by=a_caller(oid=BOB))
    assert await owned(owners, "a", "b", "ü", "a")
    for stranger in ("theirs", "nobody's", "", "A", "a\x00"):
        assert not await owned(owners, "a", stranger, "b")
    assert await owned(owners)


async def test_d05_a_request_refers_to_so_many_things_at_most(owners: Owners) -> None:
    """D05: each id costs a look-up, so more than any conversation has are refused; saying one twice costs nothing."""
    ids = [f"item_{number}" for number in range(REFERRED + 1)]
    await made(owners, *ids)
    assert await owned(owners, *ids[1:], *ids[1:])
    assert not await owned(owners, *ids)


async def test_d05_what_an_own_thing_refers_to_is_kept() -> None:
    """D05: a conversation that goes on is not forgotten before one that does not; others' questions keep nothing."""
    owners = RememberedOwners(most=3)
    await made(owners, "a", "b", "c")
    assert await owned(owners, "a")
    assert not await owned(owners, "b", by=a_caller(oid=BOB))
    await made(owners, "d")
    assert [await owned(owners, id_) for id_ in "abcd"] == [True, False, True, True]


async def test_d05_the_longest_unused_is_forgotten_first() -> None:
    """D05: memory is bounded; what is forgotten is refused, and asking for another's keeps nothing."""
    owners = RememberedOwners(most=3)
    await made(owners, "a", "b", "c")
    assert await owners.model_of("a", a_caller()) == MODEL
    assert await owners.model_of("b", a_caller(oid=BOB)) is None
    await made(owners, "d")
    assert [await owners.model_of(id_, a_caller()) for id_ in "abcd"] == [MODEL, None, MODEL, MODEL]
    assert len(owners) == 3


async def test_hosts_share_what_they_remember(server: RedisServer) -> None:
    """What one host saw made, another one knows; after 30 days nobody does."""
    one, other = InRedis(server), InRedis(server)
    await made(SharedOwners(one.store), "resp_1")
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
    await made(owners, "resp_1")
    mortal.kill()
    await made(owners, "resp_2")
    assert await owners.model_of("resp_1", a_caller()) is None
    assert not await owned(owners, "resp_1")
    await place.store.close()


async def test_many_things_are_asked_for_and_remembered_in_one_round_trip(server: RedisServer) -> None:
    """D08: what an answer made, or a request refers to, costs one round trip and not one for each."""
    ids = [f"item_{number}" for number in range(20)]
    async with losing_line(server) as line:
        place = InRedis(server, url=line.url)
        owners = SharedOwners(place.store)
        assert not await owned(owners, *ids)
        for step in (made(owners, *ids), owned(owners, *ids)):
            before = line.questions
            await step
            assert line.questions == before + 1
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
    await made(owners, "resp_1")
    with server.admin as admin:
        (key,) = admin.scan_iter()
        (field,) = admin.hkeys(key)
        admin.hset(key, field, value)
        assert await owners.model_of("resp_1", a_caller()) is None
        assert not await owned(owners, "resp_1")
        admin.delete(key)
        admin.rpush(key, "x")
        assert await owners.model_of("resp_1", a_caller()) is None
        assert not await owned(owners, "resp_1")
    await place.store.close()
