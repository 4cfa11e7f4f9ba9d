"""Action patterns: `*` stands for any text, slashes and nothing included; case does not matter (Azure RBAC, RB1, RB3).

`Microsoft.X/workspaces/*/write` does not match `Microsoft.X/workspaces/write`: the slashes around the star stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from shared.bypass.spelling import fold


class Pattern:
    """One pattern, taken apart at its stars."""

    __slots__ = ("_between", "_least", "_prefix", "_suffix", "literal", "text")

    def __init__(self, text: str) -> None:
        """Take apart `text`, a pattern as Azure spells it."""
        self.text: Final = text
        parts = fold(text).split("*")
        self.literal: Final = parts[0] if len(parts) == 1 else None
        """What a pattern without a star matches and nothing else."""
        self._prefix: Final = parts[0]
        self._suffix: Final = parts[-1]
        self._between: Final = tuple(part for part in parts[1:-1] if part)
        self._least: Final = sum(map(len, parts))

    def matches(self, action: str) -> bool:
        """Say whether `action` (folded) is one of those that the pattern stands for. Takes time in its length only."""
        if self.literal is not None:
            return action == self.literal
        if not action.startswith(self._prefix):
            return False
        if len(action) < self._least or not action.endswith(self._suffix):
            return False
        # The leftmost place for each part leaves the most room for the next: no other choice can do better.
        at, end = len(self._prefix), len(action) - len(self._suffix)
        for part in self._between:
            found = action.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


class PatternIndex[Owner]:
    """Which owners have a pattern that matches: each spelling is kept and tried once, however many owners share it."""

    def __init__(self, entries: Iterable[tuple[str, Owner]]) -> None:
        """Index `entries`: a pattern as Azure spells it, and whose it is."""
        owners: dict[str, list[tuple[str, Owner]]] = {}
        for text, owner in entries:
            owners.setdefault(fold(text), []).append((text, owner))
        self._literal: Final = {text: listed for text, listed in owners.items() if "*" not in text}
        self._wild: Final = [(Pattern(text), listed) for text, listed in owners.items() if "*" in text]

    def matching(self, action: str) -> Iterator[tuple[str, Owner]]:
        """Yield each pattern that matches `action` (folded), as it is spelled, with its owner."""
        yield from self._literal.get(action, ())
        for pattern, listed in self._wild:
            if pattern.matches(action):
                yield from listed
