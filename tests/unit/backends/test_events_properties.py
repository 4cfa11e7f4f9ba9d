"""Properties of the relay of server-sent events, on streams and cuts that nobody thought of (F04 to F06, T19)."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends import eventdata
from shared.backends.events import EventRelay
from shared.backends.idle import IdleGuard
from shared.model import Usage
from shared.problem import Slug, UpstreamFault

ERROR = b'event: error\ndata: {"error":{}}\n\n'
STREAMS = 10_000


class Sliced(AsyncIterator[bytes]):
    """A source of slices, which ends well or is cut."""

    usage = None
    fault = None

    async def aclose(self) -> None:
        self.slices = iter(())

    def __init__(self, slices: Iterable[bytes], *, cut: bool = False) -> None:
        self.slices: Iterator[bytes] = iter(slices)
        self.cut = cut

    async def __anext__(self) -> bytes:
        for piece in self.slices:
            return piece
        if self.cut:
            raise UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated")
        raise StopAsyncIteration


def relay_of(slices: Iterable[bytes], *, cut: bool = False, hide_usage: bool = False) -> EventRelay:
    """Return a relay, behind the guard as it stands in the house."""
    return EventRelay(
        IdleGuard(Sliced(slices, cut=cut)), render=lambda _: b'{"error":{}}', hide_usage=hide_usage
    )


async def read(relay: EventRelay) -> list[bytes]:
    try:
        return [chunk async for chunk in relay]
    finally:
        await relay.aclose()


def interpreted(stream: bytes) -> tuple[list[tuple[str, str]], bool]:
    """Interpret `stream` a character at a time, as the HTML standard has it: its events, and whether it ends within one.

    Written apart from the relay, to be compared with it.
    """
    told: list[tuple[str, str]] = []
    name, data, line = "", list[str](), b""
    within = after_cr = False
    for byte in stream.removeprefix(b"\xef\xbb\xbf"):
        if after_cr and byte == 10:
            after_cr = False
            continue
        after_cr = byte == 13
        if byte not in (10, 13):
            line += bytes([byte])
            within = True
            continue
        if not line:
            if data:
                told.append((name, "\n".join(data)))
            name, data, within = "", [], False
            continue
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        line = b""
    return told, within


_pieces = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\n\n", b"data: ", b"data:1", b"event: a", b": ping", b"id: 7", b"x", "é€😀".encode(), b"\xff", b"\x00"]
)  # fmt: skip
_streams = st.lists(_pieces, max_size=24).map(b"".join)


def sliced(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


_cuts = st.lists(st.integers(0, 10_000), max_size=12)


@given(stream=_streams, cuts=_cuts)
async def test_what_came_goes_on_byte_for_byte_however_it_was_cut(stream: bytes, cuts: list[int]) -> None:
    """F06: slices that split characters, line ends and fields change nothing, and none is empty."""
    got = await read(relay_of(sliced(stream, cuts)))
    assert b"".join(got) == stream
    assert b"" not in got


@given(stream=_streams, cuts=_cuts)
@settings(max_examples=300)
async def test_a_cut_stream_gives_every_whole_event_and_never_a_part_of_one(
    stream: bytes, cuts: list[int]
) -> None:
    """F04: what is handed on tells exactly the events that were whole, and then the error."""
    got = b"".join(await read(relay_of(sliced(stream, cuts), cut=True)))
    assert got.endswith(ERROR)
    before = got.removesuffix(ERROR)
    assert stream.startswith(before)
    told, within = interpreted(before)
    assert not within
    assert told == interpreted(stream)[0]
    assert interpreted(got)[0] == [*told, ("error", '{"error":{}}')]


@given(stream=_streams)
def test_a_block_splits_into_its_events_and_nothing_else(stream: bytes) -> None:
    """Nothing is lost between events, and the two ways to find where they end tell the same."""
    split = list(eventdata.events(stream))
    assert b"".join(split) == stream
    whole = [event for event in split if eventdata.first_end(event) == len(event)]
    assert whole == split[: len(whole)]
    assert len(whole) >= len(split) - 1
    # Empty lines after the last event belong to nothing: one of them may be counted to it or not.
    assert not stream[sum(map(len, whole)) : eventdata.last_end(stream, 0)].strip(b"\r\n")


@given(junk=st.binary(max_size=64), cuts=_cuts)
async def test_no_bytes_break_the_relay(junk: bytes, cuts: list[int]) -> None:
    """T19: whatever stands where JSON should be is handed on, and read as nothing."""
    stream = b'data: {"choices":[],"usage":' + junk + b"\n\n"
    relay = relay_of(sliced(stream, cuts), hide_usage=True)
    got = b"".join(await read(relay))
    assert got == stream or any(map(eventdata.is_usage_only, eventdata.events(stream)))
    assert relay.fault is None


class Speaker:
    """Makes streams as model services send them, out of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        letters = 'abc \\"\n\r\t[DONE]data: é€語😀\u2028\u0000'
        return "".join(self.random.choices(letters, k=self.random.randint(0, 24)))

    def event(self, value: Any, end: str, name: str | None = None) -> bytes:
        text = json.dumps(value, ensure_ascii=self.random.random() < 0.3, separators=(",", ":"))
        head = "" if name is None else f"event: {name}{end}"
        return f"{head}data: {text}{end}{end}".encode()

    def chat(self, end: str) -> Iterator[tuple[bytes, bool]]:
        """Yield the events of a chat, and whether each is the extra one that tells the usage."""
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        asked = self.random.random() < 0.7
        null = {"usage": None} if asked else {}
        yield self.event(head | {"choices": [], "prompt_filter_results": []} | null, end), False
        for _ in range(self.random.randint(1, 6)):
            choice = {"index": 0, "delta": {"content": self.text()}, "finish_reason": None}
            yield self.event(head | {"choices": [choice]} | null, end), False
            if self.random.random() < 0.1:
                yield f": ping{end}{end}".encode(), False
        if asked:
            usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
            yield self.event(head | {"choices": [], "usage": usage}, end), True
        yield f"data: [DONE]{end}{end}".encode(), False

    def response(self, end: str) -> Iterator[tuple[bytes, bool]]:
        """Yield the events of a response; none of them is extra."""
        body = {"id": "resp_1", "object": "response", "usage": None}
        yield self.event({"type": "response.created", "response": body}, end, "response.created"), False
        for _ in range(self.random.randint(1, 6)):
            kind = "response.output_text.delta"
            yield self.event({"type": kind, "delta": self.text()}, end, kind), False
        usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
        last = {"type": "response.completed", "response": body | {"usage": usage}}
        yield self.event(last, end, "response.completed"), False

    def stream(self) -> list[tuple[bytes, bool]]:
        end = self.random.choice(["\n", "\n", "\r\n", "\r"])
        return list(self.chat(end) if self.random.random() < 0.6 else self.response(end))

    def slices(self, stream: bytes) -> Iterator[bytes]:
        """Cut `stream` into slices of 1 to 65,536 bytes, of every order of size."""
        largest = 2 ** self.random.randint(0, 16)
        at = 0
        while at < len(stream):
            size = self.random.randint(1, largest)
            yield stream[at : at + size]
            at += size


