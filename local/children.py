"""Child processes of the local stack: started, waited for, stopped together with what they started."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
_GRACE = 4.0
_TAIL = 30


class ChildError(RuntimeError):
    """A child ended, or was not ready in time; the message holds the end of what it said."""


class Child:
    """A process that writes to `log`, listens on `url`, and answers 200 at the path `health` once it is ready."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        *,
        spawn: Callable[[], Awaitable[asyncio.subprocess.Process]],
        log: Path,
        port: int,
        health: str,
    ) -> None:
        self.name = name
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self._process = process
        self._spawn = spawn
        self._health = self.url + health

    async def ready(self, *, within: float = 60.0) -> None:
        """Wait at most `within` seconds until it answers; raise `ChildError` when it ends or never does."""
        ended = asyncio.ensure_future(self._process.wait())
        answers = asyncio.ensure_future(self._answers())
        done, waiting = await asyncio.wait({ended, answers}, timeout=within, return_when="FIRST_COMPLETED")
        for task in waiting:
            task.cancel()
        if ended in done:
            raise ChildError(self._what_happened())
        if not done:
            raise ChildError(f"{self.name} did not answer {self._health} in {within:.0f} s:\n{self.tail()}")
        answers.result()

    async def ended(self) -> None:
        """Wait for its end, which nobody asked for, and raise `ChildError`."""
        await self._process.wait()
        raise ChildError(self._what_happened())

    async def kill(self) -> None:
        """End it and its own children on the spot: nothing of theirs can tidy up."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    async def start_again(self) -> None:
        """Run the same once more, after its end."""
        self._process = await self._spawn()

    async def stop(self) -> None:
        """End it and its own children, by force after a few seconds."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE):
                await self._process.wait()
        except TimeoutError:
            pass
        await self.kill()

    def tail(self) -> str:
        """Give the last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL:])

    async def _answers(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(self._health) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        # The child leads a process group of its own: workers that it forked are in it.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _what_happened(self) -> str:
        return f"{self.name} ended with status {self._process.returncode}:\n{self.tail()}"


@asynccontextmanager
async def child(
    name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, port: int, health: str = "/"
) -> AsyncIterator[Child]:
    """Run `command` in the project's folder for the length of the block."""

    async def spawn() -> asyncio.subprocess.Process:
        with log.open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    running = Child(name, await spawn(), spawn=spawn, log=log, port=port, health=health)
    try:
        yield running
    finally:
        await running.stop()


def free_port() -> int:
    """Find a port for a child to listen on, outside the range from which the kernel serves everybody else."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20000 and 32000")
