"""What is judged: the kind of the target, whether it takes keys, and the resources that the gate is made of."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from shared.bypass.actions import Kind, Place, Reach
from shared.bypass.fields import Fields, SnapshotFault
from shared.bypass.finding import Unread
from shared.bypass.scopes import ROOT, canonical
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways import resources
from shared.bypass.ways.resources import Resource


class Keys(enum.Enum):
    """Whether the target itself takes keys or tokens of its own."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNTOLD = "untold"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot with what it is about. Scopes are canonical."""

    snapshot: Snapshot
    kind: Kind
    target: str
    """The target's id as it is written."""
    parent: str
    """The workspace of an endpoint; an account itself."""
    keys: Keys
    related: Mapping[str, Resource]
    assigned: tuple[str, ...]
    """Where something is assigned, in order."""
    site: str | None
    """The gate's site, also where the gate is one of its slots."""
    bearers: tuple[str, ...]
    """Other sites that have one of `identities`."""
    identities: tuple[str, ...]
    """User-assigned identities that the gate is, or may be."""
    stores: tuple[str, ...]
    """Storage accounts that hold the gate's package, or may."""
    unread: tuple[Unread, ...]

    def places(self, place: Place) -> tuple[str, ...]:
        """Return the scopes that `place` stands for here; none where there is no such thing."""
        found: Mapping[Place, tuple[str, ...]] = {
            Place.TARGET: (self.snapshot.scope,),
            Place.PARENT: (self.parent,),
            Place.SITE: () if self.site is None else (self.site,),
            Place.BEARER: self.bearers,
            Place.IDENTITY: self.identities,
            Place.STORAGE: self.stores,
            Place.TENANT: (ROOT,),
        }
        return found[place]

    def scopes(self, reach: Reach) -> Iterator[str]:
        """Yield where `reach` is to be asked: its places, and the children of them at which something is assigned."""
        for place in self.places(reach.place):
            yield place
            for children in _children(reach, place):
                yield from self._below(f"{place}/{children}/")

    def _below(self, prefix: str) -> Iterator[str]:
        for at in range(bisect_left(self.assigned, prefix), len(self.assigned)):
            if not self.assigned[at].startswith(prefix):
                return
            yield self.assigned[at]


def _children(reach: Reach, place: str) -> Iterator[str]:
    """Yield the kinds of children of `place` at which `reach` is as good.

    What is behind the place's own type in an action is done there or at a child: `sites/config/write` at any `config`.
    """
    own, within = f"{resources.resource_type(place)}/", fold(reach.action)
    if within.startswith(own):
        child, _, verb = within.removeprefix(own).partition("/")
        if verb:
            yield child
    yield from map(fold, reach.below)


def case(snapshot: Snapshot) -> Case:
    """Return what `snapshot` is about; raise SnapshotFault for a target of another type."""
    found = resources.resource_type(snapshot.scope)
    try:
        kind = Kind(found)
    except ValueError:
        raise SnapshotFault(
            "target.id",
            "is neither an online or batch endpoint of Azure Machine Learning nor an account of Cognitive Services",
        ) from None
    related = resources.related(snapshot)
    keys, unread = _keys(snapshot, kind)
    site = _site(snapshot)
    identities = _identities(snapshot, related)
    bearers, others = _bearers(related, site, identities)
    stores, unknown = _stores(related, site)
    return Case(
        snapshot=snapshot,
        kind=kind,
        target=Fields(snapshot.target, "target").text("id").removesuffix("/"),
        parent=snapshot.scope if kind is Kind.ACCOUNT else resources.parent_of(snapshot.scope),
        keys=keys,
        related=related,
        assigned=tuple(sorted({assignment.scope for assignment in snapshot.assignments})),
        site=site,
        bearers=bearers,
        identities=identities,
        stores=stores,
        unread=(*unread, *others, *unknown),
    )


