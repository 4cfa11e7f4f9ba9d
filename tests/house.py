"""A gate over fakes: what its tests share."""

from __future__ import annotations

import json
from typing import Any

from shared.gate import Gate
from shared.model import Inbound, Policy, Reply
from shared.ports import Backend
from tests.fakes import (
    FakeAuthenticator,
    FakeBackend,
    FakeClock,
    FakeMemberships,
    FakeQuota,
    FakeRecorder,
    a_membership,
    a_policy,
    an_inbound,
)


class House:
    """A gate whose every dependency is a fake that the test may set; by default alice is a member and may score."""

    def __init__(self, policy: Policy | None = None, *, backend: Backend | None = None) -> None:
        self.log: list[str] = []
        self.policy = policy or a_policy()
        self.authenticator = FakeAuthenticator()
        self.memberships = FakeMemberships(known=a_membership())
        self.backend = FakeBackend(self.log)
        self.quota = FakeQuota(self.log)
        self.recorder = FakeRecorder(self.log)
        self.clock = FakeClock()
        self.not_ready: BaseException | None = None
        self.readiness_asked = 0
        self.gate = Gate(
            policy=self.policy,
            authenticator=self.authenticator,
            memberships=self.memberships,
            backends={"online": backend or self.backend, "openai": backend or self.backend},
            quota=self.quota,
            audit=self.recorder,
            clock=self.clock,
            ready=self._ready,
        )

    async def _ready(self) -> None:
        self.readiness_asked += 1
        if self.not_ready is not None:
            raise self.not_ready

    async def ask(self, route: str = "score", **changes: Any) -> Reply:
        """Return the gate's answer to a lawful request with `changes`."""
        return await self.gate.handle(an_inbound(route, **changes))

    async def handle(self, inbound: Inbound) -> Reply:
        return await self.gate.handle(inbound)


def document(reply: Reply) -> dict[str, Any]:
    """Return the reply's JSON."""
    assert isinstance(reply.body, bytes)
    parsed: dict[str, Any] = json.loads(reply.body)
    return parsed


def slug(reply: Reply) -> str:
    """Return the last part of a problem's type."""
    return str(document(reply)["type"]).rpartition(":")[2]


def without_ids(reply: Reply) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Return all that a caller sees of `reply`, its request id blanked."""
    request_id = dict(reply.headers)["x-request-id"]
    assert isinstance(reply.body, bytes)
    headers = tuple((name, value.replace(request_id, "ID")) for name, value in reply.headers)
    return reply.status, headers, reply.body.replace(request_id.encode(), b"ID")
