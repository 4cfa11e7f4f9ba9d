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
        case syntax.All():
            found = {_truth(part, action, attributes) for part in expression.of}
            return _first(found, Truth.FALSE, Truth.UNKNOWN)
        case syntax.AnyOf():
            found = {_truth(part, action, attributes) for part in expression.of}
            return _first(found, Truth.TRUE, Truth.UNKNOWN)
        case _:
            assert_never(expression)


def _compared(compare: syntax.Compare, attributes: Attributes) -> Truth:
    left = attributes.get(compare.attribute)
    if not left or (compare.single and not len(left) == len(compare.values) == 1):
        return Truth.UNKNOWN
    met = _quantified(
        compare.every_left,
        (
            _quantified(compare.every_right, (_equal(one, other, compare) for other in compare.values))
            for one in left
        ),
    )
    return _plain(met=met)


def _quantified(every: bool, met: Iterable[bool]) -> bool:
    return all(met) if every else any(met)


def _equal(one: str, other: str, compare: syntax.Compare) -> bool:
    same = one == other if compare.sensitive else fold(one) == fold(other)
    return same is not compare.negated


def _plain(*, met: bool) -> Truth:
    return Truth.TRUE if met else Truth.FALSE


def _opposite(truth: Truth) -> Truth:
    if truth is Truth.UNKNOWN:
        return truth
    return _plain(met=truth is Truth.FALSE)


def _first(found: set[Truth], *order: Truth) -> Truth:
    """Return the first of `order` that was found; else the one that is left."""
    return next(
        (truth for truth in order if truth in found), Truth.TRUE if order[0] is Truth.FALSE else Truth.FALSE
    )
