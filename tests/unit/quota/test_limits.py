"""What a limit gives, in memory and in Redis alike: windows, both counters or neither, and what is given back."""

from __future__ import annotations

import asyncio

import pytest

from shared.problem import RateLimited
from tests.unit.quota.places import BOB, Place, a_caller, a_model, a_rule_of, allowed, left, take

MINUTE = 60


async def test_a_window_gives_its_amount_and_no_more(place: Place) -> None:
    """The call after the last one is refused, and so is every further one."""
    assert [await allowed(place, requests=(3, MINUTE)) for _ in range(5)] == [True, True, True, False, False]


async def test_a_window_begins_with_its_first_call_and_ends_a_period_later(place: Place) -> None:
    """The window neither slides nor follows the clock on the wall: it is over when the period is."""
    assert await allowed(place, requests=(1, MINUTE))
    place.pass_(59)
    assert not await allowed(place, requests=(1, MINUTE))
    place.pass_(1.1)
    assert await allowed(place, requests=(1, MINUTE))
    place.pass_(59)
    assert not await allowed(place, requests=(1, MINUTE))


async def test_refused_calls_do_not_lengthen_the_wait(place: Place) -> None:
    """Who hammers waits as long as who does not."""
    assert await allowed(place, requests=(1, MINUTE))
    for _ in range(5):
        place.pass_(11)
        assert not await allowed(place, requests=(1, MINUTE))
    place.pass_(6)
    assert await allowed(place, requests=(1, MINUTE))


async def test_no_tokens_are_spent_where_the_requests_are_used_up(place: Place) -> None:
    """A refused call takes nothing of the other counter."""
    assert await allowed(place, requests=(1, MINUTE), tokens=(100, MINUTE), cost=10)
    assert not await allowed(place, requests=(1, MINUTE), tokens=(100, MINUTE), cost=10)
    assert await left(place, tokens=(100, MINUTE)) == 90


async def test_no_request_is_spent_where_the_tokens_do_not_fit(place: Place) -> None:
    """A refused call takes nothing of the other counter, nor does it begin a window."""
    assert await allowed(place, tokens=(100, MINUTE), cost=90)
    for _ in range(3):
        assert not await allowed(place, requests=(3, 3_600), tokens=(100, MINUTE), cost=11)
    assert await left(place, "requests", requests=(3, 3_600)) == 3


async def test_what_fits_is_let_through_after_something_larger_was_refused(place: Place) -> None:
    """A refusal is of that call, not of the caller."""
    assert await allowed(place, tokens=(100, MINUTE), cost=90)
    assert not await allowed(place, tokens=(100, MINUTE), cost=11)
    assert await allowed(place, tokens=(100, MINUTE), cost=10)


async def test_d04_callers_do_not_spend_each_others(place: Place) -> None:
    """D04, I10: a bucket per principal; what alice uses up is not felt by bob."""
    assert await allowed(place, requests=(1, MINUTE))
    assert not await allowed(place, requests=(1, MINUTE))
    assert await allowed(place, requests=(1, MINUTE), caller=a_caller(oid=BOB))
    assert await allowed(place, requests=(1, MINUTE), caller=a_caller(tenant=BOB))


async def test_models_and_rules_count_apart(place: Place) -> None:
    """Each model and each rule has windows of its own."""
    assert await allowed(place, requests=(1, MINUTE))
    assert await allowed(place, requests=(1, MINUTE), model="gpt-4.1")
    assert await allowed(place, requests=(1, MINUTE), rule="others")
    assert not await allowed(place, requests=(1, MINUTE))


async def test_a_limit_per_rule_is_shared_by_its_callers(place: Place) -> None:
    """With per = "rule" the amount is for all together."""
    assert await allowed(place, requests=(2, MINUTE), per="rule")
    assert await allowed(place, requests=(2, MINUTE), per="rule", caller=a_caller(oid=BOB))
    assert not await allowed(place, requests=(2, MINUTE), per="rule", caller=a_caller(oid="third"))


async def test_a_changed_period_begins_anew(place: Place) -> None:
    """Nobody waits out a day because the policy said "day" until just now."""
    assert await allowed(place, requests=(1, 86_400))
    assert await allowed(place, requests=(1, MINUTE))


async def test_what_is_larger_than_the_limit_fits_into_an_unused_window_only(place: Place) -> None:
    """A reservation beyond the whole limit takes all of it, instead of never being let through."""
    assert await allowed(place, tokens=(100, MINUTE), cost=5_000)
    assert not await allowed(place, tokens=(100, MINUTE), cost=1)
    place.pass_(61)
    assert await allowed(place, tokens=(100, MINUTE), cost=1)
    assert not await allowed(place, tokens=(100, MINUTE), cost=5_000)


