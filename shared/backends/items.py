"""The input items of a response: the turns of a conversation as the caller tells them (threat T09)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from shared.backends.messages import parts, tools, watch_but
from shared.backends.shapes import a_list, a_text, an_object, members, needs, refuse
from shared.fieldnames import words

_PLAIN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        kind: words(f"type id status {names}")
        for kind, names in {
            "message": "role content phase",
            "function_call": "call_id name arguments async async_ caller namespace parsed_arguments",
            "function_call_output": "call_id output caller name namespace",
            "custom_tool_call": "call_id name input async async_ caller namespace",
            "custom_tool_call_output": "call_id output caller",
            "reasoning": "summary content encrypted_content",
            "compaction": "encrypted_content",
            "item_reference": "",
            "additional_tools": "role tools",
        }.items()
    }
)
"""Members of the types of item that tell all they hold. `async_` is what the Python client's `model_dump` makes of `async`."""

_TELLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "message": ("content",),
        "function_call": ("name", "arguments"),
        "function_call_output": ("output",),
        "custom_tool_call": ("name", "input"),
        "custom_tool_call_output": ("output",),
        "additional_tools": ("tools",),
    }
)
"""What an item of the caller's own must tell. Empty, beside an id, it is what the service keeps under that id."""
_IDS: Final = words("approval_request_id id")
_TEXTS: Final = words("arguments call_id encrypted_content id input name")
_LOOKED_INTO: Final = words("arguments content encrypted_content id input output parsed_arguments summary")

_OF_TOOL: Final[Mapping[str, tuple[str, frozenset[str]]]] = MappingProxyType(
    {
        kind: (tool, words(names))
        for kind, tool, names in (
            ("apply_patch_call", "apply_patch", "operation"),
            ("apply_patch_call_output", "apply_patch", "output"),
            ("code_interpreter_call", "code_interpreter", "outputs"),
            ("computer_call", "computer", "action actions"),
            ("computer_call_output", "computer", "output"),
            ("file_search_call", "file_search", "results"),
            ("image_generation_call", "image_generation", "result"),
            ("local_shell_call", "local_shell", "action"),
            ("local_shell_call_output", "local_shell", "output"),
            ("mcp_approval_request", "mcp", "arguments"),
            ("mcp_approval_response", "mcp", "approval_request_id"),
            ("mcp_call", "mcp", "output error"),
            ("mcp_list_tools", "mcp", "tools"),
            ("program", "programmatic_tool_calling", "code"),
            ("program_output", "programmatic_tool_calling", "result"),
            ("shell_call", "shell", "action"),
            ("shell_call_output", "shell", "output"),
            ("tool_search_call", "tool_search", "arguments"),
            ("tool_search_output", "tool_search", "tools"),
            ("web_search_call", "web_search", "results"),
        )
    }
)
"""Types of item that a tool of the service left behind, each with the beginning of that tool's type, and with what holds
its result; what the caller is to do, where the result is an item of its own."""


def items(value: object, named: frozenset[str]) -> None:
    """Check the `input` of a response: a text, null, or a list of items; raise AskedWrongly."""
    if value is None or isinstance(value, str):
        return
    for entry in a_list(value):
        _item(an_object(entry), named)


def referred(value: object) -> Iterator[str]:
    """Yield the ids of stored things that checked items stand for without telling what these hold."""
    for entry in value if isinstance(value, list) else ():
        if entry.get("id") is not None and not _tells_all(entry):
            yield a_text(entry["id"])
        if entry.get("approval_request_id") is not None:
            yield a_text(entry["approval_request_id"])


def _tells_all(item: Mapping[str, object]) -> bool:
    kind = _kind(item)
    if kind in _TELLS:
        return all(item.get(name) for name in _TELLS[kind])
    if kind in _OF_TOOL:
        # A number or a flag tells nothing.
        return any(isinstance(item.get(name), str | list | dict) and item[name] for name in _OF_TOOL[kind][1])
    # Reasoning that comes without its encrypted content is looked up at the service by its id.
    return kind != "item_reference" and bool(item.get("encrypted_content"))


def _item(item: Mapping[str, object], named: frozenset[str]) -> None:
    kind = _kind(item)
    known = _PLAIN.get(kind)
    if known is None:
        _item_of_tool(kind, item, named)
        return
    members(item, known, named)
    if any(item.get(name) is None for name in _TELLS.get(kind, ())):
        refuse("An input item does not tell what it holds.")
    for name in _TEXTS & item.keys():
        if item[name] is not None:
            a_text(item[name])
    if kind == "message":
        a_text(item.get("role"))
    elif kind == "item_reference":
        needs("item_reference", named)
        a_text(item.get("id"))
    elif kind == "additional_tools":
        tools(item["tools"], named)
    for name in ("content", "output", "summary"):
        parts(item.get(name), named)
    watch_but(item, _LOOKED_INTO, named)


def _item_of_tool(kind: str, item: Mapping[str, object], named: frozenset[str]) -> None:
    if kind not in _OF_TOOL:
        refuse("An input item has a type that is not known here.")
    for name in _IDS & item.keys():
        if item[name] is not None:
            a_text(item[name])
    tool = f"tools.{_OF_TOOL[kind][0]}"
    if not any(name.startswith(tool) for name in named):
        needs(tool, named)
    watch_but(item, _IDS, named)


def _kind(item: Mapping[str, object]) -> str:
    """Return an item's type; without one it is a message when it has content, else a reference."""
    kind = item.get("type")
    if kind is None:
        return "message" if item.get("content") is not None else "item_reference"
    return a_text(kind)
