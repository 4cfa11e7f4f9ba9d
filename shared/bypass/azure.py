"""Collects a snapshot from Azure: who can reach a model, and its gate (design 1, "Bypass"; protocols 8.2).

It reads and changes nothing, and asks for no key, setting or other secret. It takes the role Reader at the target's
subscription and at the gate's, GroupMember.Read.All for who is in groups, and Directory.Read.All for people's names.
What it may not read it leaves out and says so, under `unread`; what is there to be read it keeps as Azure wrote it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from shared.bypass.collect import ids
from shared.bypass.collect.answers import Json, Unreadable
from shared.bypass.collect.arm import READER, Arm
from shared.bypass.collect.gate import Gate
from shared.bypass.collect.groups import Bounds, Groups
from shared.bypass.collect.ids import Place, Target
from shared.bypass.collect.ledger import Ledger, prop, text
from shared.bypass.collect.patience import Patience
from shared.bypass.collect.people import People
from shared.bypass.collect.progress import Progress, Silent
from shared.bypass.collect.service import Service
from shared.bypass.collect.tokens import SignInFault, Tokens
from shared.bypass.spelling import fold
from shared.ids import guid
from shared.loopback import is_loopback_url

__all__ = ["PUBLIC", "Asked", "Bounds", "Cloud", "NoTarget", "SignInFault", "asked", "collect"]

ENDPOINTS: Final = "2025-12-01"
ACCOUNTS: Final = "2025-09-01"


class NoTarget(Exception):
    """Azure says that there is no such target; the message says what to check."""


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """Where Azure is: the public cloud, another one, or a stand-in on this machine. Addresses without a slash at the end."""

    management: str = "https://management.azure.com"
    graph: str = "https://graph.microsoft.com"


PUBLIC: Final = Cloud()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to collect, its words understood."""

    target: Target
    site: Place | None
    principal: str | None
    storage: tuple[Place, ...]


def asked(
    target: str, *, gate: str | None = None, identity: str | None = None, storage: Sequence[str] = ()
) -> Asked:
    """Return what these words mean; raise ValueError for a word that means nothing, with a message for people.

    `target` is an ARM id; `gate` the ARM id of the gate's site, or the object id of its identity; `identity` that object
    id, where a site has several; `storage` the ARM ids of the storage accounts that the gate's code is deployed to.
    """
    site = None if gate is None else ids.site(gate)
    principal = None if gate is None or site is not None else guid(gate.strip())
    if gate is not None and site is None and principal is None:
        raise ValueError("the gate must be the ARM id of its site, or the object id of its identity")
    if identity is not None:
        if principal is not None:
            raise ValueError("the gate's identity is named twice")
        principal = guid(identity.strip())
        if principal is None:
            raise ValueError("the gate's identity must be an object id")
    places = [ids.storage(written) for written in storage]
    if None in places:
        raise ValueError("the gate's storage must be the ARM ids of storage accounts")
    try:
        found = ids.target(target)
    except ValueError as error:
        raise ValueError(f"the target {error}") from error
    return Asked(
        target=found, site=site, principal=principal, storage=tuple(place for place in places if place)
    )


def collect(
    wanted: Asked,
    tokens: Tokens,
    *,
    cloud: Cloud = PUBLIC,
    allow_http: bool = False,
    bounds: Bounds | None = None,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Json:
    """Return the snapshot of what is `wanted`, JSON-able; `now` gives seconds since 1970.

    Raise SignInFault while nothing was read, NoTarget where Azure has no such target, and later nothing: what cannot be
    read is unread. Raise ValueError for a `cloud` that is not https; with `allow_http`, which is for a stand-in, loopback may be http.
    """
    for base in (cloud.management, cloud.graph):
        _check(base, allow_http=allow_http)
    tokens(_scope(cloud.management, PUBLIC.management))
    shown = progress or Silent()
    patience = Patience(sleep, shown.note)
    management = Service(
        cloud.management, lambda: tokens(_scope(cloud.management, PUBLIC.management)), patience
    )
    graph = Service(cloud.graph, lambda: tokens(_scope(cloud.graph, PUBLIC.graph)), patience)
    try:
        document = _collected(wanted, management, graph, bounds or Bounds(), shown).document(now=now())
        shown.at("done reading")
        return document
    finally:
        management.close()
        graph.close()
        shown.close()


def _check(base: str, *, allow_http: bool) -> None:
    parts = urlsplit(base)
    if base != f"{parts.scheme}://{parts.netloc}" or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{base} must be an address alone: a scheme, a host and nothing behind it")
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http and is_loopback_url(base)):
        raise ValueError(f"{base} must be https")


