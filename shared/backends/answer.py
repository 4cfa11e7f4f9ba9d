"""What a model's whole answer tells the gate: what it cost, and what the service keeps of it."""

from __future__ import annotations

import msgspec

from shared.backends import eventdata
from shared.backends.target import STORED
from shared.model import Usage


class _Item(msgspec.Struct):
    id: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    output: list[_Item] = []


_RESPONSE = msgspec.json.Decoder(_Response)


def read(operation: str, body: bytes) -> tuple[Usage | None, tuple[str, ...]]:
    """Return the usage that `body` tells, and the ids of a response and its output items, which may be referred to later.

    Never raises: an answer of another shape tells nothing, and goes on as it is.
    """
    if operation in STORED:
        return None, ()  # what is read again was counted when it was made
    usage = eventdata.usage_of(body)
    if operation != "responses":
        return usage, ()
    try:
        response = _RESPONSE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return usage, ()
    ids = (response.id, *(item.id for item in response.output))
    return usage, tuple(id_ for id_ in ids if id_)
