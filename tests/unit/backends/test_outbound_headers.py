"""What may stand in the headers that go out: threats T08, T11, T12, T13 and T24."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends import headers as outbound
from shared.model import Headers

JSON = frozenset({"application/json"})
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="no content type at all"),
        pytest.param("", id="an empty one"),
        pytest.param("text/plain", id="one that the policy does not take"),
        pytest.param("application/x-www-form-urlencoded", id="a form"),
        pytest.param("multipart/form-data; boundary=x", id="multipart"),
        pytest.param("application/jsonp", id="a longer name"),
        pytest.param("application/json, text/plain", id="two joined by a comma"),
        pytest.param("application/json; charset=utf-16", id="another charset"),
        pytest.param("application/json; charset=utf-7", id="UTF-7"),
        pytest.param("application/json; charset=", id="an empty charset"),
        pytest.param('application/json; charset="utf-8', id="a quote that never closes"),
        pytest.param("application/json; version=1", id="an unknown parameter"),
        pytest.param("application/json; charset=utf-8; x=y", id="an unknown parameter after a known one"),
        pytest.param(
            "application/json; charset=utf-8\r\nx-evil: 1", id="a header hidden behind a line break"
        ),
        pytest.param("application/json\x00", id="a null"),
    ],
)
def test_t08_what_is_no_accepted_carrier_is_none(value: str | None) -> None:
    """T08: whatever is not exactly an accepted type with a UTF-8 charset or a boundary cannot be sent."""
    assert outbound.content_type(value, JSON) is None


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/json;charset=UTF-8", "application/json; charset=UTF-8"),
        ('application/json ; charset="utf-8"', 'application/json; charset="utf-8"'),
    ],
)
def test_an_accepted_type_goes_on_in_one_spelling(value: str, sent: str) -> None:
    """An accepted type is sent in lower case, with its parameters as the caller wrote them."""
    assert outbound.content_type(value, JSON) == sent


def test_a_boundary_goes_on_where_the_policy_takes_multipart() -> None:
    """A policy that lists multipart gets the boundary through, since the body cannot be read without it."""
    accepted = frozenset({"multipart/form-data"})
    assert (
        outbound.content_type("multipart/form-data; boundary=a-b", accepted)
        == "multipart/form-data; boundary=a-b"
    )


@pytest.mark.parametrize(
    "value", ["application/json; char\u017fet=utf-8", "application/json; charset=utf-8\u00a0"]
)
def test_t11_no_letter_beyond_ascii_passes_for_one_of_its_likes(value: str) -> None:
    """T11: the long s matches `s` when case is ignored beyond ASCII; what is sent is ASCII or nothing."""
    sent = outbound.content_type(value, JSON)
    assert sent is None or sent.isascii()


@given(st.text(max_size=80) | st.text(max_size=20).map("application/json;".__add__))
def test_p5_t11_a_content_type_that_is_sent_is_printable_ascii(value: str) -> None:
    """P5, T11: any text at all leads to nothing, or to printable ASCII that begins with an accepted type."""
    sent = outbound.content_type(value, JSON)
    assert sent is None or re.fullmatch(r"application/json(; [\x20-\x7e]+)*", sent)


@pytest.mark.parametrize("value", ["", "a\x00b", "a\r\nb", "\u2028", "caf\u00e9", "x" * 257])
def test_t11_an_accept_that_is_not_short_printable_text_becomes_anything(value: str) -> None:
    """T11: an Accept with control bytes, letters beyond ASCII or of great length is replaced, not sent."""
    assert outbound.accept(Headers([("accept", value)])) == "*/*"


def test_an_accept_that_came_twice_becomes_anything() -> None:
    """Of two Accept headers neither is believed."""
    assert outbound.accept(Headers([("Accept", "a/b"), ("accept", "c/d")])) == "*/*"


def test_a_plain_accept_goes_on() -> None:
    """The caller's Accept is sent when it is plain; without one, anything is accepted."""
    assert outbound.accept(Headers([("Accept", "application/json")])) == "application/json"
    assert outbound.accept(Headers([])) == "*/*"


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE.upper(),
        "ff" + TRACE[2:],
        TRACE + "-extra",
        TRACE + "\n",
        " " + TRACE,
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        TRACE + "," + TRACE,
    ],
)
def test_t24_a_traceparent_of_another_form_is_dropped(value: str) -> None:
    """T24: what is not exactly a W3C traceparent never goes on."""
    assert outbound.traceparent(Headers([("traceparent", value)])) is None


def test_t24_a_well_formed_traceparent_goes_on_once() -> None:
    """T24: one well-formed traceparent is sent; of two, none."""
    assert outbound.traceparent(Headers([("Traceparent", TRACE)])) == TRACE
    assert outbound.traceparent(Headers([("traceparent", TRACE), ("traceparent", TRACE)])) is None


@pytest.mark.parametrize("value", [None, "", "a\r\nset-cookie: x=y", "\x7f", "é", "x" * 257])
def test_i03_a_value_of_the_model_that_is_not_plain_is_left_out(value: str | None) -> None:
    """I03: a header value of the model's side with anything but short printable ASCII is not relayed."""
    assert outbound.printable(value) is None
