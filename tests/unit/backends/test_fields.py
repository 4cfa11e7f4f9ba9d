"""Which fields a request may hold: threats T06, T07 and T09. What is refused as a body is in hostile_bodies.py."""

from __future__ import annotations

import typing
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import completion_create_params, embedding_create_params, image_generate_params
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import ParsedChatCompletionMessage
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import ParsedResponse, Response, response_create_params, tool_param
from openai.types.responses.response_input_param import ResponseInputItemParam
from pydantic import BaseModel

from shared.backends.fields import MAX_STORED, check, stored_ids, streams
from shared.backends.multipart import Upload
from shared.fieldnames import FORBIDDEN, PLAIN, REFERENCES, REFUSED, TOOLS, folded, nameable
from shared.problem import AskedWrongly
from tests.unit.backends.hostile_bodies import PIXEL

CHAT = "chat/completions"
RESPONSES = "responses"
REMOTE = "https://pictures.example/x.png"


def refused(operation: str, values: Mapping[str, object], *named: str) -> str | None:
    """Return what the caller is told; None when the request is taken."""
    try:
        check(operation, values, frozenset(named))
    except AskedWrongly as wrong:
        assert wrong.status == 400
        return wrong.detail
    return None


def chat(*parts: object, **fields: object) -> dict[str, object]:
    return {"model": "gpt", "messages": [{"role": "user", "content": list(parts) or "hello"}], **fields}


def respond(*items: object, **fields: object) -> dict[str, object]:
    return {"model": "gpt", "input": list(items) or "hello", **fields}


FUNCTION = {
    "type": "function",
    "function": {"name": "f", "parameters": {"properties": {"model": {}, "file_id": {}}}},
}

