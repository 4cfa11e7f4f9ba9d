"""Two reports side by side: what opened, became worse, became better and closed, and what of it counts."""

from __future__ import annotations

import unicodedata
from datetime import date, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from shared.bypass.compare import compare, opening, untold
from shared.bypass.comparetext import text
from shared.bypass.finding import Unread
from shared.bypass.lines import MOST
from shared.bypass.report import Acceptance, Gate, ReportedFinding, ReportFault
from tests.unit.bypass import told

ACCEPTED = Acceptance(owner="Dana Fox", reason="safe", until=date(2026, 12, 31))
WORSE = replace(ACCEPTED, severity="high")
NEARER = replace(ACCEPTED, state="active")
UNREAD = (Unread(what="denyAssignments", why="403"),)


def one(**changes: Any) -> ReportedFinding:
    return told.finding("f1", severity="medium", state="eligible", **changes)


_SAME = one()
_STEPS: list[tuple[str, ReportedFinding | None, ReportedFinding | None, str, int]] = [
    ("nothing before, nothing now", None, None, "", 0),
    ("a new one", None, one(), "opened", 1),
    ("a new one, accepted", None, one(accepted=ACCEPTED), "opened", 0),
    ("gone", one(), None, "closed", 0),
    ("the same", one(), one(), "unchanged", 0),
    ("other words for the same", one(), one(detail="May do it.", fix=("az other",)), "unchanged", 0),
    ("another chain to the same", one(), one(via=()), "unchanged", 0),
    ("of higher severity", one(), told.finding("f1", severity="high", state="eligible"), "worsened", 1),
    ("of higher severity, latent now", one(), told.finding("f1", severity="high", state="latent"), "worsened", 1),
    ("of higher severity, below what counts", told.finding("f1", severity="low"), one(), "worsened", 1),
    ("of lower severity", one(), told.finding("f1", severity="low", state="active"), "eased", 0),
    ("active now", one(), told.finding("f1", severity="medium", state="active"), "worsened", 1),
    ("conditional now", one(), told.finding("f1", severity="medium", state="conditional"), "worsened", 1),
    ("latent now", one(), told.finding("f1", severity="medium", state="latent"), "eased", 0),
    ("accepted now", one(), one(accepted=ACCEPTED), "eased", 0),
    ("accepted now, but worse", one(), told.finding("f1", severity="critical", accepted=ACCEPTED), "worsened", 1),
    ("accepted now as the worse that it is", one(), told.finding("f1", accepted=WORSE), "eased", 0),
    ("accepted no more", one(accepted=ACCEPTED), one(), "worsened", 1),
    ("accepted no more, but better", one(accepted=ACCEPTED), told.finding("f1", severity="low"), "worsened", 0),
    ("worse and accepted both times", one(accepted=ACCEPTED),
     told.finding("f1", severity="critical", accepted=ACCEPTED), "worsened", 1),
    ("nearer and accepted both times", one(accepted=ACCEPTED),
     told.finding("f1", severity="medium", accepted=ACCEPTED), "worsened", 1),
    ("worse, accepted as nearer only", one(accepted=NEARER), told.finding("f1", accepted=NEARER), "worsened", 1),
    ("nearer, accepted as worse only", one(accepted=WORSE),
     told.finding("f1", severity="medium", accepted=WORSE), "worsened", 1),
    ("worse, as accepted", one(accepted=WORSE), told.finding("f1", accepted=WORSE), "worsened", 0),
    ("nearer, as accepted", one(accepted=NEARER),
     told.finding("f1", severity="medium", accepted=NEARER), "worsened", 0),
    ("better and accepted both times", one(accepted=ACCEPTED),
     told.finding("f1", severity="low", state="active", accepted=ACCEPTED), "eased", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "kind", "counts"), [row[1:] for row in _STEPS], ids=[row[0] for row in _STEPS]
)
def test_what_becomes_of_a_finding(before: Any, after: Any, kind: str, counts: int) -> None:
    """E08: a finding is in one of five places, and counts when it opened or became worse, is bad enough and not accepted.

    What became worse is accepted only by who said how bad it may become.
    """
    old = told.report(*filter(None, [before]))
    made = compare(old, told.report(*filter(None, [after])))
    found = {name: len(getattr(made, name)) for name in ("opened", "worsened", "eased", "closed")}
    found["unchanged"] = made.unchanged
    assert {name: number for name, number in found.items() if number} == ({kind: 1} if kind else {})
    assert opening(made, "medium") == counts


