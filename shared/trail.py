"""What becomes known of one request on its way, for the audit and for what is charged; no stage reads it to decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from shared.authorize import Ruling
from shared.model import Allow, Asked, Principal, Stream, Usage
from shared.ports import Clock, Reservation
from shared.problem import UpstreamFault

_UNBILLED: Final = frozenset({401, 403, 404, 409, 413, 415, 422, 429, 503})
"""What a model's side answers before the model has seen anything."""


@dataclass(slots=True, kw_only=True)
class Trail:
    """One request, filled in as things become known."""

    request_id: str
    started: float
    principal: Principal | None = None
    asked: Asked | None = None
    ruling: Ruling | None = None
    """Set once it has been decided, and it stays when something else then keeps the call from being sent."""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0
    upstream_status: int | None = None
    sent: bool = True
    """False once it is known that nothing can have reached the model."""
    first_byte: float | None = None
    reservation: Reservation | None = None
    usage: Usage | None = None
    prompt_tokens: int = 0
    """About; what a refusal of the model may have cost."""
    relayed: int = 0
    """About how many tokens went on."""

    @property
    def allowed(self) -> Allow | None:
        """What was decided, where that is an allow."""
        decision = None if self.ruling is None else self.ruling.decision
        return decision if isinstance(decision, Allow) else None

    @property
    def model(self) -> str | None:
        """The policy's name of the model that is asked; None for endpoints."""
        return self.asked.name if self.asked is not None and self.asked.target == "model" else None


class Relay:
    """The model's body on its way to the caller; its end, however it comes, is the outcome on record."""

    def __init__(
        self,
        source: Stream,
        trail: Trail,
        clock: Clock,
        complete: Callable[[Trail, str], Awaitable[None]],
    ) -> None:
        self._source: Final = source
        self._next: Final = source.__anext__
        self._trail: Final = trail
        self._clock: Final = clock
        self._complete: Final = complete
        self._open = True
        self._outcome = "client-closed"
        """What it is until the body ends by itself."""

    @property
    def usage(self) -> Usage | None:
        """Return the tokens that the model told."""
        return self._source.usage

    @property
    def relayed(self) -> int:
        """Return about how many tokens have gone on."""
        return self._source.relayed

    @property
    def fault(self) -> Exception | None:
        """Return what ended the body early."""
        return self._source.fault

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._next()
        except StopAsyncIteration:
            told = self._source.fault
            self._outcome = told.outcome if isinstance(told, UpstreamFault) else outcome_of(self._trail)
            raise
        except UpstreamFault as fault:
            self._outcome = fault.outcome
            raise
        except Exception:
            self._outcome = "unknown"
            raise
        if not self._trail.bytes_out:
            self._trail.first_byte = self._clock.monotonic()
        self._trail.bytes_out += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Let go of the source and record how it ended."""
        if self._open:
            self._open = False
            try:
                await self._source.aclose()
            finally:
                self._trail.usage, self._trail.relayed = self._source.usage, self._source.relayed
                await self._complete(self._trail, self._outcome)


def outcome_of(trail: Trail) -> str:
    """Return the outcome's word for an answer that was whole."""
    status = trail.status if trail.upstream_status is None else trail.upstream_status
    return "ok" if 200 <= status < 300 else f"upstream-{status}"


async def settle(trail: Trail) -> None:
    """Charge what the call cost, or may have cost where nobody says."""
    reservation, status = trail.reservation, trail.upstream_status
    if reservation is None:
        return
    if not trail.sent:
        await reservation.cancel()
    elif trail.usage is not None:
        await reservation.settle(trail.usage.total)
    elif status is None or 200 <= status < 300:
        # Cut, late, or without a word of what it cost: the model may have done all of it (protocols, 9.1, 14).
        await reservation.settle(None, at_least=trail.prompt_tokens + trail.relayed)
    elif status in _UNBILLED or 300 <= status < 400:
        await reservation.settle(0)
    elif status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:
        # A prompt that the content filter refuses is billed, and its answer is not ("Plan to manage costs").
        await reservation.settle(trail.prompt_tokens)
    else:
        await reservation.settle(None)