NEED_A_NAME: list[tuple[str, dict[str, object], str]] = [
    (
        RESPONSES,
        respond(
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "x", "annotations": [{"file_id": "file-1"}]}],
            }
        ),
        "file_id",
    ),
    (CHAT, chat(data_sources=[{"type": "azure_search"}]), "data_sources"),
    (CHAT, chat(web_search_options={}), "web_search_options"),
    (CHAT, chat(store=True), "store"),
    (CHAT, chat(tools=[{"type": "mcp", "server_url": REMOTE}]), "tools.mcp"),
    (CHAT, chat(tool_choice={"type": "web_search"}), "tools.web_search"),
    (CHAT, chat({"type": "image_url", "image_url": {"url": REMOTE}}), "image_url"),
    (CHAT, chat({"type": "audio_url", "audio_url": {"url": REMOTE}}), "audio_url"),
    (CHAT, chat({"type": "video_url", "video_url": {"url": REMOTE}}), "video_url"),
    (CHAT, chat({"type": "input_audio", "input_audio": {"url": REMOTE}}), "audio_url"),
    (CHAT, chat({"type": "file", "file": {"file_id": "file-1"}}), "file_id"),
    (CHAT, chat(audio={"format": "wav", "voice": {"id": "voice_1"}}), "voice_id"),
    (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "audio_id"),
    ("audio/speech", {"input": "x", "voice": {"id": "voice_1"}}, "voice_id"),
    (RESPONSES, respond(background=True), "background"),
    (RESPONSES, respond(conversation="conv_1"), "conversation"),
    (RESPONSES, respond(prompt={"id": "pmpt_1", "variables": {"a": "b"}}), "prompt"),
    (RESPONSES, respond(access_programs={"cyber": "standard"}), "access_programs"),
    (RESPONSES, respond(file_ids=["file-1"]), "file_ids"),
    (RESPONSES, respond(tools=[{"type": "web_search"}]), "tools.web_search"),
    (
        RESPONSES,
        respond(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
        "tools.code_interpreter",
    ),
    (RESPONSES, respond(tool_choice={"type": "file_search"}), "tools.file_search"),
    (
        RESPONSES,
        respond(
            tool_choice={
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "mcp", "server_label": "x"}],
            }
        ),
        "tools.mcp",
    ),
    (RESPONSES, respond({"type": "item_reference", "id": "msg_1"}), "item_reference"),
    (
        RESPONSES,
        respond({"role": "user", "content": [{"type": "input_image", "image_url": REMOTE}]}),
        "image_url",
    ),
    (
        RESPONSES,
        respond({"role": "user", "content": [{"type": "input_file", "file_url": REMOTE}]}),
        "file_url",
    ),
    (
        RESPONSES,
        respond({"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}),
        "file_id",
    ),
    (
        RESPONSES,
        respond(
            {
                "type": "computer_call_output",
                "call_id": "1",
                "output": {"type": "computer_screenshot", "image_url": PIXEL, "file_id": None},
            }
        ),
        "tools.computer",
    ),
    (
        CHAT,
        chat(
            data_sources=[
                {
                    "type": "azure_search",
                    "parameters": {"endpoint": REMOTE, "authentication": {"type": "api_key", "key": "k"}},
                }
            ]
        ),
        "data_sources",
    ),
    (
        RESPONSES,
        respond({"type": "mcp_approval_response", "approval_request_id": "1", "approve": True}),
        "tools.mcp",
    ),
    (
        RESPONSES,
        respond({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        "tools.web_search_preview",
    ),
]


@pytest.mark.parametrize(("operation", "values", "name"), NEED_A_NAME)
def test_what_acts_elsewhere_needs_the_word_of_the_policy(
    operation: str, values: dict[str, object], name: str
) -> None:
    """T09: refused by default, with the name that would let it in; taken with it, and with no other."""
    assert nameable(name) is None
    told = refused(operation, values)
    assert told is not None
    assert name.removesuffix("_preview") in told
    others = {other for other in REFUSED if not other.startswith(name.removesuffix("_preview"))}
    assert refused(operation, values, *others)
    assert refused(operation, values, name) is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (respond(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]), ["tools.file_search"]),
        (respond(tools=[{"type": "code_interpreter", "container": "cntr_1"}]), ["tools.code_interpreter"]),
        (
            respond(tools=[{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]),
            ["tools.code_interpreter"],
        ),
        (respond(tools=[{"type": "image_generation", "model": "secret"}]), ["tools.image_generation"]),
        (respond(tools=[{"type": "image_generation", "Model": "secret"}]), ["tools.image_generation"]),
        (
            respond(tools=[{"type": "image_generation", "input_image_mask": {"file_id": "f"}}]),
            ["tools.image_generation"],
        ),
        (
            respond(tools=[{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]),
            ["tools.namespace"],
        ),
        (
            respond(
                {
                    "type": "computer_call_output",
                    "output": {"type": "computer_screenshot", "image_url": REMOTE},
                }
            ),
            ["tools.computer"],
        ),
        (
            respond({"type": "code_interpreter_call", "id": "1", "container_id": "cntr_1"}),
            ["tools.code_interpreter"],
        ),
        (respond(prompt={"id": "p", "variables": {"a": {"type": "input_file", "file_id": "f"}}}), ["prompt"]),
        (chat({"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}), ["image_url"]),
        (chat({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}), ["image_url"]),
        (chat({"type": "image_url", "image_url": {"url": "https://a.example/ b"}}), ["image_url"]),
        ({"messages": [{"role": "user", "content": "x", "image_url": REMOTE}]}, ["image_url"]),
        (chat(image_url=REMOTE), ["image_url"]),
        (chat(store="yes"), ["store"]),
        (
            chat(data_sources=[{"parameters": {"embedding_dependency": {"deployment_name": "secret"}}}]),
            ["data_sources"],
        ),
        (chat(guided_choice={"model": "secret"}), ["guided_choice"]),
        *(
            (chat(guided_choice=[{"a": {name: "x"}}]), ["guided_choice", *allowed])
            for name in (
                "data_sources",
                "server_url",
                "connector_id",
                "skill_id",
                "tunnel_id",
                "conversation",
            )
            for allowed in ([], sorted(REFUSED - {name}))
        ),
        *(
            (chat(guided_choice=[{"a": {name: "x"}}]), ["guided_choice", *REFUSED, name])
            for name in sorted(FORBIDDEN | {"previous_response_id", "approval_request_id"})
        ),
        (
            chat(data_sources=[{"type": "azure_search", "parameters": {"api_base": REMOTE}}]),
            ["data_sources"],
        ),
        (chat(data_sources=[{"type": "azure_search", "endpoint": REMOTE}]), ["data_sources"]),
        (
            chat(
                data_sources=[
                    {"parameters": {"embedding_dependency": {"type": "endpoint", "endpoint": REMOTE}}}
                ]
            ),
            ["data_sources"],
        ),
        (respond(tools=[{"type": "web_search", "server_url": REMOTE}]), ["tools.web_search"]),
        (
            respond(tools=[{"type": "code_interpreter", "container": {"id": "cntr_1"}}]),
            ["tools.code_interpreter"],
        ),
        (
            respond(tools=[{"type": "code_interpreter", "container": [{"id": "cntr_1"}]}]),
            ["tools.code_interpreter"],
        ),
        (
            respond(tools=[{"type": "code_interpreter", "container": {"type": "auto", "Id": "cntr_1"}}]),
            ["tools.code_interpreter", "container_id"],
        ),
        (respond(tools=[{"type": "shell", "environment": {"id": "cntr_1"}}]), ["tools.shell"]),
        *(
            (
                respond(
                    tools=[
                        {"type": "shell", "environment": {"type": "container_auto", "skills": [skill]}},
                    ]
                ),
                ["tools.shell"],
            )
            for skill in ({"type": "skill_reference", "skill_id": "skill_1"}, {"id": "skill_1"}, "skill_1")
        ),
        *(
            (respond(tools=[{"type": "namespace", "name": "n", "tools": inner}]), ["tools.namespace"])
            for inner in (
                {"0": {"type": "mcp"}},
                {"type": "mcp"},
                [[{"type": "mcp"}]],
                ["mcp"],
                [{"name": "f"}, {"type": "mcp"}],
                "mcp",
            )
        ),
        (respond({"type": "image_generation_call", "ID": "ig_1"}), ["tools.image_generation"]),
        (
            respond({"type": "image_generation_call", "result": "x", "item_reference": "ig_1"}),
            ["tools.image_generation"],
        ),
        (respond({"id": "msg_1", "role": "user"}), ["item_reference"]),
        (
            chat(
                tool_choice={
                    "type": "allowed_tools",
                    "allowed_tools": {"tools": [FUNCTION]},
                    "tools": [{"type": "mcp"}],
                }
            ),
            [],
        ),
        (
            chat(
                tool_choice={
                    "type": "allowed_tools",
                    "allowed_tools": {"tools": [{"type": "mcp"}]},
                    "tools": [],
                }
            ),
            [],
        ),
        (
            chat(
                tool_choice={
                    "type": "allowed_tools",
                    "allowed_tools": {"tools": [], "allowed_tools": {"tools": [{"type": "mcp"}]}},
                }
            ),
            [],
        ),
        (chat(tools=[{"type": "mcp", "Tools": []}]), ["tools.mcp"]),
    ],
)
def test_one_word_lets_in_no_more_than_it_says(values: dict[str, object], named: list[str]) -> None:
    """T09: a named tool brings no files, containers, networks or models of its own."""
    operation = RESPONSES if "input" in values else CHAT
    assert refused(operation, values, *named)


def test_a_schema_that_a_named_tool_brings_is_only_text() -> None:
    """What a server's own functions call their arguments refers to nothing."""
    listed = {
        "type": "mcp_list_tools",
        "id": "1",
        "tools": [{"name": "f", "input_schema": {"properties": {"model": {}}}}],
    }
    assert refused(RESPONSES, respond(listed), "tools.mcp") is None
    assert refused(RESPONSES, respond({**listed, "model": "secret"}), "tools.mcp")


@pytest.mark.parametrize(
    "value", [5, {"a": 1}, [True], [1.5], [None], [1, "a"], [["a"]], [[True]], [[1], "a"], [[[1]]], [-1]]
)
@pytest.mark.parametrize(("operation", "name"), [("embeddings", "input"), ("completions", "prompt")])
def test_what_is_embedded_or_completed_is_text_or_token_ids(operation: str, name: str, value: object) -> None:
    """T09: an object could refer to something, and a flag is no token."""
    assert refused(operation, {name: value})


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
@pytest.mark.parametrize("operation", sorted(PLAIN))
def test_what_names_a_model_is_never_let_in(operation: str, name: str) -> None:
    """T06: not by the policy either."""
    assert nameable(name)
    if name not in PLAIN[operation]:
        assert refused(operation, {name: "secret"}, name)


@pytest.mark.parametrize("operation", sorted(PLAIN))
@given(data=st.data())
def test_no_other_way_to_write_a_known_name_is_taken(operation: str, data: st.DataObject) -> None:
    """T07: names that a forgiving reader takes for known ones are refused, and the caller's text is not told."""
    name = data.draw(st.sampled_from(sorted(PLAIN[operation] | FORBIDDEN)))
    at = data.draw(st.integers(0, len(name) - 1))
    wide = chr(ord(name[at]) + 0xFEE0)
    for other in (
        name.upper(),
        name.capitalize(),
        f" {name}",
        f"{name}\n",
        name[:at] + wide + name[at + 1 :],
    ):
        assert folded(other) == name
        told = refused(operation, {other: None}, name)
        assert told == "A field's name is written in another way than the one that is known."


@given(st.text(max_size=20), st.sampled_from(sorted(PLAIN)))
def test_an_unknown_field_is_refused_and_not_echoed(name: str, operation: str) -> None:
    """T09: the table is closed; what the caller wrote is in no answer."""
    if name not in PLAIN[operation]:
        told = refused(operation, {name: 1})
        assert told
        assert len(name) < 4 or name in REFUSED | FORBIDDEN or name not in told.split()


def test_a_policy_may_name_a_field_that_the_gate_does_not_know() -> None:
    """A server's own sampling field; only as it is written, and only there where fields stand."""
    assert refused(CHAT, chat(guided_choice={"enable_thinking": False}))
    assert refused(CHAT, chat(guided_choice={"enable_thinking": False}), "guided_choice") is None
    assert refused(CHAT, chat(Guided_Choice={}), "guided_choice")


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Model",
        "a b",
        "a-b",
        "_a",
        "1a",
        "a" * 65,
        "tools.",
        "tools.Mcp",
        "tools.a.b",
        "a.b",
        "tools.function",
        "tools.custom",
        "é",
        "a\n",
    ],
)
def test_an_entry_of_the_policy_is_a_plain_name(field: str) -> None:
    """A slip in the policy is told, and lets nothing in."""
    assert nameable(field)


def test_a_word_beside_the_tool_lets_in_what_it_says() -> None:
    """T09: the other side of the refusals: what is named on purpose works."""
    container = respond(tools=[{"type": "code_interpreter", "container": {"id": "cntr_1"}}])
    assert refused(RESPONSES, container, "tools.code_interpreter", "container_id") is None
    skills = [{"type": "skill_reference", "skill_id": "skill_1", "version": "latest"}]
    shell = respond(tools=[{"type": "shell", "environment": {"type": "container_auto", "skills": skills}}])
    assert refused(RESPONSES, shell, "tools.shell", "skill_id") is None
    local = respond(
        tools=[{"type": "shell", "environment": {"type": "local", "skills": [{"name": "a", "path": "/a"}]}}]
    )
    assert refused(RESPONSES, local, "tools.shell") is None
    server = {"type": "mcp", "server_label": "x", "server_url": REMOTE, "headers": {"a": "b"}}
    assert refused(RESPONSES, respond(tools=[server]), "tools.mcp") is None
    function = {"type": "function", "name": "f", "parameters": {"properties": {"model": {}}}}
    namespace = {"type": "namespace", "name": "n", "description": "d", "tools": [function]}
    assert refused(RESPONSES, respond(tools=[namespace]), "tools.namespace") is None
    picture = {"type": "image_generation", "moderation": "low", "background": "transparent"}
    assert refused(RESPONSES, respond(tools=[picture]), "tools.image_generation") is None


def test_every_word_of_the_vocabulary_may_be_named() -> None:
    """What an error tells to name can be named."""
    assert [nameable(name) for name in sorted(REFUSED)] == [None] * len(REFUSED)
    assert REFERENCES < REFUSED
    assert not REFUSED & FORBIDDEN


PLAIN_REQUESTS: list[tuple[str, dict[str, object]]] = [
    (CHAT, chat()),
    (CHAT, chat(store=False, stream=True, stream_options={"include_usage": True})),
    (CHAT, chat(store=None, stream=None, stream_options=None, tools=None, tool_choice=None)),
    (
        CHAT,
        chat(
            tools=[FUNCTION],
            tool_choice={"type": "function", "function": {"name": "f"}},
            parallel_tool_calls=False,
        ),
    ),
    (CHAT, chat(tools=[{"type": "custom", "custom": {"name": "f"}}], tool_choice="required")),
    (
        CHAT,
        chat(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}}),
    ),
    (
        CHAT,
        chat(
            {"type": "text", "text": "see https://evil.example"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        ),
    ),
    (CHAT, chat({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
    (
        CHAT,
        chat(
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            }
        ),
    ),
    (CHAT, chat(top_k=40, min_p=0.1, repeat_penalty=1.1, ignore_eos=False, safe_prompt=True, seed=1)),
    (CHAT, chat(audio={"format": "wav", "voice": "alloy"}, modalities=["text", "audio"])),
    (CHAT, chat(prediction={"type": "content", "content": "x"}, response_format={"type": "json_object"})),
    (
        CHAT,
        {
            "messages": [
                {"role": "system", "content": "be brief"},
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "audio": None,
                    "tool_calls": [
                        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}]},
            ]
        },
    ),
    ("completions", {"prompt": ["a", "b"], "suffix": None, "max_tokens": 5, "best_of": 2, "n": 1}),
    ("completions", {"prompt": [[1, 2], [3]], "logprobs": 1}),
    ("embeddings", {"model": "gpt", "input": [1, 2, 3], "encoding_format": "base64", "dimensions": 8}),
    ("embeddings", {"input": ["a"], "input_type": "query"}),
    (
        "images/generations",
        {"prompt": "a cat", "background": "transparent", "moderation": "low", "n": 1, "size": "1024x1024"},
    ),
    ("audio/speech", {"input": "x", "voice": "alloy", "stream_format": "sse", "speed": 1}),
    (
        "audio/transcriptions",
        {"model": "gpt", "file": Upload(size=3), "stream": "false", "include": ["logprobs"]},
    ),
    (
        RESPONSES,
        respond(store=True, background=False, conversation=None, prompt=None, previous_response_id="resp_1"),
    ),
    (
        RESPONSES,
        respond(
            tools=[
                {"type": "function", "name": "f", "parameters": {"properties": {"model": {}}}, "strict": True}
            ],
            tool_choice="auto",
        ),
    ),
    (
        CHAT,
        chat(
            user_security_context={"end_user_id": "1", "source_ip": "192.0.2.1"},
            chat_template_kwargs={"enable_thinking": False},
            reasoning={"effort": "low"},
            thinking={"type": "enabled", "budget_tokens": 5},
            enable_thinking=False,
            n_predict=5,
            cache_prompt=True,
            safe_mode=False,
            reasoning_format="none",
        ),
    ),
    ("completions", {"prompt": "a", "n_predict": 5, "cache_prompt": False}),
    (
        CHAT,
        chat(
            functions=[{"name": "f", "parameters": {"properties": {"model": {}, "url": {}}}}],
            function_call={"name": "f"},
            metadata={"model": "mine", "url": "x"},
            stop=["a"],
            logit_bias={"50256": -100},
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"properties": {"api_key": {}}}, "strict": True},
            },
        ),
    ),
    (CHAT, chat(response_format={"type": "json_object", "schema": {"properties": {"model": {}}}})),
    (CHAT, chat(metadata=None, response_format=None, functions=None, function_call="auto", stop=None)),
    (
        RESPONSES,
        respond(
            text={
                "format": {"type": "json_schema", "name": "x", "schema": {"properties": {"model": {}}}},
                "verbosity": "low",
            },
            reasoning={"effort": "low", "summary": "auto"},
            context_management=[{"type": "compaction", "compact_threshold": 1000}],
            metadata={"a": "b"},
        ),
    ),
    (
        RESPONSES,
        respond(
            reasoning={"effort": "low"},
            include=["reasoning.encrypted_content"],
            text={"format": {"type": "text"}},
        ),
    ),
    (
        RESPONSES,
        respond(
            {"role": "user", "content": "x"},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": PIXEL, "file_id": None, "detail": "auto"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "x"}],
                "encrypted_content": "gAAA",
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "x",
                        "annotations": [{"type": "url_citation", "url": REMOTE}],
                        "logprobs": [],
                    }
                ],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "1",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
            {"type": "function_call_output", "call_id": "1", "output": "x"},
            {
                "type": "custom_tool_call_output",
                "call_id": "1",
                "output": [{"type": "input_text", "text": "x"}],
            },
        ),
    ),
]


