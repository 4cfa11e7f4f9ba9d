"""The fixes as a text that is a shell script as well: commands in a safe order, all else in comments. Nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from shared.bypass import changes, leastrole
from shared.bypass.fixes import Step
from shared.bypass.lines import place
from shared.bypass.report import BypassReport, ReportedFinding
from shared.bypass.seal import Seal
from shared.bypass.visible import visible
from shared.bypass.ways.case import Case
from shared.bypass.wording import counted

_IDS: Final = 3
"""Findings that are named for one command."""
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
    steps, wanted = closing.steps, closing.wanted
    closed = {id_ for step in steps for id_ in step.findings}
    yield (
        f"# {counted(len(steps), 'command')} for {counted(len(wanted), 'finding')} "
        f"about {place(closing.report.target)}, in a safe order."
    )
    yield "# Nothing has run them. --what-if judges what would remain. Read every caution, and run them one by one."
    if steps and closing.case.snapshot.gate.principal is None:
        yield f"# caution: {_NO_GATE}"
    for number, step in enumerate(steps, 1):
        yield ""
        yield f"# {number}. for {_ids(step.findings)}"
        if step.caution is not None:
            yield f"# caution: {visible(step.caution, _SENTENCE)}"
        for command in step.instead:
            yield f"# instead: {_command(command)}"
        yield _command(step.command)
    left = [finding for finding in wanted if finding.id not in closed]
    if left:
        yield ""
        yield f"# {counted(len(left), 'finding')} that no command closes by itself:"
        for finding in left[:_LEFT]:
            yield f"# {visible(finding.id)} {finding.way}: {visible(finding.detail, _SENTENCE)}"
        if len(left) > _LEFT:
            yield f"# and {len(left) - _LEFT:,} more"
    yield from _roles(closing.case)
    yield from _seal(closing.seal)


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
    more = len(findings) - _IDS
    named = ", ".join(visible(id_) for id_ in findings[:_IDS])
    return f"{named} and {more:,} more" if more > 0 else named


def _command(command: str) -> str:
    # Whole, however long: half of a command is another one.
    return visible(command, len(command))
