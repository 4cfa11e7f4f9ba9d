"""Where keys and issuers come from: fetched once, renewed beside requests, kept through an outage."""

from __future__ import annotations

import asyncio

import pytest

from shared.identity.issuers import PUBLIC_AUTHORITY
from shared.identity.kept import FIRST_PAUSE, LIFETIME, PAUSE
from shared.identity.keys import MAX_DOCUMENT, TIMEOUT, Authority
from shared.identity.token import TokenVerifier
from shared.model import Reason
from shared.ports import TransportFault
from shared.problem import Unauthenticated, Undecidable
from tests.unit.identity.fakes_entra import (
    AUDIENCE,
    AUTHORITY,
    DISCOVERY,
    HEADER,
    JWKS,
    FakeEntra,
    claims,
    jwk,
    token,
)
from tests.unit.identity.fakes_principal import ISSUER_1, ISSUER_2, NOW, OID, TENANT, FakeClock

SOVEREIGN = "https://login.microsoftonline.us"
SOVEREIGN_ISSUER = f"{SOVEREIGN}/{TENANT}/v2.0"


def authority(entra: FakeEntra, clock: FakeClock, *, url: str = AUTHORITY) -> Authority:
    return Authority(url=url, tenant=TENANT, transport=entra, clock=clock)


def verifier(entra: FakeEntra, clock: FakeClock, *, url: str = AUTHORITY) -> TokenVerifier:
    return TokenVerifier(
        tenant=TENANT, audiences=frozenset({AUDIENCE}), source=authority(entra, clock, url=url), clock=clock
    )


def lasting(clock: FakeClock, kid: str = "key-1") -> str:
    """Return a token that is young by `clock`."""
    now = int(clock.now)
    return token(claims(iat=now, nbf=now, exp=now + 3_600), header={**HEADER, "kid": kid}, signed_by=kid)


async def settled() -> None:
    """Let what was started beside a request come to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


FAULTS: dict[str, Exception | int | bytes] = {
    "refused": TransportFault("unreachable", sent=False),
    "silent": TransportFault("timeout", sent=True),
    "cut off": TransportFault("truncated", sent=True),
    "500": 500,
    "404": 404,
    "a redirect": 302,
    "204": 204,
    "nonsense": b"<html>",
    "nothing": b"",
    "no keys": b'{"keys":[]}',
    "keys twice": b'{"keys":[],"keys":[]}',
    "too large": b" " * (MAX_DOCUMENT + 1),
    "a bug": RuntimeError("unexpected"),
}


def break_down(entra: FakeEntra, fault: Exception | int | bytes) -> None:
    if isinstance(fault, Exception):
        entra.fault = fault
    elif isinstance(fault, int):
        entra.status = fault
    else:
        entra.keys = fault


def mend(entra: FakeEntra) -> None:
    entra.fault, entra.status, entra.keys = None, 200, None


async def test_keys_are_fetched_from_the_tenants_own_documents() -> None:
    """S22, S20: discovery, then its keys; each within its deadline, and given back."""
    entra, clock = FakeEntra(), FakeClock()
    assert set((await authority(entra, clock).keys()).keys) == {"key-1"}
    assert entra.asked == [DISCOVERY, JWKS]
    assert entra.deadlines == [clock.ticks + TIMEOUT] * 2
    assert all(answer.closed for answer in entra.answers)


async def test_importing_and_building_fetch_nothing() -> None:
    """Importing opens nothing: the first request that needs keys fetches them."""
    entra = FakeEntra()
    authority(entra, FakeClock())
    await settled()
    assert entra.asked == []


async def test_a_thousand_wait_for_one_fetch() -> None:
    """S22, D04: single flight, and a waiter that goes away does not take it from the rest."""
    entra, clock = FakeEntra(), FakeClock()
    entra.slow = asyncio.Event()
    source = authority(entra, clock)
    waiting = [asyncio.create_task(source.keys()) for _ in range(1_000)]
    await settled()
    for task in waiting[:10]:
        task.cancel()
    await settled()
    entra.slow.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert entra.asked == [DISCOVERY, JWKS]
    assert [type(one) for one in found[:10]] == [asyncio.CancelledError] * 10
    assert len({id(one) for one in found[10:]}) == 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_without_any_keys_nobody_is_judged(fault: Exception | int | bytes) -> None:
    """Threats, section 6: 503 and not 401, for the caller is not at fault; a storm waits, and it mends itself."""
    entra, clock = FakeEntra(), FakeClock()
    break_down(entra, fault)
    by = verifier(entra, clock)
    for _ in range(50):
        with pytest.raises(Undecidable) as undecided:
            await by.verify(lasting(clock))
        assert undecided.value.reason is Reason.KEYS_UNAVAILABLE
    assert len(entra.asked) <= 2
    mend(entra)
    clock.advance(FIRST_PAUSE)
    assert (await by.verify(lasting(clock))).oid == OID


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_old_keys_stay_on_error(fault: Exception | int | bytes) -> None:
    """S22, F31: however long it lasts, and known tokens never wait for it within a day."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    break_down(entra, fault)
    for _ in range(6):
        clock.advance(LIFETIME / 2)
        assert (await by.verify(lasting(clock))).oid == OID
        await settled()
    mend(entra)
    clock.advance(PAUSE)
    entra.kids = ["key-2"]
    assert (await by.verify(lasting(clock, "key-2"))).oid == OID


