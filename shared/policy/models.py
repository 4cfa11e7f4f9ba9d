"""The policy file's tables of models: `[models.NAME]`, its rules and what they give away."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared import operations
from shared.operations import ModelOperation
from shared.policy import checks
from shared.policy.tables import OF_BATCH_ENDPOINTS, OF_BATCH_RULES, AnyRouteTable, AnyRuleTable, Refused
from shared.policy.values import RATE, CountedIn, Fail, Field, Name, Per, text


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


class ModelRuleTable(AnyRuleTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who may call the model, and how much. It needs at least one of groups, principals and app-roles."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            "deployments": "is for endpoints; the model's deployment stands in its own table",
            **dict.fromkeys(OF_BATCH_RULES, "is for the rules of batch endpoints; remove it"),
        }
    )

    limits: (
        Annotated[LimitsTable, Meta(description="What the rule gives away while it is the one on record.")]
        | UnsetType
    ) = UNSET
    per: Per | UnsetType = UNSET
    scope: CountedIn | UnsetType = UNSET
    fail: Fail | UnsetType = UNSET


class ModelTable(AnyRouteTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """A Foundry or Azure OpenAI model behind the gate."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            "limits": "is for rules: each says what it gives away; move it into a rule",
            "content-types": "follows from the operation; remove it",
            **OF_BATCH_ENDPOINTS,
            **dict.fromkeys(OF_BATCH_RULES, "is for the rules of batch endpoints; remove it"),
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
