"""The policy file's tables: one struct each. The JSON Schema for editors is made of them (docs/policy.schema.json).

A field is UNSET where the file does not write it, or where what it writes is faulty.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared import operations
from shared.operations import ModelOperation
from shared.policy import checks
from shared.policy.values import (
    DURATION,
    RATE,
    SIZE,
    AppRoles,
    Callers,
    Clients,
    ContentType,
    CountedIn,
    Deployments,
    Fail,
    Field,
    Groups,
    Host,
    Label,
    MembershipAge,
    Name,
    ObjectId,
    OutageGrace,
    Per,
    Principals,
    RecheckRefused,
    text,
)

Refused = Mapping[str, str]
"""Keys that stand elsewhere, or nowhere yet, with what the error says of them."""
_UNBUILT: Final = "is not built yet; remove it"


class LimitsTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What a rule gives away. It needs at least one of requests and tokens."""

    requests: (
        Annotated[str, text(checks.rate, pattern=RATE, description="Calls, such as 60/minute.")] | UnsetType
    ) = UNSET
    tokens: (
        Annotated[str, text(checks.rate, pattern=RATE, description="Tokens, such as 100000/hour.")]
        | UnsetType
    ) = UNSET
    per: Per | UnsetType = UNSET
    scope: CountedIn | UnsetType = UNSET
    fail: Fail | UnsetType = UNSET


class _AnyRuleTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
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


class RuleTable(_AnyRuleTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who is allowed or denied. It needs at least one of groups, principals and app-roles; they are alternatives."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            **dict.fromkeys(("inputs", "outputs"), _UNBUILT),
            **dict.fromkeys(("limits", "per", "scope", "fail"), "is for the rules of models; remove it"),
        }
    )

    deployments: Deployments | UnsetType = UNSET


class ModelRuleTable(_AnyRuleTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who may call the model, and how much. It needs at least one of groups, principals and app-roles."""

    refused: ClassVar[Refused] = MappingProxyType(
        {"deployments": "is for endpoints; the model's deployment stands in its own table"}
    )

    limits: (
        Annotated[LimitsTable, Meta(description="What the rule gives away while it is the one on record.")]
        | UnsetType
    ) = UNSET
    per: Per | UnsetType = UNSET
    scope: CountedIn | UnsetType = UNSET
    fail: Fail | UnsetType = UNSET


class _AnyRouteTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    help: (
        Annotated[
            str,
            text(
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
            text(
                checks.duration(least="1s", most="225s"),
                pattern=DURATION,
                description="The whole call, from 1s to 225s.",
                default="60s",
            ),
        ]
        | UnsetType
    ) = UNSET
    max_body: (
        Annotated[
            str,
            text(
                checks.bounded_size(least="1B", most="100MiB"),
                pattern=SIZE,
                description="The largest request body, at most 100MiB.",
                default="4MiB",
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
                description="Requests in flight to this endpoint or model.",
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


class EndpointTable(_AnyRouteTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """An Azure ML endpoint behind the gate."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            **dict.fromkeys(("inputs", "outputs"), _UNBUILT),
            **dict.fromkeys(("limits", "deployment", "operations", "fields"), "is for models; remove it"),
        }
    )

    kind: Annotated[str, text(checks.endpoint_kind, enum=["online"], description="What it is.")] | UnsetType
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
            text(
                checks.scope,
                pattern=r"/\.default$",
                description="The scope of the gate's own token.",
                default="https://ml.azure.com/.default",
            ),
        ]
        | UnsetType
    ) = UNSET


class ModelTable(_AnyRouteTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """A Foundry or Azure OpenAI model behind the gate."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            "limits": "is for rules: each says what it gives away; move it into a rule",
            "content-types": "follows from the operation; remove it",
        }
    )

    kind: Annotated[Literal["openai"], Meta(description="What it is.")] | UnsetType
    url: (
        Annotated[
            str,
            Meta(
                description="The resource's address, https, with no path.",
                extra_json_schema={"pattern": "^https?://[^ /?#@%]+/?$"},
            ),
        ]
        | UnsetType
    )
    rules: (
        Annotated[list[ModelRuleTable | UnsetType], Meta(min_length=1, description="No match is a denial.")]
        | UnsetType
    )
    deployment: (
        Annotated[Name, Meta(description="The model's name at the resource; by default the same.")]
        | UnsetType
    ) = UNSET
    operations: (
        Annotated[
            list[ModelOperation],
            Meta(
                min_length=1,
                description="What may be asked of it.",
                extra_json_schema={"default": list(operations.DEFAULT)},
            ),
        ]
        | UnsetType
    ) = UNSET
    fields: (
        Annotated[
            list[Field],
            Meta(
                min_length=1,
                description="What requests may hold beyond what the gate lets through by itself.",
            ),
        ]
        | UnsetType
    ) = UNSET
    default_max_tokens: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=1_000_000,
                description="Tokens to reserve for an answer that the request does not bound; by default 1024, but no "
                "more than a tenth of the rule's limit.",
            ),
        ]
        | UnsetType
    ) = UNSET
    scope: (
        Annotated[
            str,
            text(
                checks.scope,
                pattern=r"/\.default$",
                description="The scope of the gate's own token; older resources take "
                "https://cognitiveservices.azure.com/.default.",
                default="https://ai.azure.com/.default",
            ),
        ]
        | UnsetType
    ) = UNSET


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

    refused: ClassVar[Refused] = MappingProxyType(
        {"limits": "is for the rules of models: each says what it gives away; move it into a rule"}
    )

    version: Annotated[Literal[1], Meta(description="The version of this format.")] | UnsetType
    endpoints: (
        Annotated[
            dict[Name, EndpointTable | UnsetType],
            Meta(min_length=1, description="Endpoints by the name that callers use."),
        ]
        | UnsetType
    ) = UNSET
    models: (
        Annotated[
            dict[Name, ModelTable | UnsetType],
            Meta(min_length=1, description="Models by the name that clients use."),
        ]
        | UnsetType
    ) = UNSET
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
