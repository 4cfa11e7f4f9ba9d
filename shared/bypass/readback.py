"""Commands that a report printed, read again: what would remain after them is asked of a snapshot, not of Azure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Final

from shared.bypass import changes
from shared.bypass.changes import (
    DENIES,
    FEDERATED,
    REQUESTS,
    Assign,
    Change,
    CreateRole,
    DeleteAssignment,
    DeleteFederated,
    EndEligibility,
    PutDeny,
    RemoveMember,
    RemoveOwner,
    SetProperty,
    command,
)

Given = Mapping[str, str]
"""Options of a command with their values."""


class NotACommand(ValueError):
    """The text is no command that a report prints."""


def parse(text: str) -> Change:
    """Return the change that the command `text` makes; raise NotACommand for what no report prints."""
    try:
        az, *words = shlex.split(text)
        found = _parsed(words) if az == "az" else None
    except (ValueError, KeyError, TypeError) as error:
        raise NotACommand(text) from error
    # A command that says more than was understood would do more than is told.
    if found is None or command(found) != shlex.join(("az", *words)):
        raise NotACommand(text)
    return found


def _parsed(words: list[str]) -> Change | None:
    at = next((at for at, word in enumerate(words) if word.startswith("--")), len(words))
    rest = words[at:]
    # A switch without a value stands last, and is left over.
    given = dict(zip(rest[::2], rest[1::2], strict=False))
    read = _READERS.get(" ".join(words[:at]))
    return None if read is None else read(given)


def _assign(given: Given) -> Change:
    names = ("--assignee-object-id", "--assignee-principal-type", "--role", "--scope")
    return Assign(*(given[name] for name in names))


def _set(given: Given) -> Change:
    path, _, value = given["--set"].removeprefix("properties.").partition("=")
    return SetProperty(given["--ids"], given["--api-version"], path, value)


def _federated(given: Given) -> Change:
    names = ("--subscription", "--resource-group", "--identity-name", "--name")
    return DeleteFederated(FEDERATED.format(*(given[name] for name in names)))


def _rest(given: Given) -> Change | None:
    url, properties = given["--url"], json.loads(given["--body"])["properties"]
    scope, found, name = url.rpartition(REQUESTS)
    if found and "/" not in name:
        return EndEligibility(scope or "/", properties["principalId"], properties["roleDefinitionId"])
    scope, found, name = url.rpartition(DENIES)
    return PutDeny(scope, changes.text(properties)) if found and "/" not in name else None


_READERS: Final[Mapping[str, Callable[[Given], Change | None]]] = {
    "role assignment delete": lambda given: DeleteAssignment(given["--ids"]),
    "role assignment create": _assign,
    "role definition create": lambda given: CreateRole(given["--role-definition"]),
    "ad group member remove": lambda given: RemoveMember(given["--group"], given["--member-id"]),
    "ad group owner remove": lambda given: RemoveOwner(given["--group"], given["--owner-object-id"]),
    "resource update": _set,
    "identity federated-credential delete": _federated,
    "rest": _rest,
}
