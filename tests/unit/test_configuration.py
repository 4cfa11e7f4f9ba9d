"""Settings and policy together: the app, `check` and `explain` tell the same faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.app import App
from shared.cli.main import main
from shared.configuration import configured
from shared.settings import Settings
from tests.fakes import an_inbound

TENANT = "6f1b2c3d-0000-4000-8000-0000000000ff"


@pytest.fixture(params=["https://contoso.example/policy.toml", "nowhere.toml", "broken"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An environment whose policy cannot be used, in each way."""
    path = request.param
    if path == "broken":
        path = str(tmp_path / "policy.toml")
        Path(path).write_text("version = 2\n")
    for name in ("GROUPGATE_IDENTITY", "GROUPGATE_AUDIT", "WEBSITE_SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GROUPGATE_POLICY", path)
    monkeypatch.setenv("GROUPGATE_TENANT_ID", "contoso")
    return Settings.from_env()


async def test_the_app_logs_what_the_command_prints(
    settings: Settings, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Design, "Settings": `groupgate check` prints the same list, each fault once."""
    await App(settings).handle(an_inbound())
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert main(["check"]) == 2
    printed = capsys.readouterr().out.splitlines()
    assert [f"configuration fault: {line}" for line in printed] == logged
    assert len(printed) == len(set(printed)) >= 2


def test_explain_says_misconfigured(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """The true reason, with the faults beside it; exit 2."""
    assert main(["explain", "--user", TENANT, "--endpoint", "fraud", "--json"]) == 2
    told = capsys.readouterr()
    said = json.loads(told.out)
    assert (said["decision"], said["reason"]) == ("error", "misconfigured")
    assert "GROUPGATE_TENANT_ID" in told.err


def test_there_is_no_policy_while_there_is_a_fault(settings: Settings) -> None:
    """T22: half a configuration is none."""
    policy, faults = configured(settings)
    assert policy is None
    assert faults


BATCH = """
version = 1
hosts.allow = ["hooks.contoso.com"]
[endpoints.nightly]
kind = "batch"
url = "https://nightly.westeurope.inference.ml.azure.com/jobs"
[[endpoints.nightly.rules]]
id = "pipeline"
effect = "allow"
principals = ["6f1b2c3d-0000-4000-8000-000000000001"]
"""
NOTIFY = 'notify = "https://hooks.contoso.com/jobs"\n'


@pytest.mark.parametrize(
    ("policy", "env", "places"),
    [
        pytest.param(BATCH, {}, ["endpoints.nightly.kind"], id="jobs are off"),
        pytest.param(BATCH, {"GROUPGATE_JOBS": "on"}, [], id="jobs are on"),
        pytest.param(
            BATCH + NOTIFY,
            {"GROUPGATE_JOBS": "on"},
            ["endpoints.nightly.rules.pipeline.notify"],
            id="nothing to sign with",
        ),
        pytest.param(
            BATCH + NOTIFY,
            {"GROUPGATE_JOBS": "on", "GROUPGATE_JOBS_SECRET": "s" * 32},
            [],
            id="a secret to sign with",
        ),
        pytest.param(
            BATCH + NOTIFY,
            {"GROUPGATE_JOBS": "of", "GROUPGATE_JOBS_SECRET": "s"},
            ["GROUPGATE_JOBS", "GROUPGATE_JOBS_SECRET"],
            id="what is set wrongly is one fault and not two",
        ),
    ],
)
def test_the_settings_tell_what_a_policy_may_have(
    tmp_path: Path, policy: str, env: dict[str, str], places: list[str]
) -> None:
    """Batch endpoints need GROUPGATE_JOBS, and `notify` a secret: without them the policy has a fault at its place."""
    (tmp_path / "policy.toml").write_text(policy)
    path = str(tmp_path / "policy.toml")
    settings = Settings.from_env({"GROUPGATE_TENANT_ID": TENANT, "GROUPGATE_POLICY": path, **env})
    found, faults = configured(settings)
    assert [fault.place for fault in faults] == places
    assert (found is None) is bool(places)
    sound = [fault.place for fault in settings.faults]
    assert sound == [place for place in places if place.startswith("GROUPGATE_")]
