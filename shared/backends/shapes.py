"""The one way to look into a request's values and to refuse them: what is told holds none of the caller's text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Never

from shared.fieldnames import FORBIDDEN, KNOWN, MODEL_NAMES, REFERENCES, REFUSED, folded, is_field
from shared.problem import AskedWrongly, Slug


def needs(name: str, named: frozenset[str]) -> None:
    """Raise AskedWrongly unless the policy names `name`."""
    if name in named and name not in FORBIDDEN:
        return
    if name in REFUSED:
        refuse(f"The request uses {name}, which the policy does not let in.")
    refuse("The request uses something that is not known here, and that the policy does not let in.")


def unknown(name: str, named: frozenset[str]) -> None:
    """Raise AskedWrongly for a field that no table has, unless the policy names it; never tell the caller's text."""
    if name in named and is_field(name) and name not in FORBIDDEN | REFERENCES:
        return
    if name not in KNOWN and folded(name) in KNOWN:
        refuse("A field's name is written in another way than the one that is known.")
    if name in REFUSED | MODEL_NAMES:
        refuse(f"The field {name} is not taken here.")
    refuse("The request holds an unknown field.")


def members(value: object, known: Iterable[str], named: frozenset[str]) -> Mapping[str, object]:
    """Return an object whose members are all known or named by the policy; raise AskedWrongly for anything else."""
    found = an_object(value)
    for name in found.keys() - known:
        unknown(name, named)
    return found


def an_object(value: object) -> Mapping[str, object]:
    """Return `value`, a JSON object; raise AskedWrongly."""
    if not isinstance(value, dict):
        refuse("A field of the request has the wrong type.")
    return value


def a_list(value: object) -> list[object]:
    """Return `value`, a JSON array; raise AskedWrongly."""
    if not isinstance(value, list):
        refuse("A field of the request has the wrong type.")
    return value


def a_text(value: object) -> str:
    """Return `value`, a string; raise AskedWrongly."""
    if not isinstance(value, str):
        refuse("A field of the request has the wrong type.")
    return value


def refuse(detail: str) -> Never:
    """Raise the 400 that tells `detail`, which holds none of the caller's text."""
    raise AskedWrongly(Slug.INVALID_REQUEST, detail=detail)
