"""Whose window it is: keys that no two callers can share, and that hold nothing of them (threats T21, I01)."""

from __future__ import annotations

import hashlib

import msgspec

from shared.model import Limits, Principal, Route, Rule


def key_of(limits: Limits, route: Route, rule: Rule, principal: Principal) -> bytes:
    """Return 32 bytes that stand for who shares a limit: one caller of a rule, or all whom the rule lets in.

    The digest is of a list and not of joined text, so ids that are alike when put together stay apart.
    """
    if limits.per == "rule":
        return digest("rule", route.target, route.name, rule.id)
    return digest("caller", route.target, route.name, rule.id, principal.tenant, principal.oid)


def digest(*parts: str) -> bytes:
    """Return the SHA-256 of `parts`; different parts, or the same ones cut differently, give another."""
    return hashlib.sha256(msgspec.json.encode(parts)).digest()
