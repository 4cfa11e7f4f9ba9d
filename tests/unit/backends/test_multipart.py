"""Forms that two parsers cannot read differently: threats T07 and T08. The refused ones are in hostile_bodies.py."""

from __future__ import annotations

import email
import email.policy
import time

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends import fields
from shared.backends.multipart import MAX_PARTS, Form, Upload, parse, rewritten
from shared.problem import AskedWrongly
from tests.unit.backends.hostile_bodies import BOUNDARY, FORM, MODEL, file_part, form, text_part


def sent_by_openai(**fields_: object) -> tuple[bytes, str]:
    """Return what the public Python client sends for a transcription, with its Content-Type."""
    seen: list[tuple[bytes, str]] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.read(), request.headers["content-type"]))
        return httpx2.Response(200, json={"text": "x"})

    with httpx2.Client(transport=httpx2.MockTransport(take)) as http:
        client = openai.OpenAI(api_key="none", base_url="http://gate.example/openai/v1", http_client=http)
        client.audio.transcriptions.create(model="gpt", **fields_)  # type: ignore[call-overload]
    return seen[0]


def test_what_the_public_client_sends_is_taken() -> None:
    """Every field of the client, lists and objects among them, in the client's own way of writing them."""
    data, content_type = sent_by_openai(
        file=("aufnähme 1.wav", b"RIFF\r\n--\xff\x00"),
        language="en",
        prompt="zwei\r\nZeilen",
        temperature=0.1,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        include=["logprobs"],
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
        known_speaker_references=["data:audio/wav;base64,AAAA"],
        stream=True,
    )
    values = parse(data, content_type).values
    fields.check("audio/transcriptions", values, frozenset())
    assert fields.streams("audio/transcriptions", values)
    assert values == {
        "model": "gpt",
        "file": Upload(size=10),
        "language": "en",
        "prompt": "zwei\r\nZeilen",
        "temperature": "0.1",
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "include": ["logprobs"],
        "chunking_strategy": {"type": "server_vad", "threshold": "0.5"},
        "known_speaker_references": ["data:audio/wav;base64,AAAA"],
        "stream": "true",
    }


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=x", "x"),
        ("Multipart/Form-Data;Boundary=----formdata-undici-062351729858", "----formdata-undici-062351729858"),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        (
            'multipart/form-data; boundary="6ec57f84-c680-4d3a-a377-8b0000000000"',
            "6ec57f84-c680-4d3a-a377-8b0000000000",
        ),
    ],
)
def test_boundaries_of_public_clients_are_taken(content_type: str, boundary: str) -> None:
    """Python, Node, browsers and .NET."""
    assert parse(form(MODEL, file_part(), boundary=boundary), content_type).values["model"] == "gpt"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=a b",
        'multipart/form-data; boundary="a\\"b"',
        'multipart/form-data; boundary="a',
        "multipart/form-data; boundary=x; boundary=y",
        "multipart/form-data; boundary=x; charset=utf-8",
        "multipart/form-data; boundary*=utf-8''x",
        "multipart/form-data; boundary=x, multipart/form-data; boundary=y",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=é",
        "multipart/mixed; boundary=x",
        "",
    ],
)
def test_other_declarations_are_refused(content_type: str) -> None:
    """T08: which text parts the form must be beyond doubt."""
    for boundary in ("x", "a b", ""):
        with pytest.raises(AskedWrongly) as refused:
            parse(form(MODEL, file_part(), boundary=boundary), content_type)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        pytest.param(b"\r\nContent", b"xyContent", id="no line break behind a delimiter"),
        pytest.param(b"\r\nContent", b"--Content", id="dashes behind a delimiter that is not the last"),
        pytest.param(b"gpt\r\n--", b"gptxy--", id="no line break before a delimiter"),
        pytest.param(b"gpt\r\n--", b"gpt\n\n--", id="two line feeds before a delimiter"),
        pytest.param(
            b"\r\n\r\ngpt\r\n--", b"\r\n\r\n--", id="one line break for the head's end and the delimiter"
        ),
        pytest.param(b"\r\n\r\ngpt\r\n--", b"\r\n--", id="no end of the head"),
        pytest.param(b"\r\n\r\ngpt", b"\n\ngpt", id="line feeds at the head's end"),
    ],
)
def test_line_breaks_stand_where_they_must(there: bytes, instead: bytes) -> None:
    """T08: a form is in lines, and a reader that cuts elsewhere would cut another value."""
    data = form(MODEL, file_part())
    assert parse(data, FORM)
    with pytest.raises(AskedWrongly):
        parse(data.replace(there, instead, 1), FORM)


