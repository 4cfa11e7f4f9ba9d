"""The input items of a response: the turns of a conversation as the caller tells them (threat T09)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from shared.backends.messages import parts, tools, watch
from shared.backends.shapes import a_list, a_text, an_object, members, needs, refuse
from shared.fieldnames import words

_PLAIN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        kind: words(f"type id status {names}")
        for kind, names in {
            "message": "role content phase",
            "function_call": "call_id name arguments async caller namespace parsed_arguments",
            "function_call_output": "call_id output caller name namespace",
            "custom_tool_call": "call_id name input async caller namespace",
            "custom_tool_call_output": "call_id output caller",
            "reasoning": "summary content encrypted_content",
            "compaction": "encrypted_content",
            "item_reference": "",
            "additional_tools": "role tools",
        }.items()
    }
)
"""Members of the types of item that tell all they hold."""

_OF_TOOL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apply_patch_call": "apply_patch",
        "apply_patch_call_output": "apply_patch",
        "code_interpreter_call": "code_interpreter",
        "computer_call": "computer",
        "computer_call_output": "computer",
        "file_search_call": "file_search",
        "image_generation_call": "image_generation",
        "local_shell_call": "local_shell",
        "local_shell_call_output": "local_shell",
        "mcp_approval_request": "mcp",
        "mcp_approval_response": "mcp",
        "mcp_call": "mcp",
        "mcp_list_tools": "mcp",
        "program": "programmatic_tool_calling",
        "program_output": "programmatic_tool_calling",
        "shell_call": "shell",
        "shell_call_output": "shell",
        "tool_search_call": "tool_search",
        "tool_search_output": "tool_search",
        "web_search_call": "web_search",
    }
)
"""Types of item that a tool of the service left behind, each with the beginning of that tool's type."""


def items(value: object, named: frozenset[str]) -> None:
    """Check the `input` of a response: a text, null, or a list of items; raise AskedWrongly."""
    if value is None or isinstance(value, str):
        return
    for entry in a_list(value):
        _item(an_object(entry), named)


def referred(value: object) -> Iterator[str]:
    """Yield the ids of stored things that checked items stand for without telling what these hold."""
    for entry in value if isinstance(value, list) else ():
        kind = _kind(entry)
        # Reasoning that comes without its encrypted content is looked up at the service by its id.
        if kind == "item_reference" or (
            kind in {"reasoning", "compaction"}
            and not entry.get("encrypted_content")
            and entry.get("id") is not None
        ):
            yield a_text(entry.get("id"))


def _item(item: Mapping[str, object], named: frozenset[str]) -> None:
    kind = _kind(item)
    known = _PLAIN.get(kind)
    if known is None:
        tool = _OF_TOOL.get(kind)
        if tool is None:
            refuse("An input item has a type that is not known here.")
        if not any(name.startswith(f"tools.{tool}") for name in named):
            needs(f"tools.{tool}", named)
        watch(item, named)
        return
    members(item, known, named)
    if item.get("id") is not None:
        a_text(item["id"])
    if kind == "message":
        a_text(item.get("role"))
    elif kind == "item_reference":
        needs("item_reference", named)
        a_text(item.get("id"))
    elif kind == "additional_tools":
        tools(item.get("tools"), named)
    for name in ("content", "output", "summary"):
        parts(item.get(name), named)
    if item.get("encrypted_content") is not None:
        a_text(item["encrypted_content"])


def _kind(item: Mapping[str, object]) -> str:
    """Return an item's type; without one it is a message when it has a role, else a reference."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference"
    return a_text(kind)
