"""The gate's addresses: the one table of routes that hosting registers and the gate answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One registered route. Wrong methods are the gate's to answer, so the host is told of none (design, "Routes")."""

    template: str
    """As the Functions host takes it; the route prefix is empty."""
    methods: tuple[str, ...]
    backend: str | None = None
    """Which kind of model service answers; None where the gate itself does."""


ADDRESSES: Final[Mapping[str, Address]] = MappingProxyType(
    {
        "score": Address(template="endpoints/{name}/score", methods=("POST",), backend="online"),
        "swagger": Address(
            template="endpoints/{name}/swagger.json", methods=("GET", "HEAD"), backend="online"
        ),
        "me": Address(template="me", methods=("GET", "HEAD")),
        "healthz": Address(template="healthz", methods=("GET", "HEAD")),
        "readyz": Address(template="readyz", methods=("GET", "HEAD")),
    }
)
