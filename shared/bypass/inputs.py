"""JSON that people hand in: decoded so that two readers cannot read it differently."""

from __future__ import annotations

import json
from typing import NoReturn


def decoded(data: bytes) -> object:
    """Return the value of the JSON text `data`, UTF-8 or what Windows makes of it (a byte order mark, UTF-16).

    Raise ValueError for what is no JSON, for a name that comes twice in an object, and for depth beyond reading.
    """
    try:
        value: object = json.loads(data, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice in an object")
    return members


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
