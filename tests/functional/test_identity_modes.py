"""Who is calling, in each of the three ways of knowing it, with tokens of the Entra stand-in (threats S01 to S23)."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import jwt
import pytest
import pytest_asyncio

from local.directory import GATE_CLIENT, HOME_OF_GUESTS
from local.easyauth import EasyAuth, principal_headers
from local.entra import GATE_AUDIENCE
from tests.functional.differences import only
from tests.functional.gates import Gate
from tests.functional.world import MEMBER, World, back

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
AUDIENCES = f"{GATE_CLIENT}, {GATE_AUDIENCE}"
BY_TOKEN = {"GROUPGATE_IDENTITY": "token", "GROUPGATE_AUDIENCE": AUDIENCES, "WEBSITE_AUTH_ENABLED": ""}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(shared_gate: Gate, shared_world: World) -> AsyncIterator[EasyAuth]:
    """App Service Authentication before the gate with the usual settings."""
    async with EasyAuth(shared_world.entra, shared_gate.url) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_token(shared_world: World) -> AsyncIterator[Gate]:
    """A gate that verifies tokens itself, with no platform around it."""
    async with shared_world.gate(**BY_TOKEN) as gate:
        yield gate


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_both(shared_world: World) -> AsyncIterator[Gate]:
    """A gate that believes the platform only with a token beside it."""
    async with shared_world.gate(GROUPGATE_IDENTITY="both", GROUPGATE_AUDIENCE=AUDIENCES) as gate:
        yield gate


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("names", ["short", "long"])
async def test_a_member_gets_through_app_service_authentication(
    gate: Gate, world: World, front: EasyAuth, names: Literal["short", "long"]
) -> None:
    """The platform verifies the token and says who it is, in either spelling, switched while running (F42)."""
    front.switches.names = names
    came = await gate.score(bearer(world.entra.token(world.name(MEMBER))), base=front.url)
    assert came.status == 200
    refused = await gate.score(bearer(world.entra.token(world.name())), base=front.url)
    assert refused.told == (403, "forbidden")


async def test_a_callers_own_principal_headers_do_not_get_through(
    gate: Gate, world: World, front: EasyAuth
) -> None:
    """The platform takes them away: with a token the caller is the token's, without one it is 401 (S03)."""
    forged = world.person(MEMBER)
    outsider = world.entra.token(world.name())
    came = await gate.score({**forged, **bearer(outsider)}, base=front.url)
    assert came.told == (403, "forbidden")
    assert (await gate.score(forged, base=front.url)).status == 401
    underscores = {name.replace("-", "_"): value for name, value in forged.items()}
    assert (await gate.score({**underscores, **bearer(outsider)}, base=front.url)).status == 403
    assert world.upstream.requests == []


async def test_a_platform_that_stops_naming_the_caller_lets_nobody_in(
    gate: Gate, world: World, front: EasyAuth
) -> None:
    """No principal header is 401, even with a good token beside it (F41, S02)."""
    front.switches.inject = False
    try:
        came = await gate.score(bearer(world.entra.token(world.name(MEMBER))), base=front.url)
    finally:
        front.switches.inject = True
    assert came.told == (401, "authentication-required")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"X-MS-CLIENT-PRINCIPAL-ID": "11111111-1111-4111-8111-111111111111"}, "principal-malformed"),
        ({"X-MS-CLIENT-PRINCIPAL-ID": None}, "principal-malformed"),
        ({"X-MS-CLIENT-PRINCIPAL-IDP": None}, "principal-malformed"),
        ({"X-MS-CLIENT-PRINCIPAL-IDP": "google"}, "provider-mismatch"),
        ({"X-MS-CLIENT-PRINCIPAL-IDP": "AAD"}, "provider-mismatch"),
        ({"X-MS-CLIENT-PRINCIPAL-IDP": "aad,aad"}, "principal-malformed"),
        ({"X-MS-CLIENT-PRINCIPAL": None}, "principal-missing"),
        ({"X-MS-CLIENT-PRINCIPAL": "!!!"}, "principal-malformed"),
    ],
)
async def test_platform_headers_that_do_not_fit_together_are_401(
    gate: Gate, world: World, changes: dict[str, str | None], reason: str
) -> None:
    """All three must be there and say the same (S05, S08, S14)."""
    headers = {
        name: value for name, value in {**world.person(MEMBER), **changes}.items() if value is not None
    }
    came = await gate.score(headers)
    assert came.status == 401
    assert gate.decision(came)["reason"] == reason
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"tid": HOME_OF_GUESTS}, "tenant-mismatch"),
        ({"tid": None}, "tenant-mismatch"),
        ({"iss": "https://sts.windows.net/evil/"}, "issuer-mismatch"),
        ({"iat": int(time.time()) + 10_000}, "principal-malformed"),
        ({"oid": ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]}, None),
        ({"idtyp": "robot"}, "principal-malformed"),
    ],
)
async def test_claims_of_another_place_are_401(
    gate: Gate, world: World, claims: dict[str, Any], reason: str | None
) -> None:
    """Another tenant, issuer or time, or two callers in one document (S06, S07)."""
    came = await gate.score(world.person(MEMBER, **claims))
    assert came.told == (401, "principal-invalid")
    assert came.headers["WWW-Authenticate"] == 'Bearer realm="groupgate", error="invalid_token"'
    if reason is not None:
        assert gate.decision(came)["reason"] == reason


