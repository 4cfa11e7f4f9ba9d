"""Fakes that many tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from copy import replace
from typing import Any, get_args

from shared import operations
from shared.gate import aclose
from shared.job import Intent, Progress
from shared.model import (
    Asked,
    BatchTerms,
    Effect,
    Fact,
    Headers,
    Inbound,
    JobTerms,
    Kind,
    Lifetimes,
    Limits,
    Membership,
    Policy,
    Principal,
    Rate,
    Reply,
    Route,
    Rule,
    Source,
    Standing,
    Usage,
)
from shared.places import parse
from shared.ports import Call, Decide, Forwarded, TransportFault
from shared.problem import AskedWrongly, Slug


class FakeClock:
    """A ports.Clock that stands still until the test moves it."""

    def __init__(self, *, wall: float = 1_750_000_000.0, monotonic: float = 1_000.0) -> None:
        self.wall = wall
        self.now = monotonic

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += seconds
        self.now += seconds


class LoopTime:
    """The running loop's own clock, moved by the test, so that its timeouts pass without waiting."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._skipped = 0.0
        loop.time = lambda: self._real() + self._skipped  # type: ignore[method-assign]

    async def pass_(self, seconds: float) -> None:
        """Let `seconds` pass for the loop, and everything that is due run."""
        self._skipped += seconds
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something that does not come by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


TENANT = "11111111-0000-4000-8000-000000000001"
ALICE = "22222222-0000-4000-8000-000000000001"
ANALYSTS = "6f1b2c3d-0000-4000-8000-000000000001"
ENGINEERS = "6f1b2c3d-0000-4000-8000-000000000002"
CONTRACTORS = "6f1b2c3d-0000-4000-8000-000000000003"
URL = "https://fraud.westeurope.inference.ml.azure.com/score"
SCOPE = "https://ml.azure.com/.default"
TOKEN = "token-of-the-gate"
LIFETIMES = Lifetimes(max_age=900.0, recheck_refused=60.0, outage_grace=0.0)


def a_principal(**changes: Any) -> Principal:
    """Return alice, a user of the own tenant, with `changes`."""
    return replace(Principal(tenant=TENANT, oid=ALICE, kind=Kind.USER), **changes)


def a_rule(**changes: Any) -> Rule:
    """Return a rule that allows users of the analysts' group, with `changes`."""
    analysts = Rule(
        id="analysts",
        effect=Effect.ALLOW,
        groups=frozenset({ANALYSTS}),
        callers=frozenset({Kind.USER}),
        deployments=frozenset(),
    )
    return replace(analysts, **changes)


def a_deny_rule(**changes: Any) -> Rule:
    """Return a rule that denies contractors of every kind, with `changes`."""
    contractors = Rule(
        id="contractors-never",
        effect=Effect.DENY,
        groups=frozenset({CONTRACTORS}),
        callers=frozenset(Kind),
    )
    return replace(contractors, **changes)


def a_route(**changes: Any) -> Route:
    """Return the online endpoint `fraud`, open to analysts, with `changes`; its groups are those of its rules."""
    fraud = Route(
        target="endpoint",
        name="fraud",
        kind="online",
        url=URL,
        scope=SCOPE,
        operations=operations.ONLINE,
        rules=(a_rule(),),
        lifetimes=LIFETIMES,
        timeout=60.0,
        max_body=1024,
        content_types=frozenset({"application/json"}),
        concurrency=1,
        relay_errors=True,
    )
    route = replace(fraud, **changes)
    return replace(route, groups=frozenset().union(*(rule.groups for rule in route.rules)))


WORKSPACE = (
    "/subscriptions/33333333-0000-4000-8000-000000000001/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/fraud-ws"
)
READ = parse("https://contosodata.blob.core.windows.net/transactions/")
WRITTEN = parse("https://contosodata.blob.core.windows.net/scores/")
TERMS = JobTerms(inputs=(READ,), outputs=(WRITTEN,))


def a_batch(**changes: Any) -> Route:
    """Return the batch endpoint `nightly`, whose jobs analysts may run, with `changes`; its groups are those of its rules."""
    nightly = Route(
        target="endpoint",
        name="nightly",
        kind="batch",
        url="https://nightly.westeurope.inference.ml.azure.com/jobs",
        scope=SCOPE,
        operations=operations.BATCH,
        rules=(a_rule(job=TERMS),),
        lifetimes=LIFETIMES,
        timeout=60.0,
        max_body=65_536,
        content_types=frozenset({"application/json"}),
        concurrency=1,
        relay_errors=True,
        batch=BatchTerms(
            workspace=WORKSPACE,
            management="https://management.azure.com",
            job_timeout=86_400.0,
            running_jobs=10,
        ),
    )
    route = replace(nightly, **changes)
    return replace(route, groups=frozenset().union(*(rule.groups for rule in route.rules)))


