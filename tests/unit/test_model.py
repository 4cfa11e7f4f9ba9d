"""The field's types: headers as they came, and values that nobody changes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import model
from shared.model import Ambiguous, Headers, Membership, Standing
from tests.fakes import ANALYSTS, a_membership, a_principal

PAIRS = st.lists(
    st.tuples(st.sampled_from(["Accept", "ACCEPT", "accept", "Host", "X-A", "x_a"]), st.text(max_size=5)),
    max_size=8,
)


def test_s08_a_header_that_came_twice_has_no_one_value() -> None:
    """S08: asking for the one value of a repeated header raises, whatever the spelling and even if the values agree."""
    headers = Headers([("X-MS-CLIENT-PRINCIPAL", "a"), ("x-ms-client-principal", "a")])
    with pytest.raises(Ambiguous, match="x-ms-client-principal"):
        headers.get("x-ms-client-principal")


def test_s08_three_values_are_all_kept() -> None:
    """Repeated headers are joined by a comma in their order, as HTTP does (RFC 9110, 5.3)."""
    headers = Headers([("A", "1"), ("a", "2"), ("A", "3")])
    assert headers.joined("a") == "1, 2, 3"
    with pytest.raises(Ambiguous):
        headers.get("a")


def test_s08_two_empty_values_are_two() -> None:
    """A header that is there twice with nothing in it is still there twice."""
    headers = Headers([("a", ""), ("A", "")])
    with pytest.raises(Ambiguous):
        headers.get("a")
    assert headers.joined("a") == ", "


def test_s08_an_underscore_is_no_hyphen() -> None:
    """S08: `x_ms_client_principal` is another header and names nobody."""
    headers = Headers([("x_ms_client_principal", "forged")])
    assert headers.get("x-ms-client-principal") is None


def test_an_absent_header_is_none_and_an_empty_one_is_empty() -> None:
    """Absent and empty are told apart."""
    headers = Headers([("a", "")])
    assert (headers.get("a"), headers.get("b"), headers.joined("a"), headers.joined("b")) == (
        "",
        None,
        "",
        None,
    )


def test_an_ambiguous_header_does_not_show_its_values() -> None:
    """R03: the exception names the header and none of its values."""
    headers = Headers([("authorization", "Bearer secret"), ("authorization", "Bearer other")])
    with pytest.raises(Ambiguous) as raised:
        headers.get("authorization")
    assert "secret" not in str(raised.value)


@given(PAIRS)
def test_every_value_is_kept_in_order_whatever_the_spelling(pairs: list[tuple[str, str]]) -> None:
    """No value is lost or swapped, however names are spelt."""
    headers = Headers(pairs)
    for name in {name.lower() for name, _ in pairs}:
        values = [value for key, value in pairs if key.lower() == name]
        assert headers.joined(name) == ", ".join(values)
        if len(values) == 1:
            assert headers.get(name) == values[0]
        else:
            with pytest.raises(Ambiguous):
                headers.get(name)


def test_e03_a_group_of_which_nothing_is_known_is_unknown_and_not_out() -> None:
    """E03: absence proves nothing."""
    assert Membership().standing(ANALYSTS) is Standing.UNKNOWN
    assert a_membership(Standing.OUT).standing(ANALYSTS) is Standing.OUT


@pytest.mark.parametrize("name", [n for n, t in vars(model).items() if dataclasses.is_dataclass(t)])
def test_what_passes_between_the_parts_is_frozen_slotted_and_keyword_only(name: str) -> None:
    """Design 2: nobody changes a value that another part has seen."""
    kind = getattr(model, name)
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    assert all(field.kw_only for field in dataclasses.fields(kind))


def test_a_principal_cannot_be_given_a_group() -> None:
    """A principal that was verified stays as it was verified."""
    with pytest.raises(AttributeError):
        a_principal().groups = frozenset({ANALYSTS})  # type: ignore[misc]


def test_a_hosts_own_mapping_is_looked_into_as_it_is() -> None:
    """Where no header can be repeated, nothing is copied: the same answers, absent names included."""
    headers = Headers.over({"accept": "*/*"})
    assert headers.get("accept") == headers.joined("accept") == "*/*"
    assert headers.get("cookie") is None
    assert headers.joined("cookie") is None
