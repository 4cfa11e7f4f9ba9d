"""The pipeline: who, what, whether, how; audit; forward; audit (design, section 2). Over ports only."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from copy import replace
from dataclasses import dataclass
from typing import Final

from shared import problem
from shared.authorize import Ruling, authorize
from shared.crosssite import is_cross_site
from shared.me import describe
from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Inbound,
    Kind,
    Policy,
    Principal,
    Reason,
    Reply,
    Route,
)
from shared.ports import Authenticator, Backend, Call, Clock, Memberships, Recorder
from shared.problem import AskedWrongly, ClientClosed, Problem, Slug, UpstreamFault
from shared.surface import ADDRESSES, Address

_log: Final = logging.getLogger("groupgate")
CLIENT_CLOSED: Final = 499
"""Nobody is left to read it; it stands in records only (threats, section 6)."""
_HELPFUL: Final = frozenset({Reason.NOT_MEMBER, Reason.DEPLOYMENT_NOT_ALLOWED})


@dataclass(slots=True, kw_only=True)
class _Trail:
    """What the audit will say of one request, filled in as it becomes known; no stage reads it to decide."""

    request_id: str
    started: float
    principal: Principal | None = None
    asked: Asked | None = None
    ruling: Ruling | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0
    upstream_status: int | None = None
    first_byte: float | None = None


class Gate:
    """Answers every request of every route; whatever is not a proven allow ends in a problem."""

    def __init__(
        self,
        *,
        policy: Policy,
        authenticator: Authenticator,
        memberships: Memberships,
        backends: Mapping[str, Backend],
        audit: Recorder,
        clock: Clock,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._policy: Final = policy
        self._authenticator: Final = authenticator
        self._memberships: Final = memberships
        self._backends: Final = backends
        self._audit: Final = audit
        self._clock: Final = clock
        self._ready: Final = ready

    async def handle(self, inbound: Inbound) -> Reply:
        """Return the answer to `inbound`; raises nothing but cancellation."""
        # Unique, and no secret: the operating system need not be asked for randomness at every request.
        request_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
        try:
            reply = await self._answer(ADDRESSES[inbound.route], inbound, request_id)
        except Problem as fault:
            reply = problem.render(fault, request_id=request_id)
        except ClientClosed:
            reply = Reply(status=CLIENT_CLOSED, headers=())
        except Exception as bug:  # noqa: BLE001
            # The last line: what nobody foresaw is an error without data, and never an allow (threat E05).
            _log.error("internal error %s in request %s", type(bug).__name__, request_id)
            internal = Problem(Slug.INTERNAL_ERROR, Reason.INVALID_REQUEST)
            reply = problem.render(internal, request_id=request_id)
        return finish(reply, inbound, request_id)

    async def _answer(self, address: Address, inbound: Inbound, request_id: str) -> Reply:
        if inbound.route == "healthz":
            _check_method(address, inbound)
            return Reply(status=200, headers=())
        if inbound.route == "readyz":
            await self._ready()
            _check_method(address, inbound)
            return Reply(status=200, headers=())
        trail = _Trail(request_id=request_id, started=self._clock.monotonic())
        try:
            if address.backend is None:
                return await self._me(address, inbound, trail)
            backend = self._backends[address.backend]
            admitted = await self._admit(address, backend, inbound, trail)
        except Problem as fault:
            await self._record(trail, fault)
            raise
        except ClientClosed:
            await self._record(trail, AskedWrongly(Slug.INVALID_REQUEST))
            raise
        decision = admitted if isinstance(admitted, Deny) else admitted[0]
        try:
            await self._record(trail, decision)
        except BaseException as stopped:
            if not isinstance(admitted, Deny):
                backend.release(admitted[1])
                if isinstance(stopped, asyncio.CancelledError):
                    # The caller left while the record was on its way: it arrives, and so does how the call ended.
                    trail.status = CLIENT_CLOSED
                    await self._complete(trail, "client-closed")
            raise
        if isinstance(admitted, Deny):
            raise problem.forbidden(help_text=_help(trail, admitted))
        return await self._forward(backend, admitted[1], trail)

    async def _me(self, address: Address, inbound: Inbound, trail: _Trail) -> Reply:
        principal = trail.principal = await self._authenticator.authenticate(inbound.headers)
        _check_method(address, inbound)

        async def decide(asked: Asked) -> Decision:
            return (await authorize(self._policy, self._memberships, principal, asked)).decision

        return await describe(principal, self._policy, decide)

    async def _admit(
        self, address: Address, backend: Backend, inbound: Inbound, trail: _Trail
    ) -> tuple[Allow, Call] | Deny:
        """Return the call that may be sent with its Allow, or the denial: every check is made in here, in this order."""
        asked = trail.asked = backend.read(inbound)
        principal = trail.principal = await self._authenticator.authenticate(inbound.headers)
        _check_method(address, inbound)
        if is_cross_site(inbound.headers):
            return Deny(reason=Reason.CLIENT_NOT_ALLOWED)
        ruling = trail.ruling = await authorize(self._policy, self._memberships, principal, asked)
        match ruling.decision, ruling.route:
            case Allow() as allow, Route() as route:
                return allow, await backend.prepare(route, asked, inbound, request_id=trail.request_id)
            case Deny() as deny, _:
                return deny
            case _:
                raise AssertionError("an allow without a route")

    async def _record(self, trail: _Trail, decision: Decision | Problem) -> None:
        await self._audit.decided(
            request_id=trail.request_id, decision=decision, principal=trail.principal, asked=trail.asked
        )

    async def _forward(self, backend: Backend, call: Call, trail: _Trail) -> Reply:
        trail.bytes_in = len(call.body or b"")
        try:
            forwarded = await backend.send(call)
        except UpstreamFault as fault:
            trail.status, trail.upstream_status = fault.status, fault.upstream_status
            await self._complete(trail, fault.outcome)
            raise
        except asyncio.CancelledError:
            trail.status = CLIENT_CLOSED
            await self._complete(trail, "client-closed")
            raise
        except BaseException:
            await self._complete(trail, "unknown")
            raise
        reply = forwarded.reply
        trail.first_byte = forwarded.first_byte
        trail.status, trail.upstream_status = reply.status, forwarded.upstream_status
        if not isinstance(reply.body, bytes):
            return replace(reply, body=_Relay(reply.body, trail, self._complete_late))
        trail.bytes_out = len(reply.body)
        await self._complete(trail, _outcome(trail))
        return reply

    async def _complete_late(self, trail: _Trail, outcome: str) -> None:
        # After the invocation has ended the host drops log lines: only a direct sink can take this one (design 2).
        if self._audit.outlives_invocation:
            await self._complete(trail, outcome)

    async def _complete(self, trail: _Trail, outcome: str) -> None:
        now = self._clock.monotonic()
        await self._audit.completed(
            request_id=trail.request_id,
            outcome=outcome,
            status=trail.status,
            upstream_status=trail.upstream_status,
            bytes_in=trail.bytes_in,
            bytes_out=trail.bytes_out,
            first_byte_ms=None if trail.first_byte is None else (trail.first_byte - trail.started) * 1000,
            duration_ms=(now - trail.started) * 1000,
        )


class _Relay(AsyncIterator[bytes]):
    """The model's body on its way to the caller; its end, however it comes, is the outcome on record."""

    def __init__(
        self, source: AsyncIterator[bytes], trail: _Trail, complete: Callable[[_Trail, str], Awaitable[None]]
    ) -> None:
        self._source: Final = source
        self._trail: Final = trail
        self._complete: Final = complete
        self._open = True
        self._outcome = "client-closed"
        """What it is until the body ends by itself."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            self._outcome = _outcome(self._trail)
            raise
        except UpstreamFault as fault:
            self._outcome = fault.outcome
            raise
        except Exception:
            self._outcome = "unknown"
            raise
        self._trail.bytes_out += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Let go of the source and record how it ended."""
        if self._open:
            self._open = False
            try:
                await aclose(self._source)
            finally:
                await self._complete(self._trail, self._outcome)


