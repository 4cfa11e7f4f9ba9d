"""Foundry and Azure OpenAI models: which model is asked is decided once, and what was checked is what is sent.

Every place that can name the model (path, body, query, header) resolves to one model of the policy (threat T06); the body is
parsed strictly (T07, T08) and goes on byte for byte, but for what the policy demands: the model's name at the resource, and
the question for usage where tokens are limited.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from copy import replace
from typing import Final

from shared import problem
from shared.backends import answer, body, events, fields, tokens
from shared.backends import headers as outbound
from shared.backends.forward import Forwarder, media_type
from shared.backends.payload import Form, Json, Payload
from shared.backends.target import STORED, Target, query_of, target_of, url_of
from shared.model import Asked, Inbound, Principal, Reason, Route, Rule, Stream
from shared.ports import Call, Clock, Forwarded, Owners
from shared.problem import AskedWrongly, NotFound, Slug, UpstreamFault, check_method

SMALL: Final = 128 * 1024
"""Bytes of a body that is read through on the spot."""
EVENTS: Final = "text/event-stream"
_FORMS: Final = frozenset({"audio/transcriptions"})
_BINARY: Final = frozenset({"audio/speech"})
"""Operations whose answers are a file: handed on as they come, streamed or not."""
_CHAT: Final = frozenset({"chat/completions", "completions"})
"""Operations that tell their usage in a stream only where they are asked to."""
_NAMING: Final = ("azureml-model-deployment", "x-ms-model-mesh-model-name")
"""Headers by which services take a model's name; never sent on."""


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
        content = await self._content(asked.operation, inbound)
        return replace(asked, name=_one_name(asked, content, inbound), content=content)

    async def _content(self, operation: str, inbound: Inbound) -> Payload:
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
        data = await body.read(inbound, self._max_body)
        parse = Form.parse if operation in _FORMS else Json.parse
        return await _beside(len(data), parse, data, content_type)

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
        streams, hide_usage, reserved = False, False, 0
        query = query_of(asked.to, inbound.query)
        if content is not None:
            size = len(content.data)
            if size > route.max_body:
                raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)
            await _beside(size, fields.check, asked.operation, content.values, route.fields)
            for id_ in fields.stored_ids(asked.operation, content.values):
                if await self._owners.model_of(id_, principal) is None:
                    raise NotFound(Reason.INPUT_NOT_ALLOWED)
            reserved = await _beside(
                size,
                tokens.estimate,
                asked.operation,
                content.values,
                default_max_tokens=route.default_max_tokens,
            )
            asks_events = fields.streams(asked.operation, content.values)
            streams = asks_events or asked.operation in _BINARY
            limited = rule.limits is not None and rule.limits.tokens is not None
            hide_usage = (
                limited and asks_events and asked.operation in _CHAT and not _asks_usage(content.values)
            )
        elif inbound.body.length or inbound.body.chunked:
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="This address takes no body.")
        else:
            streams = "stream=true" in query
        return Call(
            route=route,
            asked=asked,
            request_id=request_id,
            method="GET" if inbound.method == "HEAD" else inbound.method,
            url=url_of(asked.to, route, query),
            headers=_headers(inbound, content, request_id),
            body=None if content is None else _sent(content, route, hide_usage=hide_usage),
            deadline=deadline,
            streams=streams and inbound.streams and inbound.method != "HEAD",
            tokens=reserved,
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
        if not 200 <= forwarded.upstream_status < 300:
            return _no_sooner(forwarded)
        reply = forwarded.reply
        is_events = media_type(reply.headers) == EVENTS
        if not isinstance(reply.body, bytes):
            if not is_events:
                return forwarded
            return replace(forwarded, reply=replace(reply, body=self._relay(call, reply.body)))
        if is_events:
            hidden = call.hide_usage
            shown, usage, ids = events.read(reply.body, hide_usage=hidden, ids=_makes_ids(call))
            usage = None if call.asked.operation in STORED else usage
            forwarded = replace(forwarded, reply=replace(reply, body=shown))
        else:
            usage, ids = answer.read(call.asked.operation, reply.body)
        if ids:
            await self._owners.remember(ids, call.principal, call.route.name)
        return replace(forwarded, usage=usage)

    def release(self, call: Call) -> None:
        """Give back the place of a call that is never sent."""
        self._forwarder.release(call)

    def _relay(self, call: Call, source: Stream) -> events.EventRelay:
        async def remember(ids: tuple[str, ...]) -> None:
            await self._owners.remember(ids, call.principal, call.route.name)

        def render(fault: UpstreamFault) -> bytes:
            return json.dumps(problem.document(fault, request_id=call.request_id, openai=True)).encode()

        return events.EventRelay(
            source,
            render=render,
            hide_usage=call.hide_usage,
            meter=call.asked.operation not in STORED,
            on_ids=remember if _makes_ids(call) else None,
        )


def _no_sooner(forwarded: Forwarded) -> Forwarded:
    """Return a relayed error that keeps clients from coming back before a long wait is over (see problem.render)."""
    headers = forwarded.reply.headers
    if int(dict(headers).get("retry-after", "0")) <= problem.LONG_WAIT:
        return forwarded
    return replace(forwarded, reply=replace(forwarded.reply, headers=(*headers, problem.NOT_AGAIN)))


def _makes_ids(call: Call) -> bool:
    return call.asked.operation == "responses"


async def _beside[**P, T](size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns; for a body of many bytes beside the loop, which others wait for (threat D08)."""
    if size <= SMALL:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _own(asked: Asked) -> ModelAsked:
    if not isinstance(asked, ModelAsked):
        raise TypeError("asked of another backend")
    return asked


def _one_name(asked: ModelAsked, content: Payload, inbound: Inbound) -> str:
    """Return the model that every place names; raise AskedWrongly when two differ, or none names it (threat T06)."""
    in_body = content.values.get("model")
    named = [inbound.headers.joined(header) for header in _NAMING]
    if in_body is not None:
        if not isinstance(in_body, str):
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="The model must be named by a text.")
        named.append(in_body)
    if asked.to.model is not None:
        named.append(asked.to.model)
    elif in_body is None:
        raise AskedWrongly(Slug.INVALID_REQUEST, detail="The body names no model.")
    names = {name for name in named if name is not None}
    if len(names) != 1:
        raise AskedWrongly(
            Slug.INVALID_REQUEST, detail="The request names two models; name one, and alike everywhere."
        )
    return names.pop()


def _headers(inbound: Inbound, content: Payload | None, request_id: str) -> Mapping[str, str]:
    headers = {"accept": outbound.accept(inbound.headers), "x-request-id": request_id}
    if content is not None:
        headers["content-type"] = content.content_type
    trace = outbound.traceparent(inbound.headers)
    if trace is not None:
        headers["traceparent"] = trace
    return headers


def _asks_usage(values: Mapping[str, object]) -> bool:
    options = values.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _sent(content: Payload, route: Route, *, hide_usage: bool) -> bytes:
    """Return the bytes that were checked, but for what the policy demands."""
    changes: dict[str, object] = {}
    if content.values.get("model") not in (None, route.deployment):
        changes["model"] = route.deployment
    if hide_usage:
        options = content.values.get("stream_options")
        changes["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return content.rewritten(changes) if changes else content.data
