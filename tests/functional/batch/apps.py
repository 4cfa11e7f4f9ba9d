"""A running gate that serves jobs, and how it is asked."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from local.host.durable.crash import EXIT_STATUS
from tests.functional.batch.policies import INPUT, OUTPUT
from tests.functional.differences import Mode
from tests.functional.gates import PATIENCE, PROMPT, Answer, Gate, until

JSON = {"Content-Type": "application/json"}
_ADDRESS = re.compile(r"^(DURABLE|CONTROL) (http://127\.0\.0\.1:\d+/\S*)", re.MULTILINE)
_INSIDE = ("/runtime/", "taskhub", "code=", "sig=", "batchjob-", "/durabletask", "groupgate_", PROMPT.lower())
"""What no answer tells: Durable's addresses and keys, signatures of storage, names at Azure ML, what jobs read."""


def a_body(
    *, uri: str = INPUT, output: str | None = OUTPUT, kind: str = "UriFolder", **properties: object
) -> dict[str, Any]:
    """Give what starts a job, with further `properties`."""
    said: dict[str, Any] = {"InputData": {"day": {"JobInputType": kind, "Uri": uri}}}
    if output is not None:
        said["OutputData"] = {"score": {"JobOutputType": "UriFolder", "Uri": output}}
    return {"properties": said | properties}


