"""Redis as the gate asks it: with a deadline, a rest after a failure, its own connections, and nothing told of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.outbound.redis import AT_ONCE, DEADLINE, PAUSE, RedisFault, RedisStore, Script
from tests.fakes import FakeClock, FakeTokens
from tests.redis_server import RedisServer, redis_server
from tests.unit.quota.losing import losing_line

ECHO = Script("return {KEYS[1], ARGV[1]}")
COUNT = Script("return redis.call('INCR', KEYS[1])")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(server: RedisServer, clock: FakeClock) -> AsyncIterator[RedisStore]:
    async with store_at(server.url, clock) as store:
        yield store


@asynccontextmanager
async def store_at(url: str, clock: FakeClock | None = None) -> AsyncIterator[RedisStore]:
    store = RedisStore.at(url, clock=clock or FakeClock(), tokens=FakeTokens())
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def speaking(said: bytes | None) -> AsyncIterator[int]:
    """Listen on a port: say `said` to all that comes and hang up, or nothing for None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if said is None:
            await reader.read(-1)
        else:
            writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="nothing"),
        pytest.param(b"", id="nothing but the end"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
        pytest.param(b"\x00\xff\xfe\r\n", id="bytes"),
        pytest.param(b":12a\r\n", id="a number that is none"),
        pytest.param(b"*3\r\n:1\r\n", id="less than announced"),
        pytest.param(b"$99999999999\r\nx", id="a length without end"),
        pytest.param(b"-LOADING Redis is loading the dataset in memory\r\n", id="that it is loading"),
        pytest.param(b"-ERR max number of clients reached\r\n", id="that it is full"),
        pytest.param(b"-CLUSTERDOWN no\r\n", id="that its cluster is down"),
    ],
)
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_f34_what_is_no_redis_is_a_fault_in_time(said: bytes | None, scheme: str) -> None:
    """F34: whatever listens there, the answer is a fault, soon, and with nothing of the address in it."""
    loop = asyncio.get_running_loop()
    async with speaking(said) as port, store_at(f"{scheme}://:secret@127.0.0.1:{port}") as store:
        started = loop.time()
        with pytest.raises(RedisFault) as fault:
            await store.command("GET", "a")
        assert loop.time() - started < DEADLINE + 1
        assert "secret" not in str(fault.value)
        assert str(port) not in str(fault.value)


async def test_f34_nothing_is_asked_for_a_while_after_a_failure(
    server: RedisServer, clock: FakeClock
) -> None:
    """F34: after a failure there is a pause; then one goes ahead, and with its answer the pause is over."""
    server.kill()
    async with store_at(server.url, clock) as store:
        with pytest.raises(RedisFault, match="ConnectionError"):
            await store.command("GET", "a")
        server.start()
        clock.move(PAUSE / 2)
        with pytest.raises(RedisFault, match="resting"):
            await store.command("GET", "a")
        clock.move(PAUSE / 2)
        assert await store.command("SET", "a", "1") == b"OK"
        assert await store.command("GET", "a") == b"1"


async def test_f34_one_goes_ahead_while_the_rest_are_told_at_once(
    store: RedisStore, server: RedisServer, clock: FakeClock
) -> None:
    """F34: in an outage each second costs one caller the deadline, and not all of them."""
    server.freeze()
    with pytest.raises(RedisFault, match="TimeoutError"):
        await store.command("GET", "a")
    clock.move(PAUSE)
    faults = await asyncio.gather(*(store.command("GET", "a") for _ in range(10)), return_exceptions=True)
    assert sorted(map(str, faults)) == ["TimeoutError"] + ["resting"] * 9
    server.thaw()


async def test_a_connection_that_died_idle_is_replaced(store: RedisStore, server: RedisServer) -> None:
    """A server that closes idle connections, or was started again, fails nobody: asked once more, on a new one."""
    assert await store.command("SET", "a", "1") == b"OK"
    with server.admin as admin:
        for seen in (False, True):
            admin.client_kill_filter(_type="normal", skipme=True)
            if seen:
                await asyncio.sleep(0.05)
            assert await store.command("GET", "a") == b"1"
    server.kill()
    server.start()
    assert await store.command("GET", "a") is None


