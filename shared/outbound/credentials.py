"""The gate's own identity, and the only importer of azure.identity."""

from __future__ import annotations

from typing import Final

from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from shared.outbound.tokens import KeptTokens
from shared.ports import Clock

REQUEST_TIMEOUT: Final = 3.0
"""Seconds that a request waits for a managed identity's token (threats, 5.2)."""
DEVELOPER_TIMEOUT: Final = 15.0
"""Seconds on a laptop, where the Azure CLI is started to get one."""


class ManagedIdentityTokens(KeptTokens):
    """Tokens of a managed identity, or of whoever is signed in on a developer's machine.

    Every request for a token uses a credential of its own: azure-identity would otherwise answer a renewal, or a request
    after a drop, from its cache, and its connections belong to one event loop. They are hours apart.
    """

    def __init__(self, clock: Clock, *, client_id: str | None, developer: bool) -> None:
        """Take `client_id` of a user-assigned identity, None for the system-assigned one. Opens nothing."""
        super().__init__(clock, self._request, timeout=DEVELOPER_TIMEOUT if developer else REQUEST_TIMEOUT)
        self._client_id: Final = client_id
        self._developer: Final = developer

    async def _request(self, scope: str) -> tuple[str, float]:
        async with self._credential() as credential:
            granted = await credential.get_token_info(scope)
        return granted.token, granted.expires_on

    def _credential(self) -> ManagedIdentityCredential | DefaultAzureCredential:
        if self._developer:
            return DefaultAzureCredential(use_env_settings=False)
        # One retry, soon, and no proxy out of the environment (threat T18); the timeouts are backstops of the overall one.
        return ManagedIdentityCredential(
            client_id=self._client_id,
            retry_total=1,
            retry_backoff_factor=0.2,
            retry_backoff_max=1,
            connection_timeout=2,
            read_timeout=REQUEST_TIMEOUT,
            use_env_settings=False,
        )
