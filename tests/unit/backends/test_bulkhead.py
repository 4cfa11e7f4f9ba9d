"""Places for calls to one endpoint: never more than the limit, never one lost (threat D07)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends.bulkhead import Bulkhead
from shared.model import Reason
from shared.problem import Undecidable
from tests.fakes import LoopTime, settle


async def free_places(bulkhead: Bulkhead) -> int:
    """Count the places that can be taken at once, and give them back."""
    free = 0
    while True:
        attempt = asyncio.ensure_future(bulkhead.take())
        await settle()
        if not attempt.done():
            attempt.cancel()
            await settle()
            break
        attempt.result()
        free += 1
    for _ in range(free):
        bulkhead.give()
    return free


async def test_d07_beyond_the_limit_a_caller_waits() -> None:
    """D07: as many as `limit` are let in at once, the next one waits."""
    bulkhead = Bulkhead(2)
    await bulkhead.take()
    await bulkhead.take()
    third = asyncio.ensure_future(bulkhead.take())
    await settle()
    assert not third.done()
    third.cancel()


async def test_d07_beyond_four_times_the_limit_nobody_may_wait() -> None:
    """D07, ruling "Concurrency": with four times the limit waiting, the next is refused at once: 503 `overloaded`."""
    bulkhead = Bulkhead(2)
    waiting = [asyncio.ensure_future(bulkhead.take()) for _ in range(2 + 8)]
    await settle()
    with pytest.raises(Undecidable) as refused:
        await asyncio.wait_for(bulkhead.take(), 0.1)
    assert (refused.value.reason, refused.value.status) == (Reason.OVERLOADED, 503)
    for task in waiting:
        task.cancel()


async def test_d07_nobody_waits_longer_than_two_seconds() -> None:
    """D07, ruling "Concurrency": after two seconds without a place it is 503 `overloaded`, and not before."""
    time = LoopTime()
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    waiting = asyncio.ensure_future(bulkhead.take())
    await settle()
    await time.pass_(1.9)
    assert not waiting.done()
    await time.pass_(0.2)
    with pytest.raises(Undecidable) as refused:
        await waiting
    assert refused.value.reason is Reason.OVERLOADED
    bulkhead.give()
    assert await free_places(bulkhead) == 1


async def test_those_who_gave_up_leave_room_for_others_to_wait() -> None:
    """A queue that was full takes waiters again once those in it have timed out."""
    time = LoopTime()
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    queue = [asyncio.ensure_future(bulkhead.take()) for _ in range(4)]
    await settle()
    await time.pass_(2.1)
    assert [type(task.exception()) for task in queue] == [Undecidable] * 4
    late = asyncio.ensure_future(bulkhead.take())
    await settle()
    assert not late.done()
    bulkhead.give()
    await late


async def test_a_place_goes_to_the_one_who_waited_longest() -> None:
    """A place that is given back is handed over in the order of waiting."""
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    order: list[int] = []

    async def caller(number: int) -> None:
        await bulkhead.take()
        order.append(number)
        bulkhead.give()

    tasks = [asyncio.ensure_future(caller(number)) for number in range(4)]
    await settle()
    bulkhead.give()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]


async def test_one_who_comes_later_does_not_overtake() -> None:
    """Between the hand-over of a place and the waiter's next step, a newcomer does not get that place."""
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    first = asyncio.ensure_future(bulkhead.take())
    await settle()
    bulkhead.give()
    newcomer = asyncio.ensure_future(bulkhead.take())
    await settle()
    assert first.done()
    assert not newcomer.done()
    newcomer.cancel()


async def test_d07_a_cancelled_waiter_takes_no_place_with_it() -> None:
    """D07: a caller who goes away while waiting leaves the place to the next one."""
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    gone = asyncio.ensure_future(bulkhead.take())
    patient = asyncio.ensure_future(bulkhead.take())
    await settle()
    gone.cancel()
    bulkhead.give()
    await patient
    assert gone.cancelled()
    bulkhead.give()
    assert await free_places(bulkhead) == 1


async def test_d07_a_place_handed_over_in_the_moment_of_cancellation_is_passed_on() -> None:
    """D07: a waiter who is cancelled after the hand-over but before it runs passes the place to the next."""
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    gone = asyncio.ensure_future(bulkhead.take())
    patient = asyncio.ensure_future(bulkhead.take())
    await settle()
    bulkhead.give()
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert patient.done()
    bulkhead.give()
    assert await free_places(bulkhead) == 1


async def test_d07_a_place_handed_over_in_the_moment_of_the_timeout_is_not_lost() -> None:
    """D07: a place that comes in the very turn in which the wait ends is free again afterwards."""
    time = LoopTime()
    bulkhead = Bulkhead(1)
    await bulkhead.take()
    waiting = asyncio.ensure_future(bulkhead.take())
    await settle()
    bulkhead.give()
    asyncio.get_running_loop().call_soon(lambda: None)
    await time.pass_(2.1)
    if waiting.exception() is None:
        bulkhead.give()
    assert await free_places(bulkhead) == 1


class Crowd:
    """Callers at one bulkhead, each doing one thing at a time."""

    def __init__(self, limit: int) -> None:
        self.time = LoopTime()
        self.bulkhead = Bulkhead(limit)
        self.callers: list[asyncio.Future[None]] = []
        self.returned: list[asyncio.Future[None]] = []

    def inside(self) -> list[asyncio.Future[None]]:
        """Return the callers that have a place now."""
        let_in = [c for c in self.callers if c.done() and not c.cancelled() and c.exception() is None]
        return [c for c in let_in if c not in self.returned]

    async def take(self) -> None:
        self.callers.append(asyncio.ensure_future(self.bulkhead.take()))

    async def give(self) -> None:
        if self.inside():
            self.returned.append(self.inside()[0])
            self.bulkhead.give()

    async def cancel(self) -> None:
        next((c.cancel() for c in self.callers if not c.done()), None)

    async def late(self) -> None:
        await self.time.pass_(1.1)

    async def turn(self) -> None:
        await asyncio.sleep(0)


@given(st.integers(1, 3), st.lists(st.sampled_from(["take", "give", "cancel", "late", "turn"]), max_size=60))
@settings(max_examples=60, deadline=None)
def test_d07_no_interleaving_loses_or_makes_a_place(limit: int, steps: list[str]) -> None:
    """D07: whatever callers do and in whatever order, no more than the limit is in, and in the end all is free."""

    async def play() -> None:
        crowd = Crowd(limit)
        for step in steps:
            await getattr(crowd, step)()
            assert len(crowd.inside()) <= limit
        await crowd.time.pass_(3)
        while crowd.inside():
            await crowd.give()
            await settle()
        assert await free_places(crowd.bulkhead) == limit

    asyncio.run(play())
