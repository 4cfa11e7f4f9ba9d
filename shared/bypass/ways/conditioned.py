"""What the conditions of a snapshot name: roles that may be assigned, and actions that are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACTIONS: Final = re.compile(r"actionmatches\s*\{\s*'([^']*)'\s*\}")


def roles(snapshot: Snapshot) -> frozenset[str]:
    """Return the GUIDs that conditions mention: roles that are delegated, and others that do no harm here."""
    return frozenset(guid for text in _texts(snapshot) for guid in _GUID.findall(text))


def patterns(snapshot: Snapshot) -> frozenset[str]:
    """Return the folded patterns of actions that conditions tell from others."""
    return frozenset(pattern for text in _texts(snapshot) for pattern in _ACTIONS.findall(text))


def _texts(snapshot: Snapshot) -> Iterator[str]:
    conditions = {assignment.condition for assignment in snapshot.assignments}
    conditions.update(
        permission.condition
        for definitions in snapshot.definitions.values()
        for definition in definitions
        for permission in definition.permissions
    )
    return (fold(condition.text) for condition in conditions if condition is not None)
