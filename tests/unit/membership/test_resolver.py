"""Which groups a caller is in: claims, answers and one question."""

from __future__ import annotations

import asyncio
import gc
from copy import replace

import pytest

from shared.membership.resolver import Resolver
from shared.model import Fact, Kind, Lifetimes, Membership, Reason, Source, Standing
from shared.problem import Undecidable
from tests.fakes import FakeClock
from tests.unit.membership.fakes_directory import (
    ALICE,
    BOB,
    GROUPS,
    QUARTER,
    TENANT,
    FakeDirectory,
    person,
    settle,
)

ANALYSTS, ENGINEERS, CONTRACTORS = GROUPS[:3]
ROUTE = frozenset(GROUPS[:3])
DOWN = Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=7)


class Scene:
    """A resolver with a clock and a directory that the test holds."""

    def __init__(self, *, groups: frozenset[str] = ROUTE, size: int = 10_000) -> None:
        self.clock = FakeClock()
        self.directory = FakeDirectory(members={ALICE: {ANALYSTS}})
        self.resolver = Resolver(
            self.directory, self.clock, policy_digest="d1", policy_groups=groups, max_principals=size
        )

    def iat(self, age: float) -> int:
        return int(self.clock.wall - age)

    def claimed(self, age: float, *groups: str, oid: str = ALICE) -> Membership:
        return self.resolver.known(person(oid, groups=groups, issued_at=self.iat(age)), ROUTE, QUARTER)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def standings(membership: Membership) -> dict[str, str]:
    return {group: fact.standing for group, fact in membership.facts.items()}


def sources(membership: Membership) -> set[str]:
    return {fact.source for fact in membership.facts.values()}


# Claims


def test_a_young_claim_proves_membership_and_says_how_old_it_is(scene: Scene) -> None:
    """Design 2: a group claim younger than max-membership-age makes it `in`."""
    membership = scene.claimed(30, ANALYSTS, "not-in-the-policy")
    assert membership == Membership(facts={ANALYSTS: Fact(standing=Standing.IN, source=Source.CLAIM, age=30)})


@pytest.mark.parametrize("age", [901, 86_400, -121])
def test_a_claim_that_is_too_old_or_from_the_future_proves_nothing(scene: Scene, age: float) -> None:
    """E01: the cookie of a session repeats the claims of sign-in for hours."""
    assert scene.claimed(age, ANALYSTS) == Membership()


@pytest.mark.parametrize(("age", "told"), [(900, 900), (0, 0), (-120, 0)])
def test_the_edges_of_a_claims_age_count(scene: Scene, age: float, told: float) -> None:
    """Two minutes of skew are allowed, and told as no age at all."""
    assert scene.claimed(age, ANALYSTS).facts[ANALYSTS].age == told


def test_claims_without_a_date_prove_nothing(scene: Scene) -> None:
    """No `iat`: the claims may be of any age."""
    assert scene.resolver.known(person(groups=(ANALYSTS,)), ROUTE, QUARTER) == Membership()


async def test_a_claim_never_says_out(scene: Scene) -> None:
    """E03: what is not in the claims is unknown, and Graph is asked for just that."""
    alice = person(groups=(ANALYSTS,), issued_at=scene.iat(5))
    membership = await scene.resolver.ask(alice, ROUTE, QUARTER)
    assert standings(membership) == {ANALYSTS: "in", ENGINEERS: "out", CONTRACTORS: "out"}
    assert scene.directory.asked == [(Kind.USER, ALICE, frozenset({ENGINEERS, CONTRACTORS}))]


async def test_what_claims_prove_costs_no_question(scene: Scene) -> None:
    """Young claims first."""
    alice = person(groups=(ANALYSTS,), issued_at=scene.iat(5))
    assert sources(await scene.resolver.ask(alice, frozenset({ANALYSTS}), QUARTER)) == {"claim"}
    assert scene.directory.asked == []


# Graph's answers


