"""A model request in the words of the model's side: one name for the model, the headers, and the bytes that are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.backends import headers as outbound
from shared.backends.payload import Payload
from shared.backends.target import Target
from shared.model import Inbound, Route, Rule
from shared.problem import AskedWrongly, Slug

DEFAULT_MAX_TOKENS: Final = 1024
"""Tokens to reserve for an answer where neither request nor policy bounds it."""
_NAMING: Final = ("azureml-model-deployment", "x-ms-model-mesh-model-name")
"""Headers by which services take a model's name; never sent on."""


def one_name(to: Target, content: Payload, inbound: Inbound) -> str:
    """Return the model that every place names; raise AskedWrongly when two differ, or none names it (threat T06)."""
    in_body = content.values.get("model")
    named = [inbound.headers.joined(header) for header in _NAMING]
    if in_body is not None:
        if not isinstance(in_body, str):
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="The model must be named by a text.")
        named.append(in_body)
    if to.model is not None:
        named.append(to.model)
    elif in_body is None:
        raise AskedWrongly(Slug.INVALID_REQUEST, detail="The body names no model.")
    names = {name for name in named if name is not None}
    if len(names) != 1:
        raise AskedWrongly(
            Slug.INVALID_REQUEST, detail="The request names two models; name one, and alike everywhere."
        )
    return names.pop()


def headers(inbound: Inbound, content: Payload | None, request_id: str) -> Mapping[str, str]:
    """Return every header that goes upstream but the gate's token (threats T12, T13)."""
    headers = {"accept": outbound.accept(inbound.headers), "x-request-id": request_id}
    if content is not None:
        headers["content-type"] = content.content_type
    trace = outbound.traceparent(inbound.headers)
    if trace is not None:
        headers["traceparent"] = trace
    return headers


def unbounded(route: Route, rule: Rule) -> int:
    """Return the tokens to reserve for an answer that nothing bounds.

    Where the policy does not say, a tenth of the limit is enough: else a small limit would let nobody in beside the first.
    """
    if route.default_max_tokens is not None:
        return route.default_max_tokens
    tokens_limit = None if rule.limits is None else rule.limits.tokens
    return (
        DEFAULT_MAX_TOKENS
        if tokens_limit is None
        else min(DEFAULT_MAX_TOKENS, max(1, tokens_limit.amount // 10))
    )


def asks_usage(values: Mapping[str, object]) -> bool:
    """Say whether the caller itself wants a stream's usage."""
    options = values.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def sent(content: Payload, route: Route, *, hide_usage: bool) -> bytes:
    """Return the bytes that were checked, but for what the policy demands."""
    changes: dict[str, object] = {}
    if content.values.get("model") not in (None, route.deployment):
        changes["model"] = route.deployment
    if hide_usage:
        options = content.values.get("stream_options")
        changes["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return content.rewritten(changes) if changes else content.data
