"""What differs between the two ways of hosting, by nature and with its reason; everything else must be alike.

The tests of this folder run in both, but for what lies wholly behind the way of hosting: starting hosts is what takes time
here. A test that expects something else of one of them takes it from here.
"""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

Mode = Literal["classic", "stream"]
MODES: tuple[Mode, ...] = ("classic", "stream")


def only(mode: Mode) -> pytest.MarkDecorator:
    """Mark what is the same however the gate is hosted: whom it asks, what it keeps, what it does when they fail."""
    return pytest.mark.parametrize("mode", [mode], indirect=True, scope="module")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One expectation, for each way of hosting."""

    classic: Any
    stream: Any
    why: str

    def of(self, mode: Mode) -> Any:
        """Give what is expected in `mode`."""
        return self.classic if mode == "classic" else self.stream


CHUNKED_BODY = Difference(
    classic=411,
    stream=200,
    why="The Functions host copies only a body of stated length to a classic worker: a chunked one arrives empty.",
)
CUT_ANSWER = Difference(
    classic=502,
    stream="aborted",
    why="A streamed answer's status has gone out before the model is cut off; all that is left is to end the "
    "connection without a proper end. A classic answer is whole before its status is sent.",
)
LATE_TIMEOUT = Difference(
    classic=504,
    stream="aborted",
    why="As for an answer that is cut: the deadline passes while the body is under way.",
)
CUT_EVENTS = Difference(
    classic=502,
    stream="event: error",
    why="Clients of models read events: where the answer is cut under way they are told so in a last event, and the "
    "connection ends well. A classic answer is whole before its status is sent.",
)
LATE_EVENTS = Difference(
    classic=504,
    stream="event: error",
    why="As for events that are cut: the deadline passes while they are under way.",
)
CALLER_GONE = Difference(
    classic="ok",
    stream="client-closed",
    why="The host lets a classic function run to its end when the caller leaves, and tells it nothing; a streaming "
    "function sees its connection close.",
)
OUTCOME_IN_LOG = Difference(
    classic=True,
    stream=False,
    why="A streamed answer ends after its invocation, and the host drops log lines that no invocation has made: with "
    "GROUPGATE_AUDIT=log the outcome is not recorded, and a warning says so.",
)
REPEATED_HEADER = Difference(
    classic="a,b",
    stream="a, b",
    why="The host joins repeated headers for a classic worker with a bare comma; streamed ones arrive separately and "
    "are joined as RFC 9110 writes lists.",
)
UNKNOWN_METHOD = Difference(
    classic="method-not-allowed",
    stream="",
    why="The worker's own HTTP server, which streaming adds, lists the eight methods that it hands on and answers every "
    "other with 405 by itself.",
)
LONG_HEAD = Difference(
    classic={401},
    stream={400, 401},
    why="The worker's own HTTP server, which streaming adds, answers 400 by itself to a head (request line and headers "
    "together) that has passed 64 KiB without being whole, which depends on how it arrives. In classic the gate always "
    "sees the header and refuses it by its own cap.",
)
FIRST_PIECE = Difference(
    classic=False,
    stream=True,
    why="A classic function returns one whole answer; a streaming one sends the first bytes before the last are there.",
)
