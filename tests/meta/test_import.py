"""Importing function_app does nothing, whatever the environment says."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta import repository
from tests.meta.repository import ROOT

_IMPORT = """
import json, sys
sys.path.insert(0, sys.argv[1])
seen = []

def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.fork")):
        # gethostname and creating an exception's class touch no network; a connection would be one of the others.
        seen.append(event)
    elif event == "open" and isinstance(args[0], (str, bytes)) and "policy" in str(args[0]) and ".toml" in str(args[0]):
        seen.append(f"open {args[0]}")
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and "pycache" not in str(args[0]):
        seen.append(f"write {args[0]}")

sys.addaudithook(hook)
import function_app
functions = sorted(function.get_function_name() for function in function_app.app.get_functions())
print(json.dumps({"seen": seen, "functions": functions, "modules": sorted(sys.modules)}))
"""
GOOD = {"GROUPGATE_TENANT_ID": "6f1b2c3d-0000-4000-8000-000000000001"}
EVERYTHING_WRONG = {
    "GROUPGATE_POLICY": "https://example.org/policy.toml",
    "GROUPGATE_TENANT_ID": "contoso",
    "GROUPGATE_IDENTITY": "both",
    "GROUPGATE_AUTHORITY": "http://[::1",
    "GROUPGATE_GRAPH_URL": "ftp://x",
    "GROUPGATE_CREDENTIAL": "mine",
    "GROUPGATE_HTTP": "fast",
    "GROUPGATE_JOBS": "off",
    "GROUPGATE_JOBS_SECRET": "short",
    "GROUPGATE_AUDIT": "paper",
    "GROUPGATE_REDIS_URL": "redis://x",
    "GROUPGATE_ALLOW_HTTP": "yes",
    "AZURE_CLIENT_ID": "x" * 100_000,
    "WEBSITE_AUTH_ENABLED": "\x1b",
}
BROKEN = [
    pytest.param({}, id="nothing is set"),
    pytest.param(EVERYTHING_WRONG, id="everything is wrong"),
    pytest.param(GOOD | {"GROUPGATE_POLICY": "nowhere/\x1f\ufffd.toml"}, id="the policy is nowhere"),
    pytest.param(GOOD | {"GROUPGATE_AUDIT": "file:/nowhere/at/all"}, id="the audit cannot be written"),
    pytest.param(
        GOOD | {"GROUPGATE_ALLOW_HTTP": "true", "WEBSITE_SITE_NAME": "x"}, id="a laptop's setting in Azure"
    ),
]


def imported(env: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """Import function_app in a new process that stands in another folder; return what was seen."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | env
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-B", "-c", _IMPORT, str(ROOT)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


FUNCTIONS = ["healthz", "me", "models", "openai", "readyz", "score", "swagger"]
OF_JOBS = [
    "groupgate_cancel",
    "groupgate_end",
    "groupgate_job",
    "groupgate_note",
    "groupgate_notify",
    "groupgate_poll",
    "groupgate_submit",
    "job",
    "jobs",
]


@pytest.mark.parametrize("env", BROKEN)
def test_a_broken_environment_neither_raises_nor_opens_anything(env: dict[str, str], tmp_path: Path) -> None:
    """Every route is registered all the same, so that the app answers 503 where the host would show nothing at all."""
    result = imported(env, tmp_path)
    assert result["seen"] == []
    assert result["functions"] == FUNCTIONS


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"GROUPGATE_JOBS": "on"}, id="nothing else is set"),
        pytest.param(EVERYTHING_WRONG | {"GROUPGATE_JOBS": "On"}, id="everything else is wrong"),
        pytest.param(GOOD | {"GROUPGATE_JOBS": "onn"}, id="a slip in the setting itself"),
    ],
)
def test_no_slip_takes_the_functions_from_under_jobs_that_run(env: dict[str, str], tmp_path: Path) -> None:
    """Batch: whatever else is wrong, Durable finds the functions of jobs again; only `off` and nothing are off."""
    result = imported(env, tmp_path)
    assert result["seen"] == []
    assert result["functions"] == sorted(FUNCTIONS + OF_JOBS)


@pytest.mark.parametrize("jobs", ["", "off", "on"])
@pytest.mark.parametrize("http", ["classic", "stream"])
def test_a_good_environment_opens_nothing_either(http: str, jobs: str, tmp_path: Path) -> None:
    """No socket, no policy read, no file written: everything waits for the first request.

    In classic hosting nothing of the streaming extension is imported, which would switch the whole app; without jobs
    nothing of Durable, nor what only jobs need; the local stack never is.
    """
    result = imported({**GOOD, "GROUPGATE_HTTP": http, "GROUPGATE_JOBS": jobs}, tmp_path)
    assert result["seen"] == []
    roots = {name.partition(".")[0] for name in result["modules"]}
    assert "local" not in roots
    assert ("azurefunctions" in roots) == ("fastapi" in roots) == (http == "stream")
    durable = {name for name in result["modules"] if name.startswith("azure.durable_functions")}
    own = {name for name in result["modules"] if name.startswith(("shared.jobs", "shared.hosting.jobs"))}
    assert bool(durable) == bool(own) == (jobs == "on")
    assert result["functions"] == sorted(FUNCTIONS + (OF_JOBS if jobs == "on" else []))


def test_one_file_imports_durable() -> None:
    """Style: what is imported only where a setting asks for it, is imported in one place."""
    found = {
        path
        for path in repository.files()
        if path.startswith("shared/") and path.endswith(".py") and _imports_durable(repository.read(path))
    }
    assert found == {"shared/hosting/jobs.py"}


def _imports_durable(source: str) -> bool:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return any(name.startswith("azure.durable_functions") for name in names)
