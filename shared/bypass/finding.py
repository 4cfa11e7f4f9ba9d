"""What a report is made of: one finding for each principal and way (design 1, "Bypass")."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["critical", "high", "medium", "low"]
Way = Literal[
    "invoke",
    "keys",
    "auth-mode",
    "change-resource",
    "run-elsewhere",
    "secrets",
    "grant",
    "group-owner",
    "remove-deny",
    "take-gate",
    "gate-excess",
    "network",
]
State = Literal["active", "eligible", "conditional", "latent"]
Verdict = Literal["closed", "open", "not-proven"]


class Principal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom a finding is about; the target itself where it is about no principal."""

    id: str
    type: str
    display_name: str | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What gives the principal the action."""

    assignment_id: str
    role_definition_id: str
    scope: str
    action: str
    """The pattern of the role that matched."""
    since: str | None = None
    """When the assignment was made, as Azure tells it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One way around the gate."""

    id: str
    """Stable: the same for the same principal, way and target in every run."""
    severity: Severity
    way: Way
    principal: Principal
    via: tuple[str, ...] = ()
    """Ids of the groups in between, the one that holds the role last; of a group's owner the first is the one owned."""
    grants: tuple[Grant, ...] = ()
    state: State
    detail: str
    """Sentences for people: what the principal can do."""
    fix: tuple[str, ...] = ()
    """Commands, the smallest first; nothing here runs them."""


class Unread(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What could not be read, and why: with any of these nothing is proven."""

    what: str
    why: str


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole answer."""

    verdict: Verdict
    target: str
    """ARM id."""
    findings: tuple[Finding, ...] = ()
    unread: tuple[Unread, ...] = ()
