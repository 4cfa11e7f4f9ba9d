"""Single flight: one piece of work for many that wait."""

from __future__ import annotations

import asyncio

import pytest

from shared.flight import Flights
from tests.unit.membership.fakes_directory import settle


async def test_what_has_landed_is_forgotten() -> None:
    """D04: no key stays behind, whether the work succeeded, failed or was cancelled."""
    flights: Flights[str, int, str] = Flights()

    async def work(outcome: str) -> str:
        if outcome == "fails":
            raise RuntimeError
        return outcome

    flown = [flights.launch("key", 1, work(outcome)) for outcome in ("lands", "fails", "cancelled")]
    flown[2].task.cancel()
    assert flights.aloft("key") == tuple(flown)
    assert await flown[0].land() == "lands"
    with pytest.raises(RuntimeError):
        await flown[1].land()
    await settle()
    assert (flights.aloft("key"), len(flights)) == ((), 0)


async def test_keys_that_read_alike_when_joined_are_different_flights() -> None:
    """T21 (CVE-2026-71326): a key is compared as it is, never as text."""
    flights: Flights[tuple[str, ...], None, None] = Flights()
    flights.launch(("ab", "c"), None, asyncio.sleep(0))
    assert flights.aloft(("a", "bc")) == ()


async def test_a_waiter_that_is_cancelled_leaves_the_work_alone() -> None:
    """One going away does not cancel it for the rest."""
    flights: Flights[str, None, str] = Flights()
    done = asyncio.Event()

    async def work() -> str:
        await done.wait()
        return "done"

    flight = flights.launch("key", None, work())
    leaver, stayer = (asyncio.create_task(flight.land()) for _ in range(2))
    await settle()
    leaver.cancel()
    await settle()
    done.set()
    assert await stayer == "done"
