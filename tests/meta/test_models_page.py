"""docs/models.md and docs/limits.md name what the policy takes, and every whole policy in the docs is one."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from shared.fieldnames import REFUSED
from shared.operations import ModelOperation
from shared.policy.document import schema
from shared.policy.loader import load
from shared.policy.models import LimitsTable, ModelTable
from tests.meta import markdown, repository

MODELS = repository.read("docs/models.md")
LIMITS = repository.read("docs/limits.md")
SCHEMA: dict[str, Any] = json.loads(schema())["$defs"]
_TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHOLE = [
    pytest.param(block, id=f"{page} {number}")
    for page in repository.files("*.md")
    for number, block in enumerate(_TOML.findall(repository.read(page)), 1)
    if block.startswith("version = 1")
]


def keys(page: str) -> dict[str, str]:
    """Return the keys that a page's tables explain, each with its default as it stands there."""
    rows = [row for row in markdown.table(page, "key") if "meaning" in row]
    return {name: row["default"].strip("`") for row in rows for name in markdown.code_spans(row["key"])}


@pytest.mark.parametrize(("page", "table"), [(MODELS, ModelTable), (LIMITS, LimitsTable)])
def test_every_key_is_explained_and_no_other(page: str, table: type[ModelTable | LimitsTable]) -> None:
    """The page's table has the keys that the policy's table takes."""
    assert set(keys(page)) == set(table.__struct_encode_fields__)


@pytest.mark.parametrize(("page", "table"), [(MODELS, "ModelTable"), (LIMITS, "LimitsTable")])
def test_a_default_in_the_page_is_the_default(page: str, table: str) -> None:
    """Where the schema tells a default, the page tells the same; lifetimes are those of [defaults]."""
    told = keys(page)
    for name, about in SCHEMA[table]["properties"].items():
        if "default" in about and not told[name].startswith("those of"):
            default = about["default"]
            assert told[name] == (default if isinstance(default, str) else json.dumps(default)), name


def test_every_operation_is_in_the_table() -> None:
    """What a policy may grant stands among the operations, and what grants each is one of them."""
    rows = markdown.table(MODELS, "operation")
    assert set(get_args(ModelOperation)) <= {row["operation"].strip("`") for row in rows}
    granted = {row["granted by"].strip("`") for row in rows}
    assert granted == {*get_args(ModelOperation), "any of them"}


def test_every_field_that_must_be_named_is_explained() -> None:
    """What is refused until `fields` names it stands on the page, in the table or among the tools."""
    assert set(markdown.code_spans(MODELS)) >= REFUSED
    named = {
        span
        for row in markdown.table(MODELS, "in `fields`")
        for span in markdown.code_spans(row["in `fields`"])
    }
    assert named - {"tools.TYPE"} == {name for name in REFUSED if not name.startswith("tools.")}


@pytest.mark.parametrize("block", WHOLE)
def test_every_whole_policy_in_the_docs_is_one(block: str) -> None:
    """A policy that a page shows as a whole loads without a fault."""
    assert load(block.encode(), allow_http=False).routes