@pytest.mark.parametrize("end", [b"--", b"--\r\n"])
def test_the_end_may_lack_its_line_break(end: bytes) -> None:
    """RFC 2046 asks for none, and clients differ."""
    assert len(parse(form(MODEL, file_part(), end=end), FORM).parts) == 2


def test_a_text_may_say_that_it_is_text() -> None:
    """Clients that name the type of each part name this one."""
    for more in (b"Content-Type: text/plain\r\n", b"content-type:text/plain; charset=UTF-8\r\n"):
        assert parse(form(text_part("model", b"gpt", more=more), file_part()), FORM).values["model"] == "gpt"


def test_values_stand_where_they_are_said_to_stand() -> None:
    """Spans count bytes of the form."""
    data = form(
        MODEL,
        text_part("prompt", "é\r\n\r\n😀".encode()),
        file_part(b"\x00\r\n\xff"),
        text_part("language", b""),
    )
    parsed = parse(data, FORM)
    assert [data[part.start : part.end] for part in parsed.parts] == [
        b"gpt",
        "é\r\n\r\n😀".encode(),
        b"\x00\r\n\xff",
        b"",
    ]


def test_only_the_named_value_changes() -> None:
    """T06: the model becomes the deployment, and every other byte stays."""
    data = form(file_part(b"model gpt \xff"), MODEL, text_part("prompt", b"gpt"))
    sent = rewritten(parse(data, FORM), {"model": "gpt-41-mini"})
    assert sent == form(
        file_part(b"model gpt \xff"), text_part("model", b"gpt-41-mini"), text_part("prompt", b"gpt")
    )
    assert rewritten(parse(data, FORM), {}) == data


def test_a_value_that_was_absent_becomes_the_first_part() -> None:
    """The name in the path is enough for the caller, not for every service."""
    sent = rewritten(parse(form(file_part()), FORM), {"model": "gpt-41-mini"})
    assert sent == form(text_part("model", b"gpt-41-mini"), file_part())


@pytest.mark.parametrize("boundary", ["gpt-41-mini", "gpt", "-", "4"])
def test_a_boundary_that_stands_in_the_new_value_is_refused(boundary: str) -> None:
    """T07: the caller chooses the boundary, and must not part with it what the gate puts in."""
    parsed = Form(data=b"", boundary=boundary, parts=(), values={})
    with pytest.raises(AskedWrongly):
        rewritten(parsed, {"model": "gpt-41-mini"})


def test_a_form_has_no_more_parts_than_it_may() -> None:
    """D08: the bound is exact, and a body full of delimiters costs next to nothing."""
    assert parse(form(*[text_part("include[]", b"x")] * MAX_PARTS), FORM)
    with pytest.raises(AskedWrongly):
        parse(form(*[text_part("include[]", b"x")] * (MAX_PARTS + 1)), FORM)
    began = time.process_time()
    for data in (
        b"--x" * 3_000_000,
        b"--x\r\n" * 2_000_000,
        b"--x\r\n" + b"A: b\r\n" * 1_000_000,
        b"-" * 9_000_000,
    ):
        with pytest.raises(AskedWrongly):
            parse(data, "multipart/form-data; boundary=x")
    assert time.process_time() - began < 0.5


_values = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
_texts = st.dictionaries(st.sampled_from(["model", "prompt", "language", "temperature"]), _values, max_size=4)


@given(
    _texts,
    st.binary(max_size=50),
    st.fixed_dictionaries({"model": st.sampled_from(["d", "gpt-41", "a.b_c"])}),
)
def test_the_result_says_the_old_and_the_changes(
    texts: dict[str, str], file: bytes, changes: dict[str, str]
) -> None:
    """T06, T07: also to the parser of the standard library, which forgives much."""
    data = form(*(text_part(name, value.encode()) for name, value in texts.items()), file_part(file))
    sent = rewritten(parse(data, FORM), changes)
    values = parse(sent, FORM).values
    assert values == {**texts, **changes, "file": Upload(size=len(file))}
    message = email.message_from_bytes(
        f"Content-Type: {FORM}\r\n\r\n".encode() + sent, policy=email.policy.HTTP
    )
    names = [part.get_param("name", header="content-disposition") for part in message.iter_parts()]
    assert names == [part.name for part in parse(sent, FORM).parts]


@given(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--" + BOUNDARY.encode(), b"--", MODEL, b"\n", b" "]), max_size=12),
)
def test_any_bytes_give_a_form_or_the_one_error(noise: bytes, pieces: list[bytes]) -> None:
    """Total: whatever comes, nothing else is raised."""
    for data in (noise, b"".join(pieces), form(noise), form(MODEL, file_part(noise))):
        try:
            parse(data, FORM)
        except AskedWrongly as refused:
            assert refused.status == 400
