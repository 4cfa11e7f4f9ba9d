"""What every kind of model service shares: places, tokens, sending, and the one mapping of its answers (threats, 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from copy import replace
from types import MappingProxyType
from typing import Final

import msgspec

from shared.backends.bulkhead import Bulkhead
from shared.backends.headers import printable
from shared.backends.idle import IDLE, IdleGuard
from shared.model import Reply
from shared.ports import Answer, Call, Clock, Forwarded, Tokens, Transport, TransportFault
from shared.problem import MAX_RETRY_AFTER, Slug, UpstreamFault, retry_after_seconds
from shared.retryafter import parse as parse_retry_after

MAX_ERROR_BODY: Final = 64 * 1024
MAX_WHOLE: Final = 100 * 1024 * 1024
"""Bytes of a success that is given whole; the host takes no more either."""
RELAYED: Final = frozenset({400, 409, 413, 415, 422, 424, 429})
"""Statuses whose JSON body goes to the caller as it is, while the policy says `relay-errors`."""

_OF_STATUS: Final[Mapping[int, Slug]] = MappingProxyType(
    {
        400: Slug.UPSTREAM_REJECTED,
        401: Slug.UPSTREAM_AUTH_FAILED,
        403: Slug.UPSTREAM_AUTH_FAILED,
        404: Slug.UPSTREAM_NOT_FOUND,
        408: Slug.UPSTREAM_TIMEOUT,
        409: Slug.UPSTREAM_REJECTED,
        413: Slug.UPSTREAM_REJECTED,
        415: Slug.UPSTREAM_REJECTED,
        422: Slug.UPSTREAM_REJECTED,
        424: Slug.MODEL_ERROR,
        429: Slug.UPSTREAM_RATE_LIMITED,
        503: Slug.UPSTREAM_UNAVAILABLE,
        504: Slug.UPSTREAM_TIMEOUT,
    }
)
_MOST_DIGITS: Final = 15
_MODEL_STATUS: Final = "ms-azureml-model-error-statuscode"


class Forwarder:
    """Sends prepared calls and gives back each one's place when its answer ends."""

    def __init__(self, transport: Transport, tokens: Tokens, clock: Clock, *, idle: float = IDLE) -> None:
        """Take `idle`, the seconds within which a streamed answer's next bytes must come."""
        self._transport: Final = transport
        self._tokens: Final = tokens
        self._clock: Final = clock
        self._idle: Final = idle
        self._bulkheads: Final[dict[tuple[str, str], Bulkhead]] = {}

    async def take(self, call: Call) -> Call:
        """Take a place and return `call` with a token of the gate's identity; raise Undecidable with no place taken."""
        route = call.route
        bulkhead = self._bulkheads.get((route.target, route.name))
        if bulkhead is None:
            bulkhead = self._bulkheads[(route.target, route.name)] = Bulkhead(route.concurrency)
        await bulkhead.take()
        try:
            token = await self._tokens.token(route.scope)
        except BaseException:
            bulkhead.give()
            raise
        return replace(call, headers={**call.headers, "authorization": f"Bearer {token}"})

    def release(self, call: Call) -> None:
        """Give back the place that was taken for `call`."""
        self._bulkheads[(call.route.target, call.route.name)].give()

    async def send(self, call: Call) -> Forwarded:
        """Send `call` once; return a success or a relayed error, raise UpstreamFault for the rest."""
        try:
            answer = await self._transport.send(
                call.method, call.url, headers=call.headers, body=call.body, deadline=call.deadline
            )
        except TransportFault as fault:
            self.release(call)
            raise _unanswered(fault) from fault
        except BaseException:
            self.release(call)
            raise
        try:
            return await self._map(call, answer)
        except BaseException:
            answer.close()
            self.release(call)
            raise

    async def _map(self, call: Call, answer: Answer) -> Forwarded:
        status = answer.status
        first_byte = self._clock.monotonic()
        if 200 <= status < 300:
            if (answer.headers.get("content-encoding") or "identity").lower() != "identity":
                # It was asked for as it is; what comes compressed all the same is never unpacked (threats T19, D03).
                raise UpstreamFault(Slug.UPSTREAM_ERROR, outcome=f"upstream-{status}", upstream_status=status)
            return Forwarded(
                reply=await self._success(call, answer),
                upstream_status=status,
                first_byte=first_byte,
                framed=_framed(answer),
            )
        if status in (401, 403):
            self._tokens.drop(call.route.scope, call.headers["authorization"].removeprefix("Bearer "))
        fault = self._fault(answer)
        if call.route.relay_errors and status in RELAYED:
            body = await _json(answer)
            if body is not None:
                answer.close()
                self.release(call)
                extra = fault.headers
                if fault.retry_after is not None:
                    extra = (*extra, ("retry-after", str(retry_after_seconds(fault.retry_after))))
                reply = Reply(
                    status=status, headers=(("content-type", "application/json"), *extra), body=body
                )
                return Forwarded(reply=reply, upstream_status=status, first_byte=first_byte)
        raise fault

    async def _success(self, call: Call, answer: Answer) -> Reply:
        headers = _content_type(answer)
        # A document where events were asked for is read whole: it tells its usage, and whose it is.
        if call.streams and not (call.route.target == "model" and media_type(headers) == "application/json"):
            within = max(0.0, call.deadline - self._clock.monotonic())
            body = IdleGuard(_Body(answer, self, call), idle=self._idle)
            return Reply(status=answer.status, headers=headers, body=body, within=within)
        try:
            whole = await answer.read(MAX_WHOLE)
        except TransportFault as fault:
            raise _cut(fault, answer.status) from fault
        answer.close()
        self.release(call)
        return Reply(status=answer.status, headers=headers, body=whole)

    def _fault(self, answer: Answer) -> UpstreamFault:
        status = answer.status
        slug = _OF_STATUS.get(status, Slug.UPSTREAM_REDIRECT if 300 <= status < 400 else Slug.UPSTREAM_ERROR)
        headers: tuple[tuple[str, str], ...] = ()
        model_status = answer.headers.get(_MODEL_STATUS)
        if status == 424 and model_status is not None and model_status.isascii() and model_status.isdigit():
            headers = ((_MODEL_STATUS, model_status[:3]),)
        return UpstreamFault(
            slug,
            outcome=f"upstream-{status}",
            upstream_status=status,
            status=status if slug is Slug.UPSTREAM_REJECTED else None,
            retry_after=self._retry_after(answer) if status in (429, 503) else None,
            headers=headers,
        )

    def _retry_after(self, answer: Answer) -> float | None:
        millis = answer.headers.get("retry-after-ms")
        if millis is not None and millis.isascii() and millis.isdigit() and len(millis) <= _MOST_DIGITS:
            return min(MAX_RETRY_AFTER, int(millis) / 1000)
        return parse_retry_after(answer.headers.get("retry-after"), now=self._clock.time())


