"""The platform's headers: believed together, while the platform sets them, and not otherwise."""

from __future__ import annotations

import base64

import pytest

from shared.identity.easyauth import EasyAuth
from shared.model import Headers, Kind, Principal, Reason
from shared.problem import Unauthenticated, Undecidable
from shared.settings import Settings
from tests.unit.identity.fakes_principal import (
    CLIENT,
    FOREIGN_TENANT,
    GROUP,
    ISSUER_2,
    NOW,
    OID,
    OTHER_OID,
    TENANT,
    FakeClock,
    Pairs,
    app,
    compact,
    document,
    encoded,
    gatekeeper,
    headers,
    lengthened,
    user,
)


async def reason(given: Headers, *, easyauth: EasyAuth | None = None) -> Reason:
    """Return why `given` names nobody."""
    with pytest.raises(Unauthenticated) as refused:
        await (easyauth or gatekeeper()).authenticate(given)
    return refused.value.reason


@pytest.mark.parametrize("value", [None, "", "false", "False", "0", "1", "yes", "truee", "true,true", "on"])
async def test_without_the_platforms_word_no_header_is_believed(value: str | None) -> None:
    """S01: a forged principal of a member is 503 platform-auth-off unless WEBSITE_AUTH_ENABLED is true."""
    env = {"GROUPGATE_TENANT_ID": TENANT} | ({} if value is None else {"WEBSITE_AUTH_ENABLED": value})
    enabled = Settings.from_env(env).platform_auth_enabled
    for given in (headers(encoded(user())), headers(None), headers("%%%"), Headers([])):
        assert await reason(given, easyauth=with_switch(enabled)) is Reason.PLATFORM_AUTH_OFF


def with_switch(enabled: object) -> EasyAuth:
    assert callable(enabled)

    async def none() -> frozenset[str]:
        return frozenset({ISSUER_2})

    return EasyAuth(tenant=TENANT, issuers=none, platform_auth_enabled=enabled, clock=FakeClock())


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
async def test_the_platforms_word_counts_in_any_case(value: str) -> None:
    """S01: the platform writes `True`."""
    env = {"GROUPGATE_TENANT_ID": TENANT, "WEBSITE_AUTH_ENABLED": value}
    easyauth = with_switch(Settings.from_env(env).platform_auth_enabled)
    assert (await easyauth.authenticate(headers(encoded(user())))).oid == OID


async def test_the_platforms_word_is_asked_for_at_every_request() -> None:
    """S01: a header that was believed before is not believed when the platform has gone."""
    env = {"WEBSITE_AUTH_ENABLED": "True"}
    easyauth = with_switch(lambda: env["WEBSITE_AUTH_ENABLED"] == "True")
    given = headers(encoded(user()))
    await easyauth.authenticate(given)
    env["WEBSITE_AUTH_ENABLED"] = "False"
    assert await reason(given, easyauth=easyauth) is Reason.PLATFORM_AUTH_OFF


async def test_no_header_is_nobody() -> None:
    """S02: where anonymous callers are let through, or a path is excluded, there is no principal: 401."""
    assert await reason(Headers([])) is Reason.PRINCIPAL_MISSING
    assert await reason(headers(None)) is Reason.PRINCIPAL_MISSING
    assert await reason(headers("")) is Reason.PRINCIPAL_MISSING
    assert (
        await reason(Headers([("authorization", "Bearer x"), ("cookie", "a=b")])) is Reason.PRINCIPAL_MISSING
    )


async def test_forwarded_headers_are_nobody() -> None:
    """S03: identity never comes from what a proxy in front may have written, and never changes by it."""
    lies = tuple(
        (name, OTHER_OID)
        for name in (
            "X-Forwarded-User",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Original-URL",
            "X-Azure-FDID",
            "Forwarded",
            "X-Real-IP",
            "X-MS-CLIENT-PRINCIPAL-NAME",
            "X-MS-TOKEN-AAD-ACCESS-TOKEN",
        )
    )
    assert await reason(Headers(lies)) is Reason.PRINCIPAL_MISSING
    assert await gatekeeper().authenticate(
        headers(encoded(user()), *lies)
    ) == await gatekeeper().authenticate(headers(encoded(user())))


