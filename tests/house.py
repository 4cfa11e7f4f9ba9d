"""A gate over fakes: what its tests share."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from shared.backends.batch import Batch
from shared.gate import Gate
from shared.job import Intent
from shared.jobs.seal import Sealer
from shared.model import (
    BatchTerms,
    Fact,
    Headers,
    Inbound,
    Membership,
    Policy,
    Reply,
    Route,
    Source,
    Standing,
)
from shared.places import text_of
from shared.ports import Backend
from tests import fakes
from tests.fakes import (
    ANALYSTS,
    CONTRACTORS,
    ENGINEERS,
    JSON_HEADERS,
    READ,
    WRITTEN,
    FakeAuthenticator,
    FakeBackend,
    FakeBody,
    FakeClock,
    FakeMemberships,
    FakeQuota,
    FakeRecorder,
    a_membership,
    a_policy,
    a_principal,
    an_inbound,
)
from tests.jobfakes import JOBS_URL, MANAGEMENT, WORKSPACE, FakeJobStore


class House:
    """A gate whose every dependency is a fake that the test may set; by default alice is a member and may score."""

    def __init__(
        self, policy: Policy | None = None, *, backend: Backend | None = None, clock: FakeClock | None = None
    ) -> None:
        self.log: list[str] = []
        self.policy = policy or a_policy()
        self.authenticator = FakeAuthenticator()
        self.memberships = FakeMemberships(known=a_membership())
        self.backend = FakeBackend(self.log)
        self.quota = FakeQuota(self.log)
        self.recorder = FakeRecorder(self.log)
        self.clock = clock or FakeClock()
        self.not_ready: BaseException | None = None
        self.readiness_asked = 0
        self.gate = Gate(
            policy=self.policy,
            authenticator=self.authenticator,
            memberships=self.memberships,
            backends=dict.fromkeys(("online", "batch", "openai"), backend or self.backend),
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


IN, OUT = text_of(READ), text_of(WRITTEN)
BOUNDS = BatchTerms(workspace=WORKSPACE, management=MANAGEMENT, job_timeout=86_400.0, running_jobs=10)
BOB = "22222222-0000-4000-8000-000000000002"


def a_batch(**changes: Any) -> Route:
    """Return the batch endpoint `churn`, where analysts may run jobs from IN to OUT, with `changes`."""
    return fakes.a_batch(**{"name": "churn", "url": JOBS_URL, "batch": BOUNDS, "concurrency": 256, **changes})


def a_job(uri: str = f"{IN}june/", *, to: str = OUT, **further: Any) -> bytes:
    """Return the body of a job that reads `uri` and writes to `to`."""
    read = {"data": {"JobInputType": "UriFolder", "Uri": uri}}
    written = {"score": {"JobOutputType": "UriFolder", "Uri": to}}
    return json.dumps({"properties": {"InputData": read, "OutputData": written, **further}}).encode()


class HeldStore(FakeJobStore):
    """A store whose next start waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def start(self, intent: Intent) -> None:
        self.reached.set()
        await self.go.wait()
        await super().start(intent)


class JobHouse(House):
    """A gate with the real backend of batch endpoints over a store in memory; alice is an analyst.

    Without a `secret` whatever a test puts into the store is believed.
    """

    def __init__(self, *routes: Route, store: FakeJobStore | None = None, secret: str | None = None) -> None:
        clock = FakeClock()
        self.store = store or FakeJobStore()
        sealer = Sealer(secret)
        self.batch = Batch(clock, seal=sealer.seal, holds=sealer.holds)
        super().__init__(a_policy(*routes or (a_batch(),)), backend=self.batch, clock=clock)

    def become(self, oid: str, *groups: str, **changes: Any) -> None:
        """Let the caller be `oid`, in `groups` and in no other."""
        self.authenticator.principal = a_principal(oid=oid, **changes)
        self.memberships.answers["known"] = Membership(
            facts={
                group: Fact(
                    standing=Standing.IN if group in groups else Standing.OUT, source=Source.GRAPH, age=1.0
                )
                for group in (ANALYSTS, ENGINEERS, CONTRACTORS)
            }
        )

    async def submit(
        self, body: bytes | None = None, *, headers: tuple[tuple[str, str], ...] = (), **changes: Any
    ) -> Reply:
        """Return the answer to a lawful submission with `changes`."""
        lawful = {
            "method": "POST",
            "params": {"name": "churn"},
            "headers": Headers((*JSON_HEADERS, *headers)),
            "body": FakeBody(a_job() if body is None else body),
            "jobs": self.store,
        }
        return await self.ask("jobs", **{**lawful, **changes})

    async def list(self, **changes: Any) -> Reply:
        """Return the answer to a caller who lists jobs."""
        return await self.ask("jobs", **{"params": {"name": "churn"}, "jobs": self.store, **changes})

    async def look(self, job: str, **changes: Any) -> Reply:
        """Return the answer to a caller who looks at a job."""
        lawful = {"params": {"name": "churn", "id": job}, "jobs": self.store}
        return await self.ask("job", **{**lawful, **changes})

    async def cancel(self, job: str, **changes: Any) -> Reply:
        """Return the answer to a caller who ends a job."""
        return await self.look(job, method="DELETE", **changes)


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
