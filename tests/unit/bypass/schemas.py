"""A small checker of JSON Schema, for the words that the published schema is written with and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

Json = dict[str, Any]

_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
_SAYS_NOTHING = {"type", "$schema", "$defs", "description", "title", "default"}
_FORMATS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
}


def faults(value: Any, schema: Json, root: Json, place: str = "$") -> Iterator[str]:
    """Yield what is wrong with `value` by `schema`, a part of `root`; raise KeyError for a word that is not known."""
    kind = schema.get("type")
    if kind is not None and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        yield f"{place}: is not of type {kind}"
        return
    for word in schema.keys() - _SAYS_NOTHING:
        yield from _WORDS[word](value, schema, root, place)


def _ref(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    yield from faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)


def _any_of(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    if all(list(faults(value, one, root, place)) for one in schema["anyOf"]):
        yield f"{place}: is none of those it may be"


def _enum(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    if value not in schema["enum"]:
        yield f"{place}: {value!r} is not one of {schema['enum']}"


def _required(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    yield from (f"{place}: lacks {name}" for name in schema["required"] if name not in value)


def _properties(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    for name in schema["properties"].keys() & value.keys():
        yield from faults(value[name], schema["properties"][name], root, f"{place}.{name}")


def _others(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    for name in value.keys() - schema.get("properties", {}).keys():
        yield from faults(value[name], schema["additionalProperties"], root, f"{place}.{name}")


def _items(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    for at, item in enumerate(value):
        yield from faults(item, schema["items"], root, f"{place}[{at}]")


def _format(value: Any, schema: Json, root: Json, place: str) -> Iterator[str]:
    try:
        _FORMATS[schema["format"]](value)
    except ValueError:
        yield f"{place}: is no {schema['format']}"


_WORDS = {
    "$ref": _ref,
    "anyOf": _any_of,
    "enum": _enum,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _others,
    "items": _items,
    "format": _format,
}
