"""Tokens with a good signature that are refused for what they say."""

from __future__ import annotations

import json

import pytest

from shared.model import Reason
from tests.unit.identity.fakes_entra import (
    AUDIENCE,
    claims,
    token,
)
from tests.unit.identity.fakes_principal import (
    CLIENT,
    FOREIGN_TENANT,
    ISSUER_1,
    ISSUER_2,
    NOW,
    OID,
    OTHER_OID,
    PERSONAL_TENANT,
    FakeClock,
)
from tests.unit.identity.fakes_verifier import APP_ID_URI, INVALID, reason, verifier

PAYLOADS: dict[str, tuple[dict[str, object] | bytes, Reason]] = {
    "no exp": (claims(exp=None), INVALID),
    "no iat": (claims(iat=None), INVALID),
    "no oid": (claims(oid=None), INVALID),
    "no iss": (claims(iss=None), Reason.ISSUER_MISMATCH),
    "no aud": (claims(aud=None), Reason.AUDIENCE_MISMATCH),
    "no tid": (claims(tid=None), Reason.TENANT_MISMATCH),
    "an audience of Graph": (claims(aud="https://graph.microsoft.com"), Reason.AUDIENCE_MISMATCH),
    "an audience of Graph's id": (
        claims(aud="00000003-0000-0000-c000-000000000000"),
        Reason.AUDIENCE_MISMATCH,
    ),
    "another app's audience": (claims(aud=CLIENT), Reason.AUDIENCE_MISMATCH),
    "a list of our audience": (claims(aud=[AUDIENCE]), Reason.AUDIENCE_MISMATCH),
    "a list with another": (claims(aud=[AUDIENCE, "other"]), Reason.AUDIENCE_MISMATCH),
    "an audience in other case": (claims(aud=AUDIENCE.upper()), Reason.AUDIENCE_MISMATCH),
    "an audience with a slash": (claims(aud=APP_ID_URI + "/"), Reason.AUDIENCE_MISMATCH),
    "an audience that starts like ours": (claims(aud=APP_ID_URI + ".evil"), Reason.AUDIENCE_MISMATCH),
    "an empty audience": (claims(aud=""), Reason.AUDIENCE_MISMATCH),
    "a foreign tenant": (claims(tid=FOREIGN_TENANT), Reason.TENANT_MISMATCH),
    "the personal tenant": (claims(tid=PERSONAL_TENANT), Reason.TENANT_MISMATCH),
    "a foreign issuer": (claims(iss=f"https://sts.windows.net/{FOREIGN_TENANT}/"), Reason.ISSUER_MISMATCH),
    "the common issuer": (
        claims(iss="https://login.microsoftonline.com/common/v2.0"),
        Reason.ISSUER_MISMATCH,
    ),
    "part of the issuer": (claims(iss="https://login.microsoftonline.com/"), Reason.ISSUER_MISMATCH),
    "an issuer that goes on": (claims(iss=ISSUER_2 + "/"), Reason.ISSUER_MISMATCH),
    "an issuer as a list": (claims(iss=[ISSUER_2]), Reason.PRINCIPAL_MALFORMED),
    "version 1 with the issuer of 2": (claims(ver="1.0"), INVALID),
    "version 2 with the issuer of 1": (claims(iss=ISSUER_1), INVALID),
    "no version": (claims(ver=None), INVALID),
    "version 3": (claims(ver="3.0"), INVALID),
    "version as a number": (claims(ver=2), Reason.PRINCIPAL_MALFORMED),
    "exp beyond any time": (claims(exp=10**300), INVALID),
    "exp as 1e308": (
        json.dumps(claims()).replace(str(NOW + 3_600), "1e308").encode(),
        Reason.PRINCIPAL_MALFORMED,
    ),
    "exp as Infinity": (json.dumps(claims()).replace(str(NOW + 3_600), "Infinity").encode(), INVALID),
    "exp as NaN": (json.dumps(claims()).replace(str(NOW + 3_600), "NaN").encode(), INVALID),
    "exp as text": (claims(exp=str(NOW + 3_600)), Reason.PRINCIPAL_MALFORMED),
    "exp as true": (claims(exp=True), Reason.PRINCIPAL_MALFORMED),
    "exp negative": (claims(exp=-1), Reason.PRINCIPAL_MALFORMED),
    "exp zero": (claims(exp=0), INVALID),
    "exp before iat": (claims(exp=NOW - 61), INVALID),
    "a life of more than a day": (claims(exp=NOW - 60 + 86_401), INVALID),
    "exp far in the future": (claims(exp=NOW + 10**9), INVALID),
    "iat far in the future": (claims(iat=NOW + 4_000, exp=NOW + 8_000), INVALID),
    "oid twice": (json.dumps(claims()).replace("{", f'{{"oid":"{OTHER_OID}",', 1).encode(), INVALID),
    "tid twice, once escaped": (
        json.dumps(claims()).replace("{", f'{{"t\\u0069d":"{FOREIGN_TENANT}",', 1).encode(),
        INVALID,
    ),
    "oid as a list": (claims(oid=[OID]), Reason.PRINCIPAL_MALFORMED),
    "oid that is no id": (claims(oid="ada"), Reason.PRINCIPAL_MALFORMED),
    "two clients": (claims(appid=OTHER_OID), Reason.PRINCIPAL_MALFORMED),
    "deep nesting": (
        json.dumps(claims()).replace("{", '{"x":' + "[" * 9 + "]" * 9 + ",", 1).encode(),
        INVALID,
    ),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(claims()).encode(), INVALID),
    "a list": (b"[]", INVALID),
    "no JSON": (b"foo", INVALID),
    "nothing": (b"", INVALID),
}


@pytest.mark.parametrize(("payload", "expected"), PAYLOADS.values(), ids=PAYLOADS.keys())
async def test_a_signed_token_is_refused_for_what_it_says(
    payload: dict[str, object] | bytes, expected: Reason
) -> None:
    """S21, S06: a good signature is not enough."""
    assert await reason(token(payload)) is expected


@pytest.mark.parametrize(
    ("changed", "believed"),
    [
        ({"exp": NOW - 121}, False),
        ({"exp": NOW - 120}, False),
        ({"exp": NOW - 119}, True),
        ({"exp": NOW + 119}, True),
        ({"exp": NOW + 121}, True),
        ({"iat": NOW + 121}, False),
        ({"iat": NOW + 120}, True),
        ({"iat": NOW + 119}, True),
        ({"iat": NOW - 119}, True),
        ({"iat": NOW - 121}, True),
        ({"nbf": NOW + 121}, False),
        ({"nbf": NOW + 119}, True),
        ({"nbf": None}, True),
    ],
)
async def test_clocks_may_differ_by_two_minutes(changed: dict[str, object], believed: bool) -> None:
    """S21: the leeway, to the second, new or remembered."""
    text = token(claims(**({"iat": NOW - 3_600, "nbf": None} | changed)))
    clock = FakeClock()
    by = verifier(clock=clock)
    if believed:
        assert (await by.verify(text)).oid == OID
        assert (await by.verify(text)).oid == OID
    else:
        assert await reason(text, by=by) is INVALID
        assert await reason(text, by=by) is INVALID


async def test_a_life_of_one_day_is_believed() -> None:
    """S21: the cap itself is within."""
    assert (await verifier().verify(token(claims(exp=NOW - 60 + 86_400)))).oid == OID
