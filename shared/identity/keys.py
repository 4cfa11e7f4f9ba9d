"""What the tenant's authority publishes: its issuers, and the keys that it signs with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared import strictjson
from shared.identity import keyset
from shared.identity.issuers import PUBLIC_AUTHORITY, public_issuers
from shared.identity.kept import Kept
from shared.identity.keyset import KeySet
from shared.ports import Clock, Transport

TIMEOUT: Final = 3.0
"""Seconds for one document."""
MAX_DOCUMENT: Final = 1024 * 1024


class AuthorityFault(Exception):
    """The authority answered, but not with what it documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Discovery:
    issuer: str
    jwks_uri: str


class Authority:
    """The issuers and signing keys of `tenant` at `url` (`GROUPGATE_AUTHORITY`, without a trailing slash).

    Of the public cloud the issuers are known; of another authority its discovery document says the issuer, and is kept
    for good once it came. Every method raises Undecidable(keys-unavailable) while nothing could be fetched.
    """

    def __init__(self, *, url: str, tenant: str, transport: Transport, clock: Clock) -> None:
        self._url = url
        self._tenant = tenant
        self._transport = transport
        self._clock = clock
        self._public = public_issuers(tenant) if url == PUBLIC_AUTHORITY else None
        self._discovery = Kept(self._fetch_discovery, clock=clock, what="discovery document")
        self._keys = Kept(self._fetch_keys, clock=clock, what="signing keys")

    async def issuers(self) -> frozenset[str]:
        """Return the exact texts that `iss` may be."""
        if self._public is not None:
            return self._public
        return frozenset({(await self._discovery.get()).issuer})

    async def keys(self) -> KeySet:
        """Return the signing keys: fetched once, renewed beside requests, the old ones kept when that fails."""
        return await self._keys.get()

    async def newer_keys(self, seen: KeySet) -> KeySet:
        """Return keys newer than `seen`, for a `kid` that it lacks: at most one fetch in five minutes (threat S22)."""
        return await self._keys.newer(seen)

    async def _fetch_discovery(self) -> _Discovery:
        document = await self._fetch(f"{self._url}/{self._tenant}/v2.0/.well-known/openid-configuration")
        issuer, jwks_uri = document.get("issuer"), document.get("jwks_uri")
        # Asked for one tenant, an authority has no reason to answer with a template for all (`{tenantid}`).
        if not isinstance(issuer, str) or not issuer or "{" in issuer:
            raise AuthorityFault("issuer")
        if not isinstance(jwks_uri, str) or _origin(jwks_uri) != _origin(self._url):
            # Keys are taken from the configured authority and from nowhere that a document points to.
            raise AuthorityFault("jwks_uri")
        return _Discovery(issuer=issuer, jwks_uri=jwks_uri)

    async def _fetch_keys(self) -> KeySet:
        return keyset.parse(await self._fetch((await self._discovery.get()).jwks_uri))

    async def _fetch(self, url: str) -> dict[str, object]:
        deadline = self._clock.monotonic() + TIMEOUT
        answer = await self._transport.send(
            "GET", url, headers={"accept": "application/json"}, body=None, deadline=deadline
        )
        try:
            if answer.status != 200:
                raise AuthorityFault(f"status {answer.status}")
            return strictjson.loads_object(await answer.read(MAX_DOCUMENT))
        finally:
            answer.close()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, which together say whose document it is (RFC 6454); raise ValueError."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or not url.isascii() or "\\" in url:
        raise ValueError("not a plain URL")
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