@pytest.mark.parametrize(
    "provider",
    ["github", "google", "facebook", "twitter", "apple", "mycustom", "AAD", "aad ", "azureactivedirectory"],
)
@pytest.mark.parametrize("place", ["header", "document", "both"])
async def test_another_provider_is_refused(provider: str, place: str) -> None:
    """S05: header and document both say `aad`, exactly."""
    idp = "aad" if place == "document" else provider
    auth_typ = "aad" if place == "header" else provider
    assert await reason(headers(encoded(user(), auth_typ=auth_typ), idp=idp)) is Reason.PROVIDER_MISMATCH


@pytest.mark.parametrize(
    "name", ["X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID", "X-MS-CLIENT-PRINCIPAL-IDP"]
)
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper])
async def test_a_header_that_came_twice_is_refused(name: str, spelling: object) -> None:
    """S08: even the same value twice, in whatever case the name came."""
    assert callable(spelling)
    text = encoded(user())
    value = {"X-MS-CLIENT-PRINCIPAL": text, "X-MS-CLIENT-PRINCIPAL-ID": OID}.get(name, "aad")
    assert await reason(headers(text, (spelling(name), value))) is Reason.PRINCIPAL_MALFORMED


async def test_headers_joined_by_a_comma_are_refused() -> None:
    """S08: in classic mode the host joins what came twice; none of the three holds a comma by itself."""
    good, evil = encoded(user()), encoded(user(oid=OTHER_OID))
    for principal in (f"{good},{evil}", f"{evil}, {good}", f"{good},", f",{good}"):
        assert await reason(headers(principal)) is Reason.PRINCIPAL_MALFORMED
    assert await reason(headers(good, oid=f"{OID},{OTHER_OID}")) is Reason.PRINCIPAL_MALFORMED
    assert await reason(headers(good, idp="aad,aad")) is Reason.PRINCIPAL_MALFORMED


async def test_underscore_variants_are_other_headers() -> None:
    """S08: `x_ms_client_principal` names nobody and spoils nothing."""
    evil = encoded(user(oid=OTHER_OID))
    assert await reason(Headers([("x_ms_client_principal", evil)])) is Reason.PRINCIPAL_MISSING
    found = await gatekeeper().authenticate(headers(encoded(user()), ("x_ms_client_principal", evil)))
    assert found.oid == OID


@pytest.mark.parametrize("absent", ["X-MS-CLIENT-PRINCIPAL-ID", "X-MS-CLIENT-PRINCIPAL-IDP"])
async def test_the_companions_must_be_there(absent: str) -> None:
    """The ruling "Easy Auth": a principal header alone is not what the platform sends."""
    pairs = {
        "X-MS-CLIENT-PRINCIPAL": encoded(user()),
        "X-MS-CLIENT-PRINCIPAL-ID": OID,
        "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
    }
    assert (
        await reason(Headers([pair for pair in pairs.items() if pair[0] != absent]))
        is Reason.PRINCIPAL_MALFORMED
    )


@pytest.mark.parametrize("claimed", [OTHER_OID, "", "ada@example.org", f"{{{OID}}}", OID + "\n", " " + OID])
async def test_the_id_header_is_the_object_id(claimed: str) -> None:
    """S14: equal, case apart, or refused; also when the principal is remembered."""
    easyauth = gatekeeper()
    for _ in range(2):
        assert (
            await reason(headers(encoded(user()), oid=claimed), easyauth=easyauth)
            is Reason.PRINCIPAL_MALFORMED
        )
        assert (await easyauth.authenticate(headers(encoded(user()), oid=OID.upper()))).oid == OID


@pytest.mark.parametrize("ahead", [121, 122, 86_400, 10**10])
async def test_a_principal_from_the_future_is_refused(ahead: int) -> None:
    """S21: `iat` at most two minutes ahead of the clock, also for a header seen before."""
    clock = FakeClock(NOW + ahead)
    easyauth = gatekeeper(clock=clock)
    given = headers(encoded(user(iat=str(NOW + ahead))))
    assert (await easyauth.authenticate(given)).issued_at == NOW + ahead
    clock.now = NOW
    assert await reason(given, easyauth=easyauth) is Reason.PRINCIPAL_MALFORMED
    assert await reason(given) is Reason.PRINCIPAL_MALFORMED


