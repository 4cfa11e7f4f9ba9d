"""The policy file's tables: one struct each. The JSON Schema for editors is made of them (docs/policy.schema.json).

A field is UNSET where the file does not write it, or where what it writes is faulty.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.policy import checks
from shared.policy.hosts import host_fault


def _text(check: checks.Check, **schema: Any) -> Meta:
    return Meta(extra={"check": check}, extra_json_schema=schema or None)


_DURATION: Final = r"^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$"
_SIZE: Final = r"^(0|[1-9][0-9]{0,8})(B|KiB|MiB)$"
_GUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Name = Annotated[str, _text(checks.name, pattern=f"^{checks.NAME}$")]
Label = Annotated[str, _text(checks.label, minLength=1, maxLength=100)]
ObjectId = Annotated[str, _text(checks.object_id, pattern=_GUID)]
AppRole = Annotated[str, _text(checks.app_role, pattern="^[!-)+-~]{1,120}$")]
ContentType = Annotated[str, _text(checks.content_type, pattern="^[a-z0-9][^ ;*]*/[a-z0-9][^ ;*]*$")]
Host = Annotated[str, _text(host_fault, minLength=1)]
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
MembershipAge = Annotated[
    str,
    _text(
        checks.duration(least="0s"),
        pattern=_DURATION,
        description="The oldest group answer that may allow.",
        default="15m",
    ),
]
RecheckRefused = Annotated[
    str,
    _text(
        checks.duration(least="0s"),
        pattern=_DURATION,
        description="How long a no from Microsoft Graph stands before it is asked again.",
        default="60s",
    ),
]
OutageGrace = Annotated[
    str,
    _text(
        checks.duration(least="0s"),
        pattern=_DURATION,
        description="How long a proven member outlives a directory outage.",
        default="0s",
    ),
]


class RuleTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who is allowed or denied. It needs at least one of groups, principals and app-roles; they are alternatives."""

    unbuilt: ClassVar[frozenset[str]] = frozenset({"limits", "per", "scope", "inputs", "outputs"})

    id: Annotated[Label, Meta(description="The rule's name on record; once at each endpoint.")] | UnsetType
    effect: (
        Annotated[Literal["allow", "deny"], Meta(description="Any matching deny wins over every allow.")]
        | UnsetType
    )
    groups: Groups | UnsetType = UNSET
    principals: Principals | UnsetType = UNSET
    app_roles: AppRoles | UnsetType = UNSET
    callers: Callers | UnsetType = UNSET
    clients: Clients | UnsetType = UNSET
    deployments: Deployments | UnsetType = UNSET


class EndpointTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """An Azure ML endpoint behind the gate."""

    unbuilt: ClassVar[frozenset[str]] = frozenset({"inputs", "outputs", "limits", "deployment", "operations"})

    kind: Annotated[str, _text(checks.endpoint_kind, enum=["online"], description="What it is.")] | UnsetType
    url: (
        Annotated[
            str,
            Meta(
                description="The scoring URI, https.", extra_json_schema={"pattern": "^https?://[^ ?#@%]+$"}
            ),
        ]
        | UnsetType
    )
    rules: (
        Annotated[list[RuleTable | UnsetType], Meta(min_length=1, description="No match is a denial.")]
        | UnsetType
    )
    help: (
        Annotated[
            str,
            _text(
                checks.help_text,
                minLength=1,
                maxLength=1000,
                description="Told to a refused colleague; absent, nothing is told.",
            ),
        ]
        | UnsetType
    ) = UNSET
    timeout: (
        Annotated[
            str,
            _text(
                checks.duration(least="1s", most="225s"),
                pattern=_DURATION,
                description="The whole call, from 1s to 225s.",
                default="60s",
            ),
        ]
        | UnsetType
    ) = UNSET
    max_body: (
        Annotated[
            str,
            _text(
                checks.bounded_size(least="1B", most="100MiB"),
                pattern=_SIZE,
                description="The largest request body, at most 100MiB.",
                default="4MiB",
            ),
        ]
        | UnsetType
    ) = UNSET
    content_types: (
        Annotated[
            list[ContentType],
            Meta(
                min_length=1,
                description="Media types of requests.",
                extra_json_schema={"default": ["application/json"]},
            ),
        ]
        | UnsetType
    ) = UNSET
    scope: (
        Annotated[
            str,
            _text(
                checks.scope,
                pattern=r"/\.default$",
                description="The scope of the gate's own token.",
                default="https://ml.azure.com/.default",
            ),
        ]
        | UnsetType
    ) = UNSET
    concurrency: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000,
                description="Requests in flight to this endpoint.",
                extra_json_schema={"default": 256},
            ),
        ]
        | UnsetType
    ) = UNSET
    relay_errors: (
        Annotated[
            bool,
            Meta(
                description="Pass the model's own JSON errors through.", extra_json_schema={"default": True}
            ),
        ]
        | UnsetType
    ) = UNSET
    max_membership_age: MembershipAge | UnsetType = UNSET
    recheck_refused: RecheckRefused | UnsetType = UNSET
    outage_grace: OutageGrace | UnsetType = UNSET


class DefaultsTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What holds where an endpoint does not say otherwise."""

    max_membership_age: MembershipAge | UnsetType = UNSET
    recheck_refused: RecheckRefused | UnsetType = UNSET
    outage_grace: OutageGrace | UnsetType = UNSET


class HostsTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Hosts beyond Azure's inference hosts."""

    allow: (
        Annotated[list[Host], Meta(min_length=1, description="Exact host names or addresses, no ports.")]
        | UnsetType
    )


class Document(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """The policy of a Groupgate."""

    unbuilt: ClassVar[frozenset[str]] = frozenset({"models", "limits"})

    version: Annotated[Literal[1], Meta(description="The version of this format.")] | UnsetType
    endpoints: (
        Annotated[
            dict[Name, EndpointTable | UnsetType],
            Meta(min_length=1, description="Endpoints by the name that callers use."),
        ]
        | UnsetType
    )
    groups: (
        Annotated[
            dict[Label, ObjectId | UnsetType], Meta(description="Names for people; the object ids decide.")
        ]
        | UnsetType
    ) = UNSET
    defaults: DefaultsTable | UnsetType = UNSET
    hosts: HostsTable | UnsetType = UNSET


def schema() -> bytes:
    """Return the JSON Schema of the policy file, as `docs/policy.schema.json` holds it."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Document)}
    return msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.write(schema().decode())
