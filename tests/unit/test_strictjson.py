"""JSON that two readers cannot read differently."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.strictjson import (
    MAX_CONTAINERS,
    MAX_MEMBERS,
    MAX_NAMES,
    StrictJsonError,
    loads,
    loads_object,
    parse_object,
)
from tests.unit.vectors.corpora import files, needs_vectors

REFUSED = {
    "a name that comes twice": b'{"a":1,"a":1}',
    "a name that comes twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a name that comes twice, far down": b'[{"x":[{"a":1,"b":2,"a":3}]}]',
    "NaN": b"NaN",
    "Infinity": b"[Infinity]",
    "minus Infinity": b'{"a":-Infinity}',
    "a number that overflows": b"1e400",
    "a negative number that overflows": b"[-1e999999]",
    "an integer of too many digits": b"1" + b"0" * 64,
    "an integer beyond what int takes": b"9" * 10_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "an overlong encoding": b'"\xc0\x80"',
    "a surrogate encoded in UTF-8": b'"\xed\xa0\x80"',
    "the first half of a pair, escaped": b'["\\ud800"]',
    "the second half of a pair, escaped": b'["\\uDC00"]',
    "halves in the wrong order": b'"\\udc00\\ud800"',
    "half a pair as a name": b'{"\\ud800":1}',
    "trailing data": b"{} {}",
    "a trailing NUL": b"{}\x00",
    "a trailing comma": b"[1,]",
    "a comment": b"[1] // one",
    "single quotes": b"{'a':1}",
    "a raw line feed in a string": b'"a\nb"',
    "a leading zero": b"01",
    "a plus sign": b"+1",
    "no digits after the point": b"1.",
    "an unfinished string": b'"abc',
    "an unfinished escape": b'"\\',
    "other white space": b"\x0c{}",
    "a no-break space": b"\xc2\xa0{}",
    "nothing": b"",
    "only white space": b" ",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(data: bytes) -> None:
    """S09: what is malformed, or could be read in two ways, is refused with the one error."""
    with pytest.raises(StrictJsonError):
        loads(data)
    for around in (data, b'{"m":' + data + b"}"):
        with pytest.raises(StrictJsonError):
            parse_object(around, max_depth=8)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' {"a":[1,2.5,-0,true,false,null,"\\u00e9\\/"]} ', {"a": [1, 2.5, 0, True, False, None, "é/"]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"a":{"a":1},"b":{"a":1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b'{"e\xcc\x81":1,"\xc3\xa9":2}', {"e\u0301": 1, "\u00e9": 2}),
        (b"1" + b"0" * 63, 10**63),
        (b'"[[[[[[[[[[{{{{{{{{"', "[" * 10 + "{" * 8),
    ],
)
def test_what_is_json_is_taken_as_it_is(data: bytes, value: object) -> None:
    """Nothing lawful is lost, and keys that differ in normal form only stay two keys."""
    assert loads(data) == value


def test_depth_counts_to_the_limit_and_no_further() -> None:
    """S09: eight deep is taken, nine is not, brackets in strings do not count."""
    assert loads(b"[" * 8 + b"]" * 8)
    for data in (b"[" * 9 + b"]" * 9, b'{"a":' * 9 + b"1" + b"}" * 9, b'[[[[[[[["x\\"]]",[]]]]]]]]'):
        with pytest.raises(StrictJsonError):
            loads(data)
    assert loads(b"[" * 500 + b"]" * 500, max_depth=500)


def test_many_shallow_brackets_are_not_deep() -> None:
    """A wide document is no deep one."""
    assert loads(b"[" + b"{}," * 10_000 + b'{"]":"[["}]', max_depth=2)


def test_no_depth_ends_in_a_recursion_error() -> None:
    """S09: even with a limit beyond the interpreter's own there is one kind of error."""
    with pytest.raises(StrictJsonError):
        loads(b"[" * 1_000_000, max_depth=10_000_000)


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 1_000_000,
        b'[[[[[[[[["' + b'\\"' * 500_000,
        b'[[[[[[[[["' + b"\\" * 999_999,
        b"[[[[[[[[[" + b'"a' * 500_000,
        b'{"a":' * 200_000,
    ],
)
def test_a_megabyte_of_malice_costs_little(hostile: bytes) -> None:
    """D08, S09: nothing takes more than linear time."""
    began = time.process_time()
    with pytest.raises(StrictJsonError):
        loads(hostile)
    with pytest.raises(StrictJsonError):
        parse_object(hostile, max_depth=8)
    assert time.process_time() - began < 0.5


def test_the_error_does_not_carry_the_text() -> None:
    """What is refused may be a token: it must not reach a log by way of the error."""
    with pytest.raises(StrictJsonError) as caught:
        loads(b'{"secret-marker": }')
    assert "secret-marker" not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("data", [b"[]", b'"a"', b"1", b"null"])
def test_an_object_is_wanted(data: bytes) -> None:
    """loads_object and parse_object take no other value."""
    with pytest.raises(StrictJsonError):
        loads_object(data)
    with pytest.raises(StrictJsonError):
        parse_object(data, max_depth=8)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_one_error(data: bytes) -> None:
    """Total: whatever comes, nothing else is raised."""
    try:
        loads(data)
    except StrictJsonError:
        return


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_values, st.booleans())
def test_what_json_writes_is_read_back(value: object, ascii_only: bool) -> None:
    """Round trip, escaped or not."""
    assert loads(json.dumps(value, ensure_ascii=ascii_only).encode(), max_depth=100) == value


