"""Where limits are counted, with the same handles: time that passes, callers, rules."""

from __future__ import annotations

from copy import replace
from typing import Any, Protocol

from shared.model import Effect, Kind, Lifetimes, Limits, Principal, Rate, Route, Rule
from shared.outbound.redis import RedisStore
from shared.ports import Quota, Reservation
from shared.problem import RateLimited
from shared.quota.counting import Counting
from shared.quota.shared import SharedWindows
from shared.quota.windows import Windows
from tests.fakes import ALICE, TENANT, FakeClock, FakeTokens
from tests.redis_server import RedisServer

BOB = "22222222-0000-4000-8000-000000000002"


def a_caller(**changes: Any) -> Principal:
    """Return alice, with `changes`."""
    return replace(Principal(tenant=TENANT, oid=ALICE, kind=Kind.USER), **changes)


def a_model(name: str = "gpt-4.1-mini", **changes: Any) -> Route:
    """Return a model's route, with `changes`."""
    return replace(
        Route(
            target="model",
            name=name,
            kind="openai",
            url="https://contoso.openai.azure.com",
            scope="https://ai.azure.com/.default",
            operations=frozenset({"chat/completions"}),
            rules=(),
            lifetimes=Lifetimes(max_age=900.0, recheck_refused=60.0, outage_grace=0.0),
            timeout=60.0,
            max_body=1024,
            content_types=frozenset(),
            concurrency=1,
            relay_errors=True,
        ),
        **changes,
    )


def a_rule_of(limits: Limits | None, id_: str = "engineers") -> Rule:
    """Return a rule with `limits`."""
    return Rule(id=id_, effect=Effect.ALLOW, limits=limits)


class Place(Protocol):
    """A quota, and what its windows are made of."""

    quota: Quota
    scope: Any

    def pass_(self, seconds: float) -> None:
        """Let time pass for every window."""


class InMemory:
    """Limits of one instance."""

    scope = "instance"

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.windows = Windows(self.clock)
        self.quota: Quota = Counting(self.windows, shared=None)

    def pass_(self, seconds: float) -> None:
        self.clock.move(seconds)


class InRedis:
    """Limits that instances share, in a real Redis whose windows are brought nearer to their ends."""

    scope = "shared"

    def __init__(self, server: RedisServer, *, url: str | None = None, deadline: float = 10.0) -> None:
        """Take the `deadline` of a command: what is not about it is not to fail on a busy machine."""
        self.server = server
        self.clock = FakeClock()
        self.store = RedisStore.at(
            url or server.url, clock=self.clock, tokens=FakeTokens(), deadline=deadline
        )
        self.quota: Quota = Counting(Windows(self.clock), shared=SharedWindows(self.store))

    def pass_(self, seconds: float) -> None:
        self.clock.move(seconds)
        with self.server.admin as admin:
            for key in admin.scan_iter("groupgate:*"):
                left = admin.pttl(key) - int(seconds * 1_000)
                admin.pexpire(key, left) if left > 0 else admin.delete(key)


async def take(
    place: Place,
    *,
    requests: tuple[int, int] | None = None,
    tokens: tuple[int, int] | None = None,
    cost: int = 1,
    caller: Principal | None = None,
    model: str = "gpt-4.1-mini",
    rule: str = "engineers",
    **limits: Any,
) -> Reservation:
    """Reserve `cost` tokens; `requests` and `tokens` are an amount and its seconds."""
    return await place.quota.reserve(
        a_model(model),
        a_rule_of(
            Limits(
                **{
                    "requests": requests and Rate(amount=requests[0], period=requests[1]),
                    "tokens": tokens and Rate(amount=tokens[0], period=tokens[1]),
                    "scope": place.scope,
                    **limits,
                }
            ),
            rule,
        ),
        caller or a_caller(),
        tokens=cost,
    )


async def allowed(place: Place, **asked: Any) -> bool:
    """Say whether a call is let through; nothing but a 429 counts as a refusal."""
    try:
        await take(place, **asked)
    except RateLimited:
        return False
    return True


async def left(place: Place, counter: str = "tokens", **asked: Any) -> int:
    """Return what is left, as a call is told that is given back at once."""
    try:
        held = await take(place, **{"cost": 1, **asked})
    except RateLimited as refused:
        return int(dict(refused.headers)[f"x-ratelimit-remaining-{counter}"])
    await held.cancel()
    return int(dict(held.headers)[f"x-ratelimit-remaining-{counter}"]) + 1
