"""What `groupgate explain` says: the steps of one decision, as data, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from shared.identity.claims import Claims
from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Effect,
    Membership,
    Policy,
    Principal,
    Reason,
    Route,
    Standing,
)
from shared.policy import engine

_SOURCES: Final = {
    "claim": "the caller's claims",
    "graph": "Graph",
    "cache": "Graph, remembered",
    "grace": "Graph, in grace",
}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling, and what the claims say."""

    tenant: str
    principal: str
    kind: str
    assumed: bool
    """Whether the kind was taken for granted, since no claims were given."""
    client: str | None
    claims: list[str]
    """Names of the claims found that the gate reads."""
    issued_s_ago: float | None
    groups: int
    """How many groups the claims carry."""
    overage: bool
    app_roles: list[str]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's standing in one group of the endpoint's rules."""

    id: str
    name: str
    standing: str
    source: str | None
    age_s: float | None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, tried by itself."""

    id: str
    effect: str
    verdict: str
    reason: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Every step of one decision."""

    policy: str | None
    endpoint: str | None
    model: str | None
    operation: str
    deployment: str | None
    everyones: bool
    """Whether jobs of others are asked for."""
    caller: Caller | None
    membership: list[Group]
    rules: list[Tried]
    decision: str
    """`allow`, `deny` or `error`."""
    reason: str
    rule: str | None
    place: str | None = None
    """What in a job is not allowed; None for every other reason."""


def caller_of(principal: Principal, claims: Claims, *, now: float, assumed: bool) -> Caller:
    """Return the caller's step; `now` is the wall clock in seconds, `assumed` that the kind was taken for granted."""
    issued = principal.issued_at
    return Caller(
        tenant=principal.tenant,
        principal=principal.oid,
        kind=principal.kind,
        assumed=assumed,
        client=principal.client,
        claims=sorted(claims.values),
        issued_s_ago=None if issued is None else round(now - issued, 1),
        groups=len(principal.groups),
        overage=claims.overage,
        app_roles=sorted(principal.app_roles),
    )


def explain(
    policy: Policy,
    asked: Asked,
    caller: Caller,
    *,
    principal: Principal,
    route: Route | None,
    membership: Membership,
) -> Explanation:
    """Return the steps up to the decision, which is still to be put in; each rule is tried as the decision tries it."""
    return msgspec.structs.replace(
        unproven(policy.digest, asked, Reason.GRAPH_UNAVAILABLE),
        caller=caller,
        membership=[] if route is None else list(_groups(policy, route, membership)),
        rules=[] if route is None else list(_rules(route, asked, principal, membership)),
    )


def decided(explanation: Explanation, decision: Decision) -> Explanation:
    """Return `explanation` with the decision that was made."""
    return msgspec.structs.replace(
        explanation,
        decision="allow" if isinstance(decision, Allow) else "deny",
        reason=decision.reason,
        rule=decision.rule,
        place=decision.place if isinstance(decision, Deny) else None,
    )


def failed(explanation: Explanation, reason: Reason) -> Explanation:
    """Return `explanation` with what kept the gate from deciding."""
    return msgspec.structs.replace(explanation, decision="error", reason=reason)


def unproven(policy: str | None, asked: Asked, reason: Reason) -> Explanation:
    """Return the explanation of a denial before anything is asked: it is not proven who the caller is."""
    return Explanation(
        policy=policy,
        endpoint=asked.name if asked.target == "endpoint" else None,
        model=asked.name if asked.target == "model" else None,
        operation=asked.operation,
        deployment=asked.deployment,
        everyones=asked.everyones,
        caller=None,
        membership=[],
        rules=[],
        decision="deny",
        reason=reason,
        rule=None,
    )


def text(explanation: Explanation) -> str:
    """Return the explanation for people, one line a fact."""
    return "\n".join(_lines(explanation)) + "\n"


def _groups(policy: Policy, route: Route, membership: Membership) -> Iterator[Group]:
    for group in sorted(route.groups, key=lambda id_: policy.groups[id_]):
        fact = membership.facts.get(group)
        yield Group(
            id=group,
            name=policy.groups[group],
            standing=Standing.UNKNOWN if fact is None else fact.standing,
            source=None if fact is None else fact.source,
            age_s=None if fact is None else round(fact.age, 1),
        )


def _rules(route: Route, asked: Asked, principal: Principal, membership: Membership) -> Iterator[Tried]:
    for effect in (Effect.DENY, Effect.ALLOW):
        for rule in route.rules:
            if rule.effect is effect:
                outcome = engine.evaluate(rule, asked, principal, membership)
                yield Tried(id=rule.id, effect=effect, verdict=outcome.verdict.value, reason=outcome.reason)


def _lines(explanation: Explanation) -> Iterator[str]:
    deployment = "" if explanation.deployment is None else f", deployment {explanation.deployment}"
    name = explanation.endpoint if explanation.model is None else f"of model {explanation.model}"
    yield f"asked       {explanation.operation} {name}{deployment}{' (jobs of everyone)' if explanation.everyones else ''}"
    yield f"policy      {explanation.policy or 'none: the configuration has faults'}"
    caller = explanation.caller
    if caller is not None:
        taken = " (taken for no guest)" if caller.assumed else ""
        yield f"caller      {caller.kind}{taken} {caller.principal} of tenant {caller.tenant}"
        yield f"            client {caller.client or 'not told'}, app roles: {', '.join(caller.app_roles) or 'none'}"
        yield f"claims      {', '.join(caller.claims) or 'none'}"
        age = (
            "with no time of issue"
            if caller.issued_s_ago is None
            else f"issued {caller.issued_s_ago:g} s ago"
        )
        marker = ", and a marker that groups were left out" if caller.overage else ""
        yield f"            groups: {caller.groups}{marker}, {age}"
    for group in explanation.membership:
        where = (
            "nobody knows" if group.source is None else f"by {_SOURCES[group.source]}, {group.age_s:g} s old"
        )
        yield f"membership  {group.standing:<8}{group.name} ({group.id}): {where}"
    for rule in explanation.rules:
        yield f"rule        {rule.effect:<6}{rule.id}: {rule.verdict} ({rule.reason})"
    by = "" if explanation.rule is None else f" by rule {explanation.rule}"
    place = "" if explanation.place is None else f" ({explanation.place})"
    yield f"decision    {explanation.decision}{by}: {explanation.reason}{place}"
