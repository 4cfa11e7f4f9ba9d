"""What the gate, jobs and `groupgate explain` are made of: the parts that they share, each made once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared.audit import Audit, make_sink
from shared.identity.easyauth import EasyAuth
from shared.identity.issuers import PUBLIC_AUTHORITY, fixed, public_issuers
from shared.loopback import is_loopback_url
from shared.membership.graph import GraphDirectory
from shared.membership.limiter import Limiter
from shared.membership.resolver import Resolver
from shared.model import Policy
from shared.outbound.transport import AiohttpTransport
from shared.ports import Clock
from shared.settings import DEFAULT_GRAPH, ROOT, Settings

if TYPE_CHECKING:
    from shared.identity.keys import Authority
    from shared.identity.token import TokenVerifier
    from shared.jobs.activities import Activities
    from shared.jobs.seal import Sealer

NO_POLICY: Final = Policy(digest="", routes={}, groups={})
"""Where the policy is broken: nobody is allowed anything, and jobs that run are led to their end."""


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class Parts:
    """What the gate, jobs and `groupgate explain` are made of, each once; making them opens nothing."""

    def __init__(self, settings: Settings, policy: Policy, clock: Clock) -> None:
        # Here and not above: importing azure-identity opens a socket (urllib3 looks for IPv6), and importing the app
        # opens nothing. Nor inside the first token's deadline.
        from shared.outbound.credentials import ManagedIdentityTokens  # noqa: PLC0415

        self.transport: Final = AiohttpTransport(clock)
        self.tokens: Final = ManagedIdentityTokens(
            clock, client_id=settings.client_id, developer=settings.credential == "developer"
        )
        # A loopback Graph is a stand-in, which stands in for the public one (ruling "Loopback").
        graph = DEFAULT_GRAPH if is_loopback_url(settings.graph_url) else settings.graph_url
        self.graph_scope: Final = f"{graph}/.default"
        directory = GraphDirectory(
            settings.graph_url,
            self.graph_scope,
            transport=self.transport,
            tokens=self.tokens,
            clock=clock,
            limiter=Limiter(clock),
        )
        groups = frozenset[str]().union(*(route.groups for route in policy.routes.values()))
        self.memberships: Final = Resolver(
            directory, clock, policy_digest=policy.digest, policy_groups=groups
        )
        self.settings: Final = settings
        self.policy: Final = policy
        self.clock: Final = clock

    def easyauth(self, platform_auth_enabled: Callable[[], bool]) -> EasyAuth:
        """Return who reads the platform's headers."""
        tenant = self.settings.tenant_id
        public = self.settings.authority == PUBLIC_AUTHORITY
        return EasyAuth(
            tenant=tenant,
            issuers=fixed(public_issuers(tenant)) if public else self._authority.issuers,
            platform_auth_enabled=platform_auth_enabled,
            clock=self.clock,
        )

    def verifier(self) -> TokenVerifier:
        """Return who verifies tokens."""
        from shared.identity.token import TokenVerifier  # noqa: PLC0415 - as below

        settings = self.settings
        return TokenVerifier(
            tenant=settings.tenant_id,
            audiences=settings.audiences,
            source=self._authority,
            clock=self.clock,
        )

    @cached_property
    def _authority(self) -> Authority:
        # Imported only where keys are needed: cryptography is dear at a cold start.
        from shared.identity.keys import Authority  # noqa: PLC0415

        settings = self.settings
        return Authority(
            url=settings.authority, tenant=settings.tenant_id, transport=self.transport, clock=self.clock
        )

    @cached_property
    def audit(self) -> Audit:
        """Return the audit of this process: two would write one file."""
        settings, process = self.settings, uuid.uuid4().hex
        sink = make_sink(settings.audit, self.clock, instance=settings.instance, process=process, root=ROOT)
        digest = self.policy.digest or None
        return Audit(sink, self.clock, policy_digest=digest, instance=settings.instance, process=process)

    @cached_property
    def sealer(self) -> Sealer:
        """Return who seals stored jobs, and believes them by their seals."""
        from shared.jobs.seal import Sealer  # noqa: PLC0415 - as below

        return Sealer(self.settings.jobs_secret)

    def activities(self) -> Activities:
        """Return what jobs do outside Durable."""
        # Imported only where there are jobs: a gate without them starts the sooner.
        from shared.jobs.activities import Activities  # noqa: PLC0415
        from shared.jobs.azureml import AzureMLJobs  # noqa: PLC0415
        from shared.jobs.notify import Notifier  # noqa: PLC0415

        secret, allow_http = self.settings.jobs_secret, self.settings.allow_http
        return Activities(
            policy=None if self.policy is NO_POLICY else self.policy,
            memberships=self.memberships,
            jobs=AzureMLJobs(self.transport, self.tokens, self.clock),
            audit=self.audit,
            clock=self.clock,
            sealer=self.sealer,
            notifier=None
            if secret is None
            else Notifier(secret, transport=self.transport, clock=self.clock, allow_http=allow_http),
            allow_http=allow_http,
        )
