"""Headers and token together: neither counts without the other."""

from __future__ import annotations

import pytest

from shared.identity.both import Both
from shared.identity.token import TokenVerifier
from shared.model import Headers, Kind, Reason
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_entra import AUDIENCE, FixedKeys, claims, token
from tests.unit.identity.fakes_principal import (
    FOREIGN_TENANT,
    GROUP,
    OID,
    OTHER_GROUP,
    OTHER_OID,
    TENANT,
    FakeClock,
    app,
    encoded,
    gatekeeper,
    headers,
    user,
)

GOOD = ("Authorization", f"Bearer {token(claims())}")
OTHER = token(claims(oid=OTHER_OID))
ID_TOKEN = "X-MS-TOKEN-AAD-ID-TOKEN"


def both(*, enabled: bool = True) -> Both:
    verifier = TokenVerifier(
        tenant=TENANT, audiences=frozenset({AUDIENCE}), source=FixedKeys(), clock=FakeClock()
    )
    return Both(easyauth=gatekeeper(enabled=enabled), verifier=verifier)


CASES: dict[str, tuple[Headers, Reason]] = {
    "no token at all": (headers(encoded(user())), Reason.PRINCIPAL_MISSING),
    "no headers": (Headers([GOOD]), Reason.PRINCIPAL_MISSING),
    "an unreadable principal": (headers("e30=", GOOD), Reason.PRINCIPAL_MALFORMED),
    "another caller's bearer": (
        headers(encoded(user()), ("Authorization", f"Bearer {OTHER}")),
        Reason.TOKEN_INVALID,
    ),
    "another caller's ID token": (headers(encoded(user()), (ID_TOKEN, OTHER)), Reason.TOKEN_INVALID),
    "an ID token that came twice": (
        headers(encoded(user()), (ID_TOKEN, GOOD[1][7:]), (ID_TOKEN, GOOD[1][7:])),
        Reason.PRINCIPAL_MALFORMED,
    ),
    "a bad bearer beside a good ID token": (
        headers(encoded(user()), ("Authorization", "Bearer x"), (ID_TOKEN, GOOD[1][7:])),
        Reason.TOKEN_INVALID,
    ),
    "another tenant's token": (
        headers(encoded(user()), ("Authorization", f"Bearer {token(claims(tid=FOREIGN_TENANT))}")),
        Reason.TENANT_MISMATCH,
    ),
    "a token of another API": (
        headers(encoded(user()), ("Authorization", f"Bearer {token(claims(aud='other'))}")),
        Reason.AUDIENCE_MISMATCH,
    ),
    "an app by its headers, a user by its token": (headers(encoded(app()), GOOD), Reason.TOKEN_INVALID),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES.keys())
async def test_it_is_refused(given: Headers, expected: Reason) -> None:
    """S01, S14: a spoofed header is 401 even where App Service Authentication is set up wrongly."""
    with pytest.raises(Unauthenticated) as refused:
        await both().authenticate(given)
    assert refused.value.reason is expected


async def test_the_platforms_word_still_counts() -> None:
    """S01: a good token does not excuse a platform that does not authenticate."""
    with pytest.raises(Unauthenticated) as refused:
        await both(enabled=False).authenticate(headers(encoded(user()), GOOD))
    assert refused.value.reason is Reason.PLATFORM_AUTH_OFF


@pytest.mark.parametrize("given", [GOOD, (ID_TOKEN, GOOD[1][7:])], ids=["bearer", "ID token"])
async def test_the_token_says_who_it_is(given: tuple[str, str]) -> None:
    """S14: groups that only the header claims are not believed."""
    pairs = [*user(), ("groups", OTHER_GROUP), ("roles", "Admin")]
    found = await both().authenticate(headers(encoded(pairs), given))
    assert (found.oid, found.kind) == (OID, Kind.USER)
    assert found.groups == {GROUP}
    assert found.app_roles == frozenset()


async def test_a_guest_by_either_is_a_guest() -> None:
    """S15: an ID token may leave out what the header says against its caller."""
    for pairs, text in ((user(idp="live.com"), claims()), (user(), claims(acct=1))):
        found = await both().authenticate(headers(encoded(pairs), ("Authorization", f"Bearer {token(text)}")))
        assert found.kind is Kind.GUEST


async def test_what_the_token_leaves_undecided_stays_so() -> None:
    """S16: the header's evidence of kind is not proof."""
    text = token(claims(scp=None, sub=None))
    found = await both().authenticate(headers(encoded(user()), ("Authorization", f"Bearer {text}")))
    assert found.kind is Kind.UNDECIDED
