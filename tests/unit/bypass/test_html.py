"""The page for auditors: it holds all it needs, runs nothing, and no name in it is more than text."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from shared.bypass.finding import Principal, Unread, Way
from shared.bypass.lines import brief
from shared.bypass.page import flows
from shared.bypass.page.document import MOST, page
from shared.bypass.page.drawing import fit
from shared.bypass.report import Acceptance, Allowance, BypassReport
from shared.bypass.visible import visible
from shared.bypass.wording import WAYS
from tests.unit.bypass import told

VOID = {"meta", "br", "hr", "img", "input", "link"}
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "section", "footer", "figure", "figcaption"),
    *("h1", "h2", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "b", "strong", "bdi", "time", "pre", "code"),
    *("details", "summary", "table", "thead", "tbody", "tr", "th", "td"),
    *("svg", "g", "rect", "path", "text"),
}  # fmt: skip
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "role", "aria-label", "viewbox"),
    *("x", "y", "width", "height", "rx", "d", "transform"),
}


class Page(HTMLParser):
    """A page as a browser would take it apart: elements, attributes, and the text within each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.declared: list[str] = []
        self.feed(text)
        self.close()

    def handle_decl(self, decl: str) -> None:
        self.declared.append(decl)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self) -> str:
        return "".join(data for tag, data in self.texts if tag != "style")


def checked(text: str) -> Page:
    """Return the page, each element closed, with no element and no attribute that the page is not written with."""
    made = Page(text)
    assert made.open == []
    assert made.declared == ["doctype html"]
    assert set(made.tags) <= KNOWN
    assert {name for _, name, _ in made.attributes} <= ATTRIBUTES
    return made


def test_the_page_lets_nothing_in_but_its_own_style_sheet() -> None:
    """Its policy names the very style that stands in it, by hash: no script, no picture, no address, no form."""
    made = checked(page(told.SAMPLE, "medium"))
    (style,) = (data for tag, data in made.texts if tag == "style")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert made.attributes[made.attributes.index(("meta", "http-equiv", "Content-Security-Policy")) + 1] == (
        "meta",
        "content",
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", sorted(told.HOSTILE))
def test_a_name_is_text_and_nothing_else(name: str) -> None:
    """The page of hostile names has the elements of the same page with harmless ones, and shows each name."""
    hostile, harmless = (checked(page(told.hostile(one), "low")) for one in (told.HOSTILE[name], "name"))
    assert hostile.tags == harmless.tags
    assert [(tag, attribute) for tag, attribute, _ in hostile.attributes] == [
        (tag, attribute) for tag, attribute, _ in harmless.attributes
    ]
    assert all(
        character.isprintable() or character == "\n"
        for tag, data in hostile.texts
        if tag != "style"
        for character in data
    )
    assert visible(told.HOSTILE[name]) in hostile.text()


def test_a_very_long_name_does_not_make_a_very_long_page() -> None:
    """Every place bounds what it shows."""
    assert len(page(told.hostile("W" * 1_000_000), "low")) < 100_000


def test_the_page_tells_what_the_report_holds() -> None:
    """Verdict, counts, what was not read, each finding with its chain, and the file of accepted findings."""
    said = checked(page(told.SAMPLE, "medium")).text()
    for part in (
        "OPEN: 4 findings, by 3 ways, of 2 principals, around the gate to onlineEndpoints/fraud-score; not everything",
        "1 critical, 2 high, 1 medium, 1 low; 1 accepted; 3 at or above medium and not accepted",
        "Not read (1): nothing is proven closed",
        "deny assignments: 403 AuthorizationFailed",
        'Calls it directly: "Alice Ng" via "All Staff"',
        f'in "Fraud Team" group {told.TEAM}',
        f'in "All Staff" group {told.STAFF}',
        'role "Owner" 8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
        "whose action * matches",
        f"az role assignment delete --ids {told.ASSIGNMENT}",
        "accepted until 2026-12-31",
        "until 2026-12-31 by Dana Fox: sealed in the safe",
        "no: expired, the finding counts again",
        "no: there is no such finding",
        "read at 2026-11-20 10:30 UTC, judged at 2026-11-22 10:30 UTC",
    ):
        assert part in said
    assert checked(page(told.SAMPLE, "medium")).tags["details"] == len(told.SAMPLE.findings)


def test_a_name_on_the_page_cannot_pose_as_the_words_around_it() -> None:
    """E08: names stand in quotation marks there too; and what an acceptance goes up to stands with it."""
    posing = Principal(id="u1", type="user", display_name='the resource itself" via "nobody')
    bounded = Acceptance(owner="Dana", reason="x", until=told.ACCEPTED.until, severity="medium")
    entry = Allowance(id="f1", owner="Dana", reason="x", until=bounded.until, status="exceeded")
    report = told.report(told.finding(principal=posing, accepted=bounded), allowances=(entry,))
    said = checked(page(report, "low")).text()
    assert 'Calls it directly: "the resource itself\\x22 via \\x22nobody" via "All Staff"' in said
    alone = told.finding(principal=replace(posing, display_name="Anybody who can reach it, +9"), via=())
    drawn = [data for tag, data in checked(page(told.report(alone), "low")).texts if tag == "text"]
    assert sum(one.startswith('"Anybody who can reach it') for one in drawn) == 2
    assert "by Dana, at most medium: x" in said
    assert "no: the finding has become worse, and counts again" in said


@pytest.mark.parametrize("way", get_args(Way))
def test_every_way_is_in_both_pictures(way: Any) -> None:
    """The wide picture and the narrow one show the way by its title, and the page tells what it means."""
    made = checked(page(told.report(told.finding(way=way)), "low"))
    drawn = [data for tag, data in made.texts if tag == "text"]
    assert drawn.count(WAYS[way].title) == 2
    assert drawn.count('"Alice Ng"' if way == "group-owner" else '"All Staff"') == 2
    assert WAYS[way].meaning in made.text()


def test_the_picture_of_nothing_found_shows_the_gate_alone() -> None:
    """And says that no way was found; where not all was read it does not say so."""
    closed = [data for tag, data in checked(page(told.report(), "low")).texts if tag == "text"]
    assert "No way was found" in closed
    unread = told.report(unread=(Unread(what="x", why="y"),), verdict="not-proven", gate=None)
    unproven = [data for tag, data in checked(page(unread, "low")).texts if tag == "text"]
    assert "No way was found" not in unproven
    assert unproven.count("Not everything was read") == 2
    assert unproven.count("No gate is named") == 2


def caption(report: BypassReport) -> str:
    return "".join(data for tag, data in checked(page(report, "low")).texts if tag == "figcaption")


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({}, ()),
        ({"state": "latent"}, ("Dashed: not open yet.",)),
        ({"accepted": told.ACCEPTED}, ("Faint lines: accepted.",)),
        ({"state": "latent", "accepted": told.ACCEPTED}, ("Dashed: not open yet.", "Faint lines: accepted.")),
    ],
    ids=["open", "not yet open", "accepted", "both"],
)
def test_the_caption_explains_the_signs_that_are_there(changes: Any, signs: tuple[str, ...]) -> None:
    """And no others; it is one for the wide and the narrow picture, so it names no place in them."""
    said = caption(told.report(told.finding(**changes)))
    assert said.partition("Colours tell the worst severity.")[2].strip() == " ".join(signs)
    assert "left" not in said


