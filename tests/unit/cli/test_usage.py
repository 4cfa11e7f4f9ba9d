"""`groupgate usage`: who used which model how much, from the audit's files as the gate writes them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit.chain import Chain
from shared.audit.record import DecisionRecord, Membership, OutcomeRecord, encode
from shared.cli.main import main
from shared.cli.metering import PARTS, Record, Sums, Tally, total

ROOT = Path(__file__).resolve().parents[3]
ANALYSTS = "6f1b2c3d-0000-4000-8000-000000000001"
ENGINEERS = "6f1b2c3d-0000-4000-8000-000000000002"
ANN = "22222222-0000-4000-8000-000000000001"
BOB = "22222222-0000-4000-8000-000000000002"
MINI = "model:gpt-4.1-mini"
POLICY = f"""
version = 1
[groups]
ml-engineers = "{ENGINEERS}"
[endpoints.fraud]
kind = "online"
url = "https://fraud.westeurope.inference.ml.azure.com/score"
rules = [{{ id = "staff", effect = "allow", groups = ["ml-engineers"] }}]
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Give each test an environment whose policy does not exist; the command reads the process's own."""
    monkeypatch.setenv("GROUPGATE_POLICY", str(tmp_path / "none.toml"))
    return monkeypatch


def decision(request_id: str, **changes: Any) -> DecisionRecord:
    """Return the record of an allowed chat."""
    group: str | None = changes.pop("group", ENGINEERS)
    fields: dict[str, Any] = {
        "time": "2026-11-22T10:00:00.000Z",
        "request_id": request_id,
        "instance": "i1",
        "process": "p1",
        "tenant": "t",
        "principal": ANN,
        "kind": "user",
        "client": None,
        "route": MINI,
        "operation": "chat/completions",
        "deployment": None,
        "job": None,
        "decision": "allow",
        "reason": "member",
        "rule": "engineers",
        "membership": None if group is None else Membership(source="claim", age_s=1.0, group=group),
        "counted": None,
        "policy": "d" * 64,
    }
    return DecisionRecord(**fields | changes)


def outcome(request_id: str, tokens: tuple[int, int] | None = (10, 5), **changes: Any) -> OutcomeRecord:
    """Return the record of an answer with `tokens` of prompt and completion; None where the model told none."""
    fields: dict[str, Any] = {
        "time": "2026-11-22T10:00:01.000Z",
        "request_id": request_id,
        "instance": "i1",
        "process": "p1",
        "policy": "d" * 64,
        "outcome": "ok",
        "status": 200,
        "model": "gpt-4.1-mini",
        "prompt_tokens": tokens and tokens[0],
        "completion_tokens": tokens and tokens[1],
        "total_tokens": tokens and sum(tokens),
    }
    return OutcomeRecord(**fields | changes)


def sealed(*records: DecisionRecord | OutcomeRecord, chain: Chain | None = None) -> bytes:
    """Return the records as a file of the gate."""
    chain = chain or Chain()
    return b"".join(chain.seal(encode(record)) for record in records)


def call(request_id: str, **changes: Any) -> tuple[DecisionRecord, OutcomeRecord]:
    """Return both records of one call."""
    return decision(request_id, **changes), outcome(request_id)


class Said(msgspec.Struct):
    """What the command did."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of JSON."""
        rows: list[dict[str, Any]] = json.loads(self.out)["rows"]
        return rows

    def total(self) -> dict[str, int]:
        """Return the total of JSON, without what is 0."""
        whole: dict[str, int] = json.loads(self.out)["total"]
        return {name: count for name, count in whole.items() if count}