async def test_d06_what_may_run_once_only_is_never_asked_again(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D06: where an answer is lost nobody knows whether it was done; it is a fault, and no outage for the others."""
    async with losing_line(server) as line, store_at(line.url) as store:
        assert await store.run(COUNT, ["a"], []) == 1
        line.losing = 1
        with pytest.raises(RedisFault):
            await store.run(COUNT, ["a"], [], once=True)
        assert await store.command("GET", "a") == b"2"
        line.losing = 1
        assert await store.run(COUNT, ["a"], []) == 4
    assert [record.getMessage() for record in caplog.records] == [
        "An answer of Redis was lost: ConnectionError"
    ]


async def test_what_may_run_once_only_is_asked_on_a_connection_that_lives(
    store: RedisStore, server: RedisServer
) -> None:
    """Nothing is lost where nothing was sent: a connection that died idle is replaced here too, and so is a replica's."""
    assert await store.run(COUNT, ["a"], [], once=True) == 1
    with server.admin as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.05)
        assert await store.run(COUNT, ["a"], [], once=True) == 2
        admin.script_flush()
        assert await store.run(COUNT, ["a"], [], once=True) == 3


async def test_several_commands_are_one_round_trip(server: RedisServer) -> None:
    """Their answers come in their order; where one is refused there are none, and the next command gets its own."""
    async with losing_line(server) as line, store_at(line.url) as store:
        assert await store.commands(("SET", "a", "1"), ("INCR", "a"), ("GET", "b")) == [b"OK", 2, None]
        with pytest.raises(RedisFault, match="ResponseError"):
            await store.commands(("GET", "a"), ("RPUSH", "a", "x"), ("GET", "a"))
        assert await store.command("GET", "a") == b"2"
        assert await store.commands() == []


