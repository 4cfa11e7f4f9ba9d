"""What may stand in the headers that go out: every value is the gate's own, or matches a pattern in full (T11 to T13)."""

from __future__ import annotations

import re
from typing import Final

from shared.model import Ambiguous, Headers

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{1,256}")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CHARSET: Final = re.compile(r'charset=("?)utf-8\1', re.IGNORECASE | re.ASCII)
_BOUNDARY: Final = re.compile(r"""boundary=("?)[A-Za-z0-9'()+_./:=?-]{1,70}\1""", re.IGNORECASE | re.ASCII)


def single(headers: Headers, name: str) -> str | None:
    """Return the value of a lower-case `name`, None when it is absent or came more than once."""
    try:
        return headers.get(name)
    except Ambiguous:
        return None


def content_type(value: str | None, accepted: frozenset[str]) -> str | None:
    """Return the Content-Type to send for the caller's `value`: one of `accepted`, with charset or boundary; else None.

    Any other parameter, and any charset but UTF-8, makes it unacceptable (threat T08).
    """
    if value is None:
        return None
    essence, *parameters = (part.strip() for part in value.split(";"))
    essence = essence.lower()
    if essence not in accepted:
        return None
    for parameter in parameters:
        if not (_CHARSET.fullmatch(parameter) or _BOUNDARY.fullmatch(parameter)):
            return None
    return "; ".join((essence, *parameters))


def accept(headers: Headers) -> str:
    """Return the Accept to send: the caller's when it is plain printable text, else anything."""
    value = single(headers, "accept")
    return value if value is not None and _PRINTABLE.fullmatch(value) else "*/*"


def traceparent(headers: Headers) -> str | None:
    """Return the caller's W3C traceparent when it is well formed; tracestate and baggage never go on (threat T24)."""
    value = single(headers, "traceparent")
    return value if value is not None and _TRACEPARENT.fullmatch(value) else None


def printable(value: str | None) -> str | None:
    """Return a header value of the model's side when it is short printable text, else None."""
    return value if value is not None and _PRINTABLE.fullmatch(value) else None
