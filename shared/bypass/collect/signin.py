"""Who collects: whoever is signed in here, by azure-identity's DefaultAzureCredential. Never the gate's own identity.

The gate's tokens (shared/outbound/credentials.py) are fetched asynchronously beside requests, and with no proxy of the
environment; a command that runs once and blocks, on an operator's machine, wants the contrary. So this is the one other
importer of azure.identity. It is imported where something is collected: a snapshot is judged without it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final, Protocol

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential

from shared.bypass.collect.tokens import SignInFault

_EARLY: Final = 300.0
"""Seconds before its end at which a token is no longer used."""
_REASON: Final = re.compile(r"AADSTS[0-9]{1,10}")


class Granted(Protocol):
    """A token, as azure-identity gives it."""

    @property
    def token(self) -> str:
        """The token itself."""

    @property
    def expires_on(self) -> int:
        """When it ends, in seconds since 1970."""


class Credential(Protocol):
    """What azure-identity's credentials are."""

    def get_token(self, *scopes: str) -> Granted:
        """Return a token; raise azure.core's AzureError."""


class SignedIn:
    """The Tokens of whom `credential` signs in, kept while they are good: the Azure CLI starts a process for each."""

    def __init__(self, credential: Credential, *, now: Callable[[], float] = time.time) -> None:
        """Ask for nothing yet; `now` gives seconds since 1970."""
        self._credential: Final = credential
        self._now: Final = now
        self._held: Final[dict[str, Granted]] = {}

    def __call__(self, scope: str) -> str:
        """Return a token for `scope`; raise SignInFault."""
        held = self._held.get(scope)
        if held is None or self._now() >= held.expires_on - _EARLY:
            try:
                held = self._held[scope] = self._credential.get_token(scope)
            except (AzureError, ValueError) as error:
                raise SignInFault(_why(str(error))) from error
        return held.token


def signed_in() -> SignedIn:
    """Return the tokens of whoever is signed in here: environment, workload or managed identity, Azure CLI and so on."""
    return SignedIn(DefaultAzureCredential())


def _why(text: str) -> str:
    """Return what to do, and of azure-identity's own text, which names accounts, the error codes of Entra alone."""
    codes = ", ".join(dict.fromkeys(_REASON.findall(text)))
    told = f" (Entra says {codes})" if codes else ""
    return f"nobody is signed in who gets a token for it{told}; sign in with `az login`, or set AZURE_CLIENT_ID and its like"