class Usage:
    """The command, over files in the test's folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def __call__(self, *files: bytes, arguments: Sequence[str] = ("--json",)) -> Said:
        """Run over `files`, named 0, 1 and so on."""
        names = [self.path(str(number)) for number in range(len(files))]
        for name, data in zip(names, files, strict=True):
            Path(name).write_bytes(data)
        return self.run(*names, *arguments)

    def run(self, *arguments: str) -> Said:
        code = main(["usage", *arguments])
        said = self._capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)


@pytest.fixture
def usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Usage:
    """Return the command."""
    return Usage(tmp_path, capsys)


FILE = sealed(*call("a"), *call("b"), *call("c"))
FIRST, SECOND, *_, LAST = FILE.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"hello\n" + FILE, ["0, line 1: is no audit record"], id="text is no record"),
        pytest.param(b"\n" + FILE, ["0, line 1: is no audit record"], id="an empty line is no record"),
        pytest.param(b'{"event":"decision"}\n' + FILE, ["line 1: is no audit record"], id="a record has ids"),
        pytest.param(b"[" * 9999 + b"\n" + FILE, ["line 1: is no audit record"], id="nesting is no record"),
        pytest.param(b"\xff\xfe\n" + FILE, ["line 1: is no audit record"], id="no UTF-8 is no record"),
        pytest.param(
            FIRST.replace(b"22T10:00:00.000Z", b"22T10:00:00.000") + FILE,
            ["line 1: is no audit record"],
            id="a time without a zone has no day",
        ),
        pytest.param(
            SECOND.replace(b'"total_tokens":15', b'"total_tokens":-15') + FILE,
            ["line 1: is no audit record"],
            id="tokens are never given back",
        ),
        pytest.param(
            b"x" * 300_000 + b"\n" + FILE, ["line 1: is no audit record"], id="a line longer than any record"
        ),
        pytest.param(FILE + FIRST[:100], ["0, line 7: is no audit record, or is cut short"], id="a torn end"),
        pytest.param(
            FILE.replace(LAST, b""),
            ["note: 1 calls have no outcome"],
            id="an end that is missing is unfinished",
        ),
    ],
)
def test_t23_what_is_no_record_is_told_with_its_line_and_the_rest_is_counted(
    data: bytes, told: list[str], usage: Usage
) -> None:
    """T23: exit code 2 for whatever could not be read, and the numbers of what could."""
    said = usage(data)
    assert said.code == (0 if "note" in told[0] else 2)
    assert all(text in said.err for text in told), said.err
    assert said.total()["calls"] == 3


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param([0, 1, 3, 4, 5], "line 3: does not follow", id="a line that was removed"),
        pytest.param([0, 1, 3, 2, 4, 5], "line 3: does not follow", id="lines that changed places"),
        pytest.param([1, 2, 4, 5], "line 3: does not follow", id="a line that was removed from a later part"),
    ],
)
def test_t23_a_broken_chain_is_told_with_its_line_and_the_exit_code_is_2(
    lines: list[int], told: str, usage: Usage
) -> None:
    """T23: somebody changed the past, so the numbers may be wrong: they are printed, and that is said."""
    whole = FILE.splitlines(keepends=True)
    said = usage(b"".join(whole[number] for number in lines))
    assert (said.code, told in said.err) == (2, True)
    assert said.total()["calls"] >= 2


def test_t23_an_altered_number_breaks_the_chain(usage: Usage) -> None:
    """T23: tokens that were written down cannot be written up."""
    said = usage(FILE.replace(b'"total_tokens":15', b'"total_tokens":1', 1))
    assert said.code == 2
    assert "line 3: does not follow the record before it" in said.err


def test_a_file_full_of_faults_is_told_in_few_lines(usage: Usage) -> None:
    """The wrong file must not bury the terminal."""
    said = usage(b"hello\n" * 5000, FILE)
    assert said.err.count("is no audit record") == 10
    assert "0: and 4,990 more lines with faults" in said.err
    assert said.total()["calls"] == 3


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_counted(usage: Usage, tmp_path: Path) -> None:
    """Exit code 2, one line for each, no traceback."""
    Path(usage.path("good")).write_bytes(FILE)
    said = usage.run(usage.path("missing"), str(tmp_path), usage.path("good"), "--json")
    assert said.code == 2
    assert "missing: No such file or directory" in said.err
    assert f"cannot read {tmp_path}: Is a directory" in said.err
    assert said.total()["calls"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--by", "tenant"], id="by something unknown"),
        pytest.param(["--by", "day,day"], id="twice by the same"),
        pytest.param(["--by", ""], id="by nothing"),
        pytest.param(["--since", "yesterday"], id="since no day"),
        pytest.param(["--until", "2026-02-30"], id="until a day that is none"),
        pytest.param(["--csv", "--json"], id="in two formats"),
    ],
)
def test_wrong_arguments_end_with_2(arguments: list[str], usage: Usage) -> None:
    """The parser tells what is wrong; nothing is read."""
    with pytest.raises(SystemExit) as ended:
        usage.run("audit.jsonl", *arguments)
    assert ended.value.code == 2


def test_a_policy_that_was_named_and_is_not_in_order_is_told(usage: Usage) -> None:
    """Who names a policy wants its names: its faults, one a line, and 2."""
    said = usage(FILE, arguments=["--policy", usage.path("missing.toml")])
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("--policy: cannot read")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("=1+1", "'=1+1", id="a formula"),
        pytest.param("+1", "'+1", id="a plus"),
        pytest.param("-1", "'-1", id="a minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="an at sign"),
        pytest.param("\t=1", "\\t=1", id="a tab before a formula"),
        pytest.param("\r=1", "\\r=1", id="a carriage return before a formula"),
        pytest.param('a"b,c', 'a"b,c', id="quotes and commas"),
    ],
)
def test_t23_no_value_is_a_formula_in_csv(text: str, shown: str, usage: Usage) -> None:
    """T23: a spreadsheet shows the value and computes nothing."""
    said = usage(sealed(*call("a", principal=text)), arguments=["--by", "caller", "--csv"])
    _, row = csv.reader(io.StringIO(said.out))
    assert row[0] == shown


FORMS: dict[str, list[str]] = {"table": [], "csv": ["--csv"], "json": ["--json"]}


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_t23_no_value_steers_a_terminal(form: str, usage: Usage) -> None:
    """T23: escape sequences, line feeds and bidirectional marks are shown and not obeyed, whatever the format."""
    hostile = "\x1b[2J\r\n\u202e\x9b\x7f"
    said = usage(sealed(*call("a", principal=hostile)), arguments=["--by", "caller", *FORMS[form]])
    assert not set(hostile) - {"[", "2", "J", "\n"} & set(said.out)
    assert said.out.isascii()
    assert len(said.out.splitlines()) == {"table": 3, "csv": 2, "json": 30}[form]


REFUSED = {"decision": "deny", "reason": "not-member", "group": None, "rule": None}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param([decision("a", **REFUSED)], {"refused": 1}, id="a denial is refused and no call"),
        pytest.param(
            [decision("a", decision="error", reason="graph-unavailable")],
            {"refused": 1},
            id="what cannot be decided is refused",
        ),
        pytest.param(
            [decision("a", decision="error", reason="rate-limited")],
            {"limited": 1},
            id="a limit has its column",
        ),
        pytest.param(
            [decision("a")], {"calls": 1, "unmetered": 1}, id="a call that is not over has no tokens"
        ),
        pytest.param(
            [decision("a"), outcome("a", None, outcome="upstream-500")],
            {"calls": 1, "unmetered": 1},
            id="a call that failed is not ok",
        ),
        pytest.param(
            [decision("a"), outcome("a", None, outcome="unknown")],
            {"calls": 1, "unmetered": 1},
            id="a call that a crash ended is not ok",
        ),
        pytest.param(
            [decision("a"), outcome("a", (10, 5), outcome="client-closed")],
            {"calls": 1, "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            id="tokens of a call that broke off count",
        ),
        pytest.param(
            [decision("a"), outcome("a", None)],
            {"calls": 1, "ok": 1, "unmetered": 1},
            id="a good call whose model told no tokens is unmetered",
        ),
        pytest.param(
            [decision("a"), outcome("a", (0, 0))], {"calls": 1, "ok": 1}, id="no tokens used is not unmetered"
        ),
        pytest.param(
            [decision("a", operation="responses/delete"), outcome("a", None)],
            {"calls": 1, "ok": 1},
            id="an operation that costs nothing is not unmetered",
        ),
        pytest.param(
            [decision("a", operation="responses/retrieve"), outcome("a")],
            {"calls": 1, "ok": 1},
            id="tokens of a stored response are not paid again when it is read",
        ),
        pytest.param(
            [outcome("a"), decision("a")],
            {"calls": 1, "ok": 1, "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            id="an outcome may be read before its decision",
        ),
        pytest.param([outcome("a")], {}, id="an outcome without a decision is not counted"),
        pytest.param([decision("a", principal=None, **REFUSED)], {}, id="nobody is not counted"),
        pytest.param([decision("a", route=None, **REFUSED)], {}, id="nothing asked is not counted"),
        pytest.param([*call("a", route="endpoint:fraud")], {}, id="an endpoint is not counted unasked"),
    ],
)
def test_what_counts_as_what(
    records: list[DecisionRecord | OutcomeRecord], expected: dict[str, int], usage: Usage
) -> None:
    """A request is in one of calls, refused and limited; only calls have an end and tokens."""
    said = usage(sealed(*records))
    assert (said.code, said.total()) == (0, expected)


@pytest.mark.parametrize(
    ("records", "note"),
    [
        pytest.param(
            [decision("a")], "1 calls have no outcome in these files", id="calls without an outcome"
        ),
        pytest.param(
            [outcome("a"), outcome("b", (1000, 1))],
            "2 outcomes (1,016 tokens) have no decision in these files and are not counted",
            id="outcomes without a decision, and what they cost",
        ),
        pytest.param(
            [decision("a", principal=None, **REFUSED)], "1 requests are not counted: refused", id="nobody"
        ),
        pytest.param(
            [*call("a", route="endpoint:fraud")],
            "1 requests to endpoints are not counted (--endpoints counts them)",
            id="endpoints",
        ),
    ],
)
def test_nothing_is_left_out_silently(
    records: list[DecisionRecord | OutcomeRecord], note: str, usage: Usage
) -> None:
    """What is in no row is told on stderr; it is no fault."""
    said = usage(sealed(*records))
    assert (said.code, note in said.err) == (0, True), said.err


def test_outcomes_from_before_the_first_day_are_not_missed(usage: Usage) -> None:
    """Their decisions are older still, and would not count: only what may be missing from the sums is told."""
    data = sealed(outcome("a"), outcome("b", (1, 1), time="2026-11-24T00:00:00.000Z"))
    said = usage(data, arguments=["--since", "2026-11-23"])
    assert "1 outcomes (2 tokens) have no decision" in said.err


def test_a_whole_trail_has_no_notes(usage: Usage) -> None:
    """Nothing is on stderr where there is nothing to say."""
    assert usage(FILE).err == ""


def test_r01_a_copy_of_a_file_is_not_paid_twice(usage: Usage) -> None:
    """R01: `audit.jsonl*` matches backups too; each record counts once, whichever copy is longer."""
    grown = FILE.splitlines(keepends=True)
    for files in permutations([FILE, b"".join(grown[:3]), b"".join(grown[4:])]):
        said = usage(*files)
        assert said.total()["calls"] == 3
        assert said.total()["total_tokens"] == 45
        assert "5 records came more than once and are counted once" in said.err
        assert said.code == 0


def test_r01_the_same_file_twice_is_read_once(usage: Usage, tmp_path: Path) -> None:
    """R01: by its own name or by a link."""
    Path(usage.path("audit.jsonl")).write_bytes(FILE)
    link = tmp_path / "link"
    link.symlink_to(usage.path("audit.jsonl"))
    said = usage.run(usage.path("audit.jsonl"), str(link), "--json")
    assert said.total()["calls"] == 3
    assert "was given twice; it is counted once" in said.err


def test_a_call_that_a_rotation_cut_in_two_is_joined(usage: Usage) -> None:
    """The decision in one file and the outcome in the next, given in any order; a later part is no broken chain."""
    first, second = FILE.splitlines(keepends=True)[:3], FILE.splitlines(keepends=True)[3:]
    for files in permutations([b"".join(first), b"".join(second)]):
        said = usage(*files)
        assert (said.code, said.err, said.total()["ok"]) == (0, "", 3)


def test_a_restarted_process_continues_the_file(usage: Usage) -> None:
    """Numbers start anew at 1, hashes go on: the outcome after a crash closes the older process's call."""
    chain = Chain()
    before = sealed(*call("a"), decision("b"), chain=chain)
    later = Chain(previous=chain.previous)
    after = sealed(outcome("b", None, process="p2", outcome="unknown"), chain=later)
    said = usage(before + after)
    assert (said.code, said.err) == (0, "")
    assert said.total()["calls"] == 2


