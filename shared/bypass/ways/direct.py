"""The ways that a table of actions tells: each of its rows is asked where it counts (protocols 8.3, 8.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.bypass.actions import DATA_ROOTS, REACHES, Kind, Reach
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import Step
from shared.bypass.ways.case import Case


def steps(case: Case, asker: Asker) -> Iterator[Step]:
    """Yield what the table of the target's kind comes to, and for an account every data action that is in use."""
    yield from asked(case, asker, REACHES[case.kind])
    if case.kind is Kind.ACCOUNT:
        yield from asked(case, asker, _models(case))


def asked(case: Case, asker: Asker, reaches: Iterable[Reach]) -> Iterator[Step]:
    """Yield each of `reaches` at each of its scopes, where anybody has it."""
    for reach in reaches:
        for scope in case.scopes(reach):
            answer = asker.ask(reach.action, is_data=reach.is_data, scope=scope)
            if answer.held:
                yield Step(reach, answer)


def _models(case: Case) -> Iterator[Reach]:
    """Yield data actions that reach models and that roles in use name: Azure adds such actions, tables do not.

    A star is asked for by something that stands in its place: a role may exclude every action that the table knows, and
    still leave others.
    """
    used = {assignment.role for assignment in case.snapshot.assignments}
    patterns = {
        fold(pattern)
        for key, definitions in case.snapshot.definitions.items()
        if key in used
        for definition in definitions
        for permission in definition.permissions
        for pattern in permission.data_actions
    }
    roots = tuple(map(fold, DATA_ROOTS))
    actions = {pattern.replace("*", "any") for pattern in patterns}
    actions.update(f"{root}any/action" for root in roots)
    actions.difference_update(fold(reach.action) for reach in REACHES[Kind.ACCOUNT])
    for action in sorted(actions):
        if action.startswith(roots) and not action.endswith(("/read", "/delete")):
            yield Reach(
                way="invoke",
                action=action,
                says="use models with a token of its own",
                mark="D",
                below="projects",
                is_data=True,
            )
