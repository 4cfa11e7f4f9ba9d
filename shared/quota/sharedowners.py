"""Who made what the models' side stores: in Redis, for every instance together (threat T09)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from shared.model import Principal
from shared.outbound.redis import RedisFault, RedisStore
from shared.quota.keys import digest
from shared.quota.owners import REFERRED, key_of_id, owner_of, the_only

LIFETIME: Final = 30 * 86_400
"""Seconds; the services keep a response for 30 days."""


class _Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of one thing; its owner as a digest, so that no id of a person is in Redis."""

    owner: str
    model: str


class SharedOwners:
    """A ports.Owners over Redis. What cannot be stored is forgotten, and what cannot be read is nobody's.

    Each id is a hash with a field for every resource at which it was made.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store: Final = store

    async def remember(self, ids: Iterable[str], principal: Principal, *, model: str, resource: str) -> None:
        """Note who made the things with these `ids`; the first who did at a resource stays their owner."""
        made, field = msgspec.json.encode(_Made(_owner(principal), model)), _field(resource)
        commands: list[tuple[str | bytes | int, ...]] = []
        for id_ in ids:
            name = _name(id_)
            commands += (("HSETNX", name, field, made), ("PEXPIRE", name, LIFETIME * 1_000))
        try:
            await self._store.commands(*commands)
        except RedisFault:
            # Forgotten is refused. The store has logged why.
            return

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        """Return the model of a thing that `principal` made; None for everything else, and where it may be either of two."""
        try:
            kept = await self._store.command("HVALS", _name(id_))
            made = [msgspec.json.decode(one, type=_Made) for one in kept]
        except (RedisFault, msgspec.DecodeError):
            return None
        owner = _owner(principal)
        return the_only([one.model for one in made if one.owner == owner])

    async def owns(self, ids: Collection[str], principal: Principal, *, resource: str) -> bool:
        """Say whether `principal` made all the things with these `ids` at `resource`, in one round trip; see REFERRED."""
        asked = set(ids)
        if len(asked) > REFERRED:
            return False
        field = _field(resource)
        try:
            kept = await self._store.commands(*(("HGET", _name(id_), field) for id_ in asked))
            made = [msgspec.json.decode(one or b"", type=_Made) for one in kept]
        except (RedisFault, msgspec.DecodeError):
            return False
        owner = _owner(principal)
        return all(one.owner == owner for one in made)


def _owner(principal: Principal) -> str:
    return owner_of(principal).hex()


def _name(id_: str) -> str:
    return f"groupgate:made:{key_of_id(id_).hex()}"


def _field(resource: str) -> str:
    return digest("resource", resource).hex()
