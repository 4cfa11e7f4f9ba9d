"""Print every `az` command that a bypass report can hold, one a line, each once: `python -m tests.az.printed`.

The reports are about the tenant of the local stack, about worlds in which everything is open, and about each row of
tests/unit/bypass/cases/ways-*.toml; from each the script of `--fixes` is taken, its comments included, and the fixes in
`--json`. Ends in an error if some kind of command is in none of them.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

from shared.bypass import changes
from shared.bypass.readback import NotACommand, parse
from shared.cli.main import main as groupgate
from tests.functional.local.scene import Scene
from tests.unit.bypass import waysworld
from tests.unit.bypass.test_fixes import EVERYTHING
from tests.unit.bypass.test_ways_tables import OPENING, patterns

EMERGENCY: Final = "6f1b2c3d-0000-4000-8000-00000000e911"
_COMMAND: Final = re.compile(r"(?:# )?(?:[a-z]+: )?(?P<shell>TOKEN=\$\()?(?P<az>az .+?)(?(shell)\))")
"""A line of the script that holds a command: to be run, commented out, offered instead, or of the canary."""
_KINDS: Final = {
    *(type(change).__name__ for change in changes.EXAMPLES),
    *("az account get-access-token", "az cognitiveservices account keys list"),
}
"""Each kind of change, and the canaries of the seal."""


def main() -> int:
    """Print the commands; return the exit status."""
    printed = dict.fromkeys(
        command for document in (asyncio.run(_contoso()), *_worlds()) for command in _commands(document)
    )
    missing = _KINDS - {_kind(command) for command in printed}
    if missing:
        sys.stderr.write(f"no report holds a command of the kind {', '.join(sorted(missing))}\n")
        return 1
    examples = (changes.command(change) for change in changes.EXAMPLES)
    sys.stdout.writelines(f"{command}\n" for command in dict.fromkeys((*printed, *examples)))
    return 0


async def _contoso() -> dict[str, Any]:
    async with Scene() as scene:
        return await scene.collect()


def _worlds() -> Iterator[dict[str, Any]]:
    for kind in waysworld.KINDS:
        made = waysworld.document({**EVERYTHING, "target": kind})
        made["related"].append(
            {"id": f"{waysworld.IDENTITY}/federatedIdentityCredentials/ci", "properties": {}}
        )
        yield made
    for table, row in (case.values for case in OPENING):
        for kind in table.get("targets", [table.get("target")]):
            for place in row["at"]:
                yield waysworld.document(_held_by_all(row, kind, place), table)


def _held_by_all(row: dict[str, Any], kind: str, place: str) -> dict[str, Any]:
    """Return a world in which a user, a group, somebody eligible and the gate have the row's action at `place`."""
    holders: tuple[dict[str, Any], ...] = (
        {"to": "alice", "type": "User"},
        {"to": "analysts", "type": "Group"},
        {"to": "carol", "eligible": True},
        {"to": "gate", "type": "ServicePrincipal"},
    )
    return {
        "target": kind,
        "keys": "taken",
        "public": True,
        "gate": "gate",
        "groups": {"analysts": ["bob", "gate"]},
        "owners": {"analysts": ["dave"]},
        "roles": {"just": {patterns(row): [row["has"]]}},
        "assign": [{"role": "just", "at": place, **holder} for holder in holders],
    }


def _commands(document: dict[str, Any]) -> Iterator[str]:
    written = json.dumps(document)
    for id_, entry in document["directory"]["principals"].items():
        if entry["type"] == "group":
            # The client asks Graph for a group that is not told by a GUID, as all are in Azure.
            written = written.replace(f'"{id_}"', f'"{changes.named(id_)}"')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        path.write_text(written, "utf-8")
        script = _said("--from", str(path), "--fixes", "--fail-on", "low", "--emergency-group", EMERGENCY)
        report = json.loads(_said("--from", str(path), "--json"))
    for line in script.splitlines():
        if found := _COMMAND.fullmatch(line):
            yield found["az"]
    for finding in report["findings"]:
        yield from finding["fix"]


def _said(*arguments: str) -> str:
    with redirect_stdout(io.StringIO()) as said:
        groupgate(["bypass", *arguments])
    return said.getvalue()


def _kind(command: str) -> str:
    """Return the name of the kind of change that `command` makes; its first words if it makes none."""
    try:
        return type(parse(command)).__name__
    except NotACommand:
        return command.partition(" --")[0]


if __name__ == "__main__":
    sys.exit(main())
