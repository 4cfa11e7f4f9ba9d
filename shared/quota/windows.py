"""Counters in this process: bounded, on the monotonic clock, and nothing waits between looking and taking (D05, F33)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from shared.model import Reason
from shared.ports import Clock
from shared.problem import Undecidable
from shared.quota.reservation import Counter, Held, Level, Want, Where, refusal

MOST: Final = 100_000
"""Windows that are kept. Beyond that a caller without one is refused: to forget somebody's would let them spend twice."""

_SWEPT: Final = 2
"""Ended windows that every new one clears away, so that there are never many of them."""


class _Window:
    __slots__ = ("ends", "key", "spent")

    def __init__(self, key: bytes, ends: float) -> None:
        self.key: Final = key
        self.ends: Final = ends
        """On the monotonic clock."""
        self.spent = 0


class _Table:
    """The windows of one counter and period: those that began first end first, so ended ones are found at the front."""

    __slots__ = ("_begun", "_by_key", "period")

    def __init__(self, period: int) -> None:
        self.period: Final = period
        self._by_key: Final[dict[bytes, _Window]] = {}
        self._begun: Final[deque[_Window]] = deque()

    def __len__(self) -> int:
        return len(self._begun)

    def live(self, key: bytes, now: float) -> _Window | None:
        window = self._by_key.get(key)
        return None if window is None or window.ends <= now else window

    def begin(self, key: bytes, now: float) -> _Window:
        self.sweep(now, most=_SWEPT)
        window = self._by_key[key] = _Window(key, now + self.period)
        self._begun.append(window)
        return window

    def sweep(self, now: float, *, most: int) -> None:
        begun = self._begun
        while most and begun and begun[0].ends <= now:
            ended = begun.popleft()
            if self._by_key[ended.key] is ended:
                del self._by_key[ended.key]
            most -= 1


class Windows:
    """Windows of fixed length, each begun by the first call that takes of it."""

    def __init__(self, clock: Clock, *, most: int = MOST) -> None:
        self._clock: Final = clock
        self._most: Final = most
        self._tables: Final[dict[tuple[Counter, int], _Table]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def take(self, key: bytes, wants: Sequence[Want], *, counted: Where) -> Held:
        """Take all of `wants` from the windows of `key`; nothing where one does not fit.

        Raise problem.RateLimited, or problem.Undecidable (limits-unavailable) when too many windows are open.
        """
        now = self._clock.monotonic()
        tables = [self._table(want) for want in wants]
        windows = [table.live(key, now) for table in tables]
        before = [
            Level(want, 0, want.period) if window is None else Level(want, window.spent, window.ends - now)
            for want, window in zip(wants, windows, strict=True)
        ]
        if not all(level.fits for level in before):
            raise refusal(before)
        if None in windows:
            self._make_room(windows.count(None), now)
        taken = [window or table.begin(key, now) for window, table in zip(windows, tables, strict=True)]
        levels = []
        for window, level in zip(taken, before, strict=True):
            window.spent += level.want.number
            levels.append(Level(level.want, window.spent, level.left))

        async def charge(deltas: Sequence[int]) -> None:
            now = self._clock.monotonic()
            for window, table, delta in zip(taken, tables, deltas, strict=True):
                # What a window that has ended is given back concerns nobody: the next one is another object. What it is owed
                # begins that one beyond the bound too: no more than the calls in flight do so.
                if delta > 0 and window.ends <= now:
                    (table.live(key, now) or table.begin(key, now)).spent += delta
                else:
                    window.spent += delta

        return Held(levels, counted=counted, charge=charge)

    def _table(self, want: Want) -> _Table:
        # By the period too: when a policy changes it, a new window begins at once.
        name = (want.counter, want.period)
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = _Table(want.period)
        return table

    def _make_room(self, needed: int, now: float) -> None:
        if len(self) + needed <= self._most:
            return
        for table in self._tables.values():
            table.sweep(now, most=len(table))
        if len(self) + needed > self._most:
            raise Undecidable(Reason.LIMITS_UNAVAILABLE)
