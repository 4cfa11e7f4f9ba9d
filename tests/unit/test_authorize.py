"""From a caller and a question to a decision: what is asked of whom, and what an outage leads to."""

from __future__ import annotations

import pytest

from shared.authorize import authorize
from shared.model import Allow, Asked, Deny, Fact, Membership, Reason, Source, Standing
from shared.policy import engine
from shared.problem import Undecidable
from tests.fakes import (
    ANALYSTS,
    CONTRACTORS,
    ENGINEERS,
    FakeMemberships,
    a_deny_rule,
    a_membership,
    a_policy,
    a_principal,
    a_route,
    a_rule,
)

FRAUD = Asked(target="endpoint", name="fraud", operation="score")
DOWN = Undecidable(Reason.GRAPH_UNAVAILABLE)
STRICT = a_policy(a_route(rules=(a_deny_rule(), a_rule(groups=frozenset({ANALYSTS, ENGINEERS})))))


async def test_an_unknown_endpoint_asks_nobody() -> None:
    """D04: a name that the policy lacks costs no look-up."""
    memberships = FakeMemberships(known=a_membership())
    ruling = await authorize(
        a_policy(), memberships, a_principal(), Asked(target="endpoint", name="x", operation="score")
    )
    assert ruling.decision == Deny(reason=Reason.UNKNOWN_ENDPOINT)
    assert (ruling.route, memberships.calls) == (None, [])


async def test_a_model_of_the_same_name_is_another_thing() -> None:
    """T06: what is asked for is a kind and a name together."""
    ruling = await authorize(
        a_policy(),
        FakeMemberships(known=a_membership()),
        a_principal(),
        Asked(target="model", name="fraud", operation="score"),
    )
    assert ruling.decision == Deny(reason=Reason.UNKNOWN_ENDPOINT)


async def test_what_claims_prove_is_not_asked_for() -> None:
    """Design 2: with a proof and no deny rule open, the directory is left alone."""
    memberships = FakeMemberships(known=a_membership(), ask=AssertionError("asked"))
    ruling = await authorize(a_policy(), memberships, a_principal(), FRAUD)
    assert isinstance(ruling.decision, Allow)
    assert [name for name, _ in memberships.calls] == ["known"]


async def test_only_the_groups_that_are_open_and_matter_are_asked_for() -> None:
    """Issue 4: the directory is asked for what the decision needs; what is proven is not asked again."""
    memberships = FakeMemberships(
        known=a_membership(), ask=a_membership(Standing.OUT, CONTRACTORS, source=Source.GRAPH)
    )
    ruling = await authorize(STRICT, memberships, a_principal(), FRAUD)
    assert isinstance(ruling.decision, Allow)
    assert memberships.calls == [
        ("known", frozenset({ANALYSTS, ENGINEERS, CONTRACTORS})),
        ("ask", frozenset({CONTRACTORS})),
    ]


async def test_what_was_learned_is_added_to_what_was_known() -> None:
    """A Ruling holds every fact that the decision rests on: claims and answers together."""
    memberships = FakeMemberships(
        known=a_membership(), ask=a_membership(Standing.IN, CONTRACTORS, source=Source.GRAPH)
    )
    ruling = await authorize(STRICT, memberships, a_principal(), FRAUD)
    assert isinstance(ruling.decision, Deny)
    assert ruling.decision.reason is Reason.DENY_RULE
    assert set(ruling.membership.facts) == {ANALYSTS, CONTRACTORS}


async def test_where_graph_was_asked_it_wins() -> None:
    """Ruling "Graph": an answer replaces what was known of the same group."""
    memberships = FakeMemberships(
        known=Membership(facts={ANALYSTS: Fact(standing=Standing.UNKNOWN, source=Source.CLAIM, age=0)}),
        ask=a_membership(Standing.OUT, source=Source.GRAPH),
    )
    ruling = await authorize(a_policy(), memberships, a_principal(), FRAUD)
    assert ruling.decision == Deny(reason=Reason.NOT_MEMBER, proof=ruling.membership.facts[ANALYSTS])
    assert ruling.membership.facts[ANALYSTS].source is Source.GRAPH


