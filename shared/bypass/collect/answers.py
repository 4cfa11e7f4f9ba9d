"""Azure's answers: one JSON object each, a page of a list or an error. What is none of these is Unreadable."""

from __future__ import annotations

import json
import re
from typing import Final

Json = dict[str, object]

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}")


class Unreadable(Exception):
    """Something could not be read. `why` is for people, and holds nothing of the answer but its status and error code."""

    def __init__(self, why: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.status: Final = status
        self.code: Final = code


def refused(status: int, data: bytes) -> Unreadable:
    """Return the fault that an answer other than 200 is; of its body the error's code alone is looked at."""
    code = _code(data)
    return Unreadable(f"{status} {code}" if code else str(status), status=status, code=code)


def _code(data: bytes) -> str | None:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None  # of something in between, such as a proxy: its status says all there is to say
    match value:
        case {"error": {"code": str(found)}} | {"code": str(found)} if _CODE.fullmatch(found):
            return found
        case _:
            return None


def one(data: bytes) -> Json:
    """Return the object that an answer is; a name that comes twice in it could be read in two ways, and is refused."""
    try:
        value: object = json.loads(data, object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise Unreadable("the answer is not an object")
    return value


def _members(pairs: list[tuple[str, object]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice")
    return members


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def listed(page: Json) -> list[Json]:
    """Return the objects that a page lists."""
    values = page.get("value")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Unreadable("the answer is not a list of objects")
    return values
