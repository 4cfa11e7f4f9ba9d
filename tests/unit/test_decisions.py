"""The decision tables in tests/decisions: what a policy author may read and add to, run against the engine.

A file holds one `policy`, its `principals` by name, and `row`s. A row's `request` names an `endpoint` (or a `model`), and
may name an `operation` (default `score`, at models `chat/completions`) and a `deployment`. At a batch endpoint it may say
what the job wants (`inputs` and `outputs` by their names, and lists of `literals`, `experiments`, `computes` and
`settings`), or that jobs of others are meant (`everyones`). Its `membership` says for groups by their names in the policy
`in`, `out` or `unknown`, or a table of `standing`, `source` and `age`; `missing = true` is the directory's 404. `asks` are
the groups that the directory must be asked about first. `expect` holds `effect`, `reason`, `rule`, `place` and, where it
matters, `proof`.
"""

from __future__ import annotations

import itertools
import tomllib
from copy import replace
from pathlib import Path
from typing import Any

import pytest

from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Fact,
    Kind,
    Membership,
    Policy,
    Principal,
    Reason,
    Source,
    Standing,
    Wanted,
)
from shared.places import parse
from shared.policy import engine, loader, routing

TABLES = Path(__file__).resolve().parents[1] / "decisions"
DEFAULT_OPERATION = {"endpoint": "score", "model": "chat/completions"}
ROW_KEYS = {"id", "principal", "request", "membership", "missing", "asks", "expect"}
EXPECT_KEYS = {"effect", "reason", "rule", "place", "proof"}
JOB_KEYS = {"inputs", "outputs", "literals", "experiments", "computes", "settings"}


