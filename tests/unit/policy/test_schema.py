"""The JSON Schema for editors says what the loader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.policy import document

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "policy.schema.json"


def test_the_committed_schema_is_the_one_that_the_types_make() -> None:
    """docs/policy.schema.json is in step; write it anew with `python -m shared.policy.document > docs/policy.schema.json`."""
    assert COMMITTED.read_bytes() == document.schema()


_REQUIRED: dict[str, set[str]] = {
    "Document": {"version"},
    "OnlineTable": {"kind", "url", "rules"},
    "RuleTable": {"id", "effect"},
    "BatchTable": {"kind", "url", "rules"},
    "BatchRuleTable": {"id", "effect"},
    "ModelTable": {"kind", "url", "rules"},
    "ModelRuleTable": {"id", "effect"},
    "LimitsTable": set(),
    "DefaultsTable": set(),
    "HostsTable": {"allow"},
}


def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(document.schema())["$defs"]
    return tables


@pytest.mark.parametrize("name", sorted(_REQUIRED))
def test_every_table_is_closed_and_every_key_explained(name: str) -> None:
    """Editors mark unknown keys, and tell what each known one is for."""
    table = _tables()[name]
    assert table["additionalProperties"] is False
    unexplained = [
        key for key, value in table["properties"].items() if not {"description", "$ref"} & value.keys()
    ]
    assert unexplained == []


def test_an_endpoint_is_of_one_kind() -> None:
    """Editors take each endpoint for what its `kind` says: the two tables share no value of it."""
    tables = _tables()
    endpoint = tables["Document"]["properties"]["endpoints"]["additionalProperties"]
    kinds = [
        tables[one["$ref"].rpartition("/")[2]]["properties"]["kind"]["enum"] for one in endpoint["anyOf"]
    ]
    assert kinds == [["online"], ["batch"]]


def test_what_the_loader_requires_the_schema_requires() -> None:
    """A rule needs id and effect, an endpoint or model kind, url and rules, the file its version.

    That it needs endpoints or models is the loader's to say: a schema that says so reads badly in editors.
    """
    assert {name: set(table["required"]) for name, table in _tables().items()} == _REQUIRED
