"""ARM objects as they come: types out of ids, and values that lie somewhere within."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from shared.bypass.scopes import canonical
from shared.bypass.snapshot import Snapshot

SITE: Final = "microsoft.web/sites"
SLOT: Final = "microsoft.web/sites/slots"
IDENTITY: Final = "microsoft.managedidentity/userassignedidentities"
FEDERATED: Final = f"{IDENTITY}/federatedidentitycredentials"
STORAGE: Final = "microsoft.storage/storageaccounts"
WORKSPACE: Final = "microsoft.machinelearningservices/workspaces"

Resource = Mapping[str, object]


def resource_type(scope: str) -> str:
    """Return the folded type of the resource that the canonical `scope` is, nothing for what is none."""
    provider, *names = scope.rpartition("/providers/")[2].split("/")
    return "/".join((provider, *names[::2])) if names else ""


def name_of(scope: str) -> str:
    """Return the last part of an id."""
    return scope.rstrip("/").rpartition("/")[2]


def parent_of(scope: str) -> str:
    """Return the id of the resource that the child resource `scope` lies in."""
    return scope.rsplit("/", 2)[0]


def related(snapshot: Snapshot) -> dict[str, Resource]:
    """Return the related objects by their canonical ids; those without an id are of nothing that is asked about.

    Of several with one id one is taken, whatever their order.
    """
    found: dict[str, Resource] = {}
    for item in sorted(snapshot.related, key=lambda item: json.dumps(item, sort_keys=True)):
        written = item.get("id")
        scope = canonical(written) if isinstance(written, str) else None
        if scope is not None:
            found[scope] = item
    return found


def of_type(resources: Mapping[str, Resource], wanted: str) -> Iterator[tuple[str, Resource]]:
    """Yield each resource of the folded type `wanted`, by id."""
    for scope in sorted(resources):
        if resource_type(scope) == wanted:
            yield scope, resources[scope]


def value(item: Resource, *names: str) -> object:
    """Return what lies at the path `names` in the properties of `item`, else in `item` itself; None for nothing."""
    for start in (item.get("properties"), item):
        found: object = start
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return found
    return None


def text(item: Resource, *names: str) -> str | None:
    """Return the text at the path `names`, None for anything else."""
    found = value(item, *names)
    return found if isinstance(found, str) and found.strip() else None
