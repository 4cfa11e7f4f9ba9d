"""The policy file as a whole, and the JSON Schema for editors that is made of its tables (docs/policy.schema.json).

A field is UNSET where the file does not write it, or where what it writes is faulty.
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.policy.endpoints import BatchTable, OnlineTable
from shared.policy.models import ModelTable
from shared.policy.tables import Refused
from shared.policy.values import Host, Label, MembershipAge, Name, ObjectId, OutageGrace, RecheckRefused


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
            dict[Name, OnlineTable | BatchTable | UnsetType],
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
    for table in (OnlineTable, BatchTable):
        # What tells the two apart is no field of either, and so has no text of its own.
        made["$defs"][table.__name__]["properties"]["kind"]["description"] = "What it is."
    return msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.write(schema().decode())
