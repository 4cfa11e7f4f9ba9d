"""Who made what the models' side stores: in memory, bounded; what is forgotten is refused (threats T09, D05)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from shared.model import Principal
from shared.quota.keys import digest

MOST: Final = 50_000
"""Things whose maker is remembered; the one that was used longest ago is forgotten first."""

REFERRED: Final = 1_000
"""Different things that one request may refer to: each costs a look-up. Where there are more, none is the caller's."""


def owner_of(principal: Principal) -> bytes:
    """Return 32 bytes that stand for `principal`, and for nobody else."""
    return digest("owner", principal.tenant, principal.oid)


class Made(msgspec.Struct, frozen=True, gc=False):
    """Who made a thing at one resource, and with which model."""

    resource: str
    owner: bytes
    model: str


class RememberedOwners:
    """A ports.Owners in this process. Ids and owners are kept as digests: small, and alike in size.

    Resources give out ids without knowing of each other, so one id may have a maker at each. There are as many as the policy
    names, so what is kept of one id is bounded too.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self._most: Final = most
        self._made: Final[OrderedDict[bytes, tuple[Made, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    async def remember(self, ids: Iterable[str], principal: Principal, *, model: str, resource: str) -> None:
        """Note who made the things with these `ids`; the first who did at a resource stays their owner."""
        new = Made(resource, owner_of(principal), model)
        for key in map(key_of_id, ids):
            made = self._made.get(key, ())
            if not any(one.resource == resource for one in made):
                self._made[key] = (*made, new)
            if len(self._made) > self._most:
                self._made.popitem(last=False)

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        """Return the model of a thing that `principal` made; None for everything else, and where it may be either of two."""
        key, owner = key_of_id(id_), owner_of(principal)
        own = [one.model for one in self._made.get(key, ()) if one.owner == owner]
        if not own:
            return None
        # Only its owner keeps a thing in memory by asking for it.
        self._made.move_to_end(key)
        return the_only(own)

    async def owns(self, ids: Collection[str], principal: Principal, *, resource: str) -> bool:
        """Say whether `principal` made all the things with these `ids` at `resource`; see REFERRED."""
        asked = set(ids)
        if len(asked) > REFERRED:
            return False
        owner = owner_of(principal)
        for key in map(key_of_id, asked):
            if not any(one.owner == owner and one.resource == resource for one in self._made.get(key, ())):
                return False
            self._made.move_to_end(key)
        return True


def key_of_id(id_: str) -> bytes:
    """Return 32 bytes that stand for an id, wherever it was made."""
    return digest("made", id_)


def the_only(models: list[str]) -> str | None:
    """Return the one model of `models`; None where there is none or more: which is meant nobody knows."""
    return models[0] if len(models) == 1 else None
