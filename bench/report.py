"""Results as tables: what was measured, what was wanted of it, and whether it came."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = (
    "aiohttp",
    "azure-functions",
    "azure-functions-runtime",
    "azure-identity",
    "azurefunctions-extensions-http-fastapi",
    "msgspec",
    "pyjwt",
    "redis",
    "requests",
    "uvicorn",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number that the project set itself."""

    what: str
    wanted: str
    came: str
    met: bool


@dataclass(slots=True, kw_only=True)
class Section:
    """One part of the results."""

    title: str
    about: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def at_least(self, what: str, came: float, wanted: float, unit: str = "") -> None:
        """Judge a number that should not be smaller."""
        self._judge(what, f"at least {wanted:g}{unit}", f"{came:.2f}{unit}", met=came >= wanted)

    def at_most(self, what: str, came: float, wanted: float, unit: str = "") -> None:
        """Judge a number that should not be greater."""
        self._judge(what, f"at most {wanted:g}{unit}", f"{came:.2f}{unit}", met=came <= wanted)

    def exactly(self, what: str, came: object, wanted: object) -> None:
        """Judge something that is right or wrong."""
        self._judge(what, f"{wanted}", f"{came}", met=came == wanted)

    def _judge(self, what: str, wanted: str, came: str, *, met: bool) -> None:
        self.targets.append(Target(what=what, wanted=wanted, came=came, met=met))

    def text(self) -> str:
        """Return the section in Markdown."""
        lines = [f"## {self.title}", "", self.about, ""]
        if self.rows:
            lines += [_row(self.head), _row(tuple("---" for _ in self.head)), *map(_row, self.rows), ""]
        lines += [
            f"* **{each.what}**: {each.came}, wanted {each.wanted}: {'met' if each.met else 'MISSED'}"
            for each in self.targets
        ]
        lines += [f"* {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


Measure = Callable[[bool], Section]
"""A part of the benchmark; True asks for a quick look instead of a measurement."""


def write(path: Path, sections: list[Section], *, quick: bool) -> None:
    """Write all results with the machine, versions and date."""
    targets = [target for section in sections for target in section.targets]
    met = sum(target.met for target in targets)
    lines = [
        "# Benchmark results",
        "",
        "Written by `make bench`. One run, everything side by side; read the ratios, not the absolute numbers.",
        "",
        f"* Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC{' (quick look, not a measurement)' if quick else ''}",
        f"* Machine: {_processor()}, {len(os.sched_getaffinity(0))} cores, {_memory():.0f} GiB, {platform.system()}",
        f"* Python {platform.python_version()}; "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        f"* Targets: {met} of {len(targets)} met",
        "",
    ]
    path.write_text("\n".join(lines) + "\n" + "\n".join(section.text() for section in sections))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
