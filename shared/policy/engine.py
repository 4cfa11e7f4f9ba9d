"""The decision. Pure and total: the only place that allows, and it allows only on a positive proof.

A rule narrows first (callers, clients, deployments), then proves (principals, app roles, groups). What a rule does not
say is on the safe side of its effect, so what is not known counts for a deny rule and against an allow rule.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Final

import msgspec

from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Effect,
    Fact,
    Kind,
    Membership,
    Principal,
    Reason,
    Route,
    Rule,
    Source,
    Standing,
)

_NONE: Final[frozenset[str]] = frozenset()

_TOLD: Final = frozenset({Reason.NOT_MEMBER, Reason.DEPLOYMENT_NOT_ALLOWED})
"""Denials that a deny rule in the background would change: to whom it applies, the policy's help is not told."""

_FURTHEST: Final = MappingProxyType(
    {
        Reason.CALLER_KIND: 0,
        Reason.CLIENT_NOT_ALLOWED: 1,
        Reason.DEPLOYMENT_NOT_ALLOWED: 2,
        Reason.NOT_MEMBER: 3,
    }
)
"""How far a rule got before it failed: a denial tells the reason of the allow rule that got furthest."""


class Verdict(enum.Enum):
    """What one rule says of one request."""

    MATCHES = "matches"
    FAILS = "fails"
    OPEN = "open"
    """It depends on groups whose standing is unknown."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of trying one rule."""

    verdict: Verdict
    reason: Reason
    """MATCHES: the proof's kind, or `deny-rule`. FAILS: what stopped it. OPEN: `graph-unavailable`."""
    proof: Fact | None = None
    """MATCHES: the fact that proves. FAILS with `not-member`: the weakest fact that says out. Else None."""
    group: str | None = None
    """MATCHES by a group: the one that `proof` is about."""
    open: frozenset[str] = _NONE
    """The groups that have to be known first."""


_WRONG_KIND: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.CALLER_KIND)
_WRONG_CLIENT: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.CLIENT_NOT_ALLOWED)
_WRONG_DEPLOYMENT: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.DEPLOYMENT_NOT_ALLOWED)


def evaluate(rule: Rule, asked: Asked, principal: Principal, membership: Membership) -> Outcome:
    """Return what `rule` says by itself, other rules left aside."""
    listed = principal.oid in rule.principals
    narrowed = _narrow(rule, asked, principal, listed=listed)
    if narrowed is not None:
        return narrowed
    if listed:
        return Outcome(verdict=Verdict.MATCHES, reason=_matched(rule, Reason.PRINCIPAL_LISTED))
    if not rule.app_roles.isdisjoint(principal.app_roles):
        return Outcome(verdict=Verdict.MATCHES, reason=_matched(rule, Reason.APP_ROLE))
    return _by_groups(rule, membership)


def _narrow(rule: Rule, asked: Asked, principal: Principal, *, listed: bool) -> Outcome | None:
    """Return what stops the rule before any proof counts, None for nothing."""
    if not _kind_fits(rule, principal.kind, listed=listed):
        return _WRONG_KIND
    if rule.clients is not None and not _client_fits(rule, rule.clients, principal.client):
        return _WRONG_CLIENT
    return None if _deployment_fits(rule, asked.deployment) else _WRONG_DEPLOYMENT


def decide(route: Route | None, asked: Asked, principal: Principal, membership: Membership) -> Decision:
    """Return the decision. Never raises; whatever is not proven is a Deny.

    What the directory was not asked for, though it matters, denies with `graph-unavailable` (an undecided caller, for
    whom nobody can ask, with `caller-kind`): `open_questions` names it beforehand.
    """
    if route is None:
        return Deny(reason=Reason.UNKNOWN_ENDPOINT)
    if asked.operation not in route.operations:
        return Deny(reason=Reason.OPERATION_NOT_ALLOWED)
    if membership.missing is not None:
        return Deny(reason=Reason.PRINCIPAL_NOT_FOUND, proof=membership.missing)

    return _settle(_weigh(route, asked, principal, membership), principal)


def _settle(weighed: _Weighed, principal: Principal) -> Decision:
    if weighed.denied is not None:
        rule, outcome = weighed.denied
        return Deny(reason=Reason.DENY_RULE, rule=rule.id, proof=outcome.proof)
    if weighed.allowed is None and not weighed.open_allow:
        return Deny(reason=weighed.failure, proof=weighed.refusal)
    if weighed.allowed is None or weighed.open_deny:
        undecided = principal.kind is Kind.UNDECIDED
        return Deny(reason=Reason.CALLER_KIND if undecided else Reason.GRAPH_UNAVAILABLE)
    rule, outcome = weighed.allowed
    grace = _weakest(_graced(weighed.clearance), _graced(outcome.proof))
    if grace is not None:
        return Allow(rule=rule.id, reason=Reason.OUTAGE_GRACE, proof=grace, group=outcome.group)
    return Allow(rule=rule.id, reason=outcome.reason, proof=outcome.proof, group=outcome.group)


def open_questions(
    route: Route | None, asked: Asked, principal: Principal, membership: Membership
) -> frozenset[str]:
    """Return the groups whose unknown standing the decision depends on: what to ask the directory, empty for nothing."""
    if route is None or asked.operation not in route.operations or membership.missing is not None:
        return _NONE
    if principal.kind is Kind.UNDECIDED:  # neither of the directory's typed paths is right for it
        return _NONE
    weighed = _weigh(route, asked, principal, membership)
    if weighed.denied is not None:
        return _NONE
    if weighed.allowed is not None:
        return weighed.open_deny | weighed.open_before
    if weighed.open_allow or weighed.failure in _TOLD:
        return weighed.open_deny | weighed.open_allow
    # No rule is for this kind of caller or its client: no answer could matter, to the decision or to what is told.
    return _NONE


