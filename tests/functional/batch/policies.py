"""The policies of the gates under test: batch endpoints, all served by one front, each with what is special about it."""

from collections.abc import Mapping

from local.batch.front import WORKSPACE
from local.directory import CONTRACTORS, FRAUD_ANALYSTS, ML_ENGINEERS
from tests.functional.gates import PROMPT
from tests.functional.world import HELP

LANDING, RESULTS = "fraudlanding", "fraudresults"
"""Storage accounts: what jobs may read, and where their results are put."""
INPUTS = f"https://{LANDING}.blob.core.windows.net/incoming/"
OUTPUTS = f"{WORKSPACE}/datastores/results/paths/scores/"
INPUT = f"{INPUTS}{PROMPT}/"
"""What jobs read unless they say otherwise; nothing of it may stand in any answer, record or log line."""
OUTPUT = f"{OUTPUTS}june/"

AUDITORS = "ml-engineers"
"""The group whose members see everybody's jobs, and start none."""
NOT_SOON = 'job-timeout = "30d"'
"""Keeps a clock that is moved ahead from ending jobs."""
_TERMS = f'inputs = ["{INPUTS}"]\n  outputs = ["{OUTPUTS}"]'
_FURTHER = """
  literals = ["query"]
  experiments = ["canary"]
  computes = ["cpu-cluster"]
  settings = ["miniBatchSize", "instanceCount"]
  own-folder = false"""

ENDPOINTS: dict[str, tuple[str, str]] = {
    "nightly": (NOT_SOON, _TERMS),
    "hourly": (NOT_SOON, _TERMS),
    "small": ('max-body = "1KiB"', _TERMS),
    "helpful": (f'help = "{HELP}"', _TERMS),
    "open": (
        NOT_SOON,
        _TERMS + _FURTHER,
    ),
    "two": (f"running-jobs = 2\n{NOT_SOON}", _TERMS),
    "fleeting": (f'max-membership-age = "1s"\nrecheck-refused = "500ms"\n{NOT_SOON}', _TERMS),
    "quick": (f'timeout = "1s"\n{NOT_SOON}', _TERMS),
    "brief": ('job-timeout = "1m"', _TERMS),
}
"""Keys of each endpoint and of the rule of its members."""

_HEAD = f"""version = 1
[hosts]
allow = ["127.0.0.1"]
[groups]
fraud-analysts = "{FRAUD_ANALYSTS}"
ml-engineers = "{ML_ENGINEERS}"
contractors = "{CONTRACTORS}"
"""
_ENDPOINT = """
[endpoints.{name}]
kind = "batch"
url = "{url}"
workspace = "{workspace}"
{keys}
  [[endpoints.{name}.rules]]
  id = "contractors-never"
  effect = "deny"
  groups = ["contractors"]
  [[endpoints.{name}.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
  callers = ["user", "app"]
  deployments = ["blue", "gone"]
  {terms}
  [[endpoints.{name}.rules]]
  id = "auditors"
  effect = "allow"
  groups = ["ml-engineers"]
  see = "all"
"""
_ONLINE = """
[endpoints.scoring]
kind = "online"
url = "http://127.0.0.1:9/score"
  [[endpoints.scoring.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
"""


def policy(url: str, endpoints: Mapping[str, tuple[str, str]] = ENDPOINTS) -> str:
    """Give a policy whose batch endpoints are all at the scoring URI `url`, beside one online endpoint."""
    text = _HEAD + _ONLINE
    for name, (keys, terms) in endpoints.items():
        text += _ENDPOINT.format(name=name, url=url, workspace=WORKSPACE, keys=keys, terms=terms)
    return text
