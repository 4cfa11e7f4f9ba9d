"""`groupgate bypass`: what it exits with, whatever is found, asked or broken; and what it collects and keeps."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.bypass import azure
from shared.cli import bypasscollect
from shared.cli.bypassoptions import Misused, Untold
from shared.cli.main import COMMANDS, main
from tests.unit.bypass import world
from tests.unit.cli.bypassing import (
    ALICE,
    CLOSED,
    ELIGIBLE,
    GROUP,
    LOW,
    OPEN,
    UNREAD,
    Command,
    Document,
    snapshot,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


_EXITS: list[tuple[str, Document | str, tuple[str, ...], int]] = [
    ("nothing found", CLOSED, (), 0),
    ("nothing found, asked for low", CLOSED, ("--fail-on", "low"), 0),
    ("low alone", LOW, (), 0),
    ("low alone, asked for low", LOW, ("--fail-on", "low"), 1),
    ("a way", OPEN, (), 1),
    ("a way, asked for high", OPEN, ("--fail-on", "high"), 1),
    ("a way below what is asked for", OPEN, ("--fail-on", "critical"), 0),
    ("eligible", snapshot(ELIGIBLE), (), 1),
    ("eligible, asked for high", snapshot(ELIGIBLE), ("--fail-on", "high"), 0),
    ("keys are taken", snapshot(mode="Key"), ("--fail-on", "critical"), 1),
    ("something was not read", snapshot(unread=UNREAD), (), 2),
    ("low, and something was not read", LOW | {"unread": UNREAD}, (), 2),
    ("a way below what is asked for, and something was not read", OPEN | {"unread": UNREAD},
     ("--fail-on", "critical"), 2),
    ("a way, and something was not read", OPEN | {"unread": UNREAD}, (), 1),
    ("a part of the snapshot is missing", {k: v for k, v in CLOSED.items() if k != "denyAssignments"}, (), 2),
    ("a broken snapshot", CLOSED | {"roleAssignments": [{"id": "x"}]}, (), 2),
    ("a snapshot of something else", CLOSED | {"target": {"id": world.WORKSPACE}}, (), 2),
    ("a report instead of a snapshot", {"version": 1, "verdict": "closed", "findings": []}, (), 2),
    ("no JSON", "{", (), 2),
    ("a name twice in the snapshot", '{"target": {}, "target": {}}', (), 2),
    ("empty", "", (), 2),
]  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [(), ("--json",), ("--sarif",), ("--html", "-"), ("--fixes",)],
    ids=lambda f: " ".join(f) or "text",
)
@pytest.mark.parametrize(
    ("document", "options", "code"), [row[1:] for row in _EXITS], ids=[row[0] for row in _EXITS]
)
def test_the_exit_code_says_what_was_found_in_every_form(
    command: Command, document: Any, options: tuple[str, ...], code: int, form: tuple[str, ...]
) -> None:
    """0 nothing goes around, 1 findings that count, 2 could not tell; what is found counts before what is not known."""
    said = command("--from", command.file("s.json", document), *options, *form)
    assert said.code == code
    assert "Traceback" not in said.err


_WRONG: list[tuple[str, ...]] = [
    (),
    ("--frmo", "x"),
    ("--from",),
    ("--from", "x", "--fail-on", "severe"),
    ("--from", "x", "TARGET"),
    ("TARGET", "--compare", "a", "b"),
    ("--from", "x", "--compare", "a", "b"),
    ("--compare", "a"),
    ("--from", "x", "--gate", "g"),
    ("--from", "x", "--gate-identity", "g"),
    ("--from", "x", "--gate-storage", "g"),
    ("--from", "x", "--save", "y"),
    ("--from", "x", "--management", "https://management.azure.com"),
    ("--compare", "a", "b", "--save", "y"),
    ("--compare", "a", "b", "--sarif"),
    ("--compare", "a", "b", "--html", "p.html"),
    ("--compare", "a", "b", "--explain", "f"),
    ("--compare", "a", "b", "--fixes"),
    ("--compare", "a", "b", "--what-if"),
    ("--from", "x", "--json", "--sarif"),
    ("--from", "x", "--json", "--explain", "f"),
    ("--from", "x", "--html", "-", "--json"),
    ("--from", "x", "--html", "-", "--sarif"),
    ("--from", "x", "--html", "-", "--fixes"),
    ("--from", "x", "--html", "-", "--explain", "f"),
    ("--from", "x", "--html", "x"),
    ("--from", "x", "--html", "./y/../x"),
    ("--from", "x", "--allow", "y", "--html", "y"),
    ("TARGET", "--allow", "x", "--save", "x"),
    ("TARGET", "--allow", "x", "--html", "x"),
    ("TARGET", "--save", "x", "--html", "./x"),
    ("--from", "x", "--what-if", "--sarif"),
    ("--from", "x", "--what-if", "--fixes"),
    ("--from", "x", "--emergency-group", GROUP),
    ("--from", "x", "--fixes", "--emergency-group", "Everyone"),
    ("not-an-id",),
    (world.WORKSPACE,),
    (world.ENDPOINT, "--gate", "not-an-id"),
    (world.ENDPOINT, "--management", "http://management.azure.com"),
]


@pytest.mark.parametrize("argv", _WRONG, ids=" ".join)
def test_wrong_arguments_exit_with_3(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither 1 nor 2, which say something about the model; and something is said on stderr alone."""
    try:
        code: object = main(["bypass", *argv])
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    assert code == 3
    assert captured.out == ""
    assert captured.err.startswith(("groupgate bypass: ", "usage: groupgate "))


