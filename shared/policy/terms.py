"""What an allow rule of a batch endpoint lets a job read, write and change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared.model import JobTerms, Wanted
from shared.places import within

NOTHING: Final = JobTerms()
"""The terms of a rule that says nothing of jobs."""


def misfit(terms: JobTerms, wanted: Wanted) -> tuple[int, str] | None:
    """Return what of `wanted` the terms do not let a job have, None for nothing.

    It is the first such thing: how much fits before it, and its place in the request's body.
    """
    for number, (place, fits) in enumerate(_things(terms, wanted)):
        if not fits:
            return number, place
    return None


def _things(terms: JobTerms, wanted: Wanted) -> Iterator[tuple[str, bool]]:
    for places, data in ((terms.inputs, wanted.inputs), (terms.outputs, wanted.outputs)):
        for place, where in data:
            yield place, any(within(where, allowed) for allowed in places)
    for names, named in (
        (terms.literals, wanted.literals),
        (terms.experiments, wanted.experiments),
        (terms.computes, wanted.computes),
        (terms.settings, wanted.settings),
    ):
        for place, name in named:
            yield place, name in names
