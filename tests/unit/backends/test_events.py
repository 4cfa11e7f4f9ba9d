"""The relay of server-sent events: whole events, untouched; a cut answer says so; silence ends (T19, D02, F04 to F08)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from shared.backends import eventdata
from shared.backends.events import MAX_HELD, EventRelay
from shared.backends.idle import IdleGuard
from shared.model import Usage
from shared.problem import Slug, UpstreamFault
from tests.fakes import FakeStream

CUT = UpstreamFault(Slug.UPSTREAM_UNREACHABLE, outcome="truncated", upstream_status=200)
LATE = UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout", upstream_status=200)
COUNTED = Usage(prompt=9, completion=3, total=12)
DONE = b"data: [DONE]\n\n"


def render(fault: UpstreamFault) -> bytes:
    """Make the error event's data as the gate does: a problem with the `error` member that OpenAI's clients read."""
    error = {"code": str(fault.slug), "message": "The connection to the model failed."}
    return json.dumps({"status": fault.status, "error": error}).encode()


def error_event(fault: UpstreamFault = CUT) -> bytes:
    return b"event: error\ndata: " + render(fault) + b"\n\n"


def an_event(value: Any, *, name: str | None = None, end: str = "\n") -> bytes:
    """Return one event as model services write it."""
    head = "" if name is None else f"event: {name}{end}"
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return f"{head}data: {text}{end}{end}".encode()


def a_chunk(content: str = "hé", **changes: Any) -> dict[str, Any]:
    """Return a chunk of chat/completions, with `changes`."""
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return chunk | {"choices": choices} | changes


def a_usage_chunk(**changes: Any) -> dict[str, Any]:
    """Return the one extra chunk of `include_usage`, with `changes`."""
    return a_chunk(choices=[], usage=USAGE) | changes


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 0}}  # fmt: skip
RESPONSES_USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def responses(last: str = "response.completed", usage: Any = None) -> list[bytes]:
    """Return the events of a Responses stream."""
    body = {"id": "resp_1", "object": "response", "usage": None}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": body},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "hé"},
        {"type": last, "response": body | {"usage": RESPONSES_USAGE if usage is None else usage}},
    ]
    return [an_event(value, name=str(value["type"])) for value in told]


async def read(relay: EventRelay) -> list[bytes]:
    """Read a relay to its end, and close it."""
    try:
        return [chunk async for chunk in relay]
    finally:
        await relay.aclose()


async def relayed(*pieces: bytes | BaseException | None, **options: Any) -> tuple[list[bytes], EventRelay]:
    """Return what a relay hands on of `pieces`, and the relay."""
    relay = EventRelay(FakeStream(*pieces), render=render, **options)
    return await read(relay), relay


# --- a cut answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        pytest.param([b"data: 1\n\n"], CUT, id="F04: reset after a whole event"),
        pytest.param([b"data: 1\n\ndata: {"], CUT, id="F04: reset within an event"),
        pytest.param([b"data: 1\n\n", b"data: 2\n"], CUT, id="F05: no terminal chunk, the blank line is missing"),
        pytest.param([b"data: 1\n", b"\n", b"d"], CUT, id="F06: cut within a field's name"),
        pytest.param([b"data: 1\n\n", "data: hé".encode()[:-1]], CUT, id="F06: cut within a character"),
        pytest.param([b"data: 1\n\n"] * 1, LATE, id="F08: an endless stream is cut when its time is over"),
    ],
)  # fmt: skip
async def test_a_cut_answer_ends_with_an_error_event_and_without_done(
    pieces: list[bytes], fault: UpstreamFault
) -> None:
    """F04, F05, F08: what is complete has gone on, the unfinished event is dropped, and the last word is the fault."""
    got, relay = await relayed(*pieces, fault)
    assert b"".join(got) == b"data: 1\n\n" + error_event(fault)
    assert b"[DONE]" not in b"".join(got)
    assert relay.fault is fault, "the outcome on record is the fault's, though the iteration ended well"


async def test_an_answer_that_is_cut_before_its_first_event_is_an_error_event_alone() -> None:
    """F04: also when nothing was handed on yet, for the status has gone out by then."""
    got, _ = await relayed(b"data: {", CUT)
    assert got == [error_event()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("whole", [False, True], ids=["cut by the network", "all in one piece"])
async def test_a_stream_that_is_cut_at_any_byte_gives_whole_events_and_then_the_error(
    end: str, whole: bool
) -> None:
    """F04 to F06: at every offset a client's decoder reads a prefix of the events, then the error, never half of one."""
    sent = [a_chunk("hé"), a_chunk("\u2028 [DONE] \U0001f600"), a_chunk("x", usage=None)]
    stream = b"".join(an_event(value, end=end) for value in sent)
    for cut in range(len(stream)):
        pieces = [stream[:cut]] if whole else [stream[at : at + 1] for at in range(cut)]
        got, relay = await relayed(*pieces, CUT)
        told = list(openai._streaming.SSEDecoder().iter_bytes(iter(got)))
        assert [json.loads(event.data) for event in told[:-1]] == sent[: len(told) - 1]
        assert (told[-1].event, told[-1].data.encode()) == ("error", render(CUT))
        assert stream.startswith(b"".join(got).removesuffix(error_event()))
        assert relay.fault is CUT