async def test_a_command_that_redis_refuses_is_no_outage(
    store: RedisStore, server: RedisServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """D04, F34: one caller's bad key fails that caller; the log says so once a minute."""
    with server.admin as admin:
        admin.rpush("list", "x")
    for _ in range(3):
        with pytest.raises(RedisFault, match="ResponseError"):
            await store.command("GET", "list")
        assert await store.command("GET", "a") is None
    assert [record.getMessage() for record in caplog.records] == ["Redis refused a command: ResponseError"]
    clock.move(60)
    with pytest.raises(RedisFault):
        await store.command("GET", "list")
    assert len(caplog.records) == 2


async def test_f34_no_connection_to_a_replica_is_kept(
    store: RedisStore, server: RedisServer, clock: FakeClock
) -> None:
    """F34, failover: who may not write is an outage, and every connection that leads there is given up."""
    await asyncio.gather(*(store.command("INCR", "a") for _ in range(5)))
    with server.admin as admin:
        before = {client["id"] for client in admin.client_list(_type="normal")} - {str(admin.client_id())}
        admin.replicaof("127.0.0.1", 1)
        with pytest.raises(RedisFault, match="ReadOnlyError"):
            await store.command("INCR", "a")
        with pytest.raises(RedisFault, match="resting"):
            await store.command("INCR", "a")
        admin.replicaof("NO", "ONE")
        clock.move(PAUSE)
        assert await store.command("INCR", "a") == 6
        assert not before & {client["id"] for client in admin.client_list(_type="normal")}


async def test_a_refusal_ends_an_outage(server: RedisServer, clock: FakeClock) -> None:
    """F34: who refuses a command is there again; the others need not wait for one that succeeds."""
    server.kill()
    async with store_at(server.url, clock) as store:
        with pytest.raises(RedisFault):
            await store.command("GET", "a")
        server.start()
        clock.move(PAUSE)
        with pytest.raises(RedisFault, match="ResponseError"):
            await store.command("NO SUCH")
        assert await store.command("GET", "a") is None


async def test_a_script_is_sent_once(store: RedisStore, server: RedisServer) -> None:
    """A script goes by its digest; its text is sent where Redis does not know it."""
    for number in range(3):
        assert await store.run(ECHO, [f"key-{number}"], [number]) == [
            f"key-{number}".encode(),
            str(number).encode(),
        ]
    with server.admin as admin:
        statistics = admin.info("commandstats")
    assert statistics["cmdstat_eval"]["calls"] == 1
    assert statistics["cmdstat_evalsha"]["calls"] == 3


async def test_a_late_reply_is_nobodys(store: RedisStore, server: RedisServer) -> None:
    """T15: whoever goes away while waiting takes the connection along, so no other command gets the answer."""
    await store.command("SET", "a", "alice's")
    await store.command("SET", "b", "bob's")
    server.freeze()
    waiting = asyncio.create_task(store.command("GET", "a"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.thaw()
    assert await store.command("GET", "b") == b"bob's"


async def test_what_comes_unasked_is_read_by_nobody() -> None:
    """T15: a connection on which bytes wait is not used again."""
    greeted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal greeted
        greeted += 1
        while await reader.read(1_000):
            writer.write(b"+mine\r\n+surplus\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, store_at(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as store:
        assert [await store.command("GET", "a") for _ in range(3)] == [b"mine"] * 3
    assert greeted == 3


async def test_d05_connections_are_bounded(store: RedisStore, server: RedisServer) -> None:
    """D05: however many ask at once, so many connections and no more are opened, and they are kept."""
    await asyncio.gather(*(store.command("INCR", "a") for _ in range(500)))
    with server.admin as admin:
        assert admin.get("a") == "500"
        assert admin.info("stats")["total_connections_received"] <= AT_ONCE + 2


async def test_f34_a_queue_is_told_of_an_outage_at_once(store: RedisStore, server: RedisServer) -> None:
    """F34: who waits for a turn is told when the first have waited in vain, and not a deadline later each."""
    loop = asyncio.get_running_loop()
    server.freeze()
    started = loop.time()
    faults = await asyncio.gather(
        *(store.command("INCR", "a") for _ in range(10 * AT_ONCE)), return_exceptions=True
    )
    assert loop.time() - started < 6 * DEADLINE
    assert {str(fault) for fault in faults} == {"TimeoutError", "resting"}
    server.thaw()


async def test_cancelled_callers_do_not_use_up_the_places(store: RedisStore, server: RedisServer) -> None:
    """D05: more callers than places go away at every moment of their wait, and all places are there again."""
    for moment in range(AT_ONCE):
        tasks = [asyncio.create_task(store.command("INCR", "a")) for _ in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    replies = await asyncio.gather(*(store.command("GET", "b") for _ in range(2 * AT_ONCE)))
    assert replies == [None] * 2 * AT_ONCE


def test_each_loop_has_connections_of_its_own(server: RedisServer) -> None:
    """A loop that is gone takes its connections along, and the next one opens others."""
    store = RedisStore.at(server.url, clock=FakeClock(), tokens=FakeTokens())

    async def once() -> Any:
        return await store.command("INCR", "a")

    assert [asyncio.run(once()) for _ in range(3)] == [1, 2, 3]
    asyncio.run(store.close())


async def test_t18_no_proxy_of_the_environment_is_used(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T18: what the environment says of proxies is not looked at."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with store_at(server.url) as store:
        assert await store.command("GET", "a") is None


@pytest.mark.parametrize(
    ("user", "address"),
    [
        pytest.param("default", ":p%40ss%2Fw%3Ard%25@", id="a password alone, percent-encoded"),
        pytest.param("gate", "gate:p%40ss%2Fw%3Ard%25@", id="a user name and a password"),
    ],
)
async def test_the_url_says_who_signs_in_and_where(server: RedisServer, user: str, address: str) -> None:
    """The parts of the URL are used as they are meant, the number of the database too."""
    with server.admin as admin:
        admin.select(3)
        admin.execute_command("ACL", "SETUSER", user, "on", "resetpass", ">p@ss/w:rd%", "~*", "+@all")
        async with store_at(f"redis://{address}127.0.0.1:{server.port}/3") as store:
            assert await store.command("SET", "a", "1") == b"OK"
            assert admin.get("a") == "1"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(":wrong-secret@", id="a wrong password"),
        pytest.param("nobody:wrong-secret@", id="a wrong user"),
        pytest.param("", id="no password"),
    ],
)
async def test_f34_a_failed_sign_in_is_a_fault_that_tells_nothing(
    server: RedisServer, clock: FakeClock, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """F34, R03: AUTH failure refuses; the password is in no log, error or representation; it heals by itself."""
    caplog.set_level(logging.DEBUG)
    with server.admin as admin:
        admin.config_set("requirepass", "right")
        async with store_at(f"redis://{address}127.0.0.1:{server.port}", clock) as store:
            with pytest.raises(RedisFault) as fault:
                await store.command("GET", "a")
            assert "wrong-secret" not in f"{fault.value!r} {fault.value.__cause__!r} {store!r} {caplog.text}"
            assert [record.levelname for record in caplog.records if record.name == "groupgate"] == [
                "WARNING"
            ]
            for name in ("default", "nobody"):
                admin.execute_command("ACL", "SETUSER", name, "on", ">wrong-secret", "~*", "+@all")
            clock.move(PAUSE)
            if address:
                assert await store.command("GET", "a") is None


async def test_a_database_that_is_not_there_is_a_fault(server: RedisServer) -> None:
    """A number that the server does not have fails, and does not end in database 0."""
    async with store_at(f"{server.url}/99") as store:
        with pytest.raises(RedisFault):
            await store.command("SET", "a", "1")
    with server.admin as admin:
        assert admin.dbsize() == 0
