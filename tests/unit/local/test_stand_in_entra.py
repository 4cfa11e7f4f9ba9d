"""The Entra stand-in: discovery, keys and the claims of both token versions."""

from typing import Any

import aiohttp
import jwt
import pytest

from local.directory import FRAUD_ANALYSTS, GATE_CLIENT, TENANT
from local.entra import GATE_AUDIENCE, Entra


async def decode(entra: Entra, http: aiohttp.ClientSession, token: str, audience: str) -> dict[str, Any]:
    """Verify as any relying party would: discovery, then keys, then pyjwt with every option explicit."""
    async with http.get(f"{entra.url}/{TENANT}/v2.0/.well-known/openid-configuration") as answer:
        discovery = await answer.json()
    async with http.get(discovery["jwks_uri"]) as answer:
        keys = jwt.PyJWKSet.from_dict(await answer.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=audience,
        issuer=discovery["issuer"],
        options={"require": ["exp", "iat", "iss", "aud", "tid", "oid"], "strict_aud": True},
    )
    return claims


async def test_a_users_v2_token_verifies_with_the_published_keys(
    entra: Entra, http: aiohttp.ClientSession
) -> None:
    """A v2 token names the API by client id, the client by `azp`, and the user's groups."""
    alice = entra.directory.people["alice"]
    claims = await decode(entra, http, entra.token("alice"), GATE_CLIENT)
    assert claims["oid"] == alice.oid
    assert claims["sub"] != alice.oid
    assert (claims["ver"], claims["azp"], claims["groups"]) == ("2.0", GATE_CLIENT, [FRAUD_ANALYSTS])
    assert "scp" in claims
    assert "idtyp" not in claims


def test_a_v1_token_has_the_v1_claims(entra: Entra) -> None:
    """v1: App ID URI as audience, `appid`, `unique_name`, the other issuer."""
    claims = entra.claims("alice", version="1.0")
    assert (claims["aud"], claims["iss"]) == (GATE_AUDIENCE, f"{entra.url}/{TENANT}/")
    assert {"appid", "unique_name"} <= claims.keys()
    assert not {"azp", "preferred_username"} & claims.keys()


def test_more_than_200_groups_are_not_named(entra: Entra) -> None:
    """Overage: the token points elsewhere and names no group."""
    claims = entra.claims("carol")
    assert len(entra.directory.groups_of(claims["oid"])) == 250
    assert "groups" not in claims
    assert claims["_claim_names"] == {"groups": "src1"}


def test_a_guest_has_the_home_issuer_as_idp(entra: Entra) -> None:
    """Guests carry `idp`, members do not."""
    dave, alice = entra.claims("dave"), entra.claims("alice")
    assert dave["idp"] not in (dave["iss"], None)
    assert "idp" not in alice


def test_an_app_only_token_never_carries_groups(entra: Entra) -> None:
    """An app has `sub` equal to `oid`, no `scp`, no groups, whatever it is a member of."""
    claims = entra.claims("nightly")
    assert claims["sub"] == claims["oid"]
    assert claims["idtyp"] == "app"
    assert not {"groups", "scp", "preferred_username"} & claims.keys()


def test_claims_can_be_changed_and_taken_away(entra: Entra) -> None:
    """Tests mint what they need."""
    claims = entra.claims("alice", age=600, groups=None, acct=1)
    assert "groups" not in claims
    assert (claims["acct"], claims["exp"] - claims["iat"]) == (1, 3900)


async def test_the_token_endpoint_answers_people_and_apps(entra: Entra, http: aiohttp.ClientSession) -> None:
    """Password grant for people, client credentials for apps, 400 for nobody."""
    endpoint = f"{entra.url}/{TENANT}/oauth2/v2.0/token"
    async with http.post(endpoint, data={"grant_type": "password", "username": "alice"}) as answer:
        token = (await answer.json())["access_token"]
    assert (await decode(entra, http, token, GATE_CLIENT))["name"] == "Alice"
    app = {"grant_type": "client_credentials", "client_id": entra.directory.apps["nightly"].client}
    async with http.post(endpoint, data=app | {"scope": "https://ml.azure.com/.default"}) as answer:
        token = (await answer.json())["access_token"]
    assert entra.verify(token, audience="https://ml.azure.com") is not None
    async with http.post(endpoint, data={"grant_type": "password", "username": "mallory"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("keep_old", [True, False])
async def test_keys_roll(entra: Entra, http: aiohttp.ClientSession, *, keep_old: bool) -> None:
    """A new key signs at once; an old token lives as long as its key is published."""
    old = entra.token("alice")
    entra.keys.rotate(keep_old=keep_old)
    await decode(entra, http, entra.token("alice"), GATE_CLIENT)
    assert (entra.verify(old, audience=GATE_CLIENT) is not None) == keep_old


@pytest.mark.parametrize("fault", ["audience", "expired", "garbage"])
async def test_wrong_tokens(entra: Entra, http: aiohttp.ClientSession, fault: str) -> None:
    """The `token` fault spoils what the token endpoint hands out."""
    entra.faults.set(token=fault)
    form = {"grant_type": "password", "username": "alice"}
    async with http.post(f"{entra.url}/{TENANT}/oauth2/v2.0/token", data=form) as answer:
        token = (await answer.json())["access_token"]
    assert entra.verify(token, audience=GATE_CLIENT) is None


async def test_people_at_a_terminal_get_a_token_in_one_line(
    entra: Entra, http: aiohttp.ClientSession
) -> None:
    """GET /_token/NAME answers the bare token; POST /_mint signs any claims."""
    async with http.get(f"{entra.url}/_token/alice", params={"audience": "https://ml.azure.com"}) as answer:
        assert entra.verify(await answer.text(), audience="https://ml.azure.com") is not None
    async with http.get(f"{entra.url}/_token/mallory") as answer:
        assert answer.status == 404
    async with http.post(f"{entra.url}/_mint", json={"any": "thing"}) as answer:
        assert jwt.decode(await answer.text(), options={"verify_signature": False}) == {"any": "thing"}
