"""What `groupgate bypass` costs in a large tenant: the real command, in a process that may open no socket."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench import rig
from bench.bypasstenant import Shape, document
from bench.report import Section
from bench.rounds import FOREIGN, TRIES

TENANTS: Final = {5_000: 10, 15_000: 3, 50_000: 1}
"""How many tenants are judged of so many assignments: what chance puts high up among the groups of one is evened out."""
FOUND: Final = 1
"""The exit code of a command that found ways in."""
NETWORK: Final = 70
"""The exit code of one that asked for a socket, an address or a name."""
COMMAND: Final = f"""
import os, runpy, sys

def watch(event, arguments):
    if event.startswith("socket."):
        print(event, arguments, file=sys.stderr, flush=True)
        os._exit({NETWORK})

sys.addaudithook(watch)
runpy.run_module("shared", run_name="__main__", alter_sys=True)
"""
"""`python -m shared`, ended by the first audit event of Python's sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of the command took."""

    wall: float
    cpu: float
    resident: float
    """The most that it held, in MiB."""
    code: int


@dataclass(slots=True, kw_only=True)
class Tenant:
    """A snapshot, and what judging it came to."""

    snapshot: Path
    runs: list[Run] = field(default_factory=list)
    findings: int = 0
    written: int = 0
    """Bytes of the report."""


@dataclass(slots=True, kw_only=True)
class Size:
    """Tenants of one size and shape: medians of the runs of each, means of these."""

    named: str
    tenants: list[Tenant]

    def mean(self, of: Callable[[Run], float]) -> float:
        return statistics.fmean(statistics.median(map(of, tenant.runs)) for tenant in self.tenants)

    def cpu(self) -> float:
        return self.mean(lambda run: run.cpu)

    def written(self) -> float:
        return statistics.fmean(tenant.written for tenant in self.tenants)

    def row(self) -> tuple[str, ...]:
        """Return the size as a row of the table."""
        read = statistics.fmean(tenant.snapshot.stat().st_size for tenant in self.tenants)
        return (
            self.named,
            str(len(self.tenants)),
            f"{read / 2**20:,.1f}",
            f"{statistics.fmean(tenant.findings for tenant in self.tenants):,.0f}",
            f"{self.written() / 2**20:,.1f}",
            f"{self.mean(lambda run: run.wall):,.2f}",
            f"{self.cpu():,.2f}",
            f"{self.mean(lambda run: run.resident):,.0f}",
            ", ".join(sorted({str(run.code) for tenant in self.tenants for run in tenant.runs})),
        )


