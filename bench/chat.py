"""The stub's chat: whole as JSON, or as server-sent events of about 200 bytes, each a chunk of its own on the wire.

The deployment's name says how it streams: `events-COUNT-PAUSE` sends COUNT events, the first at once and the next ones PAUSE
milliseconds apart (0: all in one write), then `[DONE]`. With `include_usage` there is the extra event, and every other one
says `"usage":null`, as services do.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Iterator
from typing import Final

PATH: Final = b"/chat/completions"
USAGE: Final = {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}
_NAME: Final = re.compile(rb"events-(\d+)-(\d+)")
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
_EVENTS: Final = _HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n"
_END: Final = b"0\r\n\r\n"


def deployment(events: int, pause: int) -> str:
    """Return the name of what streams so many events, so many milliseconds apart."""
    return f"events-{events}-{pause}"


def request_body(model: str, *, stream: bool, size: int = 2048) -> bytes:
    """Return a chat request of `size` bytes."""
    question = {"role": "user", "content": ""}
    document = {
        "model": model,
        "stream": stream,
        "messages": [{"role": "system", "content": "You are terse."}, question],
        "max_tokens": 100,
    }
    question["content"] = ("why " * size)[: size - len(json.dumps(document))]
    return json.dumps(document).encode()


def whole(body: bytes) -> bytes:
    """Return an answer of JSON."""
    return _HEAD % b"application/json" + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def respond(transport: asyncio.Transport, target: bytes, body: bytes) -> None:
    """Answer one chat request."""
    asked = json.loads(body)
    if not asked.get("stream"):
        transport.write(_COMPLETION)
        return
    named = _NAME.search(target) or _NAME.search(asked.get("model", "").encode())
    if named is None:
        raise ValueError("nobody says how to stream")
    usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    pieces = _pieces(int(named[1]), usage=usage)
    pause = int(named[2]) / 1000
    if not pause:
        transport.write(_EVENTS + b"".join(pieces))
        return
    transport.write(_EVENTS + pieces[0])
    _go_on(transport, iter(pieces[1:]), pause, asyncio.get_running_loop().time())


def _go_on(transport: asyncio.Transport, pieces: Iterator[bytes], pause: float, due: float) -> None:
    """Send the next event when it is due, at a steady pace whatever the loop is late by."""
    loop = asyncio.get_running_loop()

    def send() -> None:
        piece = next(pieces, None)
        if piece is None or transport.is_closing():
            return
        transport.write(piece)
        _go_on(transport, pieces, pause, due + pause)

    loop.call_at(due + pause, send)


@functools.cache
def _pieces(count: int, *, usage: bool) -> tuple[bytes, ...]:
    """Return the events with their chunk framing; the last piece holds all that follows the last token."""
    events = [_event({"content": f" token{number:03d}"}, usage=usage) for number in range(count - 1)]
    end = [_event({}, usage=usage, finish="stop")]
    if usage:
        end.append(b"data: %b\n\n" % _document([], "chat.completion.chunk", usage=USAGE))
    end.append(b"data: [DONE]\n\n")
    return (*map(_framed, events), b"".join(map(_framed, end)) + _END)


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _event(delta: dict[str, str], *, usage: bool, finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    rest = {"usage": None} if usage else {}
    return b"data: %b\n\n" % _document(choices, "chat.completion.chunk", **rest)


def _document(choices: list[dict[str, object]], kind: str, **rest: object) -> bytes:
    document = {
        "id": "chatcmpl-0123456789abcdef0123",
        "object": kind,
        "created": 1_790_000_000,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": choices,
        **rest,
    }
    return json.dumps(document, separators=(",", ":")).encode()


_MESSAGE: Final = {"role": "assistant", "content": "Because. " * 80}
_COMPLETION: Final = whole(
    _document(
        [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "chat.completion",
        usage=USAGE,
    )
)
