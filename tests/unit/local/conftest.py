"""Stand-ins for the tests of this folder, each on a free port."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.directory import Directory, contoso
from local.entra import Entra
from local.managed_identity import ManagedIdentity


@pytest.fixture
def directory() -> Directory:
    """The tenant of the story, fresh for each test."""
    return contoso()


@pytest.fixture
async def entra(directory: Directory) -> AsyncIterator[Entra]:
    async with Entra(directory) as running:
        yield running


@pytest.fixture
async def managed_identity(entra: Entra) -> AsyncIterator[ManagedIdentity]:
    async with ManagedIdentity(entra, entra.directory.apps["gate"]) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=5), max_field_size=131_072
    ) as session:
        yield session


def bearer(token: str) -> dict[str, str]:
    """The Authorization header for a token."""
    return {"Authorization": f"Bearer {token}"}
