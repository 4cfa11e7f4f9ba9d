"""Tokens: one request however many wait, renewed in good time beside a request, kept until they end."""

from __future__ import annotations

import asyncio
import gc
import timeit
from contextlib import suppress

import pytest

from shared.model import Reason
from shared.outbound.tokens import FAILURE_PAUSE, REFRESH_PAUSE, KeptTokens
from shared.problem import Undecidable
from tests.fakes import FakeClock

ML = "https://ml.azure.com/.default"
GRAPH = "https://graph.microsoft.com/.default"
LIFE = 3_600.0


class FakeIdentity:
    """An identity endpoint that counts, waits and fails as told."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.life = LIFE
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: str) -> tuple[str, float]:
        self.asked.append(scope)
        number = len(self.asked)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return f"token-{number}", self.clock.time() + self.life


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def identity(clock: FakeClock) -> FakeIdentity:
    return FakeIdentity(clock)


@pytest.fixture
def tokens(clock: FakeClock, identity: FakeIdentity) -> KeptTokens:
    return KeptTokens(clock, identity, timeout=0.1)


async def settle() -> None:
    """Let what runs beside the test come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def refused(tokens: KeptTokens, scope: str = ML) -> Undecidable:
    with pytest.raises(Undecidable) as caught:
        await tokens.token(scope)
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE
    return caught.value


async def test_a_thousand_at_once_cost_one_request(tokens: KeptTokens, identity: FakeIdentity) -> None:
    """F21: cold start under load."""
    identity.gate.clear()
    waiting = [asyncio.create_task(tokens.token(ML)) for _ in range(1_000)]
    await settle()
    identity.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"token-1"}
    assert identity.asked == [ML]


async def test_each_audience_has_its_own_token(tokens: KeptTokens, identity: FakeIdentity) -> None:
    """E11: a token for Graph is never handed out for the model."""
    assert await tokens.token(ML) != await tokens.token(GRAPH)
    assert identity.asked == [ML, GRAPH]


