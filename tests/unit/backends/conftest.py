"""What the backends' tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.backends.forward import Forwarder
from shared.model import Route
from tests.fakes import a_call, a_route, settle

FreePlaces = Callable[[Forwarder], Awaitable[int]]


@pytest.fixture
def free_places() -> FreePlaces:
    """Return a count of the places that are free at `fraud`, found by taking them and giving them back."""

    async def count(forwarder: Forwarder, route: Route | None = None) -> int:
        call = a_call(route=route or a_route())
        taken = 0
        while True:
            attempt = asyncio.ensure_future(forwarder.take(call))
            await settle()
            if not attempt.done():
                attempt.cancel()
                await settle()
                break
            attempt.result()
            taken += 1
        for _ in range(taken):
            forwarder.release(call)
        return taken

    return count