async def test_graph_is_asked_once_and_its_answer_serves_until_it_is_too_old(scene: Scene) -> None:
    """E01: a yes for max-membership-age, a no for recheck-refused, both on the monotonic clock."""
    first = await scene.resolver.ask(person(), ROUTE, QUARTER)
    assert sources(first) == {"graph"}
    scene.clock.now += 60
    later = scene.resolver.known(person(), ROUTE, QUARTER)
    assert standings(later) == {ANALYSTS: "in", ENGINEERS: "out", CONTRACTORS: "out"}
    assert {(fact.source, fact.age) for fact in later.facts.values()} == {(Source.CACHE, 60)}
    scene.clock.now += 1
    assert standings(scene.resolver.known(person(), ROUTE, QUARTER)) == {ANALYSTS: "in"}
    scene.clock.now += 839
    assert standings(scene.resolver.known(person(), ROUTE, QUARTER)) == {ANALYSTS: "in"}
    scene.clock.now += 1
    assert scene.resolver.known(person(), ROUTE, QUARTER) == Membership()
    assert len(scene.directory.asked) == 1


async def test_a_removed_member_is_out_within_the_stated_age(scene: Scene) -> None:
    """E01, F30: nothing but the age of the answer decides how long a removal takes."""
    await scene.resolver.ask(person(), ROUTE, QUARTER)
    scene.directory.members[ALICE] = set()
    scene.clock.move(901)
    assert standings(await scene.resolver.ask(person(), ROUTE, QUARTER))[ANALYSTS] == "out"


async def test_an_added_member_is_in_within_the_recheck(scene: Scene) -> None:
    """F30: bob is let in a minute after he was added."""
    await scene.resolver.ask(person(BOB), ROUTE, QUARTER)
    scene.directory.members[BOB] = {ANALYSTS}
    scene.clock.move(59)
    assert standings(await scene.resolver.ask(person(BOB), ROUTE, QUARTER))[ANALYSTS] == "out"
    scene.clock.move(2)
    assert standings(await scene.resolver.ask(person(BOB), ROUTE, QUARTER))[ANALYSTS] == "in"


async def test_the_wall_clock_may_jump(scene: Scene) -> None:
    """F33: ten minutes forwards or backwards change nothing in what Graph said, and nothing lives for ever."""
    await scene.resolver.ask(person(), ROUTE, QUARTER)
    for jump in (600, -1_200):
        scene.clock.wall += jump
        assert standings(scene.resolver.known(person(), ROUTE, QUARTER))[ANALYSTS] == "in"
    scene.clock.now += 901
    assert scene.resolver.known(person(), ROUTE, QUARTER) == Membership()


async def test_lifetimes_of_zero_ask_every_time_and_still_get_an_answer(scene: Scene) -> None:
    """A policy may want every request asked: the answer counts for the one who asked, and for no later one."""
    never = Lifetimes(max_age=0, recheck_refused=0, outage_grace=0)
    for _ in range(3):
        assert standings(await scene.resolver.ask(person(), ROUTE, never))[ANALYSTS] == "in"
        scene.clock.move(0.001)
        assert scene.resolver.known(person(), ROUTE, never) == Membership()
    assert len(scene.directory.asked) == 3


async def test_a_no_is_never_kept_longer_than_a_yes(scene: Scene) -> None:
    """recheck-refused beyond max-membership-age is max-membership-age."""
    short = Lifetimes(max_age=10, recheck_refused=60, outage_grace=0)
    await scene.resolver.ask(person(), ROUTE, short)
    scene.clock.move(11)
    assert scene.resolver.known(person(), ROUTE, short) == Membership()


async def test_where_graph_was_asked_it_wins_over_a_claim(scene: Scene) -> None:
    """Ruling "Graph": a valid no outweighs even a younger claim."""
    await scene.resolver.ask(person(BOB), ROUTE, QUARTER)
    scene.clock.move(30)
    assert standings(scene.claimed(1, ANALYSTS, oid=BOB))[ANALYSTS] == "out"


async def test_an_old_no_of_graphs_does_not_bring_back_an_older_claim(scene: Scene) -> None:
    """E01: the token says "member" for its whole hour; Graph has said no since; so Graph is asked again."""
    bob = person(BOB, groups=(ANALYSTS,), issued_at=scene.iat(5))
    await scene.resolver.ask(person(BOB), ROUTE, QUARTER)
    scene.clock.move(61)
    assert scene.resolver.known(bob, ROUTE, QUARTER) == Membership()
    assert standings(await scene.resolver.ask(bob, ROUTE, QUARTER))[ANALYSTS] == "out"


async def test_a_claim_from_after_graphs_no_counts_once_that_is_old(scene: Scene) -> None:
    """Added, and signed in anew: the younger proof counts."""
    await scene.resolver.ask(person(BOB), ROUTE, QUARTER)
    scene.clock.move(61)
    assert standings(scene.claimed(1, ANALYSTS, oid=BOB)) == {ANALYSTS: "in"}


