"""A document without faults into the Policy that the gate works with: names resolved, defaults filled in."""

from __future__ import annotations

from types import MappingProxyType

from msgspec import UNSET, UnsetType

from shared.model import Effect, Kind, Lifetimes, Policy, Route, Rule, TargetKind
from shared.policy import checks
from shared.policy.document import DefaultsTable, Document, EndpointTable, RuleTable


def policy(document: Document, *, digest: str, warnings: tuple[str, ...]) -> Policy:
    """Return the policy; `document` must have been read and judged without a fault."""
    groups = {name: _set(group) for name, group in _or(document.groups, {}).items()}
    defaults = _or(document.defaults, DefaultsTable())
    routes: dict[tuple[TargetKind, str], Route] = {
        ("endpoint", name): _route(name, _set(table), defaults, groups)
        for name, table in _set(document.endpoints).items()
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


def _lifetimes(table: EndpointTable, defaults: DefaultsTable) -> Lifetimes:
    max_age = _or(table.max_membership_age, _or(defaults.max_membership_age, "15m"))
    recheck = _or(table.recheck_refused, _or(defaults.recheck_refused, "60s"))
    grace = _or(table.outage_grace, _or(defaults.outage_grace, "0s"))
    return Lifetimes(
        max_age=checks.seconds(max_age),
        recheck_refused=checks.seconds(recheck),
        outage_grace=checks.seconds(grace),
    )


def _rule(table: RuleTable, groups: dict[str, str]) -> Rule:
    effect = Effect(_set(table.effect))
    deployments = None if table.deployments is UNSET else frozenset(table.deployments)
    if effect is Effect.ALLOW:
        deployments = deployments or frozenset()
    return Rule(
        id=_set(table.id),
        effect=effect,
        groups=frozenset(groups[name] for name in _or(table.groups, [])),
        principals=frozenset(_or(table.principals, [])),
        app_roles=frozenset(_or(table.app_roles, [])),
        callers=None if table.callers is UNSET else frozenset(map(Kind, table.callers)),
        clients=None if table.clients is UNSET else frozenset(table.clients),
        deployments=deployments,
    )


def _set[T](value: T | UnsetType) -> T:
    """Return a required value: reading and judging came without a fault, so it is there."""
    if value is UNSET:
        raise ValueError("built from a document with faults")
    return value


def _or[T, D](value: T | UnsetType, default: D) -> T | D:
    return default if value is UNSET else value
