"""`groupgate check`: prints every fault and exits 2, or a summary and exits 0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "policy.sample.toml"
TENANT = "6f1b2c3d-0000-4000-8000-0000000000ff"
BAD = """
version = 2
[endpoints.fraud]
kind = "online"
url = "https://example.org/score"
rules = [{ id = "staff", effect = "allow", groups = ["analysts"] }]
"""
LOCAL = """
version = 1
hosts.allow = ["127.0.0.1"]
[endpoints.fraud]
kind = "online"
url = "http://127.0.0.1:5001/score"
rules = [{ id = "job", effect = "allow", principals = ["9a8b7c6d-0000-4000-8000-00000000000a"] }]
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give each test an environment without the gate's settings; the command reads the process's own."""
    for name in (
        "GROUPGATE_POLICY",
        "GROUPGATE_TENANT_ID",
        "GROUPGATE_IDENTITY",
        "GROUPGATE_AUDIENCE",
        "GROUPGATE_ALLOW_HTTP",
        "GROUPGATE_AUDIT",
        "GROUPGATE_JOBS",
        "GROUPGATE_JOBS_SECRET",
        "GROUPGATE_REDIS_URL",
        "WEBSITE_INSTANCE_ID",
        "WEBSITE_SITE_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def _file(folder: Path, text: str) -> str:
    path = folder / "policy.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_t22_every_fault_of_a_file_is_a_line_and_the_exit_code_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T22: each line is `PLACE: message`; nothing else is printed."""
    assert main(["check", _file(tmp_path, BAD)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "version",
        "endpoints.fraud.url",
        "endpoints.fraud.rules.staff.groups",
    ]


def test_a_file_that_is_not_there_is_told_and_the_exit_code_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file is one line that names it, without a traceback."""
    missing = tmp_path / "missing.toml"
    assert main(["check", str(missing)]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert str(missing) in line


def test_a_good_file_is_summed_up_whatever_the_settings_are(capsys: pytest.CaptureFixture[str]) -> None:
    """`check FILE` looks at that file alone: no setting is needed. Denies stand first, as they decide first."""
    assert main(["check", str(SAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{SAMPLE} is in order: policy ")
    assert [line.split()[1].rstrip(":") for line in lines[1:5]] == [
        "fraud",
        "contractors-never",
        "analysts",
        "nightly-job",
    ]
    assert lines[5].startswith("model ")
    assert "groups fraud-analysts, ml-engineers; callers app, user; deployments blue" in lines[3]
    assert "no deployment may be named" in lines[4]


MODELS = """
version = 1
[models.gpt]
kind = "openai"
url = "https://contoso.openai.azure.com"
deployment = "gpt-blue"
operations = ["responses"]
fields = ["store"]
[[models.gpt.rules]]
id = "job"
effect = "allow"
principals = ["9a8b7c6d-0000-4000-8000-00000000000a"]
limits = { requests = "60/minute", tokens = "1000/hour" }
"""


def test_a_model_is_summed_up_with_what_it_offers_and_gives_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check FILE` says where a model leads, what may be asked, what requests may hold, and what each rule gives away."""
    assert main(["check", _file(tmp_path, MODELS)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "model gpt (openai) -> https://contoso.openai.azure.com, deployment gpt-blue" in lines
    told = "\n".join(lines)
    assert "responses, responses/cancel, responses/delete, responses/retrieve" in told
    assert "may also hold store" in told
    assert "60 requests in 60 s and 1000 tokens in 3600 s for each caller" in told
    assert "deployment may be named" not in told


JOBS = """
version = 1
hosts.allow = ["hooks.contoso.com"]
[endpoints.churn]
kind = "batch"
url = "https://churn.westeurope.inference.ml.azure.com/jobs"
job-timeout = "2h"
running-jobs = 3
rules = [
  { id = "analysts", effect = "allow", principals = ["9a8b7c6d-0000-4000-8000-00000000000a"], inputs = ["https://contosodata.blob.core.windows.net/transactions/"], outputs = ["https://contosodata.blob.core.windows.net/scores/"], experiments = ["churn"], settings = ["miniBatchSize"], notify = "https://hooks.contoso.com/churn" },
  { id = "admins", effect = "allow", principals = ["9a8b7c6d-0000-4000-8000-00000000000b"], outputs = ["https://contosodata.blob.core.windows.net/scores/"], own-folder = false, see = "all" },
  { id = "lookers", effect = "allow", principals = ["9a8b7c6d-0000-4000-8000-00000000000c"] },
]
"""


def test_t10_a_batch_endpoint_is_summed_up_with_what_each_rule_lets_jobs_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T10: a reviewer reads what the gate's identity may be made to read and write, and what bounds it."""
    assert main(["check", _file(tmp_path, JOBS)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = lines.index("endpoint churn (batch) -> https://churn.westeurope.inference.ml.azure.com/jobs")
    bounds, analysts, admins, lookers = lines[head + 1 : head + 5]
    assert "3 unfinished for each caller, cancelled after 7200 s at https://management.azure.com" in bounds
    assert "in no workspace that the policy names" in bounds
    terms = "inputs https://contosodata.blob.core.windows.net/transactions/; outputs "
    assert (
        f"{terms}https://contosodata.blob.core.windows.net/scores/, each in a folder of the job's own"
        in analysts
    )
    assert (
        "experiments churn; settings miniBatchSize; sees own jobs; tells https://hooks.contoso.com/churn"
        in analysts
    )
    assert "no inputs; outputs https://contosodata.blob.core.windows.net/scores/, as they are named" in admins
    assert "sees all jobs" in admins
    assert lookers.endswith("no inputs; no outputs; sees own jobs")
    assert lines[-1].startswith("note: batch endpoints take GROUPGATE_JOBS=on")


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({}, {"endpoints.churn.kind", "endpoints.churn.rules.analysts.notify"}),
        ({"GROUPGATE_JOBS": "on"}, {"endpoints.churn.rules.analysts.notify"}),
        ({"GROUPGATE_JOBS": "on", "GROUPGATE_JOBS_SECRET": "s" * 32}, set()),
    ],
    ids=["jobs off", "no secret", "both"],
)
def test_jobs_need_their_settings(
    settings: dict[str, str],
    places: set[str],
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Design 1: a batch endpoint with GROUPGATE_JOBS off, and `notify` without a secret, are faults, as in the app."""
    given = {"GROUPGATE_POLICY": _file(tmp_path, JOBS), "GROUPGATE_TENANT_ID": TENANT}
    for name, value in (given | settings).items():
        environment.setenv(name, value)
    assert main(["check"]) == (2 if places else 0)
    lines = capsys.readouterr().out.splitlines()
    assert not places or {line.partition(": ")[0] for line in lines} == places


@pytest.mark.parametrize(("identity", "warned"), [("token", True), ("both", False)])
def test_i07_jobs_without_app_service_authentication_are_a_warning(
    identity: str,
    warned: bool,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """I07: nothing but a key closes Durable's webhooks then, and that is said before the deployment."""
    given = {
        "GROUPGATE_POLICY": _file(tmp_path, JOBS),
        "GROUPGATE_TENANT_ID": TENANT,
        "GROUPGATE_AUDIENCE": "api://gate",
    }
    given |= {"GROUPGATE_IDENTITY": identity, "GROUPGATE_JOBS": "on", "GROUPGATE_JOBS_SECRET": "s" * 32}
    for name, value in given.items():
        environment.setenv(name, value)
    assert main(["check"]) == 0
    assert ("webhooks" in capsys.readouterr().out) is warned


@pytest.mark.parametrize(("redis", "code"), [("", 2), ("rediss://cache.example", 0)])
def test_limits_that_need_redis_are_a_fault_without_it(
    redis: str, code: int, tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Design 1: `check` looks at settings and policy together, as the app does."""
    environment.setenv("GROUPGATE_POLICY", _file(tmp_path, MODELS))
    environment.setenv("GROUPGATE_TENANT_ID", TENANT)
    environment.setenv("GROUPGATE_REDIS_URL", redis)
    assert main(["check"]) == code
    assert ("models.gpt.rules.job.limits" in capsys.readouterr().out) is (code == 2)


def test_warnings_are_printed_and_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like a slip is a line that begins with `warning:`; the exit code stays 0."""
    text = SAMPLE.read_text("utf-8").replace(
        "[groups]", '[groups]\nspare = "6f1b2c3d-0000-4000-8000-00000000000e"'
    )
    assert main(["check", _file(tmp_path, text)]) == 0
    assert "warning: groups.spare: no rule uses this group" in capsys.readouterr().out.splitlines()


def test_without_a_file_settings_and_policy_are_told_together(
    tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` alone looks at the environment and the policy that it names, and reports the faults of both."""
    environment.setenv("GROUPGATE_POLICY", _file(tmp_path, BAD))
    assert main(["check"]) == 2
    places = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert places[0] == "GROUPGATE_TENANT_ID"
    assert "endpoints.fraud.url" in places


def test_faults_of_the_settings_alone_fail_too(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good policy does not make up for a missing setting."""
    environment.setenv("GROUPGATE_POLICY", str(SAMPLE))
    assert main(["check"]) == 2
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "GROUPGATE_TENANT_ID"
    ]


def test_good_settings_and_a_good_policy_are_in_order(environment: pytest.MonkeyPatch) -> None:
    """With both right the exit code is 0."""
    environment.setenv("GROUPGATE_POLICY", str(SAMPLE))
    environment.setenv("GROUPGATE_TENANT_ID", TENANT)
    assert main(["check"]) == 0


def test_a_policy_that_the_setting_does_not_lead_to_is_told_once(
    tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing policy, and a setting that names none, are one line at GROUPGATE_POLICY each."""
    environment.setenv("GROUPGATE_TENANT_ID", TENANT)
    for value in (str(tmp_path / "missing.toml"), "https://account.blob.core.windows.net/policy.toml"):
        environment.setenv("GROUPGATE_POLICY", value)
        assert main(["check"]) == 2
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("GROUPGATE_POLICY: ")


@pytest.mark.parametrize(("allow", "code"), [("", 2), ("false", 2), ("true", 0)])
def test_http_to_loopback_follows_the_setting(
    allow: str, code: int, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """GROUPGATE_ALLOW_HTTP is the one setting that `check FILE` heeds."""
    environment.setenv("GROUPGATE_ALLOW_HTTP", allow)
    assert main(["check", _file(tmp_path, LOCAL)]) == code


@pytest.mark.parametrize("argv", [[], ["destroy"], ["check", "--what"], ["check", "a", "b"]])
def test_wrong_arguments_end_with_2(argv: list[str]) -> None:
    """What the command line does not know is refused by argparse with its own exit code 2."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`groupgate --help` lists the commands that exist, each with a line."""
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in COMMANDS)


def test_the_module_runs_as_the_command_and_imports_only_what_the_command_needs() -> None:
    """`python -m shared check FILE` is `groupgate check FILE`; checking loads neither aiohttp nor the Azure libraries."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "shared", "check", str(SAMPLE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}
    assert loaded.isdisjoint({"aiohttp", "azure", "jwt", "asyncio"})
