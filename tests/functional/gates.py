"""A gate under test: `python -m local.host` in a process of its own, and how it is asked."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from shared.audit import verify
from tests.functional.differences import Mode

REPOSITORY = Path(__file__).resolve().parents[2]
PROBLEM = "urn:groupgate:problem:"
PROMPT = "MARKER-PROMPT"
"""Stands in every body that is sent; it must never come back in an error, nor stand in any record."""
BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]], "note": PROMPT}).encode()
CHAT = "/openai/v1/chat/completions"
PATIENCE = 10.0
"""Seconds to wait for something that must happen; reached only by a failing test."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came; a status of 0 means that the connection ended before, `whole` that the body ended properly."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    whole: bool = True
    seconds: float = 0.0

    def json(self) -> Any:
        """Give the body as JSON."""
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """The last part of the problem's type; empty for what is no problem, and for the answer to HEAD."""
        if not self.body or self.headers.get("Content-Type") != "application/problem+json":
            return ""
        return str(self.json()["type"]).removeprefix(PROBLEM)

    @property
    def told(self) -> tuple[int, str]:
        """Status and slug, as most tests compare them."""
        return self.status, self.slug

    @property
    def request_id(self) -> str:
        """The id that joins the answer and its records."""
        return self.headers.get("X-Request-Id", "")


