"""Azure RBAC as protocols 8.1 writes it down: slow, short, and no line shared with what it is compared with.

It knows the worlds of test_properties.py alone: names for ids, conditions by their texts.
"""

from __future__ import annotations

import re
from typing import Any

ZERO = "00000000-0000-0000-0000-000000000000"
NO_WRITES = "!(ActionMatches{'*/write'})"
UNTOLD = "@Principal[team] StringEquals 'risk'"

Document = dict[str, Any]


def able(made: Document, action: str, scope: str, *, is_data: bool) -> dict[str, str]:
    """Return who is able, with the strongest state."""
    found: dict[str, set[str]] = {}
    directory = made["directory"]
    listed = [(entry, False) for entry in made["roleAssignments"]]
    listed += [(entry, True) for entry in made["roleEligibilityScheduleInstances"]]
    for entry, eligible in listed:
        told = entry["properties"]
        truths = {truth for truth in _role(made, told, action, is_data=is_data) if truth is not False}
        own = _condition(told["condition"], action)
        if not _above(told["scope"], scope) or not truths or own is False:
            continue
        certain = True in truths and own is True
        for person in _people(told["principalId"].lower(), directory):
            bar = _barred(made, person, action, scope, is_data=is_data)
            if bar is True:
                continue
            known = directory["principals"].get(person, {}).get("type") in {"user", "servicePrincipal"}
            state = "active" if certain and known and bar is False else "conditional"
            found.setdefault(person, set()).add("eligible" if eligible else state)
    order = ("active", "conditional", "eligible")
    return {person: next(state for state in order if state in states) for person, states in found.items()}


def _role(made: Document, told: Document, action: str, *, is_data: bool) -> set[bool | None]:
    wanted = told["roleDefinitionId"].lower().split("/")[-1]
    definitions = [role for role in made["roleDefinitions"] if role["id"].lower().split("/")[-1] == wanted]
    if not definitions:
        return {None}
    return {
        _condition(permission["condition"], action)
        for role in definitions
        for permission in role["properties"]["permissions"]
        if _permits(permission, action, is_data=is_data)
    }


def _permits(permission: Document, action: str, *, is_data: bool) -> bool:
    names = ("dataActions", "notDataActions") if is_data else ("actions", "notActions")
    given, taken = (any(_matches(pattern, action) for pattern in permission[name]) for name in names)
    return given and not taken


def _matches(pattern: str, action: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) is not None


def _condition(text: str | None, action: str) -> bool | None:
    """Return whether the condition holds, None for what cannot be told."""
    if text is None:
        return True
    return None if text == UNTOLD else not action.lower().endswith("/write")


def _above(scope: str, asked: str) -> bool:
    here, there = ([part for part in place.lower().split("/") if part] for place in (scope, asked))
    return there[: len(here)] == here or "managementgroups" in here


def _people(holder: str, directory: Document) -> set[str]:
    """Return the holder, or who is in it; a group in place of members that are not listed."""
    members = {
        group.lower(): [name.lower() for name in listed]
        for group, listed in directory["groupMembers"].items()
    }
    inside = {holder}
    while True:
        more = {name for group in inside for name in members.get(group, ())} - inside
        if not more:
            return inside - members.keys()
        inside |= more


def _barred(made: Document, person: str, action: str, scope: str, *, is_data: bool) -> bool | None:
    """Return whether a deny assignment certainly keeps `person` out, None where one may."""
    directory = made["directory"]
    answer: bool | None = False
    for entry in made["denyAssignments"]:
        told = entry["properties"]
        here = (
            told["scope"].lower() == scope.lower()
            if told["doNotApplyToChildScopes"]
            else _above(told["scope"], scope)
        )
        permits = any(_permits(one, action, is_data=is_data) for one in told["permissions"])
        if not here or not permits or told.get("denyAssignmentEffect", "enforced") != "enforced":
            continue
        excluded = {name for one in told["excludePrincipals"] for name in _within(one["id"], directory)}
        covered = {name for one in told["principals"] for name in _within(one["id"], directory)}
        if person in excluded or not (ZERO in covered or person in covered):
            continue
        kind = directory["principals"].get(person, {}).get("type")
        # Of these two nobody knows whether they are groups, and whose.
        if excluded & {"unlisted", "gone"} or (excluded and kind not in {"user", "servicePrincipal"}):
            answer = None
        else:
            return True
    return answer


def _within(holder: str, directory: Document) -> set[str]:
    """Return the holder, all who are in it, and the groups in between that were not listed."""
    return {holder.lower(), *_people(holder.lower(), directory)}