def sdk(body: list[bytes]) -> openai.OpenAI:
    """Return the real client over an answer of these bytes, with no network."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=b"".join(body)))
    return openai.OpenAI(
        base_url="https://gate/openai/v1",
        api_key="none",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )


async def test_openais_client_raises_for_a_cut_chat() -> None:
    """F04: what came is read, then APIError with the gate's code and message; never the end of a good answer."""
    got, _ = await relayed(an_event(a_chunk("one")), an_event(a_chunk("two"))[:-1], CUT)
    read_by_client = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in sdk(got).chat.completions.create(model="m", messages=[], stream=True):
            read_by_client.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the error counts
    assert read_by_client == ["one"]
    assert raised.value.code == "upstream-unreachable"
    assert raised.value.message == "The connection to the model failed."


async def test_openais_client_raises_for_a_cut_response() -> None:
    """F04: the same for the Responses API."""
    got, _ = await relayed(*responses()[:3], CUT)
    read_by_client = []
    with pytest.raises(openai.APIError) as raised:
        for event in sdk(got).responses.create(model="m", input="x", stream=True):
            read_by_client.append(event.type)  # noqa: PERF401 - what came before the error counts
    assert read_by_client == ["response.created", "response.output_item.added", "response.output_text.delta"]
    assert raised.value.code == "upstream-unreachable"


COMPLETE = [
    pytest.param(DONE, id="[DONE] of a chat"),
    pytest.param(b"data:[DONE]\r\n\r\n", id="[DONE] with no space, CRLF"),
    pytest.param(an_event(a_chunk()) + DONE + b": bye\n\n", id="[DONE] and a comment in one piece"),
    pytest.param(responses("response.completed")[3], id="response.completed"),
    pytest.param(responses("response.incomplete")[3], id="response.incomplete"),
    pytest.param(responses("response.failed")[3], id="response.failed"),
    pytest.param(an_event({"type": "transcript.text.done", "text": "x"}), id="a transcript's end, told by its data alone"),
]  # fmt: skip


@pytest.mark.parametrize("last", COMPLETE)
@pytest.mark.parametrize("rest", [b"", b"data: half"], ids=["nothing follows", "half an event follows"])
async def test_an_answer_that_is_cut_after_its_last_event_was_whole(last: bytes, rest: bytes) -> None:
    """F05: the caller has all of it; nothing is added, and nothing was at fault."""
    got, relay = await relayed(b"data: 1\n\n", last + rest, CUT)
    assert got == [b"data: 1\n\n", last]
    assert relay.fault is None


INCOMPLETE = [
    pytest.param(an_event(a_chunk(" [DONE] ")), id="[DONE] within the text"),
    pytest.param(an_event(a_chunk('"type":"response.completed"')), id="response.completed within the text"),
    pytest.param(an_event({"type": "response.completed.x"}), id="a name that only begins like it"),
    pytest.param(an_event({"error": {"message": "x"}}), id="an error of the model's own"),
    pytest.param(b": [DONE]\n\n", id="a comment"),
    pytest.param(an_event(a_usage_chunk()), id="usage without [DONE]"),
    pytest.param(b"data: [DONE]\n", id="[DONE] without its blank line"),
    pytest.param(b"data: [DONE\n\n", id="half a [DONE]"),
    pytest.param(b"data: \xff\xfe\n\n", id="T19: no UTF-8"),
    pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="T19: JSON of a hundred thousand levels"),
]


