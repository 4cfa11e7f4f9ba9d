"""The body that starts a batch job: read strictly, and written anew from what was checked (threat T10).

What a job may hold is closed: inputs and outputs as protocols 5.1 has them, and what jobfields.py lists. Wrong JSON is
400; what no policy can allow is 403, with its place in the body. An output that is not named is put by Azure ML to a
place of its own choosing. Folders are sent with a slash at their end; that Azure ML takes both is not verified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from shared import strictjson
from shared.backends.jobfields import (
    COUNT,
    FURTHER,
    NAME,
    SETTINGS,
    a_text,
    an_object,
    members,
    needed,
    refused,
    wrong,
)
from shared.model import Wanted
from shared.places import Place, PlaceError, below, parse, text_of
from shared.problem import AskedWrongly, Slug

MAX_NAMED: Final = 32
"""Inputs, and outputs, of one job."""
MAX_LITERAL: Final = 1024
"""Characters of a literal input."""
TAG: Final = "groupgate-job"
"""The tag by which a job is found at Azure ML."""

_IN: Final = "properties.InputData"
_OUT: Final = "properties.OutputData"
_IN_TYPES: Final = MappingProxyType({"UriFolder": "Uri", "UriFile": "Uri", "Literal": "Value"})
"""Each JobInputType with the name of its value; outputs have the same types, but literals."""
_OUT_TYPES: Final = frozenset({"UriFolder", "UriFile"})
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Literals that need no leave: one word, a date. No address, host, query or program; a name it may still be."""
_JOB: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{32}", re.IGNORECASE)
"""Ids of the gate's jobs, which name the folders of their own: no caller names one, so none writes into another's."""
_OWNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_WIDEST: Final = ("o" * 64, f"{'0' * 8}-{'0' * 16}-{'0' * 32}")
"""An owner and a job of the greatest length."""

Value = Place | bool | float | str
"""Of an input: where it is, or the literal."""


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """A job's body, checked for everything but what the policy decides."""

    wanted: Wanted
    """What the policy has to allow; of an output that is a file, the folder that it is put into."""
    inputs: Mapping[str, tuple[str, Value]]
    """By name: JobInputType, and the value."""
    outputs: Mapping[str, tuple[str, Place]]
    """By name: JobOutputType, and the place that the caller gave."""
    further: Mapping[str, Any]
    """Experiment, compute and settings, as they are sent."""


def read(data: bytes) -> JobBody:
    """Return what a caller sent; raise AskedWrongly (400) for wrong JSON, Problem (403) for what no policy can allow."""
    return _read(data, job=None)


def sent(body: JobBody, *, own_folder: bool, owner: str, job: str) -> str:
    """Return the JSON text that goes to Azure ML, in ASCII: canonical, and tagged with the job's id.

    With `own_folder` each output is moved below the folder that was given, into `{owner}/{job}/`. Raise ValueError for an
    `owner` or a `job` that is none: the gate makes both itself.
    """
    if not _JOB.fullmatch(job) or not _OWNER.fullmatch(owner) or _JOB.fullmatch(owner):
        raise ValueError("no id of a job, or no name of an owner's folder")
    if own_folder:
        moved = {
            name: (kind, _moved(kind, place, owner, job)) for name, (kind, place) in body.outputs.items()
        }
        body = replace(body, outputs=moved)
    return _written(body, job)


def reread(text: str, *, job: str) -> Wanted:
    """Return what a stored text wants; raise Problem unless it is, letter by letter, as `sent` writes one for `job`."""
    body = _read(text.encode("utf-8", "replace"), job=job)
    if _written(body, job) != text:
        raise refused("The stored body", "is not as the gate wrote it")
    return body.wanted


def in_own_folder(wanted: Wanted, *, owner: str, job: str) -> bool:
    """Say whether every output of a text that was reread is in the folder of `owner` and `job`."""
    return all(place.path[-2:] == (owner, job) for _, place in wanted.outputs)


def _read(data: bytes, *, job: str | None) -> JobBody:
    """Return a caller's body, or the stored one of `job`."""
    try:
        top = strictjson.loads_object(data)
    except strictjson.StrictJsonError:
        raise AskedWrongly(
            Slug.INVALID_REQUEST,
            detail="The body is not one JSON object, in UTF-8, with every name once and no NaN.",
        ) from None
    known = {"InputData", "OutputData", *FURTHER} | (set() if job is None else {"tags"})
    inside = needed(members(top, "The body", {"properties"}), "properties", "The body")
    content = members(inside, "properties", known)
    further = {name: value for name, value in content.items() if name in FURTHER}
    for name, value in further.items():
        FURTHER[name](value, f"properties.{name}")
    inputs = {name: _input(item, place) for name, place, item in _named(content.get("InputData", {}), _IN)}
    outputs = {
        name: _output(item, place, job) for name, place, item in _named(content.get("OutputData", {}), _OUT)
    }
    _keep_apart(outputs)
    return JobBody(wanted=_wanted(inputs, outputs, further), inputs=inputs, outputs=outputs, further=further)


