"""The table of ways: which action, where, leads around the gate (protocols 8.3, 8.4, 8.6 and 8.7).

Each row has the mark of the reference: V read in a source, E an excerpt, D derived, U not verified. A row that is not
verified counts all the same: a way that may be there is told.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from shared.bypass.finding import Severity, Way


class Kind(enum.Enum):
    """What can be judged."""

    ONLINE = "microsoft.machinelearningservices/workspaces/onlineendpoints"
    BATCH = "microsoft.machinelearningservices/workspaces/batchendpoints"
    ACCOUNT = "microsoft.cognitiveservices/accounts"


class Place(enum.Enum):
    """Where an action is to be done."""

    TARGET = "target"
    PARENT = "parent"
    """The workspace of an endpoint; an account itself."""
    SITE = "site"
    """The gate's site."""
    BEARER = "bearer"
    """Another site that has the gate's user-assigned identity."""
    IDENTITY = "identity"
    """The gate's user-assigned identity."""
    STORAGE = "storage"
    """A storage account that holds the gate's package, or may."""
    TENANT = "tenant"
    """The root scope."""
    DENY = "deny"
    """Where a deny assignment stands; which one, who asks says."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """One row: an action that opens a way."""

    way: Way
    action: str
    says: str
    """What it is good for; goes on after "may"."""
    mark: str
    place: Place = Place.TARGET
    below: tuple[str, ...] = ()
    """Children of the place at which it is as good, besides those that the action itself names."""
    is_data: bool = False
    severity: Severity | None = None
    """Where it is not that of the way."""


_ML: Final = "Microsoft.MachineLearningServices/workspaces/"
_AI: Final = "Microsoft.CognitiveServices/accounts/"


def _ml(
    way: Way,
    action: str,
    says: str,
    mark: str,
    *,
    place: Place = Place.TARGET,
    severity: Severity | None = None,
) -> Reach:
    return Reach(way=way, action=_ML + action, says=says, mark=mark, place=place, severity=severity)


def _beside(way: Way, action: str, says: str, mark: str, *, severity: Severity | None = None) -> Reach:
    return _ml(way, action, says, mark, place=Place.PARENT, severity=severity)


def _ai(way: Way, action: str, says: str, mark: str) -> Reach:
    return Reach(way=way, action=_AI + action, says=says, mark=mark)


def model(action: str, says: str, mark: str) -> Reach:
    """Return the row of a data `action` that calls models."""
    # A role on a project of the account reaches the models of the account through the project's address. Whether one on
    # a deployment reaches that deployment is not verified, so it counts.
    return Reach(
        way="invoke", action=action, says=says, mark=mark, below=("projects", "deployments"), is_data=True
    )


def _model(action: str, says: str, mark: str) -> Reach:
    return model(_AI + action, says, mark)


_SECRETS: Final = (
    _beside("secrets", "connections/listsecrets/action", "list secrets of connections", "V ON2"),
    # Reader has it, through `*/read`: it opens data and model files, and no deny assignment can take it (8.3, 8.8).
    _beside("secrets", "metadata/secrets/read", "read stored secrets", "V ON2, BA1", severity="low"),
    _beside("secrets", "listKeys/action", "list the workspace's keys", "V ON2, BA1"),
    _beside("secrets", "listStorageAccountKeys/action", "list keys of the workspace's storage", "V BA1"),
    _beside("secrets", "datastores/listsecrets/action", "list secrets of datastores", "V BA1"),
)


def _jobs(severity: Severity | None) -> tuple[Reach, ...]:
    return (
        _beside("run-elsewhere", "jobs/write", "run jobs in the workspace", "V RB9 / D", severity=severity),
        _beside(
            "run-elsewhere",
            "experiments/runs/submit/action",
            "submit runs in the workspace",
            "V RB9 / D",
            severity=severity,
        ),
        _beside(
            "run-elsewhere",
            "computes/applicationaccess/action",
            "work with the identity of a compute",
            "V RB9 / D",
            severity=severity,
        ),
    )


REACHES: Final[Mapping[Kind, tuple[Reach, ...]]] = MappingProxyType(
    {
        Kind.ONLINE: (
            _ml("invoke", "onlineEndpoints/score/action", "score with a token of its own", "V ON1"),
            _ml("keys", "onlineEndpoints/listKeys/action", "list its keys", "V ON1"),
            _ml("keys", "onlineEndpoints/token/action", "fetch a token that needs no role", "V ON1"),
            _ml("keys", "onlineEndpoints/regenerateKeys/action", "regenerate its keys", "V ON1"),
            _ml("change-resource", "onlineEndpoints/write", "make it take keys", "V ON1, ON2"),
            _ml(
                "change-resource",
                "onlineEndpoints/deployments/write",
                "replace the model behind it",
                "V RB9",
            ),
            _beside(
                "run-elsewhere",
                "serverlessEndpoints/listKeys/action",
                "list keys of serverless endpoints",
                "E ON7",
            ),
            _beside("run-elsewhere", "services/aks/score/action", "score at older services", "V RB9"),
            _beside("run-elsewhere", "services/aks/listkeys/action", "list keys of older services", "V RB9"),
            # Jobs do not call the endpoint; they may load the same model. The reference counts them for batch (8.3).
            *_jobs("low"),
            *_SECRETS,
        ),
        Kind.BATCH: (
            _ml("invoke", "batchEndpoints/jobs/write", "submit jobs with a token of its own", "V BA1"),
            _ml(
                "invoke",
                "batchEndpoints/deployments/jobs/write",
                "submit jobs to a deployment",
                "V BA1",
            ),
            _ml("keys", "batchEndpoints/listkeys/action", "list its keys", "U (V ON6 for the call)"),
            _ml("change-resource", "batchEndpoints/write", "change how it is asked", "V BA1 / D"),
            _ml(
                "change-resource",
                "batchEndpoints/deployments/write",
                "replace what it runs",
                "V BA1 / D",
            ),
            *_jobs(None),
            *_SECRETS,
        ),
        Kind.ACCOUNT: (
            _model("OpenAI/deployments/chat/completions/action", "chat with a token of its own", "V RB3"),
            _model("OpenAI/deployments/completions/action", "complete with a token of its own", "V RB3"),
            _model("OpenAI/deployments/embeddings/action", "embed with a token of its own", "V RB3"),
            _model("OpenAI/deployments/audio/action", "use audio with a token of its own", "V RB3"),
            _model("OpenAI/images/generations/action", "make images with a token of its own", "V RB3"),
            _model("OpenAI/responses/write", "ask for responses with a token of its own", "E RB3"),
            _model("MaaS/chat/completions/action", "chat with Foundry models", "V FO3 / D"),
            _model("AIServices/responses/write", "ask for responses through a project", "E FO3"),
            _model("AIServices/agents/write", "run agents", "E FO3"),
            _ai("keys", "listKeys/action", "list its keys", "V RB3, FO7"),
            _ai("keys", "regenerateKey/action", "regenerate its keys", "D"),
            _ai("change-resource", "write", "make it take keys", "V RB3"),
            _ai(
                "change-resource",
                "deployments/write",
                "change what its deployments are",
                "V RB3",
            ),
            _ai("change-resource", "projects/write", "change its projects", "V RB3 / E ON7"),
            _ai("secrets", "connections/listsecrets/action", "list secrets of connections", "V RB3 / E ON7"),
            _ai(
                "secrets",
                "projects/connections/listsecrets/action",
                "list secrets of projects",
                "V RB3 / E ON7",
            ),
        ),
    }
)
"""What reaches each kind of target, besides by rights, deny assignments and the gate."""

DATA_ROOTS: Final = tuple(f"{_AI}{part}/" for part in ("OpenAI", "MaaS", "AIServices"))
"""Data actions below these reach models. Roles name more of them than the table can: those in use are asked for too."""

SEVERITY: Final[Mapping[Way, Severity]] = MappingProxyType(
    {
        "auth-mode": "critical",  # no role is asked for: every line about roles means nothing (8.5)
        "invoke": "high",  # a call away, nothing has to be changed first
        "keys": "high",  # a call away, and a key names nobody
        "change-resource": "medium",  # from here on something must be changed first, which leaves a trace
        "run-elsewhere": "medium",
        "secrets": "medium",
        "grant": "medium",
        "group-owner": "medium",
        "remove-deny": "medium",
        "take-gate": "medium",
        "gate-excess": "medium",  # not a way by itself: what a fault in the gate would open
        "network": "low",  # nobody is let in by it
    }
)
"""How bad a way is while it is open. What is only eligible is medium at most, what is latent low."""
