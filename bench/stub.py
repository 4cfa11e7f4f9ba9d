"""A model, Graph and a managed identity endpoint in one fast process: raw asyncio, no checks, counters.

Stands in for services that the benchmark must not wait for; nothing about their behaviour is verified by it.
Paths: `POST /score` and `POST /slow/score` (after 50 ms), `POST /v1.0/users/ID/checkMemberGroups` (says yes to all that is
asked, but for the stranger), `GET /msi/token`, `GET /counts` (calls so far, then starts anew), and the chat in bench/chat.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bench import chat

PREDICTION: Final = b'{"predictions": [0.25, 0.75], "model": "fraud-3"}'
STRANGER: Final = 999_999_999
"""The number in the object id of the one caller who is in no group."""
SLOW: Final = 0.05
"""Seconds that the slow model thinks."""


_PREDICTED: Final = chat.whole(PREDICTION)


class Stub(asyncio.Protocol):
    """One connection; answers each request in turn."""

    counts: Final[dict[str, int]] = {}

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take whole requests out of what came; one with a length only."""
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end]
            length = _length(head)
            if len(data) < end + 4 + length:
                break
            body, data = data[end + 4 : end + 4 + length], data[end + 4 + length :]
            self._respond(head, body)
        self._rest = data

    def _respond(self, head: bytes, body: bytes) -> None:
        _, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
        if target == b"/score":
            self._transport.write(_PREDICTED)
        elif target == b"/slow/score":
            asyncio.get_running_loop().call_later(SLOW, self._transport.write, _PREDICTED)
        elif chat.PATH in target:
            chat.respond(self._transport, target, body)
        else:
            self._transport.write(chat.whole(_side(target.decode(), body)))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def _side(target: str, body: bytes) -> bytes:
    parts = urlsplit(target)
    counts = Stub.counts
    if parts.path == "/counts":
        told = json.dumps(counts).encode()
        counts.clear()
        return told
    if parts.path.endswith("/checkMemberGroups"):
        counts["graph"] = counts.get("graph", 0) + 1
        asked = [] if f"-{STRANGER:012x}/" in parts.path else json.loads(body)["groupIds"]
        return json.dumps({"@odata.context": "x", "value": asked}).encode()
    if parts.path == "/msi/token":
        resource = parse_qs(parts.query).get("resource", ["?"])[0]
        counts[f"token {resource}"] = counts.get(f"token {resource}", 0) + 1
        expiry = int(time.time()) + 86_400
        return json.dumps(
            {
                "access_token": "t" * 1200,
                "expires_on": str(expiry),
                "resource": resource,
                "token_type": "Bearer",
            }
        ).encode()
    return b"{}"


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(lower[at + 17 :].split(b"\r\n", 1)[0])


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the benchmark: its end of this pipe closes, whatever became of it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
