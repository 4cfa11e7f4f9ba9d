"""What is wrong with a policy whose every value is right by itself: names that lead nowhere, rules that cannot match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import UNSET, UnsetType

from shared.ids import guid
from shared.policy import hosts
from shared.policy.checks import show
from shared.policy.context import Context
from shared.policy.document import Document
from shared.policy.endpoints import BatchRuleTable, BatchTable
from shared.policy.jobfaults import endpoint_faults, rule_faults
from shared.policy.limitfaults import limit_faults
from shared.policy.models import ModelRuleTable, ModelTable
from shared.policy.reader import at, rule_places
from shared.policy.walk import AnyRule, AnyTable, allowing, listed, rules_of, tables_of
from shared.ports import Fault

_FEW: Final = 200
"""Beyond so many names a search for what was meant takes longer than its answer is worth."""
_ENDS: Final = re.compile(r"[.\[]|$")


def faults(
    document: Document,
    broken: set[str],
    *,
    allow_http: bool,
    shared_counters: bool,
    jobs: bool,
    jobs_secret: bool,
) -> list[Fault]:
    """Return the faults between values; what stands at or under a `broken` place is not judged twice.

    The rest is what `shared.policy.context` says it is.
    """
    context = Context(
        allow_http=allow_http,
        shared_counters=shared_counters,
        jobs=jobs,
        jobs_secret=jobs_secret,
        hosts=frozenset(() if document.hosts is UNSET else listed(document.hosts.allow)),
        # `a.b[0].c` breaks `a`, `a.b` and `a.b[0]` as well.
        broken=frozenset(place[: end.start()] for place in broken for end in _ENDS.finditer(place)),
    )
    return list(_Judge(document, context).all())


class _Judge:
    def __init__(self, document: Document, context: Context) -> None:
        self.document = document
        self.context = context
        named = {} if document.groups is UNSET else document.groups
        self.group_names = {group: name for name, group in named.items() if group is not UNSET}

    def all(self) -> Iterator[Fault]:
        yield from self.groups()
        nothing = self.document.endpoints is UNSET and self.document.models is UNSET
        if nothing and self.context.sound("endpoints", "models"):
            yield Fault(
                place="endpoints", message="is required, or models: a policy guards at least one of them"
            )
        for place, table in tables_of(self.document):
            yield from self.route(place, table)

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

    def route(self, place: str, table: AnyTable) -> Iterator[Fault]:
        if isinstance(table, BatchTable):
            yield from endpoint_faults(place, table, self.context)
        # What a url must look like depends on the kind.
        if table.url is not UNSET and self.context.sound(f"{place}.kind"):
            wrong = hosts.url_fault(
                table.url, _service(table), allow_http=self.context.allow_http, allowed=self.context.hosts
            )
            if wrong:
                yield Fault(place=f"{place}.url", message=wrong)
        found = list(self.rules(f"{place}.rules", listed(table.rules)))
        yield from found
        if (
            table.rules is not UNSET
            and not found
            and self.context.sound(f"{place}.rules")
            and not any(allowing(rules_of(table)))
        ):
            yield Fault(
                place=f"{place}.rules",
                message="allow nobody; add a rule that can allow, or remove the table",
            )

    def rules(self, place: str, rules: Sequence[AnyRule | UnsetType]) -> Iterator[Fault]:
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
                yield from limit_faults(here, rule, self.context)
            elif isinstance(rule, BatchRuleTable):
                yield from rule_faults(here, rule, self.context)

    def rule(self, place: str, rule: AnyRule) -> Iterator[Fault]:
        unproven = rule.groups is UNSET and rule.principals is UNSET and rule.app_roles is UNSET
        if unproven and self.context.sound(f"{place}.groups", f"{place}.principals", f"{place}.app-roles"):
            yield Fault(place=place, message="needs at least one of groups, principals and app-roles")
        for key, ids in (("principals", rule.principals), ("clients", rule.clients)):
            for name in sorted({self.group_names.get(one) for one in listed(ids)}, key=str):
                if name is not None:
                    yield Fault(
                        place=f"{place}.{key}",
                        message=f"holds the id of the group {show(name)}, which is no principal and no client: "
                        "put its name into groups",
                    )
        if self.document.groups is UNSET and not self.context.sound("groups"):
            return
        names = {} if self.document.groups is UNSET else self.document.groups
        for group in listed(rule.groups):
            if group not in names:
                yield Fault(place=f"{place}.groups", message=f"{show(group)} {_missing(group, names)}")


def _service(table: AnyTable) -> hosts.Service:
    if isinstance(table, ModelTable):
        return hosts.RESOURCE
    return hosts.BATCH if isinstance(table, BatchTable) else hosts.ONLINE


def _missing(group: str, names: Collection[str]) -> str:
    if guid(group.lower()):
        return "is an id; give it a name in [groups] and use the name here"
    near = difflib.get_close_matches(group, names, n=1) if len(names) <= _FEW else []
    return "is not in [groups]; " + (
        f"did you mean {show(near[0])}?" if near else "add it there, with its object id"
    )
