"""Who collects: tokens are asked for once while they are good, and why there is none is told without names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from azure.core.exceptions import ClientAuthenticationError

from shared.bypass.collect.signin import SignedIn
from shared.bypass.collect.tokens import SignInFault

ARM = "https://management.azure.com/.default"
GRAPH = "https://graph.microsoft.com/.default"


@dataclass
class Token:
    token: str
    expires_on: int


class FakeCredential:
    """Gives a token for an hour from `now`, or fails."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.asked: list[str] = []
        self.fault: Exception | None = None

    def get_token(self, *scopes: str) -> Token:
        self.asked += scopes
        if self.fault is not None:
            raise self.fault
        return Token(f"token-{len(self.asked)}", int(self.now) + 3_600)


def test_a_token_serves_until_shortly_before_its_end() -> None:
    """Each scope has its own; azure-identity may start a process for every one that is asked for."""
    credential = FakeCredential()
    tokens = SignedIn(credential, now=lambda: credential.now)
    assert [tokens(ARM), tokens(GRAPH), tokens(ARM)] == ["token-1", "token-2", "token-1"]
    credential.now += 3_299
    assert tokens(ARM) == "token-1"
    credential.now += 1
    assert tokens(ARM) == "token-3"
    assert credential.asked == [ARM, GRAPH, ARM]


TO_DO = "sign in with `az login`, or set AZURE_CLIENT_ID and its like"
FAULTS = {
    "nobody": (
        ClientAuthenticationError("DefaultAzureCredential failed for someone@contoso.com in 8c1d2e3f"),
        f"nobody is signed in who gets a token for it; {TO_DO}",
    ),
    "refused by Entra": (
        ClientAuthenticationError("AADSTS70043: someone@contoso.com ... AADSTS70043 ... AADSTS50076"),
        f"nobody is signed in who gets a token for it (Entra says AADSTS70043, AADSTS50076); {TO_DO}",
    ),
    "a setting that is none": (
        ValueError("AZURE_TENANT_ID someone@contoso.com"),
        f"nobody is signed in who gets a token for it; {TO_DO}",
    ),
}


@pytest.mark.parametrize(("fault", "why"), FAULTS.values(), ids=FAULTS)
def test_why_there_is_no_token_is_told_without_names(fault: Exception, why: str) -> None:
    """azure-identity's own text names accounts and tenants; a later call asks again."""
    credential = FakeCredential()
    credential.fault = fault
    tokens = SignedIn(credential, now=lambda: credential.now)
    with pytest.raises(SignInFault) as found:
        tokens(ARM)
    assert found.value.why == why
    credential.fault = None
    assert tokens(ARM) == "token-2"
