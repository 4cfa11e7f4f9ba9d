"""What a whole answer tells the gate: tokens, and the ids that its maker may refer to. It never raises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends.answer import read
from shared.model import Usage

COUNTED = Usage(prompt=3, completion=4, total=7)


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, COUNTED),
        ({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, COUNTED),
        ({"prompt_tokens": 3, "completion_tokens": 4}, COUNTED),
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(prompt=5, completion=0, total=5)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"x": 1}}, COUNTED),
        ({"prompt_tokens": -1, "completion_tokens": 4}, None),
        ({"prompt_tokens": "3"}, None),
        ({"prompt_tokens": 1.5}, None),
        ({"prompt_tokens": 10**12}, None),
        ({"type": "duration", "seconds": 9}, None),
        ({}, None),
        (None, None),
        ("7", None),
    ],
)  # fmt: skip
def test_the_tokens_of_an_answer_are_what_it_says_when_that_can_be(usage: object, told: Usage | None) -> None:
    """Protocols, 6.2: both spellings; what is nonsense is not believed, and then what was reserved is charged."""
    body = json.dumps({"id": "c", "usage": usage}).encode()
    assert read("chat/completions", body) == (told, ())


def test_t09_only_a_response_has_ids_that_matter() -> None:
    """T09: the response's own id and those of its output items; another operation's ids are nothing to refer to."""
    body = json.dumps(
        {"id": "resp_1", "output": [{"id": "msg_1"}, {"type": "x"}, {"id": None}, {"id": ""}, {"id": "rs_1"}]}
    ).encode()
    assert read("responses", body) == (None, ("resp_1", "msg_1", "rs_1"))
    assert read("chat/completions", body) == (None, ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"id":7}',
        b'{"output":{}}',
        b'{"id":"a","output":[7]}',
        b'{"id":"\\ud800"}',
        "{}".encode("utf-16"),
    ],
)
def test_t19_an_answer_of_another_shape_tells_nothing(body: bytes) -> None:
    """T19: whatever the model's side sends, reading it raises nothing and believes nothing."""
    assert read("responses", body)[1] == ()
    assert read("embeddings", body) == (None, ())


@pytest.mark.parametrize("operation", ["responses/retrieve", "responses/cancel", "responses/delete"])
def test_what_is_read_again_was_counted_when_it_was_made(operation: str) -> None:
    """Limits: reading a stored response costs no tokens a second time, and makes nothing."""
    body = b'{"id":"resp_1","output":[{"id":"msg_1"}],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}'
    assert read(operation, body) == (None, ())


@given(st.binary(max_size=200), st.sampled_from(["responses", "chat/completions", "audio/speech"]))
def test_t19_no_bytes_make_it_raise(body: bytes, operation: str) -> None:
    """T19: total over bytes."""
    usage, ids = read(operation, body)
    assert usage is None or isinstance(usage, Usage)
    assert all(ids)
