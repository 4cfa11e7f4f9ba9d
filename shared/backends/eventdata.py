"""Reading server-sent events: where they end, and what they tell of usage, ids and the end of an answer. Pure.

WHATWG HTML, "Server-sent events": lines end with LF, CRLF or CR, and a blank line ends an event. A blank line's last
byte therefore always closes one of LF LF, CR CR or LF CR, and a LF after such a CR still belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from shared.model import Usage

MAX_TOKENS: Final = 1_000_000_000
"""The most tokens that are believed of one call; what says more is nonsense and is not read."""

_BLANK: Final = re.compile(rb"[\r\n](?:\r\n?|(?<=\n)\n)")
_LAST: Final = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "transcript.text.done",
        "speech.audio.done",
    }
)
"""Events that nothing follows (OpenAI API reference, "Streaming"); chat and completions end with `[DONE]` instead."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]


class _Usage(msgspec.Struct):
    """Both spellings: chat, completions and embeddings; Responses, transcription and images (protocols, 6.2)."""

    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    total_tokens: _Tokens | None = None


class _Counted(msgspec.Struct):
    usage: _Usage | None = None


class _CountedInside(msgspec.Struct):
    response: _Counted | None = None


class _Type(msgspec.Struct):
    type: str | None = None


class _Identified(msgspec.Struct):
    id: str


class _Created(msgspec.Struct, tag_field="type", tag="response.created"):
    response: _Identified


class _Added(msgspec.Struct, tag_field="type", tag="response.output_item.added"):
    item: _Identified


class _UsageOnly(msgspec.Struct, forbid_unknown_fields=True):
    """The one extra chunk that `stream_options.include_usage` brings, and nothing else (protocols, 6.2)."""

    choices: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
    usage: dict[str, msgspec.Raw]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    obfuscation: Any = None
    timings: Any = None
    """llama.cpp's server puts its own timings beside the usage."""


_counted: Final = msgspec.json.Decoder(_Counted)
_counted_inside: Final = msgspec.json.Decoder(_CountedInside)
_type: Final = msgspec.json.Decoder(_Type)
_identified: Final = msgspec.json.Decoder(_Created | _Added)
_usage_only: Final = msgspec.json.Decoder(_UsageOnly)
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def last_end(data: bytes | bytearray, start: int) -> int:
    """Return where the last whole event of `data` ends, looking for its blank line from `start` on; 0 for none."""
    at = data.rfind(b"\n\n", start)
    if data.find(b"\r", start) >= 0:
        at = max(at, data.rfind(b"\r\r", start), data.rfind(b"\n\r", start))
        if at >= 0 and data[at + 1 : at + 3] == b"\r\n":
            at += 1
    return at + 2 if at >= 0 else 0


def first_end(data: bytes) -> int:
    """Return where the first whole event of `data` ends; 0 for none."""
    blank = _BLANK.search(data)
    return 0 if blank is None else blank.end()


def events(block: bytes) -> Iterator[bytes]:
    """Yield the events of `block`, each with its blank line, and last what is left when it ends within one."""
    start = 0
    for blank in _BLANK.finditer(block):
        yield block[start : blank.end()]
        start = blank.end()
    if start < len(block):
        yield block[start:]


def may_tell_usage(block: bytes) -> bool:
    """Say whether `block` may hold usage that is not null, without parsing it.

    A quote within JSON text is escaped, so these bytes are a whole name or a whole string, never a part of an answer.
    """
    names = block.count(b'"usage"')
    if names == 0 or names == block.count(b'"usage":null'):
        return False
    return names != block.count(b'"usage":null') + block.count(b'"usage": null')


def may_tell_ids(block: bytes) -> bool:
    """Say whether `block` may name a response or an item of it that was just made, without parsing it."""
    # Looked up with `find`, which takes a third of the time that `in` does.
    return block.find(b'"response.created"') >= 0 or block.find(b'"response.output_item.added"') >= 0


def data_of(event: bytes) -> bytes:
    """Return the event's data: its `data` lines, joined by LF."""
    lines = [line[5:].removeprefix(b" ") for line in _lines(event) if line.startswith(b"data:")]
    return b"\n".join(lines)


def usage_of(data: bytes) -> Usage | None:
    """Return the usage in one JSON object: its own `usage`, or that of its `response`; None for everything else."""
    try:
        usage = _counted.decode(data).usage
        if usage is None:
            inside = _counted_inside.decode(data).response
            usage = None if inside is None else inside.usage
    except _MALFORMED:
        return None
    if usage is None:
        return None
    prompt = usage.input_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    completion = usage.output_tokens if usage.completion_tokens is None else usage.completion_tokens
    if prompt is None and completion is None and usage.total_tokens is None:
        return None  # of a transcription that is billed by its seconds
    prompt, completion = prompt or 0, completion or 0
    # What is charged is never less than the parts that are told.
    total = max(usage.total_tokens or 0, prompt + completion)
    return Usage(prompt=prompt, completion=completion, total=total)


def id_of(data: bytes) -> str | None:
    """Return the id of the response, or of the item of one, that this event says was made; None for other events."""
    try:
        made = _identified.decode(data)
    except _MALFORMED:
        return None
    return (made.response if isinstance(made, _Created) else made.item).id or None


def is_usage_only(event: bytes) -> bool:
    """Say whether `event` is the one extra chunk of `include_usage`: empty `choices`, a `usage` object, no content.

    An event with any other field or member is not: Azure's first chunk has `prompt_filter_results`, for one.
    """
    if not all(line.startswith((b"data:", b":")) for line in _lines(event) if line):
        return False
    try:
        _usage_only.decode(data_of(event))
    except _MALFORMED:
        return False
    return True


def ends_answer(block: bytes) -> bool:
    """Say whether the last event of `block` that has data is the last one of a whole answer."""
    for event in reversed(list(events(block))):
        data = data_of(event).strip()
        if data:
            return data == b"[DONE]" or _name_of(event, data) in _LAST
    return False


def _name_of(event: bytes, data: bytes) -> str | None:
    for line in _lines(event):
        if line.startswith(b"event:"):
            return line[6:].removeprefix(b" ").decode("utf-8", "replace")
    try:
        return _type.decode(data).type
    except _MALFORMED:
        return None


def _lines(event: bytes) -> list[bytes]:
    # For bytes this splits at LF, CRLF and CR, and at nothing else. A byte order mark may begin the first line of all.
    return event.removeprefix(b"\xef\xbb\xbf").splitlines()
