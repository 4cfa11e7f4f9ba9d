"""Properties of the decision about batch jobs, over generated rules, callers, facts and jobs."""

from __future__ import annotations

from copy import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import operations
from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Effect,
    JobTerms,
    Membership,
    Principal,
    Reason,
    Route,
    Rule,
    Standing,
    Wanted,
)
from shared.places import Place, parse
from shared.policy.engine import decide, evaluate, open_questions
from shared.policy.rule import Misfit, Verdict
from shared.policy.terms import NOTHING, misfit
from tests.fakes import (
    ALICE,
    ANALYSTS,
    CONTRACTORS,
    ENGINEERS,
    a_batch,
    a_deny_rule,
    a_membership,
    a_principal,
    a_rule,
)
from tests.unit.policy.test_engine import (
    certainly_allows,
    memberships,
    possibly_denies,
    principals,
    rule,
    subset,
)

DATA = "https://contosodata.blob.core.windows.net"
PREFIXES = tuple(parse(f"{DATA}/{path}") for path in ("data/", "data/a/", "data/a/b/", "other/"))
INPUTS = tuple(
    parse(f"{DATA}/{path}")
    for path in ("data/a/b/x.csv", "data/a/x.csv", "data/c/x.csv", "other/x.csv", "far/x.csv")
)
NAMES = ("mode", "fraud", "cpu")


def prefixes(bits: int) -> tuple[Place, ...]:
    return tuple(prefix for number, prefix in enumerate(PREFIXES) if bits >> number & 1)


def job_rule(drawn: tuple[int, int]) -> Rule:
    """Make a rule of two numbers' bits: who it is for as for online endpoints, and what it lets jobs do."""
    bits, more = drawn
    plain = rule(bits)
    if plain.effect is Effect.DENY:
        return plain
    names = subset(more >> 8, NAMES)
    terms = JobTerms(
        inputs=prefixes(more),
        outputs=prefixes(more >> 4),
        literals=names,
        experiments=names,
        computes=names,
        settings=names,
        see_all=bool(more >> 11 & 1),
    )
    return replace(plain, job=terms if more >> 12 & 3 else None)


def route(drawn: list[tuple[int, int]]) -> Route:
    rules = tuple(replace(job_rule(one), id=str(number)) for number, one in enumerate(drawn))
    return a_batch(rules=rules)


def wish(bits: int) -> Wanted:
    names = sorted(subset(bits >> 8, NAMES))
    data = tuple((f"i{number}", place) for number, place in enumerate(INPUTS) if bits >> number & 1)
    return Wanted(
        inputs=data[:2],
        outputs=tuple((f"o{number}", place) for number, (_, place) in enumerate(data[2:])),
        literals=tuple(("l", name) for name in names if bits >> 11 & 1),
        settings=tuple(("s", name) for name in names if bits >> 12 & 1),
    )


routes = st.builds(
    route, st.lists(st.tuples(st.integers(0, 2**21 - 1), st.integers(0, 2**14 - 1)), min_size=1, max_size=4)
)
wishes = st.integers(0, 2**13 - 1).map(wish)
submissions = st.builds(
    Asked,
    target=st.just("endpoint"),
    name=st.just("nightly"),
    operation=st.just(operations.SUBMIT),
    deployment=st.sampled_from((None, None, "blue")),
    wanted=wishes,
)
requests = st.tuples(routes, submissions, principals, memberships)
Request = tuple[Route, Asked, Principal, Membership]


def terms(rule: Rule) -> JobTerms:
    return rule.job or NOTHING


def fits(rule: Rule, asked: Asked) -> bool:
    assert asked.wanted is not None
    return misfit(terms(rule), asked.wanted) is None


def rules_of(route: Route, effect: Effect) -> list[Rule]:
    return [rule for rule in route.rules if rule.effect is effect]


@settings(max_examples=400)
@given(requests)
def test_t10_a_job_is_allowed_exactly_where_one_proven_rule_gives_all_that_it_wants(request: Request) -> None:
    """T10, E05: allow means: known to the directory, some allow rule proven that fits, every deny rule ruled out."""
    route, asked, who, membership = request
    expected = (
        membership.missing is None
        and any(
            certainly_allows(rule, asked, who, membership) and fits(rule, asked)
            for rule in rules_of(route, Effect.ALLOW)
        )
        and not any(possibly_denies(rule, asked, who, membership) for rule in rules_of(route, Effect.DENY))
    )
    assert isinstance(decide(*request), Allow) is expected


