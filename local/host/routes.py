"""Stand-in for the routing of the Functions host (ASP.NET Core's); never compared with the real one.

Written from the host's public sources. Percent signs are decoded once, but %2F stays as it was written, so that it never
separates segments; then dot segments go. Literals match in any case. An order of specificity decides, not the order of
registration. A method that a route does not list makes the route not match, so that the caller gets a bare 404.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self
from urllib.parse import unquote

_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(\??)\}")
_SLASH = re.compile(r"%(2[fF])")


class RouteError(Exception):
    """A route template that this host cannot serve; the message names it."""


class PathError(Exception):
    """A request path that the real server answers with 400."""


class Kind(Enum):
    """What a segment of a route template matches."""

    LITERAL = auto()
    PARAMETER = auto()
    OPTIONAL = auto()
    CATCH_ALL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route[T]:
    """One route: segments as (kind, lower-case literal or parameter name), upper-case methods (empty: any), and its target."""

    segments: tuple[tuple[Kind, str], ...]
    methods: frozenset[str]
    target: T

    @classmethod
    def parse(cls, template: str, methods: Iterable[str], target: T) -> Self:
        """Parse a template such as ``endpoints/{name}/{*rest}``. Raises RouteError for what this host does not support."""
        texts = [text for text in template.split("/") if text]
        segments = tuple(
            _segment(text, template, last=index == len(texts)) for index, text in enumerate(texts, 1)
        )
        return cls(segments=segments, methods=frozenset(method.upper() for method in methods), target=target)

    @property
    def specificity(self) -> tuple[tuple[int, str], ...]:
        """Sort key of the real host: literal before parameter, longer before shorter."""
        ranked = tuple((0, text) if kind is Kind.LITERAL else (1, "") for kind, text in self.segments)
        return (*ranked, (2, ""))

    def match(self, path: str, given: list[str], lowered: list[str]) -> dict[str, str] | None:
        """Return the parameters when the segments of ``path`` match, else None."""
        values: dict[str, str] = {}
        count = len(given)
        for index, (kind, text) in enumerate(self.segments):
            if kind is Kind.CATCH_ALL:
                if index < count:
                    # What is left of the path, a slash at its end included.
                    values[text] = path.split("/", index + 1)[index + 1]
                return values
            if index >= count:
                return values if kind is Kind.OPTIONAL else None
            if kind is Kind.LITERAL:
                if lowered[index] != text:
                    return None
            elif given[index]:
                values[text] = given[index]
            else:
                return None
        return values if count == len(self.segments) else None


class Routes[T]:
    """All routes of an app, in the order in which the real host tries them."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self._routes = sorted(routes, key=lambda route: route.specificity)

    def find(self, method: str, raw_path: str) -> tuple[T, Mapping[str, str]] | None:
        """Return the target and its parameters, or None: unknown path or method. Raises PathError."""
        path = decode(raw_path)
        if not path.startswith("/"):
            return None
        given = path[1:].split("/")
        if not given[-1]:
            del given[-1]
        lowered = [segment.lower() for segment in given]
        for route in self._routes:
            if route.methods and method not in route.methods:
                continue
            values = route.match(path, given, lowered)
            if values is not None:
                return route.target, values
        return None


def decode(raw_path: str) -> str:
    """Decode a path as the real server does. Raises PathError for a null character."""
    path = raw_path
    if "%" in raw_path:
        try:
            path = unquote(_SLASH.sub(r"%25\1", raw_path), errors="strict")
        except UnicodeDecodeError:
            # The real server leaves just the invalid bytes encoded; no valid name holds either.
            path = raw_path
    if "\0" in path:
        raise PathError("null character in the path")
    return _without_dots(path) if "/." in path else path


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _segment(text: str, template: str, *, last: bool) -> tuple[Kind, str]:
    found = _PARAMETER.fullmatch(text)
    if found is None:
        if "{" in text or "}" in text:
            raise RouteError(
                f"route {template!r}: the local host supports only whole, plain parameters, not {text!r}"
            )
        return Kind.LITERAL, text.lower()
    star, name, optional = found.groups()
    if (star or optional) and not last:
        raise RouteError(f"route {template!r}: {text!r} must be the last segment")
    return (Kind.CATCH_ALL if star else Kind.OPTIONAL if optional else Kind.PARAMETER), name