@pytest.mark.parametrize("last", INCOMPLETE)
async def test_an_answer_that_only_looks_whole_is_cut(last: bytes) -> None:
    """F04: only the last event of an answer makes it whole, never what a model says."""
    got, relay = await relayed(last, CUT)
    assert got[-1] == error_event()
    assert relay.fault is CUT


async def test_nothing_follows_the_error_event() -> None:
    """Reading on after the end gives nothing, whatever the source has."""
    relay = EventRelay(FakeStream(CUT, b"data: more\n\n"), render=render)
    assert await read(relay) == [error_event()]
    with pytest.raises(StopAsyncIteration):
        await anext(relay)


async def test_another_failure_than_the_upstreams_comes_through() -> None:
    """A bug is no fault of the model: it is raised, so that the connection breaks."""
    with pytest.raises(RuntimeError, match="bug"):
        await relayed(b"data: 1\n\n", RuntimeError("bug"))


# --- events that are too long to hold -------------------------------------------------------------------------------

LONG = b"data: " + b"x" * MAX_HELD


async def test_an_event_over_1_mib_goes_on_as_it_comes() -> None:
    """T19: no more than 1 MiB is held, whatever the model sends; the bytes stay the same."""
    pieces = [b"data: 1\n\ndata: y", b"x" * MAX_HELD, b"z" * 10, b"\n", b"\ndata: 2\n\nda", b"ta: 3\n\n"]
    got, relay = await relayed(*pieces)
    assert b"".join(got) == b"".join(pieces)
    assert got == [b"data: 1\n\n", b"data: y" + pieces[1], *pieces[2:4], b"\ndata: 2\n\n", b"data: 3\n\n"]
    assert relay.fault is None


async def test_an_event_of_1_mib_is_held_until_it_is_whole() -> None:
    """The limit itself still fits."""
    event = LONG[: MAX_HELD - 2]
    got, _ = await relayed(event[:9], event[9:], b"\n", b"\n")
    assert got == [event + b"\n\n"]


async def test_a_fault_within_an_event_that_went_on_in_part_is_raised() -> None:
    """F04: half an event cannot be taken back; the connection breaks instead of ending well."""
    relay = EventRelay(FakeStream(LONG, b"more", CUT), render=render)
    assert await anext(relay) == LONG
    assert await anext(relay) == b"more"
    with pytest.raises(UpstreamFault) as raised:
        await anext(relay)
    assert raised.value is relay.fault is CUT
    with pytest.raises(StopAsyncIteration):
        await anext(relay)


async def test_a_fault_after_a_too_long_event_is_an_error_event_again() -> None:
    """Once the blank line has come, whole events are all that goes on."""
    got, relay = await relayed(LONG, b"\n\ndata: 2", CUT)
    assert b"".join(got) == LONG + b"\n\n" + error_event()
    assert relay.fault is CUT


async def test_a_too_long_last_event_of_a_response_still_ends_the_answer() -> None:
    """A response that holds a picture is told whole in its last event: cut after it, nothing is missing."""
    head = b"event: response.completed\ndata: "
    got, relay = await relayed(head + LONG, b"\n\n", CUT)
    assert b"".join(got) == head + LONG + b"\n\n"
    assert relay.fault is None


async def test_a_too_long_last_event_of_a_response_that_is_cut_is_no_end() -> None:
    """F04: its name alone does not make the answer whole."""
    relay = EventRelay(FakeStream(b"event: response.completed\n" + LONG, CUT), render=render)
    await anext(relay)
    with pytest.raises(UpstreamFault):
        await anext(relay)


async def test_a_too_long_event_is_never_read_or_hidden() -> None:
    """What goes on before it is whole cannot be judged, whatever stands in it."""
    event = an_event(a_usage_chunk(model="m" * MAX_HELD))
    got, relay = await relayed(event[:-1], event[-1:], hide_usage=True)
    assert b"".join(got) == event
    assert relay.usage is None


