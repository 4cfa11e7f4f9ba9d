"""Scopes: where an assignment is made, and which of them lie above a resource (Azure RBAC overview, "Scope").

A management group stands above an unknown set of subscriptions: the hierarchy is not in a snapshot. What a snapshot
lists was listed at or above its target, so an assignment at a management group counts for every subscription in it.
"""

from __future__ import annotations

from typing import Final

from shared.bypass.spelling import fold

ROOT: Final = "/"
_MANAGEMENT_GROUPS: Final = "/providers/microsoft.management/managementgroups/"
_SUBSCRIPTIONS: Final = "/subscriptions/"
_DOTS: Final = frozenset({".", ".."})
_SIGNS: Final = frozenset("%?#\\")


def canonical(text: str) -> str | None:
    """Return the one spelling by which `text` is compared; None when it is no scope.

    A scope begins with a slash and has no empty part and no blanks around it; one slash at the end is left out, `/`
    alone is the tenant's root.
    """
    scope = fold(text)
    if not scope.startswith("/") or "//" in scope or scope != scope.strip():
        return None
    return scope.removesuffix("/") or ROOT


def at_or_above(scope: str) -> tuple[str, ...]:
    """Return the canonical `scope` and every scope that its spelling lies under, the nearest first, `/` last."""
    found = []
    while scope not in {ROOT, ""}:
        found.append(scope)
        scope = scope.rpartition("/")[0]
    return (*found, ROOT)


def odd_below(scope: str) -> str | None:
    """Return the scope below which the canonical `scope` goes on as Azure writes none; None where it does not.

    What Azure would make of a name with an escape, a query or a letter that does not show cannot be told, nor where dots
    climb to.
    """
    names = scope.split("/")
    if not _DOTS.isdisjoint(names):
        return ROOT
    for at, name in enumerate(names):
        if not name.isprintable() or not _SIGNS.isdisjoint(name):
            return "/".join(names[:at]) or ROOT
    return None


def is_management_group(scope: str) -> bool:
    """Say whether the canonical `scope` is a management group."""
    return scope.startswith(_MANAGEMENT_GROUPS) and "/" not in scope[len(_MANAGEMENT_GROUPS) :]


def subscription(scope: str) -> str | None:
    """Return the subscription that the canonical `scope` is or lies in; None for what is in none."""
    if not scope.startswith(_SUBSCRIPTIONS):
        return None
    return scope[len(_SUBSCRIPTIONS) :].partition("/")[0]


def under_management_groups(scope: str) -> bool:
    """Say whether some management group may stand above the canonical `scope`, or be it."""
    return subscription(scope) is not None or is_management_group(scope)