@pytest.mark.parametrize(("operation", "values"), PLAIN_REQUESTS)
def test_what_only_shapes_the_answer_is_plain(operation: str, values: dict[str, object]) -> None:
    """No policy has to say anything for it, and what is in schemas and texts is the caller's own business."""
    assert refused(operation, values) is None


SERVICE_ITEMS: dict[str, tuple[str, object]] = {
    "apply_patch_call": ("operation", {"type": "delete_file", "path": "a"}),
    "apply_patch_call_output": ("output", "x"),
    "code_interpreter_call": ("outputs", [{"type": "logs", "logs": "x"}]),
    "computer_call": ("action", {"type": "screenshot"}),
    "computer_call_output": ("output", {"type": "computer_screenshot", "image_url": PIXEL}),
    "file_search_call": ("results", [{"text": "x"}]),
    "image_generation_call": ("result", "iVBORw0KGgo="),
    "local_shell_call": ("action", {"type": "exec", "command": ["ls"]}),
    "local_shell_call_output": ("output", "x"),
    "mcp_approval_request": ("arguments", "{}"),
    "mcp_approval_response": ("approval_request_id", "apr_1"),
    "mcp_call": ("output", "x"),
    "mcp_list_tools": ("tools", [{"name": "f", "input_schema": {}}]),
    "program": ("code", "x"),
    "program_output": ("result", "x"),
    "shell_call": ("action", {"commands": ["ls"]}),
    "shell_call_output": ("output", [{"stdout": "x"}]),
    "tool_search_call": ("arguments", {"query": "x"}),
    "tool_search_output": ("tools", [{"type": "function", "name": "f", "parameters": {}}]),
    "web_search_call": ("results", [{"text": "x"}]),
}
"""What tells the result of each type of item that a tool of the service left behind."""
REFUSED_TOOLS = {name for name in REFUSED if name.startswith("tools.")}
CITED = {"type": "url_citation", "url": REMOTE, "title": "x", "start_index": 0, "end_index": 1}


