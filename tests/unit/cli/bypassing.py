"""A command to run in tests: `groupgate bypass` with a clock and a collection of the test's own, and snapshots for it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.cli import bypass
from shared.cli.bypass import Tools, execute
from tests.unit.bypass import world

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
GROUP = "6f1b2c3d-0000-4000-8000-000000000001"
ROLES: dict[str, tuple[str, list[str], list[str]]] = {
    OWNER: ("Owner", ["*"], []),
    CONTRIBUTOR: ("Contributor", ["*"], ["Microsoft.Authorization/*"]),
}

Document = dict[str, Any]


def snapshot(*assigned: dict[str, Any], mode: str = "AADToken", **changes: Any) -> Document:
    """Return a snapshot of an endpoint without a public network, in which these assignments are made."""
    made = world.document({"assign": list(assigned)})
    made["roleDefinitions"] = [
        {
            "id": f"/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "roleName": name,
            "permissions": [
                {"actions": actions, "notActions": excluded, "dataActions": [], "notDataActions": []}
            ],
        }
        for role, (name, actions, excluded) in ROLES.items()
    ]
    properties = {"authMode": mode, "publicNetworkAccess": "Disabled"}
    made["target"] = {"id": world.ENDPOINT, "properties": properties}
    return made | changes


ALICE = {"to": "alice", "role": CONTRIBUTOR, "at": "subscription"}
BOB = {"to": "bob", "role": CONTRIBUTOR, "at": "group"}
ELIGIBLE = {"to": "alice", "role": CONTRIBUTOR, "at": "subscription", "eligible": True}
UNREAD = [{"what": "denyAssignments", "why": "403"}]
CLOSED = snapshot()
OPEN = snapshot(ALICE)
LOW = snapshot()
LOW["target"] = {
    "id": world.ENDPOINT,
    "properties": {"authMode": "AADToken", "publicNetworkAccess": "Enabled"},
}


class Said:
    """What the command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class Command:
    """Runs the command in a folder of its own, with a clock and a collection that the test may set."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.collected: list[argparse.Namespace] = []
        self.answer: Document | Exception = OPEN

    def file(self, name: str, content: object) -> str:
        """Write a file of the folder, JSON unless it is text, and return its path."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return str(path)

    def __call__(self, *argv: str, now: datetime = NOW) -> Said:
        parser = argparse.ArgumentParser()
        bypass.add_arguments(parser)
        code = execute(parser.parse_args(argv), Tools(collect=self._collect, now=lambda: now))
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def _collect(self, arguments: argparse.Namespace) -> Document:
        self.collected.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def findings(self, document: Document) -> list[Document]:
        """Return what the command finds in a snapshot."""
        found: list[Document] = json.loads(self("--from", self.file("s.json", document), "--json").out)[
            "findings"
        ]
        return found

    def allow(self, document: Document, until: str) -> str:
        """Write a file that accepts all that is found in a snapshot, and return its path."""
        entries = [
            {"id": one["id"], "owner": "Dana Fox", "reason": "sealed", "until": until}
            for one in self.findings(document)
        ]
        return self.file("allow.json", {"accepted": entries})
