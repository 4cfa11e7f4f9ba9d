"""Where a stored job's endpoint is reached: as the policy says now, and else only as a sealed intent says (threat T10)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from shared.job import Intent
from shared.jobs.azureml import Where
from shared.jobs.seal import Sealer
from shared.loopback import is_loopback_url
from shared.model import Policy, Route

TIMEOUT: Final = 60.0
"""Seconds for each call to Azure, whatever the endpoint's `timeout`; where a job may be at two places, for both together.

An activity makes up to three calls in a row, and has to end within the host's functionTimeout (300 s), with the time that
the store and the directory take beside them.
"""


class Reach:
    """Knows the endpoints of the policy, and of intents that can be believed."""

    def __init__(self, policy: Policy | None, sealer: Sealer, *, allow_http: bool) -> None:
        self._policy: Final = policy
        self._sealer: Final = sealer
        self._allow_http: Final = allow_http

    def route(self, intent: Intent) -> Route | None:
        """Return the batch endpoint that the policy has under the job's name; None where it has none."""
        route = None if self._policy is None else self._policy.routes.get(("endpoint", intent.endpoint))
        return None if route is None or route.batch is None else route

    def of_policy(self, intent: Intent) -> Where | None:
        """Return where the policy says the job's endpoint is; None where it has none. Only there a job is submitted."""
        route = self.route(intent)
        if route is None or route.batch is None:
            return None
        return Where(
            url=route.url,
            scope=route.scope,
            workspace=route.batch.workspace,
            management=route.batch.management,
            deployment=intent.deployment,
            timeout=min(route.timeout, TIMEOUT),
        )

    def everywhere(self, intent: Intent) -> tuple[Where, ...]:
        """Return where the job may run, most likely first; empty where nothing can be believed.

        A policy that has lost the endpoint, or gives it another address, leaves jobs to end where they were started: as
        the intent says, where its seal holds. Without seals that goes for this machine alone.
        """
        current = self.of_policy(intent)
        former = self._former(intent)
        if current is None:
            return () if former is None else (former,)
        if former is None or former.url == current.url:
            return (current,)
        return tuple(replace(where, timeout=min(where.timeout, TIMEOUT / 2)) for where in (current, former))

    def _former(self, intent: Intent) -> Where | None:
        if not self._sealer.holds(intent):
            return None
        here = self._allow_http and is_loopback_url(intent.url) and is_loopback_url(intent.management)
        if not self._sealer.secured and not here:
            return None
        return Where(
            url=intent.url,
            scope=intent.scope,
            workspace=intent.workspace,
            management=intent.management,
            deployment=intent.deployment,
            timeout=TIMEOUT,
        )
