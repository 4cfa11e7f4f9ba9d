"""Who may have issued a token of the tenant (ruling "Issuers")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

PUBLIC_AUTHORITY: Final = "https://login.microsoftonline.com"
VERSION_1: Final = "https://sts.windows.net/{}/"
VERSION_2: Final = PUBLIC_AUTHORITY + "/{}/v2.0"

Issuers = Callable[[], Awaitable[frozenset[str]]]
"""Gives the exact texts that `iss` may be; raises problem.Undecidable while they are not known."""


def public_issuers(tenant: str) -> frozenset[str]:
    """Return the two exact texts that `iss` has in tokens of the public cloud (protocols 2.1)."""
    return frozenset({VERSION_1.format(tenant), VERSION_2.format(tenant)})


def fixed(issuers: frozenset[str]) -> Issuers:
    """Return a source of issuers that are known beforehand."""

    async def known() -> frozenset[str]:
        return issuers

    return known
