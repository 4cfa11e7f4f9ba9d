"""`groupgate check [FILE]`: every fault of the settings and the policy, or a summary of what holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.configuration import configured
from shared.model import BatchTerms, Effect, JobTerms, Limits, Policy, Route, Rule
from shared.places import text_of
from shared.policy.loader import PolicyFaults, load_file
from shared.ports import Fault
from shared.settings import Settings

FAULTY = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="look at this policy alone, whatever the settings are (but for GROUPGATE_ALLOW_HTTP)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print faults, one a line, and return 2; or print a summary and return 0."""
    settings = Settings.from_env()
    alone: Path | None = arguments.file
    path = settings.policy_path if alone is None else alone
    policy, faults = configured(settings) if alone is None else _alone(alone, allow_http=settings.allow_http)
    if policy is None:
        print(*faults, sep="\n")
        return FAULTY
    print(f"{path} is in order: policy {policy.digest}")
    for route in policy.routes.values():
        print(*_summary(route, policy), sep="\n")
    for warning in policy.warnings:
        print(f"warning: {warning}")
    if alone is not None and any(route.batch is not None for route in policy.routes.values()):
        print(
            "note: batch endpoints take GROUPGATE_JOBS=on and, in Azure, GROUPGATE_JOBS_SECRET; without FILE both are checked"
        )
    if alone is None and settings.identity != "token" and not settings.platform_auth_enabled():
        print(
            "note: WEBSITE_AUTH_ENABLED is not true here; where the platform does not set it, all but /healthz is 503"
        )
    if alone is None and settings.identity == "token" and settings.jobs:
        print(
            "warning: GROUPGATE_IDENTITY=token with GROUPGATE_JOBS=on: where App Service Authentication does not stand in "
            "front of Durable's webhooks, nothing but a key closes them"
        )
    return 0


def _alone(path: Path, *, allow_http: bool) -> tuple[Policy | None, tuple[Fault, ...]]:
    try:
        return load_file(path, allow_http=allow_http, place="FILE"), ()
    except PolicyFaults as found:
        return None, found.faults


def _summary(route: Route, policy: Policy) -> Iterator[str]:
    deployment = f", deployment {route.deployment}" if route.deployment else ""
    yield f"{route.target} {route.name} ({route.kind}) -> {route.url}{deployment}"
    if route.target == "model":
        yield f"  {', '.join(sorted(route.operations))}"
        if route.fields:
            yield f"  requests may also hold {', '.join(sorted(route.fields))}"
    if route.batch is not None:
        yield f"  {_bounds(route.batch)}"
    # The order that decides: any deny first, then allows as they stand in the file.
    for rule in sorted(route.rules, key=lambda rule: rule.effect is Effect.ALLOW):
        yield f"  {rule.effect:5} {rule.id}: {'; '.join(_conditions(rule, route, policy))}"


def _conditions(rule: Rule, route: Route, policy: Policy) -> Iterator[str]:
    allow = rule.effect is Effect.ALLOW
    proofs = (
        ("groups", sorted(policy.groups[group] for group in rule.groups)),
        ("principals", sorted(rule.principals)),
        ("app roles", sorted(rule.app_roles)),
    )
    yield " or ".join(f"{name} {', '.join(values)}" for name, values in proofs if values)
    if rule.groups or rule.app_roles or rule.callers is not None:
        unsaid = "user" if allow else "of every kind"
        yield f"callers {unsaid if rule.callers is None else ', '.join(sorted(rule.callers))}"
    if rule.clients is not None:
        yield f"clients {', '.join(sorted(rule.clients))}"
    if rule.deployments:
        yield f"deployments {', '.join(sorted(rule.deployments))}"
    elif allow and route.target == "endpoint":
        yield "no deployment may be named"
    if rule.limits is not None:
        yield _given(rule.limits)
    if rule.job is not None:
        yield from _terms(rule.job)


def _bounds(batch: BatchTerms) -> str:
    where = "in no workspace that the policy names" if batch.workspace is None else f"in {batch.workspace}"
    return (
        f"jobs {where}: {batch.running_jobs} unfinished for each caller, cancelled after {batch.job_timeout:g} s "
        f"at {batch.management}"
    )


def _terms(job: JobTerms) -> Iterator[str]:
    yield _named("inputs", map(text_of, job.inputs))
    where = "each in a folder of the job's own" if job.own_folder else "as they are named"
    outputs = _named("outputs", map(text_of, job.outputs))
    yield f"{outputs}, {where}" if job.outputs else outputs
    for name, values in (
        ("literals of any text", job.literals),
        ("experiments", job.experiments),
        ("computes", job.computes),
        ("settings", job.settings),
    ):
        if values:
            yield _named(name, sorted(values))
    yield f"sees {'all jobs' if job.see_all else 'own jobs'}"
    if job.notify is not None:
        yield f"tells {job.notify} of the end"


def _named(name: str, values: Iterable[str]) -> str:
    listed = ", ".join(values)
    return f"{name} {listed}" if listed else f"no {name}"


def _given(limits: Limits) -> str:
    rates = (("requests", limits.requests), ("tokens", limits.tokens))
    what = " and ".join(
        f"{rate.amount} {name} in {rate.period} s" for name, rate in rates if rate is not None
    )
    where = "in each instance" if limits.scope == "instance" else f"in Redis, which fails {limits.fail}"
    return f"{what} for {'each caller' if limits.per == 'caller' else 'all together'}, counted {where}"
