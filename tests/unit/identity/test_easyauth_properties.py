"""Properties of the platform's headers, on inputs that nobody thought of."""

from __future__ import annotations

import base64
import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.identity.claims import SPELLINGS
from shared.model import Headers, Kind, Principal
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_principal import (
    CLIENT,
    ISSUER_1,
    ISSUER_2,
    LONG,
    NOW,
    OID,
    SUB,
    TENANT,
    Pairs,
    compact,
    document,
    encoded,
    gatekeeper,
    headers,
    user,
)

_NAMES = (
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-ms-client-principal-idp",
    "authorization",
    "cookie",
)
_ids = st.uuids().map(str)


async def judged(given_headers: Headers) -> Principal | None:
    """Return the principal, or None when there is none; let nothing but Unauthenticated pass for that."""
    with contextlib.suppress(Unauthenticated):
        return await gatekeeper().authenticate(given_headers)
    return None


@st.composite
def callers(draw: st.DrawFn) -> tuple[Principal, Pairs]:
    """Draw a principal of the tenant and claims that say it, in any order and any spelling."""
    kind = draw(st.sampled_from(Kind))
    issuer = draw(st.sampled_from([ISSUER_1, ISSUER_2, None]))
    groups = draw(st.frozensets(_ids, max_size=4))
    roles = draw(st.frozensets(st.text(min_size=1, max_size=8), max_size=3))
    client = draw(st.none() | st.just(CLIENT))
    issued_at = draw(st.none() | st.integers(0, NOW))
    evidence: dict[Kind, list[Pairs]] = {
        Kind.APP: [[("idtyp", "app")], [("sub", OID)], [("idtyp", "app"), ("scp", "x")]],
        Kind.USER: [[("idtyp", "user")], [("scp", "x"), ("sub", OID)], [("sub", SUB), ("acct", "0")]],
        Kind.GUEST: [[("sub", SUB), ("acct", "1")], [("scp", "x"), ("idp", "live.com")]],
        Kind.UNDECIDED: [[], [("acct", "1")], [("idp", "live.com")]],
    }
    pairs: Pairs = [("oid", OID), ("tid", TENANT), *draw(st.sampled_from(evidence[kind]))]
    pairs += [("groups", group) for group in groups] + [("roles", role) for role in roles]
    pairs += [("iss", issuer)] if issuer else []
    pairs += [(draw(st.sampled_from(["azp", "appid"])), client)] if client else []
    pairs += [("iat", str(issued_at))] if issued_at is not None else []
    pairs += draw(
        st.lists(
            st.tuples(st.text(max_size=6).filter(lambda typ: typ not in SPELLINGS), st.text(max_size=8)),
            max_size=3,
        )
    )
    spelled = [(LONG[name] if name in LONG and draw(st.booleans()) else name, value) for name, value in pairs]
    principal = Principal(
        tenant=TENANT, oid=OID, kind=kind, client=client, groups=groups, app_roles=roles, issued_at=issued_at
    )
    return principal, draw(st.permutations(spelled))


@given(callers())
async def test_encode_then_parse_gives_the_same_principal(caller: tuple[Principal, Pairs]) -> None:
    """P3, P4: whatever the order and the accepted spelling of the claims."""
    principal, pairs = caller
    assert await judged(headers(encoded(pairs))) == principal


@given(callers(), st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
async def test_the_form_of_the_json_does_not_matter(
    caller: tuple[Principal, Pairs], indent: int | None, ascii_only: bool, sort: bool
) -> None:
    """P4: any lawful encoding of the same document names the same caller."""
    principal, pairs = caller
    text = json.dumps(document(pairs), indent=indent, ensure_ascii=ascii_only, sort_keys=sort)
    assert await judged(headers(base64.b64encode(text.encode()).decode())) == principal


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(_NAMES), st.text(max_size=30) | st.sampled_from(["aad", OID])), max_size=6
    )
)
async def test_any_headers_give_a_principal_or_unauthenticated(pairs: list[tuple[str, str]]) -> None:
    """S09: nothing else is ever raised, and random headers are nobody."""
    assert await judged(Headers(pairs)) is None


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
async def test_any_bytes_in_the_header_are_nobody(data: bytes) -> None:
    """S09: bytes that are no principal are none."""
    assert await judged(headers(base64.b64encode(data).decode())) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["auth_typ", "claims", "typ", "val", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(_json)
async def test_any_json_but_a_principal_is_nobody(value: object) -> None:
    """S04: no other shape is mapped to anything."""
    assert await judged(headers(base64.b64encode(json.dumps(value).encode()).decode())) is None


_GOOD = compact(document(user()))


@settings(max_examples=300)
@given(st.integers(0, len(_GOOD) - 1), st.binary(min_size=1, max_size=3))
async def test_a_changed_document_never_names_another_tenant(at: int, junk: bytes) -> None:
    """S06, S09: one spot overwritten gives this tenant's caller of the id header, or nobody."""
    data = _GOOD[:at] + junk + _GOOD[at + len(junk) :]
    found = await judged(headers(base64.b64encode(data).decode()))
    assert found is None or (found.tenant, found.oid) == (TENANT, OID)


@given(st.sampled_from(["auth_typ", "claims", "name_typ", "role_typ"]), st.booleans(), st.booleans())
async def test_a_member_said_twice_is_nobody(member: str, escaped: bool, first: bool) -> None:
    """S09: whatever the second one says, wherever it stands, however it is spelled."""
    name = "".join(f"\\u{ord(letter):04x}" for letter in member) if escaped else member
    value = b"[]" if member == "claims" else b'"aad"'
    extra = f'"{name}":'.encode() + value
    data = b"{" + extra + b"," + _GOOD[1:] if first else _GOOD[:-1] + b"," + extra + b"}"
    assert await judged(headers(base64.b64encode(data).decode())) is None
