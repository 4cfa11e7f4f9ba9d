"""From a verified caller and a question to a decision: the gate, `GET /me` and `groupgate explain` all decide here."""

from __future__ import annotations

import msgspec

from shared.model import Allow, Asked, Decision, Deny, Membership, Policy, Principal, Reason, Route
from shared.policy import engine
from shared.policy.routing import match
from shared.ports import Memberships
from shared.problem import Undecidable


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with what it was made from."""

    route: Route | None
    membership: Membership
    decision: Decision


async def authorize(policy: Policy, memberships: Memberships, principal: Principal, asked: Asked) -> Ruling:
    """Match, learn the membership that matters, decide.

    Raises problem.Undecidable when the directory is needed and cannot answer, and no grace covers it.
    """
    route = match(policy, asked)
    if route is None:
        membership = Membership()
        return Ruling(
            route=None, membership=membership, decision=engine.decide(None, asked, principal, membership)
        )
    known = memberships.known(principal, route.groups, route.lifetimes)
    decision = engine.decide(route, asked, principal, known)
    unknown = (
        frozenset[str]()
        if isinstance(decision, Allow) and not route.limited and asked.wanted is None
        else engine.open_questions(route, asked, principal, known)
    )
    if unknown:
        try:
            known = _and(known, await memberships.ask(principal, unknown, route.lifetimes))
            decision = engine.decide(route, asked, principal, known)
        except Undecidable:
            if isinstance(decision, Allow):
                # Only whose limits count was asked: what is proven stays proven while nobody can say.
                return Ruling(route=route, membership=known, decision=decision)
            known = memberships.graced(principal, route.groups, route.lifetimes)
            decision = engine.decide(route, asked, principal, known)
            if not isinstance(decision, Allow):
                # What could not be asked is no "no": grace lets proven members in and turns nobody away.
                raise
    if isinstance(decision, Deny) and decision.reason is Reason.GRAPH_UNAVAILABLE:
        # The directory answered and left open what was asked: that is no "no" either.
        raise Undecidable(decision.reason)
    return Ruling(route=route, membership=known, decision=decision)


def _and(known: Membership, learned: Membership) -> Membership:
    return Membership(facts={**known.facts, **learned.facts}, missing=learned.missing)
