"""Tokens kept and renewed: one request for each however many wait, and none on the way of a request (threats F18 to F21)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from shared.flight import Flights
from shared.model import Reason
from shared.outbound.bearer import BadToken, expiry
from shared.ports import Clock
from shared.problem import Undecidable

REFRESH_TIMEOUT: Final = 15.0
"""Seconds that a renewal beside a request may take."""
REFRESH_PAUSE: Final = 30.0
"""Seconds between two attempts to renew a token that still serves."""
FAILURE_PAUSE: Final = 1.5
"""Seconds that a failure answers for all who ask: no storm, yet the gate is back within five seconds."""

Fetch = Callable[[str], Awaitable[tuple[str, float]]]
"""Returns a token for a scope and when it ends, in seconds since 1970; may raise anything."""

_log: Final = logging.getLogger("groupgate")


class _Held:
    __slots__ = ("ends", "refused", "renew", "token")

    def __init__(self, token: str, *, ends: float, renew: float) -> None:
        self.token: Final = token
        self.ends: Final = ends
        self.renew = renew
        self.refused = False
        """A service did not take it: another one is asked for, and this one serves where there is none."""


class KeptTokens:
    """A ports.Tokens over `fetch`: a token serves until it ends, and is renewed beside a request from half its life on."""

    def __init__(self, clock: Clock, fetch: Fetch, *, timeout: float) -> None:
        """Take `timeout`, the seconds that a request may wait for a token."""
        self._clock: Final = clock
        self._fetch: Final = fetch
        self._timeout: Final = timeout
        self._held: Final[dict[str, _Held]] = {}
        self._paused: Final[dict[str, float]] = {}
        self._flights: Final[Flights[tuple[str, bool], None, str]] = Flights()

    async def token(self, scope: str) -> str:
        """Return a token for `scope`; raise problem.Undecidable (credential-unavailable)."""
        held = self._held.get(scope)
        if held is not None:
            now = self._clock.monotonic()
            if now < held.ends:
                if held.refused:
                    return await self._another(scope, held)
                if now >= held.renew:
                    self._renew(scope, held, now)
                return held.token
        return await self._await_first(scope)

    def drop(self, scope: str, token: str) -> None:
        """Have the next request ask for another token than `token`, which somebody refused.

        One endpoint without a role must not cost the others the token that they are served with in an outage.
        """
        held = self._held.get(scope)
        if held is not None and held.token == token:
            held.refused = True

    async def _another(self, scope: str, held: _Held) -> str:
        try:
            return await self._await_first(scope)
        except Undecidable:
            held.refused = False
            return held.token

    def _renew(self, scope: str, held: _Held, now: float) -> None:
        held.renew = now + REFRESH_PAUSE
        if not self._flights.aloft((scope, True)):
            self._flights.launch((scope, True), None, self._obtain(scope, REFRESH_TIMEOUT))

    async def _await_first(self, scope: str) -> str:
        # A renewal that hangs is not waited for: it may take longer than a request has.
        flights = self._flights.aloft((scope, False))
        if flights:
            return await flights[0].land()
        if self._clock.monotonic() < self._paused.get(scope, 0.0):
            raise Undecidable(Reason.CREDENTIAL_UNAVAILABLE)
        return await self._flights.launch((scope, False), None, self._obtain(scope, self._timeout)).land()

    async def _obtain(self, scope: str, timeout: float) -> str:
        try:
            async with asyncio.timeout(timeout):
                token, expires_on = await self._fetch(scope)
            life = expiry(token, expires_on, scope=scope) - self._clock.time()
            if life <= 0:
                raise BadToken("expired")
        except Exception as fault:
            # Whatever went wrong, there is no token; the libraries' own errors are many.
            self._paused[scope] = self._clock.monotonic() + FAILURE_PAUSE
            _log.warning(
                "no token for %s: %s", scope, fault if isinstance(fault, BadToken) else type(fault).__name__
            )
            raise Undecidable(Reason.CREDENTIAL_UNAVAILABLE) from fault
        now = self._clock.monotonic()
        self._paused.pop(scope, None)
        self._held[scope] = _Held(token, ends=now + life, renew=now + max(1.0, life / 2))
        return token
