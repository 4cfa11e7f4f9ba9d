"""What goes to Azure is what should, and nothing else: .funcignore, requirements.txt, host.json, function_app.py."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from tests.meta import repository

DEPLOYED = {".funcignore", "function_app.py", "host.json", "requirements.txt", "shared"}
"""What the package holds at its top, besides the operator's own policy.toml."""
NEVER_IN_AZURE = {"__pycache__/", "*.egg-info/", "/policy.toml"}
"""In .gitignore and rightly not in .funcignore: bytecode may be shipped, the policy must be."""


def lines(name: str) -> list[str]:
    return [line for line in repository.read(name).splitlines() if line and not line.startswith("#")]


def host() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(repository.read("host.json"))
    return document


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[=<>;~!]", line, maxsplit=1)[0].lower() for line in requirements}


def test_funcignore_names_only_what_exists_or_is_made() -> None:
    """An entry that matches nothing is a slip that silently deploys what it meant to leave out."""
    present = set(repository.files())
    folders = {f"{path.split('/')[0]}/" for path in present if "/" in path}
    made = {".git/", *lines(".gitignore")}
    assert [entry for entry in lines(".funcignore") if entry not in present | folders | made] == []


def test_funcignore_leaves_out_all_but_the_app() -> None:
    """Tests, local stack, benchmarks and docs stay at home; the app is not among what is left out, at any depth."""
    ignored = {entry.strip("/") for entry in lines(".funcignore")}
    deployed = [path for path in repository.files() if path.split("/")[0] not in ignored]
    assert {path.split("/")[0] for path in deployed} == DEPLOYED
    assert [path for path in deployed if ignored & set(path.split("/")[1:])] == []
    assert "policy.toml" not in ignored
    assert set(lines(".gitignore")) - NEVER_IN_AZURE <= set(lines(".funcignore"))


def test_requirements_are_the_runtime_packages_only() -> None:
    """Nothing of the development group is installed in Azure, unless the app itself needs it."""
    project = tomllib.loads(repository.read("pyproject.toml"))
    runtime = names(project["project"]["dependencies"])
    development = names(project["dependency-groups"]["dev"])
    deployed = names(lines("requirements.txt"))
    assert runtime <= deployed
    assert deployed & development == set()
    assert not [
        name
        for name in deployed
        if name.startswith(("pytest", "azure-functions-runtime", "azureml", "hypothesis"))
    ]
    assert all("==" in line for line in lines("requirements.txt"))


def test_host_json_keeps_the_routes_as_they_are() -> None:
    """The route prefix is empty, so that a base URL is the app's own."""
    assert host()["extensions"]["http"]["routePrefix"] == ""


def test_host_json_names_an_extension_bundle() -> None:
    """Without a bundle the Durable extension could not load."""
    assert host()["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"


def test_host_json_samples_no_traces() -> None:
    """R02: audit records in the platform's logs are traces, and sampling would drop some of them."""
    sampling = host()["logging"]["applicationInsights"]["samplingSettings"]
    assert not sampling["isEnabled"] or "Trace" in sampling["excludedTypes"].split(";")


def test_host_json_gives_every_policy_timeout_room() -> None:
    """The host ends no invocation before the longest `timeout` of a policy, 225 s."""
    hours, minutes, seconds = map(int, host()["functionTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + seconds > 225


def test_i08_host_json_keeps_what_jobs_hold_out_of_the_logs() -> None:
    """I08, R03: the inputs of orchestrations are whole intents, and their traces go to whoever reads the logs."""
    assert host()["extensions"]["durableTask"]["tracing"] == {"traceInputsAndOutputs": False}


def test_d10_host_json_lets_no_running_instance_be_started_over() -> None:
    """D10: that one start of an id is refused while it runs is what keeps notes and jobs single."""
    assert host()["extensions"]["durableTask"]["overridableExistingInstanceStates"] == "NonRunningStates"


def test_host_json_names_a_task_hub_that_storage_takes() -> None:
    """Azure Storage: letters and digits, a letter first, 3 to 45 of them; a renamed hub would lose every job that runs."""
    hub = host()["extensions"]["durableTask"]["hubName"]
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,44}", hub)
    assert hub == "Groupgate"


def test_f45_host_json_replays_every_step() -> None:
    """F45: sessions that are kept in memory hide an orchestration that is not deterministic, and hold memory for days."""
    assert host()["extensions"]["durableTask"]["extendedSessionsEnabled"] is False


def test_e10_host_json_holds_nothing_of_durable_that_was_not_looked_at() -> None:
    """E10: no setting of the extension closes its webhooks, and none that opens more is here."""
    assert set(host()["extensions"]) == {"http", "durableTask"}
    assert set(host()["extensions"]["durableTask"]) == {
        "hubName",
        "overridableExistingInstanceStates",
        "extendedSessionsEnabled",
        "tracing",
    }


def test_function_app_is_short() -> None:
    """The composition for the host stays under 60 lines: everything else is in shared/."""
    assert len(repository.read("function_app.py").splitlines()) < 60
