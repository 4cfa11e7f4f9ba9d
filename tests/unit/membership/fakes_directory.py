"""A directory in memory behind ports.Directory, that counts, waits and fails as told."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from shared.model import Kind, Lifetimes, Principal
from shared.problem import Undecidable

TENANT = "8c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f"
GROUPS = [f"6f1b2c3d-0000-4000-8000-{number:012x}" for number in range(60)]
ALICE = "a11ce000-0000-4000-8000-000000000001"
BOB = "b0b00000-0000-4000-8000-000000000002"
QUARTER = Lifetimes(max_age=900, recheck_refused=60, outage_grace=0)


def person(
    oid: str = ALICE, *, groups: tuple[str, ...] = (), issued_at: int | None = None, **more: object
) -> Principal:
    fields: dict[str, object] = {"tenant": TENANT, "kind": Kind.USER} | more
    return Principal(oid=oid, groups=frozenset(groups), issued_at=issued_at, **fields)


@dataclass
class FakeDirectory:
    """Knows `members` (object id to group ids); everybody else exists and is in nothing, unless in `gone`."""

    members: dict[str, set[str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    failure: Undecidable | None = None
    asked: list[tuple[Kind, str, frozenset[str]]] = field(default_factory=list)
    in_air: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def check_member_groups(
        self, kind: Kind, oid: str, groups: frozenset[str]
    ) -> frozenset[str] | None:
        self.asked.append((kind, oid, groups))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if oid in self.gone:
            return None
        return groups & self.members.get(oid, set())


async def settle() -> None:
    """Let what runs beside the test go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
