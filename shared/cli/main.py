"""`groupgate`: the command line. A command's module is imported only when it is the one to run."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol, cast


class Command(Protocol):
    """A command's module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, print to stdout, return the exit code."""


COMMANDS: Final = {
    "bypass": ("shared.cli.bypass", "show who can reach a model around the gate"),
    "check": ("shared.cli.check", "look for faults in the settings and the policy"),
    "explain": ("shared.cli.explain", "tell what the gate would decide for a caller, and why"),
    "notify-secret": ("shared.cli.notify_secret", "print the secret of who is told of the end of jobs"),
    "usage": ("shared.cli.usage", "sum up who used which model how much, from audit files"),
}
"""Name to module and one line of help."""

_WRONG: Final = {"bypass": 3}
"""Exit code for wrong arguments, where 2 says something else."""


class _Parser(argparse.ArgumentParser):
    """Ends the process with the code that the command has for wrong arguments."""

    wrong = 2

    def error(self, message: str) -> NoReturn:
        """Print the usage and `message`, and end the process."""
        self.print_usage(sys.stderr)
        self.exit(self.wrong, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names (the process's arguments by default) and return its exit code.

    argparse ends the process itself (SystemExit) after `--help` with 0 and on wrong arguments with 2, or what `_WRONG` says.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(
        prog="groupgate", description="Only members of chosen Microsoft Entra groups may call a model."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen: Command | None = None
    for name, (module, help_line) in COMMANDS.items():
        command = commands.add_parser(name, help=help_line, description=f"{help_line.capitalize()}.")
        if name in given[:1]:
            parser.wrong = command.wrong = _WRONG.get(name, parser.wrong)
            chosen = cast("Command", importlib.import_module(module))
            chosen.add_arguments(command)
    arguments = parser.parse_args(given)
    if chosen is None:
        parser.error("name the command first")
    return chosen.run(arguments)
