"""What a rule lets jobs read, write and change: all of it by one rule, and what is not named is not given (threat T10)."""

from __future__ import annotations

from typing import Any

import pytest

from shared.model import JobTerms, Wanted
from shared.places import parse
from shared.policy.terms import NOTHING, misfit

DATA = "https://contosodata.blob.core.windows.net"
IN, OUT = parse(f"{DATA}/inputs/"), parse(f"{DATA}/outputs/")
TERMS = JobTerms(
    inputs=(IN, parse(f"{DATA}/more/2024/")),
    outputs=(OUT,),
    literals=frozenset({"mode"}),
    experiments=frozenset({"fraud"}),
    computes=frozenset({"cpu"}),
    settings=frozenset({"miniBatchSize"}),
)
FITTING = Wanted(
    inputs=(("i0", parse(f"{DATA}/inputs/a.csv")), ("i1", parse(f"{DATA}/more/2024/b/"))),
    outputs=(("o0", parse(f"{DATA}/outputs/x/")),),
    literals=(("l0", "mode"),),
    experiments=(("e0", "fraud"),),
    computes=(("c0", "cpu"),),
    settings=(("s0", "miniBatchSize"),),
)
ELSEWHERE = parse(f"{DATA}/elsewhere/")


def with_(**changes: Any) -> Wanted:
    fitting = {name: getattr(FITTING, name) for name in Wanted.__struct_fields__}
    return Wanted(**{**fitting, **changes})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(with_(inputs=(("i0", ELSEWHERE),)), (0, "i0"), id="an input elsewhere"),
        pytest.param(
            with_(inputs=(("i0", IN), ("i1", ELSEWHERE))), (1, "i1"), id="the second input elsewhere"
        ),
        pytest.param(with_(inputs=(("i0", OUT),)), (0, "i0"), id="an input where outputs lie"),
        pytest.param(with_(outputs=(("o0", IN),)), (2, "o0"), id="an output where inputs lie"),
        pytest.param(with_(literals=(("l0", "source"),)), (3, "l0"), id="another literal"),
        pytest.param(with_(experiments=(("e0", "Fraud"),)), (4, "e0"), id="another experiment"),
        pytest.param(with_(computes=(("c0", "gpu"),)), (5, "c0"), id="another compute"),
        pytest.param(with_(settings=(("s0", "errorThreshold"),)), (6, "s0"), id="another setting"),
        pytest.param(
            with_(settings=(("s0", "x"),), inputs=(("i0", ELSEWHERE),)), (0, "i0"), id="the first of two"
        ),
    ],
)
def test_t10_the_first_thing_that_does_not_fit_is_told(wanted: Wanted, found: tuple[int, str]) -> None:
    """T10: one thing that a rule does not give refuses the job: its place, and how much fits before it."""
    assert misfit(TERMS, wanted) == found


@pytest.mark.parametrize("name", ["inputs", "outputs", "literals", "experiments", "computes", "settings"])
def test_t10_a_rule_that_says_nothing_gives_nothing(name: str) -> None:
    """T10: each kind of thing is refused by terms that do not name it."""
    wanted = Wanted(**{name: getattr(FITTING, name)})
    place = getattr(FITTING, name)[0][0]
    assert misfit(NOTHING, wanted) == (0, place)


def test_what_a_rule_names_it_gives() -> None:
    """A job that stays within all of the terms fits; so does one that wants nothing."""
    assert misfit(TERMS, FITTING) is None
    assert misfit(NOTHING, Wanted()) is None
