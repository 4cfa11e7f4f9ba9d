"""Which route of the policy a request means. Pure."""

from __future__ import annotations

from shared.model import Asked, Policy, Route


def match(policy: Policy, asked: Asked) -> Route | None:
    """Return the route that `asked` names, None when the policy has none; names compare exactly, case included."""
    return policy.routes.get((asked.target, asked.name))
