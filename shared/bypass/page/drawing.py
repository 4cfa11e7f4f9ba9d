"""What the picture is drawn of: boxes with two lines of text, and the lines between them (SVG).

All looks are classes of the page's style sheet; nothing here has a `style` attribute, which the page's policy forbids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.bypass.page.markup import Element, append, element
from shared.bypass.visible import visible

HEIGHT: Final = 46
TALL: Final = 64
"""With a third line."""
_NAME: Final = 7.6
"""Width of a letter of a name: a little more than most have. What is wider all the same is clipped by its box."""
_NOTE: Final = 6.3
"""Of the smaller lines."""
_GROUP: Final = (
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2 19c0-3.6 3-5.4 7-5.4s7 1.8 7 5.4z"
    "M17 11.5a3 3 0 1 0-1.5-5.6 5 5 0 0 1-.4 5zM17.6 19H22c0-3-2-4.7-5-5a7 7 0 0 1 .6 5z"
)
_KEY: Final = "M8 16a4 4 0 1 1 3.9-5H21v4h-2v2h-3v-2h-4.1A4 4 0 0 1 8 16zm0-3a1 1 0 1 0 0-2 1 1 0 0 0 0 2z"
_UNKNOWN: Final = "M12 20a8 8 0 1 1 0-16 8 8 0 0 1 0 16zm-1-4.5h2v-2h-2zm0-3.5h2V7.5h-2z"
_ICONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "user": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20c0-4 3.6-6 8-6s8 2 8 6z",
        "group": _GROUP,
        "foreignGroup": _GROUP,
        "servicePrincipal": "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zm3 4v8h8V8z",
        "resource": _KEY,
        "federatedCredential": _KEY,
        "others": "M5 14a2 2 0 1 1 0-4 2 2 0 0 1 0 4zm7 0a2 2 0 1 1 0-4 2 2 0 0 1 0 4zm7 0a2 2 0 1 1 0-4 2 2 0 0 1 0 4z",
    }
)


def box(
    x: float,
    y: float,
    width: float,
    *,
    look: str,
    name: str,
    note: str,
    sign: str | None = None,
    last: str | None = None,
) -> Element:
    """Return a box around the height `y` with a name, a note and perhaps a last line; all cut to fit, whoever wrote them."""
    height = HEIGHT if last is None else TALL
    inset = 44 if sign is not None else 14
    room = width - inset - 10
    # An inner drawing clips what is in it: no name can run over its neighbours.
    made = element("svg", x=x, y=y - height / 2, width=width, height=height)
    append(made, element("rect", x=1, y=1, width=width - 2, height=height - 2, rx=8, class_=f"box {look}"))
    # What the pointer over it tells: the whole of what is cut.
    append(made, element("title", "\n".join(visible(line) for line in (name, note, last) if line)))
    if sign is not None:
        path = _ICONS.get(sign, _UNKNOWN)
        append(made, element("path", d=path, transform=f"translate(11 {height / 2 - 12:g})", class_="icon"))
    lines = element("svg", x=inset, y=0, width=room, height=height)
    append(lines, element("text", fit(name, room, _NAME), x=0, y=20, class_="name"))
    append(lines, element("text", fit(note, room, _NOTE), x=0, y=36, class_="note"))
    if last is not None:
        append(lines, element("text", fit(last, room, _NOTE), x=0, y=53, class_="note"))
    append(made, lines)
    return made


def curve(x1: float, y1: float, x2: float, y2: float, look: str) -> Element:
    """Return a line that leaves and arrives level."""
    bend = (x2 - x1) / 2
    path = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    return element("path", d=path, class_=f"edge {look}")


def arrow(x1: float, y: float, x2: float, look: str) -> Element:
    """Return a level line with a point."""
    made = element("g", class_=f"edge {look}")
    append(made, element("path", d=f"M{x1:g} {y:g}H{x2 - 7:g}"))
    append(made, element("path", d=f"M{x2 - 8:g} {y - 5:g}l8 5-8 5z", class_="point"))
    return made


def fit(text: str, width: float, letter: float) -> str:
    """Return as much of `text` as `width` has room for, visible; `letter` is that of one, and wide ones count twice."""
    shown = visible(text)
    used = 0.0
    for at, character in enumerate(shown):
        used += letter * (2 if unicodedata.east_asian_width(character) in "WF" else 1)
        if used > width:
            return f"{shown[: max(at - 1, 0)]}…"
    return shown
