"""`groupgate bypass`: the forms in which it tells what it found, what was accepted of it, and what would close it."""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.cli.bypassing import ALICE, CLOSED, GROUP, OPEN, OWNER, UNREAD, Command, Document, snapshot


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_the_page_is_written_beside_what_is_printed(command: Command) -> None:
    """One run makes the text for the log and the page for the auditor."""
    path = command.folder / "page.html"
    said = command("--from", command.file("s.json", OPEN), "--html", str(path))
    assert said.out.startswith("OPEN: ")
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert command("--from", command.file("s.json", OPEN), "--html", "-").out == path.read_text("utf-8")


@pytest.mark.parametrize("option", ["--from", "--allow"])
def test_the_page_is_not_written_over_what_it_is_made_of(command: Command, option: str) -> None:
    """A snapshot and an acceptance are evidence: by another name for one, a link to it or from it, neither."""
    given = {"--from": command.file("s.json", OPEN), "--allow": command.allow(OPEN, "2026-12-31")}
    path = Path(given[option])
    before = path.read_bytes()
    link, hard = command.folder / "link.html", command.folder / "hard.html"
    link.symlink_to(path)
    hard.hardlink_to(path)
    for name in (path, link, hard, command.folder / "nowhere" / ".." / path.name):
        said = command(*(word for pair in given.items() for word in pair), "--html", str(name))
        assert (said.code, said.out) == (3, "")
        assert said.err == f"groupgate bypass: {option} and --html name one file\n"
    assert path.read_bytes() == before


