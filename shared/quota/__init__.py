"""What rules give away, counted in this process or in Redis, and who made what the models' side stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ports import Clock, Owners, Quota
from shared.quota.counting import Counting
from shared.quota.owners import RememberedOwners
from shared.quota.windows import Windows

if TYPE_CHECKING:
    from shared.outbound.redis import RedisStore

__all__ = ["make_owners", "make_quota"]


def make_quota(clock: Clock, store: RedisStore | None) -> Quota:
    """Return what counts: limits of an instance in memory, shared ones in `store`. Opens nothing."""
    if store is None:
        return Counting(Windows(clock), shared=None)
    # Redis's client takes long to import, and only those who use it pay; here, and not inside a request's deadline.
    from shared.quota.shared import SharedWindows  # noqa: PLC0415

    return Counting(Windows(clock), shared=SharedWindows(store))


def make_owners(store: RedisStore | None) -> Owners:
    """Return who remembers the makers of stored things, in memory or in `store`."""
    if store is None:
        return RememberedOwners()
    from shared.quota.sharedowners import SharedOwners  # noqa: PLC0415 - as above

    return SharedOwners(store)
