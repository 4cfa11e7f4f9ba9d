"""The arguments of `groupgate bypass`, and which of them go together."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Final, get_args

from shared.bypass.finding import Severity
from shared.ids import guid

STDOUT: Final = "-"
_EPILOG: Final = """\
Exit code 0: nothing goes around the gate; 1: there are findings at or above --fail-on that nobody accepted; 2: it cannot be
told, because something was not read, a file is broken or nothing could be collected; 3: wrong arguments. What is found
counts before what is not known: 1 wins over 2. With --compare only what opened or became worse counts. Reading Azure
takes whoever is signed in (az login), the role Reader at the target's subscription and at the gate's, and the Graph
permission GroupMember.Read.All. A snapshot and a report hold names and ids of people."""
_COLLECTING: Final = ("gate", "gate_identity", "gate_storage", "save", "management")
_WRITING: Final = frozenset({"--save", "--html"})
_JUDGING: Final = ("sarif", "explain", "fixes", "html", "what_if", "emergency_group")


class Misused(Exception):
    """The arguments ask for what there is not; the message says what."""


class Untold(Exception):
    """Nothing can be told; the message says why."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="ARM id of an online or batch endpoint, or of an account of models",
    )
    source.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="judge this snapshot; asks nobody"
    )
    source.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"),
        help="what opened and what closed between two snapshots or --json reports",
    )  # fmt: skip
    _declare_collecting(parser.add_argument_group("reading Azure"))
    form = parser.add_argument_group("what is printed, instead of text").add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON (docs/bypass.report.schema.json)")
    form.add_argument("--sarif", action="store_true", help="SARIF 2.1.0, for code scanning")
    form.add_argument("--explain", metavar="ID", help="the whole chain of one finding")
    form.add_argument(
        "--fixes", action="store_true", help="the commands that close what was found, in a safe order"
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write a page for auditors, besides what is printed; - prints it alone"
    )
    parser.add_argument(
        "--emergency-group", metavar="ID",
        help="object id of the group that the seal of --fixes leaves out, besides the gate",
    )  # fmt: skip
    parser.add_argument(
        "--what-if", action="store_true", help="judge what would remain after the commands of --fixes"
    )
    parser.add_argument(
        "--fail-on", choices=get_args(Severity), default="medium", metavar="SEVERITY",
        help=f"{', '.join(get_args(Severity))}: findings from here on count; default medium",
    )  # fmt: skip
    parser.add_argument(
        "--allow", type=Path, metavar="FILE",
        help="accepted findings, TOML or JSON: [[accepted]] with id, owner, reason and until (a date), and perhaps "
        "severity and state, the worst that is accepted",
    )  # fmt: skip


def check(arguments: argparse.Namespace) -> None:
    """Raise Misused for `arguments` that do not go together."""
    if arguments.target is None:
        _refuse(arguments, _COLLECTING, "goes with TARGET")
    if arguments.compare is not None:
        _refuse(arguments, _JUDGING, "does not go with --compare")
    if arguments.what_if:
        # Code scanning would close alerts about what is still open.
        _refuse(arguments, ("sarif", "fixes"), "does not go with --what-if")
    if arguments.html == STDOUT:
        _refuse(arguments, ("json", "sarif", "explain", "fixes"), "does not go with --html -: name a file")
    _keep_apart(arguments)
    group = arguments.emergency_group
    if group is not None and (not arguments.fixes or guid(group) is None):
        raise Misused("--emergency-group takes the object id of a group, and goes with --fixes")


def _keep_apart(arguments: argparse.Namespace) -> None:
    """Refuse to write over what is read, and one thing over the other: a snapshot or an acceptance is evidence."""
    html = None if arguments.html in {None, STDOUT} else Path(arguments.html)
    named = {"--from": arguments.source, "--allow": arguments.allow, "--save": arguments.save, "--html": html}
    given = [(option, path) for option, path in named.items() if path is not None]
    for (option, path), (other, written) in combinations(given, 2):
        if other in _WRITING and _same(path, written):
            raise Misused(f"{option} and {other} name one file")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
    except (OSError, ValueError):
        return False  # what is wrong with a path is told where it is used


def _refuse(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    for name in names:
        if getattr(arguments, name):
            raise Misused(f"--{name.replace('_', '-')} {why}")


def _declare_collecting(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--gate", metavar="ID", help="ARM id of the gate's site, or object id of the gate's identity"
    )
    group.add_argument(
        "--gate-identity", metavar="ID", help="object id of the gate's identity, where its site has several"
    )
    group.add_argument(
        "--gate-storage", action="append", metavar="ID",
        help="ARM id of a storage account that the gate's code is deployed to; may come again",
    )  # fmt: skip
    group.add_argument("--save", type=Path, metavar="FILE", help="keep the snapshot")
    group.add_argument(
        "--management", default=None, metavar="URL", help="Azure Resource Manager of another cloud"
    )
