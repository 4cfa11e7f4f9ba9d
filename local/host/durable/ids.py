"""Stand-in for the extension's rules for ids of instances; never compared with the real one."""

from typing import Final

_FORBIDDEN: Final = frozenset("/\\#?")
_LONGEST: Final = 256


class Refused(Exception):
    """A client asked for what cannot be; the message is the extension's."""


def check_id(instance_id: str) -> None:
    """Raise Refused for an id that no orchestration may have."""
    if instance_id.startswith("@"):
        raise Refused("Orchestration instance ids must not start with @.")
    if not _FORBIDDEN.isdisjoint(instance_id) or not instance_id.isprintable():
        raise Refused("Orchestration instance ids must not contain /, \\, #, ?, or control characters.")
    if len(instance_id) > _LONGEST:
        raise Refused(f"Instance ID lengths must not exceed {_LONGEST} characters.")
