"""As much of GitHub's Markdown as the meta tests need: links, the anchors of headings, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'(][^)]*)?\)")
_REFERENCE = re.compile(r" {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?")
_HTML_LINK = re.compile(r"<(?:a|img)\s[^>]*?(?:href|src)=\"([^\"]+)\"")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
_HTML_ANCHOR = re.compile(r"<a\s[^>]*?(?:id|name)=\"([^\"]+)\"")
_LINK_TEXT = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


class Link(NamedTuple):
    """Where a link stands, counted from 1, and what it points at."""

    line: int
    target: str


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line outside fenced code with its number, counted from 1."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            yield number, line


def code_spans(text: str) -> Iterator[str]:
    """Yield every inline code of `text`."""
    for _, line in prose(text):
        for found in _CODE.finditer(line):
            yield found[2].strip()


def links(text: str) -> Iterator[Link]:
    """Yield every link, image and reference definition outside code."""
    for number, line in prose(text):
        bare = _CODE.sub("", line)
        for pattern in (_LINK, _HTML_LINK):
            for found in pattern.finditer(bare):
                yield Link(number, found[1])
        if definition := _REFERENCE.match(bare):
            yield Link(number, definition[1])


def anchors(text: str) -> set[str]:
    """Return the fragments that GitHub makes of the headings of `text`, and those written as HTML."""
    made: set[str] = set()
    for _, line in prose(text):
        made.update(_HTML_ANCHOR.findall(line))
        heading = _HEADING.match(line)
        if heading:
            slug = plain = _slug(heading[1])
            number = 0
            while slug in made:
                number += 1
                slug = f"{plain}-{number}"
            made.add(slug)
    return made


def _slug(heading: str) -> str:
    words = _LINK_TEXT.sub(r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def table(text: str, first: str) -> list[dict[str, str]]:
    """Return the rows, by column, of every table whose first column is headed `first`; raise LookupError without one."""
    rows: list[dict[str, str]] = []
    header: list[str] = []
    lines = [line.strip() for _, line in prose(text)]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        cells = _cells(line)
        if following.startswith("|-"):
            header = cells if cells[:1] == [first] else []
        elif not cells:
            header = []
        elif header and not line.startswith("|-"):
            rows.append(dict(zip(header, cells, strict=True)))
    if not rows:
        raise LookupError(first)
    return rows


def _cells(line: str) -> list[str]:
    if not line.startswith("|") or not line.endswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line[1:-1])]
