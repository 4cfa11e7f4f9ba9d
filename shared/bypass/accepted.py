"""The file of accepted findings: who answers for what stays open, why, and until when (TOML, or JSON by its name)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Final

import msgspec

from shared.bypass.finding import Finding, Severity, State
from shared.bypass.inputs import decoded
from shared.bypass.report import Allowance, AllowanceStatus
from shared.bypass.wording import severity_rank, state_rank

_LIST: Final = "accepted"
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class AllowFaults(Exception):
    """The file cannot be used: each of `faults` names its place. None of its entries count then."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: Final = tuple(faults)
        super().__init__("; ".join(self.faults))


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted finding."""

    id: _Text
    owner: _Text
    reason: _Text
    until: date
    """The last day (UTC) on which it is accepted."""
    severity: Severity | None = None
    """The worst severity in which it is accepted."""
    state: State | None = None
    """The state nearest to a call in which it is accepted."""


def parse(data: bytes, name: str) -> tuple[Entry, ...]:
    """Return the entries of the file `name` that holds `data`; raise AllowFaults.

    A file whose name ends in `.json` is JSON, any other TOML; either way a list `accepted` of tables with `id`, `owner`,
    `reason` and `until`, perhaps `severity` and `state`, and nothing else: a slip in a key could leave an acceptance
    without its end.
    """
    document = _document(data, name)
    if not isinstance(document, dict) or not isinstance(document.get(_LIST), list) or len(document) > 1:
        raise AllowFaults([f"{name}: holds nothing but a list named {_LIST}, such as [[{_LIST}]] tables"])
    entries: list[Entry] = []
    faults = []
    for at, found in enumerate(document[_LIST]):
        try:
            entry = _entry(found)
            if any(entry.id == other.id for other in entries):
                raise ValueError(f"the finding {entry.id} is accepted twice")
            entries.append(entry)
        except (ValueError, msgspec.ValidationError) as error:
            faults.append(f"{name}: {_LIST}[{at}]: {error}")
    if faults:
        raise AllowFaults(faults)
    return tuple(entries)


def settle(
    entries: Iterable[Entry | Allowance], findings: Iterable[Finding], *, today: date
) -> tuple[Allowance, ...]:
    """Return each of `entries` with what becomes of it `today` (UTC).

    It is used, or it has expired, or its finding is worse than what it accepts, or there is no such finding.
    """
    found = {finding.id: finding for finding in findings}
    return tuple(
        Allowance(
            id=entry.id,
            owner=entry.owner,
            reason=entry.reason,
            until=entry.until,
            severity=entry.severity,
            state=entry.state,
            status=_status(entry, found.get(entry.id), today),
        )
        for entry in entries
    )


def _status(entry: Entry | Allowance, finding: Finding | None, today: date) -> AllowanceStatus:
    if finding is None:
        return "unused"
    if today > entry.until:
        return "expired"
    worse = entry.severity is not None and severity_rank(finding.severity) < severity_rank(entry.severity)
    nearer = entry.state is not None and state_rank(finding.state) < state_rank(entry.state)
    return "exceeded" if worse or nearer else "used"


def _entry(found: object) -> Entry:
    """Return the entry that `found` is; raise ValueError or msgspec.ValidationError."""
    entry = msgspec.convert(found, Entry)
    for field in ("id", "owner", "reason"):
        value: str = getattr(entry, field)
        if value != value.strip():
            raise ValueError(f"{field} has blanks around it")
    return entry


def _document(data: bytes, name: str) -> object:
    kind = "JSON" if name.lower().endswith(".json") else "TOML"
    try:
        return decoded(data) if kind == "JSON" else tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AllowFaults([f"{name}: is not {kind}: {error}"]) from error
