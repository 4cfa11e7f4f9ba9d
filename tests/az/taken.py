"""Let the real Azure CLI take the commands that stand on standard input, one a line. Exit status 1 if it refuses any.

Runs in an environment of the client's own: `make check-az`. A command goes through the client's parser, its question
whether one is sure, and its validators, and ends where it would be run. Nothing of it leaves this process.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr
from importlib import import_module
from io import StringIO
from typing import Final, NoReturn

REFUSED: Final = {
    "an option that there is not": "az role assignment delete --ids a --include-inherted",
    "an option too few": "az role assignment create --assignee-object-id a --role b",
    "a value that there is not": "az rest --method putt --url /a",
    "a query that is none": "az account get-access-token --query ][",
    "a question that nobody answers": (
        "az identity federated-credential delete --resource-group a --identity-name b --name c"
    ),
    "a name that there is not": "az seal create --name a",
}
"""What the client must refuse, by what it has: a check that cannot fail is none."""
_OUTSIDE: Final = {"os.system", "socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen"}


class _Taken(BaseException):
    """The client would now run the command."""


class Az:
    """The client as it is when just installed: without configuration, sign-in and extensions."""

    def __init__(self, folder: str) -> None:
        """Let it keep its files in `folder`."""
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            del os.environ[name]
        os.environ["AZURE_CONFIG_DIR"] = folder
        os.environ["AZURE_CORE_COLLECT_TELEMETRY"] = "no"
        os.environ["AZURE_EXTENSION_USE_DYNAMIC_INSTALL"] = "no"
        # Whatever these say, it looks for a newer version of itself when it starts.
        sys.addaudithook(_stay_inside)
        core = import_module("azure.cli.core")
        invoker = import_module("azure.cli.core.commands").AzCliCommandInvoker
        invoker._run_jobs_serially = invoker._run_jobs_concurrently = _taken
        self.version: str = core.__version__
        self._said = StringIO()
        with redirect_stderr(self._said):
            self._cli = core.get_default_cli()

    def refusal(self, command: str) -> str | None:
        """Return what the client says against `command`; None if it would run it."""
        az, *words = shlex.split(command)
        if az != "az":
            return "this is no command of az"
        # It keeps the standard error that it first wrote to.
        self._said.seek(0)
        self._said.truncate()
        try:
            with redirect_stderr(self._said):
                code = self._cli.invoke(words)
        except _Taken:
            return None
        except SystemExit as ended:
            code = ended.code
        # Advice follows after an empty line.
        return self._said.getvalue().partition("\n\n")[0].strip() or f"it ends with {code}, and runs nothing"


def main() -> int:
    """Tell what is refused; return the exit status."""
    commands = sys.stdin.read().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        az = Az(folder)
        faults = list(_faults(az, commands))
    for kind, number in sorted(Counter(command.partition(" --")[0] for command in commands).items()):
        sys.stdout.write(f"{number:4}  {kind}\n")
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    sys.stdout.write(f"az {az.version}: {len(commands)} commands, {len(faults)} faults\n")
    return 1 if faults or not commands else 0


def _faults(az: Az, commands: list[str]) -> Iterator[str]:
    for command in commands:
        refusal = az.refusal(command)
        if refusal is not None:
            yield f"refused: {command}\n{refusal}"
    for why, command in REFUSED.items():
        if az.refusal(command) is None:
            yield f"taken, though it has {why}: {command}"


def _taken(*_: object) -> NoReturn:
    raise _Taken


def _stay_inside(event: str, _: object) -> None:
    if event in _OUTSIDE:
        raise PermissionError(f"{event}: nothing may leave this process")


if __name__ == "__main__":
    sys.exit(main())
