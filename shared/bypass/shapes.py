"""What ids look like that may stand in a command: whoever made a snapshot chose them, and `az` would send whatever they say.

Each pattern is of a whole id, folded.
"""

from __future__ import annotations

import re
from typing import Final

from shared.bypass.scopes import ROOT
from shared.bypass.spelling import fold

_PART: Final = r"/(?!\.+(?:/|\Z))[\w().$-]+"
"""One part of a path: nothing that ends it (`?`, `#`), stands for another character (`%`) or leads out of it (`..`)."""
_ABOVE: Final = rf"(?:/subscriptions|/providers/microsoft\.management/managementgroups)(?:{_PART})+"
_RBAC: Final = r"/providers/microsoft\.authorization/"
_GROUP: Final = rf"/subscriptions{_PART}/resourcegroups{_PART}"
_IDENTITY: Final = rf"{_GROUP}/providers/microsoft\.managedidentity/userassignedidentities{_PART}"

NAME: Final = re.compile(r"\w[\w.-]*")
"""An object id, or a word of ours."""
PROPERTY: Final = re.compile(r"\w+(?:\.\w+)*")
SCOPE: Final = re.compile(rf"/|{_ABOVE}/?")
RESOURCE: Final = re.compile(rf"/subscriptions(?:{_PART})+/providers(?:{_PART}){{3,}}")
ASSIGNMENT: Final = re.compile(rf"(?P<at>(?:{_ABOVE})?){_RBAC}roleassignments/[\w-]+")
ROLE: Final = re.compile(rf"(?:{_ABOVE})?{_RBAC}roledefinitions/[\w-]+")
FEDERATED: Final = re.compile(rf"{_IDENTITY}/federatedidentitycredentials{_PART}/?")


def assigned_at(assignment: str) -> str | None:
    """Return the canonical scope at which the id of a role assignment says that it stands; None for another id."""
    found = ASSIGNMENT.fullmatch(fold(assignment))
    return None if found is None else found["at"] or ROOT
