"""JSON as RFC 8259 has it, and stricter where parsers differ: what two readers could read differently is refused.

Refused besides malformed JSON: text that is not strict UTF-8, a byte order mark, a name that comes twice in an object,
NaN and Infinity and numbers that overflow to them, integers of too many digits, escapes that leave half a surrogate
pair, and nesting beyond a given depth (threats S09, T07).
"""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

MAX_DIGITS: Final = 64
"""Digits of an integer: far more than any id or time has, far less than what makes `int` slow."""

# A string that never ends is cut out too: else each quote in it would be tried as a beginning, in quadratic time.
_STRINGS: Final = re.compile(r'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^][{}]+")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJsonError(ValueError):
    """The bytes are not the JSON that this module takes."""


def loads(data: bytes, *, max_depth: int = 8) -> object:
    """Return the value of one JSON text; objects become dicts, arrays lists.

    `max_depth` counts arrays and objects around the innermost value: `[]` has depth 1. Raise StrictJsonError for all
    that is refused, and nothing else.
    """
    try:
        text = data.decode("utf-8", "strict")
        _bound_depth(text, max_depth)
        value: object = _DECODER.decode(text)
        if _SURROGATE_ESCAPE.search(text):
            # Two halves that make a pair are one character by now; a half that is left cannot be encoded.
            json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:
        # RecursionError is no ValueError: it can only come with a depth limit beyond the interpreter's own.
        # The parser's own errors carry the text, which must not reach a log.
        raise StrictJsonError(type(error).__name__) from None
    return value


def loads_object(data: bytes, *, max_depth: int = 8) -> dict[str, object]:
    """Return the members of one JSON object; raise StrictJsonError as `loads` does, and for any other value."""
    value = loads(data, max_depth=max_depth)
    if not isinstance(value, dict):
        raise StrictJsonError("not an object")
    return value


def _bound_depth(text: str, max_depth: int) -> None:
    """Refuse deep nesting before the parser goes down into it.

    Strings are cut out by the grammar's own rule, so that up to the first error of the text, where the parser stops,
    the brackets that are left are those that the parser sees.
    """
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for bracket in _NO_BRACKETS.sub("", _STRINGS.sub("", text)):
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
