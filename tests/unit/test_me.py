"""`GET /me`: the caller's own page, which tells nobody of what they may not call."""

from __future__ import annotations

from copy import replace

import pytest

from shared.me import describe, list_models
from shared.model import Allow, Asked, Decision, Deny, Kind, Reason, Rule, Standing
from shared.problem import Unauthenticated, Undecidable
from tests.fakes import (
    ALICE,
    ANALYSTS,
    ENGINEERS,
    TENANT,
    TERMS,
    a_batch,
    a_deny_rule,
    a_membership,
    a_model,
    a_policy,
    a_principal,
    a_route,
    a_rule,
    headers_of,
)
from tests.house import House, document, slug

BLUE = frozenset({"blue"})


async def test_i02_an_outsider_reads_no_name_of_an_endpoint() -> None:
    """I02: who may call nothing reads an empty list, as if there were nothing."""
    house = House(
        a_policy(a_route(help="Ask Ann."), a_route(name="churn", rules=(a_rule(deployments=BLUE),)))
    )
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    reply = await house.ask("me")
    assert (reply.status, document(reply)["endpoints"]) == (200, [])
    assert isinstance(reply.body, bytes)
    for name in (b"fraud", b"churn", b"blue", b"Ann"):
        assert name not in reply.body


async def test_i01_no_address_group_or_token_is_on_the_page() -> None:
    """I01: the page holds neither the model's address nor group ids or names, for a member either."""
    house = House()
    house.authenticator.principal = a_principal(
        groups=frozenset({ANALYSTS}), app_roles=frozenset({"Score.All"})
    )
    reply = await house.ask("me")
    assert isinstance(reply.body, bytes)
    for part in (b"azure.com", ANALYSTS.encode(), b"analysts", b"Score.All"):
        assert part not in reply.body


async def test_a_member_reads_what_it_may_call() -> None:
    """Who the caller is to the gate, and each endpoint that it may call, with the address to call it at."""
    house = House()
    house.authenticator.principal = a_principal(client="33333333-0000-4000-8000-000000000003")
    reply = await house.ask("me")
    assert document(reply) == {
        "tenant": TENANT,
        "principal": ALICE,
        "kind": "user",
        "client": "33333333-0000-4000-8000-000000000003",
        "endpoints": [
            {"name": "fraud", "kind": "online", "score": "/endpoints/fraud/score", "deployments": []}
        ],
        "models": [],
    }
    assert headers_of(reply)["content-type"] == "application/json"


async def test_t05_only_deployments_that_a_rule_gives_are_named() -> None:
    """T05: of the deployments in the policy the caller reads those that it may ask for."""
    rules = (
        a_deny_rule(groups=frozenset({ANALYSTS}), deployments=frozenset({"green"})),
        a_rule(deployments=frozenset({"blue", "green"})),
        a_rule(id="engineers", groups=frozenset({ENGINEERS}), deployments=frozenset({"red"})),
    )
    house = House(a_policy(a_route(rules=rules)))
    house.memberships.answers["known"] = a_membership(Standing.IN)
    house.memberships.answers["ask"] = a_membership(Standing.OUT, ENGINEERS)
    (entry,) = document(await house.ask("me"))["endpoints"]
    assert entry["deployments"] == ["blue"]


@pytest.mark.parametrize("kind", [Kind.GUEST, Kind.APP])
async def test_guests_and_apps_read_their_kind_and_their_own_list(kind: Kind) -> None:
    """The page says what kind the gate takes the caller for, which is what an operator asks first."""
    house = House()
    house.authenticator.principal = a_principal(kind=kind)
    page = document(await house.ask("me"))
    assert (page["kind"], page["endpoints"]) == (kind, [])


async def test_f23_with_the_directory_down_the_page_is_503_and_no_shorter_list() -> None:
    """F23: a list that leaves out what could not be decided would say "no"."""
    house = House()
    house.memberships.answers.update(known=None, ask=Undecidable(Reason.GRAPH_UNAVAILABLE))
    reply = await house.ask("me")
    assert (reply.status, slug(reply)) == (503, "membership-unavailable")


