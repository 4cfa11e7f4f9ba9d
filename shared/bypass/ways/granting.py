"""Who can give themselves another way: by assigning or redefining roles, by elevating access, by lifting a deny (8.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from shared.bypass.actions import REACHES, Place, Reach
from shared.bypass.conditions import REQUESTED_ROLE
from shared.bypass.entries import Condition, DenyAssignment, role_key
from shared.bypass.fields import mapping
from shared.bypass.grants import Doubt
from shared.bypass.indirect import (
    ASSIGN_ROLES,
    DEFINE_ROLES,
    ELEVATE,
    GATE,
    LIFT,
    LIFT_PROTECTED,
    SCHEDULE_ROLES,
)
from shared.bypass.permissions import Permissions, Question
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import Step
from shared.bypass.ways.case import Case
from shared.bypass.ways.direct import asked
from shared.bypass.ways.resources import value

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OTHER_ROLE: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"
"""Stands for the roles that no condition names: some of them reach any model."""
_ELSEWHERE: Final = {
    Place.SITE: "assign roles at the gate's site",
    Place.IDENTITY: "assign roles at the gate's identity",
    Place.STORAGE: "assign roles at the storage of the gate's package",
}


def steps(case: Case, asker: Asker) -> Iterator[Step]:
    """Yield who can grant themselves a role that reaches the target, or the gate."""
    mentioned = _mentioned(case.snapshot)
    for place in (Place.TARGET, *_ELSEWHERE):
        reach = msgspec.structs.replace(
            ASSIGN_ROLES, place=place, says=_ELSEWHERE.get(place, ASSIGN_ROLES.says)
        )
        for scope in case.places(place):
            for here in (scope, *case.below(scope)):
                yield from _assigning(case, asker, reach, here, mentioned)
    if _custom_in_use(case.snapshot):
        yield from asked(case, asker, (DEFINE_ROLES,))
    yield from asked(case, asker, (*SCHEDULE_ROLES, ELEVATE))


def lifting(case: Case, asker: Asker, worth: Iterable[Step]) -> Iterator[Step]:
    """Yield who can lift the deny assignments that keep somebody from any of what is `worth` something.

    Where several keep the same people out, only who can lift all of these together opens anything.
    """
    sets = {
        denied_by
        for step in worth
        for denied_by in asker.kept_out(step.answer, but=case.snapshot.gate.principal)
    }
    wanted = {deny for denied_by in sets for deny in denied_by}
    denies = {deny.id: deny for deny in case.snapshot.denies if deny.id in wanted}
    steps = {identity: _lifting(asker, deny) for identity, deny in sorted(denies.items())}
    able = {
        identity: {person for step in steps[identity] for person in step.answer.able} for identity in steps
    }
    opening: dict[str, set[str]] = {identity: set() for identity in steps}
    for denied_by in sets:
        together = set.intersection(*(able[identity] for identity in denied_by))
        for identity in denied_by:
            opening[identity] |= together
    for identity, found in steps.items():
        for step in found:
            people = {
                person: grant for person, grant in step.answer.able.items() if person in opening[identity]
            }
            yield Step(step.reach, msgspec.structs.replace(step.answer, able=people))


def _lifting(asker: Asker, deny: DenyAssignment) -> list[Step]:
    found = []
    for reach in LIFT_PROTECTED if deny.system_protected else LIFT:
        answer = asker.ask(reach.action, is_data=False, scope=deny.scope)
        if answer.held:
            says = f"{reach.says}: {deny.name or deny.id}"
            found.append(Step(msgspec.structs.replace(reach, says=says), answer))
    return found


def _assigning(
    case: Case, asker: Asker, reach: Reach, scope: str, mentioned: frozenset[str]
) -> Iterator[Step]:
    """Yield who may assign a role at `scope` that is worth anything there.

    Conditions delegate some roles and not others. Roles that no condition names are all alike, so one stands for them.
    """
    answer = asker.ask(reach.action, is_data=False, scope=scope)
    conditional = any(Doubt.CONDITION in grant.doubts for grants in answer.held.values() for grant in grants)
    if not conditional:
        if answer.held:
            yield Step(reach, answer)
        return
    for role in sorted({_OTHER_ROLE, *_useful(case, reach.place, scope, mentioned)}):
        answer = asker.ask(
            reach.action, is_data=False, scope=scope, attributes={REQUESTED_ROLE: frozenset({role})}
        )
        if answer.held:
            yield Step(reach, answer)


def _useful(case: Case, place: Place, scope: str, mentioned: frozenset[str]) -> set[str]:
    """Return those of the roles `mentioned` that reach something at `scope`, or were not read."""
    definitions = case.snapshot.definitions
    permissions = Permissions(
        (key, permission)
        for key in mentioned & definitions.keys()
        for definition in definitions[key]
        for permission in definition.permissions
    )
    reaches = REACHES[case.kind] if place is Place.TARGET else GATE
    found = set(mentioned - definitions.keys())
    for reach in (*reaches, ASSIGN_ROLES, DEFINE_ROLES):
        if reach.severity != "low":
            question = Question(action=fold(reach.action), is_data=reach.is_data, scope=scope)
            found.update(permissions.matching(question))
    return found


def _mentioned(snapshot: Snapshot) -> frozenset[str]:
    """Return the GUIDs that conditions mention: roles that are delegated, and others that do no harm here."""
    conditions: set[Condition | None] = {assignment.condition for assignment in snapshot.assignments}
    conditions.update(
        permission.condition
        for definitions in snapshot.definitions.values()
        for definition in definitions
        for permission in definition.permissions
    )
    return frozenset(
        guid for condition in conditions if condition for guid in _GUID.findall(fold(condition.text))
    )


def _custom_in_use(snapshot: Snapshot) -> bool:
    """Say whether some role that is assigned can be redefined: built-in ones cannot, and what was not read may be one."""
    listed = snapshot.document.get("roleDefinitions")
    definitions = [mapping(item, "roleDefinitions") for item in listed] if isinstance(listed, list) else []
    # Azure Resource Manager calls it `type`, and `az`, which needs that name for another thing, `roleType`.
    built_in = {
        role_key(str(definition.get("id")))
        for definition in definitions
        if "BuiltInRole" in {value(definition, "type"), value(definition, "roleType")}
    }
    return any(
        assignment.role is not None and assignment.role not in built_in for assignment in snapshot.assignments
    )
