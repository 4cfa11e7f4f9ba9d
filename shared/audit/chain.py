"""The chain through the records of one process (threat T23): what is removed, altered or moved breaks it.

A sink seals a line at the moment it is written, in the order of the lines, so that a record that could not be written
leaves no hole. The chain shows that somebody changed the past; it has no key, so whoever can rewrite the whole file can
rewrite the chain: keep a copy of the latest hash elsewhere where that matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

GENESIS: Final = "0" * 64
"""`previous` of the first record (ruling "`file:PATH`")."""


class _Link(msgspec.Struct, frozen=True):
    """What the chain needs of a record."""

    process: str
    seq: int
    previous: str


_DECODER: Final = msgspec.json.Decoder(_Link)


def digest(line: bytes) -> str:
    """Return what the next record calls `previous`: SHA-256, hex, of `line` without its line feed."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


class Chain:
    """Where the chain stands: the last record's number and hash."""

    __slots__ = ("previous", "seq")

    def __init__(self, *, seq: int = 0, previous: str = GENESIS) -> None:
        self.seq = seq
        self.previous = previous

    def seal(self, line: bytes) -> bytes:
        """Return `line`, a JSON object and a line feed, with `seq` and `previous` added; move on to it."""
        self.seq += 1
        body = b'%b,"seq":%d,"previous":"%b"}' % (line[:-2], self.seq, self.previous.encode())
        self.previous = hashlib.sha256(body).hexdigest()
        return body + b"\n"

    def mark(self) -> tuple[int, str]:
        """Return where the chain stands, for `reset`."""
        return self.seq, self.previous

    def reset(self, mark: tuple[int, str]) -> None:
        """Go back to `mark`: what was sealed since is not on disk."""
        self.seq, self.previous = mark


def verify(lines: Iterable[bytes], *, previous: str = GENESIS) -> list[str]:
    """Return what is wrong with the chain through `lines`, in words with line numbers; an empty list when it holds.

    `lines` is one file, or rotated files in order of time, read as bytes. `previous` is the hash that the first record
    must name where an older part was put away. The last record has no successor that vouches for it.
    """
    problems: list[str] = []
    process: str | None = None
    seq = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            problems.append(f"line {number}: is cut short")
        record = _record(line)
        if record is None:
            problems.append(f"line {number}: is no audit record")
        else:
            if record.previous != previous:
                problems.append(f"line {number}: does not follow the record before it")
            # A process that appends to an older file starts its own numbers at 1 and continues the hashes.
            expected = seq + 1 if record.process == process else 1
            if record.seq != expected and (number > 1 or previous == GENESIS):
                problems.append(f"line {number}: has number {record.seq} where {expected} was due")
            process, seq = record.process, record.seq
        previous = digest(line)
    return problems


def _record(line: bytes) -> _Link | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