class Gate:
    """A running gate; whatever it answers is checked for what every answer must have."""

    def __init__(
        self, *, mode: Mode, process: asyncio.subprocess.Process, url: str, audit: Path, log: Path
    ) -> None:
        self.mode: Mode = mode
        self.process = process
        self.url = url
        self.audit = audit
        self.log = log
        self.markers: Callable[[], list[str]] = list
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=2 * PATIENCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        base: str = "",
        pieces: list[bytes] | None = None,
    ) -> Answer:
        """Send a request, its path exactly as given; `base` is another front door than the gate's own.

        The body is added to `pieces` as it comes.
        """
        started = time.monotonic()
        answer = Answer(status=0, whole=False)
        try:
            async with self._http.request(
                method,
                URL((base or self.url) + path, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as response:
                answer.status, answer.headers = response.status, CIMultiDict(response.headers)
                async for part in response.content.iter_any():
                    answer.body += part
                    if pieces is not None:
                        pieces.append(part)
                answer.whole = True
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            pass
        answer.seconds = time.monotonic() - started
        self.check(answer, openai=path.startswith(("/openai/", "/models/")))
        return answer

    async def chat(
        self,
        who: Mapping[str, str],
        name: str | None = "gpt",
        *,
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
        pieces: list[bytes] | None = None,
        base: str = "",
        **fields: object,
    ) -> Answer:
        """Ask a model for a chat as `who`, with more `headers` and further `fields`; None names no model in the body."""
        named = {} if name is None else {"model": name}
        document = {**named, "messages": [{"role": "user", "content": PROMPT}], **fields}
        return await self.ask(
            "POST",
            path,
            headers={"Content-Type": "application/json", **who, **(headers or {})},
            body=json.dumps(document).encode(),
            pieces=pieces,
            base=base,
        )

    async def chat_that_is_not_read(self, who: Mapping[str, str]) -> asyncio.StreamWriter:
        """Ask for a streamed chat on a connection of which nobody reads; the caller breaks it off."""
        body = json.dumps({"model": "gpt", "messages": [], "stream": True, "user": "0"}).encode()
        lines = {"Host": "gate", "Content-Type": "application/json", "Content-Length": str(len(body)), **who}
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1)
        writer.write(f"POST {CHAT} HTTP/1.1\r\n{fields}\r\n".encode() + body)
        await writer.drain()
        return writer

    async def score(
        self,
        who: Mapping[str, str],
        name: str = "plain",
        *,
        body: bytes | AsyncIterator[bytes] = BODY,
        base: str = "",
        pieces: list[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """Ask an endpoint for a prediction with the headers `who`; more `headers` with `_` for `-`."""
        more = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.ask(
            "POST",
            f"/endpoints/{name}/score",
            headers={"Content-Type": "application/json", **who, **more},
            body=body,
            base=base,
            pieces=pieces,
        )

    async def raw(self, data: bytes, *, wait: float = PATIENCE) -> bytes:
        """Send bytes and give all that comes until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(wait):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    def check(self, answer: Answer, *, openai: bool = False) -> None:
        """Assert what holds for every answer of the gate (I01: no error tells anything of the inside)."""
        names = [name.lower() for name, _ in answer.headers.items()]
        assert len(names) == len(set(names)), names
        if answer.status >= 400:
            text = (str(answer.headers) + answer.body.decode("latin-1")).lower()
            found = [marker for marker in self.markers() if marker.lower() in text]
            assert not found, (found, text)
        if answer.status != 500 and answer.request_id:
            assert answer.headers.getall("Cache-Control") == ["no-store"]
            assert answer.headers.getall("Vary") == ["Authorization, Cookie"]
            if answer.slug:
                problem = answer.json()
                assert problem["status"] == answer.status
                assert problem["instance"] == f"urn:uuid:{answer.request_id}"
                told = {"code": answer.slug, "message": problem["detail"]}
                assert problem.get("error") == (told if openai else None)
        assert answer.slug != "internal-error", self.log.read_text()[-2000:]

    def lines(self) -> list[bytes]:
        """Give the lines of the audit file that are complete."""
        data = self.audit.read_bytes() if self.audit.exists() else b""
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)

    def records(self, request_id: str = "") -> list[dict[str, Any]]:
        """Give the audit records, of one request or all."""
        mark = request_id.encode()
        found = (json.loads(line) for line in self.lines() if mark in line)
        return [record for record in found if request_id in ("", record["request_id"])]

    def decision(self, answer: Answer) -> dict[str, Any]:
        """Give the one decision record of an answer."""
        (found,) = [one for one in self.records(answer.request_id) if one["event"] == "decision"]
        return found

    async def outcome(self, answer: Answer) -> dict[str, Any]:
        """Give the one outcome record of an answer, which may come after its last byte."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.records(answer.request_id) if one["event"] == "outcome"]

        await until(lambda: bool(found()))
        (record,) = found()
        return record

    def verify_audit(self) -> None:
        """Assert that the chain holds and no record tells a secret."""
        lines = self.lines()
        assert verify(lines) == []
        text = b"".join(lines)
        assert PROMPT.encode() not in text
        assert b"eyJ" not in text

    async def close(self) -> None:
        """End it at once."""
        await self._http.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def gate_in(
    folder: Path,
    environment: Mapping[str, str],
    *,
    mode: Mode,
    arguments: Sequence[str] = (),
    module: str = "local.host",
) -> AsyncIterator[Gate]:
    """Run a gate on a free port with its output in `folder`, and its audit file too unless it is told otherwise.

    `arguments` are further ones of `module`, which says READY and its address as `python -m local.host` does.
    """
    log = folder / "gate.log"
    env = {"GROUPGATE_AUDIT": f"file:{folder / 'audit.jsonl'}", "GROUPGATE_HTTP": mode, **environment}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            "--port",
            "0",
            *arguments,
            cwd=REPOSITORY,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        await until(lambda: "READY " in log.read_text() or process.returncode is not None, within=30)
        assert process.returncode is None, log.read_text()
        url = log.read_text().partition("READY ")[2].split()[0].rstrip("/")
        audit = Path(env["GROUPGATE_AUDIT"].removeprefix("file:"))
        gate = Gate(mode=mode, process=process, url=url, audit=audit, log=log)
        try:
            yield gate
        finally:
            await gate.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(true: Callable[[], bool], *, within: float = PATIENCE) -> float:
    """Poll until something is so, and give the seconds that it took; fail when it does not come."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < within, "it did not come in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