async def test_what_is_left_behind_a_too_long_event_is_read() -> None:
    """Usage in a last event that lacks its blank line counts there too."""
    got, relay = await relayed(LONG, b"\n\n" + an_event(a_usage_chunk())[:-1])
    assert b"".join(got) == LONG + b"\n\n" + an_event(a_usage_chunk())[:-1]
    assert relay.usage == COUNTED


async def test_the_end_of_a_too_long_event_is_never_read_or_hidden() -> None:
    """What looks like usage behind the first MiB is a part of something else."""
    tail = b"\n" + an_event(a_usage_chunk())
    got, relay = await relayed(LONG, tail, hide_usage=True)
    assert b"".join(got) == LONG + tail
    assert relay.usage is None


async def test_events_behind_a_too_long_one_are_read_and_hidden_again() -> None:
    """One long event does not blind the relay for those that follow in the same bytes."""
    got, relay = await relayed(LONG, b"\n\n" + an_event(a_usage_chunk()) + DONE, CUT, hide_usage=True)
    assert b"".join(got) == LONG + b"\n\n" + DONE
    assert relay.usage == COUNTED
    assert relay.fault is None


# --- whole events ---------------------------------------------------------------------------------------------------


async def test_a_piece_of_whole_events_goes_on_as_it_is() -> None:
    """No copy, no wait: the first event that is there goes on at once, and many in one piece stay one piece."""
    one, two = b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n"
    got, _ = await relayed(one, two)
    assert got[0] is one
    assert got[1] is two


LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(first, second, id=f"{one} and {two}")
        for one, first in LINE_ENDS.items()
        for two, second in LINE_ENDS.items()
        if (one, two) != ("CR", "LF")  # that is one CRLF, and no blank line
    ],
)
async def test_an_event_goes_on_with_the_byte_that_completes_it(first: str, second: str) -> None:
    """F06: whatever ends the lines and wherever the network cuts, nothing waits for the next event."""
    event = f"data: 1{first}{second}".encode()
    complete = len(event) - second.endswith("\r\n")
    for cut in range(len(event)):
        relay = EventRelay(FakeStream(event[:cut], event[cut:], None), render=render)
        got = await anext(relay)
        assert got == (event[:cut] if cut == complete else event)
        await relay.aclose()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b""], id="an empty piece"),
        pytest.param([b"data: 1\n"], id="an event without its blank line"),
        pytest.param([b"data: 1\n\n", b"", b"data: 2"], id="a line without its end"),
        pytest.param([b"\n\n\n", b"data: 1\n\n"], id="blank lines first"),
        pytest.param([b"\xef\xbb\xbfdata: 1\n\n"], id="a byte order mark"),
        pytest.param([b": ping\n\n", b"id: 7\nretry: 10\ndata\n\n"], id="comments, ids and empty data"),
        pytest.param([b"data: a\ndata: b\n\n"], id="data of two lines"),
        pytest.param([b"no event stream at all, and \x00\xff"], id="T19: something else"),
        pytest.param([b'data: {"error":{"message":"x"}}\n\n', DONE], id="an error of the model's own"),
    ],
)
async def test_what_came_is_what_goes_on(pieces: list[bytes]) -> None:
    """Byte for byte, to the clean end of the source."""
    for hide_usage in (False, True):
        got, relay = await relayed(*pieces, hide_usage=hide_usage)
        assert b"".join(got) == b"".join(pieces)
        assert b"" not in got
        assert relay.fault is None


