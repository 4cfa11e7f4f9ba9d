"""The tables of a policy as they are judged: what could be read of them, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import UNSET, UnsetType

from shared.policy.document import Document
from shared.policy.endpoints import BatchRuleTable, BatchTable, OnlineTable, RuleTable
from shared.policy.models import ModelRuleTable, ModelTable
from shared.policy.reader import at

AnyTable = OnlineTable | BatchTable | ModelTable
AnyRule = RuleTable | BatchRuleTable | ModelRuleTable


def tables_of(document: Document) -> Iterator[tuple[str, AnyTable]]:
    """Yield every endpoint and model that could be read, with its place."""
    for name, endpoint in ({} if document.endpoints is UNSET else document.endpoints).items():
        if endpoint is not UNSET:
            yield at("endpoints", name), endpoint
    for name, model in ({} if document.models is UNSET else document.models).items():
        if model is not UNSET:
            yield at("models", name), model


def rules_of(table: AnyTable) -> list[AnyRule]:
    """Return every rule of a table that could be read."""
    rules: list[AnyRule | UnsetType] = [*listed(table.rules)]
    return [rule for rule in rules if rule is not UNSET]


def listed[T](items: Iterable[T] | UnsetType) -> list[T]:
    """Return what a list holds, nothing where there is none."""
    return [] if items is UNSET else list(items)


def allowing(rules: list[AnyRule]) -> Iterator[AnyRule]:
    """Yield the rules that can allow somebody: not those whose every proof an unconditional deny rule takes as well."""
    denies = [
        rule
        for rule in rules
        if rule.effect == "deny"
        and rule.callers is UNSET
        and rule.clients is UNSET
        and getattr(rule, "deployments", UNSET) is UNSET
    ]
    groups = {group for rule in denies for group in listed(rule.groups)}
    principals = {principal for rule in denies for principal in listed(rule.principals)}
    roles = {role for rule in denies for role in listed(rule.app_roles)}
    for rule in rules:
        covered = (
            groups.issuperset(listed(rule.groups))
            and principals.issuperset(listed(rule.principals))
            and roles.issuperset(listed(rule.app_roles))
        )
        if rule.effect == "allow" and not covered:
            yield rule
