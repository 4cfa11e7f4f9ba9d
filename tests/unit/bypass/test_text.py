"""The report as text for people: what it says first, what each line holds, and that no name can steer a terminal."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from shared.bypass.finding import Principal, Unread
from shared.bypass.lines import MOST, brief
from shared.bypass.report import Allowance
from shared.bypass.text import explain, headline, text
from tests.unit.bypass import told, world

GOLDEN = f"""\
OPEN: 4 findings, by 3 ways, of 2 principals, around the gate to onlineEndpoints/fraud-score; not everything could be read, so there may be more.
1 critical, 2 high, 1 medium, 1 low; 1 accepted; 3 at or above medium and not accepted

not read (1): nothing is proven closed
  deny assignments: 403 AuthorizationFailed

target  {told.TARGET}
gate    identity 9a8b7c6d-0000-4000-8000-00000000000a; its site is not named: who may take it over was not looked for
when    read at 2026-11-20 10:30 UTC, judged at 2026-11-22 10:30 UTC

acceptances that do not count (2)
  h1  until 2026-06-30, Web team: has expired, and the finding counts again
  zz  until 2027-06-30, Old team: is for a finding that there is not; take it out

critical (1)
  c1  auth-mode        the resource itself: authMode is Key.

high (2)
  h1  invoke           "Alice Ng" (user 22222222-0000-4000-8000-000000000001) via "Fraud Team" > "All Staff": May score with a token of its own.
  h2  invoke           "nightly-export" (servicePrincipal 33333333-0000-4000-8000-000000000001): May score with a token of its own.  [accepted until 2026-12-31 by Dana Fox]

medium (1)
  m1  grant            "nightly-export" (servicePrincipal 33333333-0000-4000-8000-000000000001): May assign roles.  [eligible]

low (1)
  l1  network          the resource itself: Answers the public internet.

--explain ID tells the chain of one finding, --fixes the commands that close them.
What no report proves, such as that nobody copied a key before, stands in docs/bypass.md.
"""

EXPLAINED = f"""\
h1  high  invoke: calls it directly
means   May score, submit a job or run inference with a token of its own, without asking the gate.
who     "Alice Ng" (user 22222222-0000-4000-8000-000000000001)
        in "Fraud Team" (group {told.TEAM})
        in "All Staff" (group {told.STAFF})
what    May score with a token of its own.
state   active: now
grant   role "Owner" ({told.OWNER})
        at scope {world.SUBSCRIPTION}
        whose action * matches
        by assignment {told.ASSIGNMENT}, since 2025-03-01T09:00:00Z