def both(data: bytes, *, max_depth: int = 8) -> None:
    """Assert that parse_object takes what loads_object takes, says the same of it, and knows where it stands.

    But for objects of which a name at the top is written with escapes: these it refuses.
    """
    try:
        expected = loads_object(data, max_depth=max_depth)
    except StrictJsonError:
        with pytest.raises(StrictJsonError):
            parse_object(data, max_depth=max_depth)
        return
    try:
        parsed = parse_object(data, max_depth=max_depth)
    except StrictJsonError:
        assert b"\\" in data
        return
    assert repr(parsed.values) == repr(expected)
    assert parsed.text.encode() == data
    assert parsed.text[: parsed.opened].strip() == "{"
    assert parsed.spans.keys() == expected.keys()
    for name, (start, end) in parsed.spans.items():
        assert parsed.text[start:end].strip(" \t\r\n") == parsed.text[start:end]
        assert repr(loads(parsed.text[start:end].encode(), max_depth=max_depth)) == repr(expected[name])


@pytest.mark.parametrize(
    "data",
    [b'{"\\u006dodel":"gpt"}', b'{"model":"gpt","\\u0078":1}', b'{"a\\/b":1}', b'{"a":1,"\\n":2}'],
)
def test_t07_a_name_at_the_top_that_is_written_with_escapes_is_refused(data: bytes) -> None:
    """T07: who looks for `"model"` in the bytes and who reads the JSON must find the same."""
    loads_object(data)
    with pytest.raises(StrictJsonError):
        parse_object(data, max_depth=8)


@pytest.mark.parametrize(
    "data",
    [
        *REFUSED.values(),
        b"{}",
        b" { \n } ",
        b'{"a":1}',
        b'\t{ "a" : [1, {"b":"}"}] ,\r\n"b":"\\u00e9\\"" } ',
        b'{"":""}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a":1 "b":2}',
        b'{"a" 1}',
        b'{"a":}',
        b"{a:1}",
        b'{"a":1',
        b'{"a":01}',
        b'{"a":-}',
        b'{"a":1}}',
        b'{"a\n":1}',
        b'{"a":1.}',
        b'{"a":tru}',
        b'{"a":1}\xc2\xa0',
        '{"é":"😀","b":2}'.encode(),
    ],
)
def test_an_object_parsed_in_place_is_the_object(data: bytes) -> None:
    """T07: two ways to parse, one reading."""
    both(data)


@given(
    st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                '"',
                '"a"',
                '"b"',
                '"\\u0061"',
                "1",
                "-0",
                "1e5",
                "1e999",
                "NaN",
                "null",
                " ",
                "\n",
                "\\",
                "é",
                "\ufeff",
            ]
        ),
        max_size=14,
    )
)
def test_whatever_is_put_together_is_read_alike(tokens: list[str]) -> None:
    """T07: also where it is hardly JSON any more."""
    both("".join(tokens).encode())
    both(('{"a":' + "".join(tokens) + "}").encode())


@given(st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), _values, max_size=5), st.booleans())
def test_any_object_is_read_alike(value: dict[str, object], ascii_only: bool) -> None:
    """T07: every lawful object, its members where they stand."""
    both(json.dumps(value, ensure_ascii=ascii_only).encode(), max_depth=100)


@needs_vectors
@pytest.mark.parametrize(
    "path",
    files("jsontestsuite/test_parsing") + files("jsontestsuite/test_transform"),
    ids=lambda path: path.stem,
)
def test_files_of_the_public_suite_are_read_alike(path: Path) -> None:
    """T07: JSONTestSuite, as it is and as the value of a member."""
    both(path.read_bytes(), max_depth=500)
    both(b'{ "a" :' + path.read_bytes() + b"}", max_depth=501)


def test_an_object_has_no_more_members_than_can_be_walked() -> None:
    """D08: a megabyte of members is refused before each has been looked at."""
    assert len(parse_object(_wide(MAX_MEMBERS), max_depth=8).values) == MAX_MEMBERS
    began = time.process_time()
    for count in (MAX_MEMBERS + 1, 200_000):
        with pytest.raises(StrictJsonError):
            parse_object(_wide(count), max_depth=8)
    assert time.process_time() - began < 0.5


def _wide(count: int) -> bytes:
    return json.dumps({f"a{number}": 0 for number in range(count)}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"{}," * MAX_CONTAINERS + b"{}]",
        b"[" + b"[]," * MAX_CONTAINERS + b"[]]",
        b"{" + b",".join(b'"%d":1' % number for number in range(MAX_NAMES + 1)) + b"}",
    ],
    ids=["objects", "arrays", "names"],
)
def test_d08_b8_more_values_than_their_bytes_are_worth_are_refused(data: bytes) -> None:
    """D08, promise B8: a body of millions of empty objects would take twenty times its own memory."""
    with pytest.raises(StrictJsonError, match="too many values"):
        loads(data)


def test_brackets_in_a_text_are_no_values() -> None:
    """Source code in a prompt may have as many as it likes."""
    text = "{[:" * (MAX_CONTAINERS + MAX_NAMES)
    assert loads(json.dumps([text]).encode()) == [text]
