"""docs/policy.md is complete, and what it shows works."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.policy import document, loader

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text("utf-8")
TABLES: dict[str, Any] = json.loads(document.schema())["$defs"]
SNIPPETS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
NAMES = ("fraud-analysts", "ml-engineers", "contractors", "partners", "testers")
HEAD = "version = 1\n[groups]\n" + "".join(
    f'{name} = "6f1b2c3d-0000-4000-8000-00000000000{number}"\n' for number, name in enumerate(NAMES)
)
ENDPOINT = (
    '[endpoints.fraud]\nkind = "online"\nurl = "https://fraud.westeurope.inference.ml.azure.com/score"\n'
)
ALLOWS = '[[endpoints.fraud.rules]]\nid = "x"\neffect = "allow"\nprincipals = ["9a8b7c6d-0000-4000-8000-000000000001"]\n'


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_its_line(table: str) -> None:
    """Each key of each table stands in a row of the page."""
    rows = {
        name
        for line in PAGE.splitlines()
        if line.startswith("|")
        for name in re.findall(r"`\[*([\w-]+)", line)
    }
    assert TABLES[table]["properties"].keys() <= rows


def test_every_default_is_the_one_that_holds() -> None:
    """The defaults in the page are those of the schema, and those of the loader for a policy that writes none."""
    defaults = {
        key: value["default"]
        for table in TABLES.values()
        for key, value in table["properties"].items()
        if "default" in value
    }
    for key, default in defaults.items():
        told = default if isinstance(default, str) else json.dumps(default)
        assert re.search(rf"^\| `{key}`.* \| `{re.escape(told)}` \|", PAGE, re.MULTILINE), key
    plain = loader.load((HEAD + ENDPOINT + ALLOWS).encode(), allow_http=False).routes
    written = "".join(
        f"{key} = {json.dumps(default)}\n"
        for key, default in defaults.items()
        if key in TABLES["EndpointTable"]["properties"]
    )
    assert loader.load((HEAD + ENDPOINT + written + ALLOWS).encode(), allow_http=False).routes == plain


@pytest.mark.parametrize(
    "snippet", [text for text in SNIPPETS if "effect" in text], ids=lambda text: text.split("\n")[1]
)
def test_every_example_loads(snippet: str) -> None:
    """Each example is a policy, or the rules of one."""
    whole = snippet if snippet.startswith("version") else HEAD + ENDPOINT + snippet + ALLOWS
    loader.load(whole.encode(), allow_http=False)


def test_the_page_has_its_examples() -> None:
    """The examples were found, so that the test above tests something."""
    assert len([text for text in SNIPPETS if "effect" in text]) >= 7
