"""Who made what the models' side stores: in memory, bounded; what is forgotten is refused (threats T09, D05)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from shared.model import Principal
from shared.quota.keys import digest

MOST: Final = 50_000
"""Things whose maker is remembered; the one that was used longest ago is forgotten first."""


def owner_of(principal: Principal) -> bytes:
    """Return 32 bytes that stand for `principal`, and for nobody else."""
    return digest("owner", principal.tenant, principal.oid)


class RememberedOwners:
    """A ports.Owners in this process. Ids and owners are kept as digests: small, and alike in size."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most: Final = most
        self._made: Final[OrderedDict[bytes, tuple[bytes, str]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    async def remember(self, ids: Iterable[str], principal: Principal, model: str) -> None:
        """Note who made the things with these `ids`; the first who did stays their owner."""
        owner = owner_of(principal)
        for id_ in ids:
            self._made.setdefault(digest("made", id_), (owner, model))
            if len(self._made) > self._most:
                self._made.popitem(last=False)

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        """Return the model of a thing that `principal` made; None for everything else."""
        key = digest("made", id_)
        made = self._made.get(key)
        if made is None or made[0] != owner_of(principal):
            return None
        # Only its owner keeps a thing in memory by asking for it.
        self._made.move_to_end(key)
        return made[1]
