"""Names that others chose, shown so that they can neither steer a terminal nor pose as something else.

Whoever may name a user, an app or a group writes into the report of the one who is looking for them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

MOST: Final = 256
"""Characters of one value: Entra's own limit for display names."""
_MARKS: Final = 4
"""Marks on one letter: scripts need fewer, and more of them run over the lines around."""
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Printable by their category, and yet nothing to see (Hangul fillers, the empty Braille pattern)."""


def visible(text: str, most: int = MOST) -> str:
    """Return `text` in one line, at most `most` characters of it, everything escaped that is not there to be seen.

    Escaped are control characters (ANSI sequences begin with one), line ends, marks that turn the direction of writing,
    spaces that do not look like one or do not show at all, piles of accents, and halves of surrogate pairs.
    """
    # What is left out is cut off before it is looked at: a name of a million characters costs no more than a short one.
    shown = "".join(_characters(text[:most]))
    return shown if len(text) <= most else f"{shown}…"


def quoted(text: str, most: int = MOST) -> str:
    """Return `text` as `visible` does, in quotation marks that nothing within it can end."""
    return '"' + visible(text, most).replace('"', '\\"') + '"'


def _characters(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        # ASCII has no marks: nearly every name is spared the look into the tables.
        marks = marks + 1 if not character.isascii() and unicodedata.category(character)[0] == "M" else 0
        if character.isprintable() and character not in _BLANK and marks <= _MARKS:
            yield character
        else:
            yield character.encode("unicode_escape", "surrogatepass").decode("ascii")
