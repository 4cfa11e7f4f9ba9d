"""Foundry and Azure OpenAI models: which model is asked is decided once, and what was checked is what is sent.

Every place that can name the model (path, body, query, header) resolves to one model of the policy (threat T06); the body is
parsed strictly (T07, T08) and goes on byte for byte, but for what the policy demands: the model's name at the resource, and
the question for usage where tokens are limited.
"""

from __future__ import annotations

import json
from copy import replace
from typing import Final

import msgspec

from shared import problem
from shared.backends import answer, body, eventdata, events, fields, modelrequest, tokens
from shared.backends import headers as outbound
from shared.backends.forward import Forwarder, media_type
from shared.backends.large import LargeBodies
from shared.backends.payload import Form, Json, Payload
from shared.backends.target import STORED, Target, query_of, target_of, url_of
from shared.model import Asked, Inbound, Principal, Reason, Route, Rule, Stream
from shared.ports import Call, Clock, Decide, Forwarded, Owners
from shared.problem import AskedWrongly, NotFound, Slug, UpstreamFault, check_method

EVENTS: Final = "text/event-stream"
_FORMS: Final = frozenset({"audio/transcriptions"})
_BINARY: Final = frozenset({"audio/speech"})
"""Operations whose answers are a file: handed on as they come, streamed or not."""
_CHAT: Final = frozenset({"chat/completions", "completions"})
"""Operations that tell their usage in a stream only where they are asked to."""


class ModelAsked(Asked, frozen=True, kw_only=True):
    """What a request wants of a model, with what its parsing left."""

    to: Target
    content: Payload | None = None


