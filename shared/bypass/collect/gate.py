"""The gate that stands before the target: its site, its identity, and whatever its code can be replaced through.

No key, setting or connection string is asked for: those are POSTs, and secrets. So of the storage that holds the package
only what the site itself tells is known (`functionAppConfig`, on the Flex Consumption plan), or what the operator names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shared.bypass.collect import ids
from shared.bypass.collect.answers import Json
from shared.bypass.collect.arm import Arm
from shared.bypass.collect.ids import Place
from shared.bypass.collect.ledger import Ledger, prop, text
from shared.bypass.spelling import fold
from shared.ids import guid

SITES: Final = "2025-05-01"
IDENTITIES: Final = "2023-01-31"
STORAGE: Final = "2024-01-01"

_ACCOUNT: Final = re.compile(r"https://(?P<name>[a-z0-9]{3,24})\.blob\.[a-z0-9.]+/.*", re.IGNORECASE)


class Gate:
    """Reads one gate into a ledger."""

    def __init__(self, arm: Arm, ledger: Ledger) -> None:
        """Take what to read with, and where to write it down."""
        self._arm: Final = arm
        self._ledger: Final = ledger
        self._identities: Final[dict[str, str]] = {}
        """The principal of each identity of the site by the identity's ARM id; that of the site itself by its own."""

    def read(
        self, site: Place | None, *, principal: str | None, origin: str | None, storage: Sequence[Place]
    ) -> list[Place]:
        """Read what is known of the gate; return what was looked at.

        `principal` is the object id of its identity where that was said, `origin` the resource that the directory says
        this identity is of: it may lead to a `site` that was not named.
        """
        site = site or ids.site(origin or "")
        if site is not None:
            self._ledger.gate["siteId"] = site.id
            self._site(site, named=storage)
            principal = self._principal(site, principal)
        else:
            self._ledger.unread(
                f"the site of the gate ({principal})", "nothing that was read tells which it is: name it"
            )
        if principal is not None:
            self._ledger.gate["principalId"] = principal
        written = [*self._identities, *([origin] if origin else [])]
        assigned = {fold(place.id): place for place in map(ids.identity, written) if place is not None}
        for place in assigned.values():
            self._identity(place)
        for place in storage:
            self._storage(place)
        return [*assigned.values(), *storage, *([site] if site else [])]

    def _site(self, site: Place, *, named: Sequence[Place]) -> None:
        found = self._arm.related("the gate's site", site.id, SITES)
        self._arm.related(
            "the gate's authentication settings", site.id, SITES, below="/config/authsettingsV2"
        )
        whole = ids.whole_site(site)
        if not ids.same(whole, site.id):
            # Whoever may swap the slot, or change the site that it is one of, stands there.
            self._arm.related("the site of the gate's slot", whole, SITES)
        self._arm.children("the gate's slots", whole, SITES, below="/slots")
        self._arm.access(whole)
        if found is None:
            return
        self._identities.update(_identities(site, found))
        if not named:
            self._package(site, found)

    def _principal(self, site: Place, said: str | None) -> str | None:
        """Return the principal that the gate acts as, None where it cannot be told."""
        found = {fold(principal) for principal in self._identities.values()}
        if said is not None:
            if found and fold(said) not in found:
                self._ledger.unread(f"the gate's identity {said}", f"it is none of those that {site.id} has")
            return said
        if len(found) == 1:
            return next(iter(self._identities.values()))
        self._ledger.unread(
            f"the gate's identity ({site.id})",
            "the site has several: name the one that the gate acts as"
            if found
            else "the site has none, or could not be read",
        )
        return None

    def _identity(self, place: Place) -> None:
        self._arm.related("the gate's identity", place.id, IDENTITIES)
        below = "/federatedIdentityCredentials"
        self._arm.children("federated credentials of the gate's identity", place.id, IDENTITIES, below=below)
        self._arm.access(place.id)

    def _package(self, site: Place, found: Json) -> None:
        """Find the storage account that the gate's code is deployed to."""
        what = f"the storage account of the gate's package ({site.id})"
        written = prop(found, "functionAppConfig", "deployment", "storage", "value")
        address = _ACCOUNT.fullmatch(written) if isinstance(written, str) else None
        if address is None:
            self._ledger.unread(
                what, "the site's settings alone tell it, which hold secrets: name the account"
            )
            return
        for place in self._accounts(site.subscription):
            if fold(place.id.rpartition("/")[2]) == fold(address["name"]):
                self._storage(place)
                return
        self._ledger.unread(
            what, f"{address['name']} was not found in the site's subscription: name the account"
        )

    def _accounts(self, subscription: str) -> Iterable[Place]:
        listed = self._arm.listed(
            f"storage accounts in {subscription}",
            f"{subscription}/providers/Microsoft.Storage/storageAccounts",
            STORAGE,
        )
        return filter(None, (ids.storage(str(item.get("id"))) for item in listed))

    def _storage(self, place: Place) -> None:
        self._arm.related("the storage account of the gate's package", place.id, STORAGE)
        self._arm.access(place.id)


def _identities(site: Place, found: Json) -> Iterator[tuple[str, str]]:
    """Yield the identities that the site `found` has, each with its principal."""
    own = prop(found, "identity", "principalId")
    if isinstance(own, str) and guid(own):
        yield site.id, own
    assigned = prop(found, "identity", "userAssignedIdentities")
    for written, value in (assigned if isinstance(assigned, dict) else {}).items():
        principal = text(value, "principalId") if isinstance(value, dict) else None
        if principal is not None and guid(principal):
            yield written, principal
