"""Parsed TOML into the structs of `document.py`, every fault collected: msgspec itself stops at the first."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from copy import replace
from typing import Final

import msgspec.inspect as shape
from msgspec import UNSET, UnsetType

from shared.policy.checks import show
from shared.ports import Fault

_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_Table = shape.StructType | shape.UnionType


def read[T](table: dict[str, object], form: type[T]) -> tuple[T, list[Fault]]:
    """Return `table` as the struct `form`, UNSET where it is absent or faulty, and the faults."""
    reader = _Reader()
    struct = shape.type_info(form)
    if not isinstance(struct, shape.StructType):
        raise TypeError(form)
    value = reader.struct(table, struct, "")
    if not isinstance(value, form):
        raise TypeError(form)
    return value, reader.faults


def at(place: str, key: str) -> str:
    """Return the place of `key` in the table at `place`, with the quotes that TOML wants."""
    part = key if _BARE.fullmatch(key) else show(key)
    return f"{place}.{part}" if place else part


def _quotable(form: shape.Type) -> bool:
    """Say whether a fault may show what stands there (`values.address`)."""
    return not isinstance(form, shape.Metadata) or (form.extra or {}).get("quoted", True) is True


def _kind(table: dict[str, object], form: shape.UnionType) -> shape.StructType:
    """Return the struct of the table's kind, among whose fields is what tells it: one of all the kinds."""
    kinds = {str(one.tag): one for one in form.types if isinstance(one, shape.StructType)}
    key = next(iter(kinds.values())).tag_field or ""
    # One that is misspelt is read as what it is like, so that its other keys are judged by what they are meant for.
    like = difflib.get_close_matches(str(table.get(key, "")).lower(), kinds, n=1) or list(kinds)
    tells = shape.Field(name=key, encode_name=key, type=shape.LiteralType(tuple(kinds)), required=True)
    return replace(kinds[like[0]], fields=(tells, *kinds[like[0]].fields))


