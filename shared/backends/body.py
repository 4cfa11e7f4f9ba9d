"""Reading a request's body: bounded, of a declared length where the host needs one, never compressed, never empty."""

from __future__ import annotations

from shared.model import Inbound
from shared.problem import AskedWrongly, Slug


def check_length(inbound: Inbound, limit: int) -> None:
    """Raise AskedWrongly for a body without the length that the host needs (411), or beyond `limit` bytes (413)."""
    length = inbound.body.length
    if length == 0 or (length is None and not inbound.body.chunked):
        raise AskedWrongly(Slug.LENGTH_REQUIRED)
    if length is not None and length > limit:
        raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)


def check_encoding(inbound: Inbound) -> None:
    """Raise AskedWrongly (415) for a compressed body (threat D03)."""
    encoding = inbound.headers.joined("content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise AskedWrongly(Slug.UNSUPPORTED_MEDIA_TYPE)


async def read(inbound: Inbound, limit: int) -> bytes:
    """Return the whole body; raise AskedWrongly beyond `limit` bytes, and for none at all."""
    body = await inbound.body.read(limit)
    if not body:
        # A chunked body that turns out empty: nothing is ever forwarded as if it were the caller's (threats, fact 3).
        raise AskedWrongly(Slug.LENGTH_REQUIRED)
    return body
