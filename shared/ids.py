"""Object, tenant and client ids of Entra: one canonical spelling, and nothing that only looks like one (S12)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHAPE: Final = b"00000000-0000-0000-0000-000000000000"
_DIGITS: Final = bytes.maketrans(b"123456789abcdefABCDEF", b"0" * 21)


def guid(text: str) -> str | None:
    """Return the canonical lower-case form of an object, tenant or client id; None when it is none (threat S12).

    `uuid.UUID` is no check: it takes braces, `urn:uuid:` and odd dashes.
    """
    # Not ASCII first: the Kelvin sign and its like turn into ASCII letters in lower case.
    lower = text.lower() if text.isascii() else ""
    return lower if _GUID.fullmatch(lower) else None


def guids(values: Iterable[str]) -> frozenset[str]:
    """Return the canonical forms of those `values` that are ids; what is none is left out.

    A caller in 200 groups brings 200 of them: all are compared with the shape at once, one by one only when that fails.
    """
    listed = list(values)
    joined = "\n".join(listed)
    if joined.isascii() and joined.encode().translate(_DIGITS) == b"\n".join([_SHAPE] * len(listed)):
        return frozenset(joined.lower().split("\n")) if listed else frozenset()
    return frozenset(lower for lower in map(guid, listed) if lower is not None)
