"""The decision. Pure and total: the only place that allows, and it allows only on a positive proof."""

from __future__ import annotations

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
)
from shared.policy.rule import Misfit, Outcome, Verdict, evaluate, weakest

__all__ = ["decide", "evaluate", "open_questions"]

_NONE: Final[frozenset[str]] = frozenset()

_TOLD: Final = frozenset({Reason.NOT_MEMBER, Reason.DEPLOYMENT_NOT_ALLOWED, Reason.INPUT_NOT_ALLOWED})
"""Denials that a deny rule in the background would change: to whom it applies, neither help nor place is told."""

_FURTHEST: Final = MappingProxyType(
    {
        Reason.CALLER_KIND: 0,
        Reason.CLIENT_NOT_ALLOWED: 1,
        Reason.DEPLOYMENT_NOT_ALLOWED: 2,
        Reason.NOT_MEMBER: 3,
        Reason.JOB_OWNER_MISMATCH: 4,
        Reason.INPUT_NOT_ALLOWED: 5,
    }
)
"""How far a rule got before it failed: a denial tells the reason of the allow rule that got furthest."""


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
        place = None if weighed.misfit is None else weighed.misfit.place
        return Deny(reason=weighed.failure, proof=weighed.refusal, place=place)
    if weighed.allowed is None or weighed.open_deny:
        undecided = principal.kind is Kind.UNDECIDED
        return Deny(reason=Reason.CALLER_KIND if undecided else Reason.GRAPH_UNAVAILABLE)
    rule, outcome = weighed.allowed
    grace = weakest(_graced(weighed.clearance), _graced(outcome.proof))
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
    """Of allow rules before the one that matched, where it matters which is on record: limits and jobs go by its terms."""
    clearance: Fact | None
    """The weakest fact that kept a deny rule from matching."""
    failure: Reason
    """Why the allow rule that got furthest failed."""
    refusal: Fact | None
    """The weakest fact that kept an allow rule from matching."""
    misfit: Misfit | None
    """What did not fit of a job, by the allow rule that got furthest; None unless `failure` is `input-not-allowed`."""


def _weigh(route: Route, asked: Asked, principal: Principal, membership: Membership) -> _Weighed:
    allowed: tuple[Rule, Outcome] | None = None
    denied: tuple[Rule, Outcome] | None = None
    open_deny, open_allow, open_before = _NONE, _NONE, _NONE
    clearance: Fact | None = None
    refusal: Fact | None = None
    failure = Reason.CALLER_KIND
    misfit: Misfit | None = None
    on_record = route.limited or asked.wanted is not None
    for rule in route.rules:
        outcome = evaluate(rule, asked, principal, membership)
        verdict = outcome.verdict
        if rule.effect is Effect.DENY:
            if verdict is Verdict.MATCHES:
                denied = (rule, outcome) if denied is None else denied
            elif verdict is Verdict.OPEN:
                open_deny |= outcome.open
            else:
                clearance = weakest(clearance, outcome.proof)
        elif verdict is Verdict.MATCHES:
            allowed = (rule, outcome) if allowed is None else allowed
        elif verdict is Verdict.OPEN:
            open_allow |= outcome.open
            if allowed is None and on_record:
                open_before |= outcome.open
        else:
            refusal = weakest(refusal, outcome.proof)
            reason = outcome.reason
            if reason is not failure and _FURTHEST[reason] > _FURTHEST[failure]:
                failure = reason
            if outcome.misfit is not None:
                misfit = _further(misfit, outcome.misfit)
    return _Weighed(
        denied=denied,
        allowed=allowed,
        open_deny=open_deny,
        open_allow=open_allow,
        open_before=open_before,
        clearance=clearance,
        failure=failure,
        refusal=refusal,
        misfit=misfit,
    )


def _further(one: Misfit | None, other: Misfit) -> Misfit:
    """Return what the rule that got further did not let a job have; the first of two that got as far."""
    if one is None or (other.proven, other.fitting) > (one.proven, one.fitting):
        return other
    return one


def _graced(fact: Fact | None) -> Fact | None:
    return fact if fact is not None and fact.source is Source.GRACE else None
