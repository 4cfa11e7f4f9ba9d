"""docs/policy.md is complete, and what it shows works."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.policy import document, loader

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "policy.md").read_text("utf-8")
OF_MODELS = PAGE + "".join((DOCS / name).read_text("utf-8") for name in ("models.md", "limits.md"))
"""What is for models alone has pages of its own, which the policy's page names."""
TABLES: dict[str, Any] = json.loads(document.schema())["$defs"]
SNIPPETS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
NAMES = ("fraud-analysts", "ml-engineers", "contractors", "partners", "testers", "ml-leads")
HEAD = "version = 1\n[groups]\n" + "".join(
    f'{name} = "6f1b2c3d-0000-4000-8000-00000000000{number}"\n' for number, name in enumerate(NAMES)
)
ENDPOINT = (
    '[endpoints.fraud]\nkind = "online"\nurl = "https://fraud.westeurope.inference.ml.azure.com/score"\n'
)
BATCH = (
    '[endpoints.nightly]\nkind = "batch"\nurl = "https://nightly.westeurope.inference.ml.azure.com/jobs"\n'
)
MODEL = '[models."gpt-4.1-mini"]\nkind = "openai"\nurl = "https://contoso.openai.azure.com"\n'
ALLOWS = '[[endpoints.fraud.rules]]\nid = "x"\neffect = "allow"\nprincipals = ["9a8b7c6d-0000-4000-8000-000000000001"]\n'


def _page_of(table: str) -> str:
    return OF_MODELS if table in {"ModelTable", "ModelRuleTable", "LimitsTable"} else PAGE


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_its_line(table: str) -> None:
    """Each key of each table has a row of its page, or a part of it."""
    rows = {
        name
        for line in _page_of(table).splitlines()
        if line.startswith(("|", "###"))
        for name in re.findall(r"`\[*([\w-]+)", line)
    }
    assert TABLES[table]["properties"].keys() <= rows


@pytest.mark.parametrize("table", TABLES)
def test_every_default_is_told(table: str) -> None:
    """The defaults in the pages are those of the schema."""
    for key, value in TABLES[table]["properties"].items():
        if "default" in value:
            default = value["default"]
            told = default if isinstance(default, str) else json.dumps(default)
            row = rf"^\| `{key}`.* \| `{re.escape(told)}` \|"
            assert re.search(row, _page_of(table), re.MULTILINE), key


@pytest.mark.parametrize(
    ("table", "plain"),
    [
        ("OnlineTable", ENDPOINT + ALLOWS),
        ("BatchTable", BATCH + ALLOWS.replace("endpoints.fraud", "endpoints.nightly")),
        ("ModelTable", MODEL + ALLOWS.replace("endpoints.fraud", 'models."gpt-4.1-mini"')),
    ],
)
def test_every_default_is_the_one_that_holds(table: str, plain: str) -> None:
    """The defaults of the schema are those of the loader for a policy that writes none."""
    written = "".join(
        f"{key} = {json.dumps(value['default'])}\n"
        for key, value in TABLES[table]["properties"].items()
        if "default" in value
    )
    assert written.count("\n") >= 7
    with_defaults = plain.replace("[[", f"{written}[[", 1)
    told, silent = (
        loader.load((HEAD + text).encode(), allow_http=False).routes for text in (with_defaults, plain)
    )
    assert told == silent


def _whole(snippet: str) -> str:
    """Return an example as a whole policy: many are the rules of one."""
    if snippet.startswith("version"):
        return snippet
    if snippet.startswith("[[models."):
        return HEAD + MODEL + snippet
    if snippet.startswith("[[endpoints.nightly."):
        return HEAD + BATCH + snippet
    return HEAD + ENDPOINT + snippet + ALLOWS


@pytest.mark.parametrize(
    "snippet", [text for text in SNIPPETS if "effect" in text], ids=lambda text: text.split("\n")[1]
)
def test_every_example_loads(snippet: str) -> None:
    """Each example is a policy, or the rules of one."""
    loader.load(_whole(snippet).encode(), allow_http=False)


def test_the_page_has_its_examples() -> None:
    """The examples were found, so that the test above tests something."""
    assert len([text for text in SNIPPETS if "effect" in text]) >= 7