def _keys(snapshot: Snapshot, kind: Kind) -> tuple[Keys, tuple[Unread, ...]]:
    """Return whether the target takes keys; what its properties leave out is not taken for the better."""
    fields = Fields(snapshot.target, "target")
    if kind is Kind.ACCOUNT:
        if fields.flag("disableLocalAuth"):
            return Keys.REFUSED, ()
        # An account that was never asked to refuse keys has no such property.
        if fields.has("disableLocalAuth") or fields.has("properties"):
            return Keys.TAKEN, ()
        return Keys.UNTOLD, (Unread(what="target", why="its properties are missing: disableLocalAuth"),)
    mode = fields.maybe("authMode") or fields.maybe("auth_mode")
    if mode is None:
        return Keys.UNTOLD, (Unread(what="target", why="its properties are missing: authMode"),)
    # `az ml` writes aad_token for what Azure Resource Manager writes AADToken.
    refused = fold(mode).replace("_", "") == "aadtoken"
    return (Keys.REFUSED if refused else Keys.TAKEN), ()


def _site(snapshot: Snapshot) -> str | None:
    site = snapshot.gate.site
    return (
        resources.parent_of(site)
        if site is not None and resources.resource_type(site) == resources.SLOT
        else site
    )


def _identities(snapshot: Snapshot, related: Mapping[str, Resource]) -> tuple[str, ...]:
    """Return the user-assigned identities that are the gate's, or cannot be told not to be."""
    gate = snapshot.gate.principal
    found = {
        scope
        for scope, item in resources.of_type(related, resources.IDENTITY)
        if _is(gate, resources.text(item, "principalId"))
    }
    site = related.get(snapshot.gate.site or "", {})
    listed = resources.value(site, "identity", "userAssignedIdentities")
    own = _is(gate, resources.text(site, "identity", "principalId"))
    for written, entry in listed.items() if isinstance(listed, dict) else ():
        scope = canonical(written)
        principal = entry.get("principalId") if isinstance(entry, dict) else None
        told = gate is not None and isinstance(principal, str)
        if scope is not None and (_is(gate, principal) if told else not own):
            found.add(scope)
    return tuple(sorted(found))


def _is(gate: str | None, principal: object) -> bool:
    return gate is not None and isinstance(principal, str) and fold(principal) == gate


def _bearers(
    related: Mapping[str, Resource], site: str | None, identities: Iterable[str]
) -> tuple[tuple[str, ...], tuple[Unread, ...]]:
    """Return the sites beside the gate's that have one of `identities`, and what else has one: code there is the gate."""
    sites, others = set(), []
    for scope, item in related.items():
        listed = resources.value(item, "identity", "userAssignedIdentities")
        borne = set(map(canonical, listed)) if isinstance(listed, dict) else set()
        kind = resources.resource_type(scope)
        whole = resources.parent_of(scope) if kind == resources.SLOT else scope
        if whole == site or borne.isdisjoint(identities):
            continue
        if kind in {resources.SITE, resources.SLOT}:
            sites.add(whole)
        else:
            what = resources.text(item, "id") or scope
            others.append(
                Unread(what=what, why="has the gate's identity, and who can run code there is not told")
            )
    return tuple(sorted(sites)), tuple(others)


_PACKAGE: Final = ("functionAppConfig", "deployment", "storage", "value")
"""Where a site on Flex Consumption says which container its package is in. Other plans say it in their settings,
which only who may list secrets can read."""


def _stores(related: Mapping[str, Resource], site: str | None) -> tuple[tuple[str, ...], tuple[Unread, ...]]:
    """Return the storage accounts that were read, and the one that the site names if it is not among them.

    A site has more than that one: what it keeps for itself, keys with it, may lie in another, which its settings tell.
    """
    if site is None:
        return (), ()
    accounts = tuple(scope for scope, _ in resources.of_type(related, resources.STORAGE))
    address = resources.text(related.get(site, {}), *_PACKAGE)
    if address is None:
        return accounts, ()
    name = fold((urlsplit(address).hostname or "").partition(".")[0])
    if name in map(resources.name_of, accounts):
        return accounts, ()
    return accounts, (
        Unread(what=f"storage account {name}", why="holds the gate's package and was not read"),
    )
