"""Whose limit it is: no two callers can share a key, and no key tells who its caller is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model import Limits, Principal, Route
from shared.quota.keys import digest, key_of
from shared.quota.owners import owner_of
from tests.unit.quota.places import a_caller, a_model, a_rule_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def key(
    caller: Principal | None = None, route: Route | None = None, rule: str = "engineers", **limits: Any
) -> bytes:
    asked = Limits(**limits)
    return key_of(asked, route or a_model(), a_rule_of(asked, rule), caller or a_caller())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            {"caller": a_caller(tenant="ab", oid="c")},
            {"caller": a_caller(tenant="a", oid="bc")},
            id="tenant and object id that are alike when put together",
        ),
        pytest.param(
            {"caller": a_caller(tenant="a", oid='b","c')},
            {"caller": a_caller(tenant='a","b', oid="c")},
            id="quotes and commas that look like the next element",
        ),
        pytest.param(
            {"route": a_model("ab"), "rule": "c"},
            {"route": a_model("a"), "rule": "bc"},
            id="model and rule that are alike when put together",
        ),
        pytest.param({"rule": "a"}, {"rule": "b"}, id="two rules of one model"),
        pytest.param({"route": a_model("a")}, {"route": a_model("b")}, id="one rule id at two models"),
        pytest.param(
            {"route": a_model("a")},
            {"route": a_model("a", target="endpoint")},
            id="a model and an endpoint of one name",
        ),
        pytest.param({"per": "rule"}, {"per": "caller"}, id="a rule's own limit and one of its callers"),
        pytest.param(
            {"caller": a_caller(oid="A")}, {"caller": a_caller(oid="a")}, id="ids that differ in case only"
        ),
    ],
)
def test_t21_two_callers_never_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """T21: ids that were made to collide when concatenated count apart."""
    assert key(**one) != key(**other)


@given(st.lists(TEXT, max_size=6), st.lists(TEXT, max_size=6))
def test_p8_keys_are_injective(one: list[str], other: list[str]) -> None:
    """Property P8: two lists of parts have one key only where they are the same list."""
    assert (digest(*one) == digest(*other)) == (one == other)


def test_a_rules_own_limit_is_one_for_all_its_callers() -> None:
    """A limit with per = "rule" counts everybody whom the rule lets in together."""
    assert key(per="rule") == key(a_caller(oid="somebody else"), per="rule")


def test_an_owner_is_not_a_callers_key() -> None:
    """What stands for an owner cannot be taken for what counts a caller."""
    assert owner_of(a_caller()) != key(a_caller())
    assert owner_of(a_caller(tenant="ab", oid="c")) != owner_of(a_caller(tenant="a", oid="bc"))


def test_keys_are_alike_in_size_whatever_they_are_made_of() -> None:
    """D05: nobody makes an entry larger by a longer id."""
    assert len(key(a_caller(oid="x" * 100_000))) == len(key()) == 32
