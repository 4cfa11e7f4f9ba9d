"""What a batch job's body may hold beside inputs and outputs: a closed table, and the checks that bodies are read with.

How Azure spells compute and settings is taken from its batch job model (`BatchJob` of the data plane's 2020-09-01
preview), and not verified against the service. A value of the wrong JSON type is 400; one that no job may have is 403.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

from shared.model import Reason
from shared.problem import AskedWrongly, Problem, Slug

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")
"""Names of inputs and outputs; of a caller's own words an answer says none that is not written so.

No underscore in front: Durable's own JSON reads a member `__class__` as an object to be made (df_serialization).
"""
_LABEL: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_DURATION: Final = re.compile(
    r"P(?=[0-9T])(?:[0-9]{1,3}D)?(?:T(?=[0-9])(?:[0-9]{1,4}H)?(?:[0-9]{1,5}M)?(?:[0-9]{1,6}S)?)?"
)
_LEVEL: Final = re.compile(r"Debug|Info|Warning")
_LARGEST: Final = 2**31 - 1

Check = Callable[[object, str], None]
"""Raises problem.Problem unless the value may stand at the place."""


def wrong(place: str, what: str) -> AskedWrongly:
    """Return 400: what stands at `place` is not of the body's shape."""
    return AskedWrongly(Slug.INVALID_REQUEST, detail=f"{place} {what}.")


def refused(place: str, what: str) -> Problem:
    """Return 403: what stands at `place` is nothing that a policy can allow."""
    return Problem(Slug.FORBIDDEN, Reason.INPUT_NOT_ALLOWED, detail=f"{place} {what}.")


def a_text(value: object, place: str) -> str:
    """Return `value`; raise AskedWrongly unless it is a text."""
    if not isinstance(value, str):
        raise wrong(place, "must be a text")
    return value


def an_object(value: object, place: str) -> dict[str, Any]:
    """Return `value`; raise AskedWrongly unless it is an object."""
    if not isinstance(value, dict):
        raise wrong(place, "must be an object")
    return value


def members(value: object, place: str, known: AbstractSet[str]) -> dict[str, Any]:
    """Return the members of an object; raise AskedWrongly unless it is one, Problem for a name that is not `known`."""
    found = an_object(value, place)
    for name in found:
        if name not in known:
            raise refused(
                place, f"has {name if NAME.fullmatch(name) else 'a key'}, which no job may have there"
            )
    return found


def needed(found: Mapping[str, Any], name: str, place: str) -> Any:
    """Return the member `name`; raise AskedWrongly where it is missing."""
    if name not in found:
        raise wrong(place, f"must have {name}")
    return found[name]


def _integer(least: int) -> Check:
    def check(value: object, place: str) -> None:
        # To Python true is a number, to JSON it is none.
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(place, "must be a whole number")
        if not least <= value <= _LARGEST:
            raise refused(place, f"is not from {least} to {_LARGEST}")

    return check


def _matching(pattern: re.Pattern[str]) -> Check:
    def check(value: object, place: str) -> None:
        if not pattern.fullmatch(a_text(value, place)):
            raise refused(place, "has a value that no job may have there")

    return check


def _table(checks: Mapping[str, Check]) -> Check:
    def check(value: object, place: str) -> None:
        for name, item in members(value, place, checks.keys()).items():
            checks[name](item, f"{place}.{name}")

    return check


COUNT: Final = "instanceCount"
"""The one setting that stands in `compute`."""
_SETTINGS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "miniBatchSize": _integer(1),
        "errorThreshold": _integer(-1),
        "maxConcurrencyPerInstance": _integer(1),
        "loggingLevel": _matching(_LEVEL),
        "retrySettings": _table({"maxRetries": _integer(0), "timeout": _matching(_DURATION)}),
    }
)
SETTINGS: Final = frozenset({*_SETTINGS, COUNT})
"""Names of what a job may set where its rule names it."""
FURTHER: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "properties": _table({"experimentName": _matching(_LABEL)}),
        "compute": _table({"target": _matching(_LABEL), COUNT: _integer(1)}),
        **_SETTINGS,
    }
)
"""Members of `properties` beside inputs and outputs, with their checks."""
