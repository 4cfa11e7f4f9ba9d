"""What all acts of the story share: the running stack, who asks it, and how what came is put into words."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp

from local.stack import Stack
from local.stackpolicy import HELP, STATED_AGE

PROBLEM = "urn:groupgate:problem:"
STATED = f"within {STATED_AGE:.0f} s"
PATIENCE = 60.0
"""Seconds to wait for what must come; it is there much sooner on a machine that has nothing else to do."""


class Otherwise(Exception):
    """An act could not go on; the message says what came."""


class Line(Protocol):
    """Where one sees how what takes its time comes along."""

    def show(self, text: str) -> None:
        """Say how far it is, in place of what was said before."""

    def end(self, text: str) -> None:
        """Say how it went, and no more."""


class Stage:
    """The stack, and what is known of the last answer."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession, line: Line) -> None:
        self.stack = stack
        self.http = http
        self.line = line
        self.details: list[str] = []
        """What came, in more words."""
        # A token from before any change of groups: it must not matter what it says.
        self._bob = stack.entra.token("bob")

    def token(self, who: str) -> str:
        """Give the token of a person or app of the directory."""
        return self._bob if who == "bob" else self.stack.entra.token(who)

    def recorded(self, request_id: str | None) -> dict[str, Any]:
        """Give the record of the decision on a request; empty where there is none."""
        audits = [self.stack.folder / name for name in ("audit.jsonl", "models.jsonl")]
        lines = [line for audit in audits if audit.exists() for line in audit.read_text().splitlines(True)]
        # Jobs are recorded beside the requests: the last line may still be on its way.
        records: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        wanted = ("decision", request_id)
        return next((one for one in records if (one["event"], one["request_id"]) == wanted), {})


def words_of(document: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """Say why something was refused, and whether the answer tells whom to ask; nothing for what was not."""
    if not str(document.get("type", "")).startswith(PROBLEM):
        return []
    reason = record.get("reason") or document["type"].removeprefix(PROBLEM)
    return [reason, "+ help"] if HELP in document.get("detail", "") else [reason]


async def within_stated_age(ask: Callable[[], Awaitable[str]], wanted: str) -> str:
    """Ask again and again: what is sent after the stated age must get what is `wanted`."""
    started = time.monotonic()
    while True:
        age = time.monotonic() - started
        said = await ask()
        if said == wanted:
            return f"{said} {STATED}"
        if age > STATED_AGE:
            return f"{said} after {age:.1f} s"
        await asyncio.sleep(0.1)
