"""`groupgate bypass --compare`: what it exits with, and the ready workflow that calls it every night."""

from __future__ import annotations

import argparse
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.cli import bypass
from shared.cli.bypassoptions import check
from tests.unit.bypass import world
from tests.unit.cli.bypassing import ALICE, BOB, CLOSED, ELIGIBLE, OPEN, UNREAD, Command, Document, snapshot

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


EARLIER, LATER = {"collectedAt": "2026-11-20T08:00:00Z"}, {"collectedAt": "2026-11-21T08:00:00Z"}
_COMPARED: list[tuple[str, Document, Document, tuple[str, ...], int]] = [
    ("nothing and nothing", CLOSED, CLOSED, (), 0),
    ("the same way", OPEN, OPEN, (), 0),
    ("it opened", CLOSED, OPEN, (), 1),
    ("it opened below what is asked for", CLOSED, OPEN, ("--fail-on", "critical"), 0),
    ("it closed", OPEN, CLOSED, (), 0),
    ("another person", OPEN, snapshot(BOB), (), 1),
    ("one more person", OPEN, snapshot(ALICE, BOB), (), 1),
    ("activated", snapshot(ELIGIBLE), OPEN, (), 1),
    ("only eligible now", OPEN, snapshot(ELIGIBLE), (), 0),
    ("it closed, but not all was read", OPEN, snapshot(unread=UNREAD), (), 2),
    ("the same, but not all was read", OPEN, OPEN | {"unread": UNREAD}, (), 2),
    ("it opened, and not all was read", CLOSED, OPEN | {"unread": UNREAD}, (), 1),
    ("not all was read before", CLOSED | {"unread": UNREAD}, CLOSED, (), 0),
    ("it closed, with another gate", OPEN, CLOSED | {"gate": {"principalId": "alice"}}, (), 2),
    ("another gate, and it opened", CLOSED | {"gate": {"principalId": "gate"}}, OPEN, (), 1),
    ("it closed, by the older one", OPEN | LATER, CLOSED | EARLIER, (), 2),
    ("the same, in the wrong order", OPEN | LATER, OPEN | EARLIER, (), 2),
    ("it opened, in the wrong order", CLOSED | LATER, OPEN | EARLIER, (), 1),
    ("it closed, in order", OPEN | EARLIER, CLOSED | LATER, (), 0),
    ("a broken one", CLOSED, {}, (), 2),
    ("another target", CLOSED, CLOSED | {"target": {
        "id": f"{world.ENDPOINT}-2", "properties": {"authMode": "AADToken", "publicNetworkAccess": "Disabled"}}}, (), 2),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["snapshots", "reports", "a report and a snapshot"])
@pytest.mark.parametrize(
    ("old", "new", "options", "code"), [row[1:] for row in _COMPARED], ids=[row[0] for row in _COMPARED]
)
def test_a_comparison_exits_by_what_opened(
    command: Command, old: Document, new: Document, options: tuple[str, ...], code: int, kind: str
) -> None:
    """Snapshots and reports say the same; what was open before does not count, in text and in JSON."""
    first, second = command.file("old.json", old), command.file("new.json", new)
    if kind != "snapshots":
        first = command.file("old-report.json", command("--from", first, "--json").out)
    if kind == "reports":
        second = command.file("new-report.json", command("--from", second, "--json").out)
    said = command("--compare", first, second, *options)
    assert said.code == code
    assert "Traceback" not in said.err
    assert command("--compare", first, second, *options, "--json").code == code


def test_an_acceptance_that_ended_between_two_reports_counts(command: Command) -> None:
    """The older report had it accepted; today nobody answers for it."""
    source = command.file("s.json", OPEN)
    allow = command.allow(OPEN, "2026-12-31")
    old, new = (
        command.file(name, command("--from", source, "--allow", allow, "--json").out)
        for name in ("old.json", "new.json")
    )
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert command("--compare", old, new).code == 0
    said = command("--compare", old, new, now=later)
    assert said.code == 1
    assert "became worse" in said.out
    renewed = command.allow(OPEN, "2027-12-31")
    assert command("--compare", old, new, "--allow", renewed, now=later).code == 0


