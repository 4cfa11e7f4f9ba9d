"""Stand-in for the way of a log line through the host to the console; never compared with the real one.

The real host drops what an app logs without a running invocation: while it is imported, and after a streamed function has
returned. So does this handler, so that tests see what would be lost.
"""

import logging
import sys
from collections.abc import Callable, Mapping
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
        return f"[{time}] [{_NAMES.get(record.levelno, record.levelname)}] {record.name}: {super().format(record)}"


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

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_SYSTEM):
            return
        invocation = self._current()
        lowest = None if invocation is None else self._running.get(invocation)
        if lowest is not None and record.levelno >= lowest:
            super().emit(record)


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
