"""Where audit lines go: the platform's logs, or a file that has them before the model is called."""

from __future__ import annotations

import asyncio
import atexit
import errno
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from shared.audit.chain import Chain
from shared.audit.file import ChainedFile
from shared.audit.record import unknown_outcome
from shared.ports import AuditSink, Clock

DEADLINE: Final = 0.2
"""Seconds that a request waits for its record (threats, section 5.2)."""
QUEUE: Final = 4096
"""Lines that may wait for the disk; more is a refusal at once (threat R02)."""
BATCH: Final = 512
"""Lines that share one write to disk at most."""
FLUSH: Final = 2.0
"""Seconds that the end of the process waits for lines still queued."""


def make_sink(setting: str, clock: Clock, *, instance: str, process: str, root: Path) -> AuditSink:
    """Return the sink that `GROUPGATE_AUDIT` names: `log` or `file:PATH`; a relative PATH starts at `root`.

    `instance` and `process` are those of the Audit that writes to it. Nothing is opened before the first write.
    """
    if setting == "log":
        return LogSink()
    scheme, _, path = setting.partition(":")
    if scheme != "file" or not path:
        raise ValueError("audit must be log or file:PATH")

    def unknown(request_id: str, policy: str | None) -> bytes:
        return unknown_outcome(
            request_id, policy=policy, time=clock.time(), instance=instance, process=process
        )

    return FileSink(ChainedFile(root / path, process=process, unknown=unknown))


class LogSink:
    """Hands each line to the platform's logs: best effort, and only while an invocation runs."""

    required: Final = False
    outlives_invocation: Final = False

    def __init__(self) -> None:
        self._chain: Final = Chain()
        self._logger: Final = logging.getLogger("groupgate.audit")

    async def write(self, line: bytes) -> None:
        """Log `line` without its line feed, at INFO whatever the root's level is."""
        logger = self._logger
        if not logger.isEnabledFor(logging.INFO):
            logger.setLevel(logging.INFO)
        logger.handle(_LogLine(self._chain.seal(line)[:-1].decode("ascii")))


class _LogLine(logging.LogRecord):
    """A log record that knows its message and time; the rest is the same for every line.

    The base class asks anew for process, thread, task and calling line, none of which says anything here: that would be
    most of what an audit line costs.
    """

    _SAME: Final = vars(logging.LogRecord("groupgate.audit", logging.INFO, "audit", 0, "", None, None))

    def __init__(self, message: str) -> None:
        self.__dict__.update(self._SAME)
        self.msg = message
        self.created = created = time.time()
        self.msecs = created % 1 * 1000


class Store(Protocol):
    """What the writing thread drives: see ChainedFile."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Store `lines` durably, all or none; raise OSError."""

    def sweep(self) -> None:
        """Finish what an older process left unfinished; raise OSError."""

    def close(self) -> None:
        """Let go of what is open."""


class FileSink:
    """Stores each line durably before `write` returns, through one thread that shares each sync among all who wait."""

    required: Final = True
    outlives_invocation: Final = True

    def __init__(self, store: Store, *, deadline: float = DEADLINE, queue: int = QUEUE) -> None:
        self._store: Final = store
        self._deadline: Final = deadline
        self._limit: Final = queue
        self._queue: Final[SimpleQueue[_Waiting | None]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def write(self, line: bytes) -> None:
        """Return when `line` is on disk; raise OSError when it cannot be, TimeoutError when it takes too long.

        After a TimeoutError the line may still arrive: then there is a record of a decision that was not acted on.
        """
        if self._queue.qsize() >= self._limit:
            raise OSError(errno.ENOBUFS, "too many audit records wait for the disk")
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Waiting(line, loop, stored))
        if self._thread is None:
            self._start()
        expiry = loop.call_later(self._deadline, _expire, stored)
        try:
            await stored
        finally:
            expiry.cancel()

    def close(self) -> None:
        """Write what is queued, within FLUSH seconds, and close the file. The sink opens it again when it must."""
        thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.close)
            self._queue.put(None)
            thread.join(FLUSH)

    def _start(self) -> None:
        # A daemon: a disk that hangs must not keep the worker from ending. What is queued at the end is flushed by close.
        self._thread = threading.Thread(target=self._run, name="groupgate-audit", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._take()
            if batch:
                error = _attempt(partial(self._store.append, [waiting.line for waiting in batch]))
                _resolve(batch, error)
                if error is None:
                    # After the first answer, so that no request waits for it; a failure here leaves the calls open.
                    _attempt(self._store.sweep)
        self._store.close()

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Return what waits, blocking for the first line, and whether to go on after it."""
        batch: list[_Waiting] = []
        try:
            while len(batch) < BATCH:
                waiting = self._queue.get(block=not batch)
                if waiting is None:
                    return batch, False
                batch.append(waiting)
        except Empty:
            pass
        return batch, True


class _Waiting:
    """A line on its way to the disk, and who waits for it."""

    __slots__ = ("line", "loop", "stored")

    def __init__(self, line: bytes, loop: asyncio.AbstractEventLoop, stored: asyncio.Future[None]) -> None:
        self.line: Final = line
        self.loop: Final = loop
        self.stored: Final = stored


def _attempt(step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except Exception as exc:  # noqa: BLE001 - the thread survives whatever a store raises; who waits is told
        return exc
    return None


def _resolve(batch: list[_Waiting], error: Exception | None) -> None:
    """Tell everybody in `batch`, with one wake-up for each event loop."""
    loops = {waiting.loop for waiting in batch}
    for loop in loops:
        mine = [waiting.stored for waiting in batch if waiting.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, mine, error)
        except RuntimeError:
            continue  # the loop is closed: nobody waits any more


def _settle(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            # One of its own for each: a raised exception collects the traceback of who awaits it.
            future.set_exception(
                OSError(*error.args)
                if isinstance(error, OSError)
                else OSError(errno.EIO, type(error).__name__)
            )


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError("the audit record is not on disk in time"))
