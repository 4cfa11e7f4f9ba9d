"""docs/settings.md, local.settings.sample.json and shared/settings.py say the same."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from shared.settings import _IN_AZURE, Settings
from tests.meta import markdown, repository

TENANT = "6f1b2c3d-0000-4000-8000-000000000001"
HOST_OWN = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
"""In the sample for the Functions host, no settings of the gate."""
ROWS = {
    row["name"].strip("`"): row["default"].strip("`")
    for row in markdown.table(repository.read("docs/settings.md"), "name")
}


class Recording(dict[str, str]):
    """An environment that remembers which names it was asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    __getitem__ = None  # type: ignore[assignment] # Settings is to use get, or this test misses a name


def read(env: dict[str, str]) -> dict[str, Any]:
    settings = Settings.from_env({"GROUPGATE_TENANT_ID": TENANT, **env})
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return fields | {"platform_auth_enabled": settings.platform_auth_enabled()}


def sample() -> dict[str, str]:
    values: dict[str, str] = json.loads(repository.read("local.settings.sample.json"))["Values"]
    return values


def test_the_table_has_every_setting_that_is_read_and_no_other() -> None:
    """What Settings.from_env asks the environment for is what the page lists, but for Azure's own marks."""
    env = Recording()
    Settings.from_env(env).platform_auth_enabled()
    assert env.asked - set(_IN_AZURE) == set(ROWS)


def test_the_marks_of_azure_are_told() -> None:
    """The variables that mean "in Azure" stand in the section about it."""
    assert set(_IN_AZURE) <= set(markdown.code_spans(repository.read("docs/settings.md")))


@pytest.mark.parametrize("name", [name for name, default in ROWS.items() if default not in ("", "required")])
def test_a_default_in_the_table_is_the_default(name: str) -> None:
    """Writing a setting's documented default changes nothing."""
    assert read({name: ROWS[name]}) == read({})


def test_the_one_required_setting_is_the_tenant() -> None:
    """Without any setting, the tenant is the only fault; it is what the page calls required."""
    assert [fault.place for fault in Settings.from_env({}).faults] == ["GROUPGATE_TENANT_ID"]
    assert [name for name, default in ROWS.items() if default == "required"] == ["GROUPGATE_TENANT_ID"]


def test_the_sample_carries_every_setting_but_the_platforms_own() -> None:
    """WEBSITE_AUTH_ENABLED stays out of the sample: published with it, forged headers would be believed (threat S01)."""
    assert set(sample()) - HOST_OWN == set(ROWS) - {"WEBSITE_AUTH_ENABLED"}


def test_the_sample_holds_the_defaults() -> None:
    """Each value in the sample is the documented default; the tenant is a placeholder."""
    given = {
        name: value
        for name, value in sample().items()
        if name not in HOST_OWN and name != "GROUPGATE_TENANT_ID"
    }
    assert given == {name: ROWS[name] for name in given}
    assert not Settings.from_env(sample()).faults
