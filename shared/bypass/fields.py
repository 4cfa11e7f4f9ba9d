"""Reading a snapshot's JSON: each value is what it must be, or the snapshot is broken at a place that is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_ENVELOPE: Final = frozenset({"id", "name", "type"})
"""What Azure Resource Manager says of every object, beside its properties."""


class SnapshotFault(Exception):
    """The snapshot cannot be judged: at `place` (`roleAssignments[3].scope`) it says something that it must not."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place: Final = place
        self.message: Final = message


class Fields:
    """One JSON object with its place; what Azure nests in `properties` is found as if it stood in the object itself.

    Azure's REST answers nest, `az` flattens: a snapshot may be put together from either.
    """

    __slots__ = ("_inner", "_outer", "place")

    def __init__(self, value: object, place: str) -> None:
        """Take `value`, found at `place`; raise SnapshotFault when it is no object."""
        self.place: Final = place
        self._outer: Final = mapping(value, place)
        properties = self._outer.get("properties")
        self._inner: Final = self._outer if properties is None else mapping(properties, f"{place}.properties")

    def get(self, name: str) -> object:
        """Return what `name` holds, None for nothing."""
        if name in self._inner and name not in _ENVELOPE:
            return self._inner[name]
        return self._outer.get(name)

    def has(self, name: str) -> bool:
        """Say whether there is a `name`, even if it holds nothing."""
        return name in self._inner or name in self._outer

    def fault(self, name: str, message: str) -> SnapshotFault:
        """Return the fault that `name` here has."""
        return SnapshotFault(f"{self.place}.{name}", message)

    def maybe(self, name: str) -> str | None:
        """Return the text that `name` holds, None for nothing, an empty text or one of blanks alone."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.fault(name, "is not text")
        return value if value.strip() else None

    def text(self, name: str) -> str:
        """Return the text that `name` holds; raise SnapshotFault when it holds none, or one with blanks around it."""
        value = self.maybe(name)
        if value is None:
            raise self.fault(name, "is missing")
        return unpadded(value, f"{self.place}.{name}")

    def flag(self, name: str) -> bool:
        """Return whether `name` holds true; nothing is false."""
        value = self.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.fault(name, "is neither true nor false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts that `name` lists; nothing is an empty list."""
        value = self.get(name)
        return () if value is None else texts(value, f"{self.place}.{name}")

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects that `name` lists; nothing is an empty list."""
        value = self.get(name)
        if value is not None:
            yield from objects(value, f"{self.place}.{name}")


def mapping(value: object, place: str) -> Mapping[str, object]:
    """Return `value`, a JSON object; raise SnapshotFault for anything else."""
    if not isinstance(value, dict):
        raise SnapshotFault(place, "is not an object")
    return value


def listing(value: object, place: str) -> list[object]:
    """Return `value`, a JSON list; raise SnapshotFault for anything else."""
    if isinstance(value, dict) and "value" in value:
        raise SnapshotFault(
            place, "is a page of Azure's answer; a plain list is wanted, the `value` of every page"
        )
    if not isinstance(value, list):
        raise SnapshotFault(place, "is not a list")
    return value


def objects(value: object, place: str) -> Iterator[Fields]:
    """Yield the objects that the list `value` holds."""
    for at, item in enumerate(listing(value, place)):
        yield Fields(item, f"{place}[{at}]")


def texts(value: object, place: str) -> tuple[str, ...]:
    """Return the texts that the list `value` holds, none of them empty or with blanks around it."""
    return tuple(unpadded(item, f"{place}[{at}]") for at, item in enumerate(listing(value, place)))


def unpadded(value: object, place: str) -> str:
    """Return `value`, a text; raise SnapshotFault for what would match nothing, or could not be printed.

    That is blanks around it, which nobody would see, and halves of surrogate pairs.
    """
    if not isinstance(value, str) or not value:
        raise SnapshotFault(place, "is not text")
    if value != value.strip():
        raise SnapshotFault(place, "has blanks around it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SnapshotFault(place, "has half of a character in it") from None
    return value
