"""Ids of jobs: found by their owner's prefix, guessed by nobody; and names of notes, of which no two are alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jobs import ids
from tests.fakes import ALICE, TENANT

BOB = "22222222-0000-4000-8000-000000000002"
ELSEWHERE = "11111111-0000-4000-8000-000000000002"


def test_an_id_begins_as_its_endpoint_and_owner_say() -> None:
    """Lists ask by these prefixes."""
    job = ids.new_job("churn", TENANT, ALICE)
    assert job.startswith(ids.owner_prefix("churn", TENANT, ALICE))
    assert ids.owner_prefix("churn", TENANT, ALICE).startswith(ids.endpoint_prefix("churn"))
    assert ids.is_job(job)


def test_no_two_ids_are_alike_and_none_is_guessed() -> None:
    """I07: 128 bits of each id are chance."""
    jobs = {ids.new_job("churn", TENANT, ALICE) for _ in range(1_000)}
    assert len(jobs) == 1_000
    assert {len(job.rpartition("-")[2]) for job in jobs} == {32}


@pytest.mark.parametrize(
    "other", [("fraud", TENANT, ALICE), ("churn", ELSEWHERE, ALICE), ("churn", TENANT, BOB)]
)
def test_owners_have_prefixes_of_their_own(other: tuple[str, str, str]) -> None:
    """Another endpoint, tenant or person: another prefix, and none begins as another does."""
    assert not ids.owner_prefix(*other).startswith(ids.owner_prefix("churn", TENANT, ALICE))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 58,
        "00000000-0000000000000000-" + "0" * 31,
        "00000000-0000000000000000-" + "0" * 33,
        "00000000-0000000000000000-" + "G" * 32,
        "00000000-0000000000000000-" + "A" * 32,
        "00000000-0000000000000000-" + "0" * 32 + "\n",
        "note.00000000-0000000000000000-" + "0" * 32,
        "\u0660" * 8 + "-0000000000000000-" + "0" * 32,
    ],
)
def test_what_is_no_id_is_none(text: str) -> None:
    """I07: only the one form is looked up."""
    assert not ids.is_job(text)


def test_a_key_belongs_to_its_owner_and_endpoint() -> None:
    """F44: the same Idempotency-Key of another caller, or for another endpoint, is another key."""
    own = ids.key_note("churn", TENANT, ALICE, "k")
    others = {
        ids.key_note("fraud", TENANT, ALICE, "k"),
        ids.key_note("churn", ELSEWHERE, ALICE, "k"),
        ids.key_note("churn", TENANT, BOB, "k"),
        ids.key_note("churn", TENANT, ALICE, "K"),
    }
    assert own == ids.key_note("churn", TENANT, ALICE, "k")
    assert len(others | {own}) == 5


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255))
def test_a_key_does_not_stand_in_the_name_of_its_note(key: str) -> None:
    """Whatever the caller chose, the name is `key.` and a digest: it fits into storage and tells nothing."""
    name = ids.key_note("churn", TENANT, ALICE, key)
    assert len(name) == 68
    assert name.startswith("key.")


def test_notes_of_one_job_have_names_of_their_own() -> None:
    """Wishes, names and each attempt."""
    job = ids.new_job("churn", TENANT, ALICE)
    names = [
        ids.cancel_note(job),
        ids.job_note(job),
        *(ids.sending_note(job, number) for number in range(20)),
        *(ids.unclear_note(job, number) for number in range(20)),
    ]
    assert len(set(names)) == len(names)
    assert all(job in name for name in names)
