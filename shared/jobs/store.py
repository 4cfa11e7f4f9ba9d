"""Jobs and notes in Durable Functions: a job is an orchestration instance, a note an instance that only waits.

The client is azure.durable_functions' DurableOrchestrationClient (1.7.0), given by whoever may import it. What it does, and
what is made of it here:

* It tells every refusal and failure as a bare Exception with a text: which it was is found by asking what is there.
* An id that nobody has gives a status of which everything is None. So does an error inside the Durable extension; where it
  can be told apart, by the error's own members, it is no absence.
* What was given as input comes back as JSON inside a string, or parsed, as the storage behind it likes.
* A list is its first page only. Ids are hexadecimal, so a full page is asked again in sixteen parts. Azure Storage may
  cut a page short before it is full, and the client says nothing of that: then a list lacks jobs, and a count of those
  that run is too low. Nothing that keeps a job from being started twice rests on a list.
* Ids go into the client's URLs as they are: nothing is asked for what has not the form of an id.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from shared.job import ORCHESTRATOR, Intent, Progress, Stored
from shared.jobs import ids, steps
from shared.model import Reason
from shared.problem import Undecidable

NOTE: Final = "groupgate_note"
"""The name of the orchestrator function of notes."""
DEADLINE: Final = 10.0
"""Seconds for each method, however many calls it makes."""
PAGE: Final = 100
"""How many instances the extension lists at most where nobody says more (HttpApiHandler, `top`)."""
AT_ONCE: Final = 8
"""Pages of one list that are asked for side by side."""

_log: Final = logging.getLogger("groupgate")
_HYPHENS: Final = frozenset({8, 25})
"""Where the hyphens of a job's id stand."""
_LENGTH: Final = 58
_PREFIX: Final = re.compile(r"[0-9a-f-]{1,58}")
_NOTE: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,199}")


class Going(enum.Enum):
    """What Durable calls an instance that has not ended; the client sends the values."""

    PENDING = "Pending"
    RUNNING = "Running"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    SUSPENDED = "Suspended"


_GOING: Final = frozenset(state.value for state in Going)


class Status(Protocol):
    """What the client tells of an instance; everything is None for an id that nobody has."""

    name: str | None
    """Of its orchestrator function."""
    instance_id: str | None
    created_time: datetime | None
    """Azure Storage may tell the start of its latest history (not verified)."""
    last_updated_time: datetime | None
    input_: Any
    """None as well where the answer carries none."""
    custom_status: Any
    runtime_status: enum.Enum | None


class Client(Protocol):
    """What is used of DurableOrchestrationClient."""

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None
    ) -> str:
        """Start an instance; raise Exception where one of that id runs, and whenever it did not work."""

    async def get_status(self, instance_id: str, *, show_input: bool = False) -> Status:
        """Return what is known of an instance."""

    async def get_status_by(
        self, *, runtime_status: list[Going] | None = None, instance_id_prefix: str | None = None
    ) -> Sequence[Status]:
        """Return the first page of the instances whose ids begin so."""

    async def raise_event(self, instance_id: str, event_name: str) -> None:
        """Send an event; raise Exception where no such instance runs."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a job's orchestration."""

    intent: Intent
    progress: Progress | None = None