def test_a_picture_of_nothing_has_no_caption() -> None:
    """No sign is in it."""
    assert caption(told.report()) == ""


@pytest.mark.parametrize(
    "limit",
    [
        "Keys and tokens that somebody copied",
        "Copies of the model",
        "deployed code and policy",
        "pipelines",
        "Entra roles",
        "Global Administrator",
        "Azure Lighthouse",
    ],
)
def test_the_page_says_what_no_report_can_prove(limit: str) -> None:
    """As the documentation does, closed or not."""
    assert limit in checked(page(told.report(), "low")).text().partition("What this cannot prove")[2]


def test_what_is_too_long_for_the_line_stands_in_the_body() -> None:
    """Everything that somebody may do is on the page, and nothing is cut within a word."""
    detail = "May " + "; ".join(f"change thing {at} of the gate" for at in range(90)) + "."
    shown = page(told.report(told.finding(detail=detail)), "low")
    assert f"<dt>What</dt><dd><bdi>{detail}</bdi></dd>" in shown
    assert f"<bdi>{brief(detail, 400)}</bdi>" in shown


def test_what_would_be_is_not_taken_for_what_is() -> None:
    """A page made with --what-if says so in its title and its verdict."""
    made = checked(page(told.report(after_commands=12), "low"))
    said = "CLOSED if 12 commands were run: nothing goes around the gate to onlineEndpoints/fraud-score."
    assert next(data for tag, data in made.texts if tag == "title") == said
    assert said in made.text()


@pytest.mark.parametrize(
    "rule",
    [
        "@media (prefers-color-scheme: dark)",
        "@media (max-width: 640px)",
        "@media print",
        "::details-content { content-visibility: visible",
    ],
)
def test_the_page_is_for_light_and_dark_narrow_and_wide_and_paper(rule: str) -> None:
    """On paper every chain is there, folded up or not."""
    assert rule in page(told.report(), "low")


