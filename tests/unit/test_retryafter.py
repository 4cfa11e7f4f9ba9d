"""Retry-After: total and bounded, whatever a server writes (threat F09, property P12)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.retryafter import parse

NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("30", 30),
        (" 7 ", 7),
        ("007", 7),
        ("1.5", 2),
        ("0.001", 1),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 40, 86_400),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
        (formatdate(NOW + 90, usegmt=True).removesuffix(" GMT"), 90),
        (formatdate(NOW + 90).replace("+0000", "-0000"), 90),
        (None, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("1,2", None),
        ("0x10", None),
        ("١٢", None),
        ("1\r\nx: y", None),
        ("9" * 100, None),
        ("Thu, 32 Dec 2025 99:99:99 GMT", None),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_left_out(value: str | None, expected: int | None) -> None:
    """RFC 9110, section 10.2.3; a fraction, which some servers send, is rounded up."""
    assert parse(value, now=NOW) == expected


@given(
    value=st.none()
    | st.text()
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    | st.from_regex(r"[0-9 :,A-Za-z+.-]{0,40}", fullmatch=True),
    now=st.floats(min_value=0, max_value=4e9),
    cap=st.integers(min_value=0, max_value=10**6),
)
@example(value="Mon, 01 Jan 0001 00:00:00 +2359", now=0.0, cap=5)
@example(value="Mon, 01 Jan 2024 00:00:00 -9999", now=0.0, cap=5)
def test_the_parser_is_total_and_bounded(value: str | None, now: float, cap: int) -> None:
    """P12: no input raises, and what comes out lies in [0, cap]."""
    parsed = parse(value, now=now, cap=cap)
    assert parsed is None or 0 <= parsed <= cap
