"""A model endpoint that does on the wire what a test tells it to; it understands just enough HTTP to be called."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

OK = {"prediction": ["setosa"]}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as it came, and the connection that it came on."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the other side has closed the connection."""

    async def send(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a TCP reset, as a crashed server does."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Wait until the other side closes the connection."""
        try:
            while await self.reader.read(1024):
                pass
        except ConnectionError:
            pass
        self.gone.set()


Behaviour = Callable[[Exchange], Awaitable[None]]


def answer(status: int = 200, body: object = OK, **headers: str) -> bytes:
    """Give a whole answer as bytes: a `body` that is no bytes becomes JSON; `headers` with `_` for `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(data))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + data


def says(data: bytes, *, then: str = "keep") -> Behaviour:
    """Send these bytes, and then `keep` the connection, `close` or `reset` it."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)
        if then == "reset":
            await asyncio.sleep(0.05)  # else the kernel may throw away what it has not sent
            exchange.reset()
        elif then == "close":
            exchange.writer.close()

    return behave


async def silent(exchange: Exchange) -> None:
    """Say nothing until the other side gives up."""
    await exchange.until_gone()


async def resets(exchange: Exchange) -> None:
    """End the connection before any answer."""
    exchange.reset()


def chunk(data: bytes) -> bytes:
    """Frame a chunk (RFC 9112, section 7.1)."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


async def drips(exchange: Exchange) -> None:
    """Stream for ever, until the other side goes away."""
    gone = asyncio.create_task(exchange.until_gone())
    await exchange.send(STREAM_HEAD)
    try:
        while not exchange.gone.is_set():
            await exchange.send(chunk(b"x" * 512))
            await asyncio.sleep(0.02)
    except ConnectionError:
        exchange.gone.set()
    finally:
        gone.cancel()


END = b"0\r\n\r\n"
"""The terminal chunk."""
EVENTS_HEAD = STREAM_HEAD.replace(b"text/plain", b"text/event-stream; charset=utf-8")
DONE = b"data: [DONE]\n\n"


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Give what an answer to a chat says of its tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def chat(text: str = "MARKER-ANSWER", **more: object) -> dict[str, object]:
    """Give a whole answer to a chat."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [choice], **more}


def event(document: object, *, name: str = "") -> bytes:
    """Frame a server-sent event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(text: str, **more: object) -> bytes:
    """Give one event of a chat."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more})


def usage_event(prompt: int, completion: int) -> bytes:
    """Give the extra event that `stream_options.include_usage` brings."""
    told = usage(prompt, completion)
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": told})


def streams(*pieces: bytes, then: str = "keep", end: bytes = END) -> Behaviour:
    """Send a stream of events in these pieces, each a chunk of its own."""
    return says(EVENTS_HEAD + b"".join(map(chunk, pieces)) + end, then=then)


async def drips_events(exchange: Exchange) -> None:
    """Stream events for ever, until the other side goes away."""
    gone = asyncio.create_task(exchange.until_gone())
    try:
        await exchange.send(EVENTS_HEAD)
        while not exchange.gone.is_set():
            await exchange.send(chunk(delta("drip")))
            await asyncio.sleep(0.02)
    except ConnectionError:
        exchange.gone.set()
    finally:
        gone.cancel()


class Upstream:
    """Listens on loopback; `behaviour` answers every request until it is changed."""

    def __init__(self) -> None:
        self.port = 0
        self.behaviour: Behaviour = says(answer())
        self.requests: list[Exchange] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what came, and answer 200 again."""
        self.behaviour = says(answer())
        self.requests = []

    async def start(self) -> None:
        """Listen, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, "127.0.0.1", self.port, backlog=1024, limit=1 << 20
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections, and drop those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while not writer.is_closing():
                exchange = await _read(reader, writer)
                self.requests.append(exchange)
                await self.behaviour(exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    if headers.get("transfer-encoding") == "chunked":
        parts = []
        while size := int((await reader.readline()).strip(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        body = b"".join(parts)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method=method, target=target, headers=headers, body=body, reader=reader, writer=writer)
