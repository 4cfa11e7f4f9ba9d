"""Redis, and the only importer of its client: a deadline for every command, and a rest after a failure (threat F34)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from ssl import TLSVersion
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - its own, which is no OSError
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)

from shared.ports import Clock, Tokens
from shared.strictjson import loads_object

SCOPE: Final = "https://redis.azure.com/.default"
"""Of a token for Azure's Redis; the user's name there is the token's `oid`."""
DEADLINE: Final = 0.5
"""Seconds for connection, sign-in and command together, once it is its turn."""
PAUSE: Final = 1.0
"""Seconds after a failure in which nobody asks; then one goes ahead, and the rest follow when it is answered."""
PATIENCE: Final = 2.0
"""Seconds that a command waits for its turn while Redis keeps answering the others; to wait is no sign of an outage."""
AT_ONCE: Final = 16
"""Connections, and so commands in the air."""
PORT: Final = 6379

_QUIET: Final = 60.0
"""Seconds between two lines about what fails while Redis works."""
_log: Final = logging.getLogger("groupgate")

Credentials = tuple[str, str]
"""User name and password, each empty where there is none."""


class RedisFault(Exception):
    """Redis did not answer, or refused; what it was asked may have been done. The text is the name of an error."""


class _Lost(RedisFault):
    """A connection died under what may run once only, which may have been done."""


Words = Sequence[str | bytes | int]
"""A command, or what a script is told."""
_Ask = Callable[[Connection], Awaitable[Any]]
"""Asks over a connection and returns the answer."""


class Script:
    """A Lua script, which Redis runs as one step."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Pool:
    """The connections of one event loop, and as whom each signed in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self.places: Final = asyncio.Semaphore(AT_ONCE)
        self.idle: Final[list[tuple[Connection, Credentials]]] = []

    async def enter(self) -> None:
        """Take one of the places; raise RedisFault when none comes free in time."""
        try:
            async with asyncio.timeout(PATIENCE if self.places.locked() else None):
                await self.places.acquire()
        except TimeoutError:
            raise RedisFault("busy") from None

    async def empty(self) -> None:
        """Close what is idle. Sockets die with their loop; then this only tells the client so."""
        while self.idle:
            with suppress(RuntimeError):
                await self.idle.pop()[0].disconnect(nowait=True)


