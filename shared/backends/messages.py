"""What messages, input items and tools of a request refer to (threat T09).

Every object that is looked into has a closed table of members: a reader that takes names in any case would else find a
second `type` or `image_url` where the gate saw none. What the tables leave open is watched for names that refer elsewhere.
Schemas and arguments of the caller's own functions are text to the model and not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from shared.backends.shapes import a_list, a_text, an_object, members, needs, refuse
from shared.fieldnames import FORBIDDEN, MODEL_NAMES, REFERENCES, TOOLS, folded, words

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
        "output_text": "text annotations logprobs parsed",
        "summary_text": "text",
        "reasoning_text": "text",
        "refusal": "refusal",
        "input_image": "image_url file_id",
        "input_file": "file_data file_id file_url filename",
        "input_audio": "input_audio",
    }
)
_PART_CHECKED: Final = words(
    "audio_url file file_data file_id file_url image_url input_audio parsed refusal text video_url"
)
PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: _DETAIL | words(names) for kind, names in (*_CHAT_PARTS.items(), *_RESPONSE_PARTS.items())}
)
"""Members of each type of content part, chats' and responses' together."""

_MESSAGE: Final = words(
    "annotations audio content function_call name parsed phase reasoning reasoning_content refusal role tool_call_id "
    "tool_calls"
)
_LOOKED_INTO: Final = words("content function_call parsed tool_calls")
_TOOL_CALL: Final = words("custom function id index type")
_CALLED: Final = words("arguments input name parsed_arguments")
_TOOL: Final = words(
    "allowed_callers async custom defer_loading description format function name output_schema parameters strict "
    "type"
)
_CHOICE: Final = words("allowed_tools custom function mode name server_label tools type")
_CHOICES: Final = frozenset({"none", "auto", "required", "any"})
_SCHEMAS: Final = words("input_schema output_schema")
_DEFINED: Final = _SCHEMAS | {"parameters"}
"""What the caller's own functions take and give."""
_OWN_WORDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"mcp": words("authorization connector_id headers server_url tunnel_id")}
)
"""What the policy lets in together with a tool: a server is the whole sense of this one."""

_URLS: Final = words("audio_url file_url image_url video_url")
_STORED: Final = REFERENCES | words(
    "access_programs background_options conversation data_sources file_ids vector_store_ids web_search_options"
)
_NEVER: Final = FORBIDDEN | words(
    "approval_request_id comparison_response_id previous_response_id response_id"
)
"""What has its one place, where it is checked, and none inside of anything else."""
_NEVER_OF_TOOLS: Final = _NEVER - words("moderation svg url")
"""Tools cite addresses, and pictures have settings of these names."""
_HOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {"container": "container_id", "environment": "container_id", "skills": "skill_id"}
)
_EXACT: Final = _STORED | _NEVER | _HOLDERS.keys() | {"id", "prompt", "tools", "type"}


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
            called = members(call, _TOOL_CALL, named)
            if a_text(called.get("type")) not in TOOLS:
                refuse("A tool call has a type that is not known here.")
            for name in TOOLS:
                _called(called.get(name), named)
            watch_but(called, TOOLS, named)
        _called(message.get("function_call"), named)
        watch_but(message, _LOOKED_INTO, named)


def _called(value: object, named: frozenset[str]) -> None:
    if value is not None:
        a_text(members(value, _CALLED, named).get("name"))


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
    # Looked at above, or, as `parsed`, what a client read out of the text beside it.
    watch_but(found, _PART_CHECKED, named)


def tools(value: object, named: frozenset[str]) -> None:
    """Check a list of tools: functions are plain, what runs at the service must be named; raise AskedWrongly."""
    for entry in a_list(value):
        kind = a_text(an_object(entry).get("type"))
        if kind in TOOLS:
            _own_tool(members(entry, _TOOL, named), named)
        else:
            service_tool(kind, named)
            watch_but(an_object(entry), _OWN_WORDS.get(kind, frozenset()), named)


def definition(value: object, named: frozenset[str]) -> None:
    """Check how a function of the caller's own is described: what it takes and gives is text; raise AskedWrongly."""
    watch_but(an_object(value), _DEFINED, named)


def _own_tool(tool: Mapping[str, object], named: frozenset[str]) -> None:
    if tool.get("function") is not None:
        definition(tool["function"], named)
    watch_but(tool, _DEFINED | {"function"}, named)


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
            watch_but(inner, {"tools"}, named)
            for entry in a_list(inner.get("tools", [])):
                _chosen(members(entry, _CHOICE, named), named)
    else:
        _chosen(choice, named)


def _chosen(choice: Mapping[str, object], named: frozenset[str]) -> None:
    kind = a_text(choice.get("type"))
    if kind not in TOOLS:
        service_tool(kind, named)
    _own_tool(choice, named)


def watch(value: object, named: frozenset[str], never: frozenset[str] = _NEVER_OF_TOOLS) -> None:
    """Look through what no table closes for ids, addresses, models and tools; raise AskedWrongly.

    `never`: what is refused whatever the policy names. The depth of `value` is bounded by the parser's.
    """
    if isinstance(value, list):
        for entry in value:
            watch(entry, named, never)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _watch_member(name, inner, named, never)


def watch_field(value: object, named: frozenset[str]) -> None:
    """Look through a whole field, in which nothing is cited either; raise AskedWrongly."""
    watch(value, named, _NEVER)


def watch_but(value: Mapping[str, object], but: AbstractSet[str], named: frozenset[str]) -> None:
    """Look through all members but those of the names in `but`; raise AskedWrongly."""
    for name, inner in value.items():
        if name not in but:
            _watch_member(name, inner, named, _NEVER_OF_TOOLS)


def _watch_member(name: str, value: object, named: frozenset[str], never: frozenset[str]) -> None:
    if name != folded(name) and folded(name) in _EXACT:
        refuse("A name inside the request is written in another way than the one that is known.")
    if name in _SCHEMAS or value is None:
        return
    if name in MODEL_NAMES:
        refuse("Something inside the request names a model, which only the policy does.")
    if name in never:
        refuse("Something inside the request has a name that is not taken there.")
    if name in _URLS:
        url(value, name, named)
        return
    if name in _STORED or (name == "prompt" and isinstance(value, dict)):
        needs(name, named)
    elif name in _HOLDERS:
        _holder(name, value, named)
    elif name == "tools" and any("type" in an_object(entry) for entry in a_list(value)):
        tools(value, named)
        return
    watch(value, named, never)


def _holder(name: str, value: object, named: frozenset[str]) -> None:
    """Check what asks for something of its own as an object; as an id, or with one, it is one that was made before."""
    for entry in value if isinstance(value, list) else (value,):
        if "id" in entry if isinstance(entry, dict) else name != "environment":
            needs(_HOLDERS[name], named)


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
