"""Switches that kill the local host at a chosen step; the real host has no such thing."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

STEPS: Final = ("start", "episode", "activity", "activity-result", "event", "timer")
"""What can be killed at.

`start`, `event`, `activity-result`, `timer`: before and after it is stored. `episode`: before the orchestrator runs, and after
what it decided is stored. `activity`: before its function runs, and after it ran, its result not yet stored.
"""
EXIT_STATUS: Final = 137
"""Of a process that was killed, as a shell tells it."""


class Crash(BaseException):
    """The host is dead at this point: nothing but a test may catch it."""


@dataclass(slots=True, kw_only=True)
class Switch:
    """Kill `before` or `after` the `nth` time (from 1) that a step of STEPS is taken; `name` restricts it to one function."""

    at: str
    step: str
    name: str | None = None
    nth: int = 1

    def __post_init__(self) -> None:
        if self.at not in {"before", "after"} or self.step not in STEPS or self.nth < 1:
            raise ValueError("at: before or after; step: one of " + ", ".join(STEPS) + "; nth: from 1")


def die(switch: Switch) -> NoReturn:
    """End the process on the spot, as SIGKILL would."""
    del switch
    os._exit(EXIT_STATUS)


def fall(switch: Switch) -> NoReturn:
    """Raise Crash, for tests that drop the engine and open its storage again."""
    raise Crash(f"{switch.at} {switch.step}")


class Switches:
    """The switches that are armed; `act` is what one does when its time has come, and never returns."""

    def __init__(self, act: Callable[[Switch], NoReturn] = fall) -> None:
        self._act = act
        self._armed: list[Switch] = []

    def arm(self, switch: Switch) -> None:
        """Add a switch."""
        self._armed.append(switch)

    def disarm(self) -> None:
        """Forget all switches."""
        self._armed.clear()

    def reached(self, at: str, step: str, name: str) -> None:
        """Tell that the host is at a point; kills when a switch says so."""
        for switch in self._armed:
            if (switch.at, switch.step) == (at, step) and switch.name in {None, name}:
                switch.nth -= 1
                if switch.nth == 0:
                    self._act(switch)