RESOURCE = "https://contoso.openai.azure.com"
LIMITS = Limits(requests=Rate(amount=60, period=60), tokens=Rate(amount=1000, period=3600))


def a_model(**changes: Any) -> Route:
    """Return the model `gpt`, open to analysts within limits, with `changes`; its groups are those of its rules."""
    gpt = Route(
        target="model",
        name="gpt",
        kind="openai",
        url=RESOURCE,
        scope="https://ai.azure.com/.default",
        operations=operations.granted(get_args(operations.ModelOperation)),
        rules=(a_rule(limits=LIMITS),),
        lifetimes=LIFETIMES,
        timeout=60.0,
        max_body=4096,
        content_types=frozenset(),
        concurrency=1,
        relay_errors=True,
        deployment="gpt-blue",
        default_max_tokens=1000,
    )
    route = replace(gpt, **changes)
    limited = any(rule.limits is not None for rule in route.rules)
    return replace(route, groups=frozenset().union(*(rule.groups for rule in route.rules)), limited=limited)


def a_policy(*routes: Route) -> Policy:
    """Return a policy of `routes`, by default of `fraud` alone."""
    return Policy(
        digest="d" * 64,
        routes={(route.target, route.name): route for route in routes or (a_route(),)},
        groups={ANALYSTS: "fraud-analysts", ENGINEERS: "ml-engineers", CONTRACTORS: "contractors"},
    )


def a_membership(standing: Standing = Standing.IN, *groups: str, source: Source = Source.CLAIM) -> Membership:
    """Return the same standing in each of `groups`, by default in the analysts' group."""
    fact = Fact(standing=standing, source=source, age=1.0)
    return Membership(facts=dict.fromkeys(groups or (ANALYSTS,), fact))


def a_call(**changes: Any) -> Call:
    """Return a scoring call to `fraud` that nothing was taken for, with `changes`."""
    route = changes.get("route", a_route())
    call = Call(
        route=route,
        asked=Asked(target=route.target, name=route.name, operation="score"),
        request_id="r",
        body=b"{}",
        headers={},
        method="POST",
        url=route.url,
        deadline=1.0,
        streams=True,
        principal=a_principal(),
    )
    return replace(call, **changes)


class FakeBody:
    """A request's body: `parts` are bytes, or an exception to raise when it is read; None never comes."""

    def __init__(
        self, data: bytes | BaseException | None = b"{}", *, length: int | None = -1, chunked: bool = False
    ) -> None:
        self.data = data
        declared = len(data) if isinstance(data, bytes) else 2
        self.length = declared if length == -1 else length
        self.chunked = chunked
        self.limits: list[int] = []

    async def read(self, limit: int) -> bytes:
        self.limits.append(limit)
        if self.data is None:
            await asyncio.Event().wait()
        if isinstance(self.data, BaseException):
            raise self.data
        assert self.data is not None
        if len(self.data) > limit:
            raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)
        return self.data


JSON_HEADERS = (("Content-Type", "application/json"), ("Authorization", "Bearer caller"))


CHAT = b'{"model":"gpt","messages":[{"role":"user","content":"hi"}]}'
PARAMS = {
    "score": {"name": "fraud"},
    "swagger": {"name": "fraud"},
    "openai": {"rest": "v1/chat/completions"},
    "models": {"rest": "chat/completions"},
    "jobs": {"name": "fraud"},
    "job": {"name": "fraud", "id": "none"},
}
BODIES = {"score": b"{}", "openai": CHAT, "models": CHAT}


def an_inbound(route: str = "score", **changes: Any) -> Inbound:
    """Return a lawful request: a POST to `fraud`'s score, a chat with `gpt`, or a GET of another route, with `changes`."""
    body = BODIES.get(route)
    request = Inbound(
        method="GET" if body is None else "POST",
        route=route,
        params=PARAMS.get(route, {}),
        query="",
        headers=Headers(() if body is None else JSON_HEADERS),
        body=FakeBody(b"", length=None) if body is None else FakeBody(body),
        streams=False,
    )
    return replace(request, **changes)


def headers_of(reply: Reply) -> dict[str, str]:
    """Return the reply's headers; none of them may stand there twice."""
    names = [name for name, _ in reply.headers]
    assert len(names) == len(set(names)), names
    return dict(reply.headers)


class FakeAuthenticator:
    """A ports.Authenticator that names one caller, or raises."""

    def __init__(self, principal: Principal | None = None, *, fault: BaseException | None = None) -> None:
        self.principal = principal or a_principal()
        self.fault = fault
        self.calls = 0

    async def authenticate(self, headers: Headers) -> Principal:
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        return self.principal


