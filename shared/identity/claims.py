"""Claims, and who they say is calling. Pure: the same claims always make the same principal.

Only (`tid`, `oid`) names a caller. Names and addresses of people can change hands and are not even kept (threat S13),
`wids` are public constants, `role_typ` and `name_typ` are ignored (threat S10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from shared.ids import guid, guids
from shared.model import Kind, Principal, Reason
from shared.problem import Unauthenticated

_MICROSOFT: Final = "http://schemas.microsoft.com"
_XMLSOAP: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"

_TIMES: Final = frozenset({"iat", "nbf", "exp"})
_SINGLE: Final = (
    frozenset({"oid", "tid", "sub", "iss", "idp", "idtyp", "acct", "azp", "appid", "aud", "ver"}) | _TIMES
)
_MANY: Final = frozenset({"scp", "roles", "groups"})
_OVERAGE: Final = frozenset({"hasgroups", "_claim_names", "_claim_sources", "groups:src1"})

SPELLINGS: Final[Mapping[str, str]] = MappingProxyType(
    {name: name for name in _SINGLE | _MANY | _OVERAGE}
    | {
        "role": "roles",
        f"{_MICROSOFT}/identity/claims/objectidentifier": "oid",
        f"{_MICROSOFT}/identity/claims/tenantid": "tid",
        f"{_XMLSOAP}/nameidentifier": "sub",
        f"{_MICROSOFT}/identity/claims/identityprovider": "idp",
        f"{_MICROSOFT}/identity/claims/scope": "scp",
        f"{_MICROSOFT}/ws/2008/06/identity/claims/role": "roles",
        f"{_MICROSOFT}/ws/2008/06/identity/claims/groups": "groups",
    }
)
"""Every claim type that is read, in every spelling that App Service Authentication gives it, to its short name.

Closed and compared exactly, never by suffix: the platform writes long names with the token store on, short ones with
it off (App Service, "Work with user identities").
"""

_SECONDS: Final = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Unverified claims: what a principal document or a token says, by short name, in the order it came."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Claims:
        """Return the claims of (type, value) pairs; types that SPELLINGS lacks are dropped."""
        values: dict[str, list[str]] = {}
        unread: list[str] = []
        last, listed = None, unread
        for typ, value in pairs:
            # A claim with many values is a run of entries: two hundred groups are looked up once.
            if typ != last:
                last, name = typ, SPELLINGS.get(typ)
                listed = unread if name is None else values.setdefault(name, [])
            listed.append(value)
        return cls(values={name: tuple(listed) for name, listed in values.items()})

    @classmethod
    def of_token(cls, payload: Mapping[str, object]) -> Claims:
        """Return the claims of a token's payload; raise Unauthenticated(principal-malformed) for a wrong type.

        A token has short names only. Its times and `acct` are whole numbers, `groups` and `roles` are lists of strings
        or one string, and what names the caller is one string: a list there is refused, even of one.
        """
        values: dict[str, tuple[str, ...]] = {}
        for name, value in payload.items():
            # A bool is an int to Python, and neither a time nor an account status.
            if name in _TIMES or (name == "acct" and type(value) is int):
                if type(value) is not int:
                    raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
                values[name] = (str(value),)
            elif name in _OVERAGE:
                values[name] = ("true",) if value else ()
            elif name in _SINGLE or name in _MANY:
                values[name] = _texts(value, many=name in _MANY)
        return cls(values=values)

    def one(self, name: str) -> str | None:
        """Return the value of a claim that an identity has once, None when it is absent.

        Raise Unauthenticated(principal-malformed) when two values differ, in one spelling or two (threat S07).
        """
        values = self.values.get(name, ())
        if not values:
            return None
        if len(values) > 1 and len(set(values)) > 1:
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
        return values[0]

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a claim that may repeat."""
        return self.values.get(name, ())

    def seconds(self, name: str) -> int | None:
        """Return a time in seconds since 1970, None when absent; raise Unauthenticated(principal-malformed)."""
        text = self.one(name)
        if text is None:
            return None
        if not _SECONDS.fullmatch(text):
            raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
        return int(text)

    @property
    def overage(self) -> bool:
        """Say whether a marker tells that groups were left out; its absence proves nothing either."""
        return any(self.values.get(name) for name in _OVERAGE)


def principal_of(
    claims: Claims, *, tenant: str, issuers: frozenset[str], issuer_required: bool = False
) -> Principal:
    """Return who `claims` say is calling `tenant`, without any check of time or of who made the claims.

    `issuers` are the exact texts that `iss` may be; with `issuer_required` it must be there. The tenant of personal
    accounts is a foreign one like any other. Raise Unauthenticated: tenant-mismatch (also without `tid`),
    issuer-mismatch, principal-malformed.
    """
    tid = guid(claims.one("tid") or "")
    if tid is None or tid != tenant:
        raise Unauthenticated(Reason.TENANT_MISMATCH)
    issuer = claims.one("iss")
    if issuer not in issuers and (issuer is not None or issuer_required):
        raise Unauthenticated(Reason.ISSUER_MISMATCH)
    oid = guid(claims.one("oid") or "")
    if oid is None:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    for name in _SINGLE:
        claims.one(name)
    return Principal(
        tenant=tid,
        oid=oid,
        kind=kind_of(claims, oid=oid),
        client=_client_of(claims),
        groups=guids(claims.all("groups")),
        app_roles=frozenset(filter(None, claims.all("roles"))),
        issued_at=claims.seconds("iat"),
    )


def kind_of(claims: Claims, *, oid: str) -> Kind:
    """Return what the caller is (design, ruling "Kind"); raise Unauthenticated(principal-malformed).

    A value of `idtyp` or `acct` that Entra does not document is refused, not guessed at.
    """
    idtyp, acct, sub = claims.one("idtyp"), claims.one("acct"), claims.one("sub")
    if idtyp not in (None, "app", "user") or acct not in (None, "0", "1"):
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    if idtyp == "app":
        return Kind.APP
    if idtyp is None and not any(claims.all("scp")):
        if not sub:
            return Kind.UNDECIDED
        # Entra gives users a `sub` of their own for each application; an app's is its object id.
        if sub.lower() == oid:
            return Kind.APP
    idp = claims.one("idp")
    foreign = idp is not None and idp != claims.one("iss")
    return Kind.GUEST if foreign or acct == "1" else Kind.USER


def _client_of(claims: Claims) -> str | None:
    """Return the client's application id, from `azp` (version 2 tokens) or `appid` (version 1)."""
    named = {client for client in (claims.one("azp"), claims.one("appid")) if client is not None}
    ids = {guid(client) for client in named}
    if not ids:
        return None
    client = ids.pop()
    if ids or client is None:
        raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
    return client


def _texts(value: object, *, many: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if many and isinstance(value, list):
        texts = tuple(text for text in value if isinstance(text, str))
        if len(texts) == len(value):
            return texts
    raise Unauthenticated(Reason.PRINCIPAL_MALFORMED)