async def test_one_who_leaves_does_not_cancel_it_for_the_rest(
    tokens: KeptTokens, identity: FakeIdentity
) -> None:
    """The first one to ask goes away; those behind it get their token."""
    identity.gate.clear()
    first, second = (asyncio.create_task(tokens.token(ML)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    identity.gate.set()
    assert await second == "token-1"
    assert len(identity.asked) == 1


async def test_a_token_in_its_first_half_is_not_renewed(
    tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock
) -> None:
    """No request for a token that is young."""
    await tokens.token(ML)
    clock.move(LIFE / 2 - 1)
    assert await tokens.token(ML) == "token-1"
    await settle()
    assert len(identity.asked) == 1


async def test_past_half_its_life_it_is_renewed_beside_the_request(
    tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock
) -> None:
    """The request that finds it gets the old one at once; one renewal, however many find it."""
    await tokens.token(ML)
    clock.move(LIFE / 2)
    identity.gate.clear()
    assert [await tokens.token(ML) for _ in range(50)] == ["token-1"] * 50
    identity.gate.set()
    await settle()
    assert await tokens.token(ML) == "token-2"
    assert len(identity.asked) == 2


async def test_a_failed_renewal_pauses_and_the_old_token_serves_until_it_ends(
    tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock
) -> None:
    """F18, F20: the endpoint is down for the whole second half: no error before the end, an attempt each half minute."""
    await tokens.token(ML)
    identity.failure = ConnectionError()
    clock.move(LIFE / 2)
    seconds = int(LIFE / 2)
    for _ in range(seconds):
        assert await tokens.token(ML) == "token-1"
        await settle()
        clock.move(1)
    assert len(identity.asked) - 1 == seconds / REFRESH_PAUSE
    await refused(tokens)


async def test_a_renewal_that_hangs_does_not_hold_up_who_needs_a_token_now(
    tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock
) -> None:
    """F18: a silent endpoint; the next one to find the token ended asks for itself and waits no longer than allowed."""
    await tokens.token(ML)
    clock.move(LIFE - 1)
    identity.gate.clear()
    assert await tokens.token(ML) == "token-1"
    clock.move(1)
    await refused(tokens)
    identity.gate.set()
    await settle()
    assert await tokens.token(ML) == "token-2"


async def test_a_failure_answers_for_everybody_for_a_moment(
    tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock
) -> None:
    """F18: no storm on an endpoint that is down, and back within five seconds."""
    identity.failure = ConnectionError()
    for _ in range(100):
        assert (await refused(tokens)).retry_after == 10
    assert len(identity.asked) == 1
    identity.failure = None
    clock.move(FAILURE_PAUSE)
    assert FAILURE_PAUSE < 5
    assert await tokens.token(ML) == "token-2"


async def test_a_failure_reaches_all_who_wait_and_leaves_no_trace(
    tokens: KeptTokens, identity: FakeIdentity
) -> None:
    """A failure nobody is left to hear is no "exception was never retrieved" either."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    identity.gate.clear()
    identity.failure = ConnectionError()
    waiting = [asyncio.create_task(tokens.token(ML)) for _ in range(10)]
    await settle()
    for task in waiting[:5]:
        task.cancel()
    identity.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 5 + [Undecidable] * 5
    lonely = asyncio.create_task(tokens.token(GRAPH))
    identity.gate.clear()
    await settle()
    lonely.cancel()
    await settle()
    identity.gate.set()
    await settle()
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("life", [0.0, -1.0, float("nan")])
async def test_a_token_that_has_ended_already_is_none(
    tokens: KeptTokens, identity: FakeIdentity, life: float
) -> None:
    """F19: expired on arrival."""
    identity.life = life
    await refused(tokens)


async def test_silence_ends_at_the_timeout(tokens: KeptTokens, identity: FakeIdentity) -> None:
    """F18: a slow endpoint costs a request what it may cost and no more."""
    identity.gate.clear()
    async with asyncio.timeout(1):
        await refused(tokens)


async def test_a_dropped_token_is_asked_for_anew(tokens: KeptTokens, identity: FakeIdentity) -> None:
    """The model refused the token: the next request brings another one."""
    refused_one = await tokens.token(ML)
    await tokens.token(GRAPH)
    tokens.drop(ML, refused_one)
    assert [await tokens.token(ML), await tokens.token(GRAPH)] == ["token-3", "token-2"]


async def test_a_model_that_refuses_every_token_costs_one_for_all_who_come_at_once(
    tokens: KeptTokens, identity: FakeIdentity
) -> None:
    """F13: after a refusal the next request asks anew, once however many come with it."""
    tokens.drop(ML, await tokens.token(ML))
    await asyncio.gather(*(tokens.token(ML) for _ in range(100)))
    assert len(identity.asked) == 2


async def test_a_refused_token_serves_on_while_no_other_can_be_had(
    tokens: KeptTokens, identity: FakeIdentity
) -> None:
    """F13, F20: an endpoint without a role takes no other endpoint down while the identity endpoint is away."""
    first = await tokens.token(ML)
    tokens.drop(ML, first)
    identity.failure = OSError()
    assert await tokens.token(ML) == first
    assert await tokens.token(ML) == first


async def test_only_the_token_that_was_refused_is_given_up(
    tokens: KeptTokens, identity: FakeIdentity
) -> None:
    """A call that was under way with the old token says nothing of the new one."""
    await tokens.token(ML)
    tokens.drop(ML, "an older one")
    await tokens.token(ML)
    assert len(identity.asked) == 1


async def test_the_wall_clock_may_jump(tokens: KeptTokens, identity: FakeIdentity, clock: FakeClock) -> None:
    """F33: lifetimes run on the monotonic clock."""
    await tokens.token(ML)
    clock.wall += 10 * LIFE
    assert await tokens.token(ML) == "token-1"
    clock.wall -= 20 * LIFE
    clock.now += LIFE
    assert await tokens.token(ML) == "token-2"


async def test_a_warm_token_costs_next_to_nothing(tokens: KeptTokens) -> None:
    """Asking azure-identity costs 63 microseconds each time; this is asked at every request."""
    await tokens.token(ML)

    def ask() -> None:
        with suppress(StopIteration):
            tokens.token(ML).send(None)

    assert min(timeit.repeat(ask, number=1_000, repeat=20)) / 1_000 < 5e-6


def test_a_new_loop_starts_its_own_request(tokens: KeptTokens, identity: FakeIdentity) -> None:
    """A request that died with its loop is not waited for."""

    async def abandoned() -> None:
        identity.gate = asyncio.Event()
        task = asyncio.ensure_future(tokens.token(ML))
        await settle()
        task.cancel()

    async def later() -> str:
        identity.gate = asyncio.Event()
        identity.gate.set()
        return await tokens.token(ML)

    asyncio.run(abandoned())
    assert asyncio.run(later()) == "token-2"