async def test_the_shape_of_static_web_apps_is_refused(gate: Gate, world: World) -> None:
    """A principal of `userId` and `userRoles` is another platform's (S04)."""
    document = {
        "identityProvider": "aad",
        "userId": "1",
        "userDetails": "alice",
        "userRoles": ["authenticated"],
    }
    headers = world.person(MEMBER)
    headers["X-MS-CLIENT-PRINCIPAL"] = base64.b64encode(json.dumps(document).encode()).decode()
    assert (await gate.score(headers)).told == (401, "principal-invalid")


async def test_a_verified_token_gets_a_member_in(by_token: Gate, world: World) -> None:
    """Token mode: the groups of the token count; nobody else's headers do."""
    member, outsider = world.name(MEMBER), world.name()
    assert (await by_token.score(bearer(world.entra.token(member)))).status == 200
    refused = await by_token.score({**world.person(MEMBER), **bearer(world.entra.token(outsider))})
    assert refused.told == (403, "forbidden")
    assert (await by_token.score(world.person(MEMBER))).told == (401, "authentication-required")
    assert (await by_token.ask("GET", "/readyz")).status == 200


def _unsigned(world: World, name: str) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, world.entra.claims(name))
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(encoded) + "."


def _symmetric(world: World, name: str) -> str:
    # The classic confusion: the published modulus taken as a shared secret.
    published = world.entra.keys.published()["keys"][0]
    head = {"kid": published["kid"]}
    return jwt.encode(world.entra.claims(name), published["n"], algorithm="HS256", headers=head)


HOUR = 3600
BAD_TOKENS: dict[str, tuple[Any, str]] = {
    "another audience": ({"aud": "https://graph.microsoft.com"}, "audience-mismatch"),
    "a list of audiences": ({"aud": [GATE_CLIENT]}, "audience-mismatch"),
    "another issuer": ({"iss": "https://login.microsoftonline.com/evil/v2.0"}, "issuer-mismatch"),
    "version 1 of an authority that says version 2": ({"version": "1.0"}, "issuer-mismatch"),
    "another tenant": ({"tid": HOME_OF_GUESTS}, "tenant-mismatch"),
    "no tenant": ({"tid": None}, "tenant-mismatch"),
    "expired": ({"age": 2 * HOUR}, "token-invalid"),
    "not begun": ({"nbf": int(time.time()) + HOUR}, "token-invalid"),
    "good for ever": ({"exp": int(time.time()) + 10_000 * HOUR}, "token-invalid"),
    "no end": ({"exp": None}, "token-invalid"),
    "no object id": ({"oid": None}, "token-invalid"),
    "a time as text": ({"exp": "4102444800"}, "principal-malformed"),
    "unsigned": (_unsigned, "token-invalid"),
    "symmetric": (_symmetric, "token-invalid"),
    "a changed signature": (lambda w, n: w.entra.token(n)[:-8] + "AAAAAAAA", "token-invalid"),
    "no signature": (lambda w, n: w.entra.token(n).rpartition(".")[0] + ".", "token-invalid"),
    "garbage": (lambda w, n: "not.a.token", "token-invalid"),
    "one word": (lambda w, n: "token", "token-invalid"),
    "an embedded key": (lambda w, n: w.entra.mint(w.entra.claims(n), headers={"jwk": {}}), "token-invalid"),
    "a key elsewhere": (
        lambda w, n: w.entra.mint(w.entra.claims(n), headers={"jku": "http://127.0.0.1:9/"}),
        "token-invalid",
    ),
    "another type": (
        lambda w, n: w.entra.mint(w.entra.claims(n), headers={"typ": "dpop+jwt"}),
        "token-invalid",
    ),
    "an unknown key": (lambda w, n: w.entra.mint(w.entra.claims(n), headers={"kid": "x"}), "token-invalid"),
    "a key id that is a path": (
        lambda w, n: w.entra.mint(w.entra.claims(n), headers={"kid": "../../etc/passwd"}),
        "token-invalid",
    ),
    "too long": (lambda w, n: w.entra.token(n, padding="x" * 20_000), "token-invalid"),
}


