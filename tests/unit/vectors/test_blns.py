"""The Big List of Naughty Strings in every place of a principal that a caller could reach."""

from __future__ import annotations

import json

import pytest

from shared.identity.token import TokenVerifier
from shared.ids import guid, guids
from shared.model import Headers, Kind, Reason
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_entra import AUDIENCE, HEADER, FixedKeys, claims, token
from tests.unit.identity.fakes_principal import (
    GROUP,
    OID,
    TENANT,
    FakeClock,
    encoded,
    gatekeeper,
    headers,
    user,
)
from tests.unit.vectors.corpora import VECTORS, needs_vectors

pytestmark = needs_vectors

LIST = VECTORS / "blns" / "blns.json"
NAUGHTY: list[str] = json.loads(LIST.read_bytes()) if LIST.is_file() else []
LAWFUL = {
    "acct": {"0", "1"},
    "iat": {text for text in NAUGHTY if text.isascii() and text.isdigit() and len(text) <= 11},
}
"""Strings of the list that are what such a claim may be: a member, a guest, a second of 1970."""


def test_the_list_is_whole() -> None:
    """515 strings, and none of them is an id (S11, S12)."""
    assert len(NAUGHTY) == 515
    assert guids(NAUGHTY) == frozenset()
    assert not any(map(guid, NAUGHTY))


@pytest.mark.parametrize("name", ["tid", "oid", "iss", "idtyp", "acct", "azp", "iat"])
async def test_as_the_value_of_a_claim_that_names_the_caller(name: str) -> None:
    """S09, S12: nobody, or who it would be without the claim; never another caller, never another error."""
    for naughty in NAUGHTY:
        if naughty in LAWFUL.get(name, ()):
            continue
        given = headers(encoded(user(**{name: naughty})))
        with pytest.raises(Unauthenticated) as refused:
            await gatekeeper().authenticate(given)
        assert refused.value.status == 401


@pytest.mark.parametrize("name", ["groups", "roles", "scp", "sub", "idp", "name", "aud", "ver"])
async def test_as_the_value_of_another_claim(name: str) -> None:
    """S11: no string is ever a group; the caller stays who it is."""
    for naughty in NAUGHTY:
        found = await gatekeeper().authenticate(headers(encoded([*user(**{name: None}), (name, naughty)])))
        assert (found.tenant, found.oid) == (TENANT, OID)
        assert found.groups == (frozenset() if name == "groups" else {GROUP})
        assert found.kind is not Kind.APP


async def test_as_the_type_of_a_claim() -> None:
    """S10: no string is a claim that is read."""
    for naughty in NAUGHTY:
        found = await gatekeeper().authenticate(headers(encoded([*user(), (naughty, GROUP), (naughty, OID)])))
        assert found == await gatekeeper().authenticate(headers(encoded(user())))


@pytest.mark.parametrize(
    "name",
    ["x-ms-client-principal", "x-ms-client-principal-id", "x-ms-client-principal-idp", "authorization"],
)
async def test_as_the_value_of_a_header(name: str) -> None:
    """S09, S08: 401 in each mode, whatever it is, and never another error."""
    verifier = TokenVerifier(
        tenant=TENANT, audiences=frozenset({AUDIENCE}), source=FixedKeys(), clock=FakeClock()
    )
    good = {
        "x-ms-client-principal": encoded(user()),
        "x-ms-client-principal-id": OID,
        "x-ms-client-principal-idp": "aad",
    }
    for naughty in NAUGHTY:
        for value in (naughty, f"Bearer {naughty}", f"Bearer {naughty}.{naughty}.{naughty}"):
            given = Headers((good | {name: value}).items())
            for authenticator in (verifier, gatekeeper()) if name != "authorization" else (verifier,):
                with pytest.raises(Unauthenticated) as refused:
                    await authenticator.authenticate(given)
                assert refused.value.status == 401


async def test_in_a_signed_token() -> None:
    """S20, S21: as `kid`, and as each claim that must fit: nobody."""
    verifier = TokenVerifier(
        tenant=TENANT, audiences=frozenset({AUDIENCE}), source=FixedKeys(), clock=FakeClock()
    )
    for naughty in NAUGHTY[::5]:
        for text in (
            token(claims(), header={**HEADER, "kid": naughty}),
            token(claims(), header={**HEADER, "typ": naughty}),
            token(claims(tid=naughty)),
            token(claims(aud=naughty)),
            token(claims(iss=naughty)),
            token(claims(oid=naughty)),
        ):
            with pytest.raises(Unauthenticated) as refused:
                await verifier.verify(text)
            assert refused.value.reason is not Reason.PRINCIPAL_MISSING