fix     az role assignment delete --ids {told.ASSIGNMENT}
"""


def test_the_whole_text_says_the_verdict_first_then_what_was_not_read_then_the_worst() -> None:
    """Golden: every section that a report can have, in its order."""
    assert text(told.SAMPLE, "medium") == GOLDEN


def test_one_finding_is_explained_with_every_link_of_its_chain() -> None:
    """Golden: the principal, each group up to the one that holds the role, the role, scope, action and assignment."""
    assert explain(told.SAMPLE, told.SAMPLE.findings[1]) == EXPLAINED


_OWNER = told.finding("o1", way="group-owner", severity="medium")


def test_who_owns_a_group_is_not_told_as_a_member_of_it() -> None:
    """The first group is owned; only from there on one is in the next."""
    shown = explain(told.report(_OWNER), _OWNER)
    assert f'        owns "Fraud Team" (group {told.TEAM})\n' in shown
    assert f'        which is in "All Staff" (group {told.STAFF})\n' in shown
    assert '001) as owner of "Fraud Team" > "All Staff": May' in text(told.report(_OWNER), "low")
    assert ' in "' not in explain(told.report(), replace(_OWNER, via=(told.TEAM,)))


def test_a_line_ends_with_a_whole_sentence_and_the_explanation_has_all() -> None:
    """Nothing is cut within a word; and whoever asks for one finding is told everything that it lets them do."""
    first = (
        "May " + "; ".join(f"change part {at} of the gate" for at in range(6)) + "; and 90 more of the kind."
    )
    rest = "The 90 more: " + "; ".join(f"change thing {at} of the gate" for at in range(90)) + "."
    one = told.finding(detail=f"{first} {rest}")
    assert f": {first} …\n" in text(told.report(one), "low")
    assert f"what    {first} {rest}\n" in explain(told.report(one), one)


@pytest.mark.parametrize(
    ("sentences", "shown"),
    [
        ("May score.", "May score."),
        ("May do this. And then more of it.", "May do this. …"),
        ("May do this and that and so on.", "May do this and that …"),
        ("May. Then do this and that too.", "May. Then do this …"),
        ("x" * 21, "x" * 20 + "…"),
        ("\x1b[2J and so on and so on", "\\x1b[2J and so on and …"),
    ],
    ids=["short", "a sentence", "words", "too little of it", "one word", "hostile"],
)
def test_sentences_are_cut_between_words(sentences: str, shown: str) -> None:
    """After a sentence, where that leaves more than half of the room."""
    assert brief(sentences, 20) == shown


def test_a_finding_that_is_accepted_says_by_whom_why_and_until_when() -> None:
    """The explanation of an accepted finding is not silent about it."""
    told_ = explain(told.SAMPLE, told.SAMPLE.findings[2])
    assert "accepted until 2026-12-31 by Dana Fox: sealed in the safe\n" in told_


def test_a_finding_that_became_worse_than_what_was_accepted_says_so() -> None:
    """E08: how far an acceptance goes stands with it, and where it ends the finding counts again."""
    bounded = replace(told.ACCEPTED, severity="medium", state="eligible")
    held = told.finding(accepted=bounded)
    said = "accepted until 2026-12-31 by Dana Fox, at most medium and eligible: sealed in the safe\n"
    assert said in explain(told.report(held), held)
    entry = Allowance(id="f1", owner="Dana Fox", reason="x", until=bounded.until, status="exceeded")
    shown = text(told.report(told.finding(), allowances=(entry,)), "medium")
    assert (
        "f1  until 2026-12-31, Dana Fox: accepts less than the finding has become, and it counts again"
        in shown
    )


def test_when_the_snapshot_was_read_is_told_beside_when_it_was_judged() -> None:
    """E08: what was read long ago looks no fresher for being judged today; what it does not say is not made up."""
    zone = timezone(timedelta(hours=2))
    made = told.report(collected=datetime(2025, 1, 1, 1, 0, tzinfo=zone))
    assert "\nwhen    read at 2024-12-31 23:00 UTC, judged at 2026-11-22 10:30 UTC\n" in text(made, "low")
    assert "\nwhen    read at a time that the snapshot does not say, judged at " in text(
        told.report(collected=None), "low"
    )


def test_a_command_of_several_lines_keeps_them() -> None:
    """What is to be pasted into a shell is not joined into one line."""
    one = told.finding(fix=("az rest \\\n  --method put", "az two"))
    lines = explain(told.report(one), one).splitlines()
    assert lines[-3:] == ["fix     az rest \\", "          --method put", "fix     az two"]


_AROUND = "around the gate to onlineEndpoints/fraud-score"
_LOW = (told.finding(severity="low"),)
_TWO = (told.finding("1"), told.finding("2", severity="medium"))
_VERDICTS: list[tuple[str, str, tuple[Any, ...], bool, str]] = [
    ("nothing found, all read", "closed", (), False, f"CLOSED: nothing goes {_AROUND}."),
    ("low alone", "closed", _LOW, False, f"CLOSED: nothing goes {_AROUND}, besides what is of low severity."),
    (
        *("nothing found, not all read", "not-proven", (), True),
        f"NOT PROVEN: no way {_AROUND} was found, but not everything could be read.",
    ),
    (
        *("low alone, not all read", "not-proven", _LOW, True),
        f"NOT PROVEN: no way {_AROUND} was found, besides what is of low severity, but not everything could be read.",
    ),
    ("one finding", "open", _TWO[:1], False, f"OPEN: 1 finding, by 1 way, of 1 principal, {_AROUND}."),
    (
        *("one about nobody", "open", (told.SAMPLE.findings[0],), False),
        f"OPEN: 1 finding, by 1 way, {_AROUND}.",
    ),
    (
        *("several by fewer ways of fewer, and low", "open", (*told.SAMPLE.findings[:4], *_TWO[:1]), False),
        f"OPEN: 5 findings, by 3 ways, of 2 principals, {_AROUND}.",
    ),
    (
        *("two and low", "open", (*_TWO, *_LOW), False),
        f"OPEN: 2 findings, by 1 way, of 1 principal, {_AROUND}.",
    ),
    (
        *("a way, not all read", "open", _TWO[:1], True),
        f"OPEN: 1 finding, by 1 way, of 1 principal, {_AROUND}; not everything could be read, so there may be more.",
    ),
    (
        *("closed by its verdict, and yet not all read", "closed", (), True),
        f"CLOSED: no way {_AROUND} was found, but not everything could be read.",
    ),
]


@pytest.mark.parametrize(
    ("verdict", "findings", "unread", "said"),
    [row[1:] for row in _VERDICTS],
    ids=[row[0] for row in _VERDICTS],
)
def test_the_verdict_is_one_sentence(verdict: Any, findings: Any, unread: bool, said: str) -> None:
    """It never says that nothing goes around while something was not read."""
    items = (Unread(what="x", why="y"),) if unread else ()
    made = told.report(*findings, verdict=verdict, unread=items)
    assert headline(made) == said
    assert text(made, "medium").startswith(said + "\n")


def test_without_a_gate_the_verdict_is_about_any_gate() -> None:
    """Somebody who has only an endpoint and the question gets an answer too."""
    made = told.report(*_TWO, gate=None)
    assert (
        headline(made)
        == "OPEN: 2 findings, by 1 way, of 1 principal, around any gate to onlineEndpoints/fraud-score."
    )
    assert "\ngate    none is named\n" in text(made, "medium")


@pytest.mark.parametrize("name", sorted(told.HOSTILE))
def test_no_name_steers_the_terminal_or_adds_a_line(name: str) -> None:
    """Whatever others wrote: each finding stays one line, and what is printed can be seen."""
    made = told.hostile(told.HOSTILE[name])
    harmless = told.hostile("name")
    # A command is cut into lines as it is written; nothing else is.
    for shown, like, more in (
        (text(made, "medium"), text(harmless, "medium"), 0),
        (
            explain(made, made.findings[0]),
            explain(harmless, harmless.findings[0]),
            told.HOSTILE[name].count("\n"),
        ),
    ):
        assert shown.count("\n") == like.count("\n") + more
        assert all(character == "\n" or character.isprintable() for character in shown)
        assert not any(unicodedata.bidirectional(character) in _TURNS for character in shown)
        assert max(map(len, shown.splitlines())) < 8_000


_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_text_shows_the_first_of_many_and_says_how_many_more_there_are() -> None:
    """50,000 findings do not run through the terminal; what is left out is counted, by way."""
    shown = text(told.many(50_000), "medium").splitlines()
    assert len(shown) < 2 * MOST
    assert f"  and {50_000 - MOST:,} more ({50_000 - MOST:,} invoke); --json has all" in shown
    assert shown[1].startswith("50,000 high; 0 accepted; 50,000 at or above medium")


def test_what_was_not_read_is_bounded_too() -> None:
    """A tenant that answers nothing still leaves the verdict on the screen."""
    unread = tuple(Unread(what=f"group {at}", why="403") for at in range(1_000))
    shown = text(told.report(unread=unread, verdict="not-proven"), "medium").splitlines()
    assert len(shown) < 2 * MOST
    assert f"  and {1_000 - MOST:,} more; --json has all" in shown


def test_a_long_chain_of_groups_is_told_by_its_ends() -> None:
    """The line names who is in the first group and which one holds the role; --explain has them all."""
    groups = tuple(f"g{at}" for at in range(40))
    one = told.finding(via=groups)
    made = told.report(one)
    assert " via g0 > g1 > (36 groups) > g38 > g39: " in text(made, "medium")
    assert explain(made, one).count("(group g") == 40


@pytest.mark.parametrize(
    ("principal", "said"),
    [
        (told.ITSELF, "the resource itself"),
        (replace(told.ITSELF, id=told.TARGET.upper()), "the resource itself"),
        (Principal(id="x", type="group"), "group x"),
        (
            Principal(id=f"{world.GROUP}/providers/Microsoft.Web/sites/gate", type="resource"),
            "resource sites/gate",
        ),
    ],
    ids=["the target", "the target in other letters", "nobody knows its name", "another resource"],
)
def test_who_a_finding_is_about(principal: Principal, said: str) -> None:
    """Resources are told by type and name, principals by name, type and object id."""
    assert f"  invoke           {said}: May" in text(
        told.report(told.finding(principal=principal, via=())), "low"
    )
