"""Redis down, slow, poisoned or partitioned: refused or counted here as the policy says, and never let through uncounted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from shared.model import Reason
from shared.outbound.redis import DEADLINE, PAUSE
from shared.problem import RateLimited, Undecidable
from shared.quota.reservation import Uncounted, Want
from shared.quota.shared import SharedWindows
from tests.redis_server import RedisServer, redis_server
from tests.unit.quota.losing import losing_line
from tests.unit.quota.places import InRedis, allowed, left, take

MINUTE = 60


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server of this test's own, which it may kill."""
    with redis_server() as server:
        yield server


@pytest.fixture
async def host(mortal: RedisServer) -> AsyncIterator[InRedis]:
    host = InRedis(mortal, deadline=DEADLINE)
    yield host
    await host.store.close()


@pytest.fixture
async def lasting(server: RedisServer) -> AsyncIterator[InRedis]:
    """A host at the file's server, which this test leaves running."""
    host = InRedis(server)
    yield host
    await host.store.close()


async def closed(host: InRedis, **asked: Any) -> bool:
    """Say whether a limit that fails closed answers that it cannot be counted."""
    with pytest.raises(Undecidable) as refused:
        await take(host, **asked)
    return refused.value.reason is Reason.LIMITS_UNAVAILABLE


async def test_f34_down_at_start(host: InRedis, mortal: RedisServer) -> None:
    """F34: closed refuses, local counts here and says so, and both heal by themselves."""
    mortal.kill()
    assert await closed(host, requests=(1, MINUTE))
    assert (await take(host, requests=(1, MINUTE), fail="local")).counted == "local"
    with pytest.raises(RateLimited):
        await take(host, requests=(1, MINUTE), fail="local")
    mortal.start()
    host.clock.move(PAUSE)
    assert (await take(host, requests=(1, MINUTE))).counted == "shared"


async def test_f34_dies_between_reserving_and_settling(host: InRedis, mortal: RedisServer) -> None:
    """F34: settling and cancelling never raise; what was reserved stays reserved."""
    settled = await take(host, tokens=(100, MINUTE), cost=10)
    cancelled = await take(host, tokens=(100, MINUTE), cost=10)
    mortal.kill()
    await settled.settle(3)
    await cancelled.cancel()
    assert await closed(host, tokens=(100, MINUTE))


async def test_f34_slow_redis_costs_one_deadline_and_not_one_for_each(
    host: InRedis, mortal: RedisServer
) -> None:
    """F34: who comes after a failure is told at once; later one goes ahead and the others are still told at once."""
    assert await allowed(host, requests=(1, MINUTE))
    mortal.freeze()
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await closed(host, requests=(1, MINUTE))
    assert 0.4 < loop.time() - started < 2
    for _ in range(2):
        started = loop.time()
        assert all(await asyncio.gather(*(closed(host, requests=(1, MINUTE)) for _ in range(20))))
        assert loop.time() - started < 2
        host.clock.move(PAUSE)
    mortal.thaw()
    host.clock.move(PAUSE)
    assert await allowed(host, requests=(9, 3_600))


async def test_f35_a_partition_gives_each_instance_its_own_window_at_most(
    host: InRedis, mortal: RedisServer
) -> None:
    """F35: with fail = "local" no instance lets through more than the amount while it is alone."""
    other = InRedis(mortal)
    assert await allowed(host, requests=(5, MINUTE), fail="local")
    mortal.kill()
    for alone in (host, other):
        assert sum([await allowed(alone, requests=(5, MINUTE), fail="local") for _ in range(20)]) == 5
    await other.store.close()


async def test_f34_the_shared_count_is_back_when_redis_is(host: InRedis, mortal: RedisServer) -> None:
    """F34: what was counted here in the outage is not carried over, and the shared window goes on."""
    assert await allowed(host, requests=(2, MINUTE), fail="local")
    mortal.freeze()
    assert (await take(host, requests=(2, MINUTE), fail="local")).counted == "local"
    mortal.thaw()
    host.clock.move(PAUSE)
    # The frozen call may have been counted when the server went on: it was sent.
    assert sum([await allowed(host, requests=(2, MINUTE), fail="local") for _ in range(5)]) <= 1


async def test_f34_an_emptied_redis_begins_anew(lasting: InRedis, server: RedisServer) -> None:
    """F34, eviction: a window that is gone is a new one; what settles later does not touch it, nor revive it."""
    held = await take(lasting, tokens=(100, MINUTE), cost=90)
    with server.admin as admin:
        admin.flushall()
        await held.settle(10)
        assert admin.dbsize() == 0
    assert await allowed(lasting, tokens=(100, MINUTE), cost=60)
    assert await left(lasting, tokens=(100, MINUTE)) == 40


