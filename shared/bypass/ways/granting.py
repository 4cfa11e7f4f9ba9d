"""Who can give themselves another way: by assigning or redefining roles, by elevating access, by lifting a deny (8.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from shared.bypass.actions import Place, Reach
from shared.bypass.conditions import REQUESTED_ROLE
from shared.bypass.entries import DenyAssignment, role_key
from shared.bypass.fields import mapping
from shared.bypass.grants import Doubt
from shared.bypass.indirect import (
    ASSIGN_ROLES,
    DEFINE_ROLES,
    ELEVATE,
    LIFT,
    LIFT_PROTECTED,
    SCHEDULE_ROLES,
)
from shared.bypass.permissions import Permissions, Question
from shared.bypass.scopes import ROOT
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.visible import named
from shared.bypass.ways import conditioned
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import Step
from shared.bypass.ways.case import Case
from shared.bypass.ways.direct import asked, at
from shared.bypass.ways.resources import value

_OTHER_ROLE: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"
"""Stands for the roles that no condition names: some of them reach any model."""
_WHERE: Final = {
    Place.SITE: " at the gate's site",
    Place.BEARER: " at another app that has the gate's identity",
    Place.IDENTITY: " at the gate's identity",
    Place.STORAGE: " at the storage of the gate's package",
}


def steps(case: Case, asker: Asker, reaches: Iterable[Reach]) -> Iterator[Step]:
    """Yield who can grant themselves any of `reaches`, wherever one of them opens something."""
    worth: dict[str, list[Reach]] = {}
    for reach in reaches:
        if reach.severity != "low":
            for scope in case.scopes(reach):
                worth.setdefault(scope, []).append(reach)
    delegated = _Delegated(case.snapshot)
    redefining = (DEFINE_ROLES,) if _custom_in_use(case.snapshot) else ()
    for right in (ASSIGN_ROLES, *redefining, *SCHEDULE_ROLES):
        for scope, opened in worth.items():
            place = opened[0].place
            here = msgspec.structs.replace(right, place=place, says=right.says + _WHERE.get(place, ""))
            if right is ASSIGN_ROLES:
                yield from _assigning(asker, here, scope, delegated, opened)
            else:
                yield from at(scope, asker, here)
    yield from asked(case, asker, (ELEVATE,))


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
    able = {one: {who for step in found for who in step.answer.able} for one, found in steps.items()}
    held = {one: {who for step in found for who in step.answer.held} for one, found in steps.items()}
    opening: dict[str, set[str]] = {identity: set() for identity in steps}
    # Who comes to be one of those that hold it, as an owner of a group may, takes the others as those or by another way.
    later: dict[str, set[str]] = {identity: set() for identity in steps}
    open_to = {one for one in steps if able[one] or any(_joinable(case.snapshot, who) for who in held[one])}
    for denied_by in sets:
        for identity in denied_by:
            opening[identity] |= set.intersection(*(able[one] for one in denied_by))
            closed = [held[one] for one in denied_by if one not in open_to]
            later[identity] |= held[identity].intersection(*closed)
    for identity, found in steps.items():
        for step in found:
            people = {who: grant for who, grant in step.answer.able.items() if who in opening[identity]}
            holders = {who: grants for who, grants in step.answer.held.items() if who in later[identity]}
            yield Step(step.reach, msgspec.structs.replace(step.answer, able=people, held=holders))


def _joinable(snapshot: Snapshot, holder: str) -> bool:
    """Say whether somebody owns the group `holder`, or one within it."""
    directory = snapshot.directory
    return directory.is_group(holder) and any(
        directory.owners.get(nested.group) for nested in directory.nested(holder)
    )


def _lifting(asker: Asker, deny: DenyAssignment) -> list[Step]:
    found = []
    for reach in LIFT_PROTECTED if deny.system_protected else LIFT:
        answer = asker.ask(reach.action, is_data=False, scope=deny.scope)
        if answer.held:
            says = f"{reach.says}: {named(deny.id, deny.name)}"
            found.append(Step(msgspec.structs.replace(reach, says=says), answer))
    return found


def _assigning(
    asker: Asker, right: Reach, scope: str, delegated: _Delegated, opened: Iterable[Reach]
) -> Iterator[Step]:
    """Yield who may assign a role at `scope` that is worth anything there: by it one of `opened`, or another right.

    Conditions delegate some roles and not others. Roles that no condition names are all alike, so one stands for them.
    """
    answer = asker.ask(right.action, is_data=False, scope=scope)
    conditional = any(Doubt.CONDITION in grant.doubts for grants in answer.held.values() for grant in grants)
    if not conditional:
        if answer.held:
            yield Step(right, answer)
        return
    for role in sorted({_OTHER_ROLE, *delegated.useful(opened)}):
        answer = asker.ask(
            right.action, is_data=False, scope=scope, attributes={REQUESTED_ROLE: frozenset({role})}
        )
        if answer.held:
            yield Step(right, answer)


class _Delegated:
    """The roles that conditions name: who may assign these and no others has what they are good for."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Index what they permit."""
        named = conditioned.roles(snapshot)
        self._permissions: Final = Permissions(
            (key, permission)
            for key in named & snapshot.definitions.keys()
            for definition in snapshot.definitions[key]
            for permission in definition.permissions
        )
        self._unknown: Final = named - snapshot.definitions.keys()
        """Without its definition a role may permit anything."""
        lifting = (*LIFT, *LIFT_PROTECTED) if snapshot.denies else ()
        self._rights: Final = (ASSIGN_ROLES, DEFINE_ROLES, *SCHEDULE_ROLES, ELEVATE, *lifting)

    def useful(self, opened: Iterable[Reach]) -> set[str]:
        """Return those that permit one of `opened`, or a right by which it can be had, or of which nothing is known."""
        found = set(self._unknown)
        for reach in (*opened, *self._rights):
            question = Question(action=fold(reach.action), is_data=reach.is_data, scope=ROOT)
            found.update(self._permissions.matching(question))
        return found


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
