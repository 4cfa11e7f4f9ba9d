"""Who made what the models' side stores: in Redis, for every instance together (threat T09)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.model import Principal
from shared.outbound.redis import RedisFault, RedisStore
from shared.quota.keys import digest
from shared.quota.owners import owner_of

LIFETIME: Final = 30 * 86_400
"""Seconds; the services keep a response for 30 days."""


class _Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of one thing; its owner as a digest, so that no id of a person is in Redis."""

    owner: str
    model: str


class SharedOwners:
    """A ports.Owners over Redis. What cannot be stored is forgotten, and what cannot be read is nobody's."""

    def __init__(self, store: RedisStore) -> None:
        self._store: Final = store

    async def remember(self, ids: Iterable[str], principal: Principal, model: str) -> None:
        """Note who made the things with these `ids`; the first who did stays their owner."""
        made = msgspec.json.encode(_Made(owner_of(principal).hex(), model))
        try:
            for id_ in ids:
                await self._store.command("SET", _name(id_), made, "EX", LIFETIME, "NX")
        except RedisFault:
            # Forgotten is refused. The store has logged why.
            return

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        """Return the model of a thing that `principal` made; None for everything else."""
        try:
            made = msgspec.json.decode(await self._store.command("GET", _name(id_)) or b"", type=_Made)
        except (RedisFault, msgspec.DecodeError):
            return None
        return made.model if made.owner == owner_of(principal).hex() else None


def _name(id_: str) -> str:
    return f"groupgate:made:{digest('made', id_).hex()}"
