"""Counts what rules give away, in the place that each rule names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from shared.model import Principal, Reason, Route, Rule
from shared.ports import Reservation
from shared.problem import Undecidable
from shared.quota.keys import key_of
from shared.quota.reservation import Uncounted, Want, wants_of
from shared.quota.windows import Windows


class Shared(Protocol):
    """Counters that all instances share."""

    async def take(self, key: bytes, wants: Sequence[Want]) -> Reservation:
        """Take all of `wants`, or nothing; raise problem.RateLimited, or Uncounted."""


class Counting:
    """A ports.Quota."""

    def __init__(self, instance: Windows, *, shared: Shared | None) -> None:
        """Take None for `shared` where there is no Redis: it is then one that never answers."""
        self._instance: Final = instance
        self._shared: Final = shared

    async def reserve(self, route: Route, rule: Rule, principal: Principal, *, tokens: int) -> Reservation:
        """Take one request and `tokens` of what `rule` gives; see ports.Quota."""
        limits = rule.limits
        if limits is None:
            raise ValueError("a rule without limits counts nothing")
        key = key_of(limits, route, rule, principal)
        wants = wants_of(limits, tokens)
        if limits.scope == "instance":
            return self._instance.take(key, wants, counted="instance")
        try:
            if self._shared is None:
                raise Uncounted
            return await self._shared.take(key, wants)
        except Uncounted as fault:
            if limits.fail == "closed":
                raise Undecidable(Reason.LIMITS_UNAVAILABLE) from fault
        return self._instance.take(key, wants, counted="local")
