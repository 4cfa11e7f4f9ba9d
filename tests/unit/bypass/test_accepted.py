"""The file of accepted findings: what it must say, and what becomes of each entry on a day."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.bypass.accepted import AllowFaults, Entry, parse, settle
from shared.bypass.report import allowed
from tests.unit.bypass import told

TOML = """
[[accepted]]
id = "f1"
owner = "Dana Fox"
reason = "sealed in the safe"
until = 2026-12-31
"""
ENTRY = Entry(id="f1", owner="Dana Fox", reason="sealed in the safe", until=date(2026, 12, 31))


def table(**changes: str | None) -> bytes:
    """Return a file whose one entry is as it should be but for `changes`; None leaves a key out. Values are TOML."""
    fields: dict[str, str | None] = {
        "id": '"f1"',
        "owner": '"Dana"',
        "reason": '"safe"',
        "until": "2026-12-31",
    }
    lines = [f"{key} = {value}" for key, value in (fields | changes).items() if value is not None]
    return "\n".join(["[[accepted]]", *lines]).encode()


_FAULTS = {
    "no TOML": (b"[[accepted", "is not TOML"),
    "not UTF-8": (b"\xff\xfe\x00", "is not TOML"),
    "nothing in it": (b"", "a list named accepted"),
    "another list": (b"[[allowed]]", "a list named accepted"),
    "one table, no list": (b'[accepted]\nid = "f1"', "a list named accepted"),
    "a key beside the list": (TOML.encode().replace(b"\n", b"\nversion = 1\n", 1), "a list named accepted"),
    "an entry that is no table": (b"accepted = [1]", "accepted[0]"),
    "no id": (table(id=None), "accepted[0]"),
    "no owner": (table(owner=None), "accepted[0]"),
    "no reason": (table(reason=None), "accepted[0]"),
    "no end": (table(until=None), "accepted[0]"),
    "an empty owner": (table(owner='""'), "accepted[0]"),
    "a blank reason": (table(reason='"  "'), "reason has blanks around it"),
    "blanks around the id": (table(id='"f1 "'), "id has blanks around it"),
    "an end that is no date": (table(until='"forever"'), "accepted[0]"),
    "an end that is a number": (table(until="20261231"), "accepted[0]"),
    "an end with a time of day": (table(until="2026-12-31T10:00:00"), "accepted[0]"),
    "a slip in a key": (table(untill="2026-12-31"), "accepted[0]"),
    "a key that there is not": (table(scope='"high"'), "accepted[0]"),
    "a severity that there is not": (table(severity='"High"'), "accepted[0]"),
    "a state that there is not": (table(state='"any"'), "accepted[0]"),
    "one finding twice": (TOML.encode() * 2, "the finding f1 is accepted twice"),
}


@pytest.mark.parametrize("what", _FAULTS)
def test_a_file_that_is_not_quite_right_accepts_nothing(what: str) -> None:
    """Each fault is told with its place: a slip must not accept for ever, nor accept in silence."""
    data, said = _FAULTS[what]
    with pytest.raises(AllowFaults, match=r"^allow\.toml: ") as caught:
        parse(data, "allow.toml")
    assert said in str(caught.value)


def test_every_faulty_entry_is_told_at_once() -> None:
    """Who mends the file need not run the command once for each slip."""
    with pytest.raises(AllowFaults) as caught:
        parse(table(owner=None) + b"\n" + table() + b"\n" + table(id='"f2"', until=None), "a.toml")
    assert [fault.partition("]")[0] for fault in caught.value.faults] == [
        "a.toml: accepted[0",
        "a.toml: accepted[2",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"[1",
        b'{"accepted": [], "accepted": []}',
        b'{"accepted": [{"id": "f1", "id": "f2"}]}',
        b'{"accepted": NaN}',
        b"[" * 100_000,
    ],
    ids=["cut short", "a name twice", "a name twice in an entry", "no number", "deep"],
)
def test_json_that_two_readers_could_read_differently_accepts_nothing(data: bytes) -> None:
    """In JSON as well nothing is guessed."""
    with pytest.raises(AllowFaults, match="is not JSON"):
        parse(data, "allow.JSON")


def test_toml_and_json_say_the_same() -> None:
    """The form is told by the file's name; a date is text in JSON, and may be in TOML."""
    entry = {"id": "f1", "owner": "Dana Fox", "reason": "sealed in the safe", "until": "2026-12-31"}
    assert parse(TOML.encode(), "allow.toml") == (ENTRY,)
    assert parse(TOML.replace("2026-12-31", '"2026-12-31"').encode(), "allow") == (ENTRY,)
    assert parse(json.dumps({"accepted": [entry]}).encode("utf-8-sig"), "allow.json") == (ENTRY,)
    assert parse(b"\xef\xbb\xbf" + TOML.encode(), "allow.toml") == (ENTRY,)
    assert parse(b'{"accepted": []}', "allow.json") == ()