def test_lines_of_several_processes_from_the_platforms_logs_are_read(usage: Usage) -> None:
    """Each process has a chain of its own there; in order of time they are mixed."""
    one = sealed(*call("a"), *call("b")).splitlines(keepends=True)
    two = sealed(*(msgspec.structs.replace(record, process="p2") for record in (*call("c"), *call("d"))))
    mixed = b"".join(line for pair in zip(one, two.splitlines(keepends=True), strict=True) for line in pair)
    said = usage(mixed)
    assert (said.code, said.err, said.total()["calls"]) == (0, "", 4)


def test_records_of_older_gates_are_read(usage: Usage) -> None:
    """A membership without its group, an outcome without tokens: the call counts under no group."""
    old = encode(decision("a")).replace(b',"group":"%b"' % ENGINEERS.encode(), b"")
    end = encode(outcome("a")).split(b',"model"')[0] + b"}\n"
    chain = Chain()
    said = usage(chain.seal(old.replace(b'"counted":null,', b"")) + chain.seal(end))
    assert said.code == 0
    assert said.rows()[0]["group"] is None
    assert said.total() == {"calls": 1, "ok": 1, "unmetered": 1}


def test_names_that_are_in_no_policy_are_one_row(usage: Usage) -> None:
    """Callers make names up: they must not fill the table."""
    refused = REFUSED | {"reason": "unknown-endpoint"}
    said = usage(sealed(*(decision(name, route=f"model:{name}", **refused) for name in "abc")))
    assert [(row["model"], row["refused"]) for row in said.rows()] == [("(unknown)", 3)]


