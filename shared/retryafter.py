"""The one reader of `Retry-After`: total, bounded, never surprised (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MAX: Final = 86_400
"""Seconds; what is longer counts as this (ruling "Retry-After")."""

_LONGEST: Final = 64
_SECONDS: Final = re.compile(r"([0-9]+)(\.[0-9]*)?")


def parse(value: str | None, *, now: float, cap: int = MAX) -> int | None:
    """Return the whole seconds that `value` asks to wait, rounded up, within [0, cap]; None for nonsense and nothing.

    `now` is the wall clock in seconds since 1970, against which an HTTP date is held; a past date is 0.
    """
    if value is None or not value.isascii():
        return None
    text = value.strip()
    if len(text) > _LONGEST:
        return None
    seconds = _SECONDS.fullmatch(text)
    if seconds is None:
        return _from_date(text, now=now, cap=cap)
    if len(seconds[1].lstrip("0")) > len(str(cap)):
        return cap
    return min(cap, math.ceil(float(text)))


def _from_date(text: str, *, now: float, cap: int) -> int | None:
    try:
        date = parsedate_to_datetime(text)
        # Without a zone it is UTC, as every HTTP date is; the machine's own zone has no say.
        left = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        # The standard library's parser is lenient and refuses impossible dates in each of these ways.
        return None
    return min(cap, max(0, math.ceil(left)))