@pytest.mark.parametrize(
    ("operation", "values", "ids"),
    [
        (CHAT, chat(), ()),
        (RESPONSES, respond(), ()),
        (RESPONSES, respond(previous_response_id=None), ()),
        (RESPONSES, respond(previous_response_id="resp_1"), ("resp_1",)),
        (RESPONSES, respond({"id": "msg_1"}, {"type": "item_reference", "id": "msg_2"}), ("msg_1", "msg_2")),
        (RESPONSES, respond({"type": "reasoning", "id": "rs_1", "summary": []}), ("rs_1",)),
        (
            RESPONSES,
            respond({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}),
            ("rs_1",),
        ),
        (
            RESPONSES,
            respond({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}),
            (),
        ),
        (RESPONSES, respond({"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}), ()),
        (RESPONSES, respond({"type": "compaction", "id": "cmp_1"}), ("cmp_1",)),
        (RESPONSES, respond({"role": "assistant", "type": "message", "id": "msg_1", "content": "x"}), ()),
        (RESPONSES, respond({"role": "assistant", "type": "message", "content": []}), ()),
        *(
            (RESPONSES, respond({"role": "assistant", "id": "msg_1", "content": empty, **kind}), ("msg_1",))
            for empty in ("", [])
            for kind in ({}, {"type": "message"})
        ),
        (
            RESPONSES,
            respond({"type": "function_call_output", "id": "fco_1", "call_id": "1", "output": ""}),
            ("fco_1",),
        ),
        (RESPONSES, respond({"type": "function_call_output", "call_id": "1", "output": ""}), ()),
        (
            RESPONSES,
            respond({"type": "custom_tool_call_output", "id": "1", "call_id": "1", "output": []}),
            ("1",),
        ),
        (
            RESPONSES,
            respond({"type": "function_call", "id": "1", "call_id": "1", "name": "f", "arguments": ""}),
            ("1",),
        ),
        (RESPONSES, respond({"type": "item_reference", "id": "a"}, {"id": "a"}, {"id": "b"}), ("a", "b")),
        *(
            (RESPONSES, respond({"type": kind, "id": "it_1", "status": "completed"}), ("it_1",))
            for kind in SERVICE_ITEMS
        ),
        *(
            (
                RESPONSES,
                respond({"type": kind, "id": "it_1", "status": "completed", name: nothing}),
                ("it_1",),
            )
            for kind, (name, _) in SERVICE_ITEMS.items()
            if name not in {"tools", "approval_request_id"}
            for nothing in (None, "", [], {}, 0, 1, True)
        ),
        *(
            (
                RESPONSES,
                respond({"type": kind, "id": "it_1", name: told}),
                ("apr_1",) if name == "approval_request_id" else (),
            )
            for kind, (name, told) in SERVICE_ITEMS.items()
        ),
        (
            RESPONSES,
            respond({"type": "mcp_call", "id": "mcp_1", "output": "x", "approval_request_id": "apr_1"}),
            ("apr_1",),
        ),
        (
            RESPONSES,
            respond({"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "x"}}),
            ("ws_1",),
        ),
        (
            RESPONSES,
            respond(prompt_cache_options={"comparison_response_id": "resp_2"}, previous_response_id="resp_1"),
            ("resp_1", "resp_2"),
        ),
    ],
)
def test_ids_of_what_was_made_before_are_found(
    operation: str, values: dict[str, object], ids: tuple[str, ...]
) -> None:
    """T09: each must be the caller's own, which the gate asks of its own memory."""
    check(operation, values, frozenset({"item_reference", *REFUSED_TOOLS}))
    assert stored_ids(operation, values) == ids


def test_references_have_an_end() -> None:
    """T09, D08: 128 different things may be referred to, however often; one more is 400."""
    items = [{"type": "item_reference", "id": f"msg_{n}"} for n in range(MAX_STORED)]
    assert len(stored_ids(RESPONSES, {"input": items * 3})) == MAX_STORED
    for more in ({"input": [*items, {"id": "msg_x"}]}, {"input": items, "previous_response_id": "resp_1"}):
        with pytest.raises(AskedWrongly) as wrong:
            stored_ids(RESPONSES, more)
        assert wrong.value.status == 400


OUTPUT: dict[str, type[BaseModel]] = {"plain": Response, "parsed": ParsedResponse}


@pytest.mark.parametrize("made", sorted(OUTPUT))
@pytest.mark.parametrize(
    "dump", [{}, {"exclude_unset": True}, {"exclude_none": True}, {"mode": "json", "by_alias": True}], ids=str
)
def test_what_a_client_read_can_be_sent_back(made: str, dump: dict[str, typing.Any]) -> None:
    """A conversation that is told whole goes through unnamed, in each way that the client writes what it read."""
    extra: dict[str, object] = {"parsed": {"model": "x"}} if made == "parsed" else {}
    arguments: dict[str, object] = {"parsed_arguments": {"api_key": "x"}} if made == "parsed" else {}
    text = {"type": "output_text", "text": "{}", "annotations": [CITED], **extra}
    read = OUTPUT[made].model_validate(
        {
            "id": "resp_1",
            "created_at": 1,
            "model": "gpt",
            "object": "response",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [text, {"type": "refusal", "refusal": "no"}],
                },
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call_1",
                    "name": "f",
                    "arguments": "{}",
                    "status": "completed",
                    **arguments,
                },
                {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "g", "input": "x"},
            ],
        }
    )
    answers = [
        {"type": "function_call_output", "call_id": "call_1", "output": ""},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "x"},
    ]
    values = {"input": [{"role": "user", "content": "x"}, *read.model_dump(**dump)["output"], *answers]}
    assert refused(RESPONSES, values) is None
    assert stored_ids(RESPONSES, values) == ()


@pytest.mark.parametrize("dump", [{}, {"exclude_unset": True}, {"exclude_none": True}], ids=str)
def test_a_chat_that_a_client_read_can_be_sent_back(dump: dict[str, typing.Any]) -> None:
    """Likewise for chats: what was parsed out of a text or an argument is the caller's own."""
    read = ParsedChatCompletionMessage[object].model_validate(
        {
            "role": "assistant",
            "content": "{}",
            "refusal": None,
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"url": REMOTE, "title": "x", "start_index": 0, "end_index": 1},
                }
            ],
            "parsed": {"model": "x", "content": "y"},
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}", "parsed_arguments": {"model": "x"}},
                }
            ],
        }
    )
    assert refused(CHAT, {"messages": [read.model_dump(**dump)]}) is None


