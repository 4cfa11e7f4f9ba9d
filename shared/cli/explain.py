"""`groupgate explain`: what the gate would decide for a caller now, step by step, by the gate's own functions."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from shared import strictjson
from shared.cli.explanation import Explanation, caller_of, decided, explain, failed, text, unproven
from shared.cli.question import Question, Unusable, declare, question_of, rule_on, settled
from shared.configuration import configured
from shared.identity.claims import Claims
from shared.identity.document import parse_principal
from shared.identity.easyauth import PRINCIPAL, PRINCIPAL_ID, PRINCIPAL_IDP, PROVIDER
from shared.ids import guid
from shared.model import Headers, Kind, Membership, Principal, Reason
from shared.parts import Parts, SystemClock
from shared.policy.routing import match
from shared.problem import Unauthenticated, Undecidable
from shared.settings import Settings

ALLOW: Final = 0
DENY: Final = 1
ERROR: Final = 2
_HINTS: Final = {
    Reason.UNKNOWN_ENDPOINT: "the policy has no endpoint or model of that name: groupgate check lists them",
    Reason.OPERATION_NOT_ALLOWED: "the endpoint is of another kind, or the model's operations in the policy do not name it",
    Reason.ISSUER_MISMATCH: "the issuer must be the tenant's own at GROUPGATE_AUTHORITY",
    Reason.CREDENTIAL_UNAVAILABLE: "to ask Graph from a laptop, set GROUPGATE_CREDENTIAL=developer and sign in with az login",
}
"""What to look at, for the reasons that are the operator's more often than the caller's."""
_EXIT: Final = {"allow": ALLOW, "deny": DENY, "error": ERROR}


class _Given(msgspec.Struct, frozen=True, kw_only=True):
    """The caller as given on the command line, unverified: nobody signed it, and nothing is allowed by it."""

    document: bytes = b""
    """The JSON of the principal header."""
    token: bytes | None = None
    """The payload of a token, where that was given."""
    claims: Claims = Claims()
    user: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    caller = parser.add_mutually_exclusive_group(required=True)
    caller.add_argument(
        "principal", nargs="?", type=Path, metavar="FILE",
        help="the JSON of the principal header (decoded), or a token's claims",
    )  # fmt: skip
    caller.add_argument(
        "--user", metavar="OBJECT-ID", help="a user of the tenant, with no claims: Graph is asked"
    )
    declare(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; return 0 for allow, 1 for deny, 2 for an error."""
    # What a credential tells of its tries would stand between the lines; the reason says what came of them.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        question = question_of(arguments)
        given = _given(arguments.principal, arguments.user)
        explanation = asyncio.run(_explain(Settings.from_env(), given, question))
    except Unusable as unusable:
        print(f"groupgate explain: {unusable}", file=sys.stderr)
        return ERROR
    hint = _HINTS.get(Reason(explanation.reason))
    if hint is not None:
        print(f"groupgate explain: {hint}", file=sys.stderr)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print(text(explanation), end="")
    return _EXIT[explanation.decision]


async def _explain(settings: Settings, given: _Given, question: Question) -> Explanation:
    policy, faults = configured(settings)
    if policy is None:
        print(*faults, sep="\n", file=sys.stderr)
        return failed(unproven(None, question.asked, Reason.MISCONFIGURED), Reason.MISCONFIGURED)
    asked = settled(question, policy)
    clock = SystemClock()
    parts = Parts(settings, policy, clock)
    try:
        principal = await _principal(settings, parts, given)
        caller = caller_of(principal, given.claims, now=clock.time(), assumed=given.user is not None)
        try:
            asked, ruling = await rule_on(
                question, asked, policy=policy, memberships=parts.memberships, principal=principal
            )
        except Undecidable as fault:
            route = match(policy, asked)
            known = (
                Membership()
                if route is None
                else parts.memberships.graced(principal, route.groups, route.lifetimes)
            )
            steps = explain(policy, asked, caller, principal=principal, route=route, membership=known)
            return failed(steps, fault.reason)
        steps = explain(
            policy, asked, caller, principal=principal, route=ruling.route, membership=ruling.membership
        )
        return decided(steps, ruling.decision)
    except Unauthenticated as fault:
        return unproven(policy.digest, asked, fault.reason)
    except Undecidable as fault:
        return failed(unproven(policy.digest, asked, fault.reason), fault.reason)
    finally:
        await parts.transport.close()


async def _principal(settings: Settings, parts: Parts, given: _Given) -> Principal:
    """Return the caller as the gate would, by its own authenticators; raise Unauthenticated or Undecidable."""
    if given.user is not None:
        return Principal(tenant=settings.tenant_id, oid=given.user, kind=Kind.USER)
    if given.token is not None and settings.identity != "easyauth":
        return await parts.verifier().judge(given.token)
    if settings.identity == "token":
        raise Unusable("GROUPGATE_IDENTITY=token reads tokens only; give the claims of a token")
    headers = (
        (PRINCIPAL, b64encode(given.document).decode()),
        (PRINCIPAL_ID, given.claims.one("oid") or ""),
        (PRINCIPAL_IDP, PROVIDER),
    )
    # As it reaches the gate behind App Service Authentication, which there is none of on a laptop.
    return await parts.easyauth(lambda: True).authenticate(Headers(headers))


def _given(file: Path | None, user: str | None) -> _Given:
    if file is None:
        canonical = guid(user or "")
        if canonical is None:
            raise Unusable("--user takes an object id such as 6f1b2c3d-0000-4000-8000-000000000001")
        return _Given(user=canonical)
    try:
        members = strictjson.loads_object(file.read_bytes())
    except OSError as fault:
        raise Unusable(f"cannot read {file}: {fault.strerror}") from fault
    except strictjson.StrictJsonError as fault:
        raise Unusable(f"{file} is not one JSON object: {fault}") from fault
    token = None if "claims" in members else msgspec.json.encode(members)
    document = msgspec.json.encode(members if token is None else _as_principal(members))
    try:
        return _Given(document=document, token=token, claims=parse_principal(document).claims)
    except Unauthenticated as fault:
        shapes = 'a principal {"auth_typ": …, "claims": [{"typ": …, "val": …}]} or the claims of a token'
        raise Unusable(f"{file} is neither {shapes}") from fault


def _as_principal(token: Mapping[str, object]) -> dict[str, object]:
    """Return what App Service Authentication makes of a token's claims: every value a text, a list a run of entries."""
    pairs = (
        (name, one)
        for name, value in token.items()
        for one in (value if isinstance(value, list) else [value])
    )
    claims = [
        {"typ": name, "val": one if isinstance(one, str) else msgspec.json.encode(one).decode()}
        for name, one in pairs
    ]
    return {"auth_typ": PROVIDER, "claims": claims}