async def aclose(body: bytes | AsyncIterator[bytes]) -> None:
    """End a reply's body, read to its end or not: every hosting adapter does this last, come what may."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def finish(reply: Reply, inbound: Inbound, request_id: str) -> Reply:
    """Return `reply` with the headers of every answer; without a body where HEAD asked."""
    headers = (
        *reply.headers,
        ("x-request-id", request_id),
        ("cache-control", "no-store"),
        ("vary", "Authorization, Cookie"),
    )
    return replace(reply, headers=headers, body=b"" if inbound.method == "HEAD" else reply.body)


def _check_method(address: Address, inbound: Inbound) -> None:
    if inbound.method not in address.methods:
        raise AskedWrongly(Slug.METHOD_NOT_ALLOWED, headers=(("allow", ", ".join(address.methods)),))


def _outcome(trail: _Trail) -> str:
    status = trail.upstream_status
    return "ok" if status is not None and 200 <= status < 300 else f"upstream-{status}"


def _help(trail: _Trail, deny: Deny) -> str | None:
    """Return the policy's help where the refused caller may read it: a user of the own tenant, by no deny rule."""
    ruling, principal = trail.ruling, trail.principal
    if ruling is None or ruling.route is None or principal is None or principal.kind is not Kind.USER:
        return None
    return ruling.route.help if deny.reason in _HELPFUL else None
