"""The platform's headers and a verified token, which must name the same caller (`GROUPGATE_IDENTITY=both`)."""

from __future__ import annotations

from copy import replace
from typing import Final

from shared.identity.easyauth import EasyAuth
from shared.identity.token import TokenVerifier, bearer
from shared.model import Ambiguous, Headers, Kind, Principal, Reason
from shared.problem import Unauthenticated

ID_TOKEN: Final = "x-ms-token-aad-id-token"  # noqa: S105 - a header's name


class Both:
    """Believes nothing that only the platform's headers say: they must fit a token with Entra's signature.

    The caller is who the token proves, with the token's kind, client, groups, roles and age. What the headers add is
    only ever used against the caller: a guest by their account is a guest, whatever the token leaves out.
    """

    def __init__(self, *, easyauth: EasyAuth, verifier: TokenVerifier) -> None:
        self._easyauth = easyauth
        self._verifier = verifier

    async def authenticate(self, headers: Headers) -> Principal:
        """Return the caller; raise Unauthenticated, or Undecidable (keys unavailable).

        The token is the bearer's, else the ID token of the token store. A bearer token that is not good is refused,
        not replaced by the other.
        """
        claimed = await self._easyauth.authenticate(headers)
        proven = await self._verifier.verify(_token(headers))
        if (claimed.tenant, claimed.oid) != (proven.tenant, proven.oid):
            raise Unauthenticated(Reason.TOKEN_INVALID)
        if proven.kind is claimed.kind or Kind.UNDECIDED in (claimed.kind, proven.kind):
            return proven
        if Kind.APP in (claimed.kind, proven.kind):
            raise Unauthenticated(Reason.TOKEN_INVALID)
        return replace(proven, kind=Kind.GUEST)


def _token(headers: Headers) -> str:
    token = bearer(headers)
    if token is not None:
        return token
    try:
        token = headers.get(ID_TOKEN)
    except Ambiguous:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED) from None
    if not token:
        raise Unauthenticated(Reason.PRINCIPAL_MISSING)
    return token
