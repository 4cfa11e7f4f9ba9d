"""Tokens of a request, reserved before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.backends.multipart import Upload
from shared.backends.shapes import refuse
from shared.fieldnames import words

PER_MESSAGE: Final = 4
"""Tokens around each message or item, besides its text."""
PER_FILE: Final = 1000
"""Tokens for an image, a recording or a file: what it costs does not follow from how long it is."""
BYTES_PER_TOKEN: Final = 4
MOST: Final = 10**9
"""Tokens; more is nonsense."""
_MOST_ASKED: Final = 10_000_000
_MOST_ANSWERS: Final = 128

_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict")
_TEXTS: Final = words("chat_template_kwargs functions instructions response_format suffix text tools")
_TURNS: Final = words("input messages prediction prompt")
_PARTS: Final = words("content output variables")
_FILES: Final = words("image_url audio_url video_url input_audio file input_image input_file")
_WITHOUT_ANSWER: Final = frozenset({"embeddings"})


class Estimate(NamedTuple):
    """Tokens to reserve for a request, each in [0, MOST]."""

    prompt: int
    """About how many its prompt has."""
    answer: int
    """The most that its answer may have."""


def estimate(operation: str, values: Mapping[str, object], *, default_max_tokens: int) -> Estimate:
    """Return the tokens to reserve for a checked request.

    `default_max_tokens` stands in where the request bounds nothing. Raise AskedWrongly for a bound that is none.
    """
    given = [
        found for name in _BOUNDS if (found := _bound(values, name, least=0, most=_MOST_ASKED)) is not None
    ]
    answers = max(_bound(values, name, least=1, most=_MOST_ANSWERS) or 1 for name in ("n", "best_of"))
    answer = 0
    if operation not in _WITHOUT_ANSWER:
        # Who bounds the answer to nothing may get a token of it all the same: servers read a zero in several ways.
        most = max(1, *given or (default_max_tokens,))
        answer = most * answers * _prompts(values.get("prompt"))
    asked = _Count()
    for name in _TEXTS & values.keys():
        asked.add(values[name])
    for name in _TURNS & values.keys():
        asked.add_turns(values[name])
    files = PER_FILE * sum(isinstance(value, Upload) for value in values.values())
    return Estimate(min(MOST, asked.tokens() + files), min(MOST, answer))


class _Count:
    """Bytes of text and whole tokens, gathered over a request."""

    def __init__(self) -> None:
        self._bytes = 0
        self._tokens = 0

    def tokens(self) -> int:
        return self._tokens - (-self._bytes // BYTES_PER_TOKEN)

    def add(self, value: object) -> None:
        """Add a value with all that is in it; its depth is bounded by the parser's."""
        if isinstance(value, str):
            self._bytes += len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, list):
            if set(map(type, value)) == {int}:
                self._tokens += len(value)
                return
            for entry in value:
                self.add(entry)
        elif isinstance(value, dict):
            self._add_object(value)
        elif isinstance(value, int):
            self._tokens += 1

    def add_turns(self, value: object) -> None:
        """Add messages, items or a prompt, in which files stand as parts of content and nowhere else."""
        if isinstance(value, list) and set(map(type, value)) != {int}:
            for entry in value:
                self.add_turns(entry)
        elif isinstance(value, dict):
            self._add_object(value, parts=_PARTS)
        else:
            self.add(value)

    def _add_object(self, value: dict[str, object], *, parts: frozenset[str] = frozenset()) -> None:
        if "role" in value or "type" in value:
            self._tokens += PER_MESSAGE
        for name, inner in value.items():
            self.add(name)
            if name in parts:
                # Variables of a stored prompt are parts, each under a name.
                self._add_parts(
                    [*inner.values()] if isinstance(inner, dict) and name == "variables" else inner
                )
            else:
                self.add(inner)

    def _add_parts(self, value: object) -> None:
        for part in value if isinstance(value, list) else (value,):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind in _FILES:
                self._tokens += PER_FILE
            else:
                self.add(part)


def _bound(values: Mapping[str, object], name: str, *, least: int, most: int) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(f"The field {name} is no whole number that can be.")
    return value


def _prompts(prompt: object) -> int:
    """Return how many prompts are completed: each gets an answer of its own."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return len(prompt)
    return 1
