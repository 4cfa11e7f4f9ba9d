"""ARM ids: which resource is asked about, and whether an id that Azure named may stand in an address."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from shared.bypass.spelling import fold

Kind = Literal["online", "batch", "account"]

_SEGMENT: Final = r"(?!\.{1,2}(?:/|$))[\w.()~-]{1,260}"
_PLAIN: Final = re.compile(rf"(?:/{_SEGMENT}){{1,40}}")
"""What Azure lets resources be called: letters of any script, digits and a little punctuation."""
_GROUP: Final = rf"(?P<group>(?P<subscription>/subscriptions/{_SEGMENT})/resourceGroups/{_SEGMENT})"
_WORKSPACE: Final = rf"{_GROUP}/providers/Microsoft\.MachineLearningServices/workspaces/{_SEGMENT}"
_TARGETS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("online", re.compile(rf"(?P<parent>{_WORKSPACE})/onlineEndpoints/{_SEGMENT}", re.IGNORECASE)),
    ("batch", re.compile(rf"(?P<parent>{_WORKSPACE})/batchEndpoints/{_SEGMENT}", re.IGNORECASE)),
    (
        "account",
        re.compile(
            rf"(?P<parent>{_GROUP}/providers/Microsoft\.CognitiveServices/accounts/{_SEGMENT})", re.IGNORECASE
        ),
    ),
)
_SITE: Final = re.compile(
    rf"{_GROUP}/providers/Microsoft\.Web/sites/{_SEGMENT}(?:/slots/{_SEGMENT})?", re.IGNORECASE
)
_IDENTITY: Final = re.compile(
    rf"{_GROUP}/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/{_SEGMENT}", re.IGNORECASE
)
_STORAGE: Final = re.compile(
    rf"{_GROUP}/providers/Microsoft\.Storage/storageAccounts/{_SEGMENT}", re.IGNORECASE
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about. Ids as they were written."""

    id: str
    kind: Kind
    parent: str
    """The workspace of an endpoint, below which siblings, deployments and computes lie; an account itself."""
    group: str
    subscription: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Another resource that is looked at, and where it lies."""

    id: str
    group: str
    subscription: str


def target(text: str) -> Target:
    """Return what the ARM id `text` names; raise ValueError, with a message that follows on "the target"."""
    written = text.strip().removesuffix("/")
    for kind, pattern in _TARGETS:
        if found := pattern.fullmatch(written):
            return Target(id=written, kind=kind, **found.groupdict())
    raise ValueError(
        "must be the ARM id of an online or batch endpoint of Azure Machine Learning, or of a Foundry or Azure OpenAI "
        "account: /subscriptions/.../workspaces/NAME/onlineEndpoints/NAME, as `az ml online-endpoint show --query id` "
        "prints it"
    )


def site(text: str) -> Place | None:
    """Return the web app, or the slot of one, that the ARM id `text` names; None for anything else."""
    return _place(_SITE, text)


def whole_site(place: Place) -> str:
    """Return the id of the site that `place` is, or is a slot of."""
    return re.sub(r"/slots/[^/]+$", "", place.id, flags=re.IGNORECASE)


def identity(text: str) -> Place | None:
    """Return the user-assigned managed identity that the ARM id `text` names; None for anything else."""
    return _place(_IDENTITY, text)


def storage(text: str) -> Place | None:
    """Return the storage account that the ARM id `text` names; None for anything else."""
    return _place(_STORAGE, text)


def is_plain(text: str) -> bool:
    """Say whether `text` is an id that may stand in an address: no query, no dots to climb up, nothing encoded."""
    return _PLAIN.fullmatch(text) is not None


def same(one: str, other: str) -> bool:
    """Say whether two ids are of one resource."""
    return fold(one) == fold(other)


def _place(pattern: re.Pattern[str], text: str) -> Place | None:
    written = text.strip().removesuffix("/")
    found = pattern.fullmatch(written)
    return None if found is None else Place(id=written, **found.groupdict())
