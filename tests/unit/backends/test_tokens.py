"""Tokens to reserve, and tokens told: what is reserved is about what is used, and never less than nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends.multipart import Upload
from shared.backends.tokens import MOST, PER_FILE, PER_MESSAGE, estimate, usage
from shared.model import Usage
from shared.problem import AskedWrongly

CHAT = "chat/completions"


def reserve(operation: str, default: int = 1000, **values: object) -> int:
    return estimate(operation, values, default_max_tokens=default)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"])
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
        ("completions", {"max_tokens": 0, "prompt": "abcde"}, 2),
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


def test_tools_and_schemas_count() -> None:
    """They are read by the model as text."""
    schema = {"type": "object", "properties": {"a" * 400: {"type": "string"}}}
    for values in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
    ):
        assert reserve(CHAT, **values) > 1100


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from([CHAT, "completions", "embeddings", "responses", "images/generations"]),
    st.dictionaries(
        st.sampled_from(["messages", "input", "prompt", "tools", "max_tokens", "n", "best_of", "text"]), _json
    ),
    st.integers(0, 10**7),
)
def test_every_request_has_an_estimate_or_is_refused(
    operation: str, values: dict[str, object], default: int
) -> None:
    """Total and bounded, whatever is in the request."""
    try:
        found = estimate(operation, values, default_max_tokens=default)
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
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0, 0)),
    ],
)
def test_usage_is_read(told: dict[str, object], expected: tuple[int, int, int]) -> None:
    """Chats and embeddings, responses, images and transcriptions."""
    prompt, completion, total = expected
    assert usage({"id": "x", "usage": told}) == Usage(prompt=prompt, completion=completion, total=total)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "usage",
        {},
        {"usage": None},
        {"usage": []},
        {"usage": {}},
        {"usage": {"type": "duration", "seconds": 3}},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 1, "total_tokens": 0}},
        {"usage": {"prompt_tokens": True, "completion_tokens": 1, "total_tokens": 2}},
        {"usage": {"prompt_tokens": 1.0, "completion_tokens": 1, "total_tokens": 2}},
        {"usage": {"prompt_tokens": "1", "completion_tokens": 1, "total_tokens": 2}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": None, "total_tokens": 2}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 10**9 + 1}},
    ],
)
def test_what_cannot_be_is_not_usage(document: object) -> None:
    """A model's side that tells nonsense changes nobody's account."""
    assert usage(document) is None


@given(_json)
def test_any_document_is_read(document: object) -> None:
    """Total: nothing is raised."""
    assert usage(document) is None or isinstance(usage({"usage": document}), Usage | None)
