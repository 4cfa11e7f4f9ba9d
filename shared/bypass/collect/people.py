"""What the directory tells of the objects behind ids: users, groups, service principals (Microsoft Graph)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import batched
from typing import Final

from shared.bypass.collect.answers import Json, Unreadable
from shared.bypass.collect.ledger import Ledger, reason
from shared.bypass.collect.progress import Progress
from shared.bypass.collect.service import Service
from shared.bypass.spelling import fold
from shared.ids import guid

OBJECTS: Final = "the permission Directory.Read.All"
BY_IDS: Final = 1_000
"""Ids that one call may name."""
GROUP: Final = "group"
APP: Final = "servicePrincipal"
UNTOLD: Final = "unknown"

_PATH: Final = "/v1.0/directoryObjects/getByIds"
_TYPE: Final = "#microsoft.graph."
_TYPES: Final = {fold(kind): kind for kind in ("user", GROUP, APP)}


class People:
    """Writes into a ledger who is who."""

    def __init__(self, service: Service, ledger: Ledger, progress: Progress) -> None:
        """Take what to read from, and where to write it down."""
        self._service: Final = service
        self._ledger: Final = ledger
        self._progress: Final = progress
        self._tried: Final[set[str]] = set()
        self._answered: Final[set[str]] = set()
        self._refused = False
        """Objects may not be read: the directory is asked no more, and types are those that assignments tell."""
        self.hidden: Final[set[str]] = set()
        """Groups that show their members to few."""

    def origin(self, principal: str) -> str | None:
        """Return the ARM id of the resource whose managed identity `principal` is, None where the directory does not tell."""
        try:
            found = self._objects([principal])
        except Unreadable:
            return None  # the caller says what that leaves open
        for item in found:
            names = item.get("alternativeNames")
            for name in names if isinstance(names, list) else []:
                if isinstance(name, str) and name.startswith("/subscriptions/"):
                    return name
        return None

    def named(self, said: Mapping[str, str | None]) -> None:
        """Read the principals that assignments name, each with the type that they tell."""
        self.look_up(said)
        untold = 0
        for principal in said.keys() - self._answered:
            kind = _TYPES.get(fold(said[principal] or ""))
            if kind is None:
                untold += 1
            else:
                self._ledger.principals[principal] = {"type": kind, "displayName": None}
        if self._refused:
            self._ledger.note(
                "names of principals", f"they take {OBJECTS}; types are those of the assignments"
            )
        if untold:
            self._ledger.unread(f"what {untold} of the principals are", f"it takes {OBJECTS}")

    def look_up(self, wanted: Iterable[str]) -> None:
        """Read the objects with these ids; one that the directory does not have will not be among the principals."""
        asked = sorted(set(wanted) - self._tried)
        for done, some in enumerate(batched(asked, BY_IDS, strict=False)):
            if self._refused:
                return
            self._progress.at("principals", done=done * BY_IDS, total=len(asked))
            self._tried.update(some)
            try:
                found = self._objects(some)
            except Unreadable as fault:
                self._refused = fault.status == 403
                if not self._refused:
                    self._ledger.unread(f"what {len(some)} of the principals are", reason(fault, OBJECTS))
            else:
                self._answered.update(some)
                for item in found:
                    self.keep(item)

    def is_gone(self, principal: str) -> bool:
        """Say whether the directory was asked for `principal`, and does not have it."""
        return principal in self._answered and principal not in self._ledger.principals

    def is_there(self, principal: str) -> bool:
        """Say whether the directory was asked for `principal`, and has it."""
        return principal in self._answered and principal in self._ledger.principals

    def type_of(self, principal: str) -> str | None:
        """Return what `principal` is by now known to be."""
        known = self._ledger.principals.get(principal)
        return None if known is None else str(known["type"])

    def name_of(self, principal: str) -> str:
        """Return what to call `principal`: its name, if it is known, and its id."""
        name = self._ledger.principals.get(principal, {}).get("displayName")
        return f"{name} ({principal})" if isinstance(name, str) else principal

    def keep(self, item: Json, otherwise: str = UNTOLD) -> str | None:
        """Keep what the directory tells of one object, which is `otherwise` when it says nothing; return its id."""
        written, kind, name = item.get("id"), item.get("@odata.type"), item.get("displayName")
        principal = guid(written) if isinstance(written, str) else None
        if principal is None:
            return None
        told = kind.removeprefix(_TYPE) if isinstance(kind, str) else otherwise
        known = self._ledger.principals.setdefault(principal, {"type": told, "displayName": None})
        if known["type"] == UNTOLD:
            known["type"] = told
        if isinstance(name, str):
            known["displayName"] = name
        if item.get("visibility") == "HiddenMembership":
            self.hidden.add(principal)
        return principal

    def _objects(self, wanted: Iterable[str]) -> list[Json]:
        return self._service.posted(_PATH, {"ids": list(wanted)})