async def test_ten_thousand_streams_cut_into_random_slices_arrive_identical() -> None:
    """F06: compared by their SHA-256; what only the gate asked for is missing, and its tokens are known all the same."""
    speaker = Speaker(20_250_601)
    for number in range(STREAMS):
        events = speaker.stream()
        hide_usage = number % 2 == 1
        sent = b"".join(event for event, _ in events)
        shown = b"".join(event for event, extra in events if not (extra and hide_usage))
        relay = relay_of(speaker.slices(sent), hide_usage=hide_usage)
        digest = hashlib.sha256()
        for chunk in await read(relay):
            digest.update(chunk)
        assert digest.hexdigest() == hashlib.sha256(shown).hexdigest(), number
        counted = any(b'_tokens"' in event for event, _ in events)
        assert relay.usage == (Usage(prompt=9, completion=3, total=12) if counted else None), number
        assert relay.fault is None, number


@pytest.mark.parametrize("hide_usage", [False, True], ids=["shown", "hidden"])
async def test_many_streams_at_once_do_not_mix(hide_usage: bool) -> None:
    """Each relay has its own bytes, though they take turns at every slice."""
    speaker = Speaker(7)

    async def turns(slices: list[bytes]) -> AsyncIterator[bytes]:
        for piece in slices:
            await asyncio.sleep(0)
            yield piece

    async def one(events: list[tuple[bytes, bool]], slices: list[bytes]) -> None:
        relay = EventRelay(IdleGuard(turns(slices)), render=lambda _: b"{}", hide_usage=hide_usage)
        shown = b"".join(event for event, extra in events if not (extra and hide_usage))
        assert b"".join(await read(relay)) == shown

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            events = speaker.stream()
            slices = list(speaker.slices(b"".join(event for event, _ in events)))
            group.create_task(one(events, slices))
