"""What `make up` prints: the addresses of the local stack, and lines to paste into a shell."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from local import flowers
from local.arm.contoso import ENDPOINT, SITE
from local.stackpolicy import ELSEWHERE, EXAMPLE, OUTPUTS, REQUESTS

if TYPE_CHECKING:
    from local.stack import Stack

PACE = 5.0
"""Seconds that each status of a job lasts, so that whoever pastes lines one by one still finds it running."""


def _bypass(stack: Stack) -> str:
    identity = stack.auditor.environment | {
        "GROUPGATE_GRAPH_URL": stack.directory_reads.url,
        "GROUPGATE_ALLOW_HTTP": "true",
    }
    setting = " ".join(f"{name}={value}" for name, value in identity.items())
    command = f"{sys.executable} -m shared bypass"
    snapshot = stack.folder / "bypass.json"
    where = f"--gate {SITE} --management {stack.arm.url} --save {snapshot}"
    return f"""{setting} {command} {ENDPOINT} {where}
{command} --from {snapshot} --fixes
{command} --from {snapshot} --what-if"""


def told(stack: Stack) -> str:
    """Give the addresses and the lines."""
    score = f"{stack.easyauth.url}/endpoints/fraud/score"
    jobs = f"{stack.easyauth.url}/endpoints/irises/jobs"
    member = f"{stack.graph.url}/_directory/groups/fraud-analysts/members/bob"

    def as_who(who: str) -> str:
        return f'-H "Authorization: Bearer $(curl -s {stack.entra.url}/_token/{who})"'

    def sends(body: object) -> str:
        return f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'"

    def submits(folder: str) -> str:
        return sends(flowers.job(folder))

    rows = sends({"data": [[5.1, 3.5, 1.4, 0.2]]})
    asks = [{"role": "user", "content": "Tell me a story."}]
    chat = sends({"model": "assistant", "stream": True, "max_tokens": 40, "messages": asks})
    return f"""
App Service Authentication   {stack.easyauth.url}   (callers use this)
the gate behind it           {stack.gate.url}
the same, for models         {stack.models.url}
the gate behind it           {stack.models_gate.url}
Entra                        {stack.entra.url}
Graph                        {stack.graph.url}
managed identity             {stack.managed_identity.url}
Azure ML endpoint            {stack.azureml.url}
Azure ML batch endpoint      {stack.batch.url}
Azure OpenAI resource        {stack.openai.url}
Azure Resource Manager       {stack.arm.url}
policy, audit, logs          {stack.folder}
storage accounts             {stack.folder / "storage"}

# alice is a member, bob is not (carol: 250 groups, dave: guest, erin: contractor, nightly: managed identity)
curl -sSi -w '\\n' {score} {as_who("alice")} {rows}
curl -sSi -w '\\n' {score} {as_who("bob")} {rows}
curl -sS -w '\\n' {stack.easyauth.url}/me {as_who("alice")}
# alice submits a folder of CSV files: 202, and where to look; each status lasts {PACE:.0f} s here
curl -sSi -w '\\n' {jobs} {as_who("alice")} -H 'Idempotency-Key: flowers' {submits(EXAMPLE)}
# the same once more with the same key: the same job, and JOB names it
JOB=$(curl -sS -w '\\n' {jobs} {as_who("alice")} -H 'Idempotency-Key: flowers' {submits(EXAMPLE)} \\
  | tee /dev/stderr | python3 -c 'import json,sys; print(json.load(sys.stdin)["name"])')
curl -sS -w '\\n' {jobs}/$JOB {as_who("alice")}
# no rule gives bob anything, none gives alice's jobs data of somebody else, and her job is not there for carol, a member
curl -sS -w '\\n' {jobs} {as_who("bob")} {submits(EXAMPLE)}
curl -sS -w '\\n' {jobs} {as_who("alice")} {submits(ELSEWHERE)}
curl -sS -w '\\n' {jobs}/$JOB {as_who("carol")}
# alice lists her jobs; grace, an auditor, everybody's
curl -sS -w '\\n' {jobs} {as_who("alice")}
curl -sS -w '\\n' {jobs} {as_who("grace")}
# alice cancels it; without the key another one starts. Of a job that ends, some {6 * PACE:.0f} s after its start, the predictions lie in a folder of its own below
# {stack.batch.storage.path(OUTPUTS)}
curl -sS -w '\\n' -X DELETE {jobs}/$JOB {as_who("alice")}
# frank is an ML engineer and chats; his model takes {REQUESTS} calls a minute
curl -sSiN -w '\\n' {stack.models.url}/openai/v1/chat/completions {as_who("frank")} {chat}
curl -sS -w '\\n' {stack.models.url}/openai/v1/models {as_who("frank")}
# who reaches the fraud model around the gate, told to an identity of its own; then what closes it, and what would be left
{_bypass(stack)}
# bob joins, bob leaves
curl -sSi -w '\\n' -X PUT {member}
curl -sSi -w '\\n' -X DELETE {member}
# Graph fails, Graph works again (the same on every address above but the gates')
curl -sSi -w '\\n' -X PUT {stack.graph.url}/_faults -d '{{"status": 503}}'
curl -sSi -w '\\n' -X DELETE {stack.graph.url}/_faults

Ctrl-C stops everything.
"""
