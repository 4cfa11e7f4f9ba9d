"""At most forty calls a second and eight at once; what must wait longer than two seconds is refused."""

from __future__ import annotations

import asyncio

import pytest

from shared.membership.limiter import AT_ONCE, RATE, Limiter
from shared.model import Reason
from shared.problem import Undecidable
from tests.fakes import FakeClock
from tests.unit.membership.fakes_graph import MovingSleep


async def test_no_second_sees_more_starts_than_the_rate() -> None:
    """D04: the window slides; a burst at the end of one second and the start of the next counts as one."""
    clock = FakeClock()
    limiter = Limiter(clock, sleep=MovingSleep(clock))
    starts: list[float] = []
    for number in range(300):
        async with limiter.place():
            starts.append(clock.now)
        clock.move(0.003 * (number % 5))
    assert all(later - earlier >= 1 for earlier, later in zip(starts, starts[RATE:], strict=False))
    assert starts[RATE - 1] - starts[0] < 1


async def test_eight_are_in_the_air_at_most() -> None:
    """D04: the ninth waits for one of the eight to land."""
    limiter = Limiter(FakeClock())
    landing = asyncio.Event()
    in_air = most = 0

    async def fly() -> None:
        nonlocal in_air, most
        async with limiter.place():
            in_air += 1
            most = max(most, in_air)
            await landing.wait()
            in_air -= 1

    flying = [asyncio.create_task(fly()) for _ in range(30)]
    await asyncio.sleep(0.01)
    assert in_air == AT_ONCE
    landing.set()
    await asyncio.gather(*flying)
    assert (in_air, most) == (0, AT_ONCE)


async def test_what_can_be_foreseen_to_wait_too_long_is_refused_at_once() -> None:
    """F28: forty now and in a second: whoever would wait more than two is told now, and the line does not grow."""
    clock = FakeClock()
    limiter = Limiter(clock, sleep=MovingSleep(clock))
    landing = asyncio.Event()

    async def fly() -> None:
        async with limiter.place():
            await landing.wait()

    flying = [asyncio.create_task(fly()) for _ in range(200)]
    await asyncio.sleep(0.01)
    refused = [task for task in flying if task.done()]
    assert len(flying) - len(refused) == 2 * RATE
    for task in refused:
        fault = task.exception()
        assert isinstance(fault, Undecidable)
        assert fault.reason is Reason.OVERLOADED
    for task in flying:
        task.cancel()
    await asyncio.gather(*flying, return_exceptions=True)


async def test_waiting_for_a_place_ends_in_time() -> None:
    """F28: calls that hang in the air do not make others hang behind them."""
    limiter = Limiter(FakeClock(), longest_wait=0.05)
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_hold(limiter, 0.2))
        await asyncio.sleep(0)
        with pytest.raises(Undecidable):
            async with limiter.place():
                pass


async def _hold(limiter: Limiter, seconds: float) -> None:
    async with limiter.place():
        await asyncio.sleep(seconds)


async def test_a_caller_that_leaves_gives_back_its_place() -> None:
    """Cancelled in line, on the way or in the air: no place is lost."""
    limiter = Limiter(FakeClock())
    for _ in range(3):
        flying = [asyncio.create_task(_hold(limiter, 10)) for _ in range(2 * AT_ONCE)]
        await asyncio.sleep(0.01)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
    async with asyncio.timeout(1), limiter.place():
        pass


def test_a_new_loop_has_all_its_places() -> None:
    """Places held in a loop that is gone are not missed in the next."""
    limiter = Limiter(FakeClock())

    async def leave_some() -> None:
        held = [asyncio.create_task(_hold(limiter, 10)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in held)

    async def take_one() -> None:
        async with asyncio.timeout(1), limiter.place():
            pass

    asyncio.run(leave_some())
    asyncio.run(take_one())
