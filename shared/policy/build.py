"""A document without faults into the Policy that the gate works with: names resolved, defaults filled in."""

from __future__ import annotations

from copy import replace
from types import MappingProxyType

from msgspec import UNSET, UnsetType

from shared import operations, places
from shared.model import (
    BatchTerms,
    Effect,
    JobTerms,
    Kind,
    Lifetimes,
    Limits,
    Policy,
    Rate,
    Route,
    Rule,
    TargetKind,
)
from shared.policy import checks, hosts
from shared.policy.document import DefaultsTable, Document
from shared.policy.endpoints import BatchRuleTable, BatchTable, OnlineTable, RuleTable
from shared.policy.models import ModelRuleTable, ModelTable
from shared.policy.walk import AnyRule, AnyTable


def policy(document: Document, *, digest: str, warnings: tuple[str, ...]) -> Policy:
    """Return the policy; `document` must have been read and judged without a fault."""
    groups = {name: _set(group) for name, group in _or(document.groups, {}).items()}
    defaults = _or(document.defaults, DefaultsTable())
    routes: dict[tuple[TargetKind, str], Route] = {
        ("endpoint", name): _batch(name, table, defaults, groups)
        if isinstance(table, BatchTable)
        else _online(name, _set(table), defaults, groups)
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


def _online(name: str, table: OnlineTable, defaults: DefaultsTable, groups: dict[str, str]) -> Route:
    rules = tuple(_rule(_set(rule), groups) for rule in _set(table.rules))
    return Route(
        target="endpoint",
        name=name,
        kind="online",
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


def _batch(name: str, table: BatchTable, defaults: DefaultsTable, groups: dict[str, str]) -> Route:
    rules = tuple(_batch_rule(_set(rule), groups) for rule in _set(table.rules))
    url = _set(table.url)
    return Route(
        target="endpoint",
        name=name,
        kind="batch",
        url=url,
        scope=_or(table.scope, "https://ml.azure.com/.default"),
        operations=operations.BATCH,
        rules=rules,
        lifetimes=_lifetimes(table, defaults),
        timeout=checks.seconds(_or(table.timeout, "60s")),
        max_body=checks.size(_or(table.max_body, "64KiB")),
        content_types=frozenset({"application/json"}),
        concurrency=_or(table.concurrency, 256),
        relay_errors=_or(table.relay_errors, True),
        help=_or(table.help, None),
        groups=frozenset().union(*(rule.groups for rule in rules)),
        batch=BatchTerms(
            workspace=_or(table.workspace, None),
            management=_or(table.management, hosts.management(url)).removesuffix("/"),
            job_timeout=checks.seconds(_or(table.job_timeout, "24h")),
            running_jobs=_or(table.running_jobs, 10),
        ),
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


def _lifetimes(table: AnyTable, defaults: DefaultsTable) -> Lifetimes:
    max_age = _or(table.max_membership_age, _or(defaults.max_membership_age, "15m"))
    recheck = _or(table.recheck_refused, _or(defaults.recheck_refused, "60s"))
    grace = _or(table.outage_grace, _or(defaults.outage_grace, "0s"))
    return Lifetimes(
        max_age=checks.seconds(max_age),
        recheck_refused=checks.seconds(recheck),
        outage_grace=checks.seconds(grace),
    )


def _rule(table: RuleTable | BatchRuleTable, groups: dict[str, str]) -> Rule:
    deployments = None if table.deployments is UNSET else frozenset(table.deployments)
    rule = _any_rule(table, groups)
    if rule.effect is Effect.ALLOW:
        deployments = deployments or frozenset()
    return replace(rule, deployments=deployments)


def _batch_rule(table: BatchRuleTable, groups: dict[str, str]) -> Rule:
    rule = _rule(table, groups)
    return rule if rule.effect is Effect.DENY else replace(rule, job=_terms(table))


def _terms(table: BatchRuleTable) -> JobTerms:
    return JobTerms(
        inputs=tuple(map(places.parse, _or(table.inputs, []))),
        outputs=tuple(map(places.parse, _or(table.outputs, []))),
        own_folder=_or(table.own_folder, True),
        literals=frozenset(_or(table.literals, [])),
        experiments=frozenset(_or(table.experiments, [])),
        computes=frozenset(_or(table.computes, [])),
        settings=frozenset(_or(table.settings, [])),
        see_all=_or(table.see, "own") == "all",
        notify=_or(table.notify, None),
    )


def _model_rule(table: ModelRuleTable, groups: dict[str, str]) -> Rule:
    return replace(_any_rule(table, groups), limits=_limits(table))


def _any_rule(table: AnyRule, groups: dict[str, str]) -> Rule:
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
