"""The managed identity stand-in, driven by the real azure-identity."""

import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from azure.core.exceptions import AzureError
from azure.identity.aio import ManagedIdentityCredential

from local.managed_identity import ManagedIdentity

SCOPE = "https://ml.azure.com/.default"


@pytest.fixture
async def credential(
    managed_identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ManagedIdentityCredential]:
    for name, value in managed_identity.environment.items():
        monkeypatch.setenv(name, value)
    async with ManagedIdentityCredential(retry_total=0) as real:
        yield real


async def test_the_real_credential_gets_the_gates_token(
    managed_identity: ManagedIdentity, credential: ManagedIdentityCredential
) -> None:
    """azure-identity reads the answer: token for the resource, expiry as told, then from its cache."""
    managed_identity.lifetime = 3600
    token = await credential.get_token(SCOPE)
    claims = managed_identity.entra.verify(token.token, audience="https://ml.azure.com")
    assert claims is not None
    assert claims["oid"] == managed_identity.identity.oid
    assert abs(token.expires_on - time.time() - 3600) < 5
    await credential.get_token(SCOPE)
    assert managed_identity.counts["/msi/token"] == 1


async def test_a_wrong_identity_header_is_refused(
    managed_identity: ManagedIdentity, http: aiohttp.ClientSession
) -> None:
    """Only the app that got the secret gets tokens."""
    query = {"api-version": "2019-08-01", "resource": "https://ml.azure.com"}
    url = managed_identity.environment["IDENTITY_ENDPOINT"]
    for headers in ({}, {"X-IDENTITY-HEADER": "wrong"}):
        async with http.get(url, params=query, headers=headers) as answer:
            assert answer.status == 401
    for change in ({"api-version": "2018"}, {"resource": ""}, {"client_id": "other"}):
        headers = {"X-IDENTITY-HEADER": managed_identity.secret}
        async with http.get(url, params=query | change, headers=headers) as answer:
            assert answer.status == 400


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "body": "{}"},
        {"garbage": True},
        {"cut": True},
        {"refuse": True},
        {"token": "no-expiry"},
    ],
)
async def test_a_faulty_endpoint_gives_the_credential_no_token(
    managed_identity: ManagedIdentity, credential: ManagedIdentityCredential, fault: dict[str, object]
) -> None:
    """Each fault reaches azure-identity as an error of its own kind."""
    managed_identity.faults.set(**fault)
    with pytest.raises(AzureError):
        await credential.get_token(SCOPE)


@pytest.mark.parametrize("fault", ["audience", "expired", "garbage"])
async def test_wrong_tokens(
    managed_identity: ManagedIdentity, credential: ManagedIdentityCredential, fault: str
) -> None:
    """azure-identity passes on what it gets; the model and Graph refuse it."""
    managed_identity.faults.set(token=fault)
    token = await credential.get_token(SCOPE)
    assert managed_identity.entra.verify(token.token, audience="https://ml.azure.com") is None