# --- usage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(an_event(a_usage_chunk()), id="chat"),
        pytest.param(an_event(a_chunk(usage=USAGE)), id="beside content"),
        pytest.param(responses("response.completed")[3], id="response.completed"),
        pytest.param(responses("response.incomplete")[3], id="response.incomplete"),
        pytest.param(responses("response.failed")[3], id="response.failed"),
        pytest.param(
            an_event({"type": "transcript.text.done", "usage": {"type": "tokens"} | RESPONSES_USAGE}),
            id="a transcript",
        ),
        pytest.param(
            b"data: " + json.dumps(a_usage_chunk()).encode() + b"\n\n", id="with spaces in the JSON"
        ),
        pytest.param(
            b'data: {"usage":\r\ndata:{"prompt_tokens":9,\r\ndata: "completion_tokens":3}}\r\n\r\n',
            id="data of three lines, and no total",
        ),
        pytest.param(b"\xef\xbb\xbf" + an_event(a_usage_chunk()), id="behind a byte order mark"),
        pytest.param(an_event(a_usage_chunk())[:-2], id="in what is left at the clean end"),
    ],
)
async def test_usage_is_read_out_of_the_event_that_tells_it(event: bytes) -> None:
    """Protocols 6.2: both spellings, wherever the network cuts, and the events go on untouched."""
    stream = an_event(a_chunk(usage=None)) + event
    stream = event if event.startswith(b"\xef") else stream
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        got, relay = await relayed(*pieces)
        assert relay.usage == COUNTED
        assert b"".join(got) == stream


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param({"prompt_tokens": -1, "total_tokens": 1}, id="negative"),
        pytest.param({"total_tokens": 10**9 + 1}, id="beyond belief"),
        pytest.param({"total_tokens": "12"}, id="text"),
        pytest.param({"total_tokens": 1.5}, id="half a token"),
        pytest.param({"type": "duration", "seconds": 7}, id="billed by the second"),
        pytest.param([USAGE], id="a list"),
        pytest.param("usage", id="a string"),
    ],
)
async def test_usage_that_is_none_breaks_nothing(usage: Any) -> None:
    """T19: malformed usage is no usage, and the event goes on."""
    event = an_event(a_chunk(usage=usage))
    got, relay = await relayed(event, event)
    assert got == [event, event]
    assert relay.usage is None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b'data: {"usage":{"total_tokens":1}\n\n', id="JSON that does not end"),
        pytest.param(b'data: {"usage":' + b"[" * 100_000 + b"\n\n", id="a hundred thousand levels"),
        pytest.param(b': {"usage":{"total_tokens":1}}\n\n', id="a comment"),
        pytest.param(an_event([{"usage": {"total_tokens": 1}}]), id="a list"),
        pytest.param(an_event(a_chunk('"usage":{"total_tokens":1}')), id="what the model says"),
        pytest.param(an_event(a_chunk("usage")), id="the word alone"),
        pytest.param(an_event({"choices": [{"usage": {"total_tokens": 1}}]}), id="deeper down"),
    ],
)
async def test_only_the_models_own_usage_counts(event: bytes) -> None:
    """T19: neither malformed bytes nor the answer's own text are ever taken for usage, and all of it goes on."""
    got, relay = await relayed(event, hide_usage=True)
    assert got == [event]
    assert relay.usage is None


async def test_the_last_usage_counts() -> None:
    """Some servers count in every chunk; the last one holds for the call, and null takes nothing back."""
    first = an_event(a_chunk(usage={"total_tokens": 1}))
    _, relay = await relayed(first + an_event(a_usage_chunk()) + an_event(a_chunk(usage=None)), DONE)
    assert relay.usage == COUNTED


async def test_usage_that_came_before_a_cut_is_known() -> None:
    """F04: what was told counts, though the end is missing; what was not told is not known."""
    _, relay = await relayed(an_event(a_usage_chunk()), CUT)
    assert relay.usage == COUNTED
    _, relay = await relayed(an_event(a_usage_chunk())[:-1], CUT)
    assert relay.usage is None


def test_null_usage_is_never_parsed() -> None:
    """OpenAI writes it into every chunk when asked for usage: a look at the bytes is all it may cost."""
    assert not eventdata.may_tell_usage(an_event(a_chunk(usage=None)) * 100)
    assert not eventdata.may_tell_usage(b'data: {"usage": null}\n\n')
    assert eventdata.may_tell_usage(an_event(a_chunk(usage=None)) + an_event(a_usage_chunk()))


