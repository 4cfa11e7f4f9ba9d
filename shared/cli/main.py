"""`groupgate`: the command line. A command's module is imported only when it is the one to run."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast


class Command(Protocol):
    """A command's module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, print to stdout, return the exit code."""


COMMANDS: Final = {
    "check": ("shared.cli.check", "look for faults in the settings and the policy"),
    "explain": ("shared.cli.explain", "tell what the gate would decide for a caller, and why"),
    "notify-secret": ("shared.cli.notify_secret", "print the secret of who is told of the end of jobs"),
    "usage": ("shared.cli.usage", "sum up who used which model how much, from audit files"),
}
"""Name to module and one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names (the process's arguments by default) and return its exit code.

    argparse ends the process itself (SystemExit) after `--help` with 0 and on wrong arguments with 2.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="groupgate", description="Only members of chosen Microsoft Entra groups may call a model."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen: Command | None = None
    for name, (module, help_line) in COMMANDS.items():
        command = commands.add_parser(name, help=help_line, description=f"{help_line.capitalize()}.")
        if name in given[:1]:
            chosen = cast("Command", importlib.import_module(module))
            chosen.add_arguments(command)
    arguments = parser.parse_args(given)
    if chosen is None:
        parser.error("name the command first")
    return chosen.run(arguments)
