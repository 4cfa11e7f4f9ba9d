"""What a call takes of its limits, what it is told of them, and what becomes of it afterwards."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import msgspec

from shared.model import Limits
from shared.problem import RateLimited

Counter = Literal["requests", "tokens"]
Where = Literal["shared", "instance", "local"]


class Uncounted(Exception):
    """Nothing could be counted: where it is counted does not answer, or not with sense."""


class Want(msgspec.Struct, frozen=True, gc=False):
    """What one call wants of one counter: `number` of the `amount` that a window of `period` seconds gives."""

    counter: Counter
    amount: int
    period: int
    number: int


class Level(msgspec.Struct, frozen=True, gc=False):
    """How one window stands: what is spent of it, and the seconds that are left of it."""

    want: Want
    spent: int
    left: float

    @property
    def fits(self) -> bool:
        """Say whether what is wanted can still be taken."""
        return self.spent + self.want.number <= self.want.amount


Charge = Callable[[Sequence[int]], Awaitable[None]]
"""Adds one number to each window of a reservation. Never raises.

Where that window has ended, what is given back is lost with it, and what is owed goes to the one that is open now, or begins
one: else an answer that takes longer than a window would be free.
"""


def wants_of(limits: Limits, tokens: int) -> tuple[Want, ...]:
    """Return what a call that may cost `tokens` wants of `limits`.

    What is larger than the whole limit wants all of it: it fits into an unused window only, instead of never.
    """
    requests, allowed = limits.requests, limits.tokens
    first = () if requests is None else (Want("requests", requests.amount, requests.period, 1),)
    if allowed is None:
        return first
    return (*first, Want("tokens", allowed.amount, allowed.period, max(1, min(tokens, allowed.amount))))


class Held:
    """A ports.Reservation: what was taken, given back or made true by `charge`."""

    __slots__ = ("_charge", "_levels", "_settled", "counted")

    def __init__(self, levels: Sequence[Level], *, counted: Where, charge: Charge) -> None:
        """Take the windows as they stand with the reservation in them."""
        self.counted: Final[str] = counted
        self._levels: Final = levels
        self._charge: Final = charge
        self._settled = False

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the `x-ratelimit-*` headers, as things stood when it was reserved."""
        return headers(self._levels)

    async def settle(self, tokens: int | None, *, at_least: int = 0) -> None:
        """Charge `tokens` instead of what was reserved, or at least `at_least` for None; see ports.Reservation."""
        if self._settled:
            return
        self._settled = True
        await self._charge([_owed(level.want, tokens, at_least) for level in self._levels])

    async def cancel(self) -> None:
        """Give everything back; see ports.Reservation."""
        if self._settled:
            return
        self._settled = True
        await self._charge([-level.want.number for level in self._levels])


def _owed(want: Want, tokens: int | None, at_least: int) -> int:
    """Return what a call that was made still owes of what it took; less than 0 is given back."""
    if want.counter != "tokens":
        return 0
    return max(0, at_least - want.number) if tokens is None else max(0, tokens) - want.number


def refusal(levels: Sequence[Level]) -> RateLimited:
    """Return the 429 of a call that does not fit into `levels`, none of which it has touched."""
    wait = max(level.left for level in levels if not level.fits)
    return RateLimited(retry_after=wait, headers=headers(levels))


def headers(levels: Sequence[Level]) -> tuple[tuple[str, str], ...]:
    """Return limit, remainder and time to the next window of each counter, in OpenAI's names and forms."""
    return tuple(
        pair
        for level in levels
        for pair in (
            (f"x-ratelimit-limit-{level.want.counter}", str(level.want.amount)),
            (f"x-ratelimit-remaining-{level.want.counter}", str(max(0, level.want.amount - level.spent))),
            (f"x-ratelimit-reset-{level.want.counter}", duration(level.left)),
        )
    )


def duration(seconds: float) -> str:
    """Return `seconds`, rounded up, as OpenAI writes them: `1s`, `6m0s`, `24h0m0s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