def _load() -> list[Any]:
    rows = []
    for file in sorted(TABLES.glob("*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        policy = loader.load(table["policy"].encode(), allow_http=False)
        principals = {name: _principal(given) for name, given in table["principals"].items()}
        rows += [
            pytest.param(policy, principals, row, id=f"{file.stem}: {row['id']}") for row in table["row"]
        ]
    return rows


def _principal(given: dict[str, Any]) -> Principal:
    return Principal(
        tenant="6f1b2c3d-0000-4000-8000-0000000000ff",
        oid=given["oid"],
        kind=Kind(given["kind"]),
        client=given.get("client"),
        app_roles=frozenset(given.get("app-roles", ())),
    )


def _asked(request: dict[str, Any]) -> Asked:
    (target,) = {"endpoint", "model"} & request.keys()
    assert request.keys() <= {target, "operation", "deployment", "everyones", *JOB_KEYS}, request
    return Asked(
        target=target,
        name=request[target],
        operation=request.get("operation", DEFAULT_OPERATION[target]),
        deployment=request.get("deployment"),
        wanted=_wanted(request) if JOB_KEYS & request.keys() else None,
        everyones=request.get("everyones", False),
    )


def _wanted(job: dict[str, Any]) -> Wanted:
    """Return what a job wants, with the places in its body as `shared/backends/jobbody.py` tells them."""

    def data(section: str, named: dict[str, str]) -> tuple[tuple[str, Any], ...]:
        return tuple((f"properties.{section}.{name}.Uri", parse(uri)) for name, uri in named.items())

    return Wanted(
        inputs=data("InputData", job.get("inputs", {})),
        outputs=data("OutputData", job.get("outputs", {})),
        literals=tuple((f"properties.InputData.{name}.Value", name) for name in job.get("literals", ())),
        experiments=tuple(
            ("properties.properties.experimentName", name) for name in job.get("experiments", ())
        ),
        computes=tuple(("properties.compute.target", name) for name in job.get("computes", ())),
        settings=tuple((f"properties.{name}", name) for name in job.get("settings", ())),
    )


def _fact(given: str | dict[str, Any]) -> Fact:
    table = {"standing": given} if isinstance(given, str) else given
    return Fact(
        standing=Standing(table["standing"]),
        source=Source(table.get("source", "graph")),
        age=table.get("age", 10),
    )


def _membership(policy: Policy, row: dict[str, Any]) -> Membership:
    ids = {name: group for group, name in policy.groups.items()}
    return Membership(
        facts={ids[name]: _fact(given) for name, given in row.get("membership", {}).items()},
        missing=_fact("out") if row.get("missing", False) else None,
    )


def _told(decision: Decision, expect: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "effect": "allow" if isinstance(decision, Allow) else "deny",
        "reason": decision.reason.value,
    }
    if decision.rule is not None:
        told["rule"] = decision.rule
    if isinstance(decision, Deny) and decision.place is not None:
        told["place"] = decision.place
    if "proof" in expect:
        proof = decision.proof
        told["proof"] = None if proof is None else {"source": proof.source.value, "age": proof.age}
    return told


@pytest.mark.parametrize(("policy", "principals", "row"), _load())
def test_the_decision_is_the_one_in_the_table(
    policy: Policy, principals: dict[str, Principal], row: dict[str, Any]
) -> None:
    """Each row's request by its principal with its facts is decided, and asked about, as the row says."""
    assert row.keys() <= ROW_KEYS
    assert row["expect"].keys() <= EXPECT_KEYS
    asked = _asked(row["request"])
    principal = principals[row["principal"]]
    membership = _membership(policy, row)
    route = routing.match(policy, asked)

    decision = engine.decide(route, asked, principal, membership)
    questions = engine.open_questions(route, asked, principal, membership)

    assert _told(decision, row["expect"]) == row["expect"]
    assert sorted(policy.groups[group] for group in questions) == sorted(row.get("asks", ()))


def test_there_are_enough_rows_and_each_id_is_a_sentence_of_its_own() -> None:
    """The tables hold at least 60 rows; each id says in words what the row shows, and no two say the same."""
    ids = [param.id for param in _load()]
    assert len(ids) >= 60
    assert len(set(ids)) == len(ids)
    short = [name for name in ids if len(name.partition(": ")[2].split()) < 5]
    assert short == []


def test_limits_do_not_matter_to_a_decision() -> None:
    """Limits: a rule decides the same with and without what it gives away; counting comes after the decision."""
    for param in _load():
        policy, principals, row = param.values
        asked, principal = _asked(row["request"]), principals[row["principal"]]
        membership, route = _membership(policy, row), routing.match(policy, asked)
        if route is not None:
            bare = replace(route, rules=tuple(replace(rule, limits=None) for rule in route.rules))
            decision = engine.decide(route, asked, principal, membership)
            assert engine.decide(bare, asked, principal, membership) == decision


def test_an_allow_by_a_group_says_which() -> None:
    """Metering: the group that let the caller in is on record, and no other reason names one."""
    for param in _load():
        policy, principals, row = param.values
        asked, principal = _asked(row["request"]), principals[row["principal"]]
        membership, route = _membership(policy, row), routing.match(policy, asked)
        decision = engine.decide(route, asked, principal, membership)
        if not isinstance(decision, Allow):
            continue
        if decision.group is None:
            assert decision.reason is not Reason.MEMBER
        else:
            (rule,) = [rule for rule in route.rules if rule.id == decision.rule]  # type: ignore[union-attr]
            assert decision.group in rule.groups
            assert membership.standing(decision.group) is Standing.IN


def test_the_tables_show_every_reason_that_the_engine_gives() -> None:
    """Every reason that `decide` can give stands in some row, and both effects do."""
    shown = {param.values[2]["expect"]["reason"] for param in _load()}
    assert shown == {
        "member",
        "principal-listed",
        "app-role",
        "outage-grace",
        "deny-rule",
        "not-member",
        "unknown-endpoint",
        "caller-kind",
        "client-not-allowed",
        "deployment-not-allowed",
        "operation-not-allowed",
        "input-not-allowed",
        "job-owner-mismatch",
        "principal-not-found",
        "graph-unavailable",
    }


def test_what_is_asked_about_settles_the_decision() -> None:
    """Once every group that `open_questions` names is known, whatever the answers, no row is left undecided."""
    for param in _load():
        policy, principals, row = param.values
        asked, principal, membership = (
            _asked(row["request"]),
            principals[row["principal"]],
            _membership(policy, row),
        )
        route = routing.match(policy, asked)
        questions = sorted(engine.open_questions(route, asked, principal, membership))
        for answers in itertools.product((Standing.IN, Standing.OUT), repeat=len(questions)):
            learned = {group: _fact(answer.value) for group, answer in zip(questions, answers, strict=True)}
            known = Membership(facts={**membership.facts, **learned}, missing=membership.missing)
            assert engine.open_questions(route, asked, principal, known) == frozenset()
            assert engine.decide(route, asked, principal, known).reason.value != "graph-unavailable"
