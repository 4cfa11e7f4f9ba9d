"""The words for people in which every form of the report tells ways, states and severities."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, get_args

import msgspec

from shared.bypass.finding import Severity, State, Verdict, Way

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""The worst first."""
STATES: Final[tuple[State, ...]] = ("active", "conditional", "eligible", "latent")
"""The nearest to a call first."""


class Wording(msgspec.Struct, frozen=True):
    """A way in words."""

    title: str
    meaning: str


WAYS: Final[Mapping[Way, Wording]] = MappingProxyType(
    {
        "invoke": Wording(
            "Calls it directly",
            "May score, submit a job or run inference with a token of its own, without asking the gate.",
        ),
        "keys": Wording(
            "Reads its keys or tokens",
            "May list or regenerate keys or tokens. Whoever holds one is not asked who they are.",
        ),
        "auth-mode": Wording(
            "It takes keys",
            "The resource itself takes keys or tokens of its own, so whoever holds one gets answers, role or no role.",
        ),
        "change-resource": Wording(
            "Changes it",
            "May write the endpoint, a deployment or the account: turn keys on, or swap what answers.",
        ),
        "run-elsewhere": Wording(
            "Runs the same elsewhere",
            "May run the same model or the same job in another place that the gate does not stand before.",
        ),
        "secrets": Wording(
            "Reads the workspace's secrets",
            "May read connections, datastores or keys of the workspace, among them ones that open the model.",
        ),
        "grant": Wording(
            "Grants itself more",
            "May assign roles or change what a role permits, and so give itself any other way.",
        ),
        "group-owner": Wording(
            "Adds members to a group",
            "Owns a group that holds a role, and may add anybody, without any role in Azure.",
        ),
        "remove-deny": Wording(
            "Removes the seal",
            "May delete the deny assignments that close a way.",
        ),
        "take-gate": Wording(
            "Takes the gate over",
            "May change the gate's code, settings, sign-in or identity, and so call with the gate's own rights.",
        ),
        "gate-excess": Wording(
            "More than the gate needs",
            "The gate's own identity may do more than call the model: a fault in the gate would reach further.",
        ),
        "network": Wording(
            "Open to the internet",
            "Reachable from the public internet. By itself no way around the gate, but every other way begins here.",
        ),
    }
)
STATE: Final[Mapping[State, str]] = MappingProxyType(
    {
        "active": "now",
        "conditional": "under a condition that cannot be told from here, which counts as able",
        "eligible": "once activated in Privileged Identity Management",
        "latent": "as soon as the resource's settings allow it",
    }
)
VERDICT: Final[Mapping[Verdict, str]] = MappingProxyType(
    {"closed": "CLOSED", "open": "OPEN", "not-proven": "NOT PROVEN"}
)


def severity_rank(severity: Severity) -> int:
    """Return 0 for the worst."""
    return SEVERITIES.index(severity)


def state_rank(state: State) -> int:
    """Return 0 for the nearest to a call."""
    return STATES.index(state)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `number` and its noun, such as `1 way` and `3,000 ways`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def times(collected: datetime | None, judged: datetime) -> str:
    """Return when a snapshot was read, by its own word, and when it was judged: an old one may be judged today."""
    read = "at a time that the snapshot does not say" if collected is None else _at(collected)
    return f"read {read}, judged {_at(judged)}"


def _at(moment: datetime) -> str:
    return f"at {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
