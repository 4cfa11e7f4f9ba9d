"""The audit's files, read line by line: what cannot be read and where a chain is broken is told, and never left out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import msgspec

from shared.audit.chain import GENESIS, digest
from shared.cli.metering import Record

STDIN: Final = "-"
MAX_LINE: Final = 64 * 1024
"""Bytes; three times what the longest record can have."""
SHOWN: Final = 10
"""Faults of one file that are told one by one."""
_INTERVAL: Final = 0.2
"""Seconds between two looks at the progress."""
_DECODER: Final = msgspec.json.Decoder(Record)


class Reader:
    """Reads one file after the other, and remembers whether anything was wrong."""

    def __init__(self, take: Callable[[Record], None], out: TextIO) -> None:
        self._take: Final = take
        self._out: Final = out
        self._files: Final[set[tuple[int, int]]] = set()
        self.faulty = False

    def read(self, name: str) -> None:
        """Read the file `name`, `-` for standard input. What cannot be read is told and left out."""
        faults = 0
        try:
            with _open(name) as file:
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) in self._files:
                    self._tell(f"note: {name} was given twice; it is counted once")
                    return
                self._files.add((status.st_dev, status.st_ino))
                with _Progress(name, status.st_size, self._out) as progress:
                    chain = _Chain()
                    for number, line in enumerate(_lines(file), 1):
                        progress.add(len(line))
                        fault = self._line(line, chain)
                        if fault is not None:
                            faults += 1
                            if faults <= SHOWN:
                                progress.clear()
                                self._tell(f"{name}, line {number}: {fault}")
        except (OSError, ValueError) as exc:  # ValueError: a path with a null character
            self.faulty = True
            self._tell(f"cannot read {name}: {getattr(exc, 'strerror', None) or exc}")
        if faults:
            self.faulty = True
        if faults > SHOWN:
            self._tell(f"{name}: and {faults - SHOWN:,} more lines with faults")

    def _line(self, line: bytes, chain: _Chain) -> str | None:
        """Count what `line` holds; return what is wrong with it."""
        try:
            record = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            chain.broken(line)
            return "is no audit record" if line.endswith(b"\n") else "is no audit record, or is cut short"
        self._take(record)
        # It counts all the same: what it says may be true, and it is told that something is missing.
        return None if chain.follows(record, line) else "does not follow the record before it"

    def _tell(self, text: str) -> None:
        print(f"groupgate usage: {text}", file=self._out)


class _Chain:
    """The chain through one file.

    A file of the gate is one chain from line to line, whoever wrote them. In lines that were taken from the platform's
    logs, in order of time, those of several processes are mixed, and each has its own. The first line may be the middle
    of a chain, whose older part lies elsewhere.
    """

    def __init__(self) -> None:
        self._before: str | None = None
        self._ends: Final[dict[str, str]] = {}

    def follows(self, record: Record, line: bytes) -> bool:
        """Say whether the record continues what was read; go on from it."""
        own = self._ends.get(record.process)
        first = self._before is None or (own is None and record.seq == 1 and record.previous == GENESIS)
        held = first or record.previous in (self._before, own)
        self._before = self._ends[record.process] = digest(line)
        return held

    def broken(self, line: bytes) -> None:
        """Go on from a line that is no record: the next one names its hash all the same."""
        self._before = digest(line)


class _Progress(AbstractContextManager["_Progress"]):
    """Tells on a terminal how much of a file was read; nothing elsewhere, nothing of what is read at once."""

    def __init__(self, name: str, size: int, out: TextIO) -> None:
        self._name: Final = name
        self._size: Final = size
        self._out: Final = out
        self._on: Final = out.isatty()
        self._read = 0
        self._due = time.monotonic() + _INTERVAL
        self._shown = False

    def add(self, count: int) -> None:
        """Note `count` more bytes."""
        self._read += count
        if self._on and time.monotonic() >= self._due:
            self._due = time.monotonic() + _INTERVAL
            self._shown = True
            of = f" of {self._size / 1e6:,.0f}" if self._size else ""
            print(f"\r{self._name}: {self._read / 1e6:,.0f}{of} MB", end="", file=self._out, flush=True)

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._shown:
            self._shown = False
            print("\r\x1b[K", end="", file=self._out, flush=True)

    def __exit__(self, *_: object) -> None:
        self.clear()


def _open(name: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each line; an empty one for a line that is longer than any record, which is not kept in memory."""
    while line := file.readline(MAX_LINE):
        if len(line) < MAX_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
        yield b"\n"
