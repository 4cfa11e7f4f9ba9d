"""The story of who goes around the gate: `groupgate bypass` finds them, its fixes are applied, and somebody opens a way again."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from local.arm.az import Az
from local.arm.contoso import CONTRIBUTOR, ENDPOINT, SITE, SUBSCRIPTION
from local.children import ROOT
from local.stack import ADMINISTRATOR
from local.story.stage import Stage
from shared.bypass import changes


class Bypass:
    """Every act gives in a few words what the command said, with its exit code."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stack = stage.stack
        token = self._stack.entra.token
        self._az = Az(
            stage.http,
            management=self._stack.arm.url,
            graph=self._stack.directory_reads.url,
            token=lambda audience: token(ADMINISTRATOR, audience=audience, version="1.0"),
        )

    @property
    def _snapshot(self) -> Path:
        return self._stack.folder / "bypass.json"

    async def found(self) -> str:
        """Collect and judge; say whether keys are good for the model, and how many call it by a role of theirs."""
        code, report = await self._judged()
        direct = sorted(_name(found) for found in report["findings"] if found["way"] == "invoke")
        keys = "any key, " if any(found["way"] == "auth-mode" for found in report["findings"]) else ""
        self._stage.line.end(f"these call it: {', '.join(direct)}")
        return f"exit {code} {report['verdict']}: {keys}{len(direct)} by a role"

    async def fixed(self) -> str:
        """Run every command that is printed for the snapshot, in its order."""
        _, script = await self._run("--from", str(self._snapshot), "--fixes", "--fail-on", "low")
        commands = [line for line in script.splitlines() if line and not line.startswith("#")]
        for number, command in enumerate(commands, 1):
            self._stage.line.show(f"{number} of {len(commands)}: {command}")
            await self._az.run(command)
        self._stage.line.end(f"{len(commands)} commands were run")
        code, left = await self._judged()
        return f"exit {code} {left['verdict']}, {len(left['findings'])} findings"

    async def opened_again(self) -> str:
        """Make bob a Contributor of the subscription; say who the next run finds, and by which chain."""
        bob = self._stack.directory.people["bob"].oid
        wish = changes.Assign(bob, "User", CONTRIBUTOR.rpartition("/")[2], SUBSCRIPTION)
        await self._az.run(changes.command(wish))
        code, report = await self._judged()
        direct = next((found["id"] for found in report["findings"] if found["way"] == "invoke"), "")
        _, chain = await self._run("--from", str(self._snapshot), "--explain", direct)
        who = re.search(r'^who +"(\w+)"', chain, re.MULTILINE)
        role = re.search(r'^grant +role "(\w+)"', chain, re.MULTILINE)
        inherited = "inherited " if f"at scope {SUBSCRIPTION}\n" in chain else ""
        return f"exit {code} {report['verdict']}: {who and who[1]}, {inherited}{role and role[1]}"

    async def _judged(self) -> tuple[int, dict[str, Any]]:
        self._stage.line.show("collecting")
        collected = ("--gate", SITE, "--management", self._stack.arm.url, "--save", str(self._snapshot))
        code, said = await self._run(ENDPOINT, *collected, "--json")
        report: dict[str, Any] = json.loads(said)
        return code, report

    async def _run(self, *arguments: str) -> tuple[int, str]:
        """Run the command as a pipeline would, with an identity of its own; give its exit code and output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared", "bypass", *arguments,
            cwd=ROOT, env=self._stack.auditors_environment(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaints = await process.communicate()
        self._stage.details = complaints.decode().splitlines()
        return process.returncode or 0, said.decode()


def _name(found: dict[str, Any]) -> str:
    """Return who it is, and what must happen before they may."""
    name = str(found["principal"]["displayName"])
    return name if found["state"] == "active" else f"{name} ({found['state']})"