def _wanted(
    inputs: Mapping[str, tuple[str, Value]],
    outputs: Mapping[str, tuple[str, Place]],
    further: Mapping[str, Any],
) -> Wanted:
    compute = further.get("compute", {})
    values = [(name, value) for name, (_, value) in inputs.items()]
    settings = [(f"properties.{name}", name) for name in further if name in SETTINGS]
    return Wanted(
        inputs=tuple((f"{_IN}.{name}.Uri", value) for name, value in values if isinstance(value, Place)),
        outputs=tuple(
            (f"{_OUT}.{name}.Uri", _folder(kind, place)) for name, (kind, place) in outputs.items()
        ),
        literals=tuple(
            (f"{_IN}.{name}.Value", name)
            for name, value in values
            if isinstance(value, str) and not _PLAIN.fullmatch(value)
        ),
        experiments=_label(further.get("properties", {}), "experimentName", "properties.properties"),
        computes=_label(compute, "target", "properties.compute"),
        settings=(*settings, *([(f"properties.compute.{COUNT}", COUNT)] if COUNT in compute else [])),
    )


def _label(values: Mapping[str, str], name: str, place: str) -> tuple[tuple[str, str], ...]:
    return ((f"{place}.{name}", values[name]),) if name in values else ()


def _written(body: JobBody, job: str) -> str:
    """Return the text that is sent: every value is one that was checked, in one spelling."""
    properties = {
        "InputData": _section("JobInputType", body.inputs),
        "OutputData": _section("JobOutputType", body.outputs),
        **body.further,
        "tags": {TAG: job},
    }
    said = {name: value for name, value in properties.items() if value != {}}
    return json.dumps({"properties": said}, allow_nan=False, separators=(",", ":"))


def _section(type_key: str, items: Mapping[str, tuple[str, Value]]) -> dict[str, object]:
    return {
        name: {type_key: kind, _IN_TYPES[kind]: text_of(value) if isinstance(value, Place) else value}
        for name, (kind, value) in items.items()
    }


def _named(value: object, place: str) -> Iterator[tuple[str, str, object]]:
    """Yield the inputs or outputs that stand at `place`: name, place of its own, value."""
    items = an_object(value, place)
    if len(items) > MAX_NAMED:
        raise refused(place, f"has more than {MAX_NAMED} names")
    for name, item in items.items():
        if not NAME.fullmatch(name):
            raise refused(place, "has a name that is not of 1 to 64 letters, digits and underscores")
        yield name, f"{place}.{name}", item


def _input(item: object, place: str) -> tuple[str, Value]:
    kind, value = _typed(item, place, "JobInputType", _IN_TYPES.keys())
    return kind, _literal(value, f"{place}.Value") if kind == "Literal" else _place(
        value, f"{place}.Uri", kind
    )


def _output(item: object, place: str, job: str | None) -> tuple[str, Place]:
    kind, value = _typed(item, place, "JobOutputType", _OUT_TYPES)
    place = f"{place}.Uri"
    found = _place(value, place, kind)
    if found.kind == "data":
        raise refused(place, "is registered data, which no job may write")
    if any(_JOB.fullmatch(segment) and segment != job for segment in found.path):
        raise refused(place, "is in the folder of a job")
    if job is None:
        try:
            _moved(kind, found, *_WIDEST)
        except PlaceError:
            raise refused(place, "leaves no room for a folder of the job's own below it") from None
    return kind, found


def _typed(item: object, place: str, type_key: str, types: AbstractSet[str]) -> tuple[str, object]:
    """Return type and value of an input or output."""
    kind = a_text(needed(an_object(item, place), type_key, place), f"{place}.{type_key}")
    if kind not in types:
        raise refused(f"{place}.{type_key}", "is no type that jobs may have there")
    value_key = _IN_TYPES[kind]
    return kind, needed(members(item, place, {type_key, value_key}), value_key, place)


def _place(value: object, place: str, kind: str) -> Place:
    try:
        found = parse(a_text(value, place))
    except PlaceError as error:
        raise refused(place, str(error)) from None
    if found.kind == "data":
        if len(found.path) == 1:
            raise refused(place, "names no version of the data")
        return found
    if kind == "UriFile":
        if found.folder:
            raise refused(place, "is a folder, and the type says that it is a file")
        return found
    # Sent with its slash: who takes an address for a mere beginning must not go on from `in` into `input`.
    return replace(found, folder=True)


def _literal(value: object, place: str) -> bool | float | str:
    if not isinstance(value, bool | int | float | str):
        raise wrong(place, "must be a text, a number, true or false")
    if isinstance(value, str) and len(value) > MAX_LITERAL:
        raise refused(place, "is too long")
    return value


def _folder(kind: str, place: Place) -> Place:
    """Return where an output is put: itself, or the folder of a file."""
    return replace(place, path=place.path[:-1], folder=True) if kind == "UriFile" else place


def _moved(kind: str, place: Place, owner: str, job: str) -> Place:
    """Return where an output is put in the folder of `owner` and `job`; raise PlaceError where that is too long."""
    named = (place.path[-1],) if kind == "UriFile" else ()
    return below(_folder(kind, place), owner, job, *named, folder=not named)


def _keep_apart(outputs: Mapping[str, tuple[str, Place]]) -> None:
    """Raise Problem where two outputs are at one place, be it by the two hosts of one storage account."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for name, (_, place) in outputs.items():
        key = (place.root.replace(".dfs.", ".blob.", 1), place.path)
        if key in seen:
            raise refused(f"{_OUT}.{name}.Uri", "is where another output is")
        seen.add(key)
