"""Principals as App Service Authentication would send them, and the clock that a test moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from shared.identity.easyauth import EasyAuth
from shared.identity.issuers import fixed, public_issuers
from shared.model import Headers

TENANT = "8c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"
FOREIGN_TENANT = "99999999-1111-4222-8333-444444444444"
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
OID = "22222222-aaaa-4bbb-8ccc-000000000001"
OTHER_OID = "22222222-aaaa-4bbb-8ccc-000000000002"
CLIENT = "b7a6c5d4-e3f2-4a1b-9c8d-7e6f5a4b3c2d"
GROUP = "11111111-aaaa-4bbb-8ccc-000000000001"
OTHER_GROUP = "11111111-aaaa-4bbb-8ccc-000000000002"
SUB = "rR6NQYg3olb7a8ym7A1PNUnOMQBY9eLw"
ISSUER_1 = f"https://sts.windows.net/{TENANT}/"
ISSUER_2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
NOW = 1_760_000_000

LONG = {
    "oid": "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "tid": "http://schemas.microsoft.com/identity/claims/tenantid",
    "sub": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
    "idp": "http://schemas.microsoft.com/identity/claims/identityprovider",
    "scp": "http://schemas.microsoft.com/identity/claims/scope",
    "roles": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
}
EMAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"

Pairs = list[tuple[str, str]]


class FakeClock:
    """Both clocks, moved by the test."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.ticks = 1_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.ticks += seconds


def user(**changed: str | None) -> Pairs:
    """Return the claims of a member of the tenant, short names; a keyword replaces a claim, None removes it."""
    claims: dict[str, str | None] = {
        "aud": "3f2b0c1d-5a64-4e0a-9b43-7d7f2f6c1a10",
        "iss": ISSUER_2,
        "iat": str(NOW - 60),
        "groups": GROUP,
        "name": "Ada Example",
        "preferred_username": "ada@example.org",
        "oid": OID,
        "sub": SUB,
        "tid": TENANT,
        "azp": CLIENT,
        "ver": "2.0",
    }
    return [(name, value) for name, value in (claims | changed).items() if value is not None]


def app(**changed: str | None) -> Pairs:
    """Return the claims of a managed identity, as in a version 1 token."""
    claims: dict[str, str | None] = {
        "azp": None,
        "appid": CLIENT,
        "groups": None,
        "idtyp": "app",
        "iss": ISSUER_1,
        "name": None,
        "preferred_username": None,
        "sub": OID,
        "ver": "1.0",
    }
    return user(**(claims | changed))


def lengthened(pairs: Pairs) -> Pairs:
    """Return the same claims under the names that the platform writes with the token store on."""
    return [(LONG.get(name, name), value) for name, value in pairs]


def document(pairs: Iterable[tuple[str, str]], **changed: object) -> dict[str, object]:
    """Return the JSON document of a principal; a keyword replaces a top-level member."""
    return {
        "auth_typ": "aad",
        "claims": [{"typ": typ, "val": value} for typ, value in pairs],
        "name_typ": EMAIL,
        "role_typ": LONG["roles"],
    } | changed


def compact(value: object) -> bytes:
    """Return JSON as the platform writes it: no white space, slashes escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("/", "\\/").encode()


def encoded(pairs: Iterable[tuple[str, str]], **changed: object) -> str:
    """Return the value of the principal header."""
    return base64.b64encode(compact(document(pairs, **changed))).decode()


def headers(principal: str | None, *more: tuple[str, str], oid: str = OID, idp: str = "aad") -> Headers:
    """Return the platform's headers around a principal header's value, and `more`."""
    pairs = [("X-MS-CLIENT-PRINCIPAL-ID", oid), ("X-MS-CLIENT-PRINCIPAL-IDP", idp), *more]
    if principal is not None:
        pairs.append(("X-MS-CLIENT-PRINCIPAL", principal))
    return Headers(pairs)


def gatekeeper(*, enabled: bool = True, clock: FakeClock | None = None, tenant: str = TENANT) -> EasyAuth:
    """Return an EasyAuth of the public cloud."""
    return EasyAuth(
        tenant=tenant,
        issuers=fixed(public_issuers(tenant)),
        platform_auth_enabled=lambda: enabled,
        clock=clock or FakeClock(),
    )