def _scope(base: str, public: str) -> str:
    """Return what a token is asked for; a stand-in on loopback takes those of the public cloud."""
    return f"{public if is_loopback_url(base) else base}/.default"


def _collected(
    wanted: Asked, management: Service, graph: Service, bounds: Bounds, progress: Progress
) -> Ledger:
    ledger = Ledger(wanted.target.id)
    arm, people = Arm(management, ledger), People(graph, ledger, progress)
    progress.at("the target")
    _target(wanted.target, management, arm, ledger)
    progress.at("role assignments")
    for scope in _once((wanted.target.id, wanted.target.parent)):
        arm.access(scope)
    places: list[Target | Place] = [wanted.target]
    if wanted.site is not None or wanted.principal is not None:
        progress.at("the gate")
        lost = wanted.site is None and wanted.principal is not None
        origin = people.origin(wanted.principal or "") if lost else None
        places += Gate(arm, ledger).read(
            wanted.site, principal=wanted.principal, origin=origin, storage=wanted.storage
        )
    principal = text(ledger.gate, "principalId")
    for subscription in _once(place.subscription for place in places):
        arm.classic_administrators(subscription)
        arm.delegations(subscription)
        if principal is not None:
            arm.held_by(principal, subscription)
    for group in _once(place.group for place in places):
        arm.delegations(group)
    progress.at("role definitions")
    arm.definitions(wanted.target.id)
    named = _named(ledger)
    people.named(named)
    groups = Groups(graph, ledger, people, bounds=bounds, progress=progress, now=time.monotonic)
    groups.read(named)
    return ledger


def _once(scopes: Iterable[str]) -> list[str]:
    """Return `scopes` in order, each once, however it is written."""
    return list({fold(scope): scope for scope in scopes}.values())


def _target(target: Target, management: Service, arm: Arm, ledger: Ledger) -> None:
    version = ACCOUNTS if target.kind == "account" else ENDPOINTS
    with ledger.reading(f"the target ({target.id})", READER):
        found = _there(target, management, version)
        if not isinstance(found.get("id"), str) or not ids.same(str(found["id"]), target.id):
            ledger.unread("the target", "Azure answers with another resource")
        else:
            ledger.target = found
    arm.children("deployments", target.id, version, below="/deployments")
    if target.kind == "account":
        # Of accounts only these have projects; the others answer with an error.
        if fold(text(ledger.target, "kind") or "") == "aiservices":
            arm.children("projects", target.id, version, below="/projects")
    else:
        arm.related("the workspace", target.parent, version)


def _there(target: Target, management: Service, version: str) -> Json:
    """Return the target as Azure tells of it; raise NoTarget, Unreadable."""
    try:
        return management.get(target.id, {"api-version": version})
    except Unreadable as fault:
        if fault.status != 404:
            raise
        # What may do what at an id that was misspelt would look like an answer.
        raise NoTarget(
            f"Azure has no {target.id} ({fault.why}), so nothing was read: check the id, and that you are signed in to "
            f"the tenant of {target.subscription} (az account show)"
        ) from fault


def _named(ledger: Ledger) -> dict[str, str | None]:
    """Return the principals that assignments name, by object id, each with its type as far as it is told."""
    found: dict[str, str | None] = {}
    for name in ("roleAssignments", "roleEligibilityScheduleInstances", "roleAssignmentScheduleInstances"):
        for item in ledger.items(name):
            _name(found, text(item, "principalId"), text(item, "principalType"))
    for item in ledger.items("denyAssignments"):
        for side in ("principals", "excludePrincipals"):
            listed = prop(item, side)
            for entry in listed if isinstance(listed, list) else []:
                if isinstance(entry, dict) and text(entry, "type") != "SystemDefined":
                    _name(found, text(entry, "id"), text(entry, "type"))
    _name(found, text(ledger.gate, "principalId"), "ServicePrincipal")
    return found


def _name(found: dict[str, str | None], written: str | None, kind: str | None) -> None:
    principal = guid(written or "")
    if principal is not None and found.get(principal) is None:
        found[principal] = kind