# --- hiding what only the gate asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({}, id="as documented"),
        pytest.param({"system_fingerprint": "fp", "service_tier": None, "obfuscation": "x"}, id="all of OpenAI's"),
        pytest.param({"timings": {"predicted_n": 3}}, id="llama.cpp's"),
        pytest.param({"usage": {"total_tokens": -1}}, id="usage that cannot be counted"),
    ],
)  # fmt: skip
async def test_the_extra_usage_chunk_is_hidden_from_who_did_not_ask(end: str, extra: dict[str, Any]) -> None:
    """The caller reads the stream that it would have got, wherever the network cuts; the null usage of the rest stays."""
    hidden = an_event(a_usage_chunk(**extra), end=end)
    before, after = an_event(a_chunk(usage=None), end=end), f"data: [DONE]{end}{end}".encode()
    stream = before + hidden + after
    for cut in range(len(stream)):
        got, relay = await relayed(stream[:cut], stream[cut:], hide_usage=True)
        assert b"".join(got) == before + after
        assert relay.usage == (None if "usage" in extra else COUNTED)
    got, _ = await relayed(*(stream[at : at + 1] for at in range(len(stream))), hide_usage=True)
    assert b"".join(got) == before + after


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(an_event(a_chunk(choices=[], prompt_filter_results=[{"x": 1}])), id="Azure's first chunk"),
        pytest.param(
            an_event(a_chunk(choices=[], usage=None, prompt_filter_results=[{"x": 1}])),
            id="Azure's first chunk with null usage",
        ),
        pytest.param(an_event(a_usage_chunk(prompt_filter_results=[{"x": 1}])), id="usage beside filter results"),
        pytest.param(an_event(a_usage_chunk(error={"code": "x"})), id="usage beside an error"),
        pytest.param(an_event(a_chunk(usage=USAGE)), id="usage beside content"),
        pytest.param(an_event(a_chunk(choices=[], usage=None)), id="null usage"),
        pytest.param(an_event({"usage": USAGE}), id="no choices at all"),
        pytest.param(b"id: 7\n" + an_event(a_usage_chunk()), id="with an id of the event"),
        pytest.param(an_event(a_usage_chunk(), name="x"), id="with a name of the event"),
        pytest.param(b"".join(responses()), id="a response"),
    ],
)  # fmt: skip
async def test_nothing_but_the_documented_chunk_is_hidden(event: bytes) -> None:
    """What holds anything else goes on, though it tells usage."""
    got, _ = await relayed(event, hide_usage=True)
    assert got == [event]


async def test_a_line_feed_after_another_event_than_the_hidden_one_stays() -> None:
    """F06: only the hidden event's own bytes are missing, even where the ends of lines are mixed."""
    hidden = an_event(a_usage_chunk(), end="\r")
    got, _ = await relayed(hidden + b"data: [DONE]\r\r", b"\n", hide_usage=True)
    assert b"".join(got) == b"data: [DONE]\r\r\n"


async def test_the_usage_chunk_is_shown_to_who_asked() -> None:
    """Without `hide_usage` it goes on like any other."""
    got, relay = await relayed(an_event(a_usage_chunk()), DONE)
    assert got == [an_event(a_usage_chunk()), DONE]
    assert relay.usage == COUNTED


# --- ids ------------------------------------------------------------------------------------------------------------


async def test_ids_are_told_before_the_event_that_has_them_goes_on() -> None:
    """T09: who made a response is on record before the caller can name it."""
    log: list[object] = []

    async def on_ids(ids: tuple[str, ...]) -> None:
        await asyncio.sleep(0)
        log.append(ids)

    stream = responses()
    async for chunk in EventRelay(FakeStream(*stream), render=render, on_ids=on_ids):
        log.append(chunk)  # noqa: PERF401 - the callback writes into it too
    assert log == [("resp_1",), stream[0], ("msg_1",), *stream[1:]]


