"""The composition root: everything is wired here, once, at the first request."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from shared import problem
from shared.backends.forward import Forwarder
from shared.backends.online import Online
from shared.backends.openai import OpenAI
from shared.configuration import configured
from shared.gate import Gate, finish
from shared.model import Inbound, Reason, Reply
from shared.parts import NO_POLICY, Parts, SystemClock
from shared.ports import Authenticator, Backend
from shared.problem import Undecidable
from shared.quota import make_owners, make_quota
from shared.settings import Settings
from shared.surface import ADDRESSES

if TYPE_CHECKING:
    from shared.jobs.activities import Activities
    from shared.outbound.redis import RedisStore

_log: Final = logging.getLogger("groupgate")
_PARTIAL: Final = "GROUPGATE_AUDIT=log in stream mode: outcomes of streamed answers are not recorded"
_OPEN: Final = (
    "GROUPGATE_IDENTITY=token with GROUPGATE_JOBS=on: App Service Authentication need not stand in front of Durable's "
    "webhooks, which then nothing but a key closes"
)


def build(settings: Settings) -> App:
    """Return the app for `settings`. Opens nothing and never raises: what is wrong is told when it is asked."""
    return App(settings)


class App:
    """The gate, wired at its first request; or, with a configuration fault, the refusal of everything.

    With GROUPGATE_JOBS=on it leads jobs to their end as well, where the policy is broken too.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._parts: Parts | None = None
        self._gate: Gate | None = None
        self._activities: Activities | None = None
        self._wired = False

    async def handle(self, inbound: Inbound) -> Reply:
        """Answer one request of any route."""
        if not self._wired:
            self._wire()
        if self._gate is None:
            return _refuse(inbound)
        return await self._gate.handle(inbound)

    def work(self) -> Activities:
        """Return what jobs do outside Durable; raise Undecidable while a setting is wrong or jobs are off."""
        if not self._wired:
            self._wire()
        if self._activities is None:
            if self._parts is None or not self._settings.jobs:
                raise Undecidable(Reason.MISCONFIGURED)
            self._activities = self._parts.activities()
        return self._activities

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
            if self._settings.identity == "token" and self._settings.jobs:
                _log.warning(_OPEN)
            self._parts = Parts(self._settings, policy, SystemClock())
            self._gate = wire(self._parts)
        elif self._settings.jobs and not self._settings.faults:
            self._parts = Parts(self._settings, NO_POLICY, SystemClock())


def wire(parts: Parts) -> Gate:
    """Return the gate for checked settings and a loaded policy."""
    settings, policy, clock = parts.settings, parts.policy, parts.clock
    partial = settings.http == "stream" and not parts.audit.outlives_invocation
    if partial:
        _log.warning(_PARTIAL)
    store = _store(parts)
    return Gate(
        policy=policy,
        authenticator=_authenticator(parts),
        memberships=parts.memberships,
        backends=_backends(parts, store),
        quota=make_quota(clock, store),
        audit=parts.audit,
        clock=clock,
        ready=_readiness(parts, partial=partial),
    )


def _backends(parts: Parts, store: RedisStore | None) -> Mapping[str, Backend]:
    clock = parts.clock
    forwarder = Forwarder(parts.transport, parts.tokens, clock)
    # Any caller's body is read before it is known which model it names; without a model, none needs more than none.
    largest = max(
        (route.max_body for route in parts.policy.routes.values() if route.target == "model"), default=1024
    )
    backends: dict[str, Backend] = {
        "online": Online(forwarder, clock),
        "openai": OpenAI(forwarder, make_owners(store), clock, max_body=largest),
    }
    if parts.settings.jobs:
        from shared.backends.batch import Batch  # noqa: PLC0415 - as above

        backends["batch"] = Batch(clock, seal=parts.sealer.seal, holds=parts.sealer.holds)
    return backends


def _store(parts: Parts) -> RedisStore | None:
    if parts.settings.redis_url is None:
        return None
    from shared.outbound.redis import RedisStore  # noqa: PLC0415 - as above

    return RedisStore.at(parts.settings.redis_url, clock=parts.clock, tokens=parts.tokens)


def _authenticator(parts: Parts) -> Authenticator:
    settings = parts.settings
    easyauth = parts.easyauth(settings.platform_auth_enabled)
    if settings.identity == "easyauth":
        return easyauth
    if settings.identity == "token":
        return parts.verifier()
    from shared.identity.both import Both  # noqa: PLC0415 - as above

    return Both(easyauth=easyauth, verifier=parts.verifier())


def _readiness(parts: Parts, *, partial: bool) -> Callable[[], Awaitable[None]]:
    settings, routes = parts.settings, parts.policy.routes.values()
    # What jobs need at Azure Resource Manager is not asked for: only a cancellation does, and it waits and tries again.
    scopes = {route.scope for route in routes}
    if any(route.groups for route in routes):
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
