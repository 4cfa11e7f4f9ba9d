"""What callers read of their limits: the forms that public clients understand."""

from __future__ import annotations

import pytest

from shared.problem import MAX_RETRY_AFTER, render
from shared.quota.reservation import Level, Want, duration, headers, refusal


def level(left: float, *, spent: int = 5, amount: int = 5, number: int = 1) -> Level:
    return Level(Want("requests", amount, 60, number), spent, left)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "1s"),
        (1.0, "1s"),
        (59.2, "1m0s"),
        (60.0, "1m0s"),
        (360.0, "6m0s"),
        (3_599.5, "1h0m0s"),
        (86_400.0, "24h0m0s"),
    ],
)
def test_a_reset_is_written_as_openai_writes_it(seconds: float, text: str) -> None:
    """Durations in hours, minutes and seconds, never shorter than the wait."""
    assert duration(seconds) == text


def test_an_overdrawn_window_has_nothing_left() -> None:
    """What settling charged beyond the limit is no negative remainder."""
    assert dict(headers([level(1.0, spent=9)]))["x-ratelimit-remaining-requests"] == "0"


def test_a_refusal_renders_as_429_with_whole_seconds() -> None:
    """Retry-After is rounded up, so who keeps to it finds a new window."""
    reply = render(refusal([level(41.2)]), request_id="r")
    assert reply.status == 429
    assert dict(reply.headers)["retry-after"] == "42"
    assert MAX_RETRY_AFTER >= 86_400
