"""Properties of the decision, over generated rules, callers and facts. The tables in tests/decisions hold the cases."""

from __future__ import annotations

from copy import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import operations
from shared.model import (
    Allow,
    Asked,
    Deny,
    Effect,
    Fact,
    Kind,
    Lifetimes,
    Membership,
    Principal,
    Reason,
    Route,
    Rule,
    Source,
    Standing,
)
from shared.policy.engine import decide, evaluate, open_questions
from shared.policy.rule import Verdict

GROUPS = ("g1", "g2", "g3")
PEOPLE = ("p1", "p2")
ROLES = ("r1", "r2")
CLIENTS = ("c1", "c2")
DEPLOYMENTS = ("blue", "green")
KINDS = ("user", "guest", "app")
OFFERED = {"online": operations.ONLINE, "batch": frozenset[str]()}
ASKED = Asked(target="endpoint", name="fraud", operation="score")


def subset(bits: int, values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(value for place, value in enumerate(values) if bits >> place & 1)


def subsets(values: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.integers(0, 2 ** len(values) - 1).map(lambda bits: subset(bits, values))


def rule(bits: int) -> Rule:
    """Make a rule of a number's bits: one draw a rule keeps the properties fast."""
    allow = bool(bits & 1 or bits >> 18 & 1)
    deployments = subset(bits >> 1, DEPLOYMENTS)
    callers = frozenset(Kind(kind) for kind in subset(bits >> 3, KINDS))
    return Rule(
        id="abcd"[bits >> 6 & 3],
        effect=Effect.ALLOW if allow else Effect.DENY,
        groups=subset(bits >> 8, GROUPS),
        principals=subset(bits >> 11, PEOPLE) if bits >> 19 & 1 else frozenset(),
        app_roles=subset(bits >> 13, ROLES) if bits >> 20 & 1 else frozenset(),
        callers=callers or None,
        clients=(subset(bits >> 15, CLIENTS) or None) if bits >> 17 & 1 else None,
        deployments=deployments or None,
    )


def route(kind: str, numbers: list[int]) -> Route:
    drawn = tuple(map(rule, numbers))
    return Route(
        target="endpoint",
        name="fraud",
        kind=kind,
        url="https://fraud.westeurope.inference.ml.azure.com/score",
        scope="https://ml.azure.com/.default",
        operations=OFFERED[kind],
        rules=drawn,
        lifetimes=Lifetimes(max_age=900, recheck_refused=60, outage_grace=0),
        timeout=60,
        max_body=1,
        content_types=frozenset({"application/json"}),
        concurrency=1,
        relay_errors=True,
        groups=frozenset().union(*(rule.groups for rule in drawn)),
    )


routes = st.builds(
    route,
    st.sampled_from(("online",) * 19 + ("batch",)),
    st.lists(st.integers(0, 2**21 - 1), min_size=1, max_size=5),
)
facts = st.builds(
    Fact,
    standing=st.sampled_from(Standing),
    source=st.sampled_from(Source),
    age=st.sampled_from((0.0, 5.0, 5.5, 4000.0)),
)
memberships = st.builds(
    Membership,
    facts=st.fixed_dictionaries({}, optional=dict.fromkeys(GROUPS, facts)),
    missing=st.sampled_from((None,) * 19 + (Fact(standing=Standing.OUT, source=Source.GRAPH, age=0.0),)),
)
principals = st.builds(
    Principal,
    tenant=st.just("t"),
    oid=st.sampled_from((*PEOPLE, "nobody")),
    kind=st.sampled_from((Kind.USER,) * 4 + tuple(Kind)),
    client=st.none() | st.sampled_from((*CLIENTS, "other")),
    groups=subsets(GROUPS),
    app_roles=subsets(ROLES),
)
questions = st.builds(
    Asked,
    target=st.just("endpoint"),
    name=st.just("fraud"),
    operation=st.sampled_from(("score",) * 14 + ("swagger", "jobs")),
    deployment=st.sampled_from((None,) * 5 + (*DEPLOYMENTS, "Blue")),
)
requests = st.tuples(routes, questions, principals, memberships)
Request = tuple[Route, Asked, Principal, Membership]


def certainly_allows(rule: Rule, asked: Asked, who: Principal, membership: Membership) -> bool:
    """Tell in plain set logic, apart from the engine's, whether an allow rule is proven."""
    if rule.clients is not None and who.client not in rule.clients:
        return False
    if asked.deployment is not None and asked.deployment not in (rule.deployments or ()):
        return False
    member = any(membership.standing(group) is Standing.IN for group in rule.groups)
    by_class = member or bool(rule.app_roles & who.app_roles)
    listed = who.oid in rule.principals
    if rule.callers is None:
        return listed or (by_class and who.kind is Kind.USER)
    return (listed or by_class) and who.kind in rule.callers


def possibly_denies(rule: Rule, asked: Asked, who: Principal, membership: Membership) -> bool:
    """Tell in plain set logic whether a deny rule is not ruled out."""
    if rule.clients is not None and who.client is not None and who.client not in rule.clients:
        return False
    if rule.deployments is not None and asked.deployment not in rule.deployments:
        return False
    member = any(membership.standing(group) is not Standing.OUT for group in rule.groups)
    by_class = member or bool(rule.app_roles & who.app_roles)
    return who.oid in rule.principals or (
        by_class and (who.kind is Kind.UNDECIDED or rule.callers is None or who.kind in rule.callers)
    )


@settings(max_examples=1000)
@given(requests)
def test_e05_it_allows_exactly_where_a_rule_is_proven_and_no_deny_rule_is_left_open(request: Request) -> None:
    """E05: allow means: offered, known to the directory, some allow rule proven, every deny rule ruled out. Never else."""
    route, asked, who, membership = request
    expected = (
        route.kind == "online"
        and asked.operation in ("score", "swagger")
        and membership.missing is None
        and any(certainly_allows(r, asked, who, membership) for r in route.rules if r.effect is Effect.ALLOW)
        and not any(
            possibly_denies(r, asked, who, membership) for r in route.rules if r.effect is Effect.DENY
        )
    )
    assert isinstance(decide(*request), Allow) is expected


@settings(max_examples=200)
@given(requests, st.sampled_from(Source))
def test_p1_what_no_rule_names_never_turns_a_denial_into_an_allow(request: Request, source: Source) -> None:
    """P1: groups in a claim or an answer, and app roles, that no rule names change nothing."""
    route, asked, who, membership = request
    richer = replace(who, groups=who.groups | {"x"}, app_roles=who.app_roles | {"R1", "r"}, issued_at=1)
    extra = {group: Fact(standing=Standing.IN, source=source, age=0) for group in ("x", "G1", "")}
    wider = replace(membership, facts={**extra, **membership.facts})
    assert decide(route, asked, richer, wider) == decide(*request)
    assert open_questions(route, asked, richer, wider) == open_questions(*request)


@settings(max_examples=200)
@given(requests)
def test_p1_raw_group_claims_are_no_facts(request: Request) -> None:
    """P1: the engine reads membership facts alone; the claims of the principal prove nothing here, whatever their age."""
    route, asked, who, membership = request
    assert decide(route, asked, replace(who, groups=frozenset(GROUPS)), membership) == decide(*request)


@settings(max_examples=1000)
@given(requests, st.sampled_from((Standing.OUT, Standing.UNKNOWN)))
def test_p2_without_the_proof_an_allow_is_something_else(request: Request, standing: Standing) -> None:
    """P2: take from the recorded rule what proves it (alone), and the answer is no longer an allow."""
    route, asked, who, membership = request
    decision = decide(*request)
    if not isinstance(decision, Allow):
        return
    alone = replace(
        route, rules=tuple(r for r in route.rules if r.effect is Effect.DENY or r.id == decision.rule)
    )
    taken = {group: Fact(standing=standing, source=Source.GRAPH, age=0) for group in GROUPS}
    bare = replace(who, oid="nobody", app_roles=frozenset())
    assert isinstance(decide(alone, asked, bare, replace(membership, facts=taken)), Deny)


@given(requests)
def test_e05_nothing_known_and_nothing_listed_never_allows(request: Request) -> None:
    """E05: without facts, listing and app roles nobody is allowed."""
    route, asked, who, _ = request
    bare = replace(who, oid="nobody", app_roles=frozenset())
    assert isinstance(decide(route, asked, bare, Membership()), Deny)


@given(requests)
def test_a_deny_rule_that_matches_always_wins(request: Request) -> None:
    """Where any deny rule matches, the decision is a denial, on record with the first such rule."""
    route, asked, who, membership = request
    matching = [
        rule.id
        for rule in route.rules
        if rule.effect is Effect.DENY and evaluate(rule, asked, who, membership).verdict is Verdict.MATCHES
    ]
    decision = decide(*request)
    if not matching or decision.reason in (Reason.OPERATION_NOT_ALLOWED, Reason.PRINCIPAL_NOT_FOUND):
        return
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.rule) == (Reason.DENY_RULE, matching[0])
    assert open_questions(*request) == frozenset()


@given(requests, st.randoms(use_true_random=False))
def test_the_order_of_rules_never_changes_the_effect(request: Request, random: object) -> None:
    """Order decides which rule goes on record; never allow or deny, nor what is asked."""
    route, *rest = request
    shuffled = list(route.rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = replace(route, rules=tuple(shuffled))
    assert type(decide(other, *rest)) is type(decide(route, *rest))
    assert open_questions(other, *rest) == open_questions(route, *rest)


@given(requests)
def test_what_is_asked_is_unknown_named_and_worth_asking(request: Request) -> None:
    """Only groups of the route that are unknown are asked about, and some answer to them leads to an allow."""
    route, asked, who, membership = request
    unknown = open_questions(*request)
    assert unknown <= route.groups
    assert all(membership.standing(group) is Standing.UNKNOWN for group in unknown)
    if not unknown:
        return
    assert isinstance(decide(*request), Deny)
    assert who.kind is not Kind.UNDECIDED
    asked_for_deny = frozenset().union(*(r.groups for r in route.rules if r.effect is Effect.DENY))
    answer = {
        group: Fact(
            standing=Standing.OUT if group in asked_for_deny else Standing.IN, source=Source.GRAPH, age=0
        )
        for group in unknown
    }
    learned = decide(route, asked, who, replace(membership, facts={**membership.facts, **answer}))
    if not unknown & asked_for_deny:
        assert isinstance(learned, Allow)


@given(requests)
def test_no_question_left_means_decided(request: Request) -> None:
    """Where nothing is to be asked, the decision is not `graph-unavailable`; where something is, it is no allow."""
    decision = decide(*request)
    if open_questions(*request):
        assert isinstance(decision, Deny)
        assert decision.reason in (
            Reason.GRAPH_UNAVAILABLE,
            Reason.NOT_MEMBER,
            Reason.DEPLOYMENT_NOT_ALLOWED,
        )
    else:
        assert decision.reason is not Reason.GRAPH_UNAVAILABLE


@given(requests)
def test_whatever_rests_on_an_outage_answer_says_so(request: Request) -> None:
    """E06: an allow's proof is an answer in grace exactly when its reason is `outage-grace`."""
    decision = decide(*request)
    if isinstance(decision, Allow):
        grace = decision.proof is not None and decision.proof.source is Source.GRACE
        assert grace is (decision.reason is Reason.OUTAGE_GRACE)


@given(questions, principals, memberships)
def test_an_endpoint_that_is_unknown_is_denied_to_all(
    asked: Asked, who: Principal, membership: Membership
) -> None:
    """Without a route there is one answer and no question, whoever asks."""
    assert decide(None, asked, who, membership) == Deny(reason=Reason.UNKNOWN_ENDPOINT)
    assert open_questions(None, asked, who, membership) == frozenset()


@pytest.mark.parametrize("source", Source)
def test_facts_of_equal_age_go_on_record_by_source_whatever_the_order(source: Source) -> None:
    """Which of two equal facts is recorded does not depend on the order of a set: records are repeatable."""
    rule = Rule(id="a", effect=Effect.ALLOW, groups=frozenset({"g1", "g2"}), callers=frozenset({Kind.USER}))
    who = Principal(tenant="t", oid="o", kind=Kind.USER)
    for standing in (Standing.IN, Standing.OUT):
        one = Fact(standing=standing, source=source, age=5)
        other = Fact(standing=standing, source=Source.CACHE, age=5)
        proofs = {
            evaluate(rule, ASKED, who, Membership(facts=facts)).proof
            for facts in ({"g1": one, "g2": other}, {"g1": other, "g2": one})
        }
        assert len(proofs) == 1


def test_an_outcome_tells_what_explain_prints() -> None:
    """`evaluate` gives for one rule: whether it matches, what stopped it, and which groups it waits for."""
    rule = Rule(
        id="a",
        effect=Effect.ALLOW,
        groups=frozenset({"g1", "g2"}),
        callers=frozenset({Kind.USER}),
        deployments=frozenset(),
    )
    who = Principal(tenant="t", oid="o", kind=Kind.USER)
    waits = evaluate(
        rule, ASKED, who, Membership(facts={"g1": Fact(standing=Standing.OUT, source=Source.GRAPH, age=1)})
    )
    assert (waits.verdict, waits.open) == (Verdict.OPEN, frozenset({"g2"}))
    stopped = evaluate(rule, replace(ASKED, deployment="blue"), who, Membership())
    assert (stopped.verdict, stopped.reason) == (Verdict.FAILS, Reason.DEPLOYMENT_NOT_ALLOWED)
    never = replace(rule, effect=Effect.DENY, deployments=None, principals=frozenset({"o"}))
    denies = evaluate(never, ASKED, who, Membership())
    assert (denies.verdict, denies.reason) == (Verdict.MATCHES, Reason.DENY_RULE)


def test_an_allow_rule_without_deployments_lets_none_be_named() -> None:
    """None at an allow rule is no deployment, never every deployment: a rule made by hand fails on the safe side."""
    rule = Rule(id="a", effect=Effect.ALLOW, principals=frozenset({"o"}))
    who = Principal(tenant="t", oid="o", kind=Kind.USER)
    assert evaluate(rule, ASKED, who, Membership()).verdict is Verdict.MATCHES
    named = evaluate(rule, replace(ASKED, deployment="blue"), who, Membership())
    assert (named.verdict, named.reason) == (Verdict.FAILS, Reason.DEPLOYMENT_NOT_ALLOWED)


@pytest.mark.parametrize("asked", ["jobs", "swagger", "SCORE", "", "score "])
def test_the_offered_operations_are_the_routes_own(asked: str) -> None:
    """What a route does not offer is denied to those whom its rules let in, and cannot be changed while running."""
    rule = Rule(id="a", effect=Effect.ALLOW, principals=frozenset({"o"}))
    offers = replace(route("online", []), rules=(rule,), operations=frozenset({"score"}))
    who = Principal(tenant="t", oid="o", kind=Kind.USER)
    assert isinstance(decide(offers, ASKED, who, Membership()), Allow)
    other = replace(ASKED, operation=asked)
    assert decide(offers, other, who, Membership()) == Deny(reason=Reason.OPERATION_NOT_ALLOWED)
    assert open_questions(offers, other, who, Membership()) == frozenset()
    with pytest.raises(AttributeError):
        offers.operations = frozenset({asked})  # type: ignore[misc]
