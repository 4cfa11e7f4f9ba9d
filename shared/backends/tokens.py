"""Tokens of a request, reserved before it is sent, and of its answer, on which the reservation is settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.backends.multipart import Upload
from shared.backends.shapes import refuse
from shared.fieldnames import words
from shared.model import Usage

PER_MESSAGE: Final = 4
"""Tokens around each message or item, besides its text."""
PER_FILE: Final = 1000
"""Tokens for an image, a recording or a file: what it costs does not follow from how long it is."""
BYTES_PER_TOKEN: Final = 4
MOST: Final = 10**9
"""Tokens; more is nonsense, in what is asked as in what is told."""
_MOST_ASKED: Final = 10_000_000
_MOST_ANSWERS: Final = 128

_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_PROMPT: Final = words(
    "messages input prompt suffix instructions prediction text tools functions response_format"
)
_FILES: Final = words("image_url audio_url video_url input_audio file input_image input_file")
_WITHOUT_ANSWER: Final = frozenset({"embeddings"})


def estimate(operation: str, values: Mapping[str, object], *, default_max_tokens: int) -> int:
    """Return the tokens to reserve for a checked request, in [0, MOST]: its prompt, about, and the most of its answer.

    `default_max_tokens` stands in where the request bounds nothing. Raise AskedWrongly for a bound that is none.
    """
    given = [
        found for name in _BOUNDS if (found := _bound(values, name, least=0, most=_MOST_ASKED)) is not None
    ]
    answers = max(_bound(values, name, least=1, most=_MOST_ANSWERS) or 1 for name in ("n", "best_of"))
    answer = 0
    if operation not in _WITHOUT_ANSWER:
        answer = max(given, default=default_max_tokens) * answers * _prompts(values.get("prompt"))
    asked = _Count()
    for name in _PROMPT & values.keys():
        asked.add(values[name])
    files = PER_FILE * sum(isinstance(value, Upload) for value in values.values())
    return max(0, min(MOST, answer + asked.tokens() + files))


def usage(document: object) -> Usage | None:
    """Return what an answer says of its tokens; None when it says nothing, or nothing that can be."""
    told = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        return None
    prompt = _told(told, "prompt_tokens", "input_tokens")
    # Embeddings have no completion, and some services leave the sum out.
    completion = _told(told, "completion_tokens", "output_tokens", absent=0)
    if prompt is None or completion is None:
        return None
    total = _told(told, "total_tokens", absent=prompt + completion)
    return None if total is None else Usage(prompt=prompt, completion=completion, total=total)


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

    def _add_object(self, value: dict[str, object]) -> None:
        kind = value.get("type")
        if isinstance(kind, str) and kind in _FILES:
            self._tokens += PER_FILE
            return
        if "role" in value or "type" in value:
            self._tokens += PER_MESSAGE
        for name, inner in value.items():
            self.add(name)
            self.add(inner)


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


def _told(told: Mapping[str, object], *names: str, absent: int | None = None) -> int | None:
    for name in names:
        if name in told:
            value = told[name]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
                return None
            return value
    return absent
