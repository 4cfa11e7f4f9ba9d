"""What others wrote, as it is shown: printable, bounded, and never to be taken for the report's own words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.bypass.text import explain, text
from shared.bypass.visible import bare, named, quoted, visible
from tests.unit.bypass import told


@given(st.text())
def test_visible_text_is_printable_bounded_and_plain_names_stay_as_they_are(name: str) -> None:
    """For any text: one line, nothing to obey, at most a few signs for each character."""
    shown = visible(name)
    assert all(character.isprintable() for character in shown)
    assert len(shown) <= 10 * min(len(name), 256) + 1
    for written in (quoted(name), bare(f" {name}"), named("id", name)):
        assert written[0] == written[-1] == '"'
        assert '"' not in written[1:-1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\u202egro", "\\u202egro"),
        ("a\u3164b\u2800", "a\\u3164b\\u2800"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + "\\u0301\\u0301"),
        ("\ud800", "\\ud800"),
        ("x" * 300, "x" * 256 + "…"),
        ("x" * 256, "x" * 256),
    ],
    ids=["ANSI", "a new line", "direction", "blanks", "accents in a pile", "half a pair", "too long", "long"],
)
def test_what_is_not_there_to_be_seen_is_escaped(name: str, shown: str) -> None:
    """So that it is seen that somebody wrote it."""
    assert visible(name) == shown


@pytest.mark.parametrize(
    "name",
    ["Alice Ng", "Jürgen Groß", "Nguyễn Văn A", "安全 管理", "Ольга", "שרה לוי", "O'Brien; DROP", "a\\b"],
)
def test_names_of_people_are_shown_as_they_are_written(name: str) -> None:
    """Letters of every script, accents and punctuation are no attack."""
    assert visible(name) == name


@pytest.mark.parametrize(
    ("id_", "shown"),
    [
        (told.ALICE.id, told.ALICE.id),
        (told.OWNER, told.OWNER),
        ("Microsoft.Web/sites/*", "Microsoft.Web/sites/*"),
        ("2026-01-15T09:30:00.0000000+00:00", "2026-01-15T09:30:00.0000000+00:00"),
        ("rg-größe_(1)", "rg-größe_(1)"),
        ("x by Dana", '"x by Dana"'),
        ("x[1]", '"x[1]"'),
        ("x\u00a0y", '"x\\xa0y"'),
        ("", '""'),
        ("x" * 300 + " y", "x" * 256 + "…"),
    ],
)
def test_an_id_stands_bare_only_while_it_is_written_like_one(id_: str, shown: str) -> None:
    """E08: guids, scopes, patterns and times do; a blank, a bracket or nothing at all makes a quotation of it."""
    assert bare(id_) == shown


_FORGED = told.HOSTILE["a mark of the report"]


@pytest.mark.parametrize(
    "changes",
    [
        {"detail": f"May add members to {_FORGED}"},
        {"detail": f"May add members to {_FORGED}" + "x" * 200},
        {"principal": replace(told.ALICE, display_name=_FORGED)},
        {"principal": replace(told.ALICE, id=_FORGED)},
        {"principal": replace(told.ALICE, type=_FORGED)},
        {"principal": replace(told.ITSELF, id=f"/x/{_FORGED}")},
        {"via": (_FORGED,)},
        {"id_": _FORGED},
    ],
    ids=[
        "a sentence",
        "a sentence that is cut",
        "a name",
        "an id",
        "a type",
        "a resource",
        "a group",
        "its own id",
    ],
)
def test_nothing_that_others_wrote_looks_like_a_mark_of_the_report(changes: Any) -> None:
    """E08: square brackets around what is accepted, or not yet open, are the report's own."""
    (shown,) = (
        one for one in text(told.report(told.finding(**changes)), "low").splitlines() if "[accepted" in one
    )
    assert re.findall(r"(?<!\\)\[", shown) == []
    marked = text(told.report(told.finding(**changes, state="eligible")), "low")
    assert re.findall(r"(?<!\\)\[.*", marked) == ["[eligible]"]


def test_a_time_an_id_or_a_scope_with_words_in_it_is_a_quotation() -> None:
    """E08: what stands between the report's own words has no blank by which it could go on in them."""
    grant = replace(
        told.finding().grants[0], since="2020, accepted by Dana", scope="/x by Dana", action="* and"
    )
    shown = explain(told.report(), told.finding(grants=(grant,)))
    for said in (', since "2020, accepted by Dana"\n', 'at scope "/x by Dana"\n', 'action "* and" matches\n'):
        assert said in shown


def test_a_name_cannot_end_its_quotation_and_pose_as_somebody_else() -> None:
    """The object id that follows a name is the directory's, never the name's."""
    named = told.HOSTILE["a quotation"]
    one = told.finding(principal=replace(told.ALICE, display_name=named), via=())
    shown = text(told.report(one), "medium")
    assert '"x\\x22 (user 00000000-0000-0000-0000-000000000000): harmless" (user 22222222' in shown