@pytest.mark.parametrize("cost", [0, -5])
async def test_a_call_that_costs_nothing_still_takes_a_token(place: Place, cost: int) -> None:
    """Nobody calls for ever with reservations of nothing, nor adds to a window by less."""
    assert await allowed(place, tokens=(2, MINUTE), cost=cost)
    assert await allowed(place, tokens=(2, MINUTE), cost=cost)
    assert not await allowed(place, tokens=(2, MINUTE), cost=cost)


@pytest.mark.parametrize(
    ("used", "remains"),
    [
        pytest.param(10, 90, id="less than reserved: the rest is given back"),
        pytest.param(50, 50, id="as much as reserved"),
        pytest.param(80, 20, id="more than reserved"),
        pytest.param(0, 100, id="nothing at all"),
        pytest.param(-3, 100, id="a count that cannot be is none"),
        pytest.param(None, 50, id="unknown: the reservation stands"),
        pytest.param(250, 0, id="more than the whole limit"),
    ],
)
async def test_settling_charges_what_was_used(place: Place, used: int | None, remains: int) -> None:
    """The true count takes the place of the reservation, beyond the limit too."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    await held.settle(used)
    assert await left(place, tokens=(100, MINUTE)) == remains


async def test_a_settled_request_stays_counted(place: Place) -> None:
    """Only tokens are settled: the call was made."""
    held = await take(place, requests=(1, MINUTE), tokens=(100, MINUTE), cost=50)
    await held.settle(1)
    assert not await allowed(place, requests=(1, MINUTE), tokens=(100, MINUTE))


async def test_cancelling_gives_both_back(place: Place) -> None:
    """What was never sent cost nothing."""
    held = await take(place, requests=(1, MINUTE), tokens=(100, MINUTE), cost=100)
    await held.cancel()
    assert await left(place, requests=(1, MINUTE), tokens=(100, MINUTE)) == 100


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(("settle", "settle"), id="settled twice"),
        pytest.param(("settle", "cancel"), id="cancelled when settled"),
        pytest.param(("cancel", "settle"), id="settled when cancelled"),
        pytest.param(("stand", "cancel"), id="cancelled when it stands"),
    ],
)
async def test_only_the_first_settling_counts(place: Place, steps: tuple[str, str]) -> None:
    """Whatever comes second changes nothing."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    first = {"settle": 30, "cancel": 0, "stand": 50}[steps[0]]
    for step in steps:
        await (held.cancel() if step == "cancel" else held.settle(30 if step == "settle" else None))
    assert await left(place, tokens=(100, MINUTE)) == 100 - first


@pytest.mark.parametrize(
    ("at_least", "remains"),
    [
        pytest.param(0, 50, id="nothing is known to have gone on"),
        pytest.param(49, 50, id="less than reserved went on"),
        pytest.param(80, 20, id="more than reserved went on"),
        pytest.param(10**18, 0, id="more than can be counted"),
        pytest.param(-1, 50, id="a count that cannot be"),
    ],
)
async def test_d04_an_unknown_cost_is_at_least_what_went_on(
    place: Place, at_least: int, remains: int
) -> None:
    """D04: who hangs up before the usage is told is charged what was reserved, or more where more was relayed."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    await held.settle(None, at_least=at_least)
    assert await left(place, tokens=(100, MINUTE)) == remains


async def test_a_known_cost_is_charged_as_it_was_told(place: Place) -> None:
    """What the model told is right, whatever had been guessed of what went on."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    await held.settle(20, at_least=70)
    assert await left(place, tokens=(100, MINUTE)) == 80


@pytest.mark.parametrize("end", ["settle", "cancel"])
async def test_nothing_is_given_back_to_the_next_window(place: Place, end: str) -> None:
    """What was reserved in a window that has ended is lost with it."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    place.pass_(61)
    assert await allowed(place, tokens=(100, MINUTE), cost=60)
    await (held.cancel() if end == "cancel" else held.settle(0))
    assert await left(place, tokens=(100, MINUTE)) == 40


async def test_giving_back_late_begins_no_window(place: Place) -> None:
    """What ends cheaper than reserved leaves the next window unused, so it begins with the next call."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    place.pass_(61)
    await held.settle(10)
    place.pass_(30)
    assert await allowed(place, tokens=(100, MINUTE), cost=100)
    place.pass_(50)
    assert not await allowed(place, tokens=(100, MINUTE))


