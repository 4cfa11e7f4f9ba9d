"""Checks on a token that the gate was given for itself, before it is ever shown to anybody (threats E11, F19)."""

from __future__ import annotations

import base64
import math
import re
from typing import Final

from shared.ids import guid
from shared.strictjson import loads_object

_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")
"""A token is opaque to its client: anything that can neither end a header nor be taken for two."""
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]*\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
"""The compact form of a JWT: its first part is a JSON object in base64url, and `{"` encodes to `eyJ`."""
_GRAPH_APP: Final = "00000003-0000-0000-c000-000000000000"
_GRAPH_HOST: Final = re.compile(r"https://(dod-)?(graph\.microsoft\.|microsoftgraph\.)[^/]+/?")


class BadToken(ValueError):
    """The token is unusable; the message says why and holds nothing of it."""


def expiry(token: object, expires_on: float, *, scope: str) -> float:
    """Return when `token` ends, in seconds since 1970: the earlier of `expires_on` and its own `exp`.

    Raise BadToken for what is no bearer token or is a JWT for another audience than `scope`'s resource. A token that is
    no JWT is opaque and taken as it is; a JWT is not verified here, which is for whoever receives it.
    """
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):
        raise BadToken("not a bearer token")
    if not math.isfinite(expires_on):
        raise BadToken("no expiry")
    compact = _JWT.fullmatch(token)
    if compact is None:
        return expires_on
    claims = _claims(compact[1])
    audience = claims.get("aud")
    if audience is not None and not (
        isinstance(audience, str) and _is_for(audience, scope.removesuffix("/.default"))
    ):
        raise BadToken("for another audience")
    own = claims.get("exp")
    return min(expires_on, own) if isinstance(own, int | float) else expires_on


def _claims(payload: str) -> dict[str, object]:
    try:
        return loads_object(
            base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        )
    except ValueError:
        raise BadToken("a JWT without claims") from None


def _is_for(audience: str, resource: str) -> bool:
    """Say whether `audience` names `resource`: as its URL, or as an application id.

    Which application id a resource has is published for Graph alone; so a Graph token is for Graph only, and whether
    any other id is right is left to the resource itself.
    """
    if guid(audience) is not None:
        return (guid(audience) == _GRAPH_APP) == (_GRAPH_HOST.fullmatch(resource) is not None)
    return audience.rstrip("/").lower() == resource.rstrip("/").lower()
