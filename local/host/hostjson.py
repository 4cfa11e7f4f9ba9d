"""Stand-in for the host's reading of ``host.json``; written from its documentation, never compared with the real one.

Only the few settings that the local host honours are read.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS: Mapping[str, int] = {
    "trace": logging.NOTSET,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
DEFAULT_FUNCTION_TIMEOUT = 1800.0
"""Seconds: the default of every plan but Consumption."""

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2}))?")


class HostJsonError(Exception):
    """``host.json`` cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTask:
    """Settings of Durable Functions: the task hub's name, and how many functions of each kind run at once."""

    hub: str = "TestHubName"
    activities: int = 20
    orchestrators: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJson:
    """Settings of the host: route prefix without slashes, seconds that a function may run, log levels by category."""

    route_prefix: str = "api"
    function_timeout: float | None = DEFAULT_FUNCTION_TIMEOUT
    levels: Mapping[str, int]
    durable: DurableTask = DurableTask()

    def level_of(self, function: str) -> int:
        """Return the lowest level that is printed of what a function logs: the longest matching category decides."""
        category = f"function.{function}.user".lower()
        matching = [name for name in self.levels if name != "default" and category.startswith(name)]
        return self.levels[max(matching, key=len)] if matching else self.levels.get("default", logging.INFO)


def load(path: Path) -> HostJson:
    """Read ``host.json``; an absent file means defaults. Raises HostJsonError."""
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return HostJson(levels={})
    except (OSError, ValueError) as error:
        raise HostJsonError(f"host.json cannot be read: {error}") from error
    prefix = _at(document, "extensions", "http", "routePrefix")
    if prefix is None:
        prefix = "api"
    if not isinstance(prefix, str):
        raise HostJsonError("host.json: extensions.http.routePrefix is not a string")
    return HostJson(
        route_prefix=prefix.strip("/"),
        function_timeout=_seconds(_at(document, "functionTimeout")),
        levels=_levels(_at(document, "logging", "logLevel")),
        durable=_durable(_at(document, "extensions", "durableTask")),
    )


def _at(document: Any, *keys: str) -> Any:
    for key in keys:
        if document is None:
            return None
        if not isinstance(document, dict):
            raise HostJsonError(f"host.json: what holds {key} is not an object")
        document = document.get(key)
    return document


def _durable(value: object) -> DurableTask:
    default = DurableTask()
    hub = _at(value, "hubName") or default.hub
    states = _at(value, "overridableExistingInstanceStates") or "NonRunningStates"
    activities = _at(value, "maxConcurrentActivityFunctions") or default.activities
    orchestrators = _at(value, "maxConcurrentOrchestratorFunctions") or default.orchestrators
    where = "host.json: extensions.durableTask"
    if not isinstance(hub, str):
        raise HostJsonError(f"{where}.hubName is not a string")
    if states != "NonRunningStates":
        raise HostJsonError(
            f"{where}.overridableExistingInstanceStates: the local host knows NonRunningStates alone"
        )
    if not (
        isinstance(activities, int) and isinstance(orchestrators, int) and min(activities, orchestrators) > 0
    ):
        raise HostJsonError(f"{where}: how many functions run at once is a number above 0")
    return DurableTask(hub=hub, activities=activities, orchestrators=orchestrators)


def _seconds(value: object) -> float | None:
    if value is None:
        return DEFAULT_FUNCTION_TIMEOUT
    if value == "-1":
        return None
    found = _TIMESPAN.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise HostJsonError(f"host.json: functionTimeout {value!r} is not hh:mm:ss or -1")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _levels(value: object) -> Mapping[str, int]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HostJsonError("host.json: logging.logLevel is not an object")
    levels: dict[str, int] = {}
    for category, name in value.items():
        level = LEVELS.get(name.lower()) if isinstance(name, str) else None
        if level is None:
            raise HostJsonError(f"host.json: logging.logLevel.{category} {name!r} is no log level")
        levels[category.lower()] = level
    return levels