@pytest.mark.parametrize(
    ("before", "now", "verdict", "answer"),
    [
        ((), (), "open", False),
        ((), UNREAD, "open", True),
        ((), (), "not-proven", True),
        (UNREAD, (), "open", False),
    ],
    ids=["all read", "not all read now", "not proven now", "not all read before"],
)
def test_what_was_not_read_now_leaves_it_untold(before: Any, now: Any, verdict: Any, answer: bool) -> None:
    """More may have opened than is known. What was not read before can only have hidden what was open already."""
    made = compare(told.report(unread=before), told.report(unread=now, verdict=verdict))
    assert untold(made) is answer


_GATE = Gate(principal_id="g", site_id="/s")
_GATES: list[tuple[str, Gate | None, Gate | None, bool]] = [
    ("none and none", None, None, False),
    ("the same in other letters", _GATE, Gate(principal_id="G", site_id="/S"), False),
    ("another identity", _GATE, replace(_GATE, principal_id="mallory"), True),
    ("another site", _GATE, replace(_GATE, site_id="/t"), True),
    ("a site no more", _GATE, replace(_GATE, site_id=None), True),
    ("a gate no more", _GATE, None, True),
    ("a gate for the first time", None, _GATE, True),
]


@pytest.mark.parametrize(
    ("before", "now", "another"), [row[1:] for row in _GATES], ids=[row[0] for row in _GATES]
)
def test_what_is_gone_with_another_gate_is_not_said_to_be_closed(
    before: Gate | None, now: Gate | None, another: bool
) -> None:
    """E08: whoever is named as the gate is no longer found, and has not lost anything by that."""
    made = compare(told.report(told.finding(), gate=before), told.report(gate=now))
    assert untold(made) is another
    shown = text(made, "medium")
    assert ("another gate: " in shown) is another
    assert ("no longer found, which proves nothing (1)" in shown) is another
    assert (": 1 no longer found." in shown) is another
    assert ("closed (1)" in shown) is not another
    assert (": 1 closed." in shown) is not another


_EARLIER = told.NOW - timedelta(days=9)
_ORDERS: list[tuple[str, Any, Any, bool]] = [
    ("in order", {"collected": _EARLIER}, {}, False),
    ("read at one moment", {}, {}, False),
    ("the wrong way round", {}, {"collected": _EARLIER}, True),
    ("the wrong way round, in another zone", {"collected": told.NOW},
     {"collected": (told.NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))}, True),
    ("judged before the other was read", {}, {"collected": None, "judged": _EARLIER}, True),
    ("judged in the other order alone", {}, {"judged": told.NOW - timedelta(hours=1)}, False),
    ("no time of reading now", {}, {"collected": None}, False),
    ("no time of reading before", {"collected": None}, {"collected": _EARLIER}, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "wrong"), [row[1:] for row in _ORDERS], ids=[row[0] for row in _ORDERS]
)
def test_what_is_gone_from_an_older_report_is_not_said_to_be_closed(
    before: Any, now: Any, wrong: bool
) -> None:
    """Two files in the wrong order would turn all that opened into what closed."""
    made = compare(told.report(told.finding(), **before), told.report(**now))
    assert untold(made) is wrong
    shown = text(made, "medium")
    assert ("the second file is older than the first: " in shown) is wrong
    assert (": 1 no longer found." in shown) is wrong
    assert (": 1 closed." in shown) is not wrong