@pytest.mark.parametrize(
    ("operation", "values", "expected"),
    [
        (CHAT, chat(stream=True), True),
        (CHAT, chat(stream=False), False),
        (CHAT, chat(), False),
        ("audio/transcriptions", {"stream": "true"}, True),
        ("audio/transcriptions", {"stream": "false"}, False),
        ("audio/speech", {"input": "x", "stream_format": "sse"}, True),
        ("audio/speech", {"input": "x", "stream_format": "audio"}, False),
    ],
)
def test_whether_the_answer_comes_in_events(
    operation: str, values: dict[str, object], expected: bool
) -> None:
    """JSON says it with a flag, a form with a text, speech with a format."""
    assert streams(operation, values) is expected


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["image_url", "mcp", "message", "item_reference", PIXEL, REMOTE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "id",
                    "tools",
                    "image_url",
                    "url",
                    "file",
                    "output",
                    "a",
                    "skills",
                    "container",
                    "name",
                    "arguments",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(PLAIN)), st.data())
def test_any_shape_is_taken_or_refused_with_the_one_error(operation: str, data: st.DataObject) -> None:
    """Total: a wrong shape is the caller's 400, never the gate's 500; what is taken has ids that are texts."""
    values = data.draw(st.dictionaries(st.sampled_from(sorted(PLAIN[operation])), _anything, max_size=4))
    named = frozenset(data.draw(st.lists(st.sampled_from(sorted(REFUSED)), max_size=3)))
    if refused(operation, values, *named) is None:
        assert all(isinstance(id_, str) for id_ in stored_ids(operation, values))
        assert isinstance(streams(operation, values), bool)