class RedisStore:
    """One Redis. Constructing it opens nothing and needs no loop.

    Connections are kept here and not by the client's own pool, which takes a connection whose sign-in was cut short for a
    good one, and loses one whose user is cancelled while giving it back.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        host: str,
        port: int = PORT,
        tls: bool,
        database: int = 0,
        credentials: Credentials = ("", ""),
        tokens: Tokens | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        """Take `tokens` where the gate's own identity signs in, else `credentials`. TLS is always verified."""
        self._clock: Final = clock
        self._deadline: Final = deadline
        self._address: Final[dict[str, Any]] = {"host": host, "port": port, "db": database}
        self._tls: Final = tls
        self._fixed: Final = credentials
        self._tokens: Final = tokens
        self._signed: Credentials = ("", "")
        self._ssl: Any = None
        self._pool: _Pool | None = None
        self._down = False
        self._rest_until = 0.0
        self._quiet_until = 0.0

    @classmethod
    def at(cls, url: str, *, clock: Clock, tokens: Tokens, deadline: float = DEADLINE) -> RedisStore:
        """Return the Redis at a `url` that the settings have checked; `rediss://` without a password is for `tokens`."""
        parts = urlsplit(url)
        tls = parts.scheme == "rediss"
        return cls(
            clock,
            host=parts.hostname or "",
            port=parts.port or PORT,
            tls=tls,
            database=int(parts.path.removeprefix("/") or 0),
            credentials=(unquote(parts.username or ""), unquote(parts.password or "")),
            tokens=tokens if tls and not parts.password else None,
            deadline=deadline,
        )

    async def run(self, script: Script, keys: Sequence[str], arguments: Words, *, once: bool = False) -> Any:
        """Return what `script` returns: one round trip, one more where Redis does not know it yet; raise RedisFault.

        A script that is not `once` may run twice, where the answer to the first was lost.
        """
        words = (len(keys), *keys, *arguments)
        return await self._ask(partial(_run_once if once else _run, script, words))

    async def command(self, *words: str | bytes | int) -> Any:
        """Return the answer to one command, which may be given twice; raise RedisFault."""
        (reply,) = await self.commands(words)
        return reply

    async def commands(self, *many: Words) -> list[Any]:
        """Return the answers to commands in one round trip, any of which may be given twice; raise RedisFault."""
        replies: list[Any] = await self._ask(partial(_send, many)) if many else []
        return replies

    async def close(self) -> None:
        """Close every idle connection; the next command opens anew."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.empty()

    async def _ask(self, ask: _Ask) -> Any:
        now = self._clock.monotonic()
        if now < self._rest_until:
            raise RedisFault("resting")
        ahead = self._down
        if ahead:
            # This one goes ahead: the others need not wait out a deadline each.
            self._rest_until = now + PAUSE
        pool = await self._of_loop()
        await pool.enter()
        try:
            if self._down and not ahead:
                raise RedisFault("resting")
            # Not within the deadline: a token that takes its time has one of its own (shared/outbound/tokens.py).
            who = await self._credentials()
            async with asyncio.timeout(self._deadline):
                reply = await self._twice(pool, ask, who)
        except _Lost as fault:
            # One connection died. Whether that is an outage, the next one to ask will see.
            self._mention("An answer of Redis was lost: %s", fault.__cause__)
            raise
        except RedisFault:
            raise
        except Exception as fault:
            # Whatever went wrong, there is no answer; the library's errors are many.
            self._failed(fault)
            raise RedisFault(type(fault).__name__) from fault
        finally:
            pool.places.release()
        self._answered()
        return reply

    async def _twice(self, pool: _Pool, ask: _Ask, who: Credentials) -> Any:
        """Ask; where the connection had died or leads to a replica, or the token was not taken, ask once more anew."""
        try:
            return await self._exchange(pool, ask, who)
        except AuthenticationError:
            if self._tokens is None:
                raise
            self._tokens.drop(SCOPE, who[1])
            who = await self._credentials()
        except (ConnectionError, ReadOnlyError):
            await pool.empty()
        return await self._exchange(pool, ask, who)

    async def _exchange(self, pool: _Pool, ask: _Ask, who: Credentials) -> Any:
        connection = await self._connection(pool, who)
        try:
            reply = await ask(connection)
        except BaseException:
            # Nobody may read what comes late, nor use a connection that is half signed in.
            await connection.disconnect(nowait=True)
            raise
        pool.idle.append((connection, who))
        return reply

    async def _connection(self, pool: _Pool, who: Credentials) -> Connection:
        """Return a connection signed in as `who`, or one that will be when it is first used."""
        while pool.idle:
            connection, signed = pool.idle.pop()
            # A token's connection does not outlive the token; nor is one used that is closed, or speaks unasked.
            if signed == who and connection.is_connected and not await connection.can_read():
                return connection
            await connection.disconnect(nowait=True)
        return self._open(who)

    def _open(self, who: Credentials) -> Connection:
        username, password = who
        # The deadline is the whole command's. RESP2, since the client does more than it is asked to with RESP3.
        options: dict[str, Any] = {
            **self._address,
            "username": username or None,
            "password": password or None,
            "protocol": 2,
            "driver_info": None,
            "socket_timeout": None,
            "socket_connect_timeout": None,
        }
        if not self._tls:
            return Connection(**options)
        connection = SSLConnection(ssl_min_version=TLSVersion.TLSv1_2, **options)
        # One for all connections: it reads every certificate of the system.
        self._ssl = connection.ssl_context = self._ssl or connection.ssl_context
        return connection

    async def _of_loop(self) -> _Pool:
        loop, old = asyncio.get_running_loop(), self._pool
        if old is not None and old.loop is loop:
            return old
        pool = self._pool = _Pool(loop)
        if old is not None and old.loop.is_closed():
            await old.empty()
        return pool

    async def _credentials(self) -> Credentials:
        if self._tokens is None:
            return self._fixed
        token = await self._tokens.token(SCOPE)
        if token != self._signed[1]:
            self._signed = (_object_id(token), token)
        return self._signed

    def _answered(self) -> None:
        if self._down:
            self._down, self._rest_until = False, 0.0
            _log.info("Redis answers again")

    def _failed(self, fault: Exception) -> None:
        now = self._clock.monotonic()
        if isinstance(fault, ResponseError) and not isinstance(fault, ReadOnlyError):
            # One command was refused, which says nothing of the next: one caller's bad key is not an outage for all.
            self._answered()
            self._mention("Redis refused a command: %s", fault)
            return
        self._rest_until = now + PAUSE
        if not self._down:
            self._down = True
            _log.warning("Redis cannot be asked: %s", type(fault).__name__)

    def _mention(self, text: str, fault: BaseException | None) -> None:
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            _log.warning(text, type(fault).__name__)


async def _send(many: Sequence[Words], connection: Connection) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(many))
    return [await connection.read_response() for _ in many]


async def _run(script: Script, words: Words, connection: Connection) -> Any:
    try:
        await connection.send_command("EVALSHA", script.sha, *words)
        return await connection.read_response()
    except NoScriptError:
        await connection.send_command("EVAL", script.text, *words)
        return await connection.read_response()


async def _run_once(script: Script, words: Words, connection: Connection) -> Any:
    # Apart from the rest, since until then nothing is sent that could be lost.
    await connection.connect_check_health(check_health=False)
    try:
        return await _run(script, words, connection)
    except AuthenticationError:
        raise
    except ConnectionError as fault:
        raise _Lost(type(fault).__name__) from fault


def _object_id(token: str) -> str:
    """Return the `oid` of the gate's own token, which whoever receives it verifies; raise ValueError without one."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    claims = loads_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    oid = claims.get("oid")
    if not isinstance(oid, str) or not oid:
        raise ValueError("no object id")
    return oid
