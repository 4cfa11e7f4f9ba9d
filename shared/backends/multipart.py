"""Forms with a file (multipart/form-data: RFC 7578, RFC 2046), as strict as the gate's JSON (threats T07, T08).

Parsers of forms differ in what they forgive: text around the parts, bare line feeds, folded or unknown headers, a
transfer encoding, `filename*`, backslashes and semicolons inside quotes, a boundary inside a part. Whatever two of them
could read differently is refused here; what public clients send (httpx, undici, browsers) is plain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Never

from shared.problem import AskedWrongly, Slug

MAX_PARTS: Final = 64
MAX_HEAD: Final = 1024
"""Bytes of one part's headers."""

_CONTENT_TYPE: Final = re.compile(
    r'multipart/form-data[ \t]*;[ \t]*boundary=(?:([A-Za-z0-9_.+-]{1,70})|"([A-Za-z0-9_.+-]{1,70})")',
    re.IGNORECASE | re.ASCII,
)
_NAME: Final = re.compile(r"([A-Za-z0-9_]{1,64})(\[[A-Za-z0-9_]{0,64}\])?")
_DISPOSITION: Final = re.compile(
    r'form-data;[ \t]*name="([A-Za-z0-9_\[\]]{1,130})"(?:;[ \t]*filename="([^"\\;\x00-\x1f\x7f]{1,255})")?'
)
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}")
_TEXT_TYPE: Final = re.compile(r"text/plain(?:;[ \t]*charset=utf-8)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a form; its value stands at `start` to `end`, in bytes of the form."""

    name: str
    filename: str | None
    """None for a text, whose bytes are then UTF-8."""
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of a form, as `values` shows it: never its content."""

    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A parsed form that still knows where its values stand."""

    data: bytes
    boundary: str
    parts: tuple[Part, ...]
    values: dict[str, object]
    """By name: a text, an Upload; `name[]` as a list of texts under `name`, `name[key]` as a dict of texts."""


def parse(data: bytes, content_type: str) -> Form:
    """Return the form in `data`, whose Content-Type stands beside it; raise AskedWrongly (400) for all that is refused."""
    declared = _CONTENT_TYPE.fullmatch(content_type.strip(" \t"))
    if declared is None:
        _refuse()
    boundary: str = declared[1] or declared[2]
    # Wherever the delimiter stands it must be one: with CRLF around it, and the first at the very beginning.
    first, *pieces = data.split(b"--" + boundary.encode("ascii"), MAX_PARTS + 2)
    if first or not 2 <= len(pieces) <= MAX_PARTS + 1 or pieces[-1] not in {b"--", b"--\r\n"}:
        _refuse()
    parts = []
    at = len(boundary) + 2
    for piece in pieces[:-1]:
        parts.append(_part(piece, at))
        at += len(piece) + len(boundary) + 2
    return Form(data=data, boundary=boundary, parts=tuple(parts), values=_values(data, parts))


def rewritten(form: Form, changes: Mapping[str, str]) -> bytes:
    """Return the form with the values of the named texts replaced; every other byte stays.

    A text that was absent becomes the first part. Raise AskedWrongly when the caller's boundary stands in a new value.
    """
    for value in changes.values():
        if form.boundary in value:
            _refuse()
    present = {part.name: part for part in form.parts if part.name in changes}
    pieces = [
        f'--{form.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in changes.items()
        if name not in present
    ]
    at = 0
    for name, part in present.items():
        pieces += [form.data[at : part.start], changes[name].encode()]
        at = part.end
    return b"".join((*pieces, form.data[at:]))


def _part(piece: bytes, at: int) -> Part:
    """Return the part between two delimiters; `at` is where `piece` begins in the form."""
    if not (piece.startswith(b"\r\n") and piece.endswith(b"\r\n")):
        _refuse()
    head_end = piece.find(b"\r\n\r\n", 0, MAX_HEAD)
    if head_end < 2 or head_end + 4 > len(piece) - 2:
        _refuse()
    name, filename = _head(piece[2:head_end])
    return Part(name=name, filename=filename, start=at + head_end + 4, end=at + len(piece) - 2)


def _head(head: bytes) -> tuple[str, str | None]:
    """Return name and file name out of a part's headers: Content-Disposition, and at most a Content-Type."""
    headers: dict[str, str] = {}
    for line in _text(head).split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name in headers or name not in {"content-disposition", "content-type"}:
            _refuse()
        headers[name] = value.strip(" \t")
    disposition = _DISPOSITION.fullmatch(headers.get("content-disposition", ""))
    if disposition is None:
        _refuse()
    filename: str | None = disposition[2]
    media_type = headers.get("content-type")
    if media_type is not None and not (_TEXT_TYPE if filename is None else _MEDIA_TYPE).fullmatch(media_type):
        # A nested multipart would be a form in the form; a text in another charset another text.
        _refuse()
    if media_type is not None and media_type.lower().startswith(("multipart/", "message/")):
        _refuse()
    return disposition[1], filename


def _values(data: bytes, parts: list[Part]) -> dict[str, object]:
    values: dict[str, object] = {}
    for part in parts:
        named = _NAME.fullmatch(part.name)
        if named is None:
            _refuse()
        name, key = named[1], named[2]
        value: object = (
            _text(data[part.start : part.end])
            if part.filename is None
            else Upload(size=part.end - part.start)
        )
        if key is None and name not in values:
            values[name] = value
        elif key == "[]" and isinstance(many := values.setdefault(name, []), list):
            many.append(value)
        elif (
            key not in {None, "[]"}
            and isinstance(members := values.setdefault(name, {}), dict)
            and key[1:-1] not in members
        ):
            members[key[1:-1]] = value
        else:
            _refuse()
    return values


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        _refuse()


def _refuse() -> Never:
    raise AskedWrongly(
        Slug.INVALID_REQUEST, detail="The form is malformed, or could be read in more than one way."
    ) from None
