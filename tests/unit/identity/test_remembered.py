"""What is remembered is bounded, and the least lately used goes first."""

from __future__ import annotations

from shared.identity.remembered import Remembered


def test_it_forgets_the_least_lately_used() -> None:
    """What was asked for last stays."""
    remembered: Remembered[str, int] = Remembered(capacity=3 * 1_124)
    for key in ("a", "b", "c"):
        remembered.put(key, ord(key), size=100)
    assert remembered.get("a") == ord("a")
    remembered.put("d", 0, size=100)
    assert remembered.get("b") is None
    assert [key for key in "acd" if remembered.get(key) is None] == []


def test_small_entries_are_bounded_too() -> None:
    """A million callers leave a bounded rest behind (issue, "memory flat")."""
    remembered: Remembered[str, int] = Remembered(capacity=1024 * 1024)
    for number in range(20_000):
        remembered.put(str(number), number, size=1)
    assert len(remembered) < 1_024


def test_putting_again_and_dropping_keep_the_count() -> None:
    """The room that an entry took comes back."""
    remembered: Remembered[str, int] = Remembered(capacity=2 * 1_124)
    for value in range(10):
        remembered.put("a", value, size=100)
    remembered.put("b", 1, size=100)
    remembered.drop("a")
    remembered.drop("a")
    remembered.put("c", 1, size=100)
    assert (remembered.get("a"), remembered.get("b"), remembered.get("c"), len(remembered)) == (None, 1, 1, 2)


def test_what_is_larger_than_everything_is_not_remembered() -> None:
    """And does not drive the others out."""
    remembered: Remembered[str, int] = Remembered(capacity=2_000)
    remembered.put("a", 1, size=100)
    remembered.put("b", 1, size=5_000)
    assert (remembered.get("a"), remembered.get("b")) == (1, None)
