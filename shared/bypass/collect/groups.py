"""Who is in the groups that hold a role, and who owns them: direct members, groups in groups, owners (Microsoft Graph).

Direct members of each, for the groups in between belong into the answer. Microsoft Graph v1.0 leaves service principals
out of members and of owners ("Known issues with Microsoft Graph"), so these are asked for on their own; and because it
shows some callers fewer members than there are, without an error, the members are counted as well: a list that is
shorter than the count is not the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from shared.bypass.collect.answers import Unreadable
from shared.bypass.collect.ledger import Ledger, reason
from shared.bypass.collect.people import APP, GROUP, OBJECTS, UNTOLD, People
from shared.bypass.collect.progress import Progress
from shared.bypass.collect.service import EVENTUAL, Query, Service
from shared.bypass.spelling import fold

MEMBERS: Final = "the permission GroupMember.Read.All"

_PAGE: Final = {"$select": "id,displayName", "$top": "999"}
_APPS: Final = f"/microsoft.graph.{APP}"
_NO_SUCH_MEMBERS: Final = "Request_UnsupportedQuery"
"""What a cast answers where a group is of a kind that cannot have such members, as Microsoft 365 groups."""
_TELL: Final = 1_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a directory is read. What lies beyond is said to be unread."""

    groups: int = 5_000
    members: int = 500_000
    """Memberships in all groups together."""
    seconds: float = 3_600.0


class Groups:
    """Writes into a ledger who is in which group."""

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        people: People,
        *,
        bounds: Bounds,
        progress: Progress,
        now: Callable[[], float],
    ) -> None:
        """Take what to read from and where to write it down; `now` gives seconds of any origin."""
        self._service: Final = service
        self._ledger: Final = ledger
        self._people: Final = people
        self._bounds: Final = bounds
        self._progress: Final = progress
        self._ends: Final = now() + bounds.seconds
        self._now: Final = now
        self._memberships = 0

    def read(self, named: Mapping[str, str | None]) -> None:
        """Read every group among those `named`, each with the type that assignments tell, and all groups within."""
        waiting = deque(principal for principal, said in named.items() if self._is_group(principal, said))
        known = set(waiting)
        while waiting:
            read = len(known) - len(waiting)
            if (over := self._over(read)) is not None:
                self._ledger.unread(f"{len(waiting):,} groups, and who is in them", over)
                break
            self._progress.at("groups", done=read, total=len(known))
            for inner in self._expand(waiting.popleft()):
                if inner not in known:
                    known.add(inner)
                    waiting.append(inner)
        self._hidden(known)

    def _is_group(self, principal: str, said: str | None) -> bool:
        known = self._people.type_of(principal)
        if known is not None:
            return known == GROUP
        return fold(said or "") == GROUP and not self._people.is_gone(principal)

    def _over(self, groups: int) -> str | None:
        if groups >= self._bounds.groups:
            return f"there are more than {self._bounds.groups:,} groups"
        if self._memberships >= self._bounds.members:
            return f"the groups have more than {self._bounds.members:,} members"
        return f"it took longer than {self._bounds.seconds:.0f} s" if self._now() > self._ends else None

    def _expand(self, group: str) -> list[str]:
        """Read one group; return the groups among its members."""
        found: dict[str, None] = {}
        try:
            for member in self._members(group):
                found[member] = None
                if len(found) % _TELL == 0:
                    self._progress.at(f"members of {self._people.name_of(group)}", done=len(found))
        except Unreadable as fault:
            if fault.status == 404 and not self._people.is_there(group):
                self._ledger.note(f"the group {group}", "the directory does not have it")
                return []
            self._ledger.unread(self._called("members", group), reason(fault, MEMBERS), group=group)
        self._ledger.principals.setdefault(group, {"type": GROUP, "displayName": None})
        self._ledger.members[group] = list(found)
        self._types(group, [member for member in found if self._people.type_of(member) == UNTOLD])
        self._owners(group)
        return [member for member in found if self._people.type_of(member) == GROUP]

    def _members(self, group: str) -> Iterator[str]:
        path, found = f"/v1.0/groups/{group}/members", set[str]()
        for below in ("", _APPS):
            for member in self._listed(path, below):
                if member in found:
                    continue
                if self._memberships >= self._bounds.members:
                    raise Unreadable(f"the groups have more than {self._bounds.members:,} members")
                if self._now() > self._ends:
                    raise Unreadable(f"it took longer than {self._bounds.seconds:.0f} s")
                self._memberships += 1
                found.add(member)
                yield member
        counted = self._service.count(f"{path}/$count")
        if counted > len(found):
            raise Unreadable(f"{len(found):,} are listed, and {counted:,} are counted")

    def _types(self, group: str, untold: list[str]) -> None:
        """Find out what the members are that the list does not tell: a group among them has members of its own."""
        if not untold:
            return
        self._people.look_up(untold)
        left = sum(self._people.type_of(member) == UNTOLD for member in untold)
        if left:
            what = f"what {left} members of the group {self._people.name_of(group)} are"
            self._ledger.unread(what, f"it takes {OBJECTS}", group=group)

    def _owners(self, group: str) -> None:
        found: dict[str, None] = {}
        with self._ledger.reading(self._called("owners", group), MEMBERS):
            for below in ("", _APPS):
                for owner in self._listed(f"/v1.0/groups/{group}/owners", below):
                    found[owner] = None
        self._ledger.owners[group] = list(found)

    def _listed(self, path: str, below: str) -> Iterator[str]:
        """Yield the ids that a list names, and keep what it tells of each."""
        query: Query = _PAGE | ({"$count": "true"} if below else {})
        try:
            for item in self._service.items(path + below, query, headers=EVENTUAL if below else None):
                principal = self._people.keep(item, APP if below else UNTOLD)
                if principal is None:
                    raise Unreadable("the list names something without an id")
                yield principal
        except Unreadable as fault:
            if not below or fault.code != _NO_SUCH_MEMBERS:
                raise

    def _hidden(self, groups: set[str]) -> None:
        """Tell the groups that may only look empty."""
        self._people.look_up(groups)
        for group in sorted(self._people.hidden & self._ledger.members.keys()):
            if not self._ledger.members[group]:
                self._ledger.unread(
                    self._called("members", group),
                    "its membership is hidden, and it takes the permission Member.Read.Hidden",
                    group=group,
                )

    def _called(self, what: str, group: str) -> str:
        return f"{what} of the group {self._people.name_of(group)}"
