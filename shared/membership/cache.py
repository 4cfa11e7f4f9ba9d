"""What Graph said of principals, and when: bounded, on the monotonic clock (threats E01, T21, D04)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from shared.model import Kind, Standing

Key = tuple[str, Kind, str, str]
"""Tenant, kind, object id, policy digest: a tuple, so that no two spellings of it can meet (threat T21)."""


class Answered:
    """One answer of Graph: a standing and the monotonic second when it came. Shared by all groups that it settles."""

    __slots__ = ("at", "standing")

    def __init__(self, standing: Standing, at: float) -> None:
        self.standing: Final = standing
        self.at: Final = at


class Entry:
    """All answers about one principal; `missing` is Graph's 404, which takes the place of every answer before it."""

    __slots__ = ("groups", "missing")

    def __init__(self) -> None:
        self.groups: dict[str, Answered] = {}
        self.missing: Answered | None = None

    def record(self, asked: Iterable[str], members: frozenset[str] | None, at: float) -> None:
        """Keep that of the groups `asked` those in `members` hold the principal; None says that it does not exist."""
        if members is None:
            self.groups = {}
            self.missing = Answered(Standing.OUT, at)
            return
        inside, outside = Answered(Standing.IN, at), Answered(Standing.OUT, at)
        self.missing = None
        # The ids are the policy's own strings: an entry costs a dictionary and two answers, however long they are.
        self.groups |= {group: inside if group in members else outside for group in asked}


class Cache:
    """The entries of the principals that were seen last."""

    def __init__(self, size: int) -> None:
        self._size: Final = size
        self._entries: Final[OrderedDict[Key, Entry]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """Return the entry of `key` and mark it as used, None when there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def record(self, key: Key, asked: Iterable[str], members: frozenset[str] | None, at: float) -> None:
        """Keep an answer of Graph, and let go of the entry that was used longest ago when there are too many."""
        entry = self.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        entry.record(asked, members, at)
