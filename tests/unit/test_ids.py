"""Ids have one canonical spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import guid, guids

ID = "6f1b2c3d-0000-4000-8000-00000000000a"

NOT_IDS = {
    "braces around it": "{6f1b2c3d-0000-4000-8000-00000000000a}",
    "a urn": "urn:uuid:6f1b2c3d-0000-4000-8000-00000000000a",
    "no dashes": "6f1b2c3d00004000800000000000000a",
    "dashes in odd places": "6f1b2c3d0-000-4000-8000-00000000000a",
    "full-width digits": "6f1b2c3d-0000-4000-8000-0000000000\uff10a",
    "a line feed at the end": "6f1b2c3d-0000-4000-8000-00000000000a\n",
    "a space before it": " 6f1b2c3d-0000-4000-8000-00000000000a",
    "a space after it": "6f1b2c3d-0000-4000-8000-00000000000a ",
    "a NUL at the end": "6f1b2c3d-0000-4000-8000-00000000000a\0",
    "a letter that is no digit": "6f1b2c3d-0000-4000-8000-00000000000g",
    "the Kelvin sign": "6f1b2c3d-0000-4000-8000-00000000000\u212a",
    "a Cyrillic letter": "6f1b2c3d-0000-4000-8000-00000000000\u0430",
    "one digit short": "6f1b2c3d-0000-4000-8000-00000000000",
    "one digit long": "6f1b2c3d-0000-4000-8000-00000000000aa",
    "a display name": "Fraud Analysts",
    "a Windows SID": "S-1-5-21-1004336348-1177238915-682003330-512",
    "nothing": "",
}


@pytest.mark.parametrize("text", NOT_IDS.values(), ids=NOT_IDS.keys())
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    """S12, S11: only the canonical form counts, alone or among others."""
    assert guid(text) is None
    assert guids([text]) == frozenset()
    assert guids([ID, text, ID]) == {ID}


@pytest.mark.parametrize("text", [ID, ID.upper(), "6F1b2c3D-0000-4000-8000-00000000000A"])
def test_only_case_may_differ(text: str) -> None:
    """S12: an id is compared in lower case."""
    assert guid(text) == ID
    assert guids([text]) == {ID}


def test_two_ids_joined_by_a_line_feed_are_none() -> None:
    """S12: the check of many ids at once lets nothing through that the check of one refuses."""
    assert guids([f"{ID}\n{ID}"]) == frozenset()
    assert guids([]) == frozenset()


@given(
    st.lists(
        st.one_of(st.uuids().map(str), st.text(max_size=40), st.sampled_from([ID.upper(), f"{ID}\n{ID}"]))
    )
)
def test_many_at_once_are_as_each_by_itself(texts: list[str]) -> None:
    """The fast way and the slow way agree."""
    assert guids(texts) == {one for one in map(guid, texts) if one is not None}
