"""What was checked is what is sent, but for the members that the gate sets: threats T06 and T07."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends.jsonbody import rewritten
from shared.strictjson import parse_object

_texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from(["model", "stream", "stream_options", "a", ""]) | st.text(
    "abc_-. :{}[],'/", max_size=8
)
"""Written without escapes, as the parser takes names."""
_space = st.sampled_from(["", " ", "\n", "\t\r\n "])


@dataclass(frozen=True)
class Written:
    """An object's text in pieces: what opens it, each member's name and value as written, what closes it."""

    opening: str
    members: dict[str, tuple[str, str, str]]
    """What stands before each value, the value, and what stands behind it."""
    closing: str

    def text(self) -> str:
        return self.opening + ",".join("".join(pieces) for pieces in self.members.values()) + self.closing

    def changed(self, changes: dict[str, object]) -> str:
        """Return the text with changes, made from the pieces and not from a parser's spans."""
        added = [
            f"{_compact(name)}:{_compact(changes[name])}" for name in changes if name not in self.members
        ]
        kept = [
            before + (_compact(changes[name]) if name in changes else value) + after
            for name, (before, value, after) in self.members.items()
        ]
        inner = ",".join(added) + ("," if added and kept else "")
        return self.opening + inner + ",".join(kept) + self.closing


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@st.composite
def objects(draw: st.DrawFn) -> Written:
    """Return objects with blanks and escapes wherever JSON lets them stand."""
    members = {}
    for name, value in draw(st.dictionaries(_names, _values, max_size=5)).items():
        shown = json.dumps(name, ensure_ascii=draw(st.booleans()))
        members[name] = (
            f"{draw(_space)}{shown}{draw(_space)}:{draw(_space)}",
            json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))),
            draw(_space),
        )
    inside = "" if members else draw(_space)
    return Written(f"{draw(_space)}{{", members, inside + "}" + draw(_space))


@pytest.mark.parametrize(
    ("body", "changes", "sent"),
    [
        (b'{"model":"gpt"}', {"model": "gpt-41"}, b'{"model":"gpt-41"}'),
        (b' { "a" : 1 , "model" : "gpt" } ', {"model": "d"}, b' { "a" : 1 , "model" : "d" } '),
        (b'{"a":{"model":"gpt"},"model":"gpt"}', {"model": "d"}, b'{"a":{"model":"gpt"},"model":"d"}'),
        (
            b'{"a":"\\"model\\":\\"gpt\\"","model":"gpt"}',
            {"model": "d"},
            b'{"a":"\\"model\\":\\"gpt\\"","model":"d"}',
        ),
        ('{"é":"😀","model":"gpt"}'.encode(), {"model": "d"}, '{"é":"😀","model":"d"}'.encode()),
        (b"{}", {"model": "d"}, b'{"model":"d"}'),
        (b" {\n}", {"model": "d"}, b' {"model":"d"\n}'),
        (b'{ "a":1}', {"model": "d", "b": [1]}, b'{"model":"d","b":[1], "a":1}'),
        (b'{"b":1,"a":2}', {"a": 3, "b": 4}, b'{"b":4,"a":3}'),
        (
            b'{"stream_options":{"include_usage":false}}',
            {"stream_options": {"include_usage": True}},
            b'{"stream_options":{"include_usage":true}}',
        ),
        (b'{"a":1}', {}, b'{"a":1}'),
    ],
)
def test_only_the_named_values_change(body: bytes, changes: dict[str, object], sent: bytes) -> None:
    """T06: the member at the top is meant, wherever else its name stands; blanks and escapes stay as they came."""
    assert rewritten(parse_object(body, max_depth=8), changes) == sent


@pytest.mark.parametrize("value", ['"', "\\", "\u2028", "\n", "é", "</script>", "\x00"])
def test_what_is_put_in_is_escaped(value: str) -> None:
    """T07: no value of the policy can end the string that it stands in."""
    sent = rewritten(parse_object(b'{"model":"gpt"}', max_depth=8), {"model": value, "new": value})
    assert sent.isascii()
    assert parse_object(sent, max_depth=8).values == {"new": value, "model": value}


@given(objects(), st.dictionaries(_names, _values, max_size=3))
def test_the_result_says_the_old_and_the_changes(written: Written, changes: dict[str, object]) -> None:
    """T06, T07: whoever parses the result reads the old values with the changes, and every other byte stays."""
    parsed = parse_object(written.text().encode(), max_depth=50)
    sent = rewritten(parsed, changes)
    assert sent == written.changed(changes).encode()
    assert parse_object(sent, max_depth=50).values == json.loads(sent) == {**parsed.values, **changes}


@given(objects())
def test_without_changes_the_bytes_are_the_bytes(written: Written) -> None:
    """T07: what was checked is what is sent."""
    data = written.text().encode()
    assert rewritten(parse_object(data, max_depth=50), {}) == data


def test_a_number_that_json_lacks_is_never_put_in() -> None:
    """T07: what the gate writes is as strict as what it reads."""
    with pytest.raises(ValueError, match="JSON"):
        rewritten(parse_object(b"{}", max_depth=8), {"a": float("nan")})
