"""What `make up` prints: the addresses of the local stack, and lines to paste into a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local import flowers
from local.stackpolicy import EXAMPLE, REQUESTS

if TYPE_CHECKING:
    from local.stack import Stack


def told(stack: Stack) -> str:
    """Give the addresses and the lines."""
    score = f"{stack.easyauth.url}/endpoints/fraud/score"
    jobs = f"{stack.easyauth.url}/endpoints/irises/jobs"
    member = f"{stack.graph.url}/_directory/groups/fraud-analysts/members/bob"

    def as_who(who: str) -> str:
        return f'-H "Authorization: Bearer $(curl -s {stack.entra.url}/_token/{who})"'

    def sends(body: object) -> str:
        return f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'"

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
policy, audit, logs          {stack.folder}
storage accounts             {stack.folder / "storage"}

# alice is a member, bob is not (carol: 250 groups, dave: guest, erin: contractor, nightly: managed identity)
curl -i {score} {as_who("alice")} {rows}
curl -i {score} {as_who("bob")} {rows}
curl -s {stack.easyauth.url}/me {as_who("alice")}
# alice submits a folder of CSV files, looks at her job and at all of hers, cancels it (grace, an auditor, sees everybody's)
JOB=$(curl -s {jobs} {as_who("alice")} {sends(flowers.job(EXAMPLE))} | grep -o '[0-9a-f-]\\{{58\\}}' | head -1)
curl -i {jobs}/$JOB {as_who("alice")}
curl -s {jobs} {as_who("alice")}
curl -i -X DELETE {jobs}/$JOB {as_who("alice")}
# frank is an ML engineer and chats; his model takes {REQUESTS} calls a minute
curl -iN {stack.models.url}/openai/v1/chat/completions {as_who("frank")} {chat}
curl -s {stack.models.url}/openai/v1/models {as_who("frank")}
# bob joins, bob leaves
curl -i -X PUT {member}
curl -i -X DELETE {member}
# Graph fails, Graph works again (the same on every address above but the gates')
curl -i -X PUT {stack.graph.url}/_faults -d '{{"status": 503}}'
curl -i -X DELETE {stack.graph.url}/_faults

Ctrl-C stops everything.
"""
