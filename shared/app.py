"""The composition root: everything is wired here, once, at the first request."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared import problem
from shared.audit import Audit, make_sink
from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.backends.openai import OpenAI
from shared.configuration import configured
from shared.gate import Gate, finish
from shared.identity.easyauth import EasyAuth
from shared.identity.issuers import PUBLIC_AUTHORITY, fixed, public_issuers
from shared.loopback import is_loopback_url
from shared.membership.graph import GraphDirectory
from shared.membership.limiter import Limiter
from shared.membership.resolver import Resolver
from shared.model import Inbound, Policy, Reason, Reply
from shared.outbound.transport import AiohttpTransport
from shared.ports import Authenticator, Clock
from shared.problem import Undecidable
from shared.quota import make_owners, make_quota
from shared.settings import DEFAULT_GRAPH, ROOT, Settings
from shared.surface import ADDRESSES

if TYPE_CHECKING:
    from shared.identity.keys import Authority
    from shared.identity.token import TokenVerifier
    from shared.outbound.redis import RedisStore

_log: Final = logging.getLogger("groupgate")
_PARTIAL: Final = "GROUPGATE_AUDIT=log in stream mode: outcomes of streamed answers are not recorded"


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def build(settings: Settings) -> App:
    """Return the app for `settings`. Opens nothing and never raises: what is wrong is told when it is asked."""
    return App(settings)


class App:
    """The gate, wired at its first request; or, with a configuration fault, the refusal of everything."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._gate: Gate | None = None
        self._wired = False

    async def handle(self, inbound: Inbound) -> Reply:
        """Answer one request of any route."""
        if not self._wired:
            self._wire()
        if self._gate is None:
            return _refuse(inbound)
        return await self._gate.handle(inbound)

    def _wire(self) -> None:
        # Inside the first invocation: what is logged while importing is dropped by the host.
        self._wired = True
        _log.setLevel(logging.INFO)
        # Both log at INFO for every call, each line a message to the host.
        for chatty in ("azure", "aiohttp"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        policy, faults = configured(self._settings)
        for fault in faults:
            _log.error("configuration fault: %s", fault)
        if policy is not None:
            for warning in policy.warnings:
                _log.warning("policy: %s", warning)
            _log.info("policy %s, endpoints and models: %d", policy.digest, len(policy.routes))
            if self._settings.identity != "token" and not self._settings.platform_auth_enabled():
                _log.warning(
                    "App Service Authentication is off (WEBSITE_AUTH_ENABLED): everything but /healthz is 503"
                )
            self._gate = wire(self._settings, policy, SystemClock())


class Parts:
    """What the gate and `groupgate explain` are made of; making them opens nothing."""

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
        self._settings: Final = settings
        self._clock: Final = clock

    def easyauth(self, platform_auth_enabled: Callable[[], bool]) -> EasyAuth:
        """Return who reads the platform's headers."""
        tenant = self._settings.tenant_id
        public = self._settings.authority == PUBLIC_AUTHORITY
        return EasyAuth(
            tenant=tenant,
            issuers=fixed(public_issuers(tenant)) if public else self._authority.issuers,
            platform_auth_enabled=platform_auth_enabled,
            clock=self._clock,
        )

    def verifier(self) -> TokenVerifier:
        """Return who verifies tokens."""
        from shared.identity.token import TokenVerifier  # noqa: PLC0415 - as below

        settings = self._settings
        return TokenVerifier(
            tenant=settings.tenant_id,
            audiences=settings.audiences,
            source=self._authority,
            clock=self._clock,
        )

    @cached_property
    def _authority(self) -> Authority:
        # Imported only where keys are needed: cryptography is dear at a cold start.
        from shared.identity.keys import Authority  # noqa: PLC0415

        settings = self._settings
        return Authority(
            url=settings.authority, tenant=settings.tenant_id, transport=self.transport, clock=self._clock
        )


def wire(settings: Settings, policy: Policy, clock: Clock) -> Gate:
    """Return the gate for checked settings and a loaded policy."""
    parts = Parts(settings, policy, clock)
    process = uuid.uuid4().hex
    sink = make_sink(settings.audit, clock, instance=settings.instance, process=process, root=ROOT)
    partial = settings.http == "stream" and not sink.outlives_invocation
    if partial:
        _log.warning(_PARTIAL)
    forwarder = Forwarder(parts.transport, parts.tokens, clock)
    store = _store(settings, parts, clock)
    # Any caller's body is read before it is known which model it names; without a model, none needs more than none.
    largest = max(
        (route.max_body for route in policy.routes.values() if route.target == "model"), default=1024
    )
    return Gate(
        policy=policy,
        authenticator=_authenticator(settings, parts),
        memberships=parts.memberships,
        backends={
            "online": Online(forwarder, clock),
            "openai": OpenAI(forwarder, make_owners(store), clock, max_body=largest),
        },
        quota=make_quota(clock, store),
        audit=Audit(sink, clock, policy_digest=policy.digest, instance=settings.instance, process=process),
        clock=clock,
        ready=_readiness(settings, policy, parts, partial=partial),
    )


def _store(settings: Settings, parts: Parts, clock: Clock) -> RedisStore | None:
    if settings.redis_url is None:
        return None
    from shared.outbound.redis import RedisStore  # noqa: PLC0415 - as above

    return RedisStore.at(settings.redis_url, clock=clock, tokens=parts.tokens)


def _authenticator(settings: Settings, parts: Parts) -> Authenticator:
    easyauth = parts.easyauth(settings.platform_auth_enabled)
    if settings.identity == "easyauth":
        return easyauth
    if settings.identity == "token":
        return parts.verifier()
    from shared.identity.both import Both  # noqa: PLC0415 - as above

    return Both(easyauth=easyauth, verifier=parts.verifier())


def _readiness(
    settings: Settings, policy: Policy, parts: Parts, *, partial: bool
) -> Callable[[], Awaitable[None]]:
    scopes = {route.scope for route in policy.routes.values()}
    if any(route.groups for route in policy.routes.values()):
        scopes.add(parts.graph_scope)

    async def ready() -> None:
        """Raise problem.Undecidable unless the gate could serve a request now."""
        if settings.identity != "token" and not settings.platform_auth_enabled():
            raise Undecidable(Reason.PLATFORM_AUTH_OFF)
        for scope in sorted(scopes):
            await parts.tokens.token(scope)
        if partial:
            _log.warning(_PARTIAL)

    return ready


def _refuse(inbound: Inbound) -> Reply:
    request_id = str(uuid.uuid4())
    if inbound.route == "healthz":
        return finish(Reply(status=200, headers=()), inbound, request_id)
    fault = Undecidable(Reason.MISCONFIGURED)
    refusal = problem.render(fault, request_id=request_id, openai=ADDRESSES[inbound.route].openai)
    return finish(refusal, inbound, request_id)