@pytest.mark.parametrize("used", [{"tokens": 90}, {"tokens": None, "at_least": 90}], ids=["told", "gone on"])
async def test_d04_a_call_that_outlives_its_window_is_charged_to_the_next(
    place: Place, used: dict[str, int | None]
) -> None:
    """D04: what an answer costs beyond its reservation is not free because it took longer than a window."""
    held = await take(place, requests=(9, MINUTE), tokens=(100, MINUTE), cost=50)
    place.pass_(61)
    assert await allowed(place, tokens=(100, MINUTE), cost=10)
    await held.settle(**used)  # type: ignore[arg-type]  # a table of both keywords
    assert await left(place, tokens=(100, MINUTE)) == 50


async def test_d04_a_call_that_outlives_its_window_begins_the_next(place: Place) -> None:
    """D04: where no window is open, what is owed begins one, which ends a period after the settling and no later."""
    held = await take(place, requests=(9, MINUTE), tokens=(100, MINUTE), cost=50)
    place.pass_(150)
    await held.settle(1_000_000)
    assert not await allowed(place, tokens=(100, MINUTE))
    assert await left(place, "requests", requests=(9, MINUTE)) == 9
    place.pass_(58)
    assert not await allowed(place, tokens=(100, MINUTE))
    place.pass_(3)
    assert await left(place, tokens=(100, MINUTE)) == 100


async def test_d04_what_is_owed_is_the_callers_own(place: Place) -> None:
    """D04: nobody pays for somebody else's long answer, nor at another model."""
    held = await take(place, tokens=(100, MINUTE), cost=50)
    place.pass_(61)
    await held.settle(150)
    assert await left(place, tokens=(100, MINUTE), caller=a_caller(oid=BOB)) == 100
    assert await left(place, tokens=(100, MINUTE), model="gpt-4.1") == 100


async def test_d04_answers_longer_than_a_window_cannot_outrun_it(place: Place) -> None:
    """D04: with answers of 61 seconds under a limit per minute, a caller gets in once for each window it has paid for."""
    through = 0
    for _ in range(10):
        try:
            held = await take(place, tokens=(100, MINUTE), cost=1)
        except RateLimited:
            place.pass_(61)
            continue
        through += 1
        place.pass_(61)
        await held.settle(1_000)
    assert through == 5


async def test_at_once_exactly_the_amount_is_let_through(place: Place) -> None:
    """Nothing comes between looking and taking, however many come together."""
    through = await asyncio.gather(
        *(allowed(place, requests=(20, MINUTE), tokens=(1_000, MINUTE), cost=1) for _ in range(60))
    )
    assert sum(through) == 20
    assert await left(place, tokens=(1_000, MINUTE)) == 980


async def test_a_refused_caller_is_told_when_to_come_back(place: Place) -> None:
    """Retry-After is what is left of the window that refuses; the headers tell both counters."""
    assert await allowed(place, requests=(9, 3_600), tokens=(100, MINUTE), cost=100)
    place.pass_(18.5)
    with pytest.raises(RateLimited) as refused:
        await take(place, requests=(9, 3_600), tokens=(100, MINUTE), cost=7)
    assert refused.value.retry_after == pytest.approx(41.5, abs=1)
    told = dict(refused.value.headers)
    assert told.pop("x-ratelimit-reset-requests") in ("59m42s", "59m41s")
    assert told.pop("x-ratelimit-reset-tokens") in ("42s", "41s")
    assert told == {
        "x-ratelimit-limit-requests": "9",
        "x-ratelimit-remaining-requests": "8",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "0",
    }


async def test_the_longer_wait_is_told_where_both_are_used_up(place: Place) -> None:
    """Coming back when only one of two windows is new would be in vain."""
    assert await allowed(place, requests=(1, MINUTE), tokens=(10, 3_600), cost=10)
    with pytest.raises(RateLimited) as refused:
        await take(place, requests=(1, MINUTE), tokens=(10, 3_600), cost=10)
    assert refused.value.retry_after == pytest.approx(3_600, abs=2)


async def test_a_reservation_tells_how_things_stand(place: Place) -> None:
    """The headers of a success count the call itself."""
    held = await take(place, requests=(9, 1), tokens=(100, 86_400), cost=30)
    told = dict(held.headers)
    assert (told["x-ratelimit-remaining-requests"], told["x-ratelimit-remaining-tokens"]) == ("8", "70")
    assert (told["x-ratelimit-reset-requests"], told["x-ratelimit-reset-tokens"]) == ("1s", "24h0m0s")
    assert held.counted == place.scope


async def test_a_rule_without_limits_is_not_counted(place: Place) -> None:
    """To ask for it is a mistake of the caller's code, and nothing is let through by it."""
    with pytest.raises(ValueError, match="without limits"):
        await place.quota.reserve(a_model(), a_rule_of(None), a_caller(), tokens=1)
