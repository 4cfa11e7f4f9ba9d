"""Large bodies take turns, and are worked on beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from shared.backends.large import AT_ONCE, EACH, SMALL, LargeBodies
from shared.model import Principal, Reason
from shared.problem import Undecidable
from tests.fakes import LoopTime, a_principal, settle

LARGE = SMALL + 1


def somebody(number: int) -> Principal:
    return a_principal(oid=f"22222222-0000-4000-8000-{number:012}")


class Holding:
    """Turns that are held until they are let go."""

    def __init__(self) -> None:
        self.bodies = LargeBodies()
        self.held = 0
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def _hold(self, length: int | None, who: Principal) -> None:
        async with self.bodies.turn(length, who):
            self.held += 1
            await self._over.wait()

    async def hold(self, times: int, who: Principal, length: int | None = LARGE) -> list[asyncio.Task[None]]:
        tasks = [asyncio.ensure_future(self._hold(length, who)) for _ in range(times)]
        self._tasks += tasks
        await settle()
        return tasks

    async def let_go(self) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("length", [LARGE, None])
async def test_d01_one_caller_has_few_turns_and_the_next_is_told_to_come_back(length: int | None) -> None:
    """D01, D02: whoever sends body upon body, however slowly, holds two turns; more of them are 503 in the end."""
    time, house = LoopTime(), Holding()
    tasks = await house.hold(EACH + 1, somebody(1), length)
    assert house.held == EACH
    await time.pass_(3.0)
    with pytest.raises(Undecidable) as refused:
        await tasks[-1]
    assert refused.value.reason is Reason.OVERLOADED
    await house.let_go()


async def test_d07_another_caller_has_turns_of_its_own() -> None:
    """D07: what one caller holds is not taken from the next; all together have a bound."""
    house = Holding()
    for number in range(AT_ONCE):
        await house.hold(EACH, somebody(number))
    assert house.held == AT_ONCE
    await house.let_go()


async def test_d05_nothing_is_kept_of_who_has_gone() -> None:
    """D05: callers are forgotten with their last turn, ended or cancelled."""
    house = Holding()
    (task,) = await house.hold(1, somebody(1))
    task.cancel()
    await house.hold(1, somebody(2))
    await house.let_go()
    assert not house.bodies._callers


async def test_a_small_body_takes_no_turn() -> None:
    """Nearly every request: nothing is counted."""
    house = Holding()
    await house.hold(100, somebody(1), SMALL)
    assert house.held == 100
    assert not house.bodies._callers
    await house.let_go()


async def test_d08_large_bodies_are_worked_on_in_a_thread_of_their_own() -> None:
    """D08: the loop goes on meanwhile, and so do the threads in which names of hosts are looked up."""
    bodies, here = LargeBodies(), threading.current_thread()
    assert await bodies.work(SMALL, threading.current_thread) is here
    beside = await bodies.work(LARGE, threading.current_thread)
    assert beside.name.startswith("groupgate-bodies")

    def fails(*_: Any) -> None:
        raise ValueError("x")

    with contextlib.suppress(ValueError):
        await bodies.work(LARGE, fails, 1)
        pytest.fail("what is raised there is raised here")
