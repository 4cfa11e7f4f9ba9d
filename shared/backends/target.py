"""The addresses of models: what a path under `/openai/` and `/models/` asks, and where that is upstream (protocols, 6.1).

The table is closed, the path is never put together from what came, and whatever is not here is nothing (threat T02).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args
from urllib.parse import parse_qsl, urlencode

from shared.model import Route
from shared.operations import CANCEL, DELETE, RETRIEVE, ModelOperation
from shared.problem import AskedWrongly, Slug

STORED: Final = frozenset({RETRIEVE, DELETE, CANCEL})
"""Operations on a response that was made before."""

_CREATE: Final[frozenset[str]] = frozenset(get_args(ModelOperation))
_OLD: Final = _CREATE - {"responses"}
"""What `/openai/deployments/{deployment}/` serves, where the path names the model."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NO_IDS: Final = frozenset({"compact", "input_tokens"})
"""Operations of the service that the gate does not have, at the place of an id."""
_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?")
_V1_VERSIONS: Final = frozenset({"v1", "preview", "latest"})
_FLAG: Final = re.compile(r"true|false")
_OF_RETRIEVE: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "stream": _FLAG,
        "include_obfuscation": _FLAG,
        "starting_after": re.compile(r"[0-9]{1,12}"),
        "include[]": re.compile(r"[a-z0-9_.]{1,64}"),
    }
)
_DROPPED: Final = frozenset({"code", "clientId"})
"""Keys of the Functions host, which are nobody's here (threats T04, E10)."""
_MOST_PARAMETERS: Final = 16
_LONGEST_QUERY: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one address asks."""

    operation: str
    """Empty for an address that is nothing."""
    methods: tuple[str, ...]
    model: str | None = None
    """The model that the path names; None where the body does."""
    id: str | None = None
    """The stored response that the path names."""


_NOTHING: Final = Target(operation="", methods=())


def target_of(route: str, rest: str, method: str) -> Target:
    """Return what `rest`, the path under the address `route` (`openai` or `models`), asks by `method`."""
    if route == "models":
        return _v1(rest, method)
    shape, _, below = rest.partition("/")
    if shape == "v1":
        return _v1(below, method)
    if shape == "deployments":
        model, _, operation = below.partition("/")
        return Target(operation=operation, methods=("POST",), model=model) if operation in _OLD else _NOTHING
    # As AzureOpenAI clients ask what no deployment's address serves.
    return _v1(rest, method) if shape == "responses" else _NOTHING


def url_of(target: Target, route: Route, query: str) -> str:
    """Return where `target` is upstream: every part is the policy's or out of this table, but for the stored id."""
    if target.model is not None:
        path = f"deployments/{route.deployment}/{target.operation}"
    elif target.id is not None:
        path = f"v1/responses/{target.id}" + ("/cancel" if target.operation == CANCEL else "")
    else:
        path = f"v1/{target.operation}"
    return f"{route.url}/openai/{path}" + (f"?{query}" if query else "")


def query_of(target: Target, raw: str) -> str:
    """Return the query to send on; raise AskedWrongly for a parameter that is not known here, or came twice."""
    if not raw:
        return ""
    try:
        if len(raw) > _LONGEST_QUERY:
            raise ValueError
        pairs = parse_qsl(
            raw, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise _unknown() from None
    kept: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in pairs:
        if name in seen and name != "include[]":
            raise _unknown()
        seen.add(name)
        if name == "api-version":
            kept += _version(target, value)
        elif name not in _DROPPED:
            known = _OF_RETRIEVE.get(name) if target.operation == RETRIEVE else None
            if known is None or not known.fullmatch(value):
                raise _unknown()
            kept.append((name, value))
    return urlencode(kept)


def _version(target: Target, value: str) -> list[tuple[str, str]]:
    dated = _VERSION.fullmatch(value) is not None
    if target.model is not None:
        if not dated:
            raise _unknown()
        return [("api-version", value)]
    if value in _V1_VERSIONS:
        return [("api-version", value)]
    if not dated:
        raise _unknown()
    return []  # clients of the older interfaces say a date, which v1 does not know


def _v1(path: str, method: str) -> Target:
    if path in _CREATE:
        return Target(operation=path, methods=("POST",))
    match path.split("/"):
        case ["responses", id_] if _ID.fullmatch(id_) and id_ not in _NO_IDS:
            operation = DELETE if method == "DELETE" else RETRIEVE
            return Target(operation=operation, methods=("GET", "HEAD", "DELETE"), id=id_)
        case ["responses", id_, "cancel"] if _ID.fullmatch(id_):
            return Target(operation=CANCEL, methods=("POST",), id=id_)
    return _NOTHING


def _unknown() -> AskedWrongly:
    return AskedWrongly(
        Slug.INVALID_REQUEST,
        detail="The query has a parameter that is not taken here, comes twice, or has a value that is not taken.",
    )
