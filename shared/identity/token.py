"""Bearer tokens, verified in the app (`GROUPGATE_IDENTITY=token`). The only importer of jwt.

The library checks key and signature and no more. Its claim checks take numbers as text, lists of audiences, duplicate
names and the machine's own clock (threats, fact 11), so every claim is checked here, on the clock that the gate is
given, for a token that is remembered as for one that is new.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from shared import strictjson
from shared.identity import base64url
from shared.identity.claims import Claims, principal_of
from shared.identity.issuers import VERSION_1, VERSION_2
from shared.identity.keyset import ALGORITHM, KeySet
from shared.identity.remembered import Remembered
from shared.model import Ambiguous, Headers, Principal, Reason
from shared.ports import Clock
from shared.problem import Unauthenticated

MAX_TOKEN: Final = 16 * 1024
"""Characters (threat S20). A token with 200 groups has 12,500; Entra leaves groups out beyond that."""
LEEWAY: Final = 120
"""Seconds between the clocks of Entra and of the gate."""
MAX_LIFETIME: Final = 24 * 3_600
"""Seconds from `iat` to `exp`. Tokens of continuous access evaluation live longer, and are not asked for."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")
_BEARER: Final = re.compile(r"bearer ([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_REFUSED: Final = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"})
"""Header parameters that name keys, change what is signed, or wrap another token (RFC 7515, 7516, 7797)."""
_VERSIONS: Final = {"1.0": VERSION_1, "2.0": VERSION_2}
_JWS: Final = PyJWS(algorithms=[ALGORITHM])


class KeySource(Protocol):
    """Where issuers and signing keys come from: `keys.Authority`, or a fake."""

    async def issuers(self) -> frozenset[str]:
        """Return the exact texts that `iss` may be; raise Undecidable(keys-unavailable)."""

    async def keys(self) -> KeySet:
        """Return the signing keys; raise Undecidable(keys-unavailable)."""

    async def newer_keys(self, seen: KeySet) -> KeySet:
        """Return newer keys than `seen` where they may be had; raise Undecidable(keys-unavailable)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A token that was verified, for as long as the same keys and issuers hold."""

    principal: Principal
    claims: Claims
    keys: KeySet
    issuers: frozenset[str]