def test_a_file_of_accepted_findings_replaces_what_a_report_was_made_with(command: Command) -> None:
    """E08: an empty one too: nothing is accepted any more."""
    allow = command.allow(OPEN, "2026-12-31")
    stored = command.file(
        "r.json", command("--from", command.file("s.json", OPEN), "--allow", allow, "--json").out
    )
    closed = command.file("closed.json", CLOSED)
    empty = command.file("empty.toml", "accepted = []\n")
    assert command("--compare", closed, stored).code == 0
    assert command("--compare", closed, stored, "--allow", allow).code == 0
    assert command("--compare", closed, stored, "--allow", empty).code == 1


@pytest.mark.parametrize(
    ("bounds", "single", "compared"),
    [
        ({}, 0, 1),
        ({"state": "eligible"}, 1, 1),
        ({"severity": "medium"}, 1, 1),
        ({"severity": "high"}, 0, 0),
    ],
    ids=["nothing said", "while eligible", "while medium", "whatever it becomes"],
)
def test_what_was_accepted_while_it_was_milder_counts_when_it_is_worse(
    command: Command, bounds: Document, single: int, compared: int
) -> None:
    """E08: accepted while alice had to activate it; then it is hers all the time."""
    eligible = snapshot(ELIGIBLE)
    entries = json.loads(Path(command.allow(eligible, "2026-12-31")).read_text("utf-8"))["accepted"]
    reached = {one["id"]: one for one in command.findings(OPEN)}
    # What is of medium severity in any state stays out: here it is about the one that becomes high.
    listed = [entry | bounds for entry in entries if reached[entry["id"]]["severity"] == "high"]
    allow = command.file("bounded.json", {"accepted": listed})
    before, now = command.file("before.json", eligible), command.file("now.json", OPEN)
    assert listed
    assert command("--from", now, "--allow", allow, "--fail-on", "high").code == single
    assert command("--compare", before, now, "--allow", allow, "--fail-on", "high").code == compared


def test_what_would_be_is_not_compared_with_what_is(command: Command) -> None:
    """Else everything would seem to have closed."""
    source = command.file("s.json", OPEN)
    supposed = command.file("new.json", command("--from", source, "--what-if", "--json").out)
    said = command("--compare", source, supposed)
    assert said.code == 2
    assert "what would be" in said.err


WATCH = (ROOT / "infra" / "bypass-watch.yml").read_text("utf-8")


def test_the_ready_workflow_asks_for_what_there_is() -> None:
    """Each call of the command in infra/bypass-watch.yml is one that the command takes."""
    calls = re.findall(r"python -m shared bypass ((?:[^\n]*\\\n)*[^\n]*?)(?: \|\|.*)?\n", WATCH)
    assert len(calls) == 4
    for call in calls:
        words = call.replace("\\\n", " ").partition(" > ")[0]
        for variable, value in (
            ('"${gate[@]}"', "--gate G"), ('"${allow[@]}"', "--allow A"), ('"$TARGET"', "T")
        ):  # fmt: skip
            words = words.replace(variable, value)
        assert "$" not in words
        parser = argparse.ArgumentParser(exit_on_error=False)
        bypass.add_arguments(parser)
        check(parser.parse_args(words.split()))


def test_the_ready_workflow_trusts_nothing_that_can_change_and_keeps_no_secret() -> None:
    """Actions are named by commit, the token may do no more than it must, and Azure is signed in to without a secret."""
    actions = re.findall(r"uses: (\S+)", WATCH)
    assert len(actions) == 4
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in actions)
    assert "secrets." not in WATCH
    assert "\npermissions: {}\n" in WATCH
    granted = WATCH.partition("\n    permissions:\n")[2].partition("\n    env:")[0]
    assert [line.partition("#")[0].strip() for line in granted.splitlines()] == [
        *("actions: read", "contents: read", "id-token: write", "security-events: write"),
    ]
    # What comes from outside reaches a shell as a variable, never as a part of its text.
    runs = re.findall(r"run: \|\n((?: {10}.*\n|\n)+)", WATCH)
    assert len(runs) == 8
    assert not any("${{" in run for run in runs)