class OpenAI:
    """The Backend of models."""

    def __init__(self, forwarder: Forwarder, owners: Owners, clock: Clock, *, max_body: int) -> None:
        """Take `max_body`, the bytes of the largest body that any model takes: which one it is only the body tells."""
        self._forwarder: Final = forwarder
        self._owners: Final = owners
        self._clock: Final = clock
        self._max_body: Final = max_body
        self._large: Final = LargeBodies()

    def read(self, inbound: Inbound) -> ModelAsked:
        """Return what the address asks."""
        target = target_of(inbound.route, inbound.params.get("rest", ""), inbound.method)
        return ModelAsked(target="model", name=target.model or "", operation=target.operation, to=target)

    async def resolve(self, asked: Asked, inbound: Inbound, principal: Principal) -> ModelAsked:
        """Return `asked` with the one model that everything names; 404, 405, then 411, 413, 415, 400."""
        asked = _own(asked)
        if not asked.operation:
            raise NotFound(Reason.OPERATION_NOT_ALLOWED)
        check_method(inbound.method, asked.to.methods)
        if asked.to.id is not None:
            model = await self._owners.model_of(asked.to.id, principal)
            if model is None:
                raise NotFound(Reason.INPUT_NOT_ALLOWED)
            return replace(asked, name=model)
        content = await self._content(asked.operation, inbound, principal)
        return replace(asked, name=modelrequest.one_name(asked.to, content, inbound), content=content)

    async def _content(self, operation: str, inbound: Inbound, principal: Principal) -> Payload:
        body.check_length(inbound, self._max_body)
        media_type = "multipart/form-data" if operation in _FORMS else "application/json"
        declared = inbound.headers.joined("content-type") or ""
        if declared.partition(";")[0].strip().lower() != media_type:
            raise AskedWrongly(Slug.UNSUPPORTED_MEDIA_TYPE)
        body.check_encoding(inbound)
        content_type = outbound.content_type(declared, frozenset({media_type}))
        if content_type is None:
            raise AskedWrongly(
                Slug.INVALID_REQUEST, detail="The Content-Type names a charset that is not UTF-8."
            )
        parse = Form.parse if operation in _FORMS else Json.parse
        async with self._large.turn(inbound.body.length, principal):
            data = await body.read(inbound, self._max_body)
            return await self._large.work(len(data), parse, data, content_type)

    async def specify(
        self, route: Route, asked: Asked, inbound: Inbound, principal: Principal, decide: Decide
    ) -> Asked:
        """Return `asked`: all of it is known already."""
        del route, inbound, principal, decide
        return asked

    async def prepare(
        self,
        route: Route,
        asked: Asked,
        inbound: Inbound,
        *,
        rule: Rule,
        principal: Principal,
        request_id: str,
    ) -> Call:
        """Check what the body holds (413, 400), and that what it refers to is the caller's own (404)."""
        asked = _own(asked)
        deadline = self._clock.monotonic() + route.timeout
        content = asked.content
        streams, hide_usage, reserved = False, False, tokens.Estimate(0, 0)
        query = query_of(asked.to, inbound.query)
        if content is not None:
            size = len(content.data)
            if size > route.max_body:
                raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)
            await self._large.work(size, fields.check, asked.operation, content.values, route.fields)
            await self._check_own(fields.stored_ids(asked.operation, content.values), route, principal)
            reserved = await self._large.work(
                size,
                tokens.estimate,
                asked.operation,
                content.values,
                default_max_tokens=modelrequest.unbounded(route, rule),
            )
            asks_events = fields.streams(asked.operation, content.values)
            streams = asks_events or asked.operation in _BINARY
            limited = rule.limits is not None and rule.limits.tokens is not None
            hide_usage = (
                limited
                and asks_events
                and asked.operation in _CHAT
                and not modelrequest.asks_usage(content.values)
            )
        elif inbound.body.length or inbound.body.chunked:
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="This address takes no body.")
        else:
            streams = "stream=true" in query
        if asked.to.id is not None:
            # It was the caller's at some resource: is it at the one that the model has now?
            await self._check_own((asked.to.id,), route, principal)
        return Call(
            route=route,
            asked=replace(asked, content=None),  # what is sent needs no parsed twin in memory meanwhile
            request_id=request_id,
            method="GET" if inbound.method == "HEAD" else inbound.method,
            url=url_of(asked.to, route, query),
            headers=modelrequest.headers(inbound, content, request_id),
            body=None if content is None else modelrequest.sent(content, route, hide_usage=hide_usage),
            deadline=deadline,
            streams=streams and inbound.streams and inbound.method != "HEAD",
            prompt_tokens=reserved.prompt,
            answer_tokens=reserved.answer,
            hide_usage=hide_usage,
            principal=principal,
        )

    async def take(self, call: Call) -> Call:
        """Take a place and a token."""
        return await self._forwarder.take(call)

    async def send(self, call: Call) -> Forwarded:
        """Send a prepared call; raise problem.UpstreamFault."""
        try:
            forwarded = await self._forwarder.send(call)
        except UpstreamFault as fault:
            if fault.upstream_status == 404 and call.asked.operation in STORED:
                # It was the caller's own, and is no longer there: that is no fault of the gate's settings.
                raise UpstreamFault(Slug.NOT_FOUND, outcome=fault.outcome, upstream_status=404) from fault
            raise
        if not 200 <= (forwarded.upstream_status or 0) < 300:
            return _no_sooner(forwarded)
        reply = forwarded.reply
        is_events = media_type(reply.headers) == EVENTS
        if not isinstance(reply.body, bytes):
            if not is_events:
                return forwarded
            relay = self._relay(call, reply.body, framed=forwarded.framed)
            return replace(forwarded, reply=replace(reply, body=relay))
        if not forwarded.framed and not _is_whole(reply.body, is_events=is_events):
            raise events.CUT_SHORT
        if is_events:
            hidden = call.hide_usage
            shown, usage, ids = events.read(reply.body, hide_usage=hidden, ids=_makes_ids(call))
            usage = None if call.asked.operation in STORED else usage
            forwarded = replace(forwarded, reply=replace(reply, body=shown))
        else:
            usage, ids = answer.read(call.asked.operation, reply.body)
        if ids:
            await self._remember(call, ids)
        return replace(forwarded, usage=usage)

    async def _check_own(self, ids: tuple[str, ...], route: Route, principal: Principal) -> None:
        """Raise NotFound unless everything that `ids` name at the model's resource was made by the caller (threat T09)."""
        if ids and not await self._owners.owns(ids, principal, resource=route.url):
            raise NotFound(Reason.INPUT_NOT_ALLOWED)

    async def _remember(self, call: Call, ids: tuple[str, ...]) -> None:
        route = call.route
        await self._owners.remember(ids, call.principal, model=route.name, resource=route.url)

    def release(self, call: Call) -> None:
        """Give back the place of a call that is never sent."""
        self._forwarder.release(call)

    def _relay(self, call: Call, source: Stream, *, framed: bool) -> events.EventRelay:
        async def remember(ids: tuple[str, ...]) -> None:
            await self._remember(call, ids)

        def render(fault: UpstreamFault) -> bytes:
            return json.dumps(problem.document(fault, request_id=call.request_id, openai=True)).encode()

        return events.EventRelay(
            source,
            render=render,
            hide_usage=call.hide_usage,
            meter=call.asked.operation not in STORED,
            framed=framed,
            on_ids=remember if _makes_ids(call) else None,
        )


def _no_sooner(forwarded: Forwarded) -> Forwarded:
    """Return a relayed error that keeps clients from coming back before a long wait is over (see problem.render)."""
    headers = forwarded.reply.headers
    if int(dict(headers).get("retry-after", "0")) <= problem.LONG_WAIT:
        return forwarded
    return replace(forwarded, reply=replace(forwarded.reply, headers=(*headers, problem.NOT_AGAIN)))


def _is_whole(data: bytes, *, is_events: bool) -> bool:
    """Say whether an answer whose end HTTP did not tell ends as its kind does."""
    if is_events:
        return eventdata.ends_answer(data)
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _makes_ids(call: Call) -> bool:
    return call.asked.operation == "responses"


def _own(asked: Asked) -> ModelAsked:
    if not isinstance(asked, ModelAsked):
        raise TypeError("asked of another backend")
    return asked
