"""A body that falls silent is ended, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from shared.backends.idle import IDLE, IdleGuard
from shared.problem import Slug, UpstreamFault
from tests.fakes import FakeStream, LoopTime, settle


async def reading(body: IdleGuard) -> asyncio.Future[bytes]:
    """Return a read that has begun and waits."""
    waiting = asyncio.ensure_future(anext(body))
    await settle()
    return waiting


async def test_a_body_that_falls_silent_is_ended() -> None:
    """D02, F07: 60 seconds without a byte end it, as the model's lateness, and its source is closed; 59 do not."""
    time = LoopTime()
    source = FakeStream(b"1", None)
    body = IdleGuard(source)
    assert await anext(body) == b"1"
    waiting = await reading(body)
    await time.pass_(IDLE - 1)
    assert not waiting.done()
    await time.pass_(1.1)
    with pytest.raises(UpstreamFault) as raised:
        await waiting
    assert (raised.value.slug, raised.value.outcome) == (Slug.UPSTREAM_TIMEOUT, "truncated")
    assert source.closed == 1
    assert not waiting.cancelled()
    assert isinstance(waiting, asyncio.Task)
    assert waiting.cancelling() == 0, "the guard takes its own cancellation back"


class Paced(FakeStream):
    """A source whose next piece comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def __anext__(self) -> bytes:
        return await self.queue.get()


async def test_a_slow_but_steady_body_is_never_ended() -> None:
    """F06, D02: the limit is for the time between bytes, not for the whole; each byte begins it anew."""
    time = LoopTime()
    source = Paced()
    body = IdleGuard(source)
    for _ in range(5):
        waiting = await reading(body)
        await time.pass_(IDLE - 1)
        source.queue.put_nowait(b"x")
        assert await waiting == b"x"
    waiting = await reading(body)
    await time.pass_(IDLE + 0.1)
    with pytest.raises(UpstreamFault):
        await waiting


async def test_a_reader_that_is_slow_itself_is_not_silence() -> None:
    """D02: who takes long between two reads is not cut here; the model's time runs only while it is waited for."""
    time = LoopTime()
    body = IdleGuard(FakeStream(b"1", b"2", None))
    await anext(body)
    await time.pass_(IDLE * 3)
    assert await anext(body) == b"2"
    waiting = await reading(body)
    await time.pass_(IDLE - 1)
    assert not waiting.done()
    await time.pass_(1.1)
    with pytest.raises(UpstreamFault):
        await waiting


async def test_a_reader_that_is_cancelled_is_cancelled() -> None:
    """Cancelling from elsewhere is never taken for silence, not even at the same moment."""
    for seconds in (0, IDLE + 0.1):
        time = LoopTime()
        body = IdleGuard(FakeStream(None))
        waiting = await reading(body)
        await settle()
        time._skipped += seconds
        asyncio.get_running_loop().call_soon(waiting.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        await body.aclose()


async def test_closing_stops_the_timer() -> None:
    """Nothing of a body that has ended waits in the loop for the rest of a minute."""
    body = IdleGuard(FakeStream(b"1", None))
    await anext(body)
    timer = body._timer
    assert timer is not None
    await body.aclose()
    assert timer.cancelled()
    assert body._timer is None


async def test_one_timer_serves_a_whole_body() -> None:
    """A chunk costs no timer of its own."""
    body = IdleGuard(FakeStream(b"1", b"2", b"3"))
    await anext(body)
    timer = body._timer
    assert [chunk async for chunk in body] == [b"2", b"3"]
    assert body._timer is timer
    await body.aclose()