def test_every_class_has_a_look() -> None:
    """A class that the style sheet does not know is a slip in one of the two."""
    report = told.report(
        *(
            told.finding(f"{severity} {state}", severity=severity, state=state, way=way)
            for severity in ("critical", "high", "medium", "low")
            for state, way in (("active", "invoke"), ("latent", "keys"))
        ),
        told.finding("accepted", way="grant", accepted=told.ACCEPTED),
        unread=told.SAMPLE.unread,
        allowances=told.SAMPLE.allowances,
    )
    made = checked(page(report, "low"))
    (style,) = (data for tag, data in made.texts if tag == "style")
    looks = set(re.findall(r"\.([a-z-]+)", style))
    used = {one for _, name, value in made.attributes if name == "class" for one in value.split()}
    assert used - looks <= {"open", "body", "way"}


def test_fifty_thousand_findings_make_a_page_that_a_browser_can_show() -> None:
    """The first of each severity are told, the rest counted, and the picture gathers them."""
    text = page(told.many(50_000), "medium")
    assert len(text) < 1_000_000
    made = checked(text)
    assert made.tags["details"] == MOST
    assert f"And {50_000 - MOST:,} more of this severity" in made.text()
    assert "group; 50,000 through it" in made.text()


def test_the_picture_gathers_by_who_holds_the_role() -> None:
    """Members of one group are one source, however many; keys are whoever's holds one, and the network is anybody's."""
    bob = Principal(id="b", type="user", display_name="Bob")
    gathered = flows.gather(
        told.report(
            told.finding("1"),
            told.finding("2", principal=bob),
            told.finding("3", principal=bob, way="keys", state="latent", severity="low", via=()),
            told.finding("4", principal=told.ITSELF, way="auth-mode", severity="critical", via=()),
            told.finding("5", principal=told.ITSELF, way="network", severity="low", via=()),
        )
    )
    assert [(source.label, source.kind, source.reach) for source in gathered.sources] == [
        ("Whoever holds a key or token", "resource", 1),
        ('"All Staff"', "group", 2),
        ("Anybody who can reach it", "resource", 1),
        ('"Bob"', "user", 1),
    ]
    assert [(lane.way, lane.severity, lane.reach, lane.open) for lane in gathered.lanes] == [
        ("invoke", "high", 2, True),
        ("keys", "low", 1, False),
        ("auth-mode", "critical", 0, True),
        ("network", "low", 0, True),
    ]


def test_an_owner_is_not_drawn_as_one_of_the_group() -> None:
    """They stand for themselves; the page says what they own, and which group that is in."""
    bob = Principal(id="b", type="user", display_name="Bob")
    report = told.report(told.finding("1"), told.finding("2", principal=bob, way="group-owner"))
    assert [(source.label, source.kind, source.reach) for source in flows.gather(report).sources] == [
        ('"All Staff"', "group", 1),
        ('"Bob"', "user", 1),
    ]
    said = checked(page(report, "low")).text()
    for part in (
        'Adds members to a group: "Bob" as owner of "Fraud Team"',
        f'owns "Fraud Team" group {told.TEAM}',
        f'which is in "All Staff" group {told.STAFF}',
    ):
        assert part in said


def test_sources_that_the_picture_has_no_room_for_are_one() -> None:
    """The worst are shown by name; the others are counted, and their ways drawn."""
    people = [Principal(id=f"p{at:02}", type="user", display_name=f"P{at}") for at in range(30)]
    listed = [told.finding(one.id, principal=one, via=(), severity="low") for one in people[:-1]]
    gathered = flows.gather(told.report(*listed, told.finding("x", principal=people[-1], via=())))
    assert len(gathered.sources) == flows.SOURCES + 1
    assert gathered.sources[0].label == '"P29"'
    assert (gathered.sources[-1].label, gathered.sources[-1].reach) == (None, 30 - flows.SOURCES)
    assert {flow.source for flow in gathered.flows} == set(range(len(gathered.sources)))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Alice", "Alice"), ("W" * 40, "WWWWWWWWW…"), ("安" * 40, "安安安安…"), ("a\x1bb", "a\\x1bb")],
    ids=["short", "long", "wide", "hostile"],
)
def test_a_name_in_the_picture_is_cut_to_its_box(name: str, shown: str) -> None:
    """Wide letters take the room of two."""
    assert fit(name, 100.0, 10.0) == shown
