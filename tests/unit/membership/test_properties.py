"""What holds for every order of requests, answers, failures and time (properties P8 and P9)."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.membership.cache import Cache
from shared.membership.graph import GraphDirectory
from shared.membership.limiter import AT_ONCE, LONGEST_WAIT, RATE, Limiter
from shared.membership.resolver import Resolver
from shared.model import Kind, Lifetimes, Principal, Source, Standing
from shared.ports import TransportFault
from shared.problem import Undecidable
from tests.fakes import FakeClock
from tests.unit.membership.fakes_directory import GROUPS, TENANT, person
from tests.unit.membership.fakes_graph import FakeAnswer, FakeTokens, FakeTransport, MovingSleep, Sent

text = st.text(alphabet="ab|:,/-\x00", max_size=6)
keys = st.tuples(text, st.sampled_from(Kind), text, text)


@given(one=keys, other=keys)
def test_two_callers_share_an_entry_only_when_they_are_the_same(
    one: tuple[str, Kind, str, str], other: tuple[str, Kind, str, str]
) -> None:
    """P8, T21: the cache key is injective in tenant, kind, object id and policy digest."""
    cache = Cache(10)
    cache.record(one, ["g"], frozenset(), 1.0)
    assert (cache.get(other) is not None) == (one == other)


@given(one=keys, other=keys)
def test_two_resolvers_keys_are_the_same_only_for_the_same_caller(
    one: tuple[str, Kind, str, str], other: tuple[str, Kind, str, str]
) -> None:
    """P8: what the resolver makes of a principal and its policy tells any two apart."""

    def key(parts: tuple[str, Kind, str, str]) -> object:
        tenant, kind, oid, digest = parts
        resolver = Resolver(None, FakeClock(), policy_digest=digest, policy_groups=frozenset())
        return resolver._key(Principal(tenant=tenant, kind=kind, oid=oid))

    assert (key(one) == key(other)) == (one == other)


OIDS = [f"a11ce000-0000-4000-8000-{number:012x}" for number in range(4)]
POLICY = frozenset(GROUPS[:6])
LIVES = Lifetimes(max_age=30, recheck_refused=10, outage_grace=20)
MOODS = ("well", "well", "500", "429", "403", "cut", "garbage", "gone")


class Interleaved(RuleBasedStateMachine):
    """Callers come and go, Graph answers late, wrongly or not at all, people join and leave, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.members: dict[str, set[str]] = defaultdict(set)
        self.history: list[tuple[float, str, frozenset[str]]] = [(0.0, oid, frozenset()) for oid in OIDS]
        self.moods = dict.fromkeys(OIDS, "well")
        self.transport = FakeTransport(self.answer)
        limiter = Limiter(self.clock, sleep=MovingSleep(self.clock))
        directory = GraphDirectory(
            "https://graph.example",
            "scope",
            transport=self.transport,
            tokens=FakeTokens(),
            clock=self.clock,
            limiter=limiter,
        )
        self.resolver = Resolver(directory, self.clock, policy_digest="d", policy_groups=POLICY)
        self.waiting: list[tuple[str, frozenset[str], float, asyncio.Task]] = []
        self.sent_at: list[tuple[float, str]] = []
        self.seen = 0

    def answer(self, sent: Sent) -> FakeAnswer | TransportFault:
        oid = sent.url.split("/")[-2]
        mood = self.moods[oid]
        if mood == "cut":
            return TransportFault("truncated", sent=True)
        if mood in ("500", "403", "429"):
            return FakeAnswer(status=int(mood), headers={"retry-after": "3"} if mood == "429" else {})
        if mood == "gone":
            return FakeAnswer(status=404)
        ids = set(sent.ids) & self.members[oid] if mood == "well" else set(GROUPS)
        body = '{"value": [' + ",".join(f'"{group}"' for group in ids) + "]}"
        return FakeAnswer(body=body.encode())

    def run_a_little(self, turns: int = 3) -> None:
        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())
        for sent in self.transport.sent[self.seen :]:
            self.sent_at.append((sent.deadline - 2, sent.url.split("/")[-2]))
        self.seen = len(self.transport.sent)

    @rule(oid=st.sampled_from(OIDS), groups=st.sets(st.sampled_from(sorted(POLICY)), min_size=1))
    def somebody_asks(self, oid: str, groups: set[str]) -> None:
        wanted = frozenset(groups)
        task = self.loop.create_task(self.resolver.ask(person(oid), wanted, LIVES))
        self.waiting.append((oid, wanted, self.clock.now, task))
        self.run_a_little()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting))[3].cancel()
        self.run_a_little()

    @rule(oid=st.sampled_from(OIDS), group=st.sampled_from(GROUPS[:6]))
    def somebody_joins_or_leaves_a_group(self, oid: str, group: str) -> None:
        self.members[oid] ^= {group}
        self.history.append((self.clock.now, oid, frozenset(self.members[oid])))

    @rule(oid=st.sampled_from(OIDS), mood=st.sampled_from(MOODS))
    def graph_changes_its_mood(self, oid: str, mood: str) -> None:
        self.moods[oid] = mood

    @rule()
    def graph_holds_its_breath(self) -> None:
        self.transport.gate.clear()

    @rule()
    def graph_answers(self) -> None:
        self.transport.gate.set()
        self.run_a_little(30)

    @rule(seconds=st.sampled_from([0.01, 0.5, 3, 11, 31, 60]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)
        self.run_a_little()

    def was_ever(self, oid: str, group: str, standing: Standing, since: float) -> bool:
        """Say whether `standing` was true of `oid` in `group` at any time from `since` on."""
        mine = [(when, groups) for when, who, groups in self.history if who == oid]
        lived = [
            groups
            for (_, groups), (until, _) in zip(mine, [*mine[1:], (float("inf"), None)], strict=True)
            if until >= since
        ]
        return any((group in groups) == (standing is Standing.IN) for groups in lived)

    @invariant()
    def nobody_gets_what_was_not_true_of_them(self) -> None:
        """P9, E04, E06: each fact was true of that very principal no longer ago than its source allows."""
        oldest = {Source.GRAPH: 70.0, Source.CACHE: 30.0, Source.GRACE: 50.0}
        for oid in OIDS:
            graced = self.resolver.graced(person(oid), POLICY, LIVES)
            for group, fact in graced.facts.items():
                assert fact.age <= oldest[fact.source]
                assert self.was_ever(oid, group, fact.standing, self.clock.now - fact.age - 0.001)
        for oid, wanted, asked, task in [each for each in self.waiting if each[3].done()]:
            if not task.cancelled() and task.exception() is None:
                membership = task.result()
                assert membership.missing is not None or membership.facts.keys() == wanted
                for group, fact in membership.facts.items():
                    assert self.was_ever(oid, group, fact.standing, asked - LIVES.max_age - 0.001)
            elif not task.cancelled():
                assert isinstance(task.exception(), Undecidable)
        self.waiting = [each for each in self.waiting if not each[3].done()]

    @invariant()
    def graph_is_never_asked_too_much(self) -> None:
        """P9, D04: eight at once and forty a second."""
        assert self.transport.most_in_air <= AT_ONCE
        starts = sorted(when for when, _ in self.sent_at)
        assert all(later - earlier >= 1 for earlier, later in zip(starts, starts[2 * RATE :], strict=False))

    @invariant()
    def one_question_at_a_time_for_each_group_of_each_caller(self) -> None:
        """P9: what is in the air about one principal never overlaps."""
        for flights in self.resolver._flights._aloft.values():
            groups = [group for flight in flights for group in flight.cargo]
            assert len(groups) == len(set(groups))

    def teardown(self) -> None:
        self.transport.gate.set()
        for *_, task in self.waiting:
            task.cancel()
        self.run_a_little(200)
        assert len(self.resolver._flights) == 0
        self.loop.close()


Interleaved.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class TestInterleaved(Interleaved.TestCase):
    """P9: any interleaving of requests and faults."""


@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from(OIDS), st.floats(min_value=0, max_value=9.9)), min_size=1, max_size=40
    )
)
@settings(max_examples=50, deadline=None)
def test_one_question_for_each_principal_in_a_lifetime(arrivals: list[tuple[str, float]]) -> None:
    """P9: however requests come within the lifetime of an answer, each principal costs one question."""
    clock = FakeClock()
    transport = FakeTransport(lambda sent: FakeAnswer(body=b'{"value": []}'))
    directory = GraphDirectory(
        "https://graph.example",
        "scope",
        transport=transport,
        tokens=FakeTokens(),
        clock=clock,
        limiter=Limiter(clock, sleep=MovingSleep(clock)),
    )
    resolver = Resolver(directory, clock, policy_digest="d", policy_groups=POLICY)
    start = clock.now

    async def play() -> None:
        tasks = []
        for oid, when in sorted(arrivals, key=lambda arrival: arrival[1]):
            clock.now = max(clock.now, start + when)
            tasks.append(asyncio.create_task(resolver.ask(person(oid), POLICY, LIVES)))
            if when > 5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(play())
    assert sorted(sent.url.split("/")[-2] for sent in transport.sent) == sorted({oid for oid, _ in arrivals})
    assert LONGEST_WAIT < 10
    assert TENANT not in str(transport.sent)
