"""`groupgate bypass`: who can reach a model around the gate, from Azure or from a snapshot. Reads, and changes nothing."""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from shared.bypass import accepted, comparetext, fixes, fixtext, report, snapshot, text, whatif
from shared.bypass.collect.saving import save, write
from shared.bypass.compare import compare, opening, untold
from shared.bypass.finding import Severity
from shared.bypass.inputs import decoded
from shared.bypass.page.document import page
from shared.bypass.paths import judge
from shared.bypass.readback import NotACommand
from shared.bypass.report import BypassReport, ReportedFinding, ReportFault
from shared.bypass.sarif import sarif
from shared.bypass.seal import seal
from shared.bypass.snapshot import Snapshot, SnapshotFault
from shared.bypass.visible import visible
from shared.bypass.ways.case import case
from shared.cli.bypassoptions import STDOUT, Misused, Untold, check, declare

CLOSED: Final = 0
OPEN: Final = 1
UNTOLD: Final = 2
USAGE: Final = 3

type Entries = tuple[accepted.Entry, ...] | None
"""The file of accepted findings; None where none was given."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What the command needs of the world."""

    collect: Callable[[argparse.Namespace], dict[str, object]]
    """Returns the snapshot that the arguments ask for; raises Misused or Untold."""
    now: Callable[[], datetime]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    declare(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0, 1, 2 or 3 as the help says."""
    return execute(arguments, Tools(collect=_collected, now=lambda: datetime.now(UTC)))


def execute(arguments: argparse.Namespace, tools: Tools) -> int:
    """Print the report, made with `tools`; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A letter that a code page lacks must not end the command halfway.
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        check(arguments)
        with _about(arguments.source):
            return _compared(arguments, tools) if arguments.compare else _reported(arguments, tools)
    except Misused as misuse:
        return _fail(str(misuse), USAGE)
    except Untold as fault:
        return _fail(str(fault), UNTOLD)
    except accepted.AllowFaults as fault:
        return _fail("\n".join(fault.faults), UNTOLD)
    except Exception:  # noqa: BLE001 - Python would exit with 1, which says that ways were found; nothing is hidden
        traceback.print_exc()
        return UNTOLD


def exit_code(*, counting: int, unproven: bool) -> int:
    """Return the exit code: what is found counts before what is not known."""
    return OPEN if counting else UNTOLD if unproven else CLOSED


def _reported(arguments: argparse.Namespace, tools: Tools) -> int:
    entries = _entries(arguments.allow)
    if arguments.source is not None:
        seen = snapshot.parse(_read(arguments.source))
    else:
        document = tools.collect(arguments)
        if arguments.save is not None:
            # Before it is judged: what cannot be judged is still worth looking at.
            with _writing(arguments.save):
                save(document, arguments.save)
            print(f"groupgate bypass: the snapshot is in {visible(str(arguments.save))}", file=sys.stderr)
        seen = snapshot.read(document)
    told = _published(seen, entries, tools)
    if arguments.fixes:
        sys.stdout.write(_closing(seen, told, arguments))
    if arguments.what_if:
        told = _what_if(seen, told, entries, tools, arguments.fail_on)
    _print(told, arguments)
    return exit_code(
        counting=report.counting(told.findings, arguments.fail_on), unproven=report.unproven(told)
    )


def _compared(arguments: argparse.Namespace, tools: Tools) -> int:
    entries = _entries(arguments.allow)
    old, new = (_either(path, entries, tools) for path in arguments.compare)
    # An acceptance that held when the older report was made may have come to its end since.
    comparison = compare(
        _allowed(old, entries, old.judged.astimezone(UTC).date()), _allowed(new, entries, tools.now().date())
    )
    if arguments.json:
        sys.stdout.write(report.to_json(comparison))
    else:
        sys.stdout.write(comparetext.text(comparison, arguments.fail_on))
    return exit_code(counting=opening(comparison, arguments.fail_on), unproven=untold(comparison))


def _allowed(told: BypassReport, entries: Entries, day: date) -> BypassReport:
    """Return `told` with what `entries` accept on `day`; without a file of them, even an empty one, what it was made with."""
    listed = told.allowances if entries is None else entries
    return report.allowed(told, accepted.settle(listed, told.findings, today=day))


def _published(
    seen: Snapshot,
    entries: Entries,
    tools: Tools,
    *,
    after_commands: int | None = None,
) -> BypassReport:
    now = tools.now()
    found = judge(seen)
    allowances = accepted.settle(entries or (), found.findings, today=now.date())
    return report.publish(found, seen, now=now, allowances=allowances, after_commands=after_commands)


def _wanted(told: BypassReport, fail_on: Severity) -> list[ReportedFinding]:
    """Return what is to be closed: an accepted finding stays open by somebody's will."""
    return [finding for finding in told.findings if report.counting([finding], fail_on)]


def _what_if(
    seen: Snapshot, told: BypassReport, entries: Entries, tools: Tools, fail_on: Severity
) -> BypassReport:
    """Return the report of what the fixes of `told` would leave of `seen`; raise Untold."""
    try:
        steps = fixes.plan(seen, _wanted(told, fail_on), at_least=fail_on)
        left = whatif.apply(seen, [step.command for step in steps])
    except (NotACommand, whatif.NoSuchThing) as fault:
        raise Untold(f"the fixes cannot be applied to the snapshot: {fault}") from fault
    return _published(left, entries, tools, after_commands=len(steps))


def _closing(seen: Snapshot, told: BypassReport, arguments: argparse.Namespace) -> str:
    wanted = _wanted(told, arguments.fail_on)
    group: str | None = arguments.emergency_group
    sealed = group is not None and seen.gate.principal is not None
    return fixtext.text(
        fixtext.Closing(
            report=told,
            wanted=wanted,
            steps=fixes.plan(seen, wanted, at_least=arguments.fail_on),
            case=case(seen),
            seal=seal(seen, emergency_group=group, findings=told.findings)
            if sealed and group is not None
            else None,
        )
    )


def _print(told: BypassReport, arguments: argparse.Namespace) -> None:
    fail_on: Severity = arguments.fail_on
    if arguments.html is not None:
        written = page(told, fail_on)
        if arguments.html == STDOUT:
            sys.stdout.write(written)
            return
        with _writing(arguments.html):
            write(written, Path(arguments.html))
    if arguments.json:
        sys.stdout.write(report.to_json(told))
    elif arguments.sarif:
        sys.stdout.write(json.dumps(sarif(told), indent=2) + "\n")
    elif arguments.explain is not None:
        sys.stdout.write(_explained(told, arguments.explain))
    elif not arguments.fixes:
        sys.stdout.write(text.text(told, fail_on))


def _explained(told: BypassReport, wanted: str) -> str:
    for finding in told.findings:
        if finding.id == wanted.strip().lower():
            return text.explain(told, finding)
    raise Misused(f"there is no finding {visible(wanted)}; the report tells which there are")


def _either(path: Path, entries: Entries, tools: Tools) -> BypassReport:
    """Return the report in `path`, or that of the snapshot in it; raise Untold, SnapshotFault or ReportFault."""
    try:
        value = decoded(_read(path))
    except ValueError as error:
        raise Untold(f"{path}: is not JSON: {error}") from error
    with _about(path):
        if isinstance(value, dict) and "verdict" in value and "findings" in value:
            return report.from_json(value)
        return _published(snapshot.read(value), entries, tools)


def _entries(path: Path | None) -> Entries:
    return None if path is None else accepted.parse(_read(path), str(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise Untold(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _about(path: Path | None) -> Iterator[None]:
    """Name the file, if there is one, in what is wrong with it; raise Untold."""
    try:
        yield
    except (SnapshotFault, ReportFault) as fault:
        raise Untold(str(fault) if path is None else f"{path}: {fault}") from fault


@contextmanager
def _writing(path: Path | str) -> Iterator[None]:
    """Raise Untold where a file cannot be written."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise Untold(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def _collected(arguments: argparse.Namespace) -> dict[str, object]:
    from shared.cli.bypasscollect import collected  # noqa: PLC0415 - a snapshot is judged without Azure's libraries

    return collected(arguments)


def _fail(why: str, code: int) -> int:
    for line in why.splitlines() or [""]:
        print(f"groupgate bypass: {visible(line, 4000)}", file=sys.stderr)
    return code
