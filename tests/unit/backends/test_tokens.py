"""Tokens to reserve, and tokens told: what is reserved is about what is used, and never less than nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends.eventdata import usage_of
from shared.backends.multipart import Upload
from shared.backends.tokens import MOST, PER_FILE, PER_MESSAGE, estimate
from shared.model import Usage
from shared.problem import AskedWrongly

CHAT = "chat/completions"


def reserve(operation: str, default: int = 1000, **values: object) -> int:
    return sum(estimate(operation, values, default_max_tokens=default))


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "n", "best_of"]
)
@pytest.mark.parametrize("value", [-1, True, False, 1.0, 1.5, "100", [], {}, 10**30, 10_000_001])
def test_a_bound_that_is_none_is_refused(name: str, value: object) -> None:
    """D08: nobody reserves less than nothing, or blocks a limit with a number beyond reason."""
    with pytest.raises(AskedWrongly) as refused:
        reserve(CHAT, **{name: value})
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("operation", "values", "tokens"),
    [
        (CHAT, {}, 1000),
        (CHAT, {"max_tokens": None, "n": None}, 1000),
        (CHAT, {"max_tokens": 10}, 10),
        (CHAT, {"max_tokens": 10, "max_completion_tokens": 30}, 30),
        (CHAT, {"max_tokens": 10, "n": 3}, 30),
        ("completions", {"max_tokens": 10, "n": 2, "best_of": 5}, 50),
        ("completions", {"max_tokens": 10, "prompt": ["abcd", "efgh"]}, 22),
        ("completions", {"max_tokens": 10, "prompt": [1, 2, 3]}, 13),
        ("completions", {"max_tokens": 10, "prompt": [[1, 2], [3]]}, 23),
        ("completions", {"max_tokens": 0, "prompt": "abcde"}, 3),
        (CHAT, {"max_tokens": 0}, 1),
        (CHAT, {"max_tokens": 0, "n": 3}, 3),
        (CHAT, {"max_completion_tokens": 0, "max_tokens": 0}, 1),
        (CHAT, {"max_tokens": 10, "n_predict": 20}, 20),
        ("responses", {"max_output_tokens": 0, "input": "abcd"}, 2),
        ("embeddings", {"input": "abcde"}, 2),
        ("embeddings", {"input": [[1, 2, 3], [4]]}, 4),
        ("embeddings", {"input": "é" * 4}, 2),
        ("responses", {"max_output_tokens": 10, "input": "abcd", "instructions": "efgh"}, 12),
        ("images/generations", {"prompt": "abcd", "n": 2}, 2001),
        ("audio/transcriptions", {"file": Upload(size=10**7), "model": "gpt"}, 1000 + PER_FILE),
    ],
)
def test_the_answer_is_bounded_and_the_prompt_estimated(
    operation: str, values: dict[str, object], tokens: int
) -> None:
    """The most that may come back, for each answer that is asked for, and a token for each four bytes."""
    assert reserve(operation, **values) == tokens


def test_messages_cost_more_than_their_text() -> None:
    """A constant for each, and the names of its members as text."""
    one = reserve(CHAT, messages=[{"role": "user", "content": "x" * 400}])
    assert 1000 + 100 + PER_MESSAGE <= one <= 1000 + 100 + PER_MESSAGE + 5


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}},
        {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 10**6},
        {"type": "input_audio", "input_audio": {"data": "A" * 10**6, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 10**6}},
        {"type": "input_file", "file_data": "A" * 10**6},
    ],
)
def test_a_picture_costs_a_constant(part: dict[str, object]) -> None:
    """A megabyte of base64 is no quarter of a million tokens."""
    found = reserve(CHAT, messages=[{"role": "user", "content": [part]}])
    assert 1000 + PER_FILE <= found <= 1000 + PER_FILE + 20
    assert reserve("responses", input=[{"role": "user", "content": [part]}]) == found
    outputs = [{"type": "function_call_output", "call_id": "1", "output": [part]}]
    assert 1000 + PER_FILE <= reserve("responses", input=outputs) <= 1000 + PER_FILE + 30
    assert reserve("responses", prompt={"id": "p", "variables": {"a": part}}) <= 1000 + PER_FILE + 30


def test_tools_and_schemas_count() -> None:
    """They are read by the model as text."""
    schema = {"type": "object", "properties": {"a" * 400: {"type": "string"}}}
    for values in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
    ):
        assert reserve(CHAT, **values) > 1100


@pytest.mark.parametrize("kind", ["image_url", "input_file", "file", "input_audio"])
def test_what_only_looks_like_a_picture_is_text(kind: str) -> None:
    """D08: in a schema, an argument or a description nothing is a file, whatever its type is called."""
    hidden = {"type": kind, "description": "x" * 40_000}
    function = {"name": "f", "parameters": {"properties": {"content": [hidden], "a": hidden}}}
    for operation, values in (
        (CHAT, {"tools": [{"type": "function", "function": function}]}),
        (CHAT, {"tools": [hidden]}),
        (CHAT, {"functions": [function]}),
        (CHAT, {"response_format": {"json_schema": {"schema": {"content": [hidden]}}}}),
        (CHAT, {"chat_template_kwargs": {"content": [hidden]}}),
        (CHAT, {"messages": [{"role": "assistant", "content": "x", "parsed": hidden}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": hidden}]}]}),
        ("responses", {"text": {"format": {"schema": hidden}}}),
        ("responses", {"input": [{"type": "additional_tools", "tools": [function]}]}),
        ("responses", {"input": [{"type": "function_call", "parsed_arguments": hidden}]}),
    ):
        assert reserve(operation, **values) > 11_000


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from([CHAT, "completions", "embeddings", "responses", "images/generations"]),
    st.dictionaries(
        st.sampled_from(
            ["messages", "input", "prompt", "prediction", "tools", "max_tokens", "n", "best_of", "text"]
        ),
        _json,
    ),
    st.integers(0, 10**7),
)
def test_every_request_has_an_estimate_or_is_refused(
    operation: str, values: dict[str, object], default: int
) -> None:
    """Total and bounded, whatever is in the request."""
    try:
        found = sum(estimate(operation, values, default_max_tokens=default))
    except AskedWrongly:
        return
    assert isinstance(found, int)
    assert 0 <= found <= MOST


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, (1, 2, 3)),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9, "prompt_tokens_details": {}},
            (1, 2, 9),
        ),
        ({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}, (1, 2, 3)),
        ({"type": "tokens", "input_tokens": 1, "output_tokens": 2, "total_tokens": 3}, (1, 2, 3)),
        ({"prompt_tokens": 4, "total_tokens": 4}, (4, 0, 4)),
        ({"prompt_tokens": 4, "completion_tokens": 2}, (4, 2, 6)),
        ({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 0}, (4, 2, 6)),
        ({"input_tokens": 4, "output_tokens": 2, "total_tokens": 5}, (4, 2, 6)),
        ({"prompt_tokens": 4, "completion_tokens": None, "total_tokens": 1}, (4, 0, 4)),
        ({"total_tokens": 7}, (0, 0, 7)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0, 0)),
    ],
)
def test_no_sum_is_less_than_its_parts(told: dict[str, object], expected: tuple[int, int, int]) -> None:
    """D08: chats and embeddings, responses, images and transcriptions; what is charged is the most that is told."""
    prompt, completion, total = expected
    counted = Usage(prompt=prompt, completion=completion, total=total)
    assert usage_of(json.dumps({"id": "x", "usage": told}).encode()) == counted
    assert usage_of(json.dumps({"response": {"usage": told}}).encode()) == counted