@pytest.mark.parametrize("argv", [("check", "--nonsense"), ("usage",), ("nonsense",), ()], ids=str)
def test_other_commands_keep_2_for_wrong_arguments(argv: tuple[str, ...]) -> None:
    """3 is for the one command in which 2 says something else."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def test_help_exits_with_0_and_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Who writes a pipeline finds them there."""
    with pytest.raises(SystemExit) as ended:
        main(["bypass", "--help"])
    assert ended.value.code == 0
    assert "3: wrong arguments" in capsys.readouterr().out
    assert "bypass" in COMMANDS


@pytest.mark.parametrize("option", ["--from", "--allow", "--compare"])
def test_a_file_that_cannot_be_read_is_2(command: Command, option: str) -> None:
    """The arguments are as they should be; what they name is not there."""
    good = command.file("s.json", CLOSED)
    argv = {
        "--from": ("--from", "nowhere.json"),
        "--allow": ("--from", good, "--allow", "nowhere.toml"),
        "--compare": ("--compare", good, "nowhere.json"),
    }[option]
    said = command(*argv)
    assert said.code == 2
    assert said.out == ""
    assert "cannot read nowhere" in said.err


@pytest.mark.parametrize("content", ["{", "{}", json.dumps(CLOSED | {"target": {"id": world.WORKSPACE}})])
def test_what_is_wrong_with_a_file_is_said_with_its_name(command: Command, content: str) -> None:
    """Who judges many of them must know which one it is; of two that are compared, too."""
    good, bad = command.file("good.json", CLOSED), command.file("bad.json", content)
    for argv in (("--from", bad), ("--compare", good, bad), ("--compare", bad, good)):
        said = command(*argv)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"groupgate bypass: {bad}: ")


def test_a_broken_report_is_named(command: Command) -> None:
    """The same for what --json printed."""
    good = command.file("good.json", CLOSED)
    bad = command.file("bad.json", {"version": 1, "verdict": "closed", "findings": []})
    said = command("--compare", good, bad)
    assert said.code == 2
    assert said.err.startswith(f"groupgate bypass: {bad}: ")


def test_a_crash_is_2_and_tells_all(command: Command) -> None:
    """Python exits with 1 after an exception, which would say that ways were found."""
    command.answer = ZeroDivisionError("division of the house")
    said = command(world.ENDPOINT)
    assert said.code == 2
    assert "Traceback" in said.err
    assert "division of the house" in said.err


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Untold("nobody is signed in\x1b[2J"), 2), (Misused("the target is none"), 3)],
    ids=["not signed in", "no target"],
)
def test_what_cannot_be_collected_is_told_on_stderr(command: Command, fault: Exception, code: int) -> None:
    """Nothing is printed that could be taken for a report."""
    command.answer = fault
    said = command(world.ENDPOINT)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("groupgate bypass: ")
    assert "\x1b" not in said.err


def test_a_target_that_is_not_there_is_2_and_nothing_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who misspelt it gets no verdict and no fixes, and is told what to check."""

    def collect(*_: object, **__: object) -> Document:
        raise azure.NoTarget("Azure has no such endpoint: check the id")

    monkeypatch.setattr(azure, "collect", collect)
    monkeypatch.setattr(bypasscollect, "signed_in", lambda: None)
    saved = tmp_path / "saved.json"
    assert main(["bypass", world.ENDPOINT, "--save", str(saved), "--fixes"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "groupgate bypass: Azure has no such endpoint: check the id\n")
    assert not saved.exists()


def test_what_is_collected_is_judged_and_kept(command: Command) -> None:
    """--save writes the snapshot, for its owner alone, and judging it again says the same."""
    saved = command.folder / "saved.json"
    first = command(world.ENDPOINT, "--gate", "gate", "--save", str(saved))
    again = command("--from", str(saved))
    assert (first.code, first.out) == (again.code, again.out)
    assert first.err == f"groupgate bypass: the snapshot is in {saved}\n"
    assert json.loads(saved.read_text("utf-8")) == OPEN
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    (asked,) = command.collected
    assert (asked.target, asked.gate) == (world.ENDPOINT, "gate")


def test_a_snapshot_that_cannot_be_judged_is_kept_all_the_same(command: Command) -> None:
    """Somebody may find out what is wrong with it."""
    command.answer = {"target": {"id": "x"}}
    saved = command.folder / "saved.json"
    assert command(world.ENDPOINT, "--save", str(saved)).code == 2
    assert json.loads(saved.read_text("utf-8")) == command.answer


@pytest.mark.parametrize("option", ["--save", "--html"])
def test_a_file_that_cannot_be_written_is_2(command: Command, option: str) -> None:
    """A pipeline that hands on yesterday's file must not be green."""
    said = command(world.ENDPOINT, option, str(command.folder / "no" / "such" / "folder"))
    assert said.code == 2
    assert "cannot write" in said.err


def test_a_snapshot_is_judged_without_azures_libraries() -> None:
    """An auditor's machine has neither the SDK nor the network: nothing of either is imported."""
    script = (
        "import sys, shared.cli.bypass; print(sorted({'azure', 'requests', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_letter_that_a_code_page_lacks_does_not_end_the_command(
    command: Command, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """It is escaped, and the exit code is the same as elsewhere."""
    document = snapshot(ALICE)
    document["directory"]["principals"]["alice"]["displayName"] = "安全 Ольга"
    source = command.file("s.json", document)
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    code = command("--from", source).code
    out.flush()
    assert code == 1
    assert b"\\u5b89\\u5168" in written.getvalue()


def test_the_whole_command_runs_as_a_process(tmp_path: Path) -> None:
    """As a pipeline calls it: the exit code is the process's."""
    source = tmp_path / "s.json"
    source.write_text(json.dumps(OPEN))
    done = subprocess.run(
        [sys.executable, "-m", "shared", "bypass", "--from", str(source)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("OPEN: ")
    assert done.stderr == ""