def rule_places(place: str, ids: list[object]) -> list[str]:
    """Return the places of the rules in the list at `place`: by id, by number (from 0) where no id tells it apart."""
    plain = [one if isinstance(one, str) and _PLAIN_ID.fullmatch(one) else None for one in ids]
    times = Counter(plain)
    return [
        f"{place}[{number}]" if one is None or times[one] > 1 else f"{place}.{one}"
        for number, one in enumerate(plain)
    ]


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, place: str, message: str) -> UnsetType:
        self.faults.append(Fault(place=place or "policy", message=message))
        return UNSET

    def value(self, value: object, form: shape.Type, place: str) -> object:  # noqa: PLR0911 - one for each type
        """Return `value` read as `form`, UNSET when it is faulty."""
        match form, value:
            case shape.Metadata(type=inner, extra=extra), _:
                read = self.value(value, inner, place)
                wrong = extra["check"](read) if extra and isinstance(read, str) else None
                if wrong is None:
                    return read
                return self.fault(place, f"{show(str(read))} {wrong}" if _quotable(form) else wrong)
            case (shape.StructType() | shape.UnionType(), dict()):
                return self.table(value, form, place)
            case shape.DictType(), dict():
                return self._named(value, form, place)
            case shape.ListType(), list():
                return self._list(value, form, place)
            case (shape.StrType(), str()) | (shape.BoolType(), bool()):
                return value
            case shape.IntType(), int() if not isinstance(value, bool):
                return self._within(value, form, place)
            case shape.LiteralType(), _:
                return self._one_of(value, form, place)
        return self._mistyped(value, form, place)

    def _within(self, value: int, form: shape.IntType, place: str) -> object:
        if (form.ge is None or value >= form.ge) and (form.le is None or value <= form.le):
            return value
        return self.fault(place, f"must be from {form.ge} to {form.le}")

    def _one_of(self, value: object, form: shape.LiteralType, place: str) -> object:
        if any(type(value) is type(one) and value == one for one in form.values):  # True is no 1
            return value
        return self.fault(place, f"must be {' or '.join(json.dumps(one) for one in form.values)}")

    def table(self, table: dict[str, object], form: _Table, place: str, name: str = "") -> object:
        """Return a table read as its struct; `name` is the key that a person chose for it, empty for none."""
        return self.struct(
            table, form if isinstance(form, shape.StructType) else _kind(table, form), place, name
        )

    def struct(self, table: dict[str, object], form: shape.StructType, place: str, name: str = "") -> object:
        """Return a table read as `form`."""
        known = {field.encode_name: field for field in form.fields}
        misread = False
        for key in (key for key in table if key not in known):
            misread |= self._unknown(key, table[key], form, place, name)
        fields: dict[str, object] = {}
        for key, field in known.items():
            fields[field.name] = UNSET
            if key in table:
                fields[field.name] = self.value(table[key], field.type, at(place, key))
            elif field.required and not misread:
                self.fault(at(place, key), f"is required{_example(key)}")
        fields.pop(form.tag_field or "", None)  # the struct is of one kind, and does not say which
        return form.cls(**fields)

    def _unknown(self, key: str, value: object, form: shape.StructType, place: str, name: str) -> bool:
        """Report an unknown key; say whether the table is no table of its own but a piece of an unquoted name."""
        keys = [field.encode_name for field in form.fields]
        spelled = key.lower().replace("_", "-")
        near = [spelled] if spelled in keys else difflib.get_close_matches(spelled, keys, n=1, cutoff=0.7)
        refused = getattr(form.cls, "refused", {}).get(key)
        if refused is not None:
            self.fault(at(place, key), refused)
        elif isinstance(value, dict) and name and not near:
            whole = ".".join((name, *_dotted(key, value, keys)))
            self.fault(at(place, key), f"is an unknown key; a name with dots must be quoted: {show(whole)}")
            return True
        elif near:
            self.fault(at(place, key), f"is an unknown key; did you mean {near[0]}?")
        else:
            self.fault(at(place, key), f"is an unknown key; known are: {', '.join(keys)}")
        return False

    def _named(self, table: dict[str, object], form: shape.DictType, place: str) -> object:
        read: dict[str, object] = {}
        if not table and form.min_length:
            return self.fault(place, "is empty: it needs at least one entry")
        inner = form.value_type.type if isinstance(form.value_type, shape.Metadata) else form.value_type
        for key, value in table.items():
            here = at(place, key)
            self.value(key, form.key_type, here)
            if isinstance(inner, _Table) and isinstance(value, dict):
                read[key] = self.table(value, inner, here, name=key)
            elif isinstance(inner, shape.StrType) and isinstance(value, dict):
                whole = ".".join((key, *_dotted("", value, [])))
                read[key] = self.fault(
                    here, f"must be text, not a table; a name with dots must be quoted: {show(whole)}"
                )
            else:
                read[key] = self.value(value, form.value_type, here)
        return read

    def _list(self, items: list[object], form: shape.ListType, place: str) -> object:
        if not items and form.min_length:
            return self.fault(place, "is an empty list; name at least one, or leave the key out")
        item = form.item_type
        if isinstance(item, shape.StructType):
            places = rule_places(place, [one.get("id") if isinstance(one, dict) else None for one in items])
            return [self.value(one, item, here) for one, here in zip(items, places, strict=True)]
        if not _quotable(item):  # then it is told by its number which of them it is
            return self._unquoted(items, item, place)
        read = [value for value in (self.value(one, item, place) for one in items) if value is not UNSET]
        for value, times in Counter(read).items():
            if times > 1:
                self.fault(place, f"has {show(str(value))} twice")
        return read

    def _unquoted(self, items: list[object], item: shape.Type, place: str) -> list[object]:
        read: dict[object, None] = {}
        for number, one in enumerate(items):
            value = self.value(one, item, f"{place}[{number}]")
            if value in read:
                self.fault(f"{place}[{number}]", "stands in the list already")
            elif value is not UNSET:
                read[value] = None
        return list(read)

    def _mistyped(self, value: object, form: shape.Type, place: str) -> UnsetType:
        hint = ""
        if (
            isinstance(form, shape.ListType)
            and isinstance(form.item_type, shape.UnionType | shape.StructType)
            and isinstance(value, dict)
        ):
            hint = f"; write [[{place}]] with two brackets"
        return self.fault(
            place, f"must be {_WANTED[type(form)]}, not {_CALLED.get(type(value), 'a date or time')}{hint}"
        )


_WANTED: Final[dict[type, str]] = {
    shape.StructType: "a table",
    shape.UnionType: "a table",
    shape.DictType: "a table",
    shape.ListType: "a list",
    shape.IntType: "a whole number",
    shape.StrType: "text",
    shape.BoolType: "true or false",
}


_CALLED: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def _dotted(key: str, value: object, keys: list[str]) -> list[str]:
    """Return the pieces that an unquoted name with dots fell into, down to the table that was meant."""
    pieces = [key] if key else []
    while isinstance(value, dict) and len(value) == 1 and not value.keys() & set(keys):
        ((key, value),) = value.items()
        pieces.append(key)
    return pieces


def _example(key: str) -> str:
    return {"version": ": version = 1", "id": ": the name that the audit records"}.get(key, "")