async def test_ids_of_one_piece_are_told_together() -> None:
    """However the network joins the events."""
    told: list[tuple[str, ...]] = []

    async def on_ids(ids: tuple[str, ...]) -> None:
        told.append(ids)

    got, _ = await relayed(b"".join(responses()), on_ids=on_ids)
    assert got == [b"".join(responses())]
    assert told == [("resp_1", "msg_1")]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(an_event({"type": "response.created", "response": {"id": 7}}), id="a number"),
        pytest.param(an_event({"type": "response.created", "response": {"id": ""}}), id="empty"),
        pytest.param(an_event({"type": "response.created"}), id="none"),
        pytest.param(an_event({"type": "response.output_item.added", "response": {"id": "r"}}), id="elsewhere"),
        pytest.param(an_event({"type": "x", "y": "response.created", "response": {"id": "r"}}), id="of another event"),
        pytest.param(an_event(a_chunk('{"type":"response.created","response":{"id":"r"}}')), id="what the model says"),
        pytest.param(b'data: {"type":"response.created","response":{"id":"r"}\n\n', id="T19: half of JSON"),
        pytest.param(b': {"type":"response.created","response":{"id":"r"}}\n\n', id="a comment"),
    ],
)  # fmt: skip
async def test_what_is_no_id_of_a_new_response_is_not_told(event: bytes) -> None:
    """T09: only the event that makes a thing names its id; everything goes on all the same."""

    async def on_ids(ids: tuple[str, ...]) -> None:
        raise AssertionError(ids)

    got, _ = await relayed(event, on_ids=on_ids)
    assert got == [event]


# --- closing, and silence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda s: EventRelay(s, render=render), IdleGuard], ids=["relay", "guard"])
async def test_closing_closes_the_source_once(wrap: Any) -> None:
    """Read to its end or not, however often it is closed: the place at the model is given back once."""
    for pieces in ([], [b"data: 1\n\n"]):
        source = FakeStream(*pieces, b"data: 2\n\n")
        body = wrap(source)
        for _ in pieces:
            await anext(body)
        await body.aclose()
        await body.aclose()
        assert source.closed == 1


async def test_a_closed_relay_gives_nothing_more() -> None:
    """What was held is gone, and what the source still has is not read."""
    source = FakeStream(b"data: 1\n\nda", b"ta: 2\n\n")
    relay = EventRelay(source, render=render)
    await anext(relay)
    await relay.aclose()
    assert await read(relay) == []
    assert len(source.pieces) == 1


async def test_an_answer_that_falls_silent_ends_with_an_error_event() -> None:
    """D02, F07: the caller of a relay over a guard reads why, and the record says truncated."""
    source = FakeStream(b"data: 1\n\ndata: {", None)
    got, relay = await relayed_from(IdleGuard(source, idle=0.05))
    assert got[0] == b"data: 1\n\n"
    assert got[1].startswith(b"event: error\n")
    assert relay.fault is not None
    assert relay.fault.outcome == "truncated"
    assert source.closed == 1


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b'data: {"x":1}\n\n',
        b'data: {"x":1}\n\ndata: {"x',
        b"data: [DON",
        b'event: response.created\ndata: {"type":"response.created"}\n\n',
    ],
)
async def test_f05_where_only_the_connection_ends_a_body_its_last_event_must_have_come(stream: bytes) -> None:
    """F05: HTTP does not tell such an end from a cut (RFC 9112, section 6.3); whole events go on, and then the error."""
    relay = EventRelay(FakeStream(stream), render=render, framed=False)
    got = b"".join(await read(relay))
    whole = stream[: stream.rfind(b"\n\n") + 2] if b"\n\n" in stream else b""
    assert got == whole + error_event()
    assert relay.fault is not None
    assert relay.fault.outcome == "truncated"


@pytest.mark.parametrize("framed", [True, False])
async def test_an_answer_that_ended_is_whole_whatever_ended_its_body(framed: bool) -> None:
    """After `[DONE]` nothing is added, and nothing was at fault."""
    stream = an_event(a_chunk()) + DONE
    relay = EventRelay(FakeStream(stream), render=render, framed=framed)
    assert b"".join(await read(relay)) == stream
    assert relay.fault is None


async def test_what_went_on_is_counted_by_events_and_by_text_beyond_their_frame() -> None:
    """Limits: who hangs up before usage is told has read at least a token an event, and a token for four bytes of text."""
    small, large = an_event(a_chunk("x")), an_event(a_chunk("x" * 8_400))
    relay = EventRelay(FakeStream(small * 10), render=render)
    await read(relay)
    assert relay.relayed == 10
    relay = EventRelay(FakeStream(large), render=render)
    await read(relay)
    assert 2_000 < relay.relayed < 2_200


async def relayed_from(source: IdleGuard) -> tuple[list[bytes], EventRelay]:
    """Return what a relay hands on of `source`, and the relay."""
    relay = EventRelay(source, render=render)
    return await read(relay), relay
