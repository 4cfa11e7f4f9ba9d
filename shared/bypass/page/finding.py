"""One finding on the page: a line to read, and behind it the whole chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared.bypass.entries import role_key
from shared.bypass.finding import Grant
from shared.bypass.lines import WHOLE, bounds, brief, command_lines, links
from shared.bypass.page.markup import Child, Element, called, element, foreign
from shared.bypass.report import BypassReport, ReportedFinding
from shared.bypass.spelling import fold
from shared.bypass.wording import STATE, WAYS

_GRANTS: Final = 20
_SENTENCE: Final = 400
"""Of sentences in the line; behind it stands the whole."""


def details(finding: ReportedFinding, report: BypassReport) -> Element:
    """Return `finding` of `report`, folded up."""
    wording = WAYS[finding.way]
    return element(
        "details",
        element(
            "summary",
            element("span", finding.severity, class_=f"badge {finding.severity}"),
            element(
                "div",
                element(
                    "p", element("b", wording.title), ": ", *_who(finding, report), *_via(finding, report)
                ),
                element(
                    "p", element("bdi", brief(finding.detail, _SENTENCE)), *_marks(finding), class_="soft"
                ),
            ),
        ),
        element(
            "div",
            element("dl", *(part for fact in _facts(finding, report) for part in fact)),
            class_="body",
        ),
        class_="card finding",
    )


def _who(finding: ReportedFinding, report: BypassReport) -> Iterator[Child]:
    principal = finding.principal
    if fold(principal.id) == fold(report.target):
        yield "the resource itself"
        return
    yield foreign(principal.id) if principal.display_name is None else called(principal.display_name)


def _via(finding: ReportedFinding, report: BypassReport) -> Iterator[Child]:
    if finding.via:
        owner = finding.way == "group-owner"
        group = finding.via[0 if owner else -1]
        yield " as owner of " if owner else " via "
        yield called(report.names[group]) if group in report.names else foreign(group)


def _marks(finding: ReportedFinding) -> Iterator[Child]:
    if finding.state != "active":
        yield " "
        yield element("span", finding.state, class_="badge")
    if finding.accepted is not None:
        yield " "
        yield element("span", f"accepted until {finding.accepted.until}", class_="badge")


def _facts(finding: ReportedFinding, report: BypassReport) -> Iterator[tuple[Element, Element]]:
    yield _fact("Way", WAYS[finding.way].meaning)
    yield _fact("What", foreign(finding.detail, WHOLE))
    yield _fact("Chain", element("ol", *_chain(finding, report), class_="chain"))
    # Which of several goes with which group is not told: they stand beside the chain, not in it.
    if len(finding.grants) > 1:
        yield _fact("By any of", element("ul", *_grants(finding, report)))
    yield _fact("State", f"{finding.state}: {STATE[finding.state]}")
    since = [grant.since for grant in finding.grants if grant.since is not None]
    if since:
        yield _fact("Since", foreign(min(since)))
    if finding.accepted is not None:
        accepted = finding.accepted
        yield _fact(
            "Accepted",
            f"until {accepted.until} by ",
            foreign(accepted.owner),
            f"{bounds(accepted)}: ",
            foreign(accepted.reason, 1000),
        )
    if finding.fix:
        commands = "\n".join(line for command in finding.fix for line in command_lines(command))
        yield _fact("Closes it", element("pre", element("code", commands)))
    yield _fact("Finding", foreign(finding.id, class_="id"))


def _fact(name: str, *value: Child) -> tuple[Element, Element]:
    return element("dt", name), element("dd", *value)


def _chain(finding: ReportedFinding, report: BypassReport) -> Iterator[Child]:
    principal = finding.principal
    yield element(
        "li", *_who(finding, report), " ", foreign(f"{principal.type} {principal.id}", 1000, class_="id")
    )
    for how, group in links(finding):
        name = report.names.get(group)
        yield element(
            "li", f"{how} ", *((called(name), " ") if name else ()), foreign(f"group {group}", class_="id")
        )
    if len(finding.grants) == 1:
        grant = finding.grants[0]
        yield element("li", "role ", *_role(grant, report))
        yield element("li", "at ", foreign(grant.scope, 1000, class_="id"))
        yield element("li", "whose action ", foreign(grant.action, class_="id"), " matches")
        yield element("li", "assignment ", foreign(grant.assignment_id, 1000, class_="id"))


def _role(grant: Grant, report: BypassReport) -> Iterator[Child]:
    name = report.names.get(grant.role_definition_id)
    if name is not None:
        yield called(name)
        yield " "
    # Its scope is written with it and says nothing: a role is the same wherever its id is read.
    yield foreign(role_key(grant.role_definition_id), class_="id")


def _grants(finding: ReportedFinding, report: BypassReport) -> Iterator[Child]:
    for grant in finding.grants[:_GRANTS]:
        yield element(
            "li",
            *("role ", *_role(grant, report), " at ", foreign(grant.scope, 1000, class_="id")),
            *(", action ", foreign(grant.action, class_="id")),
            *(", assignment ", foreign(grant.assignment_id, 1000, class_="id")),
        )
    if len(finding.grants) > _GRANTS:
        yield element("li", f"and {len(finding.grants) - _GRANTS:,} more assignments")
