"""Base64url without padding (RFC 7515, section 2), strictly: one text for each run of bytes."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")


def decode(text: str) -> bytes:
    """Return the bytes that `text` stands for; raise ValueError for padding, white space or left-over bits."""
    if not _ALPHABET.fullmatch(text):
        raise ValueError("not base64url")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64url")
    return data
