"""Runs the local model for batch jobs, in a process of its own that the first job starts."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from local.batch.jobs import ScoringError
from local.children import ROOT

_COMMAND = (sys.executable, "-m", "local.model.batch")
_LONGEST_LINE = 1024 * 1024


class ModelScorer:
    """A `Scorer` over `python -m local.model.batch`, or another program that speaks like it."""

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self._command = command
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def score(self, inputs: Sequence[Path], output: Path) -> None:
        """Write the predictions for `inputs` to `output`, one job after the other; raise `ScoringError`."""
        question = json.dumps({"inputs": [str(file) for file in inputs], "output": str(output)})
        async with self._turn:
            try:
                line = await self._exchange(question)
            except asyncio.CancelledError:
                # What it still answers is nobody's, and must not be taken for the next job's.
                await self.close()
                raise
        if not line:
            raise ScoringError("the model's process ended")
        if error := json.loads(line)["error"]:
            raise ScoringError(error)

    async def close(self) -> None:
        """End the process; the next job starts another."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _exchange(self, question: str) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=_LONGEST_LINE,
                # Ctrl-C is for the stack, which ends this process when its jobs have been stopped.
                start_new_session=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question.encode() + b"\n")
            await process.stdin.drain()
        except ConnectionError:
            return b""
        return await process.stdout.readline()
