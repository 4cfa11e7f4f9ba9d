"""The report as one page for people, that holds all it needs: no script, nothing from elsewhere, light, dark and printed."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import Final

from shared.bypass.finding import Severity
from shared.bypass.lines import bounds, place, unlooked
from shared.bypass.page import picture
from shared.bypass.page.finding import details
from shared.bypass.page.flows import Flow, Flows, Lane, gather
from shared.bypass.page.markup import Child, Element, append, element, foreign, render
from shared.bypass.report import Allowance, BypassReport, Gate, unproven
from shared.bypass.text import headline, numbers
from shared.bypass.wording import SEVERITIES, times

MOST: Final = 100
"""Findings of one severity that the page tells: more of them nobody reads, and a browser struggles."""
_UNREAD: Final = 100
_LIMITS: Final = (
    "A snapshot is of one moment. Role assignments take up to ten minutes to hold, caches up to an hour.",
    "Keys and tokens that somebody copied before are not seen. They work until they run out, are made anew or are refused.",
    "Copies of the model, of its weights or of its training data elsewhere are not seen.",
    "What an app, a pipeline or a host does with its own rights for others is not seen; only that it has them.",
    "Whether the gate's deployed code and policy are those you reviewed is not seen, nor who may change its pipelines.",
    "Entra roles are not read, such as who may add to any group. A Global Administrator can always take any right.",
    "Whom another tenant lets in by Azure Lighthouse cannot be listed; a delegation that is there counts as not read.",
    "Names are what the directory said. Nothing is decided by them; object ids and role ids decide.",
)


def page(report: BypassReport, fail_on: Severity) -> str:
    """Return the page; `fail_on` is the severity from which on a finding counts."""
    style = resources.files("shared.bypass.page").joinpath("style.css").read_text("utf-8")
    body = element("body")
    append(body, *_sections(report, fail_on))
    root = element("html", _head(report, style), body, lang="en")
    return f"<!doctype html>\n{render(root)}\n"


def _head(report: BypassReport, style: str) -> Element:
    # The hash lets this very style sheet in, and nothing else that might get into the page: no script, no address.
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", headline(report)),
        element("style", style),
    )


def _sections(report: BypassReport, fail_on: Severity) -> Iterator[Child]:
    yield _verdict(report, fail_on)
    yield from _unread(report)
    yield _figure(report)
    for severity in SEVERITIES:
        yield from _findings(report, severity)
    yield from _allowances(report.allowances)
    yield element("h2", "What this cannot prove")
    yield element("ul", *(element("li", limit) for limit in _LIMITS))
    yield element(
        "footer", "Made by groupgate bypass. Holds names and ids of people: keep it as you keep those."
    )


def _verdict(report: BypassReport, fail_on: Severity) -> Element:
    word, _, rest = headline(report).partition(":")
    return element(
        "header",
        element("p", "Groupgate bypass report", class_="eyebrow"),
        element("h1", element("strong", f"{word}:"), rest),
        element("p", numbers(report, fail_on)) if report.findings else None,
        element(
            "dl",
            *_fact("Target", foreign(report.target, 1000, class_="id")),
            *_fact("Gate", *_named(report.gate)),
            *_fact("When", times(report.collected, report.judged)),
        ),
        _tiles(report) if report.findings else None,
        class_=f"card verdict {report.verdict}",
    )


def _named(gate: Gate | None) -> Iterator[Child]:
    if gate is None:
        yield "none is named"
        return
    for what, id_ in (("site ", gate.site_id), ("identity ", gate.principal_id)):
        if id_ is not None:
            yield element("div", what, foreign(id_, 1000, class_="id"))
    if missing := unlooked(gate):
        yield element("div", missing)


def _fact(name: str, *value: Child) -> tuple[Element, Element]:
    return element("dt", name), element("dd", *value)


def _tiles(report: BypassReport) -> Element:
    found = Counter(finding.severity for finding in report.findings)
    return element(
        "ul",
        *(
            element(
                "li",
                element("b", f"{found[severity]:,}"),
                severity,
                class_=severity if found[severity] else None,
            )
            for severity in SEVERITIES
        ),
        class_="tiles",
    )


def _unread(report: BypassReport) -> Iterator[Child]:
    if not report.unread:
        return
    items = [
        element("li", foreign(item.what, 400), ": ", foreign(item.why, 400))
        for item in report.unread[:_UNREAD]
    ]
    more = len(report.unread) - len(items)
    yield element(
        "section",
        element("h2", f"Not read ({len(report.unread):,}): nothing is proven closed"),
        element("ul", *items, element("li", f"and {more:,} more") if more else None),
        class_="card warning",
    )


def _figure(report: BypassReport) -> Element:
    flows = gather(report)
    gated, unread = report.gate is not None, unproven(report)
    return element(
        "section",
        element("h2", "Who reaches the model, and by which way"),
        element(
            "figure",
            picture.wide(flows, place(report.target), gated=gated, unread=unread),
            picture.narrow(flows, gated=gated, unread=unread),
            element("figcaption", _caption(flows)) if flows.lanes else None,
            class_="card",
        ),
    )


def _caption(flows: Flows) -> str:
    """Return what the signs mean that are in the picture, whether it is the wide one or the narrow one."""
    drawn: tuple[Flow | Lane, ...] = (*flows.flows, *flows.lanes)
    signs = (
        "Named is who holds a role: a person, an app, or a group with all who are in it; or who owns such a group.",
        "Colours tell the worst severity.",
        None if all(one.open for one in drawn) else "Dashed: not open yet.",
        "Faint lines: accepted." if any(one.accepted for one in drawn) else None,
    )
    return " ".join(filter(None, signs))


def _findings(report: BypassReport, severity: Severity) -> Iterator[Child]:
    found = [finding for finding in report.findings if finding.severity == severity]
    if not found:
        return
    yield element("h2", f"{severity.capitalize()} ({len(found):,})")
    for finding in found[:MOST]:
        yield details(finding, report)
    if len(found) > MOST:
        yield element(
            "p",
            f"And {len(found) - MOST:,} more of this severity, which --json tells one by one.",
            class_="soft",
        )


def _allowances(allowances: tuple[Allowance, ...]) -> Iterator[Child]:
    if not allowances:
        return
    shown = allowances[:MOST]
    heads = ("Finding", "Owner", "Reason", "Until", "Counts")
    yield element("h2", f"Accepted findings ({len(allowances):,})")
    yield element(
        "table",
        element("thead", element("tr", *(element("th", head) for head in heads))),
        element(
            "tbody",
            *(
                element(
                    "tr",
                    element("td", foreign(entry.id, class_="id")),
                    element("td", foreign(entry.owner)),
                    element("td", foreign(entry.reason, 1000)),
                    element("td", f"{entry.until}{bounds(entry)}"),
                    element("td", _STATUS[entry.status]),
                )
                for entry in shown
            ),
        ),
        class_="card",
    )
    if len(allowances) > len(shown):
        yield element("p", f"And {len(allowances) - len(shown):,} more.", class_="soft")


_STATUS: Final = {
    "used": "yes",
    "expired": "no: expired, the finding counts again",
    "exceeded": "no: the finding has become worse, and counts again",
    "unused": "no: there is no such finding",
}
