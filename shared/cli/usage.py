"""`groupgate usage FILE...`: who used which model how much, from the audit's files."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TextIO

import msgspec

from shared.cli.auditfiles import Reader
from shared.cli.metering import PARTS, Key, Sums, Tally, total
from shared.policy.loader import PolicyFaults, load_file
from shared.settings import Settings

UNREADABLE: Final = 2
NONE: Final = "(none)"
_HEADINGS: Final = MappingProxyType(
    {"prompt_tokens": "prompt", "completion_tokens": "completion", "total_tokens": "tokens"}
)
_RARE: Final = frozenset({"refused", "limited", "unmetered"})
"""Columns that a table lacks where they would hold nothing but 0: the rest is wide enough."""
_EPILOG: Final = """\
calls: allowed requests; ok: those that the model answered well and whole; refused: denied, asked wrongly, or not
decidable; limited: turned away by a limit; unmetered: calls with no tokens on record. A request is in one of calls,
refused and limited. A table lacks refused, limited and unmetered where there are none. The group is the one that let the caller in; (none) where an object id or an app role did, and for
whoever was not let in. Nothing is left out silently: stderr tells what was not counted. Exit code 2 when a line or file
could not be read or a chain is broken; the numbers are those of what could be read. Lines taken from the platform's logs
are read when each is the bare JSON record and they are in order of time. CSV: a value that a spreadsheet would take for a
formula has ' before it."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed."""

    by: tuple[str, ...]
    since: date | None
    until: date | None
    names: Mapping[str, str]
    """Group object id to its name for people, as far as a policy tells."""
    rows: Sequence[tuple[Key, Sums]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="audit files, rotated ones too, in any order; - is standard input (zcat old.gz | groupgate usage -)",
    )  # fmt: skip
    parser.add_argument(
        "--by", type=_by, default=tuple(PARTS), metavar="NAMES",
        help="sum by these, in this order; default group,model,caller,day",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="print CSV, not a table")
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="print JSON, not a table"
    )
    parser.set_defaults(form="table")
    parser.add_argument(
        "--since", type=_day, metavar="DATE", help="first day that counts (UTC, such as 2026-11-01)"
    )
    parser.add_argument(
        "--until", type=_day, metavar="DATE", help="first day that does not count: for November 2026-12-01"
    )
    parser.add_argument(
        "--endpoints", action="store_true", help="count endpoints too, as endpoint:NAME; they have no tokens"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE",
        help="take the groups' names from this policy; default the configured one, if it is in order",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the summary to stdout and what it lacks to stderr; return 0, or 2 when something could not be read."""
    try:
        names = _names(arguments.policy)
    except PolicyFaults as found:
        print(*found.faults, sep="\n", file=sys.stderr)
        return UNREADABLE
    tally = Tally(arguments.by, since=arguments.since, until=arguments.until, endpoints=arguments.endpoints)
    reader = Reader(tally.add, sys.stderr)
    for name in arguments.files:
        reader.read(name)
    for note in _notes(tally):
        print(f"groupgate usage: note: {note}", file=sys.stderr)
    summary = Summary(
        by=arguments.by,
        since=arguments.since,
        until=arguments.until,
        names=names,
        rows=sorted(tally.rows.items(), key=lambda row: [_label(value, names) for value in row[0]]),
    )
    _PRINTERS[arguments.form](summary, sys.stdout)
    return UNREADABLE if reader.faulty else 0


def _names(file: Path | None) -> Mapping[str, str]:
    """Return group id to name; raise PolicyFaults for a `file` that was named and is not in order."""
    # Nothing is called here, so a policy for the local stack tells its names as well.
    if file is not None:
        return load_file(file, allow_http=True, place="--policy").groups
    try:
        return load_file(Settings.from_env().policy_path, allow_http=True).groups
    except PolicyFaults:
        return {}


def _notes(tally: Tally) -> Iterator[str]:
    """Yield what the rows do not say."""
    orphans, tokens = tally.orphans
    if tally.unfinished:
        yield f"{tally.unfinished:,} calls have no outcome in these files; they count as calls with no tokens"
    if orphans:
        yield f"{orphans:,} outcomes ({tokens:,} tokens) have no decision in these files and are not counted"
    if tally.copies:
        yield f"{tally.copies:,} records came more than once and are counted once"
    if tally.left_out:
        yield f"{tally.left_out:,} requests to endpoints are not counted (--endpoints counts them)"
    if tally.nobody:
        yield f"{tally.nobody:,} requests are not counted: refused before it was known who asked, or for what"


def _table(summary: Summary, out: TextIO) -> None:
    """Print aligned columns for people, and a line with the total; values are never cut."""
    whole = total(sums for _, sums in summary.rows)
    fields = [field for field in Sums.__struct_fields__ if field not in _RARE or getattr(whole, field)]
    lines = [[*summary.by, *(_HEADINGS.get(field, field) for field in fields)]]
    for key, sums in [*summary.rows, (None, whole)]:
        first = ["total"] if key is None else [_label(value, summary.names) for value in key]
        first += [""] * (len(summary.by) - len(first))
        lines.append([*first, *(f"{getattr(sums, field):,}" for field in fields)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.ljust(width) if place < len(summary.by) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print(*cells, sep="  ", file=out)


def _csv(summary: Summary, out: TextIO) -> None:
    """Print a heading and the rows (RFC 4180); no total, which would count twice in a spreadsheet's sum."""
    fields = Sums.__struct_fields__
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_row(summary, tuple(None for _ in summary.by)), *fields])
    for key, sums in summary.rows:
        values = (_inert(value or "") for value in _row(summary, key).values())
        writer.writerow([*values, *(getattr(sums, field) for field in fields)])


def _json(summary: Summary, out: TextIO) -> None:
    """Print one object, in ASCII: no value can steer a terminal."""
    document: dict[str, Any] = {
        "since": None if summary.since is None else summary.since.isoformat(),
        "until": None if summary.until is None else summary.until.isoformat(),
        "by": summary.by,
        "rows": [_row(summary, key) | msgspec.structs.asdict(sums) for key, sums in summary.rows],
        "total": msgspec.structs.asdict(total(sums for _, sums in summary.rows)),
    }
    print(json.dumps(document, indent=2), file=out)


_PRINTERS: Final[Mapping[str, Callable[[Summary, TextIO], None]]] = MappingProxyType(
    {"table": _table, "csv": _csv, "json": _json}
)


def _row(summary: Summary, key: Key) -> dict[str, str | None]:
    """Return what a row is for, by name; a group's id is followed by its name, None where no policy tells it."""
    row: dict[str, str | None] = {}
    for part, value in zip(summary.by, key, strict=True):
        row[part] = None if value is None else str(value)
        if part == "group":
            row["group_name"] = summary.names.get(str(value))
    return row


def _label(value: date | str | None, names: Mapping[str, str]) -> str:
    """Return a value for people: a group by its name."""
    return NONE if value is None else _visible(names.get(str(value), str(value)))


def _inert(value: str) -> str:
    """Return `value` so that no spreadsheet takes it for a formula (OWASP, "CSV Injection")."""
    shown = _visible(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _visible(text: str) -> str:
    """Return `text` with everything escaped that a terminal would obey: a record's values come from callers (T23)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _by(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(PARTS) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"takes each of {','.join(PARTS)} at most once, with commas between")
    return names


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes a day such as 2026-11-01") from None