# 404


async def test_a_principal_that_graph_does_not_know_is_missing_whatever_the_claims_say(scene: Scene) -> None:
    """F26, ruling "Graph": a 404 is kept as a no is, and takes the place of every answer before it."""
    alice = person(groups=(ENGINEERS,), issued_at=scene.iat(5))
    await scene.resolver.ask(alice, ROUTE, QUARTER)
    scene.directory.gone.add(ALICE)
    scene.clock.move(61)
    asked = await scene.resolver.ask(alice, ROUTE, QUARTER)
    assert (asked.facts, asked.missing) == ({}, Fact(standing=Standing.OUT, source=Source.GRAPH, age=0))
    scene.clock.move(60)
    kept = scene.resolver.known(alice, ROUTE, QUARTER)
    assert (kept.facts, kept.missing) == ({}, Fact(standing=Standing.OUT, source=Source.CACHE, age=60))
    assert await scene.resolver.ask(alice, ROUTE, QUARTER) == kept
    scene.clock.move(1)
    assert scene.resolver.known(alice, ROUTE, QUARTER) == Membership()
    scene.directory.gone.clear()
    assert standings(await scene.resolver.ask(alice, ROUTE, QUARTER))[ANALYSTS] == "in"
    assert standings(scene.resolver.known(alice, ROUTE, QUARTER))[ANALYSTS] == "in"


async def test_an_undecided_kind_is_never_asked_about(scene: Scene) -> None:
    """Ruling "Kind": there is no typed path for it; what its claims prove is all that is known."""
    someone = person(kind=Kind.UNDECIDED, groups=(CONTRACTORS,), issued_at=scene.iat(5))
    assert standings(await scene.resolver.ask(someone, ROUTE, QUARTER)) == {CONTRACTORS: "in"}
    assert scene.directory.asked == []


# What is asked, and how often


async def test_a_small_policy_costs_one_call_for_all_of_its_routes() -> None:
    """A question is filled up to twenty ids with the policy's other groups, and with nothing else."""
    scene = Scene(groups=frozenset(GROUPS[:18]))
    await scene.resolver.ask(person(), frozenset(GROUPS[:2]), QUARTER)
    assert scene.directory.asked == [(Kind.USER, ALICE, frozenset(GROUPS[:18]))]
    assert len((await scene.resolver.ask(person(), frozenset(GROUPS[5:9]), QUARTER)).facts) == 4
    assert len(scene.directory.asked) == 1


@pytest.mark.parametrize(("wanted", "asked"), [(1, 20), (20, 20), (21, 40), (45, 60)])
async def test_questions_are_filled_up_to_whole_batches(wanted: int, asked: int) -> None:
    """Twenty ids cost Graph what one costs."""
    scene = Scene(groups=frozenset(GROUPS))
    membership = await scene.resolver.ask(person(), frozenset(GROUPS[:wanted]), QUARTER)
    assert set(membership.facts) == set(GROUPS[:wanted])
    assert len(scene.directory.asked[0][2]) == asked


async def test_only_groups_of_the_policy_are_ever_asked_about(scene: Scene) -> None:
    """Issue 4: what the policy does not name is nobody's business."""
    membership = await scene.resolver.ask(person(), frozenset({ANALYSTS, GROUPS[50]}), QUARTER)
    assert set(membership.facts) == {ANALYSTS}
    assert all(asked <= ROUTE for _, _, asked in scene.directory.asked)


async def test_a_thousand_requests_of_one_cold_principal_cost_one_question(scene: Scene) -> None:
    """D04, F28: one flight, however many wait."""
    scene.directory.gate.clear()
    asking = [asyncio.create_task(scene.resolver.ask(person(), ROUTE, QUARTER)) for _ in range(1_000)]
    await settle()
    scene.directory.gate.set()
    assert all(standings(one)[ANALYSTS] == "in" for one in await asyncio.gather(*asking))
    assert len(scene.directory.asked) == 1


