"""What messages, input items and tools of a request refer to (threat T09).

Every object that is looked into has a closed table of members: a reader that takes names in any case would else find a
second `type` or `image_url` where the gate saw none. Schemas and arguments of the caller's own functions are text to the
model and not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.backends.shapes import a_list, a_text, an_object, members, needs, refuse
from shared.fieldnames import MODEL_NAMES, TOOLS, folded, words

_DATA: Final = re.compile(r"data:[a-z]+/[a-z0-9][a-z0-9.-]*(?:;[a-z]+=[a-z0-9-]+)*;base64,")
"""The beginning of a URL that holds its content. No `+`: an image/svg+xml may itself refer elsewhere."""
_REMOTE: Final = re.compile(r"https://[!-~]{1,4096}")

_DETAIL: Final = frozenset({"type", "prompt_cache_breakpoint", "detail"})
_CHAT_PARTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text": "text",
        "refusal": "refusal",
        "image_url": "image_url",
        "audio_url": "audio_url",
        "video_url": "video_url",
        "input_audio": "input_audio",
        "file": "file",
    }
)
_RESPONSE_PARTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text": "text",
        "input_text": "text",
        "output_text": "text annotations logprobs",
        "summary_text": "text",
        "reasoning_text": "text",
        "refusal": "refusal",
        "input_image": "image_url file_id",
        "input_file": "file_data file_id file_url filename",
        "input_audio": "input_audio",
    }
)
PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: _DETAIL | words(names) for kind, names in (*_CHAT_PARTS.items(), *_RESPONSE_PARTS.items())}
)
"""Members of each type of content part, chats' and responses' together."""

_MESSAGE: Final = words(
    "annotations audio content function_call name parsed phase reasoning reasoning_content refusal role tool_call_id "
    "tool_calls"
)
_TOOL_CALL: Final = words("custom function id index type")
_TOOL: Final = words(
    "allowed_callers async custom defer_loading description format function name output_schema parameters strict "
    "type"
)
_CHOICE: Final = words("allowed_tools custom function mode name server_label tools type")
_CHOICES: Final = frozenset({"none", "auto", "required", "any"})
_WATCHED: Final = MODEL_NAMES | words(
    "container container_id file_id file_ids file_url image_url vector_store_ids"
)
_EXACT: Final = _WATCHED | {"type", "tools"}
_SCHEMAS: Final = frozenset({"input_schema", "output_schema"})


def messages(value: object, named: frozenset[str]) -> None:
    """Check the messages of a chat; raise AskedWrongly."""
    for entry in a_list(value):
        message = members(entry, _MESSAGE, named)
        a_text(message.get("role"))
        parts(message.get("content"), named)
        if message.get("audio") is not None:
            # An earlier answer's audio, kept at the service under its id.
            needs("audio_id", named)
        calls = message.get("tool_calls")
        for call in () if calls is None else a_list(calls):
            if a_text(members(call, _TOOL_CALL, named).get("type")) not in TOOLS:
                refuse("A tool call has a type that is not known here.")


def parts(value: object, named: frozenset[str]) -> None:
    """Check content: a text, null, or a list of parts whose types are known; raise AskedWrongly."""
    if value is None or isinstance(value, str):
        return
    for entry in a_list(value):
        part(entry, named)


def part(value: object, named: frozenset[str]) -> None:
    """Check one content part: inline content is plain, an address or an id must be named; raise AskedWrongly."""
    known = PARTS.get(a_text(an_object(value).get("type")))
    if known is None:
        refuse("A content part has a type that is not known here.")
    found = members(value, known, named)
    for name in ("text", "refusal"):
        if name in found and name in known:
            a_text(found[name])
    for name in ("image_url", "audio_url", "video_url", "file_url"):
        if found.get(name) is not None:
            url(found[name], name, named)
    if "input_audio" in found:
        audio = members(found["input_audio"], ("data", "format", "url"), named)
        _inline(audio.get("data"))
        if audio.get("url") is not None:
            url(audio["url"], "audio_url", named)
    file = members(found["file"], ("file_data", "file_id", "filename"), named) if "file" in found else found
    _inline(file.get("file_data"))
    if file.get("file_id") is not None:
        needs("file_id", named)
    watch(found.get("annotations"), named)


def tools(value: object, named: frozenset[str]) -> None:
    """Check a list of tools: functions are plain, what runs at the service must be named; raise AskedWrongly."""
    for entry in a_list(value):
        kind = a_text(an_object(entry).get("type"))
        if kind in TOOLS:
            members(entry, _TOOL, named)
        else:
            service_tool(kind, named)
            watch(entry, named)


def service_tool(kind: str, named: frozenset[str]) -> None:
    """Check that the policy names a type of tool; raise AskedWrongly."""
    needs(f"tools.{kind}", named)


def tool_choice(value: object, named: frozenset[str]) -> None:
    """Check which tool is to be used, or among which the model may choose; raise AskedWrongly."""
    if value is None or (isinstance(value, str) and value in _CHOICES):
        return
    choice = members(value, _CHOICE, named)
    kind = a_text(choice.get("type"))
    if kind == "allowed_tools":
        # Chats put the list into a member of its own, responses do not: whoever reads either finds it checked.
        for inner in (choice, members(choice.get("allowed_tools", {}), _CHOICE, named)):
            for entry in a_list(inner.get("tools", [])):
                _chosen(a_text(members(entry, _CHOICE, named).get("type")), named)
    else:
        _chosen(kind, named)


def _chosen(kind: str, named: frozenset[str]) -> None:
    if kind not in TOOLS:
        service_tool(kind, named)


def watch(value: object, named: frozenset[str]) -> None:
    """Look through what belongs to a tool of the service for ids, addresses and models; raise AskedWrongly.

    The depth of `value` is bounded by the parser's.
    """
    if isinstance(value, list):
        for entry in value:
            watch(entry, named)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _watch_member(name, inner, named)


def _watch_member(name: str, value: object, named: frozenset[str]) -> None:
    if name != folded(name) and folded(name) in _EXACT:
        refuse("A field's name is written in another way than the one that is known.")
    if name in _SCHEMAS or value is None:
        return
    if name in MODEL_NAMES:
        refuse("A tool names a model, which only the policy does.")
    if name in {"image_url", "file_url"}:
        url(value, name, named)
    elif name == "container":
        # An object asks for a container of its own; an id is one that was made before, by whomever.
        if not isinstance(value, dict):
            needs("container_id", named)
        watch(value, named)
    elif name in _WATCHED:
        needs(name, named)
    elif (
        name == "tools" and isinstance(value, list) and any("type" in a for a in value if isinstance(a, dict))
    ):
        tools(value, named)
    else:
        watch(value, named)


def url(value: object, name: str, named: frozenset[str]) -> None:
    """Check an address: content in a data: URL is plain, one on the network must be named and be https."""
    if isinstance(value, dict):
        value = members(value, ("url", "detail", "format"), named).get("url")
    if _DATA.match(a_text(value)):
        return
    needs(name, named)
    if not _REMOTE.fullmatch(a_text(value)):
        refuse("An address in the request is neither a data: URL nor plain https.")


def _inline(value: object) -> None:
    """Check content that should be base64 or a data: URL, so that no reader takes it for an address or a path."""
    if (
        value is not None
        and not _DATA.match(a_text(value))
        and any(mark in a_text(value) for mark in ":.%\\")
    ):
        refuse("Inline content must be base64 or a data: URL.")
