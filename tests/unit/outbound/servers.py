"""Small servers on loopback that say exactly the bytes a test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Handler = Callable[["Request", asyncio.StreamWriter], Awaitable[object]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class RealClock:
    """The clock of the machine: these tests run against real sockets."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Request:
    """One request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    number: int

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Server:
    """What came in so far."""

    url: str = ""
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)


@asynccontextmanager
async def serve(
    answer: bytes | Handler, *, ssl: object = None, greeting: bytes = b""
) -> AsyncIterator[Server]:
    """Serve `answer` to each request on loopback: fixed bytes, or what a handler does (it may close the writer)."""
    server = Server()
    open_writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        connection = server.connections
        open_writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(greeting)
            while not writer.is_closing():
                request = await _read(reader, connection, len(server.requests) + 1)
                server.requests.append(request)
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(request, writer)
                await writer.drain()
        writer.close()
        open_writers.discard(writer)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"http{'s' if ssl else ''}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for writer in list(open_writers):
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, connection: int, number: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.rstrip("\r\n").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length)
    return Request(line=line, headers=headers, body=body, connection=connection, number=number)


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut the connection without a good-bye."""
    writer.transport.abort()
