"""What LiteLLM calls for every request: who, in which group, and which model and how much that gives (`custom_auth`)."""

import base64
import binascii
import json
import os

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

GROUP = os.environ["BENCH_GROUP"]
MODEL = os.environ["BENCH_MODEL"]
MUCH = 900_000_000


async def check(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Return the caller with its limits; 401 without a principal, 403 for who is not in the group."""
    del api_key
    header = request.headers.get("x-ms-client-principal")
    oid = request.headers.get("x-ms-client-principal-id")
    if not header or not oid:
        raise HTTPException(401, "who are you?")
    try:
        claims = json.loads(base64.b64decode(header, validate=True))["claims"]
    except (binascii.Error, ValueError, KeyError) as fault:
        raise HTTPException(401, "who are you?") from fault
    if not any(claim["typ"] == "groups" and claim["val"] == GROUP for claim in claims):
        raise HTTPException(403, "not for you")
    if (await request.json()).get("model") != MODEL:
        raise HTTPException(403, "not for you")
    return UserAPIKeyAuth(api_key=oid, user_id=oid, models=[MODEL], rpm_limit=MUCH, tpm_limit=MUCH)
