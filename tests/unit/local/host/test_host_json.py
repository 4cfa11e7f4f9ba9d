"""What the local host reads of host.json."""

import json
import logging
from pathlib import Path

import pytest

from local.host.hostjson import DurableTask, HostJsonError, load


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('{"extensions": {"http": {"routePrefix": 1}}}', id="a prefix that is no string"),
        pytest.param('{"functionTimeout": "soon"}', id="a timeout that is no time"),
        pytest.param('{"logging": {"logLevel": {"default": "Loud"}}}', id="an unknown level"),
        pytest.param('{"extensions": {"durableTask": {"hubName": 1}}}', id="a task hub that is no name"),
        pytest.param(
            '{"extensions": {"durableTask": {"maxConcurrentActivityFunctions": -1}}}',
            id="fewer than no activities",
        ),
        pytest.param(
            '{"extensions": {"durableTask": {"overridableExistingInstanceStates": "AnyState"}}}',
            id="starts that replace what runs",
        ),
    ],
)
def test_unusable_file_is_refused(tmp_path: Path, text: str) -> None:
    """A slip is told, never passed over."""
    path = tmp_path / "host.json"
    path.write_text(text)
    with pytest.raises(HostJsonError, match=r"host\.json"):
        load(path)


def test_absent_file_means_defaults(tmp_path: Path) -> None:
    """The defaults are the host's: prefix api, 30 minutes, Information."""
    settings = load(tmp_path / "host.json")
    assert settings.route_prefix == "api"
    assert settings.function_timeout == 1800
    assert settings.level_of("score") == logging.INFO
    assert settings.durable == DurableTask(hub="TestHubName", activities=20, orchestrators=10)


def test_settings_of_durable_functions_are_read(tmp_path: Path) -> None:
    """The task hub's name, and how many functions run at once."""
    given = {"hubName": "Jobs", "maxConcurrentActivityFunctions": 3, "maxConcurrentOrchestratorFunctions": 2}
    path = tmp_path / "host.json"
    path.write_text(json.dumps({"extensions": {"durableTask": given}}))
    assert load(path).durable == DurableTask(hub="Jobs", activities=3, orchestrators=2)


def test_settings_are_read(tmp_path: Path) -> None:
    """The empty prefix, the timeout in seconds, the level of the longest matching category."""
    levels = {
        "default": "Error",
        "Function": "Warning",
        "Function.score": "Debug",
        "Function.me.User": "None",
    }
    document = {
        "functionTimeout": "00:03:50",
        "extensions": {"http": {"routePrefix": ""}},
        "logging": {"logLevel": levels},
    }
    path = tmp_path / "host.json"
    path.write_text(json.dumps(document))
    settings = load(path)
    assert settings.route_prefix == ""
    assert settings.function_timeout == 230
    assert settings.level_of("score") == logging.DEBUG
    assert settings.level_of("other") == logging.WARNING
    assert settings.level_of("me") > logging.CRITICAL


def test_timeout_can_be_unbounded(tmp_path: Path) -> None:
    """-1 means no timeout."""
    path = tmp_path / "host.json"
    path.write_text('{"functionTimeout": "-1"}')
    assert load(path).function_timeout is None