async def test_f34_what_an_emptied_redis_is_owed_begins_its_window(
    lasting: InRedis, server: RedisServer
) -> None:
    """F34, D04: what a call costs beyond its reservation is charged, though the reservation is forgotten."""
    held = await take(lasting, tokens=(100, MINUTE), cost=10)
    with server.admin as admin:
        admin.flushall()
    await held.settle(50)
    assert await left(lasting, tokens=(100, MINUTE)) == 60


@pytest.mark.parametrize("end", ["settle", "cancel"])
async def test_d06_a_lost_answer_gives_nothing_back_twice(server: RedisServer, end: str) -> None:
    """D06, F34: where the answer to giving back is lost, it was done or it was not, and never twice."""
    async with losing_line(server) as line:
        host = InRedis(server, url=line.url)
        held, other = [await take(host, tokens=(100, MINUTE), cost=40) for _ in range(2)]
        await other.settle(39)
        line.losing = 1
        await (held.cancel() if end == "cancel" else held.settle(0))
        assert await left(host, tokens=(100, MINUTE)) == 61
        await host.store.close()


async def test_d06_a_lost_answer_charges_nothing_twice(server: RedisServer) -> None:
    """D06: what costs more than was reserved is charged once at most."""
    async with losing_line(server) as line:
        host = InRedis(server, url=line.url)
        held, other = [await take(host, tokens=(100, MINUTE), cost=10) for _ in range(2)]
        await other.settle(9)
        line.losing = 1
        await held.settle(30)
        assert await left(host, tokens=(100, MINUTE)) == 61
        await host.store.close()


async def test_d06_a_lost_reservation_is_counted_twice_at_most(server: RedisServer) -> None:
    """D06: a reservation whose answer is lost is taken once more: the caller has less of this window, and never more."""
    async with losing_line(server) as line:
        host = InRedis(server, url=line.url)
        assert await allowed(host, tokens=(100, MINUTE), cost=1)
        line.losing = 1
        held = await take(host, tokens=(100, MINUTE), cost=10)
        assert await left(host, tokens=(100, MINUTE)) == 79
        await held.cancel()
        assert await left(host, tokens=(100, MINUTE)) == 89
        line.losing = 1
        assert not await allowed(host, tokens=(100, MINUTE), cost=89)
        await host.store.close()


@pytest.mark.parametrize("end", ["settle", "cancel"])
async def test_d06_less_than_nothing_is_never_spent(lasting: InRedis, server: RedisServer, end: str) -> None:
    """D06: whatever is given back, a window is at most unused, and its caller is not locked out."""
    held = await take(lasting, tokens=(100, MINUTE), cost=40)
    with server.admin as admin:
        (key,) = admin.scan_iter()
        admin.hset(key, "spent", "3")
        await (held.cancel() if end == "cancel" else held.settle(1))
        assert admin.hget(key, "spent") == "0"
    assert await left(lasting, tokens=(100, MINUTE)) == 100


@pytest.mark.parametrize("used", [999_999_999_999_999, 10**15, 10**400], ids=["15", "16", "401"])
async def test_d04_a_count_beyond_every_number_refuses_and_does_not_fail(
    lasting: InRedis, server: RedisServer, used: int
) -> None:
    """D04: whatever a model tells is counted as far as there are digits: 429 until the window ends, and no 503."""
    held = await take(lasting, tokens=(100, MINUTE), cost=40)
    await held.settle(used)
    with server.admin as admin:
        (key,) = admin.scan_iter()
        assert admin.hget(key, "spent") == "9" * 15
    assert not await allowed(lasting, tokens=(100, MINUTE))


def a_list(admin: Any, key: str) -> None:
    admin.delete(key)
    admin.rpush(key, "x")


def a_text(admin: Any, key: str) -> None:
    admin.set(key, "0")


def spent(value: str) -> Any:
    return lambda admin, key: admin.hset(key, "spent", value)


