"""How Azure's names are compared: ids, scopes and actions differ in case only where people typed them."""

from __future__ import annotations

import string
from typing import Final

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(text: str) -> str:
    """Return `text` with ASCII letters in lower case: two names are the same when their folded forms are equal.

    Other letters stay as they are: the Kelvin sign would turn into a `k`, and a NotAction or a deny assignment that is
    written with it would seem to take away what Azure leaves.
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)
