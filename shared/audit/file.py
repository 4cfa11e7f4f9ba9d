"""One locked, chained file of audit records (ruling "`file:PATH`"). Blocking: only the sink's own thread calls it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shared.audit.chain import Chain, digest

MAX_FILES: Final = 100
"""PATH, PATH.1 and so on up to this many processes beside each other."""
SWEEP: Final = 16 * 1024 * 1024
"""Bytes at the end of an older file that are searched for decisions without an outcome."""
_BLOCK: Final = 64 * 1024


class _Seen(msgspec.Struct, frozen=True):
    """What the sweep and the start of a chain read of an older record."""

    event: str
    request_id: str
    process: str
    seq: int
    decision: str | None = None
    policy: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Seen)


class ChainedFile:
    """Appends sealed lines to `path`; opens it at the first append, and again when it was rotated or removed.

    `unknown` makes the outcome record for a request id, decided by a policy, that an older process left without one.
    """

    def __init__(self, path: Path, *, process: str, unknown: Callable[[str, str | None], bytes]) -> None:
        self._path: Final = path
        self._process: Final = process
        self._unknown: Final = unknown
        self._chain: Final = Chain()
        self._fd: int | None = None
        self._at: Path = path
        self._torn: int | None = None
        """The length to cut the file back to before anything else is written; None while it ends in a full line."""
        self._unswept: int = 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Seal and write `lines`, all or none; return when they are on disk. Raise OSError."""
        fd = self._current()
        if self._torn is not None:
            os.ftruncate(fd, self._torn)
            self._torn = None
        mark, size = self._chain.mark(), os.fstat(fd).st_size
        try:
            _write(fd, b"".join([self._chain.seal(line) for line in lines]))
            _sync(fd)
        except OSError:
            # Whatever part of the lines arrived, nobody acts on them: the file goes back to its last full line.
            self._chain.reset(mark)
            self._torn = size
            try:
                os.ftruncate(fd, size)
                self._torn = None
            except OSError:
                pass  # stays torn; the next append starts with the repair
            raise
        if os.fstat(fd).st_nlink == 0:
            self.close()
            raise FileNotFoundError(errno.ENOENT, "audit file removed while it was written")

    def sweep(self) -> None:
        """Give an outcome to each allowed call that an older process of this file left without one (threat R01)."""
        end, self._unswept = self._unswept, 0
        if not end or self._fd is None:
            return
        start = max(0, end - SWEEP)
        data = _read(self._fd, start, end)
        open_calls: dict[str, str | None] = {}
        for line in data.split(b"\n"):
            seen = _seen(line)
            if seen is None or seen.process == self._process:
                continue
            if seen.event == "outcome":
                open_calls.pop(seen.request_id, None)
            elif seen.decision == "allow":
                open_calls[seen.request_id] = seen.policy
        if open_calls:
            self.append([self._unknown(request_id, policy) for request_id, policy in open_calls.items()])

    def close(self) -> None:
        """Close the file and give up its lock. Idempotent."""
        if self._fd is not None:
            fd, self._fd, self._torn = self._fd, None, None
            os.close(fd)

    def _current(self) -> int:
        if self._fd is not None and not _same(self._fd, self._at):
            self.close()  # rotated or removed: the chain goes on in a new file
        if self._fd is None:
            fd, self._at = _acquire(self._path)
            try:
                self._continue(fd)
            except OSError:
                os.close(fd)
                raise
            self._fd = fd
        return self._fd

    def _continue(self, fd: int) -> None:
        """Cut off what a crash left of a line, and take up the chain of the file's last record."""
        size = os.fstat(fd).st_size
        end, last = _last_line(fd, size)
        if end < size:
            os.ftruncate(fd, end)
            _sync(fd)
        if last is None:
            return  # a new file; after a rotation the chain goes on from memory
        seen = _seen(last)
        own = seen is not None and seen.process == self._process
        self._chain.reset((seen.seq if own and seen is not None else 0, digest(last)))
        if not own:
            self._unswept = end


def _acquire(path: Path) -> tuple[int, Path]:
    """Open and lock the first of PATH, PATH.1, … that no other process holds."""
    for number in range(MAX_FILES):
        candidate = path if number == 0 else path.with_name(f"{path.name}.{number}")
        new = not candidate.exists()
        fd = os.open(candidate, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # Rotated between open and lock: then somebody else may hold what lies there now.
            if _lock(fd) and _same(fd, candidate):
                if new:
                    _sync_folder(candidate.parent)
                return fd, candidate
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise OSError(errno.EBUSY, "every audit file is held by another process")


def _lock(fd: int) -> bool:
    import fcntl  # noqa: PLC0415 - not every system has it, and importing the gate must not depend on it

    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "audit file is no regular file")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


_sync: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, as its content will be."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(fd: int, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    while start < end and (part := os.pread(fd, min(end - start, SWEEP), start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _last_line(fd: int, size: int) -> tuple[int, bytes | None]:
    """Return where the last full line ends, its line feed included, and the line itself; (0, None) when there is none."""
    tail, start = b"", size
    while start > 0 and tail.find(b"\n", 0, -1) < 0:
        start, before = max(0, start - _BLOCK), start
        tail = _read(fd, start, before) + tail
    end = tail.rfind(b"\n")
    if end < 0:
        return 0, None
    return start + end + 1, tail[tail.rfind(b"\n", 0, end) + 1 : end]


def _seen(line: bytes) -> _Seen | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
