"""`groupgate explain`: what the gate would decide for a caller now, step by step, by the gate's own functions."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from shared import strictjson
from shared.app import Parts, SystemClock
from shared.authorize import authorize
from shared.cli.explanation import Explanation, caller_of, decided, explain, failed, text, unproven
from shared.identity.claims import Claims, principal_of
from shared.identity.document import parse_principal
from shared.identity.easyauth import PROVIDER
from shared.ids import guid
from shared.model import Asked, Kind, Membership, Policy, Principal, Reason
from shared.policy.loader import PolicyFaults, load_file
from shared.policy.routing import match
from shared.problem import Unauthenticated, Undecidable
from shared.settings import Settings

ALLOW: Final = 0
DENY: Final = 1
ERROR: Final = 2
_EXIT: Final = {"allow": ALLOW, "deny": DENY, "error": ERROR}


class _Unusable(Exception):
    """What was given cannot be explained; the message says why and what to give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The caller as given on the command line, unverified: nobody signed it, and nothing is allowed by it."""

    claims: Claims
    provider: str
    user: str | None


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
    parser.add_argument("--endpoint", required=True, metavar="NAME", help="the endpoint's name in the policy")
    parser.add_argument("--deployment", metavar="NAME", help="the azureml-model-deployment that is asked for")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; return 0 for allow, 1 for deny, 2 for an error."""
    asked = Asked(
        target="endpoint", name=arguments.endpoint, operation="score", deployment=arguments.deployment
    )
    # What a credential tells of its tries would stand between the lines; the reason says what came of them.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        given = _given(arguments.principal, arguments.user)
        explanation = asyncio.run(_explain(Settings.from_env(), given, asked))
    except _Unusable as unusable:
        print(f"groupgate explain: {unusable}", file=sys.stderr)
        return ERROR
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print(text(explanation), end="")
    return _EXIT[explanation.decision]


async def _explain(settings: Settings, given: _Given, asked: Asked) -> Explanation:
    policy = _policy(settings)
    clock = SystemClock()
    parts = Parts(settings, policy, clock)
    try:
        principal = await _principal(settings, parts, given)
        caller = caller_of(principal, given.claims, now=clock.time())
        try:
            ruling = await authorize(policy, parts.memberships, principal, asked)
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
        return unproven(policy, asked, fault.reason)
    except Undecidable as fault:
        return failed(unproven(policy, asked, fault.reason), fault.reason)
    finally:
        await parts.transport.close()


def _policy(settings: Settings) -> Policy:
    faults = settings.faults
    try:
        policy = load_file(settings.policy_path, allow_http=settings.allow_http)
    except PolicyFaults as found:
        faults += found.faults
    else:
        if not faults:
            return policy
    raise _Unusable("the configuration has faults:\n" + "\n".join(map(str, faults)))


async def _principal(settings: Settings, parts: Parts, given: _Given) -> Principal:
    if given.user is not None:
        return Principal(tenant=settings.tenant_id, oid=given.user, kind=Kind.USER)
    if given.provider != PROVIDER:
        raise Unauthenticated(Reason.PROVIDER_MISMATCH)
    return principal_of(given.claims, tenant=settings.tenant_id, issuers=await parts.issuers())


def _given(file: Path | None, user: str | None) -> _Given:
    if file is None:
        canonical = guid(user or "")
        if canonical is None:
            raise _Unusable("--user takes an object id such as 6f1b2c3d-0000-4000-8000-000000000001")
        return _Given(claims=Claims(), provider=PROVIDER, user=canonical)
    try:
        data = file.read_bytes()
        document = strictjson.loads_object(data)
    except OSError as fault:
        raise _Unusable(f"cannot read {file}: {fault.strerror}") from fault
    except strictjson.StrictJsonError as fault:
        raise _Unusable(f"{file} is not one JSON object: {fault}") from fault
    try:
        if "claims" in document:
            principal = parse_principal(data)
            return _Given(claims=principal.claims, provider=principal.auth_typ, user=None)
        return _Given(claims=Claims.of_token(document), provider=PROVIDER, user=None)
    except Unauthenticated as fault:
        shapes = 'a principal {"auth_typ": …, "claims": [{"typ": …, "val": …}]} or the claims of a token'
        raise _Unusable(f"{file} is neither {shapes}") from fault
