"""The gate's own parts, put together in this process for what is measured without a host."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from copy import replace
from pathlib import Path

from bench import rig, traffic
from shared.identity.easyauth import EasyAuth
from shared.identity.issuers import fixed, public_issuers
from shared.membership.resolver import Resolver
from shared.model import Headers, Kind, Policy
from shared.policy.loader import load_file


class Clock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def _enabled() -> bool:
    """Ask as the app does, anew for each request."""
    return os.environ.get("WEBSITE_AUTH_ENABLED", "true").strip().lower() == "true"


class Yes:
    """A directory that says yes at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def check_member_groups(self, kind: Kind, oid: str, groups: frozenset[str]) -> frozenset[str]:
        del kind, oid
        self.calls += 1
        return groups


def easy_auth() -> EasyAuth:
    """Return what reads the principal headers behind App Service Authentication."""
    return EasyAuth(
        tenant=traffic.TENANT,
        issuers=fixed(public_issuers(traffic.TENANT)),
        platform_auth_enabled=_enabled,
        clock=Clock(),
    )


def policy(endpoints: int) -> Policy:
    """Return a policy with that many endpoints `e0`, `e1`, …: one loaded from TOML, the others like it."""
    with tempfile.TemporaryDirectory() as folder:
        table = rig.endpoint("e0", "http://127.0.0.1:9/score")
        made: Mapping[str, str] = rig.gate_settings(Path(folder), "http://127.0.0.1:9", endpoints=table)
        loaded = load_file(Path(made["GROUPGATE_POLICY"]), allow_http=True)
    (route,) = loaded.routes.values()
    names = [f"e{number}" for number in range(endpoints)]
    return replace(loaded, routes={("endpoint", name): replace(route, name=name) for name in names})


def resolver(loaded: Policy, directory: Yes) -> Resolver:
    """Return the membership of a policy over a directory."""
    return Resolver(directory, Clock(), policy_digest=loaded.digest, policy_groups=frozenset(loaded.groups))


def headers(number: int, groups: int, *, member: bool = True) -> Headers:
    """Return the headers of caller `number`."""
    return Headers(traffic.headers(number, traffic.principal(number, groups, member=member)))
