"""How far a collection is, on a stream that is not the report's: a bar for a terminal, now and then a line for a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from shared.bypass.visible import visible

_BAR: Final = 24
_DRAW: Final = 0.1
"""Seconds between two drawings on a terminal."""
_LINE: Final = 15.0
"""Seconds between two lines of a log."""


class Progress(Protocol):
    """Is told how far it is."""

    def at(self, what: str, *, done: int = 0, total: int | None = None) -> None:
        """Say what is being read, and how much of how much, as far as is known by now."""

    def note(self, what: str) -> None:
        """Say why nothing moves."""

    def close(self) -> None:
        """Say nothing more."""


class Silent:
    """A Progress that nobody looks at."""

    def at(self, what: str, *, done: int = 0, total: int | None = None) -> None:
        """Pass over it."""

    def note(self, what: str) -> None:
        """Pass over it."""

    def close(self) -> None:
        """Pass over it."""


class Bar:
    """A Progress on `stream`: drawn over itself on a terminal, else a line at each new thing and every 15 seconds."""

    def __init__(self, stream: TextIO, *, now: Callable[[], float] = time.monotonic) -> None:
        """Write nothing yet; `now` gives seconds of any origin."""
        self._stream: Final = stream
        self._now: Final = now
        self._terminal: Final = stream.isatty()
        self._what = ""
        self._next = 0.0
        self._drawn = False

    def at(self, what: str, *, done: int = 0, total: int | None = None) -> None:
        """Say what is being read, and how much of how much."""
        now = self._now()
        if what == self._what and now < self._next:
            return
        self._what, self._next = what, now + (_DRAW if self._terminal else _LINE)
        if self._terminal:
            self._draw(_bar(what, done, total))
        else:
            self._stream.write(f"{_words(what, done, total)}\n")
            self._stream.flush()

    def note(self, what: str) -> None:
        """Say why nothing moves: on a line of its own, which stays."""
        self._clear()
        self._stream.write(f"{visible(what)}\n")
        self._stream.flush()
        self._next = 0.0

    def close(self) -> None:
        """Leave a terminal as it was."""
        self._clear()
        self._stream.flush()

    def _draw(self, text: str) -> None:
        width = max(shutil.get_terminal_size().columns - 1, 1)
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()
        self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False


def _bar(what: str, done: int, total: int | None) -> str:
    if not total:
        return _words(what, done, total)
    filled = _BAR * min(done, total) // total
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {_words(what, done, total)}"


def _words(what: str, done: int, total: int | None) -> str:
    # What is read may be a group, whose name somebody chose.
    shown = visible(what)
    if total:
        return f"{shown}: {done:,} of {total:,}"
    return f"{shown}: {done:,}" if done else shown
