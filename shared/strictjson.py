"""JSON as RFC 8259 has it, and stricter where parsers differ: what two readers could read differently is refused.

Refused besides malformed JSON: text that is not strict UTF-8, a byte order mark, a name that comes twice in an object,
NaN and Infinity and numbers that overflow to them, integers of too many digits, escapes that leave half a surrogate
pair, and nesting beyond a given depth (threats S09, T07).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn

MAX_DIGITS: Final = 64
"""Digits of an integer: far more than any id or time has, far less than what makes `int` slow."""
MAX_MEMBERS: Final = 1024
"""Top-level members that `parse_object` walks, one by one: far more than any request has."""

MAX_CONTAINERS: Final = 20_000
"""Arrays and objects in a text: each takes many times the memory of the two bytes that it is written with (promise B8)."""
MAX_NAMES: Final = 100_000
"""Names of members in a text, for the same reason."""

# A string that never ends is cut out too: else each quote in it would be tried as a beginning, in quadratic time.
_STRINGS: Final = re.compile(r'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^][{}]+")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_FAULTS: Final = (ValueError, RecursionError)
"""What parsing raises. RecursionError is no ValueError: it can only come with a depth limit beyond the interpreter's."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class StrictJsonError(ValueError):
    """The bytes are not the JSON that this module takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictObject:
    """One parsed JSON object that still knows where its members stand. Positions count characters of `text`."""

    text: str
    values: dict[str, object]
    """The top-level members, names unescaped."""
    spans: dict[str, tuple[int, int]]
    """Where each top-level member's value begins and ends, without white space around it."""
    opened: int
    """Where a new first member would begin: just after the opening brace."""


def loads(data: bytes, *, max_depth: int = 8) -> object:
    """Return the value of one JSON text; objects become dicts, arrays lists.

    `max_depth` counts arrays and objects around the innermost value: `[]` has depth 1. Raise StrictJsonError for all
    that is refused, and nothing else.
    """
    try:
        text = _text(data, max_depth)
        value: object = _DECODER.decode(text)
        _bound_surrogates(text, value)
    except _FAULTS as error:
        raise _refusal(error) from None
    return value


def loads_object(data: bytes, *, max_depth: int = 8) -> dict[str, object]:
    """Return the members of one JSON object; raise StrictJsonError as `loads` does, and for any other value."""
    value = loads(data, max_depth=max_depth)
    if not isinstance(value, dict):
        raise StrictJsonError("not an object")
    return value


def parse_object(data: bytes, *, max_depth: int) -> StrictObject:
    """Return one JSON object with the places of its members' values.

    Raise StrictJsonError as `loads_object` does, and for more than MAX_MEMBERS members at the top, or one whose name is
    written with escapes: who compares bytes would not find it.
    """
    try:
        text = _text(data, max_depth)
        at = _skip(text, 0)
        if not text.startswith("{", at):
            raise StrictJsonError("not an object")
        values, spans, end = _members(text, at + 1)
        if _skip(text, end) != len(text):
            raise StrictJsonError("trailing data")
        _bound_surrogates(text, values)
    except _FAULTS as error:
        raise _refusal(error) from None
    return StrictObject(text=text, values=values, spans=spans, opened=at + 1)


def _members(text: str, at: int) -> tuple[dict[str, object], dict[str, tuple[int, int]], int]:
    """Walk the top-level members from `at`; return their values, the values' spans, and where the object ends."""
    values: dict[str, object] = {}
    spans: dict[str, tuple[int, int]] = {}
    at = _skip(text, at)
    if text.startswith("}", at):
        return values, spans, at + 1
    while True:
        if not text.startswith('"', at):
            raise StrictJsonError("a name is wanted")
        opened = at
        name, at = _DECODER.raw_decode(text, opened)
        if "\\" in text[opened:at]:
            raise StrictJsonError("a name is written with escapes")
        if name in values:
            raise StrictJsonError("a name comes twice")
        if len(values) == MAX_MEMBERS:
            raise StrictJsonError("too many members")
        at = _skip(text, at)
        if not text.startswith(":", at):
            raise StrictJsonError("a colon is wanted")
        start = _skip(text, at + 1)
        values[name], end = _DECODER.raw_decode(text, start)
        spans[name] = (start, end)
        at = _skip(text, end)
        if text.startswith("}", at):
            return values, spans, at + 1
        if not text.startswith(",", at):
            raise StrictJsonError("a comma is wanted")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _refusal(error: Exception) -> StrictJsonError:
    # The parser's own errors carry the text, which must not reach a log.
    return error if isinstance(error, StrictJsonError) else StrictJsonError(type(error).__name__)


def _text(data: bytes, max_depth: int) -> str:
    text = data.decode("utf-8", "strict")
    _bound(text, max_depth)
    return text


def _bound_surrogates(text: str, value: object) -> None:
    if _SURROGATE_ESCAPE.search(text):
        # Two halves that make a pair are one character by now; a half that is left cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")


def _bound(text: str, max_depth: int) -> None:
    """Refuse deep nesting, and what would take far more memory than its bytes, before the parser goes down into it.

    Strings are cut out by the grammar's own rule, so that up to the first error of the text, where the parser stops,
    the brackets that are left are those that the parser sees.
    """
    if text.count("[") + text.count("{") <= max_depth and text.count(":") <= MAX_NAMES:
        return
    bare = _STRINGS.sub("", text)
    if bare.count("[") + bare.count("{") > MAX_CONTAINERS or bare.count(":") > MAX_NAMES:
        raise StrictJsonError("too many values")
    depth = 0
    for bracket in _NO_BRACKETS.sub("", bare):
        if bracket in "[{":
            depth += 1
            if depth > max_depth:
                raise StrictJsonError("too deep")
        else:
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a name comes twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise StrictJsonError("too many digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise StrictJsonError("a number beyond any float")
    return value


def _constant(_name: str) -> NoReturn:
    raise StrictJsonError("NaN and Infinity are no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=True
)