class _Body(AsyncIterator[bytes]):
    """The model's success as it comes; whoever holds it ends it with `aclose`, read to its end or not."""

    __slots__ = ("_answer", "_call", "_chunks", "_forwarder", "_open")

    usage: Final = None
    relayed: Final = 0
    fault: Final = None

    def __init__(self, answer: Answer, forwarder: Forwarder, call: Call) -> None:
        self._answer = answer
        self._chunks = answer.chunks()
        self._forwarder = forwarder
        self._call = call
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except TransportFault as fault:
            # What the caller has of it already is a beginning, however it came to its end (threats, 6).
            slug = Slug.UPSTREAM_TIMEOUT if fault.what == "timeout" else Slug.UPSTREAM_UNREACHABLE
            status = self._answer.status
            raise UpstreamFault(slug, outcome="truncated", upstream_status=status) from fault

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            try:
                self._answer.close()
            finally:
                self._forwarder.release(self._call)


def _framed(answer: Answer) -> bool:
    coding = answer.headers.get("transfer-encoding") or ""
    return answer.headers.get("content-length") is not None or "chunked" in coding.lower()


def media_type(headers: tuple[tuple[str, str], ...]) -> str:
    """Return the media type that `headers` tell, in lower case without parameters; empty for none."""
    return dict(headers).get("content-type", "").partition(";")[0].strip().lower()


def _content_type(answer: Answer) -> tuple[tuple[str, str], ...]:
    value = printable(answer.headers.get("content-type"))
    return () if value is None else (("content-type", value),)


async def _json(answer: Answer) -> bytes | None:
    """Return the error's body when it is JSON of at most MAX_ERROR_BODY bytes; None for everything else."""
    try:
        body = await answer.read(MAX_ERROR_BODY)
        msgspec.json.decode(body)
    except (TransportFault, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body


def _unanswered(fault: TransportFault) -> UpstreamFault:
    if fault.what == "timeout":
        return UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout", sent=fault.sent)
    return UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="upstream-unreachable", sent=fault.sent)


def _cut(fault: TransportFault, status: int) -> UpstreamFault:
    if fault.what == "timeout":
        return UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout", upstream_status=status)
    return UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=status)