class App:
    """A running gate that serves jobs; whatever it answers is checked for what no answer may tell."""

    def __init__(self, gate: Gate, audit: Path) -> None:
        """Take the gate and the file of its audit."""
        self.gate = gate
        self._audit = audit
        addresses = dict(_ADDRESS.findall(gate.log.read_text()))
        self.rpc = addresses.get("DURABLE", "").rstrip("/")
        """What the worker asks Durable at."""
        self.control = addresses.get("CONTROL", "").rstrip("/")

    @property
    def mode(self) -> Mode:
        """The way of hosting."""
        return self.gate.mode

    async def ask(
        self,
        method: str,
        path: str,
        who: Mapping[str, str] | None = None,
        *,
        body: bytes | AsyncIterator[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """Ask the gate, with more `headers`, `_` in them for `-` (threats I07, I08)."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.gate.ask(method, path, headers={**(who or {}), **more}, body=body)
        text = (str(answer.headers) + answer.body.decode("latin-1")).lower()
        told = [inside for inside in _INSIDE if inside in text]
        assert not told, (told, text)
        return answer

    async def submit(
        self,
        who: Mapping[str, str],
        name: str = "nightly",
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        **headers: str,
    ) -> Answer:
        """Start a job, or try to."""
        keyed = {"Idempotency-Key": key} if key else {}
        content = json.dumps(a_body() if body is None else body).encode()
        return await self.ask(
            "POST", f"/endpoints/{name}/jobs", {**JSON, **who, **keyed}, body=content, **headers
        )

    async def started(self, who: Mapping[str, str], name: str = "nightly", **more: Any) -> str:
        """Start a job and give its id."""
        came = await self.submit(who, name, **more)
        assert came.status == 202, (came.status, came.body)
        return str(came.json()["name"])

    async def status(self, who: Mapping[str, str], job: str, name: str = "nightly") -> Answer:
        """Ask how a job is."""
        return await self.ask("GET", f"/endpoints/{name}/jobs/{job}", who)

    async def cancel(self, who: Mapping[str, str], job: str, name: str = "nightly") -> Answer:
        """Ask for the end of a job."""
        return await self.ask("DELETE", f"/endpoints/{name}/jobs/{job}", who)

    async def listed(self, who: Mapping[str, str], name: str = "nightly") -> list[str]:
        """Give the names of the jobs that are listed."""
        came = await self.ask("GET", f"/endpoints/{name}/jobs", who)
        assert came.status == 200, came.body
        return [job["name"] for job in came.json()["value"]]

    async def ended(self, who: Mapping[str, str], job: str, name: str = "nightly") -> dict[str, Any]:
        """Move the clock until a job has ended, and give its properties."""
        async with asyncio.timeout(PATIENCE):
            while True:
                came = await self.status(who, job, name)
                assert came.status == 200, (came.status, came.body)
                if "Retry-After" not in came.headers:
                    properties: dict[str, Any] = came.json()["properties"]
                    return properties
                await self.advance(float(came.headers["Retry-After"]))
                await asyncio.sleep(0.02)

    async def until(
        self,
        who: Mapping[str, str],
        job: str,
        holds: Callable[[dict[str, Any]], bool],
        *,
        name: str = "nightly",
        step: float = 2.0,
    ) -> Answer:
        """Ask how a job is, the clock moved by `step` seconds each time, until its properties are so."""
        async with asyncio.timeout(PATIENCE):
            while not holds((came := await self.status(who, job, name)).json()["properties"]):
                await self.advance(step)
                await asyncio.sleep(0.02)
        return came

    async def waits_for(self, job: str, code: str) -> None:
        """Move the clock until a job shows, to Durable alone, that it waits for this."""
        async with asyncio.timeout(PATIENCE):
            while ((await self.instance(job))["customStatus"] or {}).get("code") != code:
                await self.advance(10)
                await asyncio.sleep(0.02)

    async def over(self, job: str, *, step: float = 10.0, status: str = "Completed") -> None:
        """Move the clock until Durable tells this `status` of a job, whatever its gate answers meanwhile."""
        async with asyncio.timeout(PATIENCE):
            while (await self.instance(job))["runtimeStatus"] != status:
                await self.advance(step)
                await asyncio.sleep(0.02)

    async def instance(self, instance: str) -> dict[str, Any]:
        """Give what Durable itself tells of an instance."""
        came = await self.gate.ask("GET", f"/instances/{instance}", base=self.rpc)
        assert came.status in (200, 202), came.body
        told: dict[str, Any] = came.json()
        return told

    async def tell(self, path: str, **body: object) -> None:
        """Ask the host's own door of control."""
        content = json.dumps(body).encode()
        came = await self.gate.ask("POST", path, headers=JSON, body=content, base=self.control)
        assert came.status in (200, 204), came.body

    async def well(self) -> None:
        """Take back what was told: crashes, an outage, conflicts that are not told."""
        came = await self.gate.ask("DELETE", "/crash", base=self.control)
        assert came.status == 204
        await self.tell("/outage", seconds=0)
        await self.tell("/conflicts", hidden=False)

    async def advance(self, seconds: float) -> None:
        """Move the clock of Durable ahead."""
        await self.tell("/clock", advance=seconds)

    async def crash(self, at: str, step: str, name: str | None = None, *, nth: int = 1) -> None:
        """Have the host killed at a step to come."""
        await self.tell("/crash", at=at, step=step, name=name, nth=nth)

    async def dies(self) -> None:
        """Move the clock on until a crash switch has struck."""
        async with asyncio.timeout(PATIENCE):
            while self.gate.process.returncode is None:
                # What it answers does not matter, nor whether it does.
                await self.gate.ask("POST", "/clock", headers=JSON, body=b'{"advance":2}', base=self.control)
                await asyncio.sleep(0.02)
        assert self.gate.process.returncode == EXIT_STATUS

    def of_job(self, job: str) -> list[dict[str, Any]]:
        """Give the audit records of a job, oldest first."""
        lines = _lines(self._audit)
        return [one for one in map(json.loads, lines) if one["event"] == "job" and one["job"] == job]

    def states(self, job: str) -> list[str]:
        """Give the states that are on record for a job, those of its end left aside."""
        return [one["state"] for one in self.of_job(job) if not one["ended"]]

    async def recorded(self, job: str) -> dict[str, Any]:
        """Give the record of a job's end."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.of_job(job) if one["ended"]]

        await until(lambda: bool(found()))
        return found()[-1]


def _lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()