class TokenVerifier:
    """Verifies the bearer token of a request. The platform's own headers are not looked at (ruling "Easy Auth")."""

    def __init__(self, *, tenant: str, audiences: frozenset[str], source: KeySource, clock: Clock) -> None:
        self._tenant = tenant
        self._audiences = audiences
        self._source = source
        self._clock = clock
        self._known: Remembered[bytes, _Known] = Remembered()

    async def authenticate(self, headers: Headers) -> Principal:
        """Return the caller that the bearer token names; raise Unauthenticated, or Undecidable (keys unavailable)."""
        token = bearer(headers)
        if token is None:
            raise Unauthenticated(Reason.PRINCIPAL_MISSING)
        return await self.verify(token)

    async def verify(self, token: str) -> Principal:
        """Return who a token proves to be calling.

        Raise Unauthenticated: token-invalid, audience-mismatch, issuer-mismatch, tenant-mismatch or
        principal-malformed; Undecidable(keys-unavailable) when its key cannot be known.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise Unauthenticated(Reason.TOKEN_INVALID)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or not await self._holds(known):
            known = await self._verified(token)
            self._known.put(digest, known, size=len(token))
        try:
            _check_times(known.claims, now=self._clock.time())
        except Unauthenticated:
            self._known.drop(digest)
            raise
        return known.principal

    async def judge(self, payload: bytes) -> Principal:
        """Return whom the claims in `payload` name, as if a good key had signed them: for `groupgate explain` alone.

        Raise as `verify` does.
        """
        claims, principal = self._judged(payload, await self._source.issuers())
        _check_times(claims, now=self._clock.time())
        return principal

    async def _holds(self, known: _Known) -> bool:
        """Say whether keys and issuers are still those that `known` was verified by."""
        return known.keys is await self._source.keys() and known.issuers == await self._source.issuers()

    async def _verified(self, token: str) -> _Known:
        """Check everything about a token but its times, which change their meaning while it is remembered."""
        # Before any key is fetched: what can never be a token of Entra costs nobody a call.
        kid = key_id(token)
        keys, issuers = await self._source.keys(), await self._source.issuers()
        if kid not in keys.keys:
            keys = await self._source.newer_keys(keys)
        claims, principal = self._judged(verified_payload(token, keys), issuers)
        return _Known(principal=principal, claims=claims, keys=keys, issuers=issuers)

    def _judged(self, payload: bytes, issuers: frozenset[str]) -> tuple[Claims, Principal]:
        claims = _claims(payload, audiences=self._audiences)
        principal = principal_of(claims, tenant=self._tenant, issuers=issuers, issuer_required=True)
        _check_version(claims, tenant=self._tenant)
        return claims, principal


def bearer(headers: Headers) -> str | None:
    """Return the bearer token of `Authorization` (RFC 6750, section 2.1), None when there is none of that scheme.

    Raise Unauthenticated(principal-malformed) for a header that came twice, in one line or two, or is no b64token.
    """
    try:
        value = headers.get("authorization")
    except Ambiguous:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED) from None
    if value is None or value.partition(" ")[0].lower() != "bearer":
        return None
    match = _BEARER.fullmatch(value)
    if match is None:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    return match[1]


def key_id(token: str) -> str:
    """Return the `kid` of a token in JWS compact form; raise Unauthenticated(token-invalid).

    The header is checked before the library sees it: strict JSON, RS256 and nothing else, no parameter that would
    change what is verified (threat S20). `kid` is a key of a dictionary and no more.
    """
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise Unauthenticated(Reason.TOKEN_INVALID)
    try:
        header = strictjson.loads_object(base64url.decode(match[1]))
    except ValueError:
        raise Unauthenticated(Reason.TOKEN_INVALID) from None
    kid, typ = header.get("kid"), header.get("typ", "JWT")
    if (
        header.get("alg") != ALGORITHM
        or not _REFUSED.isdisjoint(header)
        or not isinstance(typ, str)
        or typ.lower() not in _TYPES
        or not isinstance(kid, str)
    ):
        raise Unauthenticated(Reason.TOKEN_INVALID)
    return kid


def verified_payload(token: str, keys: KeySet) -> bytes:
    """Return the payload that one of `keys` signed: the step of key and signature alone, whatever the payload is.

    Raise Unauthenticated(token-invalid) for every other token.
    """
    key = keys.keys.get(key_id(token))
    if key is None:
        raise Unauthenticated(Reason.TOKEN_INVALID)
    try:
        decoded = _JWS.decode_complete(
            token,
            key,
            algorithms=[ALGORITHM],
            options={"verify_signature": True, "enforce_minimum_key_length": True},
            detached_payload=None,
        )
    except PyJWTError:
        raise Unauthenticated(Reason.TOKEN_INVALID) from None
    payload: bytes = decoded["payload"]
    return payload


def _claims(payload: bytes, *, audiences: frozenset[str]) -> Claims:
    """Return the claims of a verified payload: strict JSON, for one audience, with all that must be there."""
    try:
        members: Mapping[str, object] = strictjson.loads_object(payload)
    except strictjson.StrictJsonError:
        raise Unauthenticated(Reason.TOKEN_INVALID) from None
    # An ID token of another app, or a token for Graph, is a good token: for somebody else.
    audience = members.get("aud")
    if not isinstance(audience, str) or audience not in audiences:
        raise Unauthenticated(Reason.AUDIENCE_MISMATCH)
    if any(members.get(name) is None for name in ("exp", "iat", "oid")):
        raise Unauthenticated(Reason.TOKEN_INVALID)
    return Claims.of_token(members)


def _check_version(claims: Claims, *, tenant: str) -> None:
    """Refuse a token of the public cloud whose `ver` is not that of its issuer's form (threat S21)."""
    issuer = claims.one("iss")
    if issuer not in (VERSION_1.format(tenant), VERSION_2.format(tenant)):
        return
    form = _VERSIONS.get(claims.one("ver") or "")
    if form is None or form.format(tenant) != issuer:
        raise Unauthenticated(Reason.TOKEN_INVALID)


def _check_times(claims: Claims, *, now: float) -> None:
    """Refuse a token that is over, not begun, or good for longer than any of Entra's."""
    issued, expires, not_before = claims.seconds("iat"), claims.seconds("exp"), claims.seconds("nbf")
    if issued is None or expires is None:
        raise Unauthenticated(Reason.TOKEN_INVALID)
    begins = max(issued, not_before or issued)
    if expires + LEEWAY <= now or begins > now + LEEWAY or not 0 < expires - issued <= MAX_LIFETIME:
        raise Unauthenticated(Reason.TOKEN_INVALID)