async def test_past_half_their_life_keys_are_renewed_beside_the_request() -> None:
    """S22: the request that starts the renewal does not wait for it."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    clock.advance(LIFETIME / 2 - 1)
    await by.verify(lasting(clock))
    await settled()
    assert entra.key_fetches == 1
    clock.advance(1)
    entra.slow = asyncio.Event()
    entra.kids = ["key-1", "key-2"]
    for _ in range(5):
        await asyncio.wait_for(by.verify(lasting(clock)), 1)
        await settled()
    assert entra.key_fetches == 2
    entra.slow.set()
    await settled()
    assert (await by.verify(lasting(clock, "key-2"))).oid == OID
    assert entra.key_fetches == 2


async def test_past_all_their_life_keys_are_waited_for() -> None:
    """S22: a gate that nobody called for days does not judge by keys of last week while newer ones can be had."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    entra.kids = ["key-2"]
    clock.advance(LIFETIME * 7)
    with pytest.raises(Unauthenticated):
        await by.verify(lasting(clock, "key-1"))


async def test_a_new_kid_is_accepted_after_one_refetch() -> None:
    """S22, F31: keys roll without notice; the first fetch is not the refetch."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    entra.kids = ["key-1", "key-2"]
    assert (await by.verify(lasting(clock, "key-2"))).oid == OID
    assert entra.key_fetches == 2


@pytest.mark.parametrize("working", [True, False], ids=["endpoint well", "endpoint at 500"])
async def test_a_storm_of_unknown_kids_costs_one_fetch_in_five_minutes(working: bool) -> None:
    """S22, F32, D04: valid tokens pass meanwhile; what nobody can know is 503, what nobody published is 401."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    entra.status = 200 if working else 500
    unknown = [token(claims(), header={**HEADER, "kid": f"random-{number}"}) for number in range(1_000)]
    found = await asyncio.gather(*map(by.verify, unknown), return_exceptions=True)
    assert {type(one) for one in found} == {Unauthenticated if working else Undecidable}
    assert entra.key_fetches == 2
    for second in range(PAUSE - 1):
        clock.advance(1)
        with pytest.raises(Unauthenticated if working else Undecidable):
            await by.verify(unknown[second])
        assert (await by.verify(lasting(clock))).oid == OID
    assert entra.key_fetches == 2
    clock.advance(1)
    with pytest.raises(Unauthenticated if working else Undecidable):
        await by.verify(unknown[0])
    assert entra.key_fetches == 3


