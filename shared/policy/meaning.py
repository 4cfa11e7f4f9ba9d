"""What is wrong with a policy whose every value is right by itself: names that lead nowhere, rules that cannot match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from msgspec import UNSET, UnsetType

from shared.ids import guid
from shared.policy.checks import seconds, show
from shared.policy.document import (
    DefaultsTable,
    Document,
    EndpointTable,
    ModelRuleTable,
    ModelTable,
    RuleTable,
)
from shared.policy.hosts import ONLINE, RESOURCE, url_fault
from shared.policy.reader import at, rule_places
from shared.ports import Fault

_LONG: Final = "1d"
_FEW: Final = 200
"""Beyond so many names a search for what was meant takes longer than its answer is worth."""
_ENDS: Final = re.compile(r"[.\[]|$")


def faults(document: Document, broken: set[str], *, allow_http: bool, shared_counters: bool) -> list[Fault]:
    """Return the faults between values; what stands at or under a `broken` place is not judged twice."""
    return list(_Judge(document, broken, allow_http=allow_http, shared_counters=shared_counters).all())


def warnings(document: Document) -> tuple[str, ...]:
    """Return what is allowed but looks like a slip, for a document without faults."""
    return tuple(_slips(document))


def _slips(document: Document) -> Iterator[str]:
    tables = dict(_tables(document))
    used = {group for table in tables.values() for rule in _rules(table) for group in _listed(rule.groups)}
    for name in _listed(document.groups):
        if name not in used:
            yield f"{at('groups', name)}: no rule uses this group"
    ages: list[tuple[str, DefaultsTable | EndpointTable | ModelTable]] = []
    if document.defaults is not UNSET:
        ages.append(("defaults", document.defaults))
    ages.extend(tables.items())
    for place, lifetimes in ages:
        for key, age in (
            ("max-membership-age", lifetimes.max_membership_age),
            ("outage-grace", lifetimes.outage_grace),
        ):
            if age is not UNSET and seconds(age) > seconds(_LONG):
                yield f"{place}.{key}: is longer than a day; a removed member may keep access that long"
    for place, table in tables.items():
        able = {rule.id for rule in allowing(_rules(table))}
        for rule in _rules(table):
            if rule.effect == "allow" and rule.id not in able:
                yield f"{place}.rules: {show(str(rule.id))} allows nobody: deny rules name all that it names"


class _Judge:
    def __init__(
        self, document: Document, broken: set[str], *, allow_http: bool, shared_counters: bool
    ) -> None:
        self.document = document
        self.shared_counters = shared_counters
        # Each place with all that it stands in: `a.b[0].c` breaks `a`, `a.b` and `a.b[0]` as well.
        self.broken = {place[: end.start()] for place in broken for end in _ENDS.finditer(place)}
        self.allow_http = allow_http
        named = {} if document.groups is UNSET else document.groups
        self.group_names = {group: name for name, group in named.items() if group is not UNSET}
        self.hosts = frozenset[str]() if document.hosts is UNSET else frozenset(_listed(document.hosts.allow))

    def all(self) -> Iterator[Fault]:
        yield from self.groups()
        nothing = self.document.endpoints is UNSET and self.document.models is UNSET
        if nothing and self.sound("endpoints") and self.sound("models"):
            yield Fault(
                place="endpoints", message="is required, or models: a policy guards at least one of them"
            )
        for place, table in _tables(self.document):
            yield from self.route(place, table)

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

    def route(self, place: str, table: EndpointTable | ModelTable) -> Iterator[Fault]:
        if table.url is not UNSET:
            kind = RESOURCE if isinstance(table, ModelTable) else ONLINE
            wrong = url_fault(table.url, kind, allow_http=self.allow_http, allowed=self.hosts)
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
                message="allow nobody; add a rule that can allow, or remove the table",
            )

    def rules(self, place: str, rules: Sequence[RuleTable | ModelRuleTable | UnsetType]) -> Iterator[Fault]:
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
            if isinstance(rule, ModelRuleTable):
                yield from self.limits(here, rule)

    def limits(self, place: str, rule: ModelRuleTable) -> Iterator[Fault]:
        table = rule.limits
        beside = {"per": rule.per, "scope": rule.scope, "fail": rule.fail}
        if table is UNSET:
            for key, value in beside.items():
                if value is not UNSET and self.sound(f"{place}.limits"):
                    yield Fault(
                        place=f"{place}.{key}", message="says how limits count, and there are none here"
                    )
            return
        here = f"{place}.limits"
        inside = {"per": table.per, "scope": table.scope, "fail": table.fail}
        for key, value in beside.items():
            if value is not UNSET and inside[key] is not UNSET:
                yield Fault(place=f"{place}.{key}", message="stands in limits as well; keep one")
        if rule.effect == "deny":
            yield Fault(place=here, message="is for rules that allow; a deny rule gives nothing away")
        if table.requests is UNSET and table.tokens is UNSET and self.sound_all(here, ("requests", "tokens")):
            yield Fault(place=here, message="needs at least one of requests and tokens")
        scope = beside["scope"] if inside["scope"] is UNSET else inside["scope"]
        fail = beside["fail"] if inside["fail"] is UNSET else inside["fail"]
        if scope == "instance" and fail == "local":
            yield Fault(
                place=here, message='has fail = "local", which is for limits in Redis, and scope = "instance"'
            )
        if scope != "instance" and not self.shared_counters and self.sound(f"{here}.scope"):
            yield Fault(
                place=here,
                message="are counted for all instances together, in Redis: set GROUPGATE_REDIS_URL, or write "
                'scope = "instance" to let every instance count for itself',
            )

    def sound_all(self, place: str, keys: Iterable[str]) -> bool:
        return all(self.sound(f"{place}.{key}") for key in keys)

    def rule(self, place: str, rule: RuleTable | ModelRuleTable) -> Iterator[Fault]:
        proofs = (rule.groups, rule.principals, rule.app_roles)
        if self.sound_all(place, ("groups", "principals", "app-roles")) and all(
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


def allowing(rules: list[RuleTable | ModelRuleTable]) -> Iterator[RuleTable | ModelRuleTable]:
    """Yield the rules that can allow somebody: not those whose every proof an unconditional deny rule takes as well."""
    denies = [
        rule
        for rule in rules
        if rule.effect == "deny"
        and rule.callers is UNSET
        and rule.clients is UNSET
        and getattr(rule, "deployments", UNSET) is UNSET
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


def _tables(document: Document) -> Iterator[tuple[str, EndpointTable | ModelTable]]:
    """Yield every endpoint and model that could be read, with its place."""
    for name, endpoint in ({} if document.endpoints is UNSET else document.endpoints).items():
        if endpoint is not UNSET:
            yield at("endpoints", name), endpoint
    for name, model in ({} if document.models is UNSET else document.models).items():
        if model is not UNSET:
            yield at("models", name), model


def _rules(table: EndpointTable | ModelTable) -> list[RuleTable | ModelRuleTable]:
    rules: list[RuleTable | ModelRuleTable | UnsetType] = [*_listed(table.rules)]
    return [rule for rule in rules if rule is not UNSET]


def _listed[T](items: Iterable[T] | UnsetType) -> list[T]:
    return [] if items is UNSET else list(items)
