"""The policy file's tables of endpoints: `[endpoints.NAME]` of either kind, and their rules."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, UnsetType

from shared.policy import checks
from shared.policy.jobvalues import (
    Computes,
    Experiments,
    Inputs,
    Literals,
    Management,
    Notify,
    Outputs,
    OwnFolder,
    See,
    Settings,
    Workspace,
)
from shared.policy.tables import (
    OF_BATCH_ENDPOINTS,
    OF_BATCH_RULES,
    OF_MODEL_RULES,
    OF_MODELS,
    AnyRouteTable,
    AnyRuleTable,
    Refused,
)
from shared.policy.values import DURATION, SIZE, ContentType, Deployments, text


class RuleTable(AnyRuleTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who is allowed or denied. It needs at least one of groups, principals and app-roles; they are alternatives."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            **OF_MODEL_RULES,
            **dict.fromkeys(OF_BATCH_RULES, "is for the rules of batch endpoints; remove it"),
        }
    )

    deployments: Deployments | UnsetType = UNSET


class BatchRuleTable(AnyRuleTable, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who may run jobs, and what their jobs may read, write and change."""

    refused: ClassVar[Refused] = OF_MODEL_RULES

    deployments: Deployments | UnsetType = UNSET
    inputs: Inputs | UnsetType = UNSET
    outputs: Outputs | UnsetType = UNSET
    own_folder: OwnFolder | UnsetType = UNSET
    literals: Literals | UnsetType = UNSET
    experiments: Experiments | UnsetType = UNSET
    computes: Computes | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    see: See | UnsetType = UNSET
    notify: Notify | UnsetType = UNSET


class _EndpointTable(
    AnyRouteTable, rename="kebab", forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
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


class OnlineTable(_EndpointTable, rename="kebab", forbid_unknown_fields=True, kw_only=True, tag="online"):
    """An Azure ML online endpoint behind the gate."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            **OF_MODELS,
            **OF_BATCH_ENDPOINTS,
            **dict.fromkeys(OF_BATCH_RULES, "is for the rules of batch endpoints; remove it"),
        }
    )

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


class BatchTable(_EndpointTable, rename="kebab", forbid_unknown_fields=True, kw_only=True, tag="batch"):
    """An Azure ML batch endpoint behind the gate."""

    refused: ClassVar[Refused] = MappingProxyType(
        {
            **OF_MODELS,
            **dict.fromkeys(OF_BATCH_RULES, "is for rules: each says what jobs may do; move it into a rule"),
            "content-types": "is application/json for every job; remove it",
        }
    )

    url: (
        Annotated[
            str,
            Meta(
                description="The scoring URI, https, which ends in /jobs.",
                extra_json_schema={"pattern": "^https?://[^ ?#@%]+/jobs$"},
            ),
        ]
        | UnsetType
    )
    rules: (
        Annotated[list[BatchRuleTable | UnsetType], Meta(min_length=1, description="No match is a denial.")]
        | UnsetType
    )
    max_body: (
        Annotated[
            str,
            text(
                checks.bounded_size(least="1B", most="1MiB"),
                pattern=SIZE,
                description="The largest request body, at most 1MiB.",
                default="64KiB",
            ),
        ]
        | UnsetType
    ) = UNSET
    workspace: Workspace | UnsetType = UNSET
    management: Management | UnsetType = UNSET
    job_timeout: (
        Annotated[
            str,
            text(
                checks.duration(least="1m", most="30d"),
                pattern=DURATION,
                description="A job that has not ended after so long is cancelled, from 1m to 30d.",
                default="24h",
            ),
        ]
        | UnsetType
    ) = UNSET
    running_jobs: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=100,
                description="Jobs that one caller may have unfinished at once.",
                extra_json_schema={"default": 10},
            ),
        ]
        | UnsetType
    ) = UNSET


EndpointTable = OnlineTable | BatchTable
EndpointRuleTable = RuleTable | BatchRuleTable
