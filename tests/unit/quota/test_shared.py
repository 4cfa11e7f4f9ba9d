"""Limits that hosts share in a real Redis: one window for all, in one round trip, with nothing of anybody in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.model import Kind, Limits, Principal, Rate
from shared.outbound.redis import RedisStore
from shared.quota import make_owners, make_quota
from tests.fakes import ALICE, TENANT, FakeClock, FakeTokens
from tests.redis_server import RedisServer
from tests.unit.quota.places import InRedis, a_caller, a_model, a_rule_of, allowed, left, take

MINUTE = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def hosts(server: RedisServer) -> AsyncIterator[tuple[InRedis, InRedis]]:
    """Two hosts of one gate."""
    hosts = InRedis(server), InRedis(server)
    yield hosts
    for host in hosts:
        await host.store.close()


async def test_f35_two_hosts_give_one_window_exactly(hosts: tuple[InRedis, InRedis]) -> None:
    """F35: 500 calls at once at two hosts, of a limit of 100: exactly 100 are let through."""
    through = await asyncio.gather(
        *(allowed(hosts[n % 2], requests=(100, MINUTE), tokens=(10_000, MINUTE), cost=7) for n in range(500))
    )
    assert sum(through) == 100
    assert await left(hosts[0], tokens=(10_000, MINUTE)) == 10_000 - 700


async def test_both_counters_or_neither_at_two_hosts(hosts: tuple[InRedis, InRedis]) -> None:
    """However calls interleave, requests are spent for exactly those whose tokens fitted."""
    through = await asyncio.gather(
        *(allowed(hosts[n % 2], requests=(1_000, MINUTE), tokens=(100, MINUTE), cost=10) for n in range(200))
    )
    assert sum(through) == 10
    assert await left(hosts[1], "requests", requests=(1_000, MINUTE)) == 990


async def test_one_host_settles_what_the_other_then_gives(hosts: tuple[InRedis, InRedis]) -> None:
    """What one host gives back is there for the other."""
    held = await take(hosts[0], tokens=(100, MINUTE), cost=100)
    assert not await allowed(hosts[1], tokens=(100, MINUTE), cost=10)
    await held.settle(40)
    assert await left(hosts[1], tokens=(100, MINUTE)) == 60


async def test_reserving_is_one_round_trip(hosts: tuple[InRedis, InRedis], server: RedisServer) -> None:
    """One command looks at both counters and takes of both; settling is one more, and none where nothing changes."""
    await (await take(hosts[0], requests=(9, MINUTE), tokens=(100, MINUTE), cost=5)).settle(4)
    with server.admin as admin:
        admin.config_resetstat()
        held = await take(hosts[0], requests=(9, MINUTE), tokens=(100, MINUTE), cost=5)
        assert _calls(admin) == {"evalsha": 1}
        await held.settle(4)
        assert _calls(admin) == {"evalsha": 2}
        exact = await take(hosts[0], requests=(9, MINUTE), tokens=(100, MINUTE), cost=5)
        await exact.settle(5)
        assert _calls(admin) == {"evalsha": 3}


def _calls(admin: object) -> dict[str, int]:
    """Return what came over the wire: not what scripts did, nor what the test asks."""
    inside = ("hmget", "hset", "hincrby", "pttl", "pexpire", "info", "config", "client")
    statistics = admin.info("commandstats")  # type: ignore[attr-defined]
    names = {name.removeprefix("cmdstat_"): one["calls"] for name, one in statistics.items()}
    return {name: calls for name, calls in names.items() if name.split("|")[0] not in inside}


async def test_a_redis_that_has_forgotten_the_script_is_told_again(
    hosts: tuple[InRedis, InRedis], server: RedisServer
) -> None:
    """After a restart or a flush of scripts counting goes on."""
    assert await allowed(hosts[0], requests=(2, MINUTE))
    with server.admin as admin:
        admin.script_flush()
    assert await allowed(hosts[0], requests=(2, MINUTE))
    assert not await allowed(hosts[0], requests=(2, MINUTE))


async def test_i01_redis_holds_nothing_of_anybody(
    hosts: tuple[InRedis, InRedis], server: RedisServer
) -> None:
    """I01: neither keys nor values tell a tenant, an object id, a model or a rule."""
    owners = make_owners(RedisStore.at(server.url, clock=FakeClock(), tokens=FakeTokens()))
    await owners.remember(
        ["resp_123"], a_caller(), model="gpt-4.1-mini", resource="https://contoso.openai.azure.com"
    )
    await take(hosts[0], requests=(2, MINUTE), tokens=(2, MINUTE))
    with server.admin as admin:
        stored = {key: admin.hgetall(key) for key in admin.scan_iter()}
    assert len(stored) == 3
    assert all(key.startswith("groupgate:") for key in stored)
    assert not any(told in str(stored) for told in (TENANT, ALICE, "engineers", "resp_123", "contoso"))


async def test_both_keys_of_a_call_are_in_one_slot(
    hosts: tuple[InRedis, InRedis], server: RedisServer
) -> None:
    """A cluster keeps what one script uses together: the keys have one part in braces in common."""
    await take(hosts[0], requests=(2, MINUTE), tokens=(2, MINUTE))
    with server.admin as admin:
        tags = {key[key.index("{") : key.index("}")] for key in admin.scan_iter()}
        assert admin.dbsize() == 2
    assert len(tags) == 1


async def test_windows_do_not_stay_in_redis(hosts: tuple[InRedis, InRedis], server: RedisServer) -> None:
    """D05: every key ends with its window."""
    await take(hosts[0], requests=(2, MINUTE), tokens=(2, 3_600))
    await (await take(hosts[0], requests=(2, MINUTE), tokens=(2, 3_600))).cancel()
    with server.admin as admin:
        lives = sorted(admin.ttl(key) for key in admin.scan_iter())
    assert lives == [pytest.approx(MINUTE, abs=2), pytest.approx(3_600, abs=2)]


async def test_the_documented_rights_are_enough(server: RedisServer) -> None:
    """A user of Redis with the rights that docs/limits.md names counts, settles, remembers and is told."""
    (line,) = re.findall("^user gate on .*$", (ROOT / "docs/limits.md").read_text("utf-8"), re.MULTILINE)
    with server.admin as admin:
        admin.execute_command("ACL", "SETUSER", *line.replace("PASSWORD", "secret").split()[1:])
        host = InRedis(server, url=server.url.replace("//", "//gate:secret@"))
        owners = make_owners(host.store)
        late = await take(host, requests=(9, MINUTE), tokens=(100, MINUTE), cost=5)
        await (await take(host, requests=(9, MINUTE), tokens=(100, MINUTE), cost=5)).cancel()
        admin.delete(*admin.scan_iter("*:tokens:*"))
        await late.settle(50)
        assert await left(host, tokens=(100, MINUTE)) == 55
        await owners.remember(["a"], a_caller(), model="gpt-4.1-mini", resource="https://contoso")
        assert await owners.model_of("a", a_caller()) == "gpt-4.1-mini"
        assert await owners.owns(["a"], a_caller(), resource="https://contoso")
        admin.execute_command("ACL", "DELUSER", "gate")
    await host.store.close()


async def test_quota_and_owners_share_their_connections(server: RedisServer) -> None:
    """One gate opens one set of connections, as the clients that Redis counts show."""
    one, another = (RedisStore.at(server.url, clock=FakeClock(), tokens=FakeTokens()) for _ in range(2))
    quota, owners, other = make_quota(FakeClock(), one), make_owners(one), make_owners(another)
    limited = a_rule_of(Limits(requests=Rate(amount=2, period=MINUTE)))
    with server.admin as admin:
        before = admin.info("clients")["connected_clients"]
        caller = Principal(tenant=TENANT, oid=ALICE, kind=Kind.USER)
        assert (await quota.reserve(a_model(), limited, caller, tokens=1)).counted == "shared"
        await owners.remember(["a"], caller, model="gpt-4.1-mini", resource="https://contoso")
        assert admin.info("clients")["connected_clients"] == before + 1
        assert await other.model_of("a", caller) == "gpt-4.1-mini"
        assert admin.info("clients")["connected_clients"] == before + 2
