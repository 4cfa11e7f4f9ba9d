"""What is wrong with a policy whose every value is right by itself: names that lead nowhere, rules that cannot match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from msgspec import UNSET, UnsetType

from shared.ids import guid
from shared.policy.checks import seconds, show
from shared.policy.document import DefaultsTable, Document, EndpointTable, RuleTable
from shared.policy.hosts import url_fault
from shared.policy.reader import at, rule_places
from shared.ports import Fault

_LONG: Final = "1d"
_FEW: Final = 200
"""Beyond so many names a search for what was meant takes longer than its answer is worth."""
_ENDS: Final = re.compile(r"[.\[]|$")


def faults(document: Document, broken: set[str], *, allow_http: bool) -> list[Fault]:
    """Return the faults between values; what stands at or under a `broken` place is not judged twice."""
    return list(_Judge(document, broken, allow_http=allow_http).all())


def warnings(document: Document) -> tuple[str, ...]:
    """Return what is allowed but looks like a slip, for a document without faults."""
    return tuple(_slips(document))


def _slips(document: Document) -> Iterator[str]:
    endpoints = _endpoints(document)
    used = {group for table in endpoints.values() for rule in _rules(table) for group in _listed(rule.groups)}
    for name in _listed(document.groups):
        if name not in used:
            yield f"{at('groups', name)}: no rule uses this group"
    ages: list[tuple[str, DefaultsTable | EndpointTable]] = []
    if document.defaults is not UNSET:
        ages.append(("defaults", document.defaults))
    ages.extend((at("endpoints", name), table) for name, table in endpoints.items())
    for place, lifetimes in ages:
        for key, age in (
            ("max-membership-age", lifetimes.max_membership_age),
            ("outage-grace", lifetimes.outage_grace),
        ):
            if age is not UNSET and seconds(age) > seconds(_LONG):
                yield f"{place}.{key}: is longer than a day; a removed member may keep access that long"
    for name, table in endpoints.items():
        able = {rule.id for rule in allowing(_rules(table))}
        for rule in _rules(table):
            if rule.effect == "allow" and rule.id not in able:
                yield f"{at('endpoints', name)}.rules: {show(str(rule.id))} allows nobody: deny rules name all that it names"


class _Judge:
    def __init__(self, document: Document, broken: set[str], *, allow_http: bool) -> None:
        self.document = document
        # Each place with all that it stands in: `a.b[0].c` breaks `a`, `a.b` and `a.b[0]` as well.
        self.broken = {place[: end.start()] for place in broken for end in _ENDS.finditer(place)}
        self.allow_http = allow_http
        named = {} if document.groups is UNSET else document.groups
        self.group_names = {group: name for name, group in named.items() if group is not UNSET}
        self.hosts = frozenset[str]() if document.hosts is UNSET else frozenset(_listed(document.hosts.allow))

    def all(self) -> Iterator[Fault]:
        yield from self.groups()
        for name, table in _endpoints(self.document).items():
            yield from self.endpoint(at("endpoints", name), table)

    def sound(self, place: str) -> bool:
        return place not in self.broken

    def groups(self) -> Iterator[Fault]:
        first: dict[str, str] = {}
        for name, group in ({} if self.document.groups is UNSET else self.document.groups).items():
            if group is UNSET:
                continue
            if group in first:
                yield Fault(
                    place=at("groups", name),
                    message=f"has the id that {show(first[group])} has; keep one name",
                )
            first.setdefault(group, name)

    def endpoint(self, place: str, table: EndpointTable) -> Iterator[Fault]:
        if table.url is not UNSET:
            wrong = url_fault(table.url, allow_http=self.allow_http, allowed=self.hosts)
            if wrong:
                yield Fault(place=f"{place}.url", message=wrong)
        found = list(self.rules(f"{place}.rules", _listed(table.rules)))
        yield from found
        if (
            table.rules is not UNSET
            and not found
            and self.sound(f"{place}.rules")
            and not any(allowing(_rules(table)))
        ):
            yield Fault(
                place=f"{place}.rules",
                message="allow nobody; add a rule that can allow, or remove the endpoint",
            )

    def rules(self, place: str, rules: list[RuleTable | UnsetType]) -> Iterator[Fault]:
        seen: set[str] = set()
        places = rule_places(place, [UNSET if rule is UNSET else rule.id for rule in rules])
        for here, rule in zip(places, rules, strict=True):
            if rule is UNSET:
                continue
            if rule.id is not UNSET and rule.id in seen:
                yield Fault(
                    place=f"{here}.id",
                    message=f"{show(rule.id)} is already the id of a rule here; make it unique",
                )
            seen.add(rule.id or "")
            yield from self.rule(here, rule)

    def rule(self, place: str, rule: RuleTable) -> Iterator[Fault]:
        proofs = (rule.groups, rule.principals, rule.app_roles)
        if all(self.sound(f"{place}.{key}") for key in ("groups", "principals", "app-roles")) and all(
            proof is UNSET for proof in proofs
        ):
            yield Fault(place=place, message="needs at least one of groups, principals and app-roles")
        for key, ids in (("principals", rule.principals), ("clients", rule.clients)):
            for name in sorted({self.group_names.get(one) for one in _listed(ids)}, key=str):
                if name is not None:
                    yield Fault(
                        place=f"{place}.{key}",
                        message=f"holds the id of the group {show(name)}, which is no principal and no client: "
                        "put its name into groups",
                    )
        if self.document.groups is UNSET and not self.sound("groups"):
            return
        names = {} if self.document.groups is UNSET else self.document.groups
        for group in _listed(rule.groups):
            if group not in names:
                yield Fault(place=f"{place}.groups", message=f"{show(group)} {_missing(group, names)}")


def allowing(rules: list[RuleTable]) -> Iterator[RuleTable]:
    """Yield the rules that can allow somebody: not those whose every proof an unconditional deny rule takes as well."""
    denies = [
        rule
        for rule in rules
        if rule.effect == "deny"
        and rule.callers is UNSET
        and rule.clients is UNSET
        and rule.deployments is UNSET
    ]
    groups = {group for rule in denies for group in _listed(rule.groups)}
    principals = {principal for rule in denies for principal in _listed(rule.principals)}
    roles = {role for rule in denies for role in _listed(rule.app_roles)}
    for rule in rules:
        covered = (
            groups.issuperset(_listed(rule.groups))
            and principals.issuperset(_listed(rule.principals))
            and roles.issuperset(_listed(rule.app_roles))
        )
        if rule.effect == "allow" and not covered:
            yield rule


def _missing(group: str, names: Collection[str]) -> str:
    if guid(group.lower()):
        return "is an id; give it a name in [groups] and use the name here"
    near = difflib.get_close_matches(group, names, n=1) if len(names) <= _FEW else []
    return "is not in [groups]; " + (
        f"did you mean {show(near[0])}?" if near else "add it there, with its object id"
    )


def _endpoints(document: Document) -> dict[str, EndpointTable]:
    tables = {} if document.endpoints is UNSET else document.endpoints
    return {name: table for name, table in tables.items() if table is not UNSET}


def _rules(table: EndpointTable) -> list[RuleTable]:
    return [rule for rule in _listed(table.rules) if rule is not UNSET]


def _listed[T](items: Iterable[T] | UnsetType) -> list[T]:
    return [] if items is UNSET else list(items)