def bypass(quick: bool) -> Section:
    """Judge tenants of three sizes, and worse ones in which many more people are found."""
    smallest, *_, largest = TENANTS
    section = Section(
        title=f"`groupgate bypass` on a snapshot of {largest:,} assignments",
        about=(
            "`python -m shared bypass --from FILE --json`, the report to a file, each run in a process of its own on the subject's core; "
            "wall, CPU (user and system) and the most resident memory as `wait4` tells them. Of the smaller sizes several tenants, made "
            "with other random numbers; interleaved rounds, medians for each tenant, means of these. *No network*: an audit hook ends the "
            f"process with exit code {NETWORK} at the first event of Python's sockets, making one and looking up a name included. A "
            "twentieth of the principals are groups, a fifth service principals; groups nest in departments of 40, four deep, with a "
            "loop here and there; people are in one group, half of them in two, and all users in one more, which holds nothing. One "
            "role in forty reaches the model, its workspace or the gate, by stars or without; a third have NotActions. Half of the "
            "assignments are held by groups, a tenth are only eligible, 3 % have a condition, a fifth stand beside the target and the "
            "others anywhere from the root to a deployment. For every 500 assignments there is a deny assignment, and one in ten of "
            "these keeps five groups from scoring, but for the gate and a sixth. *One tree*: all groups nest in one and one role in "
            "twenty reaches, so that many more people are found, through groups whose number grows with the tenant; one round, none in a "
            "quick look. The first row takes what starting does, and is taken off before growth is reckoned."
        ),
        head=(
            "assignments, roles, principals",
            "tenants",
            "snapshot, MiB",
            "findings",
            "report, MiB",
            "wall, s",
            "CPU, s",
            "most resident, MiB",
            "exit code",
        ),
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        started = _size(folder, 100, 1)
        steady = [_size(folder, size, count) for size, count in TENANTS.items()]
        trees = (
            [] if quick else [_size(folder, size, TENANTS[size], tree=True) for size in (smallest, largest)]
        )
        plan = [*([started, *steady] * (1 if quick else 3)), *trees]
        disturbed = [_run(tenant) for size in plan for tenant in size.tenants]
        section.rows += [size.row() for size in (started, *steady, *trees)]
    start = started.cpu()
    section.at_most(
        f"growth of CPU time from {smallest:,} to {largest:,} assignments, exponent",
        _exponent(steady[0].cpu() - start, steady[-1].cpu() - start),
        1.2,
    )
    codes = {run.code for size in plan for tenant in size.tenants for run in tenant.runs}
    section.exactly("exit codes", sorted(codes), [FOUND])
    if trees:
        few, many = trees
        section.notes.append(
            f"one tree: the report itself grows with exponent {_exponent(few.written(), many.written()):.2f}, "
            f"CPU time with {_exponent(few.cpu() - start, many.cpu() - start):.2f}"
        )
    if any(disturbed):
        section.notes.append(
            f"{sum(disturbed)} of {len(disturbed)} runs count although others used more than {FOREIGN:.0%} of a core"
        )
    return section


def _exponent(small: float, large: float) -> float:
    """Return by which power of the tenant something grew from the smallest size to the largest."""
    return math.log(large / small) / math.log(max(TENANTS) / min(TENANTS))


def _size(folder: Path, assignments: int, tenants: int, *, tree: bool = False) -> Size:
    """Write snapshots, in processes of their own: what this one holds would slow those that it starts."""
    shapes = [
        Shape(assignments=assignments, seed=seed, nested=assignments, reaching=20)
        if tree
        else Shape(assignments=assignments, seed=seed)
        for seed in range(tenants)
    ]
    made = []
    for shape in shapes:
        snapshot = folder / f"{shape.assignments}-{shape.nested}-{shape.seed}.json"
        _python("make", snapshot, json.dumps(asdict(shape)))
        made.append(Tenant(snapshot=snapshot))
    named = f"{assignments:,}, {shapes[0].roles:,}, {shapes[0].principals:,}"
    return Size(named=f"{named}, one tree" if tree else named, tenants=made)


def _run(tenant: Tenant) -> bool:
    """Judge once, again while others are at work; say whether they still were."""
    report = tenant.snapshot.with_suffix(".report")
    run, foreign = _judged(tenant.snapshot, report)
    for _ in range(TRIES - 1):
        if foreign > FOREIGN:
            run, foreign = _judged(tenant.snapshot, report)
    tenant.runs.append(run)
    if not tenant.written:
        tenant.written = report.stat().st_size
        # One line of each finding has its severity, at this depth and no other.
        with report.open(encoding="ascii") as lines:
            tenant.findings = sum(line.startswith('      "severity": ') for line in lines)
    report.unlink()
    return foreign > FOREIGN


def _judged(snapshot: Path, report: Path) -> tuple[Run, float]:
    """Return what one run took, and which share of a core others had meanwhile."""
    before, ours = rig.Load.now(), sum(os.times()[:4])
    with rig.on_core(rig.SUBJECT):
        told = _python("judge", snapshot, report)
    after = rig.Load.now()
    foreign = after.busy - before.busy - (sum(os.times()[:4]) - ours)
    return Run(**json.loads(told)), foreign / (after.at - before.at)


def _python(*arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-m", "bench.bypass", *map(str, arguments)],
        cwd=rig.ROOT,
        env=rig.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def judge(snapshot: str, report: str) -> Run:
    """Run the command. To be called in a small process: Linux counts what the parent held as the child's."""
    with Path(report).open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "bypass", "--from", snapshot, "--json"], stdout=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall=wall, cpu=cpu, resident=usage.ru_maxrss / 1024, code=process.returncode)


if __name__ == "__main__":
    what, path, given = sys.argv[1:]
    if what == "make":
        Path(path).write_text(json.dumps(document(Shape(**json.loads(given)))))
    else:
        print(json.dumps(asdict(judge(path, given))))
