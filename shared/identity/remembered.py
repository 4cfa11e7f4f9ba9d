"""Answers remembered by a text, bounded by the size of what is remembered, the least lately used going first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

CAPACITY: Final = 4 * 1024 * 1024
"""Characters of all the texts together: what is made of a text is a small multiple of it, at worst."""
_OVERHEAD: Final = 1_024
"""Characters that an entry counts beside its text, so that many small ones are bounded as well."""


class Remembered[K: (str, bytes), V]:
    """A mapping that forgets. Not for threads: one event loop uses it."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return what is remembered for `key`, None when nothing is."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, *, size: int) -> None:
        """Remember `value`, made of `size` characters, and forget others to make room."""
        self.drop(key)
        size += _OVERHEAD
        if size > self._capacity:
            return
        self._entries[key] = (value, size)
        self._size += size
        while self._size > self._capacity:
            _, (_, gone) = self._entries.popitem(last=False)
            self._size -= gone

    def drop(self, key: K) -> None:
        """Forget `key`, if it is remembered."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)
