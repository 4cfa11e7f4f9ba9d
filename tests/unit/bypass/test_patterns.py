"""Patterns of actions and scopes: what matches what, beside a slow and obvious matcher."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.bypass.patterns import Pattern, PatternIndex
from shared.bypass.scopes import at_or_above, canonical, is_management_group, subscription
from shared.bypass.spelling import fold
from tests.unit.bypass import world

# Few letters, so that what stands between stars comes again, and overlaps.
pattern_texts = st.text(alphabet="aB*", max_size=8) | st.text(alphabet="aB/*.", max_size=10)
action_texts = st.text(alphabet="ab", max_size=8) | st.text(alphabet="ab/.", max_size=10)


def obvious(pattern: str, action: str) -> bool:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(expression, action, re.IGNORECASE | re.DOTALL) is not None


@settings(max_examples=1500, deadline=None)
@given(pattern_texts, action_texts)
@example("*ab*b", "bab")
@example("*ab*b*", "aba")
def test_a_pattern_matches_as_the_expression_does(pattern: str, action: str) -> None:
    """`*` is any text; all else is itself, in any case."""
    assert Pattern(pattern).matches(action) is obvious(pattern, action)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(pattern_texts, st.integers(0, 3)), max_size=8), action_texts)
def test_an_index_finds_what_each_pattern_matches(entries: list[tuple[str, int]], action: str) -> None:
    """However patterns are shared and spelled, nothing is lost and nothing added."""
    assert sorted(PatternIndex(entries).matching(action)) == sorted(
        (pattern, owner) for pattern, owner in entries if obvious(pattern, action)
    )


def test_a_pattern_of_stars_takes_no_time() -> None:
    """Custom roles are written by people: no pattern of theirs can stop the audit."""
    pattern, action = Pattern("*a" * 2_000 + "*b"), "a" * 20_000
    started = time.perf_counter()
    assert not pattern.matches(action)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("/", "/"),
        ("/Subscriptions/A", "/subscriptions/a"),
        ("/subscriptions/a/", "/subscriptions/a"),
        ("", None),
        ("//", None),
        ("subscriptions/a", None),
        ("/subscriptions//a", None),
        ("/subscriptions/a//", None),
        (" /subscriptions/a", None),
        ("/subscriptions/a\n", None),
    ],
)
def test_scopes_have_one_spelling(text: str, scope: str | None) -> None:
    """Case and one slash at the end do not matter; what is no scope is none."""
    assert canonical(text) == scope


def test_what_lies_above_a_scope() -> None:
    """Every scope that its spelling lies under, and the tenant's root."""
    assert at_or_above("/subscriptions/s/resourcegroups/g")[::2] == (
        "/subscriptions/s/resourcegroups/g",
        "/subscriptions/s",
        "/",
    )
    assert at_or_above("/") == ("/",)


def test_management_groups_and_subscriptions_are_told() -> None:
    """A management group is what stands right under its collection; a subscription is named by what lies in it."""
    assert is_management_group(fold(world.SCOPES["corp"]))
    assert not is_management_group("/providers/microsoft.management/managementgroups/a/b")
    assert not is_management_group(fold(world.ENDPOINT))
    assert subscription(fold(world.ENDPOINT)) == world.SUBSCRIPTION.rpartition("/")[2]
    assert subscription(fold(world.SCOPES["corp"])) is None


@pytest.mark.parametrize(
    ("text", "folded"),
    [("aBC", "abc"), ("\u212aEY", "\u212aey"), ("\u0130X", "\u0130x"), ("\u00c4B", "\u00c4b")],
)
def test_only_ascii_is_folded(text: str, folded: str) -> None:
    """The Kelvin sign is no k: a NotAction that is written with it takes nothing away."""
    assert fold(text) == folded