async def test_a_failure_to_decide_one_endpoint_is_not_swallowed() -> None:
    """`describe` catches nothing: the second endpoint's failure is the page's."""
    seen: list[str] = []

    async def decide(asked: Asked) -> Decision:
        seen.append(asked.name)
        if len(seen) > 1:
            raise Undecidable(Reason.GRAPH_UNAVAILABLE)
        return Allow(rule="r", reason=Reason.MEMBER)

    with pytest.raises(Undecidable):
        await describe(a_principal(), a_policy(a_route(), a_route(name="churn")), decide)
    assert seen == ["fraud", "churn"]


async def test_an_endpoint_with_a_named_deployment_only_is_listed() -> None:
    """A caller who may name a deployment and may not leave it out still sees the endpoint."""

    async def decide(asked: Asked) -> Decision:
        return (
            Allow(rule="r", reason=Reason.MEMBER)
            if asked.deployment == "blue"
            else Deny(reason=Reason.NOT_MEMBER)
        )

    page = document(
        await describe(a_principal(), a_policy(a_route(rules=(a_rule(deployments=BLUE),))), decide)
    )
    assert [(entry["name"], entry["deployments"]) for entry in page["endpoints"]] == [("fraud", ["blue"])]


def with_jobs(*rules: Rule) -> House:
    """Return a house of an online and a batch endpoint."""
    return House(a_policy(a_route(), a_batch(rules=rules or a_batch().rules)))


async def test_a_batch_endpoint_is_listed_with_where_its_jobs_are() -> None:
    """A member reads where to submit jobs to, and which deployments it may name."""
    page = document(await with_jobs(a_rule(deployments=BLUE, job=TERMS)).ask("me"))
    assert page["endpoints"] == [
        {"name": "fraud", "kind": "online", "score": "/endpoints/fraud/score", "deployments": []},
        {"name": "nightly", "kind": "batch", "jobs": "/endpoints/nightly/jobs", "deployments": ["blue"]},
    ]


async def test_i02_an_outsider_reads_no_batch_endpoint_and_nobody_what_its_rules_hold() -> None:
    """I02, I01: neither places nor workspace, nor address, nor who is told, is on anybody's page."""
    told = a_rule(
        job=replace(TERMS, notify="https://hooks.contoso.com/nightly", experiments=frozenset({"monthly"}))
    )
    house = with_jobs(told)
    for standing, names in ((Standing.OUT, []), (Standing.IN, ["fraud", "nightly"])):
        house.memberships.answers["known"] = a_membership(standing)
        reply = await house.ask("me")
        assert [entry["name"] for entry in document(reply)["endpoints"]] == names
        assert isinstance(reply.body, bytes)
        for part in (b"contoso", b"azure.com", b"subscriptions", b"hooks", b"monthly", b"analysts"):
            assert part not in reply.body


async def test_a_batch_endpoint_with_a_named_deployment_only_is_listed() -> None:
    """Deployments of a batch endpoint are told as those of an online one: each is decided."""
    denied = a_deny_rule(groups=frozenset({ANALYSTS}), deployments=frozenset({"green"}))
    house = with_jobs(denied, a_rule(deployments=frozenset({"blue", "green"}), job=TERMS))
    (_, entry) = document(await house.ask("me"))["endpoints"]
    assert entry["deployments"] == ["blue"]


OTHERS = a_model(name="others", help="Ask Ann.", rules=(a_rule(groups=frozenset({ENGINEERS})),))
LISTS = [("openai", "v1/models"), ("openai", "models"), ("models", "models")]


def with_models() -> House:
    """Return a house of an endpoint, a model for analysts and one for engineers; alice is an analyst."""
    house = House(
        a_policy(
            a_route(),
            a_model(operations=frozenset({"embeddings", "responses", "responses/retrieve"})),
            OTHERS,
        )
    )
    house.memberships.answers.update(ask=a_membership(Standing.OUT, ENGINEERS))
    return house


