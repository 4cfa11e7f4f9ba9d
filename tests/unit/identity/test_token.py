"""Bearer tokens: which are believed, how long they are remembered, and where they stand."""

from __future__ import annotations

import pytest

from shared.model import Headers, Kind, Principal, Reason
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_entra import (
    HEADER,
    FixedKeys,
    claims,
    token,
)
from tests.unit.identity.fakes_principal import (
    CLIENT,
    GROUP,
    ISSUER_1,
    NOW,
    OID,
    OTHER_OID,
    TENANT,
    FakeClock,
    encoded,
)
from tests.unit.identity.fakes_verifier import APP_ID_URI, INVALID, reason, verifier


async def test_a_members_token_is_believed() -> None:
    """Protocols 2.1: the version 2 access token of a user, remembered or not."""
    expected = Principal(
        tenant=TENANT, oid=OID, kind=Kind.USER, client=CLIENT, groups=frozenset({GROUP}), issued_at=NOW - 60
    )
    by = verifier()
    assert await by.verify(token(claims())) == expected
    assert await by.verify(token(claims())) == expected


async def test_a_managed_identitys_token_is_believed() -> None:
    """Protocols 1.2 C: version 1, App ID URI, no groups, typ absent, numbers for acct."""
    payload = claims(
        aud=APP_ID_URI,
        iss=ISSUER_1,
        ver="1.0",
        azp=None,
        appid=CLIENT,
        scp=None,
        groups=None,
        sub=OID,
        roles=["Score.All"],
    )
    found = await verifier().verify(token(payload, header={"alg": "RS256", "kid": "key-1"}))
    assert (found.kind, found.app_roles, found.client) == (Kind.APP, {"Score.All"}, CLIENT)


async def test_a_guests_token_says_so() -> None:
    """S15: `acct` is a number in tokens."""
    assert (await verifier().verify(token(claims(acct=1)))).kind is Kind.GUEST
    assert (await verifier().verify(token(claims(acct=0)))).kind is Kind.USER


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT"])
async def test_the_types_of_access_tokens_are_believed(typ: str) -> None:
    """S20: media types are compared without regard to case (RFC 7515, section 4.1.9)."""
    assert (await verifier().verify(token(claims(), header={**HEADER, "typ": typ}))).oid == OID


async def test_a_remembered_token_dies_in_time() -> None:
    """S21: what is remembered is looked at by the clock each time, forwards and backwards."""
    clock = FakeClock()
    by = verifier(clock=clock)
    text = token(claims())
    await by.verify(text)
    clock.advance(3_600 + 119)
    await by.verify(text)
    clock.advance(1)
    assert await reason(text, by=by) is INVALID
    clock.now = NOW - 60 - 121
    assert await reason(text, by=by) is INVALID
    clock.now = NOW
    assert (await by.verify(text)).oid == OID


async def test_a_remembered_token_dies_with_its_key() -> None:
    """S22: when the keys change, every token is verified anew."""
    source = FixedKeys("key-1", "key-2")
    by = verifier(keys=source)
    text = token(claims())
    await by.verify(text)
    source.keyset = FixedKeys("key-2").keyset
    assert await reason(text, by=by) is INVALID


async def test_a_token_that_can_be_none_asks_for_no_key() -> None:
    """S22: only a `kid` in an otherwise possible header makes anybody ask for keys."""
    source = FixedKeys()
    by = verifier(keys=source)
    for text in ("x.y.z", token(claims(), header={**HEADER, "kid": "key-9", "alg": "none"}), "A" * 20_000):
        assert await reason(text, by=by) is INVALID
    assert source.asked_again == 0
    assert await reason(token(claims(), header={**HEADER, "kid": "key-9"}), by=by) is INVALID
    assert source.asked_again == 1


AUTHORIZATION = {
    "none": (None, Reason.PRINCIPAL_MISSING),
    "another scheme": ("Basic YTpi", Reason.PRINCIPAL_MISSING),
    "a scheme that starts alike": ("BearerToken x", Reason.PRINCIPAL_MISSING),
    "a leading space": (" Bearer x", Reason.PRINCIPAL_MISSING),
    "the scheme alone": ("Bearer", Reason.PRINCIPAL_MALFORMED),
    "an empty token": ("Bearer ", Reason.PRINCIPAL_MALFORMED),
    "two spaces": ("Bearer  x", Reason.PRINCIPAL_MALFORMED),
    "two tokens": ("Bearer x y", Reason.PRINCIPAL_MALFORMED),
    "two headers in one": ("Bearer x,Bearer y", Reason.PRINCIPAL_MALFORMED),
    "parameters": ('Bearer token="x"', Reason.PRINCIPAL_MALFORMED),
    "a line feed": ("Bearer x\n", Reason.PRINCIPAL_MALFORMED),
    "no token of ours": ("Bearer x", INVALID),
}


@pytest.mark.parametrize(("value", "expected"), AUTHORIZATION.values(), ids=AUTHORIZATION.keys())
async def test_the_authorization_header(value: str | None, expected: Reason) -> None:
    """S02, S08: no bearer is nobody, and one that cannot be read is malformed."""
    with pytest.raises(Unauthenticated) as refused:
        await verifier().authenticate(Headers([] if value is None else [("Authorization", value)]))
    assert refused.value.reason is expected


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_bearer_is_believed_in_any_case_of_the_scheme(scheme: str) -> None:
    """RFC 9110, section 11.1."""
    assert (
        await verifier().authenticate(Headers([("Authorization", f"{scheme} {token(claims())}")]))
    ).oid == OID


async def test_two_authorization_headers_are_refused() -> None:
    """S08: even when they agree."""
    pair = ("Authorization", f"Bearer {token(claims())}")
    with pytest.raises(Unauthenticated) as refused:
        await verifier().authenticate(Headers([pair, pair]))
    assert refused.value.reason is Reason.PRINCIPAL_MALFORMED


async def test_the_platforms_headers_are_not_looked_at() -> None:
    """The ruling "Easy Auth": in token mode a forged or a good principal header changes nothing (S01)."""
    forged = [
        ("X-MS-CLIENT-PRINCIPAL", encoded([("oid", OTHER_OID), ("tid", TENANT)])),
        ("X-MS-CLIENT-PRINCIPAL-ID", OTHER_OID),
        ("X-MS-CLIENT-PRINCIPAL-IDP", "aad"),
        ("X-MS-TOKEN-AAD-ID-TOKEN", token(claims(oid=OTHER_OID))),
    ]
    with pytest.raises(Unauthenticated) as refused:
        await verifier().authenticate(Headers(forged))
    assert refused.value.reason is Reason.PRINCIPAL_MISSING
    found = await verifier().authenticate(Headers([*forged, ("Authorization", f"Bearer {token(claims())}")]))
    assert found.oid == OID
