"""The ways that a table of actions tells: each of its rows is asked where it counts (protocols 8.3, 8.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from shared.bypass.actions import DATA_ROOTS, REACHES, Kind, Reach, model
from shared.bypass.patterns import Pattern
from shared.bypass.spelling import fold
from shared.bypass.ways import conditioned
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import Step
from shared.bypass.ways.case import Case

_ROOTS: Final = tuple(map(fold, DATA_ROOTS))
_NO_CALLS: Final = ("/read", "/delete")


def table(case: Case) -> tuple[Reach, ...]:
    """Return the table of the target's kind, and for an account every data action that is in use."""
    return (*REACHES[case.kind], *(_models(case) if case.kind is Kind.ACCOUNT else ()))


def asked(case: Case, asker: Asker, reaches: Iterable[Reach]) -> Iterator[Step]:
    """Yield each of `reaches` at each of its scopes, where anybody has it."""
    for reach in reaches:
        for scope in case.scopes(reach):
            yield from at(scope, asker, reach)


def at(scope: str, asker: Asker, reach: Reach) -> Iterator[Step]:
    """Yield `reach` at `scope`, if anybody has it there."""
    answer = asker.ask(reach.action, is_data=reach.is_data, scope=scope)
    if answer.held:
        yield Step(reach, answer)


def _models(case: Case) -> Iterator[Reach]:
    """Yield data actions that reach models and that no table knows: Azure adds such actions.

    They are what the roles that are assigned, or that conditions let somebody assign, permit of such actions, also within
    what a condition leaves. A role may exclude every action that the table knows, and still leave others.
    """
    used = {
        *(assignment.role for assignment in case.snapshot.assignments),
        *conditioned.roles(case.snapshot),
    }
    given = {
        fold(pattern)
        for key, definitions in case.snapshot.definitions.items()
        if key in used
        for definition in definitions
        for permission in definition.permissions
        for pattern in permission.data_actions
    }
    left = conditioned.patterns(case.snapshot)
    actions = {
        action
        for stems, patterns in (
            (_ROOTS, given | left),
            (_stems(given) if left else (), left),
            (_stems(left), given),
        )
        for stem in stems
        for pattern in patterns
        for action in _beginning(stem, pattern)
    }
    actions.difference_update(fold(reach.action) for reach in REACHES[Kind.ACCOUNT])
    for action in sorted(actions):
        if action.startswith(_ROOTS) and not action.endswith(_NO_CALLS):
            yield model(action, "use models with a token of its own", "D")


def _stems(patterns: Iterable[str]) -> set[str]:
    """Return what those of `patterns` that are about models begin with, up to their stars."""
    return {pattern.partition("*")[0] for pattern in patterns if pattern.startswith(_ROOTS)}


def _beginning(stem: str, pattern: str) -> Iterator[str]:
    """Yield actions that begin with `stem` and that `pattern` stands for: one for each star that may reach beyond it."""
    if pattern.startswith(stem):
        yield from _filled(pattern)
    at = pattern.find("*")
    # A pattern whose text before the star is longer than the stem does not end within it.
    while at >= 0 and at - pattern.count("*", 0, at) <= len(stem):
        if Pattern(pattern[: at + 1]).matches(stem):
            yield from _filled(f"{stem}*{pattern[at + 1 :]}")
        at = pattern.find("*", at + 1)


def _filled(pattern: str) -> Iterator[str]:
    """Yield actions in which something stands in place of each star of `pattern`, at its end with what calls end with."""
    if pattern.endswith("*"):
        within = pattern.rstrip("*").replace("*", "any")
        yield from (f"{within}any/action", f"{within}any/write")
    else:
        yield pattern.replace("*", "any")
