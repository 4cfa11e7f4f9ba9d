"""The principal document of App Service Authentication: from header text, or from its JSON, to claims.

Pure, and strict: anything but the documented shape is refused, such as the one that Static Web Apps puts into the same
header (threat S04).
"""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Final

import msgspec

from shared import strictjson
from shared.identity.claims import Claims
from shared.model import Reason
from shared.problem import Unauthenticated

MAX_HEADER: Final = 64 * 1024
"""Base64 characters. A caller in 200 groups sends 17,000 (protocols 1.7)."""
MAX_CLAIMS: Final = 2_000
MAX_VALUE: Final = 4_096
"""Characters of one claim value."""


class _Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    typ: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)]
    val: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    auth_typ: str
    claims: Annotated[list[_Claim], msgspec.Meta(max_length=MAX_CLAIMS)]
    name_typ: str | msgspec.UnsetType = msgspec.UNSET
    role_typ: str | msgspec.UnsetType = msgspec.UNSET


_DECODER: Final = msgspec.json.Decoder(_Document)
_PAIR: Final = attrgetter("typ", "val")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalDocument:
    """What a principal document says, unverified: the provider, and the claims."""

    auth_typ: str
    claims: Claims


def parse_header(text: str) -> PrincipalDocument:
    """Return what the value of `X-MS-CLIENT-PRINCIPAL` says; raise Unauthenticated(principal-malformed)."""
    return parse_principal(_unbase64(text))


def parse_principal(data: bytes) -> PrincipalDocument:
    """Return what the JSON of a principal says; raise Unauthenticated(principal-malformed).

    The shape is `{auth_typ, claims: [{typ, val}], name_typ?, role_typ?}`, every value a string (protocols 1.2).
    """
    try:
        document = _DECODER.decode(data)
        if data.count(b'"') != _quotes(document):
            # Escaped quotes, which are lawful, or a name that came twice, of which the decoder saw the last.
            document = msgspec.convert(strictjson.loads(data), _Document)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED) from None
    return PrincipalDocument(auth_typ=document.auth_typ, claims=Claims.of(map(_PAIR, document.claims)))


def _quotes(document: _Document) -> int:
    """Return how many quotes the JSON of `document` has, when no name comes twice and no quote is escaped.

    What was decoded accounts for at least so many, and a further name for two more: the same count proves that no
    name was said twice, at a fraction of what it costs to look for one.
    """
    optional = (document.name_typ is not msgspec.UNSET) + (document.role_typ is not msgspec.UNSET)
    # Names and string values have two quotes each: two strings in a claim twice, `auth_typ` and its value, `claims`.
    return 8 * len(document.claims) + 4 + 2 + 4 * optional


def _unbase64(text: str) -> bytes:
    """Return the bytes of standard base64, strictly: padded or not padded at all, nothing else loose.

    Missing padding is added, since the platform may drop it (protocols 1.1). A comma, which joins two headers of one
    name (threat S08), is outside the alphabet.
    """
    if len(text) > MAX_HEADER:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    if len(text) % 4 and not text.endswith("="):
        text += "=" * (-len(text) % 4)
    try:
        data = msgspec.convert(text, bytes)
    except (msgspec.MsgspecError, ValueError):
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED) from None
    # The decoder forgives bits that are left over in the last character: one text for one document.
    tail = len(data) - (len(data) - 1) % 3 - 1
    if b2a_base64(data[tail:], newline=False).decode() != text[-4:]:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    return data
