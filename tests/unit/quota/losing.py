"""A line to Redis that loses answers: what was asked is done, and whoever asked never hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.redis_server import RedisServer


class LosingLine:
    """Passes on what is said both ways; while `losing`, hangs up where an answer that is no error should go back."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.losing = 0
        """Answers that are still to be lost."""
        self.questions = 0
        """Pieces that came; what is sent at once and is small comes in one."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        answers, questions = await asyncio.open_connection("127.0.0.1", self._server.port)
        asking = asyncio.create_task(self._ask(reader, questions))
        while answer := await answers.read(65_536):
            if self.losing and not answer.startswith(b"-"):
                self.losing -= 1
                break
            writer.write(answer)
        asking.cancel()
        questions.close()
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, questions: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65_536):
            self.questions += 1
            questions.write(asked)
        questions.close()


@asynccontextmanager
async def losing_line(server: RedisServer) -> AsyncIterator[LosingLine]:
    """Give a line to `server`."""
    line = LosingLine(server)
    listener = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    async with listener:
        line.port = listener.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            listener.close_clients()
