"""Identity from the headers of App Service Authentication (`GROUPGATE_IDENTITY=easyauth`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.identity.claims import principal_of
from shared.identity.document import parse_header
from shared.identity.issuers import Issuers
from shared.identity.remembered import Remembered
from shared.model import Ambiguous, Headers, Principal, Reason
from shared.ports import Clock
from shared.problem import Unauthenticated

PRINCIPAL: Final = "x-ms-client-principal"
PRINCIPAL_ID: Final = "x-ms-client-principal-id"
PRINCIPAL_IDP: Final = "x-ms-client-principal-idp"
PROVIDER: Final = "aad"
MAX_SKEW: Final = 120
"""Seconds that `iat` may be ahead of the clock (ruling "Easy Auth")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What one header text says, for ever: a pure function of it. Nothing here depends on time or environment."""

    principal: Principal
    issuer: str | None


class EasyAuth:
    """Believes the platform's principal headers, only while the platform says that it sets them.

    `tenant` is a canonical id; `platform_auth_enabled` is asked for each request (threat S01), since nothing strips a
    caller's own headers while App Service Authentication is off.
    """

    def __init__(
        self, *, tenant: str, issuers: Issuers, platform_auth_enabled: Callable[[], bool], clock: Clock
    ) -> None:
        self._tenant = tenant
        self._issuers = issuers
        self._platform_auth_enabled = platform_auth_enabled
        self._clock = clock
        self._known: Remembered[str, _Known] = Remembered()

    async def authenticate(self, headers: Headers) -> Principal:
        """Return the caller that the headers name; raise Unauthenticated, or Undecidable (issuers not known).

        The three headers belong together: an id that is not the document's `oid` (threat S14), another provider
        (threat S05) or any header that came twice (threat S08) is refused.
        """
        if not self._platform_auth_enabled():
            raise Unauthenticated(Reason.PLATFORM_AUTH_OFF)
        try:
            text, object_id, provider = map(headers.get, (PRINCIPAL, PRINCIPAL_ID, PRINCIPAL_IDP))
        except Ambiguous:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED) from None
        if not text:
            raise Unauthenticated(Reason.PRINCIPAL_MISSING)
        if object_id is None or provider is None:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
        if provider != PROVIDER:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED if "," in provider else Reason.PROVIDER_MISMATCH)
        principal = await self._principal(text)
        if object_id.lower() != principal.oid:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
        issued_at = principal.issued_at
        if issued_at is not None and issued_at > self._clock.time() + MAX_SKEW:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
        return principal

    async def _principal(self, text: str) -> Principal:
        known = self._known.get(text)
        if known is not None:
            if known.issuer is not None and known.issuer not in await self._issuers():
                raise Unauthenticated(Reason.ISSUER_MISMATCH)
            return known.principal
        document = parse_header(text)
        if document.auth_typ != PROVIDER:
            raise Unauthenticated(Reason.PROVIDER_MISMATCH)
        issuer = document.claims.one("iss")
        # Where the principal names no issuer there is none to compare, and nobody's document is needed for it.
        issuers = frozenset[str]() if issuer is None else await self._issuers()
        principal = principal_of(document.claims, tenant=self._tenant, issuers=issuers)
        self._known.put(text, _Known(principal=principal, issuer=issuer), size=len(text))
        return principal
