"""docs/errors.md says what the code does, about everything that the code can say."""

from __future__ import annotations

from shared.model import Reason
from shared.problem import OF_REASON, TABLE, Slug
from tests.meta.errors_page import PAGE, decision, page
from tests.meta.errors_text import REASONS, SLUGS


def test_the_page_is_what_the_code_makes() -> None:
    """The committed page is the generated one; after a change: `python -m tests.meta.errors_page`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_slug_has_a_row_and_sentences() -> None:
    """No slug is without status, title and words for people, and none is described that does not exist."""
    assert set(TABLE) == set(Slug) == set(SLUGS)


def test_every_reason_has_a_sentence() -> None:
    """No reason is without its meaning, and none is described that does not exist."""
    assert set(REASONS) == set(Reason)


def test_only_the_four_proofs_allow() -> None:
    """A reason is an allow exactly when it maps to no problem, and these four are all."""
    allows = {reason for reason in Reason if reason not in OF_REASON}
    assert allows == {Reason.MEMBER, Reason.PRINCIPAL_LISTED, Reason.APP_ROLE, Reason.OUTAGE_GRACE}
    assert {reason for reason in Reason if decision(reason) == "allow"} == allows