def test_endpoints_are_counted_when_asked_for(usage: Usage) -> None:
    """`endpoint:NAME` cannot be mistaken for a model, and has no tokens that could be missing."""
    data = sealed(
        *call("a"), decision("b", route="endpoint:fraud", operation="score"), outcome("b", None, model=None)
    )
    said = usage(data, arguments=["--by", "model", "--endpoints", "--json"])
    assert [(row["model"], row["calls"], row["unmetered"]) for row in said.rows()] == [
        ("endpoint:fraud", 1, 0),
        ("gpt-4.1-mini", 1, 0),
    ]


def test_days_are_those_of_the_decision_in_utc(usage: Usage) -> None:
    """`--since` is the first day that counts, `--until` the first that does not: months neither overlap nor gap."""
    days = ["2026-10-31T23:59:59.999Z", "2026-11-01T00:00:00.000Z", "2026-11-30T23:59:59.999Z"]
    times = [*days, "2026-12-01T00:00:00.000Z"]
    data = sealed(
        *(decision(time, time=time) for time in times),
        *(outcome(time, time="2026-12-01T09:00:00.000Z") for time in times),
    )
    month = ["--since", "2026-11-01", "--until", "2026-12-01", "--by", "day", "--json"]
    said = usage(data, arguments=month)
    assert [(row["day"], row["ok"]) for row in said.rows()] == [("2026-11-01", 1), ("2026-11-30", 1)]
    document = json.loads(said.out)
    assert (document["since"], document["until"], document["by"]) == ("2026-11-01", "2026-12-01", ["day"])
    assert said.err == ""  # an outcome of a call that is outside is no orphan


