"""Windows in memory: bounded, on the monotonic clock, and refused rather than forgotten."""

from __future__ import annotations

import asyncio
import timeit

import pytest

from shared.model import Limits, Rate, Reason
from shared.problem import RateLimited, Undecidable
from shared.quota import make_quota
from shared.quota.reservation import Want, wants_of
from shared.quota.windows import Windows
from tests.fakes import FakeClock
from tests.unit.quota.places import InMemory, a_caller, a_model, a_rule_of, allowed, take

MINUTE, DAY = 60, 86_400
ONE = (Want("requests", 1, MINUTE, 1),)
BOTH = (Want("requests", 1, MINUTE, 1), Want("tokens", 10, DAY, 10))


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_d05_beyond_the_bound_a_new_caller_is_refused_and_nobody_is_forgotten(clock: FakeClock) -> None:
    """D05: memory is bounded, and no flood of callers buys anybody a second window."""
    windows = Windows(clock, most=10)
    for number in range(10):
        windows.take(key(number), ONE, counted="instance")
    with pytest.raises(Undecidable) as refused:
        windows.take(key(10), ONE, counted="instance")
    assert refused.value.reason is Reason.LIMITS_UNAVAILABLE
    for number in range(10):
        with pytest.raises(RateLimited):
            windows.take(key(number), ONE, counted="instance")
    assert len(windows) == 10


def test_d05_ended_windows_make_room(clock: FakeClock) -> None:
    """D05: what has ended is cleared away when room is needed, whichever limit it was of."""
    windows = Windows(clock, most=10)
    for number in range(5):
        windows.take(key(number), BOTH, counted="instance")
    clock.move(MINUTE)
    for number in range(5, 10):
        windows.take(key(number), ONE, counted="instance")
    assert len(windows) == 10
    with pytest.raises(Undecidable):
        windows.take(key(10), ONE, counted="instance")
    clock.move(DAY)
    windows.take(key(10), BOTH, counted="instance")
    assert len(windows) == 2


def test_a_call_that_finds_no_room_takes_nothing(clock: FakeClock) -> None:
    """Two windows are begun, or none."""
    windows = Windows(clock, most=3)
    windows.take(key(1), BOTH, counted="instance")
    with pytest.raises(Undecidable):
        windows.take(key(2), BOTH, counted="instance")
    windows.take(key(2), ONE, counted="instance")


async def test_d04_what_is_owed_is_charged_though_too_many_windows_are_open(clock: FakeClock) -> None:
    """D04, D05: no flood of callers makes a long answer free; what it adds is one window for each call in flight."""
    windows = Windows(clock, most=10)
    held = windows.take(key(0), (Want("tokens", 10, MINUTE, 1),), counted="instance")
    clock.move(MINUTE)
    for number in range(1, 11):
        windows.take(key(number), ONE, counted="instance")
    await held.settle(20)
    with pytest.raises(RateLimited):
        windows.take(key(0), (Want("tokens", 10, MINUTE, 1),), counted="instance")
    assert len(windows) == 11
    with pytest.raises(Undecidable):
        windows.take(key(11), ONE, counted="instance")


def test_d04_callers_that_come_once_leave_no_more_than_is_open(clock: FakeClock) -> None:
    """D04, D05: with a steady stream of new callers, ended windows do not pile up."""
    windows = Windows(clock)
    for number in range(5_000):
        windows.take(key(number), ONE, counted="instance")
        clock.move(1)
    assert len(windows) <= MINUTE + 1


def test_clearing_away_an_ended_window_leaves_the_one_after_it(clock: FakeClock) -> None:
    """Whose window was begun anew before the old one was cleared away is not given a third."""
    windows = Windows(clock)
    for number in range(10):
        windows.take(key(number), ONE, counted="instance")
    clock.move(MINUTE)
    windows.take(key(9), ONE, counted="instance")
    for number in range(9):
        windows.take(key(number), ONE, counted="instance")
    with pytest.raises(RateLimited):
        windows.take(key(9), ONE, counted="instance")


def test_one_caller_over_many_windows_leaves_one(clock: FakeClock) -> None:
    """A window that is begun anew takes the place of the one before."""
    windows = Windows(clock)
    for _ in range(100):
        windows.take(key(1), ONE, counted="instance")
        clock.move(MINUTE)
    assert len(windows) <= 2


@pytest.mark.parametrize("jump", [600.0, -600.0], ids=["ten minutes ahead", "ten minutes back"])
async def test_f33_the_wall_clock_moves_no_window(jump: float) -> None:
    """F33: windows live on the monotonic clock."""
    place = InMemory()
    assert await allowed(place, requests=(1, MINUTE))
    place.clock.wall += jump
    assert not await allowed(place, requests=(1, MINUTE))
    place.clock.now += MINUTE
    assert await allowed(place, requests=(1, MINUTE))


async def test_a_shared_limit_without_redis_is_not_counted_here_unless_the_policy_says_so() -> None:
    """Without Redis a shared limit fails as its rule says: closed by default, in this instance where "local"."""
    quota = make_quota(FakeClock(), None)
    limits = Limits(requests=Rate(amount=1, period=MINUTE))
    with pytest.raises(Undecidable) as refused:
        await quota.reserve(a_model(), a_rule_of(limits), a_caller(), tokens=1)
    assert refused.value.reason is Reason.LIMITS_UNAVAILABLE
    local = a_rule_of(Limits(requests=Rate(amount=1, period=MINUTE), fail="local"))
    assert (await quota.reserve(a_model(), local, a_caller(), tokens=1)).counted == "local"
    with pytest.raises(RateLimited):
        await quota.reserve(a_model(), local, a_caller(), tokens=1)


def test_a_counter_that_the_rule_does_not_limit_is_not_wanted() -> None:
    """Requests alone, tokens alone, or neither."""
    rate = Rate(amount=5, period=1)
    assert [want.counter for want in wants_of(Limits(requests=rate), 9)] == ["requests"]
    assert [(want.counter, want.number) for want in wants_of(Limits(tokens=rate), 9)] == [("tokens", 5)]
    assert wants_of(Limits(), 9) == ()


async def test_counting_in_memory_is_cheap() -> None:
    """Reserving, telling and settling takes microseconds (5 to 15 are expected; far more is a mistake)."""
    place = InMemory()

    async def many(number: int) -> float:
        started = timeit.default_timer()
        for _ in range(number):
            held = await take(place, requests=(10**9, MINUTE), tokens=(10**9, MINUTE), cost=500)
            assert held.headers
            await held.settle(100)
        return (timeit.default_timer() - started) / number

    assert min([await many(500) for _ in range(5)]) < 100e-6
    await asyncio.sleep(0)