@settings(max_examples=300)
@given(requests)
def test_t10_the_rule_on_record_is_the_first_that_is_proven_and_fits(request: Request) -> None:
    """T10: what a job gets is what the rule on record gives, so it is one that gives all of it: the first in the file."""
    route, asked, who, membership = request
    decision = decide(*request)
    if isinstance(decision, Allow):
        first = next(
            rule
            for rule in rules_of(route, Effect.ALLOW)
            if certainly_allows(rule, asked, who, membership) and fits(rule, asked)
        )
        assert decision.rule == first.id


@settings(max_examples=300)
@given(requests, st.integers(0, 3), st.sampled_from(PREFIXES))
def test_t10_more_inputs_never_take_an_allow_and_fewer_never_give_one(
    request: Request, number: int, prefix: Place
) -> None:
    """T10: one input prefix more at an allow rule never removes an allow; one fewer never adds one."""
    route, *rest = request
    changed = route.rules[number % len(route.rules)]
    if changed.effect is Effect.DENY:
        return

    def with_inputs(inputs: tuple[Place, ...]) -> Decision:
        other = replace(changed, job=replace(terms(changed), inputs=inputs))
        return decide(
            replace(route, rules=tuple(other if rule is changed else rule for rule in route.rules)), *rest
        )

    before = terms(changed).inputs
    now = isinstance(decide(*request), Allow)
    assert isinstance(with_inputs((*before, prefix)), Allow) or not now
    assert now or not isinstance(with_inputs(tuple(one for one in before if one != prefix)), Allow)


@settings(max_examples=300)
@given(requests)
def test_only_groups_of_rules_that_could_let_the_job_through_are_asked_about(request: Request) -> None:
    """D04: of allow rules that do not give what the job wants, no group is asked about."""
    route, asked, _, membership = request
    useful = [*rules_of(route, Effect.DENY), *(r for r in rules_of(route, Effect.ALLOW) if fits(r, asked))]
    unknown = open_questions(*request)
    assert unknown <= frozenset[str]().union(*(rule.groups for rule in useful))
    assert all(membership.standing(group) is Standing.UNKNOWN for group in unknown)


@settings(max_examples=300)
@given(requests, wishes)
def test_i02_what_is_told_to_a_caller_depends_on_the_callers_own_rules_alone(
    request: Request, other: Wanted
) -> None:
    """I02: whoever may submit some job learns of a refused one nothing of what rules of others give."""
    route, asked, who, membership = request
    refused = decide(*request)
    may = isinstance(decide(route, replace(asked, wanted=None), who, membership), Allow)
    if not may or not isinstance(refused, Deny) or open_questions(*request):
        return
    assert (refused.reason, refused.place is None) == (Reason.INPUT_NOT_ALLOWED, False)
    own = tuple(
        rule
        for rule in route.rules
        if rule.effect is Effect.DENY or certainly_allows(rule, asked, who, membership)
    )
    assert decide(replace(route, rules=own), asked, who, membership) == replace(
        refused, proof=decide(replace(route, rules=own), asked, who, membership).proof
    )


@settings(max_examples=300)
@given(routes, principals, memberships, st.sampled_from(sorted(operations.BATCH)))
def test_i07_jobs_of_others_come_from_a_rule_that_says_so(
    route: Route, who: Principal, membership: Membership, operation: str
) -> None:
    """I07: what is asked of jobs of others is allowed by a rule with `see = "all"` only, and never more than own jobs."""
    asked = Asked(target="endpoint", name="nightly", operation=operation, everyones=True)
    decision = decide(route, asked, who, membership)
    if isinstance(decision, Allow):
        (found,) = [rule for rule in route.rules if rule.id == decision.rule]
        assert terms(found).see_all
        assert isinstance(decide(route, replace(asked, everyones=False), who, membership), Allow)


texts = st.text(max_size=6)
anything = st.builds(
    Wanted,
    inputs=st.lists(
        st.tuples(
            texts,
            st.builds(
                Place,
                kind=st.sampled_from(("storage", "datastore", "data")),
                root=texts | st.just(PREFIXES[0].root),
                path=st.lists(texts, max_size=2).map(tuple),
                folder=st.booleans(),
            ),
        ),
        max_size=3,
    ).map(tuple),
    literals=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    computes=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
)


