"""What counting costs: windows in memory, windows in Redis, and the `limits` library beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import parts, rig, tools, traffic
from bench.report import Section
from shared.model import Kind, Principal, Route, Rule
from shared.outbound.redis import RedisStore
from shared.policy.loader import load_file
from shared.ports import Quota, Reservation
from shared.quota import make_quota
from shared.quota.windows import MOST

LIBRARY: Final = ("limits==5.8.0", "redis>=8,<9")
RESERVED: Final = 700
USED: Final = 600
REQUESTS: Final = 'requests = "900000000/hour"'
TOKENS: Final = 'tokens = "900000000/hour"'
BOTH: Final = f"{REQUESTS}, {TOKENS}"


class NoTokens:
    """Signs in to nothing: the Redis here has no password."""

    async def token(self, scope: str) -> str:
        raise AssertionError(scope)

    def drop(self, scope: str, token: str) -> None:
        raise AssertionError(scope, token)


def counting(quick: bool) -> Section:
    """Measure in this process, the library in one of its own."""
    section = Section(
        title="Counting",
        about=(
            f"Reserve a request and {RESERVED} tokens, settle on {USED}; callers in turn, each with windows that are open already; one "
            "after the other, medians of interleaved rounds. A window is one counter of one caller, and the gate keeps at most "
            f"{MOST:,}. *Reads* are what Redis read from its clients (`total_reads_processed`), so the round trips; EVALSHA as its "
            "`commandstats` count it. The `limits` library counts one number a call and settles nothing: a request would need two "
            "calls, and a third to make the tokens true. Its async memory storage looks through all keys in a task that it starts "
            "again with every call; that task is in its numbers, as it would be in a worker."
        ),
        head=("what", "callers", "µs", "reads a call", "EVALSHA a call"),
    )
    calls = 2_000 if quick else 20_000
    rounds = 3 if quick else 5
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_memory(section, Path(folder), calls=calls, rounds=rounds))
        with _redis(Path(folder)) as port:
            if port is None:
                section.notes.append(
                    "Redis skipped: redis-server is not installed here (Debian: `apt-get install redis-server`)"
                )
            else:
                asyncio.run(_shared(section, Path(folder), port, calls=calls // 10, rounds=rounds))
            _library(section, port, calls=calls // 10, rounds=rounds)
    return section


@dataclass(slots=True, kw_only=True)
class _Subject:
    """One rule with its callers, whose windows are open."""

    named: str
    quota: Quota
    route: Route
    rule: Rule
    callers: list[Principal]
    micros: list[float] = field(default_factory=list)

    async def take(self, turn: int, calls: int) -> float:
        """Return the microseconds that a request's counting takes."""
        start, count = turn * calls, len(self.callers)
        asked = [self.callers[number % count] for number in range(start, start + calls)]
        begun = time.perf_counter()
        for principal in asked:
            await _once(self.quota, self.route, self.rule, principal)
        return (time.perf_counter() - begun) / calls * 1e6


