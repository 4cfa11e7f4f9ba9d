"""JSON bodies sent on as they came, but for members that the gate itself sets (threats T06, T07)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from shared.strictjson import StrictObject


def rewritten(parsed: StrictObject, changes: Mapping[str, object]) -> bytes:
    """Return the body that was parsed with the values of the named top-level members replaced.

    Only the members' own values change, on the places that the parser itself found, so that whoever reads the result
    reads the values that were checked; every other byte stays. A member that was absent becomes the first.
    """
    text = parsed.text
    pieces = []
    at = 0
    added = [f"{_json(name)}:{_json(value)}" for name, value in changes.items() if name not in parsed.spans]
    if added:
        pieces += [text[: parsed.opened], ",".join(added), "," if parsed.values else ""]
        at = parsed.opened
    for (start, end), name in sorted((parsed.spans[name], name) for name in changes if name in parsed.spans):
        pieces += [text[at:start], _json(changes[name])]
        at = end
    pieces.append(text[at:])
    return "".join(pieces).encode("utf-8", "strict")


def _json(value: object) -> str:
    # Escaped to ASCII: what is put in can be read in one way only, whatever the rest of the text holds.
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
