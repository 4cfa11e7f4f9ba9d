"""The fixes as a text that is a shell script as well: commands in a safe order, all else in comments. Nothing runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from shared.bypass import changes, leastrole
from shared.bypass.fixes import Step, along
from shared.bypass.lines import place
from shared.bypass.report import BypassReport, ReportedFinding, unproven
from shared.bypass.seal import Seal
from shared.bypass.visible import visible
from shared.bypass.ways.case import Case
from shared.bypass.wording import counted

_IDS: Final = 3
"""Findings that are named for one command, and commands for one finding."""
_SENTENCE: Final = 1_000
_NO_GATE: Final = "No gate is named, so these take the access from everybody, a gate included. Name it (--gate), or leave out what is its."


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed."""

    report: BypassReport
    wanted: Sequence[ReportedFinding]
    """The findings to close."""
    steps: Sequence[Step]
    case: Case
    seal: Seal | None


def text(closing: Closing) -> str:
    """Return the script."""
    return "\n".join(_lines(closing)) + "\n"


def _lines(closing: Closing) -> Iterator[str]:
    yield from _head(closing)
    for number, step in enumerate(closing.steps, 1):
        yield ""
        yield f"# {number}. for {_ids(step.findings)}"
        if step.caution is not None:
            yield f"# caution: {visible(step.caution, _SENTENCE)}"
        for command in step.instead:
            yield f"# instead: {_command(command)}"
        yield _command(step.command)
    closed = {id_ for step in closing.steps for id_ in step.findings}
    yield from _left([finding for finding in closing.wanted if finding.id not in closed], closing)
    yield from _roles(closing.case)
    yield from _seal(closing.seal)


def _head(closing: Closing) -> Iterator[str]:
    steps, wanted = closing.steps, closing.wanted
    about = f"about {place(closing.report.target)}"
    if not wanted:
        rest = ", but not everything could be read" if unproven(closing.report) else ""
        yield f"# Nothing to close {about}: no finding counts{rest}."
        return
    yield f"# {counted(len(steps), 'command')} for {counted(len(wanted), 'finding')} {about}, in a safe order."
    yield "# Nothing has run them. --what-if judges what would remain. Read every caution, and run them one by one."
    if steps and closing.case.snapshot.gate.principal is None:
        yield f"# caution: {_NO_GATE}"


def _left(findings: Sequence[ReportedFinding], closing: Closing) -> Iterator[str]:
    """Yield `findings`, which no command is for: those that go with others, and those that stay."""
    beside = along(closing.case.snapshot, findings, closing.steps)
    yield from _listed(
        "closed by what is for others",
        [finding for finding in findings if finding.id in beside],
        lambda finding: f"closed by {_numbers(beside[finding.id])}",
    )
    yield from _listed(
        "that no command closes by itself",
        [finding for finding in findings if finding.id not in beside],
        lambda finding: visible(finding.detail, _SENTENCE),
    )


def _listed(
    title: str, findings: Sequence[ReportedFinding], say: Callable[[ReportedFinding], str]
) -> Iterator[str]:
    if findings:
        yield ""
        yield f"# {counted(len(findings), 'finding')} {title}:"
        for finding in findings[:_LEFT]:
            yield f"# {visible(finding.id)} {finding.way}: {say(finding)}"
        if len(findings) > _LEFT:
            yield f"# and {len(findings) - _LEFT:,} more"


_LEFT: Final = 50


def _roles(case: Case) -> Iterator[str]:
    yield ""
    yield "# The least role for the gate, as az role definition create takes it. Try the first, with a live call."
    made = leastrole.definitions(case.kind, case.target)
    for why, change in zip(leastrole.reasons(case.kind), made, strict=True):
        yield f"# {visible(why, _SENTENCE)}"
        yield f"# {_command(changes.command(change))}"


def _seal(seal: Seal | None) -> Iterator[str]:
    yield ""
    if seal is None:
        yield "# The seal, a deny assignment for everybody but the gate and an emergency group, takes both:"
        yield "# a snapshot that names the gate, and --emergency-group with the object id of that group."
        return
    yield f"# The seal. {seal.denies}"
    yield f"# {seal.state}"
    if seal.caution is not None:
        yield f"# caution: {visible(seal.caution, _SENTENCE)}"
    yield f"# {_command(seal.command)}"
    yield f"# Its canary. {seal.proof}"
    for command in seal.canary:
        yield f"# {_command(command)}"


def _ids(findings: Sequence[str]) -> str:
    return _first([visible(id_) for id_ in findings[:_IDS]], len(findings) - _IDS)


def _numbers(steps: Sequence[int]) -> str:
    return f"command{'s' if len(steps) > 1 else ''} {_first(map(str, steps[:_IDS]), len(steps) - _IDS)}"


def _first(named: Iterable[str], more: int) -> str:
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _command(command: str) -> str:
    # Whole, however long: half of a command is another one.
    return visible(command, len(command))