@settings(max_examples=200)
@given(
    routes,
    st.builds(
        Asked,
        target=st.sampled_from(("endpoint", "model")),
        name=texts,
        operation=texts | st.sampled_from(sorted(operations.BATCH)),
        deployment=st.none() | texts,
        wanted=st.none() | anything,
        everyones=st.booleans(),
    ),
    principals,
    memberships,
)
def test_e05_whatever_a_job_wants_there_is_a_decision(
    route: Route, asked: Asked, who: Principal, membership: Membership
) -> None:
    """E05: the decision is total: for any wish at all it is an Allow or a Deny, with a rule on record or none."""
    decision = decide(route, asked, who, membership)
    assert isinstance(decision, Allow | Deny)
    assert isinstance(open_questions(route, asked, who, membership), frozenset)
    if isinstance(decision, Deny):
        assert (decision.place is None) is (decision.reason is not Reason.INPUT_NOT_ALLOWED)


ASKED = Asked(target="endpoint", name="nightly", operation=operations.SUBMIT)
FOREIGN = Wanted(inputs=(("i", INPUTS[-1]),))


@pytest.mark.parametrize(
    ("standing", "proven"), [(Standing.IN, True), (Standing.UNKNOWN, False)], ids=["a member", "perhaps one"]
)
def test_an_outcome_tells_what_did_not_fit_and_whether_the_rule_is_the_callers(
    standing: Standing, proven: bool
) -> None:
    """`evaluate` gives for a job that a rule does not let through: how much fits, the place, and whose rule it is."""
    outcome = evaluate(a_rule(), replace(ASKED, wanted=FOREIGN), a_principal(), a_membership(standing))
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILS, Reason.INPUT_NOT_ALLOWED)
    assert outcome.misfit == Misfit(proven=proven, fitting=0, place="i")
    assert outcome.open == frozenset()


def test_i02_a_rule_of_others_tells_that_one_is_no_member_and_nothing_else() -> None:
    """I02: a rule that the caller is no member of fails for that, whatever the job wants."""
    for wanted in (FOREIGN, Wanted()):
        outcome = evaluate(a_rule(), replace(ASKED, wanted=wanted), a_principal(), a_membership(Standing.OUT))
        assert (outcome.reason, outcome.misfit) == (Reason.NOT_MEMBER, None)


def test_a_deny_rule_is_for_every_job() -> None:
    """Deny rules are not narrowed by what a job wants, nor by whose it is."""
    for asked in (ASKED, replace(ASKED, wanted=FOREIGN), replace(ASKED, everyones=True)):
        never = a_deny_rule()
        outcome = evaluate(never, asked, a_principal(), a_membership(Standing.IN, CONTRACTORS))
        assert (outcome.verdict, outcome.reason) == (Verdict.MATCHES, Reason.DENY_RULE)


def test_a_rule_without_terms_lets_jobs_have_nothing() -> None:
    """A rule made by hand fails on the safe side: no terms are no leave for anything."""
    bare = a_rule(groups=frozenset(), principals=frozenset({ALICE}))
    who = a_principal()
    assert evaluate(bare, replace(ASKED, wanted=Wanted()), who, Membership()).verdict is Verdict.MATCHES
    for asked in (replace(ASKED, wanted=FOREIGN), replace(ASKED, everyones=True)):
        assert evaluate(bare, asked, who, Membership()).verdict is Verdict.FAILS


def test_which_of_two_rules_is_on_record_matters_once_the_job_is_known() -> None:
    """Two rules of different terms: before the body is read any will do; then an earlier one that fits is asked about."""
    both = JobTerms(inputs=PREFIXES)
    route = a_batch(
        rules=(a_rule(id="first", job=both), a_rule(id="second", groups=frozenset({ENGINEERS}), job=both))
    )
    known = a_membership(Standing.IN, ENGINEERS)
    job = replace(ASKED, wanted=Wanted(inputs=(("i", INPUTS[0]),)))
    assert open_questions(route, ASKED, a_principal(), known) == frozenset()
    assert open_questions(route, job, a_principal(), known) == {ANALYSTS}
