"""A model request's body, parsed: JSON or a form, told alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

from shared import strictjson
from shared.backends import jsonbody, multipart
from shared.problem import AskedWrongly, Slug

MAX_DEPTH: Final = 64
"""Arrays and objects inside each other: schemas of tools nest, and nothing nests like this."""


class Payload(Protocol):
    """What was read and checked, and can be sent on."""

    @property
    def data(self) -> bytes:
        """Return the bytes as they came."""

    @property
    def content_type(self) -> str:
        """Return the Content-Type to send."""

    @property
    def values(self) -> Mapping[str, object]:
        """Return the top-level members, or the form's values, by name."""

    def rewritten(self, changes: Mapping[str, object]) -> bytes:
        """Return the bytes with the values of the named members replaced, and every other byte as it came."""


@dataclass(frozen=True, slots=True)
class Json:
    """A body of JSON."""

    data: bytes
    content_type: str
    _parsed: strictjson.StrictObject

    @classmethod
    def parse(cls, data: bytes, content_type: str) -> Self:
        """Return the body in `data`; raise AskedWrongly (400) for all that is not strict JSON (threat T07)."""
        try:
            return cls(data, content_type, strictjson.parse_object(data, max_depth=MAX_DEPTH))
        except strictjson.StrictJsonError:
            raise AskedWrongly(
                Slug.INVALID_REQUEST,
                detail="The body is not one JSON object, in UTF-8, with every name once and no NaN.",
            ) from None

    @property
    def values(self) -> Mapping[str, object]:
        """Return the top-level members."""
        return self._parsed.values

    def rewritten(self, changes: Mapping[str, object]) -> bytes:
        """Return the body with the named members' values replaced."""
        return jsonbody.rewritten(self._parsed, changes)


@dataclass(frozen=True, slots=True)
class Form:
    """A form with a file."""

    data: bytes
    content_type: str
    _parsed: multipart.Form

    @classmethod
    def parse(cls, data: bytes, content_type: str) -> Self:
        """Return the form in `data`; raise AskedWrongly (400) for all that could be read in two ways."""
        return cls(data, content_type, multipart.parse(data, content_type))

    @property
    def values(self) -> Mapping[str, object]:
        """Return the form's values."""
        return self._parsed.values

    def rewritten(self, changes: Mapping[str, object]) -> bytes:
        """Return the form with the named texts replaced."""
        return multipart.rewritten(self._parsed, {name: str(value) for name, value in changes.items()})