class _Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of a route, tried; the first of each effect that matched, in file order."""

    denied: tuple[Rule, Outcome] | None
    allowed: tuple[Rule, Outcome] | None
    open_deny: frozenset[str]
    open_allow: frozenset[str]
    open_before: frozenset[str]
    """Of allow rules that stand before the one that matched and give something else away: which is it that is on record?"""
    clearance: Fact | None
    """The weakest fact that kept a deny rule from matching."""
    failure: Reason
    """Why the allow rule that got furthest failed."""
    refusal: Fact | None
    """The weakest fact that kept an allow rule from matching."""


def _weigh(route: Route, asked: Asked, principal: Principal, membership: Membership) -> _Weighed:
    allowed: tuple[Rule, Outcome] | None = None
    denied: tuple[Rule, Outcome] | None = None
    open_deny, open_allow, open_before = _NONE, _NONE, _NONE
    clearance: Fact | None = None
    refusal: Fact | None = None
    failure = Reason.CALLER_KIND
    for rule in route.rules:
        outcome = evaluate(rule, asked, principal, membership)
        verdict = outcome.verdict
        if rule.effect is Effect.DENY:
            if verdict is Verdict.MATCHES:
                denied = (rule, outcome) if denied is None else denied
            elif verdict is Verdict.OPEN:
                open_deny |= outcome.open
            else:
                clearance = _weakest(clearance, outcome.proof)
        elif verdict is Verdict.MATCHES:
            allowed = (rule, outcome) if allowed is None else allowed
        elif verdict is Verdict.OPEN:
            open_allow |= outcome.open
            if allowed is None and route.limited:
                open_before |= outcome.open
        else:
            refusal = _weakest(refusal, outcome.proof)
            reason = outcome.reason
            if reason is not failure and _FURTHEST[reason] > _FURTHEST[failure]:
                failure = reason
    return _Weighed(
        denied=denied,
        allowed=allowed,
        open_deny=open_deny,
        open_allow=open_allow,
        open_before=open_before,
        clearance=clearance,
        failure=failure,
        refusal=refusal,
    )


def _kind_fits(rule: Rule, kind: Kind, *, listed: bool) -> bool:
    """Say whether the rule is for callers of `kind`: each effect takes what the rule leaves unsaid on its safe side."""
    callers = rule.callers
    if rule.effect is Effect.DENY:
        # An undecided caller may be any kind, and whoever is named by object id is meant.
        return callers is None or listed or kind is Kind.UNDECIDED or kind in callers
    if callers is not None:
        return kind in callers
    # Unsaid, groups and app roles are for users; a principal is named by its id, whatever its kind.
    return kind is Kind.USER or listed or not (rule.groups or rule.app_roles)


def _client_fits(rule: Rule, clients: frozenset[str], client: str | None) -> bool:
    if client is None:
        return rule.effect is Effect.DENY
    return client in clients


def _deployment_fits(rule: Rule, deployment: str | None) -> bool:
    if rule.effect is Effect.ALLOW:
        return deployment is None or (rule.deployments is not None and deployment in rule.deployments)
    return rule.deployments is None or deployment in rule.deployments


def _matched(rule: Rule, reason: Reason) -> Reason:
    return reason if rule.effect is Effect.ALLOW else Reason.DENY_RULE


def _by_groups(rule: Rule, membership: Membership) -> Outcome:
    """Any group that holds the caller proves; else any unknown one leaves the rule open."""
    proof: Fact | None = None
    proven: str | None = None
    refusal: Fact | None = None
    unknown: list[str] = []
    for group in rule.groups:
        fact = membership.facts.get(group)
        if fact is None or fact.standing is Standing.UNKNOWN:
            unknown.append(group)
        elif fact.standing is Standing.IN:
            # Of two that prove alike the first id is on record, whatever the order of the set.
            if (
                proof is None
                or _weaker(proof, fact)
                or (proven is not None and group < proven and not _weaker(fact, proof))
            ):
                proof, proven = fact, group
        else:
            refusal = _weakest(refusal, fact)
    if proof is not None:
        return Outcome(
            verdict=Verdict.MATCHES, reason=_matched(rule, Reason.MEMBER), proof=proof, group=proven
        )
    if unknown:
        return Outcome(verdict=Verdict.OPEN, reason=Reason.GRAPH_UNAVAILABLE, open=frozenset(unknown))
    return Outcome(verdict=Verdict.FAILS, reason=Reason.NOT_MEMBER, proof=refusal)


def _weaker(fact: Fact, than: Fact) -> bool:
    """Order facts: an answer in grace is the weakest, then the older one; the source only makes ties repeatable."""
    grace = fact.source is Source.GRACE
    if grace is not (than.source is Source.GRACE):
        return grace
    return fact.source > than.source if fact.age == than.age else fact.age > than.age


def _weakest(one: Fact | None, other: Fact | None) -> Fact | None:
    if one is None:
        return other
    if other is None or other is one:
        return one
    return other if _weaker(other, one) else one


def _graced(fact: Fact | None) -> Fact | None:
    return fact if fact is not None and fact.source is Source.GRACE else None