_DAYS = [
    ("the day before its last", date(2026, 12, 30), "f1", "used"),
    ("its last day", date(2026, 12, 31), "f1", "used"),
    ("the day after its last", date(2027, 1, 1), "f1", "expired"),
    ("a finding that there is not", date(2026, 1, 1), "f9", "unused"),
    ("a finding that there is not, expired", date(2027, 1, 1), "f9", "unused"),
    ("an id in other letters", date(2026, 1, 1), "F1", "unused"),
]


@pytest.mark.parametrize(
    ("today", "id_", "status"), [row[1:] for row in _DAYS], ids=[row[0] for row in _DAYS]
)
def test_an_acceptance_holds_through_its_last_day(today: date, id_: str, status: str) -> None:
    """The day is that of UTC; what is expired or for nothing is told, and accepts nothing."""
    entry = Entry(id=id_, owner="Dana Fox", reason="x", until=date(2026, 12, 31))
    (made,) = settle([entry], [told.finding("f1")], today=today)
    assert made.status == status
    assert (made.id, made.owner, made.reason, made.until) == (id_, "Dana Fox", "x", entry.until)


_BOUNDS: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    ("nothing said", {}, "critical", "active", "used"),
    ("as bad as is accepted", {"severity": "medium"}, "medium", "active", "used"),
    ("milder than is accepted", {"severity": "medium"}, "low", "active", "used"),
    ("worse than is accepted", {"severity": "medium"}, "high", "active", "exceeded"),
    ("as near as is accepted", {"state": "eligible"}, "medium", "eligible", "used"),
    ("further than is accepted", {"state": "eligible"}, "medium", "latent", "used"),
    ("nearer than is accepted", {"state": "eligible"}, "medium", "active", "exceeded"),
    ("milder but nearer", {"severity": "high", "state": "eligible"}, "medium", "conditional", "exceeded"),
    ("both as accepted", {"severity": "high", "state": "active"}, "high", "active", "used"),
]


@pytest.mark.parametrize(
    ("bounds", "severity", "state", "status"), [row[1:] for row in _BOUNDS], ids=[row[0] for row in _BOUNDS]
)
def test_an_acceptance_holds_no_further_than_it_says(
    bounds: dict[str, str], severity: Any, state: Any, status: str
) -> None:
    """E08: accepted while it could only be activated, a way counts once it is open; the same is kept in a report."""
    data = table(**{key: f'"{value}"' for key, value in bounds.items()})
    found = [told.finding("f1", severity=severity, state=state)]
    today = date(2026, 1, 1)
    (made,) = settle(parse(data, "allow.toml"), found, today=today)
    assert made.status == status
    assert settle([made], found, today=today) == (made,)
    assert [one.accepted is not None for one in allowed(told.report(*found), [made]).findings] == [
        status == "used"
    ]


def test_the_example_of_the_help_is_in_order(tmp_path: Path) -> None:
    """What the tests take for a good file is one that lies on a disk as well."""
    file = tmp_path / "allow.toml"
    file.write_text(TOML, "utf-8")
    assert parse(file.read_bytes(), str(file)) == (ENTRY,)
