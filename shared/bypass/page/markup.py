"""HTML and SVG as trees, so that no text reaches the page unescaped: names in it were chosen by those it accuses."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from shared.bypass.visible import MOST, quoted, visible

Element = ET.Element
Child = Element | str | None

NBSP: Final = "\u00a0"


def element(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """Return an element. Texts are what the program says; what others wrote goes through `foreign` first.

    An attribute's name loses one underscore at its end (`class_`), any other becomes a hyphen; None leaves it out.
    """
    made = ET.Element(
        tag,
        {
            name.removesuffix("_").replace("_", "-"): _text(value)
            for name, value in attributes.items()
            if value is not None
        },
    )
    append(made, *children)
    return made


def append(parent: Element, *children: Child) -> None:
    """Put `children` at the end of `parent`; None is nothing."""
    for child in children:
        if isinstance(child, str):
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + child
            else:
                parent.text = (parent.text or "") + child
        elif child is not None:
            parent.append(child)


def foreign(text: str, most: int = MOST, **attributes: str) -> Element:
    """Return a text that others wrote: visible, bounded, and with no say in which direction its neighbours run."""
    return element("bdi", visible(text, most), **attributes)


def called(name: str) -> Element:
    """Return a name in its quotation marks: without them it could go on in the words of the report around it."""
    return element("bdi", quoted(name))


def render(root: Element) -> str:
    """Return the text of the page, without its document type. Raise nothing for any text that is `visible`."""
    return ET.tostring(root, encoding="unicode", method="html")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
