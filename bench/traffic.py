"""What the callers send: principals with App Service Authentication's headers, and requests as bytes."""

from __future__ import annotations

import base64
import json
import time

from bench.stub import STRANGER

TENANT = "11111111-0000-4000-8000-000000000001"
GROUP = "6f1b2c3d-0000-4000-8000-000000000001"
BODY = json.dumps({"input_data": [[0.123456789] * 8] * 9}).encode().ljust(1024)
SCHEMAS = "http://schemas.microsoft.com/identity/claims/"


__all__ = ["BODY", "GROUP", "STRANGER", "TENANT", "headers", "oid", "principal", "request"]


def oid(number: int) -> str:
    """Return the object id of caller `number`."""
    return f"22222222-0000-4000-8000-{number:012x}"


def principal(number: int, groups: int, *, member: bool = True, overage: bool = False) -> str:
    """Return the `X-MS-CLIENT-PRINCIPAL` of a user with that many groups; one of them the rule's, when a member."""
    ids = [f"6f1b2c3d-0000-4000-9000-{index:012x}" for index in range(groups - member)] + [GROUP] * member
    now = int(time.time())
    claims = [
        ("aud", "api://groupgate"),
        ("iss", f"https://sts.windows.net/{TENANT}/"),
        ("iat", str(now)),
        ("nbf", str(now)),
        ("exp", str(now + 4000)),
        ("appid", "33333333-0000-4000-8000-000000000003"),
        ("appidacr", "1"),
        ("http://schemas.microsoft.com/identity/claims/objectidentifier", oid(number)),
        ("http://schemas.microsoft.com/identity/claims/scope", "user_impersonation"),
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", f"pairwise-{number}"),
        (SCHEMAS + "tenantid", TENANT),
        ("ver", "1.0"),
    ]
    claims += [("_claim_names", '{"groups":"src1"}')] if overage else [("groups", each) for each in ids]
    document = {
        "auth_typ": "aad",
        "claims": [{"typ": typ, "val": val} for typ, val in claims],
        "name_typ": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "role_typ": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


def headers(number: int, header: str) -> list[tuple[str, str]]:
    """Return the four headers that App Service Authentication sets."""
    return [
        ("x-ms-client-principal", header),
        ("x-ms-client-principal-id", oid(number)),
        ("x-ms-client-principal-idp", "aad"),
        ("x-ms-client-principal-name", "caller@example.com"),
    ]


def request(target: str, pairs: list[tuple[str, str]], body: bytes = BODY) -> bytes:
    """Return a POST of `body` to `target` as it goes over the wire."""
    lines = [f"POST {target} HTTP/1.1", "host: gate.example", "content-type: application/json"]
    lines += [f"content-length: {len(body)}"] + [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join([*lines, "", ""]).encode() + body
