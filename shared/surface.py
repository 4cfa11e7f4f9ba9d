"""The gate's addresses: the one table of routes that hosting registers and the gate answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shared.model import Inbound


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One registered route. Wrong methods are the gate's to answer, so the host is told of none (design, "Routes")."""

    template: str
    """As the Functions host takes it; the route prefix is empty."""
    methods: tuple[str, ...] | None
    """None where they depend on what is asked: then the backend answers 405 itself."""
    backend: str | None = None
    """Which kind of model service answers; None where the gate itself does."""
    durable: bool = False
    """Whether it needs Durable Functions: then it is registered with GROUPGATE_JOBS=on only."""
    openai: bool = False
    """Whether clients of OpenAI's interface read what comes: then errors are told in its shape as well."""


ADDRESSES: Final[Mapping[str, Address]] = MappingProxyType(
    {
        "score": Address(template="endpoints/{name}/score", methods=("POST",), backend="online"),
        "swagger": Address(
            template="endpoints/{name}/swagger.json", methods=("GET", "HEAD"), backend="online"
        ),
        "jobs": Address(
            template="endpoints/{name}/jobs", methods=("GET", "HEAD", "POST"), backend="batch", durable=True
        ),
        "job": Address(
            template="endpoints/{name}/jobs/{id}",
            methods=("GET", "HEAD", "DELETE"),
            backend="batch",
            durable=True,
        ),
        "openai": Address(template="openai/{*rest}", methods=None, backend="openai", openai=True),
        "models": Address(template="models/{*rest}", methods=None, backend="openai", openai=True),
        "me": Address(template="me", methods=("GET", "HEAD")),
        "healthz": Address(template="healthz", methods=("GET", "HEAD")),
        "readyz": Address(template="readyz", methods=("GET", "HEAD")),
    }
)

MODEL_LIST: Final = Address(template="openai/v1/models", methods=("GET", "HEAD"), openai=True)
"""The models that the caller may use, in OpenAI's words; it stands under the addresses of models, and is the gate's own."""
_LISTS: Final = frozenset({("openai", "v1/models"), ("openai", "models"), ("models", "models")})


def address_of(inbound: Inbound) -> Address:
    """Return the address that `inbound` came to."""
    if (inbound.route, inbound.params.get("rest")) in _LISTS:
        return MODEL_LIST
    return ADDRESSES[inbound.route]