MIXED = sealed(
    *call("a"),
    *call("b", principal=BOB, group=ANALYSTS),
    *call("c", principal=BOB, group=None, reason="principal-listed", time="2026-11-23T00:00:00.000Z"),
    decision("d", principal=BOB, **REFUSED),
)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        pytest.param("caller", [[ANN, 1, 15], [BOB, 2, 30]], id="by caller"),
        pytest.param("group", [[None, 1, 15], [ANALYSTS, 1, 15], [ENGINEERS, 1, 15]], id="by group"),
        pytest.param("model", [["gpt-4.1-mini", 3, 45]], id="by model"),
        pytest.param(
            "day,caller",
            [["2026-11-22", ANN, 1, 15], ["2026-11-22", BOB, 1, 15], ["2026-11-23", BOB, 1, 15]],
            id="by day, then by caller",
        ),
        pytest.param(
            "caller,day",
            [[ANN, "2026-11-22", 1, 15], [BOB, "2026-11-22", 1, 15], [BOB, "2026-11-23", 1, 15]],
            id="by caller, then by day",
        ),
    ],
)
def test_sums_are_by_what_is_asked_in_its_order(by: str, expected: list[list[object]], usage: Usage) -> None:
    """Rows are sorted by what they are for; JSON gives null where no group let the caller in."""
    said = usage(MIXED, arguments=["--by", by, "--json"])
    names = [*by.split(","), "calls", "total_tokens"]
    assert [[row[name] for name in names] for row in said.rows()] == expected