@pytest.mark.parametrize(("route", "rest"), LISTS)
async def test_i02_the_list_holds_the_models_that_the_caller_may_use_and_no_others(
    route: str, rest: str
) -> None:
    """I02, issue "URL shapes": in OpenAI's words; no endpoint, no model of others, nothing of the policy beside names."""
    reply = await with_models().ask(route, method="GET", params={"rest": rest})
    assert (reply.status, headers_of(reply)["content-type"]) == (200, "application/json")
    assert document(reply) == {
        "object": "list",
        "data": [{"id": "gpt", "object": "model", "created": 0, "owned_by": "groupgate"}],
    }


@pytest.mark.parametrize(("route", "rest"), LISTS)
async def test_i02_an_outsider_reads_an_empty_list(route: str, rest: str) -> None:
    """I02: who may use no model reads a list of none, as if there were none."""
    house = with_models()
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    reply = await house.ask(route, method="GET", params={"rest": rest})
    assert (reply.status, document(reply)) == (200, {"object": "list", "data": []})


async def test_the_list_answers_head_and_knows_nobody_without_sign_in() -> None:
    """HEAD is GET without a body; nobody is 401, before a wrong method is."""
    reply = await with_models().ask("openai", method="HEAD", params={"rest": "v1/models"})
    assert (reply.status, reply.body) == (200, b"")
    for method in ("GET", "HEAD", "POST", "DELETE"):
        house = with_models()
        house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
        assert (await house.ask("openai", method=method, params={"rest": "v1/models"})).status == 401
        assert (house.memberships.calls, house.log) == ([], ["decided"])


async def test_the_list_asks_no_backend_and_spends_nothing() -> None:
    """The list is the gate's own: nothing goes upstream, nothing is counted, no decision is put on record as a call."""
    house = with_models()
    await house.ask("openai", method="GET", params={"rest": "v1/models"}, query="api-version=2024-10-21")
    assert (house.log, house.quota.asked, house.backend.sent) == ([], [], 0)


async def test_f23_with_the_directory_down_the_list_is_503_and_no_shorter_one() -> None:
    """F23: a list that leaves out what could not be decided would say "no"."""
    house = with_models()
    house.memberships.answers.update(ask=Undecidable(Reason.GRAPH_UNAVAILABLE))
    reply = await house.ask("openai", method="GET", params={"rest": "v1/models"})
    assert (reply.status, slug(reply)) == (503, "membership-unavailable")


async def test_the_callers_page_names_its_models_with_what_they_offer() -> None:
    """The page names a model by the operations that the policy grants, not by those that come with them."""
    page = document(await with_models().ask("me"))
    assert [entry["name"] for entry in page["endpoints"]] == ["fraud"]
    assert page["models"] == [{"name": "gpt", "kind": "openai", "operations": ["embeddings", "responses"]}]


async def test_i01_no_address_deployment_or_group_of_a_model_is_told() -> None:
    """I01: neither the resource nor its deployment, no group, no help and no limit is on the page or in the list."""
    house = with_models()
    for reply in (
        await house.ask("me"),
        await house.ask("openai", method="GET", params={"rest": "v1/models"}),
    ):
        assert isinstance(reply.body, bytes)
        for part in (b"azure.com", b"gpt-blue", b"analysts", ANALYSTS.encode(), b"others", b"Ann", b"limit"):
            assert part not in reply.body


async def test_a_failure_to_decide_one_model_is_not_swallowed() -> None:
    """`list_models` catches nothing."""

    async def decide(asked: Asked) -> Decision:
        if asked.name == "others":
            raise Undecidable(Reason.GRAPH_UNAVAILABLE)
        return Allow(rule="r", reason=Reason.MEMBER)

    with pytest.raises(Undecidable):
        await list_models(a_principal(), a_policy(a_model(), OTHERS), decide)
