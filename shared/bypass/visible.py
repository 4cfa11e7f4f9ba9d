"""Names that others chose, shown so that they can neither steer a terminal nor pose as something else.

Whoever may name a user, an app or a group writes into the report of the one who is looking for them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MOST: Final = 256
"""Characters of one value: Entra's own limit for display names."""
_NAME: Final = 64
"""Of a name within a sentence."""
_ID: Final = 100
_MARKS: Final = 4
"""Marks on one letter: scripts need fewer, and more of them run over the lines around."""
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Printable by their category, and yet nothing to see (Hangul fillers, the empty Braille pattern)."""

_BARE: Final = re.compile(r"[\w./:*@~+()|-]+")
"""What ids, addresses of resources, patterns of actions and times are written with: no blank, no quotation mark, no bracket."""


def visible(text: str, most: int = MOST) -> str:
    """Return `text` in one line, at most `most` characters of it, everything escaped that is not there to be seen.

    Escaped are control characters (ANSI sequences begin with one), line ends, marks that turn the direction of writing,
    spaces that do not look like one or do not show at all, piles of accents, and halves of surrogate pairs.
    """
    # What is left out is cut off before it is looked at: a name of a million characters costs no more than a short one.
    shown = "".join(_characters(text[:most]))
    return shown if len(text) <= most else f"{shown}…"


def quoted(text: str, most: int = MOST) -> str:
    """Return `text` as `visible` does, in quotation marks that nothing within it can end: it holds none."""
    # Not with a backslash before it: one in the name itself would stand before that.
    return '"' + visible(text, most).replace('"', "\\x22") + '"'


def bare(text: str, most: int = MOST) -> str:
    """Return an id, a type or a time as `visible` does; what has more in it than those are written with is `quoted`.

    It stands among the report's own words. A blank in it would be enough to go on in them.
    """
    return visible(text, most) if _BARE.fullmatch(text[:most]) else quoted(text, most)


def named(id_: str, name: str | None) -> str:
    """Return `name` as a sentence holds it, in its quotation marks, or the id where nobody says one."""
    return bare(id_, _ID) if name is None else quoted(name, _NAME)


def _characters(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        # ASCII has no marks: nearly every name is spared the look into the tables.
        marks = marks + 1 if not character.isascii() and unicodedata.category(character)[0] == "M" else 0
        if character.isprintable() and character not in _BLANK and marks <= _MARKS:
            yield character
        else:
            yield character.encode("unicode_escape", "surrogatepass").decode("ascii")
