"""Which fields a request of each operation may hold (threats T06, T07, T09): closed tables, and what to look into.

The names are in fieldnames.py, messages and tools in messages.py, the items of responses in items.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

from shared.backends import items, messages
from shared.backends.multipart import Upload
from shared.backends.shapes import a_list, a_text, an_object, members, needs, refuse, unknown
from shared.fieldnames import PLAIN

MAX_STORED: Final = 128
"""Things made earlier that one request may refer to: each is asked for, one by one."""

Check = Callable[[object, frozenset[str]], None]


def check(operation: str, values: Mapping[str, object], named: frozenset[str]) -> None:
    """Raise AskedWrongly (400) unless a request of `operation` holds only what it may; `named`: the policy's `fields`.

    `values` are the top-level members of a JSON body, or of a form as multipart.Form has them.
    """
    plain = PLAIN[operation]
    looked_into = _LOOKED_INTO[operation]
    for name, value in values.items():
        if name not in plain:
            unknown(name, named)
        # What nobody knows better may hold anything but what no field may bring along.
        looked_into.get(name, messages.watch_field)(value, named)


def stored_ids(operation: str, values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the ids of things made earlier that a checked request refers to: each must be the caller's own (T09).

    Each stands there once. Raise AskedWrongly (400) for more than MAX_STORED.
    """
    if operation != "responses":
        return ()
    found = [values.get("previous_response_id")]
    options = values.get("prompt_cache_options")
    if isinstance(options, dict):
        found.append(options.get("comparison_response_id"))
    told = (a_text(value) for value in found if value is not None)
    ids = tuple(dict.fromkeys((*told, *items.referred(values.get("input")))))
    if len(ids) > MAX_STORED:
        refuse("The request refers to too many stored things.")
    return ids


def streams(operation: str, values: Mapping[str, object]) -> bool:
    """Say whether a checked request asks for an answer in events."""
    if operation == "audio/speech":
        return values.get("stream_format") == "sse"
    return values.get("stream") in (True, "true")


def _text(value: object, _named: frozenset[str]) -> None:
    a_text(value)


def _optional_text(value: object, _named: frozenset[str]) -> None:
    if value is not None:
        a_text(value)


def _flag(value: object, _named: frozenset[str]) -> None:
    if value is not None and not isinstance(value, bool):
        refuse("A field of the request has the wrong type.")


def _off_unless_named(name: str) -> Check:
    def look(value: object, named: frozenset[str]) -> None:
        _flag(value, named)
        if value:
            needs(name, named)

    return look


def _absent_unless_named(name: str) -> Check:
    def look(value: object, named: frozenset[str]) -> None:
        if value is not None:
            needs(name, named)

    return look


def _stream_options(value: object, named: frozenset[str]) -> None:
    if value is not None:
        for flag in members(value, ("include_usage", "include_obfuscation"), named).values():
            _flag(flag, named)


def _cache_options(*known: str) -> Check:
    def look(value: object, named: frozenset[str]) -> None:
        if value is not None:
            for text in members(value, known, named).values():
                _optional_text(text, named)

    return look


def _tools(value: object, named: frozenset[str]) -> None:
    if value is not None:
        messages.tools(value, named)


def _voice(value: object, named: frozenset[str]) -> None:
    if value is not None and not isinstance(value, str):
        # An object names a voice that somebody made from recordings.
        members(value, ("id",), named)
        needs("voice_id", named)


def _audio(value: object, named: frozenset[str]) -> None:
    if value is not None:
        _voice(members(value, ("format", "voice"), named).get("voice"), named)


def _prediction(value: object, named: frozenset[str]) -> None:
    if value is not None:
        messages.parts(members(value, ("type", "content"), named).get("content"), named)


def _stored_prompt(value: object, named: frozenset[str]) -> None:
    if value is None:
        return
    needs("prompt", named)
    variables = members(value, ("id", "version", "variables"), named).get("variables")
    for variable in an_object(variables).values() if variables is not None else ():
        if not isinstance(variable, str):
            messages.part(variable, named)


def _prompt(value: object, _named: frozenset[str]) -> None:
    """Check what is completed or embedded: a text, texts, a list of token ids, or such lists."""
    if value is None or isinstance(value, str):
        return
    entries = a_list(value)
    kinds = set(map(type, entries))
    if kinds == {list}:
        for entry in entries:
            _token_ids(a_list(entry))
    elif kinds != {str}:
        _token_ids(entries)


