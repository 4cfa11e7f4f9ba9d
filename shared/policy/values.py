"""The values that the policy file's tables are made of: each a type with its check and what editors are told of it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from shared.fieldnames import nameable
from shared.policy import checks
from shared.policy.hosts import host_fault


def text(check: checks.Check, **schema: Any) -> Meta:
    """Return what a text is checked with, and what editors are told of it."""
    return Meta(extra={"check": check}, extra_json_schema=schema or None)


def address(check: checks.Check, **schema: Any) -> Meta:
    """Return the same for a text that no fault may quote: a signature could stand in it."""
    return Meta(extra={"check": check, "quoted": False}, extra_json_schema=schema or None)


DURATION: Final = r"^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$"
SIZE: Final = r"^(0|[1-9][0-9]{0,8})(B|KiB|MiB)$"
RATE: Final = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"
GUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Name = Annotated[str, text(checks.name, pattern=f"^{checks.NAME}$")]
Label = Annotated[str, text(checks.label, minLength=1, maxLength=100)]
ObjectId = Annotated[str, text(checks.object_id, pattern=GUID)]
AppRole = Annotated[str, text(checks.app_role, pattern="^[!-)+-~]{1,120}$")]
ContentType = Annotated[str, text(checks.content_type, pattern="^[a-z0-9][^ ;*]*/[a-z0-9][^ ;*]*$")]
Host = Annotated[str, text(host_fault, minLength=1)]
Caller = Literal["user", "guest", "app"]

Groups = Annotated[
    list[Label], Meta(min_length=1, description="Names out of [groups]: a member of any one of them matches.")
]
Principals = Annotated[
    list[ObjectId],
    Meta(
        min_length=1,
        description="Object ids of users, service principals or managed identities; they match whatever their kind.",
    ),
]
AppRoles = Annotated[
    list[AppRole], Meta(min_length=1, description="App roles in the token; any one of them matches.")
]
Callers = Annotated[
    list[Caller],
    Meta(
        min_length=1,
        description="Kinds of callers that the rule is for. By default, allow: users, and listed principals of any kind; "
        "deny: every kind.",
    ),
]
Clients = Annotated[
    list[ObjectId],
    Meta(
        min_length=1,
        description="Application ids (azp, appid) that the rule is for; by default every client.",
    ),
]
Deployments = Annotated[
    list[Name],
    Meta(
        min_length=1,
        description="Allow: deployments that may be asked for; by default none may be named. "
        "Deny: refuse only requests that name one of these; by default every request.",
    ),
]
Field = Annotated[str, text(nameable, pattern=r"^(tools\.)?[a-z][a-z0-9_]{0,63}$")]
Per = Annotated[
    Literal["caller", "rule"],
    Meta(
        description="Whose the limits are: each caller's, or everybody's together.",
        extra_json_schema={"default": "caller"},
    ),
]
CountedIn = Annotated[
    Literal["shared", "instance"],
    Meta(
        description="Where is counted: in Redis for all instances together (shared), or in each for itself.",
        extra_json_schema={"default": "shared"},
    ),
]
Fail = Annotated[
    Literal["closed", "local"],
    Meta(
        description="While Redis cannot be asked: refuse (closed), or count in this instance (local).",
        extra_json_schema={"default": "closed"},
    ),
]
MembershipAge = Annotated[
    str,
    text(
        checks.duration(least="0s"),
        pattern=DURATION,
        description="The oldest group answer that may allow.",
        default="15m",
    ),
]
RecheckRefused = Annotated[
    str,
    text(
        checks.duration(least="0s"),
        pattern=DURATION,
        description="How long a no from Microsoft Graph stands before it is asked again.",
        default="60s",
    ),
]
OutageGrace = Annotated[
    str,
    text(
        checks.duration(least="0s"),
        pattern=DURATION,
        description="How long a proven member outlives a directory outage.",
        default="0s",
    ),
]