class FakeMemberships:
    """A ports.Memberships whose three answers the test sets: each a Membership, or an exception to raise."""

    def __init__(
        self,
        *,
        known: Membership | BaseException | None = None,
        ask: Membership | BaseException | None = None,
        graced: Membership | BaseException | None = None,
    ) -> None:
        self.answers = {"known": known, "ask": ask, "graced": graced}
        self.calls: list[tuple[str, frozenset[str]]] = []

    def _answer(self, name: str, groups: frozenset[str]) -> Membership:
        self.calls.append((name, groups))
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer or Membership()

    def known(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        return self._answer("known", groups)

    async def ask(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        return self._answer("ask", groups)

    def graced(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        return self._answer("graced", groups)


class FakeRecorder:
    """A ports.Recorder that keeps what it is told, and writes each event to `log` as well."""

    def __init__(self, log: list[str] | None = None, *, outlives_invocation: bool = True) -> None:
        self.log = [] if log is None else log
        self.outlives_invocation = outlives_invocation
        self.decisions: list[dict[str, Any]] = []
        self.outcomes: list[dict[str, Any]] = []
        self.jobs: list[tuple[Intent, Progress, str | None]] = []
        self.fault: BaseException | None = None

    async def decided(self, **record: Any) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.log.append("decided")
        self.decisions.append(record)

    async def completed(self, **record: Any) -> None:
        await asyncio.sleep(0)
        self.log.append("completed")
        self.outcomes.append(record)

    async def job(self, intent: Intent, progress: Progress, *, previous: str | None) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.jobs.append((intent, progress, previous))


class FakeTokens:
    """A ports.Tokens that gives one token, or raises."""

    def __init__(self, *, fault: BaseException | None = None) -> None:
        self.fault = fault
        self.asked: list[str] = []
        self.dropped: list[str] = []

    async def token(self, scope: str) -> str:
        self.asked.append(scope)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return TOKEN

    def drop(self, scope: str, token: str) -> None:
        assert token == TOKEN
        self.dropped.append(scope)


class _AnyCase(dict[str, str]):
    """Headers of an answer, looked up without regard to case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class FakeAnswer:
    """A ports.Answer: `body` is bytes, or pieces of which an exception is raised, and None never comes."""

    def __init__(
        self,
        status: int = 200,
        body: bytes | Sequence[bytes | BaseException | None] = b"[1]",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = _AnyCase(
            {
                "transfer-encoding": "chunked",
                **{k.lower(): v for k, v in (headers or {"content-type": "application/json"}).items()},
            }
        )
        self._pieces = [body] if isinstance(body, bytes) else list(body)
        self.closed = 0
        self.read_to_end = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            if piece is None:
                await asyncio.Event().wait()
            if isinstance(piece, BaseException):
                raise piece
            yield piece or b""
        self.read_to_end = True

    async def read(self, limit: int) -> bytes:
        data = b""
        async for piece in self.chunks():
            data += piece
            if len(data) > limit:
                raise TransportFault("too-large", sent=True)
        return data

    def close(self) -> None:
        self.closed += 1


class FakeTransport:
    """A ports.Transport that plays its script: one answer, or exception, for each call; None never answers."""

    def __init__(self, *script: FakeAnswer | BaseException | None, log: list[str] | None = None) -> None:
        self.script = list(script)
        self.sent: list[dict[str, Any]] = []
        self.log = [] if log is None else log

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> FakeAnswer:
        self.log.append("sent")
        self.sent.append(
            {"method": method, "url": url, "headers": dict(headers), "body": body, "deadline": deadline}
        )
        await asyncio.sleep(0)
        assert self.script, "a call that nobody expected"
        step = self.script.pop(0)
        if step is None:
            await asyncio.Event().wait()
        if isinstance(step, BaseException):
            raise step
        assert step is not None
        return step


class FakeReservation:
    """A ports.Reservation that writes down its end."""

    def __init__(self, log: list[str], *, counted: str = "instance") -> None:
        self.log = log
        self.counted = counted
        self.headers = (("x-ratelimit-remaining-requests", "59"),)
        self.end: tuple[str, int | None] | None = None
        """How it ended: only the first settle or cancel counts, as the port says."""
        self.at_least = 0

    async def settle(self, tokens: int | None, *, at_least: int = 0) -> None:
        self.log.append("settle")
        if self.end is None:
            self.end, self.at_least = ("settle", tokens), at_least

    async def cancel(self) -> None:
        self.log.append("cancel")
        self.end = self.end or ("cancel", None)


class FakeQuota:
    """A ports.Quota that gives `reservation`, or raises."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log
        self.fault: BaseException | None = None
        self.reservation = FakeReservation(self.log)
        self.asked: list[tuple[str, str, int]] = []

    async def reserve(
        self, route: Route, rule: Rule, principal: Principal, *, tokens: int
    ) -> FakeReservation:
        self.log.append("reserve")
        self.asked.append((rule.id, principal.oid, tokens))
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return self.reservation


class FakeOwners:
    """A ports.Owners that keeps what it is told."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}
        """Owner and model by id."""
        self.at: set[tuple[str, str]] = set()
        """Ids, each with the resource that has it."""
        self.asked: list[str] = []

    async def remember(self, ids: Iterable[str], principal: Principal, *, model: str, resource: str) -> None:
        await asyncio.sleep(0)
        self.made.update(dict.fromkeys(ids, (principal.oid, model)))
        self.at.update((id_, resource) for id_ in ids)

    async def owns(self, ids: Collection[str], principal: Principal, *, resource: str) -> bool:
        self.asked.extend(ids)
        await asyncio.sleep(0)
        return all(
            self.made.get(id_, ("",))[0] == principal.oid and (id_, resource) in self.at for id_ in ids
        )

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        self.asked.append(id_)
        await asyncio.sleep(0)
        owner, model = self.made.get(id_, (None, None))
        return model if owner == principal.oid else None


class FakeBackend:
    """A ports.Backend whose steps raise what the test sets in `faults`; it counts places taken and given back."""

    def __init__(
        self, log: list[str] | None = None, *, reply: Reply | None = None, upstream: int = 200
    ) -> None:
        self.log = [] if log is None else log
        self.faults: dict[str, BaseException] = {}
        self.reply = reply or Reply(status=200, headers=(("content-type", "application/json"),), body=b"[1]")
        self.upstream = upstream
        self.first_byte = 0.0
        self.model = "gpt"
        """Which model is asked."""
        self.tokens = 7
        self.usage: Usage | None = None
        self.places = 0
        self.sent = 0

    def _step(self, name: str) -> None:
        self.log.append(name)
        if name in self.faults:
            raise self.faults[name]

    def read(self, inbound: Inbound) -> Asked:
        self._step("read")
        if inbound.route in ("openai", "models"):
            return Asked(target="model", name=self.model, operation="chat/completions")
        return Asked(
            target="endpoint",
            name=inbound.params["name"],
            operation=inbound.route,
            deployment=inbound.headers.joined("azureml-model-deployment"),
        )

    async def resolve(self, asked: Asked, inbound: Inbound, principal: Principal) -> Asked:
        self._step("resolve")
        return asked

    async def specify(
        self, route: Route, asked: Asked, inbound: Inbound, principal: Principal, decide: Decide
    ) -> Asked:
        self._step("specify")
        return asked

    async def prepare(
        self,
        route: Route,
        asked: Asked,
        inbound: Inbound,
        *,
        rule: Rule,
        principal: Principal,
        request_id: str,
    ) -> Call:
        self._step("prepare")
        body = await inbound.body.read(route.max_body)
        return Call(
            route=route,
            asked=asked,
            request_id=request_id,
            body=body,
            headers={},
            method="POST",
            url=route.url,
            deadline=0.0,
            streams=inbound.streams and inbound.method != "HEAD",
            principal=principal,
            answer_tokens=self.tokens,
        )

    async def take(self, call: Call) -> Call:
        self._step("take")
        self.places += 1
        return call

    async def send(self, call: Call) -> Forwarded:
        self.sent += 1
        try:
            self._step("send")
            await asyncio.sleep(0)
        except BaseException:
            self.places -= 1
            raise
        reply = self.reply
        if not isinstance(reply.body, bytes) and not call.streams:
            try:
                reply = replace(reply, body=b"".join([chunk async for chunk in reply.body]))
            except BaseException:
                self.places -= 1
                raise
            finally:
                await aclose(self.reply.body)
        if isinstance(reply.body, bytes):
            self.places -= 1
        return Forwarded(
            reply=reply, upstream_status=self.upstream, first_byte=self.first_byte, usage=self.usage
        )

    def release(self, call: Call) -> None:
        self.log.append("release")
        self.places -= 1


class FakeStream(AsyncIterator[bytes]):
    """An answer's body as it comes: pieces, of which an exception is raised and None never comes."""

    def __init__(self, *pieces: bytes | BaseException | None) -> None:
        self.pieces = list(pieces)
        self.closed = 0
        self.usage: Usage | None = None
        self.relayed = 0
        self.fault: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self.pieces:
            raise StopAsyncIteration
        piece = self.pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        if isinstance(piece, BaseException):
            raise piece
        return piece or b""

    async def aclose(self) -> None:
        self.closed += 1
