"""What `groupgate usage` counts: audit records joined by request, summed by group, model, caller and day. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from shared.model import Reason
from shared.operations import CANCEL, DELETE, RETRIEVE

UNKNOWN: Final = "(unknown)"
"""Stands for every name that is in no policy: callers make those up, and each would be a row."""
_MODEL: Final = "model:"
_COSTLESS: Final = frozenset({RETRIEVE, DELETE, CANCEL})
"""Operations that no model works for: the tokens in a stored response are those of the call that made it."""

Tokens = Annotated[int, msgspec.Meta(ge=0)]


class Member(msgspec.Struct, frozen=True, gc=False):
    """What is read of a decision's `membership`."""

    group: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is read of an audit record of any event; older records lack some of it."""

    event: Literal["decision", "outcome", "job"]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    request_id: str
    process: str
    seq: int
    previous: str
    principal: str | None = None
    route: str | None = None
    operation: str | None = None
    decision: Literal["allow", "deny", "error"] | None = None
    reason: str | None = None
    membership: Member | None = None
    outcome: str | None = None
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None


Key = tuple[date | str | None, ...]
"""One value for each thing that is summed by, in the order asked for."""


class Sums(msgspec.Struct, kw_only=True, gc=False):
    """One row. A request is in one of `calls`, `refused` and `limited`."""

    calls: int = 0
    """Allowed."""
    ok: int = 0
    """Of these, how many the model answered well and whole."""
    refused: int = 0
    """Denied, asked wrongly, or not decidable: nothing was sent."""
    limited: int = 0
    """Turned away because a limit was used up."""
    unmetered: int = 0
    """Calls of models for which no tokens are on record."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    def add(self, other: Sums) -> None:
        """Add `other`, field by field."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))


def total(rows: Iterable[Sums]) -> Sums:
    """Return the sum of `rows`."""
    whole = Sums()
    for row in rows:
        whole.add(row)
    return whole


class _Seen:
    """Which records were read, as runs of numbers for each process: a copy of a file must not be paid twice."""

    def __init__(self) -> None:
        self._runs: Final[dict[str, list[list[int]]]] = {}

    def add(self, process: str, seq: int) -> bool:
        """Note the record; return whether it is new."""
        runs = self._runs.setdefault(process, [])
        after = bisect_right(runs, seq, key=itemgetter(0))
        before = runs[after - 1] if after else None
        if before is not None and seq <= before[1]:
            return False
        following = runs[after] if after < len(runs) and runs[after][0] == seq + 1 else None
        if before is not None and before[1] == seq - 1:
            before[1] = seq
            if following is not None:
                before[1] = following[1]
                del runs[after]
        elif following is not None:
            following[0] = seq
        else:
            runs.insert(after, [seq, seq])
        return True


class Tally:
    """Sums records in whatever order they come. What it keeps grows with rows and unfinished requests, not with records.

    `since` is the first day that counts, `until` the first that does not: days of the decision, in UTC.
    """

    def __init__(
        self,
        by: tuple[str, ...],
        *,
        since: date | None = None,
        until: date | None = None,
        endpoints: bool = False,
    ) -> None:
        self._parts: Final = tuple(PARTS[name] for name in by)
        self._since: Final = since or date.min
        self._until: Final = until
        self._endpoints: Final = endpoints
        self._seen: Final = _Seen()
        self._running: Final[dict[str, tuple[Sums | None, bool]]] = {}
        """Allowed requests without an outcome so far: their row (None: not counted), and whether they cost tokens."""
        self._early: Final[dict[str, Record]] = {}
        """Outcomes read before their decision: files come in any order."""
        self.rows: Final[dict[Key, Sums]] = {}
        self.copies = 0
        """Records read before."""
        self.left_out = 0
        """Requests to endpoints that nobody asked to count."""
        self.nobody = 0
        """Requests turned away before it was known who asked, or for what."""

    @property
    def unfinished(self) -> int:
        """Return how many counted calls have no outcome."""
        return sum(sums is not None for sums, _ in self._running.values())

    @property
    def orphans(self) -> tuple[int, int]:
        """Return how many outcomes have no decision, and how many tokens they tell, none of which are in a row."""
        # One that is older than the first day belongs to a decision that does not count either.
        due = [record for record in self._early.values() if record.time.date() >= self._since]
        return len(due), sum(record.total_tokens or 0 for record in due)

    def add(self, record: Record) -> None:
        """Count one record."""
        if not self._seen.add(record.process, record.seq):
            self.copies += 1
        elif record.event == "job":
            return  # what became of a call that its own two records count
        elif record.event == "outcome":
            if record.request_id in self._running:
                _settle(record, *self._running.pop(record.request_id))
            else:
                self._early[record.request_id] = record
        elif record.decision == "allow":
            self._allowed(record)
        else:
            sums = self._row(record)
            if sums is not None and record.reason == Reason.RATE_LIMITED:
                sums.limited += 1
            elif sums is not None:
                sums.refused += 1

    def _allowed(self, record: Record) -> None:
        sums = self._row(record)
        costs = (record.route or "").startswith(_MODEL) and record.operation not in _COSTLESS
        if sums is not None:
            sums.calls += 1
            sums.unmetered += costs
        early = self._early.pop(record.request_id, None)
        if early is None:
            self._running[record.request_id] = (sums, costs)
        else:
            _settle(early, sums, costs)

    def _row(self, record: Record) -> Sums | None:
        """Return the row of a decision, None where it is not to be counted."""
        day = record.time.date()
        if day < self._since or (self._until is not None and day >= self._until):
            return None
        if record.principal is None or record.route is None:
            self.nobody += 1
            return None
        if not self._endpoints and not record.route.startswith(_MODEL):
            self.left_out += 1
            return None
        key = tuple(part(record) for part in self._parts)
        sums = self.rows.get(key)
        if sums is None:
            sums = self.rows[key] = Sums()
        return sums


def _settle(record: Record, sums: Sums | None, costs: bool) -> None:
    if sums is None:
        return
    sums.ok += record.outcome == "ok"
    if costs and record.total_tokens is not None:
        sums.unmetered -= 1
        sums.prompt_tokens += record.prompt_tokens or 0
        sums.completion_tokens += record.completion_tokens or 0
        sums.total_tokens += record.total_tokens


def _group(record: Record) -> str | None:
    return None if record.membership is None else record.membership.group


def _model(record: Record) -> str | None:
    """Return a model's name; an endpoint's with `endpoint:` before it, which no model's name can hold."""
    if record.reason == Reason.UNKNOWN_ENDPOINT:
        return UNKNOWN
    return None if record.route is None else record.route.removeprefix(_MODEL)


def _caller(record: Record) -> str | None:
    return record.principal


def _day(record: Record) -> date:
    return record.time.date()


PARTS: Final[Mapping[str, Callable[[Record], date | str | None]]] = MappingProxyType(
    {"group": _group, "model": _model, "caller": _caller, "day": _day}
)
"""What can be summed by."""