async def _memory(section: Section, folder: Path, *, calls: int, rounds: int) -> None:
    subjects = []
    for limits, named, callers in (
        (BOTH, "requests and tokens", 1),
        (BOTH, "requests and tokens", MOST // 2),
        (TOKENS, "tokens", 1),
        (TOKENS, "tokens", MOST),
    ):
        route, rule = _rule(folder, f'{limits}, scope = "instance"', shared=False)
        quota = make_quota(parts.Clock(), None)
        principals = [_principal(number) for number in range(callers)]
        subject = _Subject(named=named, quota=quota, route=route, rule=rule, callers=principals)
        first = await subject.take(0, callers)
        if callers > 1:
            section.rows.append(
                (f"memory: each caller's first, {named}", f"{callers:,}", f"{first:.1f}", "", "")
            )
        subjects.append(subject)
    for turn in range(rounds + 1):
        for subject in subjects:
            subject.micros.append(await subject.take(turn, calls))
    for subject in subjects:
        median = statistics.median(subject.micros[1:])  # the first round warms up
        count = f"{len(subject.callers):,}"
        section.rows.append((f"memory: reserve and settle, {subject.named}", count, f"{median:.1f}", "", ""))
        section.at_most(f"memory, {subject.named}, callers: {count}", median, 15, " µs")


async def _shared(section: Section, folder: Path, port: int, *, calls: int, rounds: int) -> None:
    clock, url = parts.Clock(), f"redis://127.0.0.1:{port}/0"
    principals = [_principal(number) for number in range(100)]
    asked = [principals[each % len(principals)] for each in range(calls)]
    async with _stats(port) as stats:
        for limits, named in ((REQUESTS, "requests"), (BOTH, "requests and tokens")):
            route, rule = _rule(folder, limits, shared=True)
            quota = make_quota(clock, RedisStore.at(url, clock=clock, tokens=NoTokens()))
            for principal in principals:  # the script is loaded, the windows are open
                await _once(quota, route, rule, principal)
            taken: dict[str, list[float]] = {"reserve": [], "settle": []}
            reads: dict[str, float] = {}
            for _ in range(rounds):
                kept: list[Reservation] = []
                for what, micros in taken.items():
                    before, begun = await stats(), time.perf_counter()
                    if what == "reserve":
                        kept = [await quota.reserve(route, rule, each, tokens=RESERVED) for each in asked]
                    else:
                        for reservation in kept:
                            await reservation.settle(USED)
                    micros.append((time.perf_counter() - begun) / calls * 1e6)
                    after = await stats()
                    # One read is that of the second look itself.
                    reads[what] = (after["reads"] - before["reads"] - 1) / calls
                    evals = (after["evalsha"] - before["evalsha"]) / calls
                    reads[f"{what} evals"] = evals
            for what, micros in taken.items():
                section.rows.append(
                    (
                        f"Redis: {what}, {named}",
                        f"{len(principals)}",
                        f"{statistics.median(micros):.0f}",
                        f"{reads[what]:.2f}",
                        f"{reads[f'{what} evals']:.2f}",
                    )
                )
            section.exactly(f"Redis, {named}, round trips to reserve", round(reads["reserve"], 2), 1.0)
    section.notes.append(
        "Redis: a rule that limits tokens takes a second round trip once their true number is known, after the model has answered"
    )


@contextlib.asynccontextmanager
async def _stats(port: int) -> AsyncIterator[Callable[[], Awaitable[dict[str, int]]]]:
    """Yield what tells how often Redis has read, and run EVALSHA; looking takes one read each time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def look() -> dict[str, int]:
        writer.write(b"INFO all\r\n")
        length = int((await reader.readline())[1:])
        text = (await reader.readexactly(length + 2)).decode()
        found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        evalsha = found.get("cmdstat_evalsha", "calls=0,").removeprefix("calls=").partition(",")[0]
        return {"reads": int(found["total_reads_processed"]), "evalsha": int(evalsha)}

    try:
        yield look
    finally:
        writer.close()


async def _once(quota: Quota, route: Route, rule: Rule, principal: Principal) -> None:
    reservation = await quota.reserve(route, rule, principal, tokens=RESERVED)
    await reservation.settle(USED)


def _library(section: Section, port: int | None, *, calls: int, rounds: int) -> None:
    try:
        python = tools.environment("limits", *LIBRARY) / "bin" / "python"
    except tools.Missing as why:
        section.notes.append(f"the `limits` library skipped: {why}")
        return
    script = rig.ROOT / "bench" / "apps" / "limits" / "hits.py"
    arguments = [str(calls), str(rounds), *([] if port is None else [str(port)])]
    done = subprocess.run(
        [str(python), str(script), *arguments],
        env=rig.environment(PYTHONPATH=""),
        capture_output=True,
        text=True,
        check=True,
    )
    for name, keys, micros in json.loads(done.stdout):
        section.rows.append((f"`limits`: {name}", f"{keys:,}", f"{micros:.1f}", "", ""))


def _rule(folder: Path, limits: str, *, shared: bool) -> tuple[Route, Rule]:
    table = rig.model("m", "http://127.0.0.1:9", deployment="m", limits=limits)
    settings = rig.gate_settings(folder, "http://127.0.0.1:9", endpoints=table)
    policy = load_file(Path(settings["GROUPGATE_POLICY"]), allow_http=True, shared_counters=shared)
    (route,) = policy.routes.values()
    return route, route.rules[0]


def _principal(number: int) -> Principal:
    return Principal(tenant=traffic.TENANT, oid=traffic.oid(number), kind=Kind.USER)


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[int | None]:
    """Run a Redis that keeps nothing, on the loader's core; yield its port, None where there is none."""
    server = shutil.which("redis-server")
    if server is None:
        yield None
        return
    port = rig.free_port()
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with rig.on_core(rig.LOADER):
        process = subprocess.Popen([server, "--port", str(port), *options], stdout=subprocess.DEVNULL)
    with rig.ended(process):
        rig.wait_for(port)
        yield port