@given(st.lists(_anything, max_size=3))
def test_no_address_of_the_network_gets_through_unnamed(items: list[object]) -> None:
    """T09: wherever it is put in an input that is taken, it is only a text."""
    if refused(RESPONSES, {"input": items}) is None:
        assert not list(_addresses(items))


def _addresses(value: object) -> typing.Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"image_url", "url", "file_url"} and inner == REMOTE:
                yield name
            yield from _addresses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _addresses(inner)


BY_CLIENT: dict[str, tuple[type, set[str]]] = {
    CHAT: (chat_create_params.CompletionCreateParamsBase, {"moderation", "web_search_options"}),
    "completions": (completion_create_params.CompletionCreateParamsBase, set()),
    "embeddings": (embedding_create_params.EmbeddingCreateParams, set()),
    RESPONSES: (
        response_create_params.ResponseCreateParamsBase,
        {"access_programs", "background_options", "moderation"},
    ),
    "images/generations": (image_generate_params.ImageGenerateParamsBase, {"svg"}),
    "audio/speech": (speech_create_params.SpeechCreateParams, set()),
    "audio/transcriptions": (transcription_create_params.TranscriptionCreateParamsBase, set()),
}


@pytest.mark.parametrize("operation", sorted(PLAIN))
def test_every_field_of_the_public_client_is_decided(operation: str) -> None:
    """A field that a new version of the client brings is seen here, and let in or not on purpose."""
    params, refused_on_purpose = BY_CLIENT[operation]
    assert set(typing.get_type_hints(params)) - PLAIN[operation] == refused_on_purpose
    assert refused_on_purpose <= REFUSED | FORBIDDEN


def test_every_tool_of_the_public_client_is_decided() -> None:
    """Tools that run at the service are in the vocabulary; the rest is the caller's own."""
    kinds = {kind for tool in typing.get_args(tool_param.ToolParam) for kind in _kinds(tool)}
    assert {f"tools.{kind}" for kind in kinds - TOOLS} <= REFUSED


def test_every_item_of_the_public_client_is_decided() -> None:
    """T09: an item is plain, or needs a name; what neither table has is refused."""
    kinds = {kind for item in typing.get_args(ResponseInputItemParam) for kind in _kinds(item)}
    everything = [name for name in REFUSED if name.startswith("tools.")]
    unknown = {
        kind
        for kind in kinds
        if "type that is not known" in (refused(RESPONSES, {"input": [{"type": kind}]}, *everything) or "")
    }
    assert unknown == {"compaction_trigger", "configuration_update"}


def _kinds(params: type) -> tuple[str, ...]:
    hint = typing.get_type_hints(params)["type"]
    found = typing.get_args(hint)
    return tuple(kind for kind in found if isinstance(kind, str)) or _literals(found)


def _literals(hints: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(kind for hint in hints for kind in typing.get_args(hint))