@pytest.mark.parametrize("iat", [NOW + 119, NOW + 120, NOW, NOW - 10**7, 0])
async def test_an_old_principal_is_still_who_it_is(iat: int) -> None:
    """Protocols 1.8: a cookie replays claims of the sign-in; their age bounds what groups prove, not who calls."""
    assert (await gatekeeper().authenticate(headers(encoded(user(iat=str(iat)))))).issued_at == iat


@pytest.mark.parametrize(
    "spell", [lambda pairs: pairs, lengthened], ids=["token store off", "token store on"]
)
async def test_a_member_is_known(spell: object) -> None:
    """Protocols 1.2 A, whole: who, what, by which client, in which groups, since when."""
    assert callable(spell)
    expected = Principal(
        tenant=TENANT,
        oid=OID,
        kind=Kind.USER,
        client=CLIENT,
        groups=frozenset({GROUP}),
        issued_at=NOW - 60,
    )
    easyauth = gatekeeper()
    given = headers(encoded(spell(user())))
    assert await easyauth.authenticate(given) == expected
    assert await easyauth.authenticate(given) == expected


async def test_a_managed_identity_is_known() -> None:
    """Protocols 1.2 C: an app-only caller has no groups, and none are invented."""
    found = await gatekeeper().authenticate(headers(encoded(app(iat=None))))
    assert found == Principal(tenant=TENANT, oid=OID, kind=Kind.APP, client=CLIENT)


async def test_a_guest_is_known_by_the_object_here() -> None:
    """S15, protocols 1.2 D: the object id is the one in this tenant, and the kind is guest."""
    pairs = lengthened(user(idp=f"https://sts.windows.net/{FOREIGN_TENANT}/"))
    found = await gatekeeper().authenticate(headers(encoded(pairs)))
    assert (found.kind, found.oid, found.tenant) == (Kind.GUEST, OID, TENANT)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (user(tid=FOREIGN_TENANT), Reason.TENANT_MISMATCH),
        (user(iss="https://evil.example"), Reason.ISSUER_MISMATCH),
        (user(oid=None), Reason.PRINCIPAL_MALFORMED),
    ],
)
async def test_what_claims_say_against_the_caller_is_told(pairs: Pairs, expected: Reason) -> None:
    """S06: the audit learns which check refused, each time anew."""
    easyauth = gatekeeper()
    for _ in range(2):
        assert await reason(headers(encoded(pairs)), easyauth=easyauth) is expected


async def test_an_unreadable_principal_is_malformed() -> None:
    """S09, S04: whatever is wrong with the document, there is one reason."""
    for text in ("!", "e30=", base64.b64encode(b'{"userId":"a"}').decode(), "\u00e9", "=", "A" * 70_000):
        assert await reason(headers(text)) is Reason.PRINCIPAL_MALFORMED


async def test_another_authoritys_issuer_is_asked_for() -> None:
    """The ruling "Issuers": with another authority its issuer counts, and while it is unknown nobody is judged."""
    known: frozenset[str] | None = None

    async def issuers() -> frozenset[str]:
        if known is None:
            raise Undecidable(Reason.KEYS_UNAVAILABLE)
        return known

    easyauth = EasyAuth(tenant=TENANT, issuers=issuers, platform_auth_enabled=lambda: True, clock=FakeClock())
    given = headers(encoded(user()))
    with pytest.raises(Undecidable):
        await easyauth.authenticate(given)
    assert (await easyauth.authenticate(headers(encoded(user(iss=None))))).oid == OID, "nothing to compare"
    known = frozenset({ISSUER_2})
    assert (await easyauth.authenticate(given)).oid == OID
    known = frozenset({"https://sts.example/other"})
    assert await reason(given, easyauth=easyauth) is Reason.ISSUER_MISMATCH


async def test_many_callers_leave_a_bounded_rest() -> None:
    """B8: what is remembered does not grow with the number of callers."""
    easyauth = gatekeeper()
    for number in range(6_000):
        oid = f"22222222-aaaa-4bbb-8ccc-{number:012}"
        await easyauth.authenticate(headers(encoded(user(oid=oid)), oid=oid))
    assert len(easyauth._known) < 3_000


async def test_the_documents_own_bytes_do_not_matter() -> None:
    """The same claims in other lawful JSON are the same principal."""
    spaced = base64.b64encode(
        compact(document(user())).replace(b",", b" , ").replace(b":{", b" : {")
    ).decode()
    assert await gatekeeper().authenticate(headers(spaced)) == await gatekeeper().authenticate(
        headers(encoded(user()))
    )
