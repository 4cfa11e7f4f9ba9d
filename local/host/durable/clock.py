"""Stand-in for the time that Durable Functions goes by: the machine's, moved ahead on demand. The real one cannot be moved."""

import time
from collections.abc import Callable


class Clock:
    """Tells the time in whole microseconds since 1970; a `frozen` one stands still but for `advance`.

    Only what Durable does goes by it: timers, and the times in histories. The functions' own clocks stay where they are.
    """

    def __init__(self, source: Callable[[], float] = time.time, *, frozen: bool = False) -> None:
        self._source = source
        self._start = source()
        self.frozen = frozen
        self.ahead = 0
        """Microseconds by which it was moved."""

    def now(self) -> int:
        """Return the time."""
        base = self._start if self.frozen else self._source()
        return round(base * 1_000_000) + self.ahead

    def advance(self, seconds: float) -> None:
        """Move the time ahead. Raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError("time only goes ahead")
        self.ahead += round(seconds * 1_000_000)