def test_the_text_says_when_each_was_read_and_judged() -> None:
    """In UTC, whatever the zone in which a report has it; and where a snapshot did not say, that."""
    zone = timezone(timedelta(hours=-5))
    shown = text(
        compare(told.report(collected=None), told.report(judged=told.NOW.astimezone(zone))), "medium"
    ).splitlines()
    at = shown.index(f"target  {told.TARGET}")
    assert shown[at + 1 : at + 3] == [
        "before  read at a time that the snapshot does not say, judged at 2026-11-22 10:30 UTC",
        "now     read at 2026-11-20 10:30 UTC, judged at 2026-11-22 10:30 UTC",
    ]


def test_reports_about_two_targets_are_not_compared() -> None:
    """Everything would seem to have closed; ids that differ in their letters' case are one target."""
    with pytest.raises(ReportFault, match="two targets"):
        compare(told.report(), told.report(target=f"{told.TARGET}2"))
    assert compare(told.report(), told.report(target=told.TARGET.upper())).opened == ()


def test_the_text_says_what_opened_first_and_what_each_was_before() -> None:
    """Golden: every section that a comparison can have."""
    alice = '"Alice Ng" (user 22222222-0000-4000-8000-000000000001) via "Fraud Team" > "All Staff"'
    does = f"{alice}: May score with a token of its own."
    old = told.report(
        told.finding("w"), told.finding("e"), told.finding("c"), told.finding("s"), unread=UNREAD
    )
    new = told.report(
        told.finding("o", severity="low"),
        told.finding("w", severity="critical"),
        told.finding("e", state="latent", severity="low"),
        told.finding("s"),
    )
    assert text(compare(old, new), "medium") == (
        "onlineEndpoints/fraud-score: 1 opened, 1 became worse, 1 became better, 1 closed, 1 as before.\n"
        "Verdict OPEN; 1 of what opened or became worse count (at or above medium, not accepted).\n"
        f"target  {told.TARGET}\n"
        "before  read at 2026-11-20 10:30 UTC, judged at 2026-11-22 10:30 UTC\n"
        "now     read at 2026-11-20 10:30 UTC, judged at 2026-11-22 10:30 UTC\n"
        "\nnot read before (1): what opened may have been open then\n  denyAssignments: 403\n"
        f"\nopened (1)\n  low       o  invoke           {does}\n"
        f"\nbecame worse (1)\n  critical  w  invoke           {does}  [was high, active]\n"
        f"\nbecame better (1)\n  low       e  invoke           {does}  [latent; was high, active]\n"
        f"\nclosed (1)\n  high      c  invoke           {does}\n"
    )


def test_nothing_is_said_to_be_closed_while_not_all_was_read() -> None:
    """A finding that is no longer there may only be one that could not be seen."""
    shown = text(
        compare(told.report(told.finding()), told.report(unread=UNREAD, verdict="not-proven")), "low"
    )
    assert "Verdict NOT PROVEN, before OPEN; 0 of" in shown
    assert "no longer found, which proves nothing (1)" in shown
    assert "not read now (1): more may have opened, and nothing is proven closed" in shown


def test_two_reports_with_nothing_in_them_are_told() -> None:
    """An empty comparison says so."""
    assert text(compare(told.report(), told.report()), "low").startswith(
        "onlineEndpoints/fraud-score: nothing to compare.\nVerdict CLOSED; 0 of"
    )


@pytest.mark.parametrize("name", sorted(told.HOSTILE))
def test_no_name_steers_the_terminal(name: str) -> None:
    """Names in a comparison are as clean as those in a report."""
    made = told.hostile(told.HOSTILE[name])
    empty = told.report(target=made.target)
    for shown in (text(compare(empty, made), "low"), text(compare(made, empty), "low")):
        assert all(character == "\n" or character.isprintable() for character in shown)
        assert not any(unicodedata.category(character) == "Cf" for character in shown)
        assert shown.count("\n") < 20


def test_the_text_is_bounded() -> None:
    """50,000 that opened are counted, and the first shown."""
    shown = text(compare(told.report(), told.many(50_000)), "medium").splitlines()
    assert len(shown) < 2 * MOST
    assert shown[0] == "onlineEndpoints/fraud-score: 50,000 opened."
    assert shown[-1] == f"  and {50_000 - MOST:,} more; --json has all"
