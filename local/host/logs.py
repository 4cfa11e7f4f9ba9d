"""Stand-in for the way of a log line through the host to the console; never compared with the real one.

The real host drops what an app logs without a running invocation: while it is imported, and after a streamed function has
returned. So does this handler, so that tests see what would be lost.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TextIO, override

_NAMES = {
    logging.DEBUG: "Debug",
    logging.INFO: "Information",
    logging.WARNING: "Warning",
    logging.ERROR: "Error",
    logging.CRITICAL: "Critical",
}
# The worker's own log lines: they go to Microsoft's telemetry, never to the console.
_SYSTEM = ("azure.functions", "azure_functions_runtime")

host_logger = logging.getLogger("local.host")


class ConsoleFormatter(logging.Formatter):
    """Writes one line ``[<time>] [<level>] <logger>: <message>``; the message is left as it is."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        plain = record.exc_info is None and record.stack_info is None
        message = record.getMessage() if plain else super().format(record)
        return f"[{time}] [{_NAMES.get(record.levelno, record.levelname)}] {record.name}: {message}"


class InvocationHandler(logging.StreamHandler[TextIO]):
    """Prints records of running invocations to stderr and drops every other.

    ``running`` maps the id of each running invocation to the lowest level that is printed of it; ``current`` returns the
    invocation id of the calling context, if any.
    """

    def __init__(self, running: Mapping[str, int], current: Callable[[], str | None]) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(ConsoleFormatter())
        self._running = running
        self._current = current
        self._lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_SYSTEM):
            return
        invocation = self._current()
        lowest = None if invocation is None else self._running.get(invocation)
        if lowest is None or record.levelno < lowest:
            return
        self._lines.append(self.format(record) + self.terminator)
        if len(self._lines) == 1:
            # One write for all that is logged in one turn of the loop: the real host takes log lines beside the calls too.
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    @override
    def flush(self) -> None:
        """Write what waits; also called by the interpreter's own end."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
                self.stream.flush()


def attach(handler: InvocationHandler, *, level: int) -> None:
    """Make ``handler`` the only one of the root logger, as the worker does before it imports the app."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def attach_host_logger() -> None:
    """Print the host's own messages to stderr, whether or not an invocation is running."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter())
    host_logger.handlers[:] = [handler]
    host_logger.setLevel(logging.INFO)
    host_logger.propagate = False
