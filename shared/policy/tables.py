"""What the tables of endpoints and models share: one struct for each sort of table, with what its keys mean.

A field is UNSET where the file does not write it, or where what it writes is faulty.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.policy import checks
from shared.policy.values import (
    DURATION,
    SIZE,
    AppRoles,
    Callers,
    Clients,
    Groups,
    Label,
    MembershipAge,
    OutageGrace,
    Principals,
    RecheckRefused,
    text,
)

Refused = Mapping[str, str]
"""Keys that stand elsewhere, with what the error says of them."""

OF_BATCH_ENDPOINTS: Final[Refused] = MappingProxyType(
    dict.fromkeys(
        ("workspace", "management", "job-timeout", "running-jobs"),
        'is for batch endpoints (kind = "batch"); remove it',
    )
)
OF_BATCH_RULES: Final = (
    "inputs",
    "outputs",
    "own-folder",
    "literals",
    "experiments",
    "computes",
    "settings",
    "see",
    "notify",
)
OF_MODELS: Final[Refused] = MappingProxyType(
    dict.fromkeys(
        ("limits", "deployment", "operations", "fields", "default-max-tokens"), "is for models; remove it"
    )
)
OF_MODEL_RULES: Final[Refused] = MappingProxyType(
    dict.fromkeys(("limits", "per", "scope", "fail"), "is for the rules of models; remove it")
)


class AnyRuleTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Who is allowed or denied."""

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


class AnyRouteTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What every endpoint and model may say."""

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
