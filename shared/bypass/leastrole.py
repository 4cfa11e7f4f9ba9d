"""What the gate's identity needs and no more, for each kind of target (protocols 4.1, 5.5, 6.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from shared.bypass.actions import Kind, Place, Reach
from shared.bypass.changes import Assign, Change, CreateRole, is_plain, named, text
from shared.bypass.patterns import Pattern
from shared.bypass.spelling import fold

_ML: Final = "Microsoft.MachineLearningServices/workspaces/"

OPENAI_USER: Final = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
"""Cognitive Services OpenAI User: the smallest built-in role that calls models (6.3)."""
OPENAI_USER_PERMISSIONS: Final[Mapping[str, list[str]]] = MappingProxyType(
    {
        "actions": ["Microsoft.CognitiveServices/*/read"],
        "dataActions": [
            "Microsoft.CognitiveServices/accounts/OpenAI/*/read",
            "Microsoft.CognitiveServices/accounts/OpenAI/deployments/*/action",
            "Microsoft.CognitiveServices/accounts/OpenAI/images/generations/action",
        ],
    }
)
"""What of that role matters here, for a snapshot that does not have its definition."""

_BATCH: Final = (
    "read",
    "data/versions/write",
    "datasets/registered/read",
    "datasets/registered/write",
    "datasets/unregistered/read",
    "datasets/unregistered/write",
    "datastores/read",
    "datastores/write",
    "datastores/listsecrets/action",
    "listStorageAccountKeys/action",
    "batchEndpoints/read",
    "batchEndpoints/deployments/read",
    "batchEndpoints/deployments/jobs/write",
    "batchEndpoints/jobs/write",
    "computes/read",
    "computes/listKeys/action",
    "metadata/secrets/read",
    "metadata/snapshots/read",
    "metadata/artifacts/read",
    "metadata/artifacts/write",
    "experiments/read",
    "experiments/runs/submit/action",
    "experiments/runs/read",
    "experiments/runs/write",
    "metrics/resource/write",
    "modules/read",
    "models/read",
    "endpoints/pipelines/read",
    "endpoints/pipelines/write",
    "environments/read",
    "environments/write",
    "environments/build/action",
    "environments/readSecrets/action",
)
"""The documented list (5.5), but for the two that allow replacing what runs."""
_REPLACING: Final = ("batchEndpoints/write", "batchEndpoints/deployments/write")


class Rung(msgspec.Struct, frozen=True):
    """One role to try for the gate; the next one is for when a call of the gate's, a canary, is still refused."""

    name: str
    why: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()


_LADDERS: Final[Mapping[Kind, tuple[Rung, ...]]] = MappingProxyType(
    {
        Kind.ONLINE: (
            Rung(
                name="Groupgate scorer",
                why="Scoring, and reading what it scores at. Start here.",
                actions=(f"{_ML}onlineEndpoints/score/action", f"{_ML}onlineEndpoints/read"),
            ),
            Rung(
                name="Groupgate scorer with reads",
                why="When the canary is refused with 403: reads of the workspace, assigned there, but not its secrets.",
                actions=(f"{_ML}onlineEndpoints/score/action", f"{_ML}*/read"),
                not_actions=(f"{_ML}metadata/secrets/read",),
            ),
        ),
        Kind.BATCH: (
            Rung(
                name="Groupgate submitter",
                why="The documented list without the right to replace what runs. Start here.",
                actions=tuple(_ML + action for action in _BATCH),
            ),
            Rung(
                name="Groupgate submitter with writes",
                why="When the canary is refused: the documented list in full.",
                actions=tuple(_ML + action for action in (*_BATCH, *_REPLACING)),
            ),
        ),
        Kind.ACCOUNT: (
            Rung(
                name="Groupgate caller of Foundry Models",
                why="Beside or instead of Cognitive Services OpenAI User, for Foundry Models.",
                data_actions=("Microsoft.CognitiveServices/accounts/MaaS/*",),
            ),
            Rung(
                name="Groupgate caller of responses",
                why="Beside Cognitive Services OpenAI User, whose definition need not have them, for responses.",
                data_actions=("Microsoft.CognitiveServices/accounts/OpenAI/responses/*",),
            ),
        ),
    }
)

