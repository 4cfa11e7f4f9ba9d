"""How public samples do it: synchronous, `requests`, nothing remembered but what azure-identity remembers by itself.

`SAMPLE_GRAPH=true` asks Graph about the caller each time; otherwise the groups claim alone decides.
"""

import base64
import json
import logging
import os
from typing import Any

import azure.functions as func
import requests
from azure.identity import ManagedIdentityCredential

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
credential = ManagedIdentityCredential()
# azure-identity logs every request for a token at INFO; a sample in production would have turned that down too.
logging.getLogger("azure").setLevel(logging.WARNING)

GROUP = os.environ["SAMPLE_GROUP"]
GRAPH = os.environ["SAMPLE_GRAPH_URL"]
ASK_GRAPH = os.environ["SAMPLE_GRAPH"] == "true"
MODELS = {"fraud": os.environ["SAMPLE_MODEL"] + "/score", "slow": os.environ["SAMPLE_MODEL"] + "/slow/score"}


def is_member(principal: dict[str, Any]) -> bool:
    if not ASK_GRAPH:
        return any(claim["typ"] == "groups" and claim["val"] == GROUP for claim in principal["claims"])
    oid = next(claim["val"] for claim in principal["claims"] if claim["typ"].endswith("objectidentifier"))
    token = credential.get_token("https://graph.microsoft.com/.default").token
    answer = requests.post(
        f"{GRAPH}/v1.0/users/{oid}/checkMemberGroups",
        headers={"Authorization": f"Bearer {token}"},
        json={"groupIds": [GROUP]},
        timeout=5,
    )
    answer.raise_for_status()
    return GROUP in answer.json()["value"]


@app.route(route="endpoints/{name}/score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    header = req.headers.get("X-MS-CLIENT-PRINCIPAL")
    if not header:
        return func.HttpResponse("Unauthorized", status_code=401)
    if not is_member(json.loads(base64.b64decode(header))):
        return func.HttpResponse("Forbidden", status_code=403)
    logging.info("scoring %s", req.route_params["name"])  # noqa: LOG015 - as samples do
    token = credential.get_token("https://ml.azure.com/.default").token
    answer = requests.post(
        MODELS[req.route_params["name"]],
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        data=req.get_body(),
        timeout=60,
    )
    return func.HttpResponse(answer.content, status_code=answer.status_code, mimetype="application/json")
