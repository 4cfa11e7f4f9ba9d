"""Who reaches the model by which way, gathered for a picture: roles are held by few, however many reach through them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

import msgspec

from shared.bypass.finding import Severity, Way
from shared.bypass.report import BypassReport, ReportedFinding, principals
from shared.bypass.spelling import fold
from shared.bypass.visible import named
from shared.bypass.wording import SEVERITIES, severity_rank

SOURCES: Final = 9
"""Sources that a picture shows one by one."""
_WAYS: Final[tuple[Way, ...]] = get_args(Way)
_KEYS: Final = "Whoever holds a key or token"
_ANYBODY: Final = "Anybody who can reach it"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a role or owns a group: a user, an app, a group with all who are in it; or many of them in one."""

    label: str | None
    """What it is called, a name that others chose in quotation marks; None for the others in one."""
    kind: str
    reach: int
    """How many principals reach through it; for the others in one, how many sources they are."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One source and one way."""

    source: int
    """Its place among the sources."""
    way: Way
    severity: Severity
    """The worst."""
    open: bool
    """Some of it needs nothing more to happen first."""
    accepted: bool
    """All of it is accepted."""


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One way, whoever goes it."""

    way: Way
    severity: Severity
    reach: int
    """How many principals go it; none where it is the resources themselves."""
    open: bool
    accepted: bool


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """What the picture shows."""

    sources: tuple[Source, ...]
    flows: tuple[Flow, ...]
    lanes: tuple[Lane, ...]


def gather(report: BypassReport) -> Flows:
    """Return the flows of `report`, the worst sources first, those after SOURCES in one."""
    held: dict[_Holder, list[ReportedFinding]] = {}
    for finding in report.findings:
        held.setdefault(_holder(finding, report), []).append(finding)
    ranked = sorted(held, key=lambda holder: _rank(holder, held[holder]))
    sources: list[Source] = []
    flows: list[Flow] = []
    shown = ranked if len(ranked) <= SOURCES + 1 else ranked[:SOURCES]
    for holder in shown:
        flows += _flows(len(sources), held[holder])
        sources.append(_source(holder, held[holder], report))
    rest = ranked[len(shown) :]
    if rest:
        flows += _flows(len(sources), [finding for holder in rest for finding in held[holder]])
        sources.append(Source(label=None, kind="others", reach=len(rest)))
    return Flows(sources=tuple(sources), flows=tuple(flows), lanes=tuple(_lanes(report.findings)))


_Holder = tuple[str, Way | Literal[""]]


def _holder(finding: ReportedFinding, report: BypassReport) -> _Holder:
    """Return the id of what holds the role: the last group in between, or the principal itself.

    An owner need not be in the group: they stand for themselves. Of the target itself it is the way that tells whose it is.
    """
    if finding.via and finding.way != "group-owner":
        return finding.via[-1], ""
    itself = fold(finding.principal.id) == fold(report.target)
    return ("", finding.way) if itself else (finding.principal.id, "")


def _source(holder: _Holder, findings: list[ReportedFinding], report: BypassReport) -> Source:
    principal = findings[0].principal
    reach = len({finding.principal.id for finding in findings})
    id_, way = holder
    if way:
        return Source(label=_KEYS if way == "auth-mode" else _ANYBODY, kind="resource", reach=reach)
    if id_ == principal.id:
        return Source(label=named(principal.id, principal.display_name), kind=principal.type, reach=reach)
    return Source(label=named(id_, report.names.get(id_)), kind="group", reach=reach)


def _rank(holder: _Holder, findings: list[ReportedFinding]) -> tuple[bool, int, int, _Holder]:
    worst = min(severity_rank(finding.severity) for finding in findings)
    accepted = all(finding.accepted is not None for finding in findings)
    return accepted, worst, -len(findings), holder


def _flows(source: int, findings: list[ReportedFinding]) -> Iterable[Flow]:
    for lane in _lanes(findings):
        yield Flow(
            source=source, way=lane.way, severity=lane.severity, open=lane.open, accepted=lane.accepted
        )


def _lanes(findings: Iterable[ReportedFinding]) -> Iterable[Lane]:
    by_way: dict[Way, list[ReportedFinding]] = {}
    for finding in findings:
        by_way.setdefault(finding.way, []).append(finding)
    for way in _WAYS:
        if found := by_way.get(way):
            yield Lane(
                way=way,
                severity=SEVERITIES[min(severity_rank(finding.severity) for finding in found)],
                reach=principals(found),
                open=any(finding.state == "active" for finding in found),
                accepted=all(finding.accepted is not None for finding in found),
            )
