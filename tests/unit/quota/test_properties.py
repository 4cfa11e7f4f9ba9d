"""Any sequence of calls: never more through than the amount, never less than nothing, and nobody on another's account."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.ports import Reservation
from shared.problem import RateLimited
from tests.redis_server import RedisServer
from tests.unit.quota.places import InMemory, InRedis, Place, a_caller, take

REQUESTS, TOKENS = (4, 60), (100, 600)

CALLERS = st.sampled_from(["alice", "bob"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), CALLERS, st.integers(0, 130)),
        st.tuples(st.just("settle"), st.integers(0, 20), st.none() | st.integers(0, 150)),
        st.tuples(st.just("cut"), st.integers(0, 20), st.integers(0, 150)),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.none()),
        st.tuples(st.just("pass"), st.sampled_from([7, 25, 61, 601]), st.none()),
    ),
    max_size=30,
)


@dataclass
class Window:
    """One window as the specification has it."""

    ends: float
    spent: int = 0


@dataclass
class Account:
    """One caller's windows."""

    requests: Window | None = None
    tokens: Window | None = None


@dataclass
class Taken:
    """What a call took, and from which windows."""

    held: Reservation
    caller: str
    requests: Window
    tokens: Window
    cost: int
    open: bool = True


@dataclass
class Specification:
    """What limits mean, written down once more and as plainly as can be."""

    now: float = 0.0
    accounts: dict[str, Account] = field(default_factory=dict)

    def window(self, kept: Window | None, period: float) -> Window:
        return kept if kept is not None and kept.ends > self.now else Window(self.now + period)

    def take(self, caller: str, cost: int) -> tuple[Window, Window] | None:
        account = self.accounts.setdefault(caller, Account())
        requests, tokens = self.window(account.requests, REQUESTS[1]), self.window(account.tokens, TOKENS[1])
        if requests.spent + 1 > REQUESTS[0] or tokens.spent + cost > TOKENS[0]:
            return None
        account.requests, account.tokens = requests, tokens
        requests.spent += 1
        tokens.spent += cost
        return requests, tokens

    def settle(self, call: Taken, delta: int) -> None:
        window = call.tokens
        if delta > 0 and window.ends <= self.now:
            account = self.accounts[call.caller]
            window = account.tokens = self.window(account.tokens, TOKENS[1])
        window.spent += delta


async def play(place: Place, steps: list[tuple[str, object, object]]) -> None:
    """Do the same with the quota and with the specification, and compare what they let through and tell."""
    specification, taken = Specification(), list[Taken]()
    for step, one, other in steps:
        if step == "pass":
            assert isinstance(one, int)
            specification.now += one
            place.pass_(one)
        elif step == "reserve":
            assert isinstance(one, str)
            assert isinstance(other, int)
            cost = max(1, min(other, TOKENS[0]))
            expected = specification.take(one, cost)
            try:
                held = await take(
                    place, requests=REQUESTS, tokens=TOKENS, cost=other, caller=a_caller(oid=one)
                )
            except RateLimited as refused:
                assert expected is None
                assert refused.retry_after is not None
                assert 0 < refused.retry_after <= TOKENS[1]
                continue
            assert expected is not None
            requests, tokens = expected
            told = dict(held.headers)
            assert int(told["x-ratelimit-remaining-requests"]) == REQUESTS[0] - requests.spent >= 0
            assert int(told["x-ratelimit-remaining-tokens"]) == TOKENS[0] - tokens.spent >= 0
            taken.append(Taken(held, one, requests, tokens, cost))
        elif taken:
            assert isinstance(one, int)
            assert other is None or isinstance(other, int)
            await end(specification, taken[one % len(taken)], step, other)


async def end(specification: Specification, call: Taken, step: str, tokens: int | None) -> None:
    """Let a call end as `step` says, in both; only its first end counts."""
    if step == "cancel":
        await call.held.cancel()
        if call.open:
            call.requests.spent -= 1
        delta = -call.cost
    elif step == "cut":
        await call.held.settle(None, at_least=tokens or 0)
        delta = max(0, (tokens or 0) - call.cost)
    else:
        await call.held.settle(tokens)
        delta = 0 if tokens is None else tokens - call.cost
    if call.open:
        specification.settle(call, delta)
    call.open = False
    assert min(call.requests.spent, call.tokens.spent) >= 0


@given(STEPS)
def test_in_memory_any_sequence_is_as_specified(steps: list[tuple[str, object, object]]) -> None:
    """D04: reserve, settle, cancel and time in any order let through exactly what the specification does."""
    asyncio.run(play(InMemory(), steps))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_redis_any_sequence_is_as_specified(
    running: RedisServer, runner: asyncio.Runner, steps: list[tuple[str, object, object]]
) -> None:
    """D04: the script does in Redis what memory does."""
    with running.admin as admin:
        admin.flushall()

    async def once() -> None:
        place = InRedis(running)
        await play(place, steps)
        await place.store.close()

    runner.run(once())