@pytest.mark.parametrize("how", BAD_TOKENS)
async def test_a_token_that_is_not_good_is_401(by_token: Gate, world: World, how: str) -> None:
    """Each with its reason on record and one answer for all (S06, S20, S21, S22)."""
    made, reason = BAD_TOKENS[how]
    name = world.name(MEMBER)
    token = made(world, name) if callable(made) else world.entra.token(name, **made)
    came = await by_token.score(bearer(token))
    assert came.told == (401, "principal-invalid")
    assert by_token.decision(came)["reason"] == reason
    assert world.upstream.requests == []
    assert world.graph_calls() == 0


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Basic dXNlcjpwYXNz", 401),
        ("Bearer", 401),
        ("Bearer a b", 401),
        ("TOKEN", 401),
        ("bearer TOKEN", 200),
    ],
)
async def test_what_stands_in_authorization(by_token: Gate, world: World, value: str, status: int) -> None:
    """RFC 6750: the scheme in any case, one token, nothing else (S20)."""
    token = world.entra.token(world.name(MEMBER))
    came = await by_token.score({"Authorization": value.replace("TOKEN", token)})
    assert came.status == status


async def test_without_any_keys_a_token_is_neither_believed_nor_refused(world: World) -> None:
    """A gate that never reached the authority answers 503 verification-unavailable, and asks it sparingly."""
    async with world.gate(**BY_TOKEN) as cold:
        world.entra.faults.set(status=500)
        token = world.entra.token(world.name(MEMBER))
        for _ in range(20):
            assert (await cold.score(bearer(token))).told == (503, "verification-unavailable")
        assert sum(world.entra.counts.values()) <= 2
        assert world.upstream.requests == []


async def test_old_keys_are_kept_while_the_authority_is_away_and_new_ones_found_once(world: World) -> None:
    """With keys it is needed no more; a new key costs one fetch, and twenty invented ones no other (S22)."""
    name = world.name(MEMBER)
    async with world.gate(**BY_TOKEN) as warm:
        assert (await warm.score(bearer(world.entra.token(name)))).status == 200
        await world.entra.stop()
        assert (await warm.score(bearer(world.entra.token(name)))).status == 200
        await back(world.entra)
        world.entra.keys.rotate()
        world.entra.counts.clear()
        assert (await warm.score(bearer(world.entra.token(name)))).status == 200
        for number in range(20):
            unknown = world.entra.mint(world.entra.claims(name), headers={"kid": f"unknown-{number}"})
            assert (await warm.score(bearer(unknown))).status == 401
        assert sum(count for route, count in world.entra.counts.items() if "keys" in route) == 1


async def test_both_must_name_the_same_caller(by_both: Gate, world: World) -> None:
    """Header and token of one person pass; of two, or with either missing, it is 401 (S14)."""
    alice, mallory = world.name(MEMBER), world.name(MEMBER)
    claims = world.entra.claims(alice)
    headers = principal_headers(claims, names="short")
    assert (await by_both.score({**headers, **bearer(world.entra.mint(claims))})).status == 200
    by_store = {**headers, "X-MS-TOKEN-AAD-ID-TOKEN": world.entra.mint(claims)}
    assert (await by_both.score(by_store)).status == 200
    world.upstream.reset()
    for wrong, reason in (
        ({**headers, **bearer(world.entra.token(mallory))}, "token-invalid"),
        ({**by_store, **bearer(world.entra.token(mallory))}, "token-invalid"),
        ({**headers, "X-MS-TOKEN-AAD-ID-TOKEN": world.entra.token(mallory)}, "token-invalid"),
        (headers, "principal-missing"),
        (bearer(world.entra.token(alice)), "principal-missing"),
        ({**headers, **bearer(world.entra.token(alice, aud="other"))}, "audience-mismatch"),
        ({**headers, **bearer(world.entra.token(alice, age=7200))}, "token-invalid"),
    ):
        came = await by_both.score(wrong)
        assert came.status == 401
        assert by_both.decision(came)["reason"] == reason
    assert world.upstream.requests == []


async def test_without_the_platforms_word_for_it_everything_is_503(world: World) -> None:
    """`WEBSITE_AUTH_ENABLED` off: nothing strips forged headers, so nothing is believed; only /healthz is 200 (S01)."""
    for identity, value in (("easyauth", ""), ("both", "1")):
        settings = {
            "GROUPGATE_IDENTITY": identity,
            "GROUPGATE_AUDIENCE": AUDIENCES,
            "WEBSITE_AUTH_ENABLED": value,
        }
        async with world.gate(**settings) as gate:
            name = world.name(MEMBER)
            who = {
                **principal_headers(world.entra.claims(name), names="short"),
                **bearer(world.entra.token(name)),
            }
            came = await gate.score(who)
            assert came.told == (503, "gateway-misconfigured")
            assert came.headers["Retry-After"] == "60"
            assert gate.decision(came)["reason"] == "platform-auth-off"
            assert (await gate.ask("GET", "/me", headers=who)).told == (503, "gateway-misconfigured")
            assert (await gate.ask("GET", "/readyz")).told == (503, "gateway-misconfigured")
            assert (await gate.ask("GET", "/healthz")).status == 200
    assert world.upstream.requests == []


async def test_the_audit_held_through_all_of_it(gate: Gate, by_token: Gate, by_both: Gate) -> None:
    """Every line is a record, in a chain, without a token."""
    for one in (gate, by_token, by_both):
        one.verify_audit()