def test_the_table_is_aligned_and_names_groups_as_people_do(usage: Usage) -> None:
    """Groups by the policy's names where it has them; ids are never cut; thousands are set apart; a total below."""
    policy = Path(usage.path("policy.toml"))
    policy.write_text(POLICY, "utf-8")
    data = sealed(
        decision("a"), outcome("a", (1_234_567, 89)), *call("b", group=ANALYSTS), *call("c", group=None)
    )
    said = usage(data, arguments=["--policy", str(policy), "--by", "group,day"])
    assert said.out.splitlines() == [
        "group                                 day         calls  ok     prompt  completion     tokens",
        "(none)                                2026-11-22      1   1         10           5         15",
        "6f1b2c3d-0000-4000-8000-000000000001  2026-11-22      1   1         10           5         15",
        "ml-engineers                          2026-11-22      1   1  1,234,567          89  1,234,656",
        "total                                                 3   3  1,234,587          99  1,234,686",
    ]


def test_the_usual_table_fits_the_screen(usage: Usage, environment: pytest.MonkeyPatch) -> None:
    """Without callers, with the names of the configured policy and millions of tokens: within 100 columns."""
    policy = Path(usage.path("policy.toml"))
    policy.write_text(POLICY, "utf-8")
    environment.setenv("GROUPGATE_POLICY", str(policy))
    by = ["--by", "group,model,day"]
    said = usage(sealed(decision("a"), outcome("a", (123_456_789, 123_456_789))), arguments=by)
    assert said.out.startswith("group         model         day ")
    assert max(map(len, said.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("record", "heading"),
    [
        pytest.param(decision("z", **REFUSED), "refused", id="refused requests"),
        pytest.param(
            decision("z", decision="error", reason="rate-limited"), "limited", id="limited requests"
        ),
        pytest.param(decision("z"), "unmetered", id="calls without tokens"),
    ],
)
def test_a_table_has_the_rarer_columns_when_there_is_something_in_them(
    record: DecisionRecord, heading: str, usage: Usage
) -> None:
    """Where all is well there is nothing to look at; CSV and JSON always have every column."""
    assert heading not in usage(FILE, arguments=[]).out
    assert heading in usage(FILE + sealed(msgspec.structs.replace(record, process="p2")), arguments=[]).out


def test_csv_has_a_heading_and_bare_numbers(usage: Usage) -> None:
    """Ids stay ids for whoever joins them, with the name beside; what is not there is empty; there is no total."""
    policy = Path(usage.path("policy.toml"))
    policy.write_text(POLICY, "utf-8")
    data = sealed(decision("a"), outcome("a", (1_234_567, 89)), *call("b", group=None))
    said = usage(data, arguments=["--policy", str(policy), "--by", "group,model,day", "--csv"])
    assert said.out == (
        "group,group_name,model,day,calls,ok,refused,limited,unmetered,prompt_tokens,completion_tokens,total_tokens\n"
        ",,gpt-4.1-mini,2026-11-22,1,1,0,0,0,10,5,15\n"
        f"{ENGINEERS},ml-engineers,gpt-4.1-mini,2026-11-22,1,1,0,0,0,1234567,89,1234656\n"
    )


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_no_records_are_no_rows(form: str, usage: Usage) -> None:
    """An empty file is read without complaint: a heading, or a total of nothing."""
    said = usage(b"", arguments=FORMS[form])
    assert (said.code, said.err) == (0, "")
    assert len(said.out.splitlines()) == {"table": 2, "csv": 1, "json": 21}[form]


def test_a_dash_reads_standard_input(usage: Usage) -> None:
    """`zcat old.gz | groupgate usage -`."""
    done = subprocess.run(
        [sys.executable, "-m", "shared", "usage", "-", "--by", "model", "--csv"],
        input=FILE, capture_output=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines()[1].startswith("gpt-4.1-mini,3,3,")


def test_progress_is_for_a_terminal_and_leaves_nothing_there(
    usage: Usage, environment: pytest.MonkeyPatch
) -> None:
    """Long files tell how far they are read; the line is gone before anything else is printed."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    environment.setattr("shared.cli.auditfiles._INTERVAL", 0)
    environment.setattr(sys, "stderr", screen := Terminal())
    said = usage(FILE)
    assert said.code == 0
    assert "0: 0 of 0 MB" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([ANALYSTS, ENGINEERS, None]),
        st.sampled_from([ANN, BOB]),
        st.sampled_from([MINI, "model:o4"]),
        st.integers(0, 3),
        st.sampled_from(["ok", "upstream-500", None, "deny", "rate-limited"]),
        st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=30,
)


def _made(requests: list[Any]) -> list[bytes]:
    """Return the records of drawn requests, as sealed lines."""
    records: list[DecisionRecord | OutcomeRecord] = []
    for number, (group, caller, route, day, end, tokens) in enumerate(requests):
        common = {
            "principal": caller,
            "route": route,
            "time": f"2026-11-{20 + day}T10:00:00.000Z",
        }
        if end in ("deny", "rate-limited"):
            records.append(decision(str(number), decision="deny", reason=end, group=None, **common))
        else:
            records.append(decision(str(number), group=group, **common))
            if end is not None:
                records.append(outcome(str(number), tokens, outcome=end))
    return sealed(*records).splitlines(keepends=True)


def _summed(lines: Sequence[bytes], by: tuple[str, ...]) -> Tally:
    tally = Tally(by)
    for line in lines:
        tally.add(msgspec.json.decode(line, type=Record))
    return tally


@given(REQUESTS, st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_order_of_records(requests: list[Any], random: Any) -> None:
    """Files come in any order, and so may the lines in them; copies change nothing."""
    lines = _made(requests)
    shuffled = lines + lines[: len(lines) // 2]
    random.shuffle(shuffled)
    by = ("caller", "group", "model", "day")
    plain, other = _summed(lines, by), _summed(shuffled, by)
    assert other.rows == plain.rows
    assert (other.unfinished, other.orphans) == (plain.unfinished, plain.orphans)
    assert other.copies == len(lines) // 2


@given(REQUESTS, st.lists(st.sampled_from(sorted(PARTS)), min_size=1, unique=True))
def test_the_total_does_not_depend_on_the_grouping(requests: list[Any], by: list[str]) -> None:
    """Each request is in one row and in one column; a row is what finer rows add up to."""
    lines = _made(requests)
    whole = total(_summed(lines, ("model",)).rows.values())
    assert total(_summed(lines, tuple(by)).rows.values()) == whole
    assert whole.calls + whole.refused + whole.limited == len(requests)
    assert whole.total_tokens == whole.prompt_tokens + whole.completion_tokens
    assert whole.ok <= whole.calls
    assert 0 <= whole.unmetered <= whole.calls


def test_days_split_at_any_date_add_up() -> None:
    """What ends before a day and what starts with it are the whole."""
    lines = _made([(None, ANN, MINI, day, "ok", (day, 1)) for day in range(4) for _ in range(day + 1)])
    records = [msgspec.json.decode(line, type=Record) for line in lines]
    cut = date(2026, 11, 22)
    halves = Tally(("day",), until=cut), Tally(("day",), since=cut)
    for record in records:
        for half in halves:
            half.add(record)
    assert halves[0].rows | halves[1].rows == _summed(lines, ("day",)).rows
    assert [total(half.rows.values()).calls for half in halves] == [3, 7]
    assert not any(half.unfinished for half in halves)


def _many(count: int) -> Iterator[bytes]:
    """Yield the lines of `count` calls, sixteen of them running at any time."""
    chain = Chain()
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    for number in range(count + 16):
        if number < count:
            time = (begun + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            caller = ANN if number % 2 else BOB
            yield chain.seal(encode(decision(f"{number:036}", time=time, principal=caller)))
        if number >= 16:
            yield chain.seal(encode(outcome(f"{number - 16:036}")))


def test_d05_what_is_kept_does_not_grow_with_the_file(tmp_path: Path, usage: Usage) -> None:
    """D05: a hundred thousand records leave rows and running requests, and no trace of the others."""
    count = 50_000
    path = tmp_path / "audit.jsonl"
    with path.open("wb") as file:
        file.writelines(_many(count))
    tracemalloc.start()
    try:
        said = usage.run(str(path), "--by", "caller", "--json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (said.code, said.err) == (0, "")
    assert said.total() == {
        "calls": count,
        "ok": count,
        "prompt_tokens": 10 * count,
        "completion_tokens": 5 * count,
        "total_tokens": 15 * count,
    }
    assert path.stat().st_size > 10 * peak
    assert peak < 4 * 1024 * 1024


def test_a_row_is_the_sum_of_what_is_added() -> None:
    """Field by field, with none left out."""
    row = Sums(**dict.fromkeys(Sums.__struct_fields__, 1))
    row.add(Sums(**{name: number for number, name in enumerate(Sums.__struct_fields__)}))
    assert list(msgspec.structs.astuple(row)) == list(range(1, len(Sums.__struct_fields__) + 1))
