"""A document without faults into the Policy that the gate works with: names resolved, defaults filled in."""

from __future__ import annotations

from copy import replace
from types import MappingProxyType

from msgspec import UNSET, UnsetType

from shared import operations
from shared.model import Effect, Kind, Lifetimes, Limits, Policy, Rate, Route, Rule, TargetKind
from shared.policy import checks
from shared.policy.document import (
    DefaultsTable,
    Document,
    EndpointTable,
    ModelRuleTable,
    ModelTable,
    RuleTable,
)


def policy(document: Document, *, digest: str, warnings: tuple[str, ...]) -> Policy:
    """Return the policy; `document` must have been read and judged without a fault."""
    groups = {name: _set(group) for name, group in _or(document.groups, {}).items()}
    defaults = _or(document.defaults, DefaultsTable())
    routes: dict[tuple[TargetKind, str], Route] = {
        ("endpoint", name): _route(name, _set(table), defaults, groups)
        for name, table in _or(document.endpoints, {}).items()
    }
    routes |= {
        ("model", name): _model(name, _set(table), defaults, groups)
        for name, table in _or(document.models, {}).items()
    }
    return Policy(
        digest=digest,
        routes=MappingProxyType(routes),
        groups=MappingProxyType({group: name for name, group in groups.items()}),
        warnings=warnings,
    )


def _route(name: str, table: EndpointTable, defaults: DefaultsTable, groups: dict[str, str]) -> Route:
    rules = tuple(_rule(_set(rule), groups) for rule in _set(table.rules))
    return Route(
        target="endpoint",
        name=name,
        kind=_set(table.kind),
        url=_set(table.url),
        scope=_or(table.scope, "https://ml.azure.com/.default"),
        operations=operations.ONLINE,
        rules=rules,
        lifetimes=_lifetimes(table, defaults),
        timeout=checks.seconds(_or(table.timeout, "60s")),
        max_body=checks.size(_or(table.max_body, "4MiB")),
        content_types=frozenset(_or(table.content_types, ["application/json"])),
        concurrency=_or(table.concurrency, 256),
        relay_errors=_or(table.relay_errors, True),
        help=_or(table.help, None),
        groups=frozenset().union(*(rule.groups for rule in rules)),
    )


def _model(name: str, table: ModelTable, defaults: DefaultsTable, groups: dict[str, str]) -> Route:
    rules = tuple(_model_rule(_set(rule), groups) for rule in _set(table.rules))
    return Route(
        target="model",
        name=name,
        kind=_set(table.kind),
        url=_set(table.url).removesuffix("/"),
        scope=_or(table.scope, "https://ai.azure.com/.default"),
        operations=operations.granted(tuple(_or(table.operations, operations.DEFAULT))),
        rules=rules,
        lifetimes=_lifetimes(table, defaults),
        timeout=checks.seconds(_or(table.timeout, "60s")),
        max_body=checks.size(_or(table.max_body, "4MiB")),
        content_types=frozenset(),
        concurrency=_or(table.concurrency, 256),
        relay_errors=_or(table.relay_errors, True),
        help=_or(table.help, None),
        groups=frozenset().union(*(rule.groups for rule in rules)),
        limited=any(rule.limits is not None for rule in rules),
        deployment=_or(table.deployment, name),
        fields=frozenset(_or(table.fields, [])),
        default_max_tokens=_or(table.default_max_tokens, None),
    )


def _lifetimes(table: EndpointTable | ModelTable, defaults: DefaultsTable) -> Lifetimes:
    max_age = _or(table.max_membership_age, _or(defaults.max_membership_age, "15m"))
    recheck = _or(table.recheck_refused, _or(defaults.recheck_refused, "60s"))
    grace = _or(table.outage_grace, _or(defaults.outage_grace, "0s"))
    return Lifetimes(
        max_age=checks.seconds(max_age),
        recheck_refused=checks.seconds(recheck),
        outage_grace=checks.seconds(grace),
    )


def _rule(table: RuleTable, groups: dict[str, str]) -> Rule:
    deployments = None if table.deployments is UNSET else frozenset(table.deployments)
    rule = _any_rule(table, groups)
    if rule.effect is Effect.ALLOW:
        deployments = deployments or frozenset()
    return replace(rule, deployments=deployments)


def _model_rule(table: ModelRuleTable, groups: dict[str, str]) -> Rule:
    return replace(_any_rule(table, groups), limits=_limits(table))


def _any_rule(table: RuleTable | ModelRuleTable, groups: dict[str, str]) -> Rule:
    return Rule(
        id=_set(table.id),
        effect=Effect(_set(table.effect)),
        groups=frozenset(groups[name] for name in _or(table.groups, [])),
        principals=frozenset(_or(table.principals, [])),
        app_roles=frozenset(_or(table.app_roles, [])),
        callers=None if table.callers is UNSET else frozenset(map(Kind, table.callers)),
        clients=None if table.clients is UNSET else frozenset(table.clients),
    )


def _limits(rule: ModelRuleTable) -> Limits | None:
    if rule.limits is UNSET:
        return None
    table = _set(rule.limits)
    return Limits(
        requests=_rate(table.requests),
        tokens=_rate(table.tokens),
        per=_or(table.per, _or(rule.per, "caller")),
        scope=_or(table.scope, _or(rule.scope, "shared")),
        fail=_or(table.fail, _or(rule.fail, "closed")),
    )


def _rate(text: str | UnsetType) -> Rate | None:
    if text is UNSET:
        return None
    amount, period = checks.amount_and_period(text)
    return Rate(amount=amount, period=period)


def _set[T](value: T | UnsetType) -> T:
    """Return a required value: reading and judging came without a fault, so it is there."""
    if value is UNSET:
        raise ValueError("built from a document with faults")
    return value


def _or[T, D](value: T | UnsetType, default: D) -> T | D:
    return default if value is UNSET else value
