"""The policies of the local stack: one for the gate that serves jobs, one for the others."""

from local.batch.front import WORKSPACE
from local.directory import CONTRACTORS, FRAUD_ANALYSTS, ML_ENGINEERS
from local.openai import AUDIENCE

HELP = "Ask fraud-ml@contoso.example for the group Fraud Analysts."
STATED_AGE = 2.0
"""Seconds until a change of membership must show: `max-membership-age` and `recheck-refused`."""
REQUESTS = 6
"""How many calls a minute the policy gives each engineer."""
LANDING = "contosolanding"
RESULTS = "contosoresults"
"""Storage accounts: what jobs may read, and where their results are put."""
INPUTS = f"https://{LANDING}.blob.core.windows.net/flowers/"
EXAMPLE = f"{INPUTS}example/"
OUTPUTS = f"{WORKSPACE}/datastores/results/paths/irises/"
"""Where jobs may read, a folder of it, and where they may write: there each gets a folder of its own."""
ELSEWHERE = "https://attackerstore.blob.core.windows.net/flowers/"
"""Somebody else's storage, which no rule names."""

_GROUPS = f"""version = 1

[hosts]
allow = ["127.0.0.1"]

[groups]
fraud-analysts = "{FRAUD_ANALYSTS}"
ml-engineers = "{ML_ENGINEERS}"
contractors = "{CONTRACTORS}"
"""
_SCORING = f"""
[defaults]
max-membership-age = "{STATED_AGE:.0f}s"
recheck-refused = "{STATED_AGE:.0f}s"

[endpoints.fraud]
kind = "online"
url = "ONLINE/score"
help = "{HELP}"
timeout = "10s"

  [[endpoints.fraud.rules]]
  id = "contractors-never"
  effect = "deny"
  groups = ["contractors"]

  [[endpoints.fraud.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
  callers = ["user", "app"]
  deployments = ["blue"]

[models.assistant]
kind = "openai"
url = "RESOURCE"
deployment = "tiny-llama"
scope = "{AUDIENCE}/.default"
operations = ["chat/completions", "embeddings", "responses"]

  [[models.assistant.rules]]
  id = "engineers"
  effect = "allow"
  groups = ["ml-engineers"]
  limits = {{ requests = "{REQUESTS}/minute", tokens = "20000/hour", scope = "instance" }}

[models.analyst]
kind = "openai"
url = "RESOURCE"
deployment = "tiny-llama"
scope = "{AUDIENCE}/.default"

  [[models.analyst.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
"""

_JOBS = f"""
[endpoints.irises]
kind = "batch"
url = "BATCH"
workspace = "{WORKSPACE}"
timeout = "10s"
running-jobs = 4

  [[endpoints.irises.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
  deployments = ["blue"]
  inputs = ["{INPUTS}"]
  outputs = ["{OUTPUTS}"]

  [[endpoints.irises.rules]]
  id = "auditors"
  effect = "allow"
  groups = ["auditors"]
  see = "all"
"""


def policy(*, online: str, resource: str) -> str:
    """Give the policy of a gate without jobs, for the base URLs of the online endpoint and of the models' resource."""
    return _GROUPS + _SCORING.replace("ONLINE", online).replace("RESOURCE", resource)


def policy_with_jobs(*, online: str, resource: str, batch: str, auditors: str) -> str:
    """Give the same with a batch endpoint at the scoring URI `batch`, whose jobs the group `auditors` sees all."""
    rest = policy(online=online, resource=resource).removeprefix(_GROUPS)
    return f'{_GROUPS}auditors = "{auditors}"\n{rest}{_JOBS.replace("BATCH", batch)}'