async def test_one_who_leaves_does_not_cancel_the_question_for_the_rest(scene: Scene) -> None:
    """The first to ask goes away: the others get their answer, and nobody asks twice."""
    scene.directory.gate.clear()
    first, second = (asyncio.create_task(scene.resolver.ask(person(), ROUTE, QUARTER)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    scene.directory.gate.set()
    assert standings(await second)[ANALYSTS] == "in"
    assert len(scene.directory.asked) == 1


async def test_an_answer_nobody_waits_for_is_still_kept(scene: Scene) -> None:
    """Every caller left; the next one finds what was asked for them."""
    scene.directory.gate.clear()
    only = asyncio.create_task(scene.resolver.ask(person(), ROUTE, QUARTER))
    await settle()
    only.cancel()
    scene.directory.gate.set()
    await settle()
    assert standings(scene.resolver.known(person(), ROUTE, QUARTER))[ANALYSTS] == "in"


async def test_what_is_in_the_air_is_not_asked_again_and_the_rest_is() -> None:
    """A question for other groups of the same caller goes beside the first, without its groups."""
    scene = Scene(groups=frozenset(GROUPS))
    scene.directory.gate.clear()
    first = asyncio.create_task(scene.resolver.ask(person(), frozenset(GROUPS[:20]), QUARTER))
    await settle()
    second = asyncio.create_task(scene.resolver.ask(person(), frozenset(GROUPS[10:30]), QUARTER))
    await settle()
    scene.directory.gate.set()
    await first
    assert set((await second).facts) == set(GROUPS[10:30])
    (_, _, one), (_, _, two) = scene.directory.asked
    assert not one & two
    assert set(GROUPS[20:30]) <= two


async def test_callers_that_differ_in_any_part_share_nothing(scene: Scene) -> None:
    """T21: tenant, kind and object id each make another caller, in the cache and in the air."""
    alice = person()
    others = [
        replace(alice, oid=BOB),
        replace(alice, kind=Kind.GUEST),
        replace(alice, tenant="8c1d2e3f-4a5b-4c6d-8e7f-000000000000"),
        replace(alice, tenant=TENANT + ALICE[:1], oid=ALICE[1:]),
    ]
    scene.directory.gate.clear()
    asking = [asyncio.create_task(scene.resolver.ask(one, ROUTE, QUARTER)) for one in (alice, *others)]
    await settle()
    assert len(scene.directory.asked) == 5
    scene.directory.gate.set()
    await asyncio.gather(*asking)
    scene.directory.members[ALICE] = set()
    assert standings(scene.resolver.known(others[0], ROUTE, QUARTER))[ANALYSTS] == "out"


# Failures


async def test_a_failure_is_not_a_no_and_is_not_kept(scene: Scene) -> None:
    """E03, E05, F23: Graph down and nothing known is undecidable, with Graph's own Retry-After; the next one asks anew."""
    scene.directory.failure = DOWN
    with pytest.raises(Undecidable) as caught:
        await scene.resolver.ask(person(), ROUTE, QUARTER)
    assert (caught.value.reason, caught.value.retry_after) == (Reason.GRAPH_UNAVAILABLE, 7)
    assert scene.resolver.known(person(), ROUTE, QUARTER) == Membership()
    scene.directory.failure = None
    assert standings(await scene.resolver.ask(person(), ROUTE, QUARTER))[ANALYSTS] == "in"


async def test_a_warm_cache_serves_through_an_outage(scene: Scene) -> None:
    """F22: an unexpired answer needs no Graph."""
    await scene.resolver.ask(person(), ROUTE, QUARTER)
    scene.directory.failure = DOWN
    scene.clock.move(50)
    assert standings(await scene.resolver.ask(person(), ROUTE, QUARTER))[ANALYSTS] == "in"


async def test_a_failure_reaches_all_who_wait_and_leaves_no_trace(scene: Scene) -> None:
    """No flight, no lock, no "exception was never retrieved" is left behind."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    scene.directory.failure = DOWN
    scene.directory.gate.clear()
    asking = [asyncio.create_task(scene.resolver.ask(person(), ROUTE, QUARTER)) for _ in range(10)]
    alone = asyncio.create_task(scene.resolver.ask(person(BOB), ROUTE, QUARTER))
    await settle()
    alone.cancel()
    scene.directory.gate.set()
    outcomes = await asyncio.gather(*asking, alone, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Undecidable] * 10 + [asyncio.CancelledError]
    await settle()
    del asking, alone, outcomes
    gc.collect()
    assert complaints == []
    assert len(scene.resolver._flights) == 0


# Grace

GRACE = replace(QUARTER, outage_grace=3_600)


async def test_a_proven_member_outlives_an_outage_for_the_grace_and_no_longer(scene: Scene) -> None:
    """E06: two hours of outage: the age runs on from Graph's own answer, and being used does not renew it."""
    await scene.resolver.ask(person(), ROUTE, GRACE)
    scene.directory.failure = DOWN
    for _ in range(900 + 3_600):
        scene.clock.move(1)
        if scene.clock.now % 60 == 0:
            graced = scene.resolver.graced(person(), ROUTE, GRACE)
            assert standings(graced) == {ANALYSTS: "in", ENGINEERS: "out", CONTRACTORS: "out"}
            assert graced.facts[ANALYSTS].age == scene.clock.now - 1_000
    assert graced.facts[ANALYSTS].source is Source.GRACE
    scene.clock.move(1)
    assert scene.resolver.graced(person(), ROUTE, GRACE) == Membership()


async def test_grace_marks_only_what_is_past_its_age(scene: Scene) -> None:
    """A no grows old before a yes does; each fact says what it rests on."""
    await scene.resolver.ask(person(), ROUTE, GRACE)
    scene.clock.move(61)
    graced = scene.resolver.graced(person(), ROUTE, GRACE)
    assert {group: fact.source for group, fact in graced.facts.items()} == {
        ANALYSTS: Source.CACHE,
        ENGINEERS: Source.GRACE,
        CONTRACTORS: Source.GRACE,
    }


async def test_without_grace_nothing_is_widened(scene: Scene) -> None:
    """E06: the default is none."""
    await scene.resolver.ask(person(), ROUTE, QUARTER)
    scene.clock.move(901)
    assert scene.resolver.graced(person(), ROUTE, QUARTER) == Membership()


def test_an_old_claim_is_never_graced(scene: Scene) -> None:
    """E06: only what Graph itself proved is."""
    alice = person(groups=(ANALYSTS,), issued_at=scene.iat(901))
    assert scene.resolver.graced(alice, ROUTE, GRACE) == Membership()


async def test_a_missing_principal_stays_missing_within_the_grace(scene: Scene) -> None:
    """E06: grace widens no 404 into anything, and does not make it permanent."""
    scene.directory.gone.add(ALICE)
    await scene.resolver.ask(person(), ROUTE, GRACE)
    scene.clock.move(4_500)
    assert scene.resolver.graced(person(), ROUTE, GRACE).missing == Fact(
        standing=Standing.OUT, source=Source.GRACE, age=4_500
    )
    scene.clock.move(1)
    assert scene.resolver.graced(person(), ROUTE, GRACE) == Membership()


async def test_another_policy_starts_without_answers(scene: Scene) -> None:
    """T21, E06: answers belong to one policy digest."""
    await scene.resolver.ask(person(), ROUTE, GRACE)
    other = Resolver(scene.directory, scene.clock, policy_digest="d2", policy_groups=ROUTE)
    assert other.graced(person(), ROUTE, GRACE) == Membership()


# Bounds


async def test_only_so_many_principals_are_remembered_and_the_least_used_go_first() -> None:
    """D04, D05: unique principals cost a bounded memory, and leave no lock or flight behind."""
    scene = Scene(size=10)
    oids = [f"a11ce000-0000-4000-8000-{number:012x}" for number in range(100)]
    for oid in oids:
        await scene.resolver.ask(person(oids[0]), ROUTE, QUARTER)
        await scene.resolver.ask(person(oid), ROUTE, QUARTER)
    assert len(scene.resolver._cache) == 10
    assert len(scene.resolver._flights) == 0
    assert len(scene.directory.asked) == 100
    assert scene.resolver.known(person(oids[0]), ROUTE, QUARTER) != Membership()
    assert scene.resolver.known(person(oids[1]), ROUTE, QUARTER) == Membership()


def test_a_new_loop_asks_for_itself(scene: Scene) -> None:
    """A question that died with its loop is not waited for."""

    async def abandoned() -> None:
        scene.directory.gate = asyncio.Event()
        task = asyncio.ensure_future(scene.resolver.ask(person(), ROUTE, QUARTER))
        await settle()
        task.cancel()

    async def later() -> Membership:
        scene.directory.gate = asyncio.Event()
        scene.directory.gate.set()
        return await scene.resolver.ask(person(), ROUTE, QUARTER)

    asyncio.run(abandoned())
    assert standings(asyncio.run(later()))[ANALYSTS] == "in"
