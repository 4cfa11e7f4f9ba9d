"""The seal of a stored job holds for exactly what the gate stored (threat T10)."""

from __future__ import annotations

from copy import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.job import Intent
from shared.jobs.seal import Sealer
from tests.jobfakes import SECRET, an_intent

SEALER = Sealer(SECRET)
OTHER: dict[str, Any] = {
    "app_roles": ("Score.All",),
    "accepted": 1.0,
    "job_timeout": 1e9,
    "client": "44444444-0000-4000-8000-000000000001",
    "deployment": "green",
    "notify": "https://example.org",
    "workspace": None,
}


def test_a_sealed_intent_holds() -> None:
    """It holds as it is, and when it comes back out of the store."""
    sealed = SEALER.seal(an_intent())
    assert SEALER.holds(sealed)
    assert SEALER.holds(msgspec.convert(msgspec.to_builtins(sealed), Intent))
    assert SEALER.holds(msgspec.json.decode(msgspec.json.encode(sealed), type=Intent))


@pytest.mark.parametrize("field", [name for name in Intent.__struct_fields__ if name != "seal"])
def test_no_field_can_be_changed(field: str) -> None:
    """T10: whoever writes into the store changes who, what, where or how long: the seal breaks."""
    sealed = SEALER.seal(an_intent())
    changed = replace(sealed, **{field: OTHER.get(field, "changed")})
    assert changed != sealed
    assert not SEALER.holds(changed)


@pytest.mark.parametrize("seal", ["", "0" * 64, "é" * 64, "x"])
def test_no_seal_is_no_seal(seal: str) -> None:
    """An empty, invented or misshapen one does not hold, and nothing breaks over it."""
    assert not SEALER.holds(an_intent(seal=seal))


def test_the_seal_of_another_job_does_not_hold() -> None:
    """Each seal is for one intent."""
    assert not SEALER.holds(an_intent(seal=SEALER.seal(an_intent()).seal))


def test_the_seal_of_another_secret_does_not_hold() -> None:
    """A gate with another secret believes nothing of it."""
    assert not Sealer(SECRET + "!").holds(SEALER.seal(an_intent()))


def test_sealing_again_changes_nothing() -> None:
    """The seal does not depend on what stood in its place."""
    sealed = SEALER.seal(an_intent())
    assert SEALER.seal(sealed) == sealed


def test_without_a_secret_nothing_is_sealed_and_everything_holds() -> None:
    """`secured` tells that this proves nothing."""
    open_ = Sealer(None)
    intent = an_intent()
    assert open_.seal(intent) is intent
    assert open_.holds(intent)
    assert open_.holds(an_intent(seal="0" * 64))
    assert (open_.secured, SEALER.secured) == (False, True)


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_stands_in_one_field_cannot_move_to_the_next(one: str, other: str) -> None:
    """Two intents with the same text all in all, divided otherwise, have two seals."""
    here, there = an_intent(url=one + other, scope="", job="x"), an_intent(url=one, scope=other, job="x")
    assert (SEALER.seal(here).seal == SEALER.seal(there).seal) == (other == "")


def test_a_sealed_name_is_that_of_one_job_alone() -> None:
    """E10: neither another name, nor another job, secret or purpose has the same seal."""
    sealer, intent = Sealer(SECRET), an_intent()
    seal = sealer.seal_name(intent.job, "batchjob-1")
    assert sealer.holds_name(intent.job, "batchjob-1", seal)
    assert not sealer.holds_name(intent.job, "batchjob-2", seal)
    assert not sealer.holds_name(an_intent().job, "batchjob-1", seal)
    assert not Sealer(SECRET + "!").holds_name(intent.job, "batchjob-1", seal)
    assert not sealer.holds_name(intent.job, "batchjob-1", sealer.seal(intent).seal)
    for nonsense in ("", "é", seal.upper()):
        assert not sealer.holds_name(intent.job, "batchjob-1", nonsense)


def test_without_a_secret_names_have_no_seal() -> None:
    """As intents: there is nothing to tell by."""
    assert Sealer(None).seal_name("j", "n") == ""
    assert Sealer(None).holds_name("j", "n", "anything")