def test_a_page_that_others_may_read_is_replaced(command: Command) -> None:
    """By one that its owner alone may read."""
    path = Path(command.file("page.html", "old"))
    path.chmod(0o644)
    command("--from", command.file("s.json", OPEN), "--html", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_json_and_sarif_are_what_they_are_elsewhere(command: Command) -> None:
    """The command adds nothing to them."""
    source = command.file("s.json", OPEN)
    report = json.loads(command("--from", source, "--json").out)
    assert report["judged"] == "2026-11-22T10:30:00Z"
    assert report["afterCommands"] is None
    made = json.loads(command("--from", source, "--sarif").out)
    assert made["version"] == "2.1.0"
    assert len(made["runs"][0]["results"]) == len(report["findings"])


def test_one_finding_is_explained_by_its_id(command: Command) -> None:
    """An id in any case, with blanks around it as they come with copying; one that there is not is a wrong argument."""
    source = command.file("s.json", OPEN)
    wanted = command.findings(OPEN)[0]["id"]
    said = command("--from", source, "--explain", f" {wanted.upper()} ")
    assert said.code == 1
    assert said.out.startswith(f"{wanted}  high  invoke: calls it directly\n")
    missing = command("--from", source, "--explain", "nothing\x1b[2J")
    assert (missing.code, missing.out) == (3, "")
    assert "\x1b" not in missing.err


@pytest.mark.parametrize(
    ("now", "code"),
    [("2026-12-31T23:59:59", 0), ("2027-01-01T00:00:00", 1)],
    ids=["on its last day", "the day after"],
)
def test_accepted_findings_do_not_count_until_their_end(command: Command, now: str, code: int) -> None:
    """They stay in the report, marked; expired ones count again, and that is told."""
    allow = command.allow(OPEN, "2026-12-31")
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    said = command("--from", command.file("s.json", OPEN), "--allow", allow, now=moment)
    assert said.code == code
    assert said.out.startswith("OPEN: ")
    assert ("accepted until 2026-12-31 by Dana Fox" in said.out) is (code == 0)
    assert ("has expired, and the finding counts again" in said.out) is (code == 1)


def test_an_acceptance_does_not_make_up_for_what_was_not_read(command: Command) -> None:
    """All that was found is accepted, and it still cannot be told."""
    document = OPEN | {"unread": UNREAD}
    allow = command.allow(document, "2026-12-31")
    assert command("--from", command.file("s.json", document), "--allow", allow).code == 2


def test_a_faulty_file_of_accepted_findings_accepts_nothing(command: Command) -> None:
    """Every fault is a line on stderr, and nothing is judged with half of it."""
    allow = command.file("allow.toml", "[[accepted]]\nid = 'x'\n[[accepted]]\nowner = 'y'\n")
    said = command("--from", command.file("s.json", OPEN), "--allow", allow)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("groupgate bypass: ") == 2


def test_fixes_are_a_script_whose_commands_close_what_was_found(command: Command) -> None:
    """Every line is a command of `az` or a comment; --what-if says what would remain, and it is less."""
    document = snapshot(ALICE, {"to": "bob", "role": OWNER, "at": "root"})
    source = command.file("s.json", document)
    said = command("--from", source, "--fixes")
    lines = [line for line in said.out.splitlines() if line and not line.startswith("#")]
    assert said.code == 1
    assert lines == [f"az role assignment delete --ids {document['roleAssignments'][0]['id']}"]
    assert subprocess.run(["bash", "-n"], input=said.out, text=True, check=False).returncode == 0
    after = command("--from", source, "--what-if")
    assert after.out.startswith("OPEN if 1 command were run: ")
    assert '"Bob"' in after.out
    assert '"Alice"' not in after.out


def test_what_is_accepted_is_not_fixed(command: Command) -> None:
    """Somebody answers for it staying open."""
    allow = command.allow(OPEN, "2026-12-31")
    said = command("--from", command.file("s.json", OPEN), "--allow", allow, "--fixes")
    assert said.out.startswith("# Nothing to close about onlineEndpoints/fraud-score: no finding counts.\n")
    assert command("--from", command.file("s.json", OPEN), "--allow", allow, "--what-if").code == 0


def test_the_least_role_and_the_seal_are_printed_with_the_fixes(command: Command) -> None:
    """The seal takes an emergency group and a gate that is named; without them the text says so."""
    gated = OPEN | {"gate": {"principalId": "gate"}}
    with_group = ("--fixes", "--emergency-group", GROUP)
    sealed = command("--from", command.file("s.json", gated), *with_group).out
    assert "# az role definition create --role-definition " in sealed
    assert "denyAssignments" in sealed
    assert GROUP in sealed
    for document, options in ((gated, ("--fixes",)), (OPEN, with_group)):
        said = command("--from", command.file("s.json", document), *options).out
        assert (
            "# The seal, a deny assignment for everybody but the gate and an emergency group, takes both:"
            in said
        )
        assert "denyAssignments" not in said


@pytest.mark.parametrize(
    ("document", "rest"),
    [(CLOSED, "."), (CLOSED | {"unread": UNREAD}, ", but not everything could be read.")],
    ids=["all read", "not all read"],
)
def test_where_nothing_counts_there_is_nothing_to_close(
    command: Command, document: Document, rest: str
) -> None:
    """No order, for there are no commands."""
    said = command("--from", command.file("s.json", document), "--fixes").out
    assert said.startswith(
        f"# Nothing to close about onlineEndpoints/fraud-score: no finding counts{rest}\n\n"
    )
    assert "0 commands" not in said


def test_the_seal_says_who_of_its_group_goes_on_as_before(command: Command) -> None:
    """Alice reaches the model today, and nobody in the group is sealed out, though she is accepted."""
    document = snapshot(ALICE, gate={"principalId": "gate"})
    document["directory"] = document["directory"] | {"groupMembers": {GROUP: ["alice", "bob"]}}
    source = command.file("s.json", document)
    caution = "# caution: 1 member of this group reaches the model today and stays outside the seal.\n"
    for allow in ((), ("--allow", command.allow(document, "2026-12-31"))):
        assert caution in command("--from", source, "--fixes", "--emergency-group", GROUP, *allow).out
    document["directory"]["groupMembers"] = {GROUP: ["bob"]}
    source = command.file("s.json", document)
    assert "outside the seal" not in command("--from", source, "--fixes", "--emergency-group", GROUP).out


def test_what_if_of_what_is_closed_is_closed(command: Command) -> None:
    """No command, nothing changed, and it still says that it is a supposition."""
    said = command("--from", command.file("s.json", CLOSED), "--what-if", "--json")
    assert said.code == 0
    assert json.loads(said.out)["afterCommands"] == 0
