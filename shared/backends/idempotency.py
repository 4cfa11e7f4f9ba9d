"""Starting a job once: one job for a caller's key, and one start at a time for each owner at each endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from shared.job import FINAL, Intent, Stored
from shared.jobs import ids
from shared.model import Reason
from shared.ports import JobStore
from shared.problem import AskedWrongly, RateLimited, Slug, Undecidable

MAX_WAITING: Final = 100
"""Starts of one owner that may wait for their turn: as many as the policy may let run."""
LATER: Final = 30
"""Seconds told to a caller who starts more than may run."""

Owner = tuple[str, str, str]
"""Endpoint, tenant and object id."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Which job a submission is for."""

    job: str
    before: Stored | None = None
    """The job as it is, where it was started before."""


async def claim(
    store: JobStore,
    owner: Owner,
    *,
    key: str | None,
    digest: str,
    most: int,
    holds: Callable[[Intent], bool],
) -> Claim:
    """Return the job to start for the owner whose turn it is, or the one that `key` has started before.

    A stored job counts only if its intent `holds`. Raise AskedWrongly (409) for a key that stands for another `digest`, or
    for a job that does not hold; RateLimited where `most` of the owner's jobs run; Undecidable. A note that is left behind only says which job is to be started for its key: who comes again with
    the key starts it.
    """
    prefix = ids.owner_prefix(*owner)
    name = None if key is None else ids.key_note(*owner, key)
    noted = None if name is None else await store.noted(name)
    if noted is not None:
        claimed = await _noted(store, owner, noted, digest, holds)
        if claimed.before is not None:
            return claimed
    else:
        claimed = Claim(job=ids.new_job(*owner))
    # One that is over may still be telling its end.
    running = await store.find(prefix, holds=holds, running=True)
    unfinished = [job for job in running if job.progress.status not in FINAL]
    if len(unfinished) >= most:
        raise RateLimited(retry_after=LATER)
    if name is not None and noted is None:
        noted, first = await store.note(name, {"job": claimed.job, "asked": digest})
        if not first:  # another instance of the app was asked at the same time
            return await _noted(store, owner, noted, digest, holds)
    return claimed


async def _noted(
    store: JobStore, owner: Owner, noted: Mapping[str, str], digest: str, holds: Callable[[Intent], bool]
) -> Claim:
    job = noted.get("job", "")
    if noted.get("asked") != digest or not job.startswith(ids.owner_prefix(*owner)):
        raise AskedWrongly(Slug.IDEMPOTENCY_CONFLICT)
    before = await store.get(job)
    if before is not None and not holds(before.intent):
        raise AskedWrongly(Slug.IDEMPOTENCY_CONFLICT)
    return Claim(job=job, before=before)


class Turn:
    """One caller's leave to start a job now; nobody else of the same owner has one until it is given back."""

    __slots__ = ("_owner", "_taken", "_turns")

    def __init__(self, turns: Turns, owner: Owner) -> None:
        self._turns: Final = turns
        self._owner: Final = owner
        self._taken = True

    def give_back(self) -> None:
        """Let the next one of the owner start. Idempotent."""
        if self._taken:
            self._taken = False
            self._turns.leave(self._owner)


class Turns:
    """Lets each owner start one job at a time in this process, so that two starts never count the same free place.

    Nothing is kept of an owner who starts nothing. Other instances of the app count for themselves meanwhile: together
    they may exceed a cap by the starts of one moment.
    """

    def __init__(self) -> None:
        self._lines: Final[dict[Owner, _Line]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    async def take(self, owner: Owner, *, timeout: float) -> Turn:
        """Return the owner's next turn; raise RateLimited where too many wait, Undecidable (overloaded) after `timeout` seconds."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line()
        elif line.size > MAX_WAITING:
            raise RateLimited(retry_after=LATER)
        line.size += 1
        try:
            async with asyncio.timeout(timeout):
                await line.lock.acquire()
        except BaseException as stopped:
            self._shrink(owner, line)
            if isinstance(stopped, TimeoutError):
                raise Undecidable(Reason.OVERLOADED) from stopped
            raise
        return Turn(self, owner)

    def leave(self, owner: Owner) -> None:
        """End the turn that the owner has."""
        line = self._lines[owner]
        line.lock.release()
        self._shrink(owner, line)

    def _shrink(self, owner: Owner, line: _Line) -> None:
        line.size -= 1
        if line.size == 0:
            del self._lines[owner]


class _Line:
    """Who starts, and who waits to."""

    __slots__ = ("lock", "size")

    def __init__(self) -> None:
        self.lock: Final = asyncio.Lock()
        self.size = 0