async def test_f26_a_principal_that_graph_does_not_know_is_denied_whatever_its_claims_say() -> None:
    """F26, ruling "Graph": 404 for the caller is `principal-not-found`."""
    gone = Fact(standing=Standing.OUT, source=Source.GRAPH, age=0)
    memberships = FakeMemberships(known=a_membership(), ask=Membership(missing=gone))
    ruling = await authorize(STRICT, memberships, a_principal(), FRAUD)
    assert ruling.decision == Deny(reason=Reason.PRINCIPAL_NOT_FOUND, proof=gone)


@pytest.mark.parametrize(
    "reason",
    [Reason.GRAPH_UNAVAILABLE, Reason.GRAPH_FORBIDDEN, Reason.OVERLOADED, Reason.CREDENTIAL_UNAVAILABLE],
)
async def test_f23_an_outage_is_no_answer(reason: Reason) -> None:
    """F23: when the directory is needed and cannot tell, it is Undecidable with the directory's own reason."""
    memberships = FakeMemberships(ask=Undecidable(reason))
    with pytest.raises(Undecidable) as raised:
        await authorize(a_policy(), memberships, a_principal(), FRAUD)
    assert raised.value.reason is reason


async def test_e06_grace_serves_a_member_who_was_proven_before() -> None:
    """E06: an answer past its age but within the grace allows, and says so."""
    memberships = FakeMemberships(ask=DOWN, graced=a_membership(source=Source.GRACE))
    ruling = await authorize(a_policy(), memberships, a_principal(), FRAUD)
    assert isinstance(ruling.decision, Allow)
    assert ruling.decision.reason is Reason.OUTAGE_GRACE
    assert ruling.membership == a_membership(source=Source.GRACE)


async def test_e06_grace_that_leaves_a_deny_rule_open_is_still_an_outage() -> None:
    """E06, E05: a proven member is not let through while nobody can say that no deny rule is theirs."""
    memberships = FakeMemberships(known=a_membership(), ask=DOWN, graced=a_membership(source=Source.GRACE))
    with pytest.raises(Undecidable):
        await authorize(STRICT, memberships, a_principal(), FRAUD)


@pytest.mark.parametrize(
    "graced",
    [
        a_membership(Standing.IN, CONTRACTORS, ANALYSTS, source=Source.GRACE),
        a_membership(Standing.OUT, CONTRACTORS, ANALYSTS, ENGINEERS, source=Source.GRACE),
        Membership(missing=Fact(standing=Standing.OUT, source=Source.GRACE, age=1000)),
    ],
    ids=["in the deny group", "in no group", "nobody"],
)
async def test_e06_grace_turns_nobody_away(graced: Membership) -> None:
    """E06, F23: whatever an old answer says against the caller, in an outage it is 503 and never 403."""
    with pytest.raises(Undecidable):
        await authorize(STRICT, FakeMemberships(ask=DOWN, graced=graced), a_principal(), FRAUD)


async def test_grace_is_not_asked_for_while_the_directory_answers() -> None:
    """E06: an answer of today is never mixed with one of yesterday."""
    memberships = FakeMemberships(ask=a_membership(Standing.OUT), graced=a_membership(source=Source.GRACE))
    ruling = await authorize(a_policy(), memberships, a_principal(), FRAUD)
    assert isinstance(ruling.decision, Deny)
    assert [name for name, _ in memberships.calls] == ["known", "ask"]


@pytest.mark.parametrize("fault", [RuntimeError(), OSError(), TimeoutError(), KeyError()])
async def test_p10_only_undecidable_leads_to_grace(fault: Exception) -> None:
    """P10: an unforeseen error is no outage that a grace could cover."""
    memberships = FakeMemberships(ask=fault, graced=a_membership(source=Source.GRACE))
    with pytest.raises(type(fault)):
        await authorize(a_policy(), memberships, a_principal(), FRAUD)


async def test_the_decision_is_the_engines_own() -> None:
    """E05: `decide` is the only place that allows; what it says of the ruling's facts is the ruling."""
    ruling = await authorize(
        STRICT,
        FakeMemberships(known=a_membership(Standing.OUT, ANALYSTS, ENGINEERS, CONTRACTORS)),
        a_principal(),
        FRAUD,
    )
    assert ruling.decision == engine.decide(ruling.route, FRAUD, a_principal(), ruling.membership)
