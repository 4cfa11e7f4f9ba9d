"""How long a collection waits for services that ask it to: throttling is part of reading a large tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LONGEST: Final = 300.0
"""Seconds of one wait; a service that asks for more is not waited for."""
ALL: Final = 1_800.0
"""Seconds of all waits of one collection together."""


class Patience:
    """Counts what was waited."""

    def __init__(self, sleep: Callable[[float], None], tell: Callable[[str], None]) -> None:
        """Take what waits some seconds, and what tells people why nothing seems to happen."""
        self._sleep: Final = sleep
        self._tell: Final = tell
        self._left = ALL

    def wait(self, seconds: float, why: str) -> bool:
        """Wait and return True; return False at once where that is too long."""
        if seconds > min(LONGEST, self._left):
            return False
        self._left -= seconds
        self._tell(f"{why}: trying again in {seconds:.0f} s")
        self._sleep(seconds)
        return True