def _token_ids(entries: list[object]) -> None:
    # By type and as a whole: there may be millions of them, and True is no token.
    if set(map(type, entries)) - {int} or min(cast("list[int]", entries), default=0) < 0:
        refuse("A field of the request has the wrong type.")


def _upload(value: object, _named: frozenset[str]) -> None:
    if not isinstance(value, Upload):
        refuse("The field file is not a file.")


def _functions(value: object, named: frozenset[str]) -> None:
    for entry in a_list(value) if value is not None else ():
        messages.definition(entry, named)


def _format(value: object, named: frozenset[str]) -> None:
    """Check the form of the answer: its schema is text, as a function's is."""
    if isinstance(value, dict):
        inner = value.get("json_schema")
        if inner is not None:
            messages.watch_but(an_object(inner), _SCHEMA, named)
        messages.watch_but(value, _SCHEMA | {"json_schema"}, named)
    elif value is not None:
        a_text(value)


def _text_options(value: object, named: frozenset[str]) -> None:
    if value is not None:
        options = an_object(value)
        _format(options.get("format"), named)
        messages.watch_but(options, {"format"}, named)


def _metadata(value: object, _named: frozenset[str]) -> None:
    # Tags of the caller's own choice: any name may stand there, and nothing but a text behind it.
    for text in an_object(value).values() if value is not None else ():
        a_text(text)


def _data_sources(value: object, named: frozenset[str]) -> None:
    # Whoever lets these in lets in the addresses that are searched, and no others.
    for entry in a_list(value):
        source = an_object(entry)
        messages.watch_but(source, {"parameters"}, named)
        messages.watch_but(an_object(source.get("parameters", {})), {"endpoint"}, named)


def _form_flag(value: object, _named: frozenset[str]) -> None:
    if value not in ("true", "false"):
        refuse("A field of the request has the wrong type.")


def _form_texts(value: object, _named: frozenset[str]) -> None:
    texts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else (value,)
    for text in texts:
        a_text(text)


def _data_urls(value: object, named: frozenset[str]) -> None:
    for entry in value if isinstance(value, list) else (value,):
        messages.url(entry, "audio_url", named)


_SCHEMA: Final = frozenset({"schema"})
_STREAM: Final[dict[str, Check]] = {
    "model": _optional_text,
    "stream": _flag,
    "stream_options": _stream_options,
}
_LOOKED_INTO: Final[Mapping[str, Mapping[str, Check]]] = MappingProxyType(
    {
        "chat/completions": _STREAM
        | {
            "messages": messages.messages,
            "tools": _tools,
            "tool_choice": messages.tool_choice,
            "store": _off_unless_named("store"),
            "audio": _audio,
            "prediction": _prediction,
            "functions": _functions,
            "response_format": _format,
            "metadata": _metadata,
            "data_sources": _data_sources,
            "prompt_cache_options": _cache_options("mode", "ttl"),
        },
        "completions": _STREAM | {"prompt": _prompt, "suffix": _optional_text},
        "embeddings": {"model": _optional_text, "input": _prompt},
        "responses": _STREAM
        | {
            "input": items.items,
            "instructions": _optional_text,
            "tools": _tools,
            "tool_choice": messages.tool_choice,
            "store": _flag,
            "background": _off_unless_named("background"),
            "conversation": _absent_unless_named("conversation"),
            "previous_response_id": _optional_text,
            "prompt": _stored_prompt,
            "text": _text_options,
            "metadata": _metadata,
            "prompt_cache_options": _cache_options("mode", "ttl", "comparison_response_id"),
        },
        "images/generations": _STREAM
        | {"prompt": _text, "background": _optional_text, "moderation": _optional_text},
        "audio/speech": {
            "model": _optional_text,
            "input": _text,
            "voice": _voice,
            "stream_format": _optional_text,
        },
        "audio/transcriptions": dict.fromkeys(PLAIN["audio/transcriptions"], _form_texts)
        | {"model": _text, "file": _upload, "stream": _form_flag, "known_speaker_references": _data_urls},
    }
)
"""The fields whose values decide where a request acts, with what looks at them."""
