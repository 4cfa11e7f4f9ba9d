"""What can be asked of endpoints and models: the closed table that the policy, the decision and the backends share.

A policy grants an operation by its name; what it grants beside it (a stored response of one's own belongs to `responses`)
is asked, and recorded, by its own name.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

ONLINE: Final = frozenset({"score", "swagger"})
"""What an Azure ML online endpoint offers."""

SUBMIT: Final = "jobs/submit"
LIST: Final = "jobs/list"
STATUS: Final = "jobs/status"
CANCEL_JOB: Final = "jobs/cancel"
BATCH: Final = frozenset({SUBMIT, LIST, STATUS, CANCEL_JOB})
"""What an Azure ML batch endpoint offers."""

ModelOperation = Literal[
    "chat/completions",
    "completions",
    "embeddings",
    "responses",
    "images/generations",
    "audio/speech",
    "audio/transcriptions",
]
"""What a policy may grant at a model (Azure OpenAI, "API reference")."""

RETRIEVE: Final = "responses/retrieve"
DELETE: Final = "responses/delete"
CANCEL: Final = "responses/cancel"
_BESIDE: Final = MappingProxyType({"responses": frozenset({RETRIEVE, DELETE, CANCEL})})

DEFAULT: Final[tuple[ModelOperation, ...]] = ("chat/completions", "embeddings")
"""What a model offers where its policy does not say (threat T09)."""


def granted(names: tuple[ModelOperation, ...]) -> frozenset[str]:
    """Return every operation that the policy's `names` grant."""
    return frozenset(names).union(*(_BESIDE.get(name, ()) for name in names))
