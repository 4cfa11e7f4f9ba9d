"""The text of an audit line: what a value may be, and a record as one line of printable ASCII."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

MAX_VALUE: Final = 256
"""Bytes of UTF-8 that a single value may have in a record; what is longer is cut (threat T23)."""

_FAST: Final = msgspec.json.Encoder()
# ensure_ascii escapes every C0 and C1 control, DEL and all bidirectional marks along with everything else beyond ASCII.
_THOROUGH: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def clean(value: str | None) -> str | None:
    """Return `value` fit for a record: at most MAX_VALUE bytes, and no unpaired surrogate."""
    if value is None or (len(value) <= MAX_VALUE and value.isascii()):
        return value
    return value.encode("utf-8", "replace")[:MAX_VALUE].decode("utf-8", "ignore")


def encode(record: msgspec.Struct) -> bytes:
    """Return `record` as one line of printable ASCII, with its line feed."""
    line = _FAST.encode(record)
    # It escapes C0, quotes and backslashes. "<" goes too, so that a record stays text in whatever page shows it.
    if not line.isascii() or b"\x7f" in line or b"<" in line:
        line = _THOROUGH.encode(msgspec.json.decode(line)).replace("<", "\\u003c").encode("ascii")
    return line + b"\n"


def timestamp(seconds: float) -> str:
    """Return `seconds` since 1970 in RFC 3339, UTC, with milliseconds."""
    whole, millis = divmod(int(seconds * 1000), 1000)
    return f"{_to_the_second(whole)}.{millis:03d}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
