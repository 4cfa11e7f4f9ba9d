"""docs/threat-model.md names the threats that were to be met, and a test for each."""

from __future__ import annotations

import re

from tests.meta import markdown, repository
from tests.meta.threats import PAGE, shown

ROWS = {row["id"]: row for row in markdown.table(repository.read(PAGE), "id")}


def span(kind: str, first: int, last: int) -> set[str]:
    return {f"{kind}{number:02}" for number in range(first, last + 1)}


PROMISED = {
    *span("S", 1, 23),
    *span("T", 1, 23),
    *span("I", 1, 5),
    *span("I", 7, 8),
    "I10",
    *span("D", 1, 8),
    "D10",
    *span("E", 1, 8),
    "E10",
    "E12",
    "F39",
    *span("F", 44, 45),
}
"""What guarding online endpoints, models and batch endpoints, and telling who goes around, have to meet."""


def test_every_promised_threat_is_in_the_table() -> None:
    """No id that this release answers for is left out, and none stands twice."""
    assert PROMISED - set(ROWS) == set()
    assert len(ROWS) == len(markdown.table(repository.read(PAGE), "id"))


def test_every_threat_of_the_table_is_named_by_a_test() -> None:
    """An id of the table stands in the name or docstring of at least one test."""
    named = shown()
    assert sorted(one for one in ROWS if one not in named) == []


def test_every_link_of_the_table_leads_to_a_test_of_that_threat() -> None:
    """The last column names files that do test the row's threat; `python -m tests.meta.threats` makes it anew."""
    named = shown()
    wrong = [
        (one, link)
        for one, row in ROWS.items()
        for link in re.findall(r"\]\(\.\./([^)]+)\)", row["shown by"])
        if link not in named.get(one, {})
    ]
    assert wrong == []
    assert [one for one, row in ROWS.items() if "](" not in row["shown by"]] == []


def test_every_threat_of_the_table_says_what_the_gate_does() -> None:
    """No row is empty."""
    assert [one for one, row in ROWS.items() if not row["threat"] or not row["what the gate does"]] == []
