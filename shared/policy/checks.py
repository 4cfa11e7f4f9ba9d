"""What single texts of a policy must look like. Each check returns what is wrong, None for nothing. Pure."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from shared.ids import guid
from shared.places import PlaceError, parse, text_of

Check = Callable[[str], str | None]

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME: Final = re.compile(NAME)
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,8})([A-Za-z]+)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}
_CONTENT_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_SCOPE: Final = re.compile(r"(https|api)://[A-Za-z0-9._~:/-]{1,200}/\.default")
_PRIVILEGED: Final = re.compile(
    r"graph\.(microsoft|windows)|microsoftgraph|management\.|vault\.|storage\.|00000003-0000-0000-c000-000000000000|"
    r"00000002-0000-0000-c000-000000000000"
)
"""Resources whose tokens, in a scoring container, would be rights over the tenant (threat E11)."""
_APP_ROLE: Final = re.compile(r"[!-~]{1,120}")
_RATE: Final = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_WINDOWS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
INPUT_NAME: Final = "[A-Za-z0-9][A-Za-z0-9_]{0,63}"
_INPUT_NAME: Final = re.compile(INPUT_NAME)
JOB_LABEL: Final = "[!-~]([ -~]{0,253}[!-~])?"
_JOB_LABEL: Final = re.compile(JOB_LABEL)
_WORKSPACE_ID: Final = (
    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}"
)
_SUBSCRIPTION: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GROUP: Final = "[A-Za-z0-9_()-](?:[A-Za-z0-9_().-]{0,88}[A-Za-z0-9_()-])?"
WORKSPACE: Final = _WORKSPACE_ID.replace(".", "[.]").format(
    f"({_SUBSCRIPTION})", f"({_GROUP})", "([A-Za-z0-9][A-Za-z0-9_-]{0,32})"
)
_WORKSPACE: Final = re.compile(WORKSPACE)
_ANY_WORKSPACE: Final = re.compile(f"{WORKSPACE}/?", re.IGNORECASE | re.ASCII)
_PLACE: Final = re.compile(r"(https://[^/]*/[^/]*/|/subscriptions/.*?/paths/)(.*)", re.IGNORECASE | re.DOTALL)
_MOST_SHOWN: Final = 60


def show(text: str) -> str:
    """Return `text` quoted, short and free of control characters, as messages and places need it."""
    return json.dumps(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…", ensure_ascii=True)


def name(text: str) -> str | None:
    """Check the name of an endpoint, a rule or a deployment."""
    if _NAME.fullmatch(text):
        return None
    return "must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or a digit"


def object_id(text: str) -> str | None:
    """Check the id of a group, principal or client: a GUID in its canonical form, lower case with dashes."""
    if guid(text) == text:
        return None
    try:
        canonical = str(uuid.UUID(text)) if text.isascii() else None
    except ValueError:
        canonical = None
    if canonical:
        return f"must be written {canonical} (lower case, with dashes, nothing around it)"
    if not text.strip():
        return "is blank; give an id such as 6f1b2c3d-0000-4000-8000-000000000001"
    return "is no id; ids decide, not names: give one such as 6f1b2c3d-0000-4000-8000-000000000001"


def label(text: str) -> str | None:
    """Check a name for people (a group's): one short line of printable text."""
    return _one_line(text, most=100)


def help_text(text: str) -> str | None:
    """Check what a refused colleague is told: one line of printable text."""
    return _one_line(text.strip() or text, most=1000)


def app_role(text: str) -> str | None:
    """Check the value of an app role, which is compared as it stands."""
    if not _APP_ROLE.fullmatch(text):
        return "must be the value of an app role: 1 to 120 printable ASCII characters without spaces"
    if "*" in text:
        return "has a wildcard; app roles are compared as they stand: list each one"
    return None


def content_type(text: str) -> str | None:
    """Check a media type without parameters."""
    if _CONTENT_TYPE.fullmatch(text):
        return None
    return "must be a media type in lower case without parameters or wildcards, such as application/json"


def scope(text: str) -> str | None:
    """Check the scope of the token for the model's service."""
    if _SCOPE.fullmatch(text):
        if _PRIVILEGED.search(text):
            return "is a token for the directory, for management, secrets or storage: never for a model"
        return None
    return "must be the scope of an Entra resource, such as https://ml.azure.com/.default"


def place(text: str) -> str | None:
    """Check where data of jobs may lie: a storage URL, a path in a datastore or registered data, in its one spelling."""
    try:
        canonical = text_of(parse(text))
    except PlaceError as exc:
        respelt = _respelt(text)
        return f"{exc}: write {respelt}" if respelt else str(exc)
    return None if canonical == text else f"must be written {canonical}"


def output_place(text: str) -> str | None:
    """Check where jobs may write: a storage URL or a path in a datastore, in its one spelling."""
    wrong = place(text)
    if wrong is None and parse(text).kind == "data":
        return "is registered data, to which no job writes"
    return wrong


def input_name(text: str) -> str | None:
    """Check the name of an input, which is compared as it stands."""
    return (
        None
        if _INPUT_NAME.fullmatch(text)
        else "must be 1 to 64 letters, digits or underscores, no underscore in front"
    )


def job_label(text: str) -> str | None:
    """Check the name of an experiment or a compute, which is compared as it stands."""
    if not _JOB_LABEL.fullmatch(text):
        return "must be 1 to 255 printable ASCII characters, no space at either end"
    if "*" in text:
        return "has a wildcard; names are compared as they stand: list each one"
    return None


def workspace(text: str) -> str | None:
    """Check the ARM id of a workspace; its fixed words are written as Azure writes them."""
    if _WORKSPACE.fullmatch(text):
        return None
    found = _ANY_WORKSPACE.fullmatch(text)
    if found is None:
        return "must be the workspace's id: " + _WORKSPACE_ID.format("SUBSCRIPTION", "GROUP", "NAME")
    return "must be written " + _WORKSPACE_ID.format(found[1].lower(), found[2], found[3])


def rate(text: str) -> str | None:
    """Check how much in how long, such as `60/minute`."""
    if _RATE.fullmatch(text):
        return None
    return "must be a whole number and a window, such as 60/minute: second, minute, hour or day"


def amount_and_period(text: str) -> tuple[int, int]:
    """Return a rate such as `60/minute` as its amount and the window's seconds; raise ValueError."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(found[1]), _WINDOWS[found[2]]


def seconds(text: str) -> float:
    """Return a duration such as `15m` in seconds; raise ValueError."""
    return _amount(text, _SECONDS)


def size(text: str) -> int:
    """Return a size such as `4MiB` in bytes; raise ValueError."""
    return int(_amount(text, _BYTES))


def duration(*, least: str | None = None, most: str | None = None) -> Check:
    """Return a check for durations from `least` to `most`, both included; without `least`, anything above zero."""

    def check(text: str) -> str | None:
        try:
            value = seconds(text)
        except ValueError:
            return "must be a duration: a whole number and ms, s, m, h or d, such as 15m"
        if least is None and value == 0:
            return "must be longer than zero"
        if least is not None and value < seconds(least):
            return f"must be at least {least}"
        return f"must be at most {most}" if most is not None and value > seconds(most) else None

    return check


def bounded_size(*, least: str, most: str) -> Check:
    """Return a check for sizes from `least` to `most`, both included."""

    def check(text: str) -> str | None:
        try:
            value = size(text)
        except ValueError:
            return "must be a size: a whole number and B, KiB or MiB, such as 4MiB"
        return None if size(least) <= value <= size(most) else f"must be from {least} to {most}"

    return check


def _amount(text: str, units: dict[str, float] | dict[str, int]) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise ValueError(text)
    return int(found[1]) * units[found[2]]


def _respelt(text: str) -> str | None:
    """Return the one spelling of an address that is wrong in letter case or percent-encoding alone, None for any other."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    head = found[1] if found[1].startswith("/") else found[1].lower()
    try:
        segments = [quote(unquote(one, errors="strict"), safe="") for one in found[2].split("/")]
        return text_of(parse(head + "/".join(segments)))
    except ValueError:
        return None


def _one_line(text: str, *, most: int) -> str | None:
    if not text.strip():
        return "is blank"
    if len(text) > most or not text.isprintable() or text != text.strip():
        return f"must be one line of printable text, at most {most} characters, no space at either end"
    return None
