"""The pipeline: who, what, whether, how; audit; forward; audit (design, section 2). Over ports only."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from copy import replace
from typing import Final

from shared import problem
from shared.authorize import authorize
from shared.crosssite import is_cross_site
from shared.me import describe, list_models
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
    Rule,
    Stream,
)
from shared.ports import (
    Authenticator,
    Backend,
    Call,
    Clock,
    Decide,
    Memberships,
    Quota,
    Recorder,
)
from shared.problem import AskedWrongly, ClientClosed, Problem, Slug, UpstreamFault, check_method
from shared.surface import ADDRESSES, Address, address_of
from shared.trail import Relay, Trail, outcome_of, settle

_log: Final = logging.getLogger("groupgate")
CLIENT_CLOSED: Final = 499
"""Nobody is left to read it; it stands in records only (threats, section 6)."""
_CONSTANT: Final = frozenset({"healthz", "readyz"})
_HELPFUL: Final = frozenset({Reason.NOT_MEMBER, Reason.DEPLOYMENT_NOT_ALLOWED})


class Gate:
    """Answers every request of every route; whatever is not a proven allow ends in a problem."""

    def __init__(
        self,
        *,
        policy: Policy,
        authenticator: Authenticator,
        memberships: Memberships,
        backends: Mapping[str, Backend],
        quota: Quota,
        audit: Recorder,
        clock: Clock,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._policy: Final = policy
        self._authenticator: Final = authenticator
        self._memberships: Final = memberships
        self._backends: Final = backends
        self._quota: Final = quota
        self._audit: Final = audit
        self._clock: Final = clock
        self._ready: Final = ready
        self._endings: Final[set[asyncio.Task[None]]] = set()

    async def handle(self, inbound: Inbound) -> Reply:
        """Return the answer to `inbound`; raises nothing but cancellation."""
        # Unique, and no secret: the operating system need not be asked for randomness at every request.
        request_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
        openai = False
        try:
            address = address_of(inbound)
            openai = address.openai
            reply = await self._answer(address, inbound, request_id)
        except Problem as fault:
            reply = problem.render(fault, request_id=request_id, openai=openai)
        except ClientClosed:
            reply = Reply(status=CLIENT_CLOSED, headers=())
        except Exception as bug:  # noqa: BLE001
            # The last line: what nobody foresaw is an error without data, and never an allow (threat E05).
            _log.error("internal error %s in request %s", type(bug).__name__, request_id)
            internal = Problem(Slug.INTERNAL_ERROR, Reason.INVALID_REQUEST)
            reply = problem.render(internal, request_id=request_id, openai=openai)
        return finish(reply, inbound, request_id)

    async def _answer(self, address: Address, inbound: Inbound, request_id: str) -> Reply:
        if inbound.route in _CONSTANT:
            if inbound.route == "readyz":
                await self._ready()
            _check_method(address, inbound)
            return Reply(status=200, headers=())
        trail = Trail(request_id=request_id, started=self._clock.monotonic())
        try:
            if address.backend is None:
                return await self._own(address, inbound, trail)
            backend = self._backends[address.backend]
            admitted = await self._admit(address, backend, inbound, trail)
        except Problem as fault:
            await self._record(trail, fault)
            raise
        except ClientClosed:
            await self._record(trail, AskedWrongly(Slug.INVALID_REQUEST))
            raise
        if isinstance(admitted, Deny):
            await self._record(trail, admitted)
            raise problem.forbidden(detail=_detail(trail, admitted))
        allow, call = admitted
        await self._record_allow(backend, allow, call, trail)
        reply = await self._forward(backend, call, trail)
        if trail.reservation is None:
            return reply
        return replace(reply, headers=(*reply.headers, *trail.reservation.headers))

    async def _own(self, address: Address, inbound: Inbound, trail: Trail) -> Reply:
        """Answer with what the gate itself knows: who the caller is, or which models it may use."""
        principal = trail.principal = await self._authenticator.authenticate(inbound.headers)
        _check_method(address, inbound)
        page = describe if address is ADDRESSES["me"] else list_models
        return await page(principal, self._policy, self._decider(principal))

    def _decider(self, principal: Principal) -> Decide:
        async def decide(asked: Asked) -> Decision:
            return (await authorize(self._policy, self._memberships, principal, asked)).decision

        return decide

    async def _admit(
        self, address: Address, backend: Backend, inbound: Inbound, trail: Trail
    ) -> tuple[Allow, Call] | Deny:
        """Return the call that may be sent with its Allow, or the denial: every check is made in here, in this order."""
        asked = trail.asked = backend.read(inbound)
        principal = trail.principal = await self._authenticator.authenticate(inbound.headers)
        _check_method(address, inbound)
        if is_cross_site(inbound.headers):
            return Deny(reason=Reason.CLIENT_NOT_ALLOWED)
        asked = trail.asked = await backend.resolve(asked, inbound, principal)
        ruling = trail.ruling = await authorize(self._policy, self._memberships, principal, asked)
        if isinstance(ruling.decision, Allow) and ruling.route is not None:
            specified = await backend.specify(
                ruling.route, asked, inbound, principal, self._decider(principal)
            )
            if specified is not asked:
                asked = trail.asked = specified
                ruling = trail.ruling = await authorize(self._policy, self._memberships, principal, asked)
        match ruling.decision, ruling.route:
            case Allow() as allow, Route() as route:
                rule = _on_record(route, allow)
                call = await backend.prepare(
                    route, asked, inbound, rule=rule, principal=principal, request_id=trail.request_id
                )
                trail.asked = call.asked
                return allow, await self._take(backend, call, rule, trail)
            case Deny() as deny, _:
                return deny
            case _:
                raise AssertionError("an allow without a route")

    async def _take(self, backend: Backend, call: Call, rule: Rule, trail: Trail) -> Call:
        """Take what the rule gives, then a place and a token: who has used up its share waits for no place."""
        if rule.limits is None:
            return await backend.take(call)
        trail.prompt_tokens = call.prompt_tokens
        trail.reservation = await self._quota.reserve(
            call.route, rule, call.principal, tokens=call.prompt_tokens + call.answer_tokens
        )
        try:
            return await backend.take(call)
        except BaseException:
            await trail.reservation.cancel()
            raise

    async def _record_allow(self, backend: Backend, allow: Allow, call: Call, trail: Trail) -> None:
        """Record what is about to be sent; where that fails nothing is, and what was taken is given back."""
        try:
            await self._record(trail, allow)
        except BaseException as stopped:
            backend.release(call)
            if trail.reservation is not None:
                await trail.reservation.cancel()
            if isinstance(stopped, asyncio.CancelledError):
                # The caller left while the record was on its way: it arrives, and so does how the call ended.
                trail.status = CLIENT_CLOSED
                await self._complete(trail, "client-closed")
            raise

    async def _record(self, trail: Trail, decision: Decision | Problem) -> None:
        await self._audit.decided(
            request_id=trail.request_id,
            decision=decision,
            principal=trail.principal,
            asked=trail.asked,
            allowed=trail.allowed if isinstance(decision, Problem) else None,
            counted=None if trail.reservation is None else trail.reservation.counted,
        )

    async def _forward(self, backend: Backend, call: Call, trail: Trail) -> Reply:
        trail.bytes_in = len(call.body or b"")
        try:
            forwarded = await backend.send(call)
        except UpstreamFault as fault:
            trail.status, trail.upstream_status, trail.sent = fault.status, fault.upstream_status, fault.sent
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
        trail.first_byte, trail.usage = forwarded.first_byte, forwarded.usage
        trail.status, trail.upstream_status = reply.status, forwarded.upstream_status
        if not isinstance(reply.body, bytes):
            return replace(reply, body=Relay(reply.body, trail, self._clock, self._complete_late))
        trail.bytes_out = len(reply.body)
        await self._complete(trail, outcome_of(trail))
        return reply

    async def _complete(self, trail: Trail, outcome: str) -> None:
        await self._end(trail, outcome)

    async def _complete_late(self, trail: Trail, outcome: str) -> None:
        # After the invocation has ended the host drops log lines: only a direct sink can take this one (design 2).
        await self._end(trail, outcome if self._audit.outlives_invocation else None)

    async def _end(self, trail: Trail, outcome: str | None) -> None:
        """Charge and record how a call ended. Once begun it ends, though the caller goes away meanwhile."""
        # Run at once: mostly there is nothing to wait for, and then no task is ever scheduled.
        loop = asyncio.get_running_loop()
        ending = asyncio.Task(self._conclude(trail, outcome), loop=loop, eager_start=True)
        if ending.done():
            return ending.result()
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return await asyncio.shield(ending)

    async def _conclude(self, trail: Trail, outcome: str | None) -> None:
        await settle(trail)
        if outcome is None:
            return
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
            model=trail.model,
            usage=trail.usage,
        )


async def aclose(body: bytes | Stream) -> None:
    """End a reply's body, read to its end or not: every hosting adapter does this last, come what may."""
    if not isinstance(body, bytes):
        await body.aclose()


def _on_record(route: Route, allow: Allow) -> Rule:
    return next(rule for rule in route.rules if rule.id == allow.rule)


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
    if address.methods is not None:
        check_method(inbound.method, address.methods)


def _detail(trail: Trail, deny: Deny) -> str | None:
    """Return what the refused caller may read: what in a job is not allowed, or the policy's help.

    Help is for a user of the own tenant whom no deny rule refused.
    """
    if deny.place is not None:
        return f"{deny.place} is not what the policy lets your jobs have."
    ruling, principal = trail.ruling, trail.principal
    if ruling is None or ruling.route is None or principal is None or principal.kind is not Kind.USER:
        return None
    return ruling.route.help if deny.reason in _HELPFUL else None
