"""A model request's body, parsed: JSON and forms are told alike, and rewritten on the parsed places only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends.multipart import Upload
from shared.backends.payload import MAX_DEPTH, Form, Json
from shared.problem import AskedWrongly, Slug

JSON = "application/json"
FORM_TYPE = "multipart/form-data; boundary=b0und"
FORM = (
    b'--b0und\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt\r\n'
    b'--b0und\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xffgpt\r\n--b0und--\r\n'
)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b'"x"', b"{", b"{}{}", b"{} x", b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":NaN}',
        b'{"a":-Infinity}', b'{"a":1e999}', b"{'a':1}", b'{"a":1,}', b'{"a":01}', b"\xef\xbb\xbf{}", b'{"a":"\xff"}',
        b'{"a":"\\ud83d"}', "{}".encode("utf-16"), b'{"a":' + b"9" * 100 + b"}", b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    ],
)  # fmt: skip
def test_t07_what_is_not_strict_json_is_400_with_a_fixed_text(data: bytes) -> None:
    """T07: one object, in UTF-8, every name once, no NaN, bounded depth; the refusal quotes nothing."""
    with pytest.raises(AskedWrongly) as refused:
        Json.parse(data, JSON)
    assert refused.value.slug is Slug.INVALID_REQUEST
    assert (
        refused.value.detail == "The body is not one JSON object, in UTF-8, with every name once and no NaN."
    )
    assert refused.value.__cause__ is None


def test_json_tells_its_members_and_keeps_its_bytes() -> None:
    """What is checked is what was parsed, and what can be sent is what came."""
    data = b' { "a" : [1, {"\\u0062": null}] , "c":"\\u00e9" } '
    body = Json.parse(data, JSON)
    assert dict(body.values) == {"a": [1, {"b": None}], "c": "é"}
    assert (body.data, body.content_type) == (data, JSON)


def test_a_form_tells_its_texts_and_its_file_without_its_content() -> None:
    """T08: a form is told as JSON is; of a file only its size."""
    body = Form.parse(FORM, FORM_TYPE)
    assert dict(body.values) == {"model": "gpt", "file": Upload(size=5)}
    assert (body.data, body.content_type) == (FORM, FORM_TYPE)


def test_what_is_rewritten_is_the_member_in_its_place_or_a_new_first_one() -> None:
    """T07: other bytes stay; a form's new values are its texts."""
    body = Json.parse(b'{"model" : "gpt", "x":"gpt"}', JSON)
    assert body.rewritten({"model": "blue"}) == b'{"model" : "blue", "x":"gpt"}'
    assert json.loads(body.rewritten({"model": "blue", "new": {"a": True}})) == {
        "new": {"a": True},
        "model": "blue",
        "x": "gpt",
    }
    form = Form.parse(FORM, FORM_TYPE)
    assert form.rewritten({"model": "blue"}) == FORM.replace(b"\r\n\r\ngpt\r\n", b"\r\n\r\nblue\r\n")


def test_t07_a_new_value_cannot_end_the_part_that_it_stands_in() -> None:
    """T07, T08: a value that holds the caller's boundary is refused, so that no caller can make the gate write a part."""
    with pytest.raises(AskedWrongly):
        Form.parse(FORM, FORM_TYPE).rewritten({"model": "gpt-b0und"})


NAMES = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz_0123456789"), max_size=9)
"""Names at the top are refused where they are written with escapes; no field has need of any."""
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    VALUES,
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_p7_a_rewritten_body_reads_as_what_was_checked_but_for_the_change(
    members: dict[str, object], value: object, escaped: bool
) -> None:
    """P7: whoever reads the result reads the checked members, and the new value once."""
    data = json.dumps(members, ensure_ascii=escaped).encode()
    body = Json.parse(data, JSON)
    assert body.data == data
    assert dict(body.values) == members
    again = Json.parse(body.rewritten({"model": value}), JSON)
    assert dict(again.values) == {**members, "model": value}