_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.ONLINE: (f"{_ML}onlineEndpoints/score/action",),
        Kind.BATCH: tuple(_ML + action for action in (*_BATCH, *_REPLACING)),
        Kind.ACCOUNT: (
            "Microsoft.CognitiveServices/accounts/OpenAI/*",
            "Microsoft.CognitiveServices/accounts/MaaS/*",
        ),
    }
)
_BLOBS: Final = "microsoft.storage/storageaccounts/blobservices/"
_PERMISSIONS: Final = ("Actions", "NotActions", "DataActions", "NotDataActions")
_PATTERNS: Final = {kind: tuple(map(Pattern, patterns)) for kind, patterns in _NEEDED.items()}


def is_needed(kind: Kind, action: str) -> bool:
    """Say whether the gate may need `action`, an action or the pattern of some, before a target of `kind`.

    What it only reads is judged elsewhere: reads are told as more than it needs where they open something.
    """
    return any(pattern.matches(fold(action)) for pattern in _PATTERNS[kind])


def is_for_host(reach: Reach) -> bool:
    """Say whether the gate's host works by it: it reads and writes blobs of the storage of its package as the gate."""
    return reach.place is Place.STORAGE and fold(reach.action).startswith(_BLOBS)


def is_given(kind: Kind, action: str) -> bool:
    """Say whether the least roles permit `action`."""
    patterns = [pattern for rung in _LADDERS[kind] for pattern in (*rung.actions, *rung.data_actions)]
    if kind is Kind.ACCOUNT:
        patterns += OPENAI_USER_PERMISSIONS["dataActions"]
    return _gives(patterns, [action])


def definitions(kind: Kind, scope: str) -> tuple[CreateRole, ...]:
    """Return the custom roles to try for the target `scope` in order, as `az role definition create` takes them."""
    return tuple(_role(rung, scope) for rung in _LADDERS[kind])


def permission(role: CreateRole) -> dict[str, list[str]]:
    """Return what `role` permits, by the names that `az` has for it."""
    definition = json.loads(role.definition)
    return {name: definition[name] for name in _PERMISSIONS}


def reasons(kind: Kind) -> tuple[str, ...]:
    """Return when each of `definitions` is the one to take."""
    return tuple(rung.why for rung in _LADDERS[kind])


def first(kind: Kind, scope: str, gate: str, lost: Iterable[str] | None = None) -> tuple[Change, ...]:
    """Return what gives the identity `gate` the least that calls the target `scope`; nothing if no command can say it.

    Of an account's roles only those that permit any of the actions `lost`; all of them, if that is not told.
    """
    rungs = _LADDERS[kind][:1]
    found: list[Change] = []
    if kind is Kind.ACCOUNT:
        rungs = tuple(rung for rung in _LADDERS[kind] if _gives(rung.data_actions, lost))
        if not rungs or _gives(OPENAI_USER_PERMISSIONS["dataActions"], lost):
            found.append(Assign(gate, "ServicePrincipal", OPENAI_USER, scope))
    for rung in rungs:
        found += (_role(rung, scope), Assign(gate, "ServicePrincipal", _called(rung, scope), scope))
    return tuple(found) if all(map(is_plain, found)) else ()


def _gives(patterns: Iterable[str], lost: Iterable[str] | None) -> bool:
    return lost is None or any(
        pattern.matches(fold(action)) for pattern in map(Pattern, patterns) for action in lost
    )


def _called(rung: Rung, scope: str) -> str:
    # A tenant wants each name of a role once, and another endpoint may be called the same.
    return f"{rung.name} {named(fold(scope))[:8]}"


def _role(rung: Rung, scope: str) -> CreateRole:
    definition = {
        "Name": _called(rung, scope),
        "Description": rung.why,
        "Actions": list(rung.actions),
        "NotActions": list(rung.not_actions),
        "DataActions": list(rung.data_actions),
        "NotDataActions": [],
        # A custom role cannot be assignable at a resource alone.
        "AssignableScopes": [scope.partition("/providers/")[0]],
    }
    return CreateRole(text(definition))