POISON = [
    pytest.param(a_list, id="a list"),
    pytest.param(a_text, id="a text"),
    pytest.param(spent("abc"), id="letters for a number"),
    pytest.param(spent("nan"), id="a number that is none, and below every limit"),
    pytest.param(spent("-1000000"), id="less than nothing spent"),
    pytest.param(spent("1e1"), id="a number in another form"),
    pytest.param(spent(""), id="no digits"),
    pytest.param(spent("9" * 400), id="digits beyond every number"),
    pytest.param(lambda admin, key: admin.hdel(key, "spent"), id="nothing said of what is spent"),
    pytest.param(lambda admin, key: admin.hdel(key, "window"), id="a window without a name"),
    pytest.param(lambda admin, key: admin.persist(key), id="a window that never ends"),
]


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("counter", ["requests", "tokens"])
async def test_f34_a_poisoned_window_gives_nothing(
    lasting: InRedis, server: RedisServer, counter: str, poison: Any
) -> None:
    """F34: what the gate cannot have written is no count; nothing is taken of the other counter, and others go on."""
    asked: dict[str, Any] = {"requests": (9, MINUTE), "tokens": (100, MINUTE), "cost": 10}
    held = await take(lasting, **asked)
    other = "requests" if counter == "tokens" else "tokens"
    with server.admin as admin:
        (key,) = admin.scan_iter(f"*:{counter}:*")
        (healthy,) = admin.scan_iter(f"*:{other}:*")
        poison(admin, key)
        before = admin.hgetall(healthy)
        assert await closed(lasting, **asked)
        assert (await take(lasting, **asked, fail="local")).counted == "local"
        assert admin.hgetall(healthy) == before
        await held.settle(5)
        assert await allowed(lasting, **asked, model="another")
        admin.delete(key)
    assert await allowed(lasting, **asked)


@pytest.mark.parametrize("poison", POISON[:-1])
@pytest.mark.parametrize("used", [5, 50])
async def test_f34_a_poisoned_window_is_not_mended_by_settling(
    lasting: InRedis, server: RedisServer, used: int, poison: Any
) -> None:
    """F34: what is given back or owed makes no count of what is none: it stays refused, and settling never raises."""
    held = await take(lasting, tokens=(100, MINUTE), cost=10)
    with server.admin as admin:
        (key,) = admin.scan_iter()
        poison(admin, key)
        await held.settle(used)
    assert await closed(lasting, tokens=(100, MINUTE))


async def test_f34_a_full_redis_gives_nothing(host: InRedis, mortal: RedisServer) -> None:
    """F34: where Redis may store nothing more, nothing is counted halfway."""
    with mortal.admin as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", 1)
        assert await closed(host, requests=(9, MINUTE), tokens=(100, MINUTE))
        assert admin.dbsize() == 0
        admin.config_set("maxmemory", 0)
    assert await allowed(host, requests=(9, MINUTE), tokens=(100, MINUTE))


async def test_f34_failover_to_a_server_that_may_not_write(host: InRedis, mortal: RedisServer) -> None:
    """F34: a replica counts nothing; when it may write again, counting goes on."""
    with mortal.admin as admin:
        admin.replicaof("127.0.0.1", 1)
        assert await closed(host, requests=(1, MINUTE))
        admin.replicaof("NO", "ONE")
    host.clock.move(PAUSE)
    assert await allowed(host, requests=(1, MINUTE))


async def test_an_outage_is_logged_once_and_names_nobody(
    host: InRedis, mortal: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """F34, R03: one line for what was under way, one when it begins, one when it is over, without anything of a caller or a key."""
    caplog.set_level(logging.INFO, "groupgate")
    held = await take(host, tokens=(100, MINUTE), cost=10)
    mortal.kill()
    await held.settle(3)
    for _ in range(3):
        assert await closed(host, tokens=(100, MINUTE))
        host.clock.move(PAUSE)
    mortal.start()
    assert await allowed(host, tokens=(100, MINUTE))
    lines = [record.getMessage() for record in caplog.records if record.name == "groupgate"]
    assert lines == [
        "An answer of Redis was lost: ConnectionError",
        "Redis cannot be asked: ConnectionError",
        "Redis answers again",
    ]


@pytest.mark.parametrize(
    "reply", [None, b"OK", [], [1], [1, 2, 3, b"w", 5], [1, b"2", 3, b"w"], [b"1", 2, 3, b"w"]]
)
async def test_a_reply_without_sense_is_no_count(reply: object) -> None:
    """What is not the script's own form is not read as an allowance."""

    class Store:
        async def run(self, *_: object) -> object:
            return reply

    with pytest.raises(Uncounted):
        await SharedWindows(Store()).take(b"k" * 32, (Want("requests", 1, 1, 1),))  # type: ignore[arg-type]