class _Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input of a note's."""

    nonce: str
    """Chosen by who wrote it: tells apart who of many did."""
    value: dict[str, str]


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for in one list."""

    states: list[Going] | None
    holds: Callable[[Intent], bool]
    places: asyncio.Semaphore


class DurableStore:
    """The ports.JobStore over the client that Durable Functions gave to one invocation."""

    def __init__(self, client: Client) -> None:
        self._client: Final = client

    async def start(self, intent: Intent) -> None:
        """Store `intent` and start its orchestration; one that was started before for the same is left as it is."""
        content = {"intent": msgspec.to_builtins(intent), "progress": None}
        async with _answering():
            try:
                await self._client.start_new(ORCHESTRATOR, instance_id=intent.job, client_input=content)
            except Exception:  # refused, or the answer was lost: what is there now tells
                there = await self._job(intent.job)
                if there is None or there.intent.asked != intent.asked:
                    raise

    async def get(self, job: str) -> Stored | None:
        """Return the job with this id; None when there is none, or what is there is no job of the gate."""
        if not ids.is_job(job):
            return None
        async with _answering():
            return await self._job(job)

    async def find(
        self, prefix: str, *, holds: Callable[[Intent], bool], running: bool = False
    ) -> tuple[Stored, ...]:
        """Return every job whose id begins with `prefix` and whose intent holds, newest first, with empty bodies.

        With `running` only those that have not ended.
        """
        if _PREFIX.fullmatch(prefix) is None:
            raise ValueError("no prefix of a job's id")
        look = _Look(states=list(Going) if running else None, holds=holds, places=asyncio.Semaphore(AT_ONCE))
        async with _answering():
            found = await self._all(prefix, look)
        jobs = [job for job in found if job.running or not running]
        return tuple(sorted(jobs, key=lambda job: job.intent.accepted, reverse=True))

    async def note(self, name: str, value: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
        """Write `value` under `name` unless something is there; return what is there, and whether this call wrote it."""
        instance = _instance_of(name)
        async with _answering():
            there = await self._note(instance)
            if there is not None:
                return there.value, False
            nonce = secrets.token_hex(16)
            # However it ends, what is there now tells who wrote: an answer may be lost, and another may have been first.
            with suppress(Exception):
                await self._client.start_new(
                    NOTE, instance_id=instance, client_input={"nonce": nonce, "value": dict(value)}
                )
            there = await self._note(instance)
            if there is None:
                raise Undecidable(Reason.JOB_STORE_UNAVAILABLE)
            return there.value, there.nonce == nonce

    async def noted(self, name: str) -> Mapping[str, str] | None:
        """Return the note of this name, None when there is none."""
        async with _answering():
            there = await self._note(_instance_of(name))
        return None if there is None else there.value

    async def wake(self, job: str) -> None:
        """Have the job's orchestration look again at once; nothing happens where it does not run."""
        if not ids.is_job(job):
            return
        async with _answering():
            try:
                await self._client.raise_event(job, steps.WAKE)
            except Exception as refusal:
                # The client's own words for an instance that is gone or unknown have no class of their own.
                if type(refusal) is not Exception:
                    raise

    async def _job(self, job: str) -> Stored | None:
        status = await self._status(job)
        return None if status is None else _stored(status, job)

    async def _note(self, instance: str) -> _Note | None:
        status = await self._status(instance)
        if status is None:
            return None
        if status.name != NOTE or status.instance_id != instance:
            raise TypeError("what is there is no note")
        return _decoded(status.input_, _Note)

    async def _status(self, instance: str) -> Status | None:
        """Return what is known of an instance, None for an id that nobody has; raise whatever goes wrong."""
        status = await self._client.get_status(instance, show_input=True)
        if status.runtime_status is not None:
            return status
        if hasattr(status, "ExceptionMessage") or hasattr(status, "ExceptionType"):
            raise LookupError("the extension could not tell")
        return None

    async def _all(self, prefix: str, look: _Look) -> Iterable[Stored]:
        found = await self._page(prefix, look)
        if found is not None:
            return found
        stem = f"{prefix}-" if len(prefix) in _HYPHENS else prefix
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._all(f"{stem}{digit:x}", look)) for digit in range(16)]
        return [job for part in parts for job in part.result()]

    async def _page(self, prefix: str, look: _Look) -> Iterable[Stored] | None:
        """Return the jobs whose ids begin so; None where there may be more of them than a page holds."""
        async with look.places:
            page = await self._client.get_status_by(runtime_status=look.states, instance_id_prefix=prefix)
            if len(page) >= PAGE and len(prefix) < _LENGTH:
                return None
            return [job for status in page if (job := await self._listed(status, look)) is not None]

    async def _listed(self, status: Status, look: _Look) -> Stored | None:
        """Return the job of a status in a list, which need not carry its input, without its body."""
        job = status.instance_id or ""
        if status.name != ORCHESTRATOR or not ids.is_job(job):
            return None
        stored = await self._job(job) if status.input_ is None else _stored(status, job)
        if stored is None or not look.holds(stored.intent):
            return None
        return msgspec.structs.replace(stored, intent=msgspec.structs.replace(stored.intent, body=""))


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Bound what is done inside by DEADLINE, and make every failure of it Undecidable, with nothing of its text."""
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except Undecidable:
        raise
    except Exception as failure:  # noqa: BLE001 - whatever went wrong, the store has not answered
        _log.warning("job store: %s", type(failure).__name__)
        raise Undecidable(Reason.JOB_STORE_UNAVAILABLE) from None


def _instance_of(name: str) -> str:
    if _NOTE.fullmatch(name) is None:
        raise ValueError("no name of a note")
    return f"note.{name}"


def _stored(status: Status, job: str) -> Stored | None:
    """Return the job that `status` tells of, None where that is no job of the gate, or not the one with this id."""
    created, updated, state = status.created_time, status.last_updated_time, status.runtime_status
    if status.name != ORCHESTRATOR or status.instance_id != job or created is None or state is None:
        return None
    try:
        kept = _decoded(status.input_, _Kept)
        shown = None if status.custom_status in (None, "") else _decoded(status.custom_status, Progress)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if kept.intent.job != job:
        return None
    return Stored(
        intent=kept.intent,
        progress=shown or kept.progress or Progress(),
        running=state.value in _GOING,
        created=_seconds(created),
        updated=_seconds(updated or created),
    )


def _decoded[T](value: Any, kind: type[T]) -> T:
    """Return `value`, parsed JSON or its text, as a `kind`; raise msgspec.ValidationError and other ValueErrors."""
    # Python's own parser lets through what is no JSON, such as NaN: it is written anew, so that all can be told again.
    text = value if isinstance(value, str) else msgspec.json.encode(value)
    return msgspec.json.decode(text, type=kind)


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
