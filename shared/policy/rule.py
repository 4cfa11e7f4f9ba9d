"""What one rule says of one request, other rules left aside. Pure and total.

A rule narrows first (callers, clients, deployments), then proves (principals, app roles, groups); of batch jobs an allow
rule then lets have only what its terms say. What a rule does not say is on the safe side of its effect, so what is not
known counts for a deny rule and against an allow rule.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from shared.model import Asked, Effect, Fact, Kind, Membership, Principal, Reason, Rule, Source, Standing
from shared.policy import terms

_NONE: Final[frozenset[str]] = frozenset()


class Verdict(enum.Enum):
    """What one rule says of one request."""

    MATCHES = "matches"
    FAILS = "fails"
    OPEN = "open"
    """It depends on groups whose standing is unknown."""


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """What of a job a rule does not let it have."""

    proven: bool
    """Whether the rule is the caller's otherwise. What rules of others would let jobs have is not told before that."""
    fitting: int
    """How many of the things that the job wants fit before this one."""
    place: str
    """Where in the request's body it stands."""


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
    misfit: Misfit | None = None
    """FAILS with `input-not-allowed`: what did not fit. Else None."""


_WRONG_KIND: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.CALLER_KIND)
_WRONG_CLIENT: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.CLIENT_NOT_ALLOWED)
_WRONG_DEPLOYMENT: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.DEPLOYMENT_NOT_ALLOWED)
_WRONG_OWNER: Final = Outcome(verdict=Verdict.FAILS, reason=Reason.JOB_OWNER_MISMATCH)


def evaluate(rule: Rule, asked: Asked, principal: Principal, membership: Membership) -> Outcome:
    """Return what `rule` says by itself, other rules left aside."""
    listed = principal.oid in rule.principals
    narrowed = _narrow(rule, asked, principal, listed=listed)
    if narrowed is not None:
        return narrowed
    if listed:
        proven = Outcome(verdict=Verdict.MATCHES, reason=_matched(rule, Reason.PRINCIPAL_LISTED))
    elif not rule.app_roles.isdisjoint(principal.app_roles):
        proven = Outcome(verdict=Verdict.MATCHES, reason=_matched(rule, Reason.APP_ROLE))
    else:
        proven = _by_groups(rule, membership)
    if asked.wanted is None and not asked.everyones:
        return proven
    return _on_terms(rule, asked, proven)


def _narrow(rule: Rule, asked: Asked, principal: Principal, *, listed: bool) -> Outcome | None:
    """Return what stops the rule before any proof counts, None for nothing."""
    if not _kind_fits(rule, principal.kind, listed=listed):
        return _WRONG_KIND
    if rule.clients is not None and not _client_fits(rule, rule.clients, principal.client):
        return _WRONG_CLIENT
    return None if _deployment_fits(rule, asked.deployment) else _WRONG_DEPLOYMENT


def _on_terms(rule: Rule, asked: Asked, proven: Outcome) -> Outcome:
    """Return what an allow rule says of the job that is asked for; a deny rule is for every job.

    The caller's standing counts first, so that a refusal tells nobody what the rules of others let jobs have. A rule
    that gives no leave fails though its groups are open: they are not asked about.
    """
    if rule.effect is Effect.DENY or proven.verdict is Verdict.FAILS:
        return proven
    gives = rule.job or terms.NOTHING
    if asked.everyones and not gives.see_all:
        return _WRONG_OWNER
    wrong = None if asked.wanted is None else terms.misfit(gives, asked.wanted)
    if wrong is None:
        return proven
    fitting, place = wrong
    return Outcome(
        verdict=Verdict.FAILS,
        reason=Reason.INPUT_NOT_ALLOWED,
        misfit=Misfit(proven=proven.verdict is Verdict.MATCHES, fitting=fitting, place=place),
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
            refusal = weakest(refusal, fact)
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


def weakest(one: Fact | None, other: Fact | None) -> Fact | None:
    """Return the weaker of two facts, the one that is there where only one is."""
    if one is None:
        return other
    if other is None or other is one:
        return one
    return other if _weaker(other, one) else one
