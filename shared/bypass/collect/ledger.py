"""The snapshot while it is being collected: what was read, once each, and what could not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from shared.bypass.collect.answers import Json, Unreadable
from shared.bypass.spelling import fold

_LISTS: Final = (
    "roleAssignments",
    "roleDefinitions",
    "denyAssignments",
    "roleEligibilityScheduleInstances",
    "roleAssignmentScheduleInstances",
    "classicAdministrators",
    "related",
)
_RIGHTS_MISSING: Final = frozenset({401, 403})


class Ledger:
    """Takes Azure's answers as they come; the same object from several lists counts once."""

    def __init__(self, target: str) -> None:
        """Take the id of the target, which stands for it while it was not read."""
        self.target: Json = {"id": target}
        self.gate: Final[Json] = {}
        self._lists: Final[dict[str, dict[str, Json]]] = {name: {} for name in _LISTS}
        self.principals: Final[dict[str, Json]] = {}
        self.members: Final[dict[str, list[str]]] = {}
        self.owners: Final[dict[str, list[str]]] = {}
        self._unread: Final[list[Json]] = []
        self._notes: Final[list[Json]] = []

    def add(self, name: str, item: Json) -> None:
        """Add `item` to the list `name`."""
        identity = item.get("id")
        entries = self._lists[name]
        # What has no id is kept as well: that it cannot be judged is for the judging to say.
        entries.setdefault(fold(identity) if isinstance(identity, str) else f"#{len(entries)}", item)

    def items(self, name: str) -> Iterable[Json]:
        """Return what the list `name` holds by now."""
        return self._lists[name].values()

    def unread(self, what: str, why: str, *, group: str | None = None) -> None:
        """Say that `what` could not be read; with `group` that this one has, or may have, members that are not listed."""
        entry: Json = {"what": what, "why": why}
        if group is not None:
            entry["id"] = group
        if entry not in self._unread:
            self._unread.append(entry)

    def note(self, what: str, why: str) -> None:
        """Say what was not there to be read, and leaves nothing open."""
        entry: Json = {"what": what, "why": why}
        if entry not in self._notes:
            self._notes.append(entry)

    @contextmanager
    def reading(self, what: str, needs: str, *, group: str | None = None) -> Iterator[None]:
        """Write down what could not be read in the block as unread; what was added before the fault stays."""
        try:
            yield
        except Unreadable as fault:
            self.unread(what, reason(fault, needs), group=group)

    def document(self, *, now: float) -> Json:
        """Return the snapshot, taken at `now`, seconds since 1970."""
        return {
            "collectedAt": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "target": self.target,
            "gate": self.gate,
            **{name: list(entries.values()) for name, entries in self._lists.items()},
            "directory": {
                "principals": self.principals,
                "groupMembers": self.members,
                "groupOwners": self.owners,
            },
            "unread": self._unread,
            "notes": self._notes,
        }


def reason(fault: Unreadable, needs: str) -> str:
    """Return why something could not be read, and which right is wanted where rights are missing."""
    return f"{fault.why}; it takes {needs}" if fault.status in _RIGHTS_MISSING else fault.why


def text(item: Json, name: str) -> str | None:
    """Return the text that `name` of an ARM object holds, in its `properties` or in itself; None for anything else."""
    found = prop(item, name)
    return found if isinstance(found, str) and found.strip() else None


def prop(item: Json, *names: str) -> object:
    """Return what lies at the path `names` in the `properties` of an ARM object, else in the object itself; or None."""
    for start in (item.get("properties"), item):
        found: object = start
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return found
    return None
