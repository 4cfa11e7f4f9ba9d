"""What the decision costs by itself: principal header to Decision, membership warm, no host and no network."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from bench import parts, traffic
from bench.report import Section
from shared.authorize import authorize
from shared.model import Allow, Asked, Decision, Headers, Policy
from shared.ports import Authenticator, Memberships

Pairs = list[tuple[str, str]]
MANY = 10_000
STRANGERS = 2000
"""Headers in turn, as many as one round has calls at the most, so that each is read anew."""


@dataclass(slots=True, kw_only=True)
class _Subject:
    """One policy, and what came of it in each round."""

    loaded: Policy
    resolver: Memberships
    wanted: Asked
    times: list[float] = field(default_factory=list)


def decision(quick: bool) -> Section:
    """Measure with one endpoint and with many, at several sizes of the principal."""
    section = Section(
        title="The decision itself",
        about=(
            "Headers to Decision in one process (medians): take the headers, authenticate, match, membership, decide. *Remembered*: "
            "the same header came before; *read anew*: each call has another header. "
            f"Policies with 1 and with {MANY:,} endpoints."
        ),
        head=("groups", "header", "membership", "1 endpoint, µs", f"{MANY:,} endpoints, µs"),
    )
    asyncio.run(_measure(section, rounds=3 if quick else 7, calls=500 if quick else 2000))
    return section


async def _measure(section: Section, *, rounds: int, calls: int) -> None:
    policies = parts.policy(1), parts.policy(MANY)
    for groups in (10, 50, 200):
        member, stranger = _pairs(1, groups), _pairs(2, groups, member=False)
        anew = [_pairs(number, groups) for number in range(STRANGERS)]
        for label, source, asked in (
            ("remembered", "claim", [member]),
            ("remembered", "Graph, kept", [stranger]),
            ("read anew", "claim", anew),
        ):
            one, many = await _pair(policies, asked, rounds=rounds, calls=calls)
            section.rows.append((f"{groups}", label, source, f"{one:.1f}", f"{many:.1f}"))
            if groups == 200:
                section.at_most(f"200 groups, {label}, by {source}", one, 60, " µs")
                section.at_most(
                    f"200 groups, {label}, by {source}: {MANY:,} endpoints beside 1", many / one, 1.2, "x"
                )


async def _pair(
    policies: tuple[Policy, Policy], asked: list[Pairs], *, rounds: int, calls: int
) -> tuple[float, float]:
    """Return the microseconds a decision takes with each policy, measured in turns."""
    remembering = parts.easy_auth()
    subjects = [
        _Subject(
            loaded=loaded,
            resolver=parts.resolver(loaded, parts.Yes()),
            wanted=Asked(target="endpoint", name=f"e{len(loaded.routes) - 1}", operation="score"),
        )
        for loaded in policies
    ]
    for _ in range(rounds + 1):
        for subject in subjects:
            # One that has seen nothing yet, where each header is to be read anew.
            identity = remembering if len(asked) == 1 else parts.easy_auth()
            subject.times.append(await _time(identity, subject, asked, calls))
    one, many = (statistics.median(subject.times[1:]) for subject in subjects)  # the first round warms up
    return one, many


def _pairs(number: int, groups: int, *, member: bool = True) -> Pairs:
    return traffic.headers(number, traffic.principal(number, groups, member=member))


async def _time(identity: Authenticator, subject: _Subject, asked: list[Pairs], calls: int) -> float:
    count, start = len(asked), calls * len(subject.times)
    decided: Decision | None = None
    took = 0.0
    for number in range(start, start + calls):
        # New text each time, as it comes off the wire: its hash is not known yet.
        pairs = [(name, value.encode().decode()) for name, value in asked[number % count]]
        begun = time.perf_counter()
        principal = await identity.authenticate(Headers(pairs))
        ruling = await authorize(subject.loaded, subject.resolver, principal, subject.wanted)
        took += time.perf_counter() - begun
        decided = ruling.decision
    if not isinstance(decided, Allow):
        raise TypeError(f"expected an allow, got {decided}")
    return took / calls * 1e6
