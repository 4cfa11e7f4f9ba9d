"""Conditions of attribute-based access control: what they say of an action, or that it cannot be told from here.

Decided are the action itself and those attributes of a request that the question names, compared for equality; so a
condition about other actions is no obstacle, and a delegated role manager may be asked about one role. Everything else
(attributes of resources, of principals and of the surroundings, times, texts that are not understood, versions other
than 2.0) cannot be told: whoever holds the role then counts as able (protocols 8.1).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, assert_never

from shared.bypass import conditionsyntax as syntax
from shared.bypass.entries import Condition
from shared.bypass.patterns import Pattern
from shared.bypass.spelling import fold
from shared.ids import guid

REQUESTED_ROLE: Final = "@request[microsoft.authorization/roleassignments:roledefinitionid]"
"""The role (its GUID) that a role assignment, still to be written, would assign."""
REQUESTED_PRINCIPAL: Final = "@request[microsoft.authorization/roleassignments:principalid]"
"""The object id that it would be assigned to."""
REQUESTED_TYPE: Final = "@request[microsoft.authorization/roleassignments:principaltype]"
"""What that object is: `User`, `Group` or `ServicePrincipal`."""

Attributes = Mapping[str, frozenset[str]]
"""Values by folded attribute, as REQUESTED_ROLE: all of them that the request has."""
NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})

_VERSION: Final = "2.0"
_guid: Final = lru_cache(maxsize=4096)(guid)


class Truth(enum.Enum):
    """What a condition comes to."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


def holds(condition: Condition | None, action: str, attributes: Attributes = NO_ATTRIBUTES) -> Truth:
    """Return what `condition` comes to when `action` (folded) is asked for with `attributes`; none at all is TRUE."""
    if condition is None:
        return Truth.TRUE
    found = _read(condition.text) if condition.version == _VERSION else None
    return Truth.UNKNOWN if found is None else _truth(found, action, attributes)


@lru_cache(maxsize=4096)
def _read(text: str) -> syntax.Expression | None:
    try:
        return syntax.expression(text)
    except syntax.Unreadable:
        return None


def _truth(expression: syntax.Expression, action: str, attributes: Attributes) -> Truth:
    """Return what `expression` comes to by Kleene's logic: what is unknown stays so unless the rest decides."""
    match expression:
        case syntax.Beyond():
            return Truth.UNKNOWN
        case syntax.ActionMatches():
            return _plain(met=Pattern(expression.pattern).matches(action))
        case syntax.Compare():
            return _compared(expression, attributes)
        case syntax.Not():
            return _opposite(_truth(expression.of, action, attributes))
        case syntax.All() | syntax.AnyOf():
            every = isinstance(expression, syntax.All)
            return _joined(every, (_truth(part, action, attributes) for part in expression.of))
        case _:
            assert_never(expression)


def _compared(compare: syntax.Compare, attributes: Attributes) -> Truth:
    left = attributes.get(compare.attribute)
    if not left or (compare.single and not len(left) == len(compare.values) == 1):
        return Truth.UNKNOWN
    return _joined(
        compare.every_left,
        (
            _joined(compare.every_right, (_equal(one, other, compare) for other in compare.values))
            for one in left
        ),
    )


def _joined(every: bool, truths: Iterable[Truth]) -> Truth:
    """Return whether every one of `truths` holds, or any of them: one may decide for all."""
    decides, found = (Truth.FALSE, Truth.TRUE) if every else (Truth.TRUE, Truth.FALSE)
    for truth in truths:
        if truth is decides:
            return truth
        if truth is Truth.UNKNOWN:
            found = truth
    return found


def _equal(one: str, other: str, compare: syntax.Compare) -> Truth:
    """Return how two ids compare: they are certainly others only if both are written as Azure writes them.

    How Azure reads an id in capitals, without dashes or with a path before it is not known.
    """
    if one == other or (not compare.sensitive and fold(one) == fold(other)):
        same = Truth.TRUE
    else:
        first, second = _guid(one), _guid(other)
        same = Truth.UNKNOWN if first is None or second is None or first == second else Truth.FALSE
    return _opposite(same) if compare.negated else same


def _plain(*, met: bool) -> Truth:
    return Truth.TRUE if met else Truth.FALSE


def _opposite(truth: Truth) -> Truth:
    if truth is Truth.UNKNOWN:
        return truth
    return _plain(met=truth is Truth.FALSE)