@pytest.mark.parametrize(
    "poison",
    [
        {"keys": [jwk("key-1"), jwk("key-2", kid="key-1")]},
        {"keys": [jwk("key-1", use="enc")]},
        {"keys": [jwk("key-1", d="AQAB")]},
        {"keys": [jwk("key-1", use=None, key_ops=["encrypt"])]},
        {"keys": [{"kty": "oct", "kid": "key-1", "k": "AQAB", "alg": "HS256"}]},
        {"keys": [{**jwk("key-1"), "kid": str(number)} for number in range(1_000)]},
    ],
)
async def test_a_poisoned_set_does_not_replace_the_keys(poison: object) -> None:
    """S22: it is an error like any other, and the old keys stay."""
    entra, clock = FakeEntra(), FakeClock()
    by = verifier(entra, clock)
    await by.verify(lasting(clock))
    entra.keys = poison
    with pytest.raises(Undecidable):
        await by.verify(lasting(clock, "key-2"))
    assert (await by.verify(lasting(clock))).oid == OID


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": ISSUER_2},
        {"jwks_uri": JWKS},
        {"issuer": "", "jwks_uri": JWKS},
        {"issuer": 1, "jwks_uri": JWKS},
        {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0", "jwks_uri": JWKS},
        *(
            {"issuer": ISSUER_2, "jwks_uri": uri}
            for uri in (
                "http://login.microsoftonline.com/keys",
                "https://evil.example/keys",
                "https://login.microsoftonline.com.evil.example/keys",
                "https://login.microsoftonline.com@evil.example/keys",
                "https://evil.example\\@login.microsoftonline.com/keys",
                "https://login.microsoftonline.com:8443/keys",
                "https://login.microsoftonline.com:99999/keys",
                "file:///etc/passwd",
                "/keys",
                "",
                7,
            )
        ),
        [],
        b"no JSON",
    ],
)
async def test_keys_come_from_the_authority_and_from_nowhere_else(discovery: object) -> None:
    """S20: no document points to keys at another origin, whatever it says."""
    entra = FakeEntra()
    entra.discovery = discovery
    with pytest.raises(Undecidable):
        await authority(entra, FakeClock()).keys()
    assert entra.asked == [DISCOVERY]


async def test_the_public_clouds_issuers_need_no_fetch() -> None:
    """The ruling "Issuers": both exact forms, and a discovery document cannot add one."""
    entra = FakeEntra(issuer="https://evil.example")
    assert await authority(entra, FakeClock()).issuers() == {ISSUER_1, ISSUER_2}
    assert entra.asked == []
    assert AUTHORITY == PUBLIC_AUTHORITY


async def test_another_authority_names_its_issuer() -> None:
    """The ruling "Issuers": remembered for good once it came; until then nobody can be judged."""
    entra, clock = FakeEntra(authority=SOVEREIGN, issuer=SOVEREIGN_ISSUER), FakeClock()
    source = authority(entra, clock, url=SOVEREIGN)
    entra.status = 500
    with pytest.raises(Undecidable):
        await source.issuers()
    entra.status = 200
    clock.advance(FIRST_PAUSE)
    assert await source.issuers() == {SOVEREIGN_ISSUER}
    entra.status = 500
    clock.advance(LIFETIME * 3)
    assert await source.issuers() == {SOVEREIGN_ISSUER}
    assert entra.asked[0] == f"{SOVEREIGN}/{TENANT}/v2.0/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": ISSUER_2}, Reason.ISSUER_MISMATCH),
        ({"iss": ISSUER_1}, Reason.ISSUER_MISMATCH),
        ({"iss": SOVEREIGN_ISSUER, "ver": None}, None),
        ({"iss": SOVEREIGN_ISSUER}, None),
    ],
)
async def test_another_authoritys_tokens(changed: dict[str, object], reason: Reason | None) -> None:
    """The ruling "Issuers": the public cloud's issuers are foreign to another authority."""
    entra, clock = FakeEntra(authority=SOVEREIGN, issuer=SOVEREIGN_ISSUER), FakeClock()
    by = verifier(entra, clock, url=SOVEREIGN)
    text = token(claims(iat=NOW, exp=NOW + 60, **changed))
    if reason is None:
        assert (await by.verify(text)).oid == OID
        return
    with pytest.raises(Unauthenticated) as refused:
        await by.verify(text)
    assert refused.value.reason is reason
