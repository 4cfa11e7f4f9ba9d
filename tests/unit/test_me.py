"""`GET /me`: the caller's own page, which tells nobody of what they may not call."""

from __future__ import annotations

import pytest

from shared.me import describe
from shared.model import Allow, Asked, Decision, Deny, Kind, Reason, Standing
from shared.problem import Undecidable
from tests.fakes import (
    ALICE,
    ANALYSTS,
    ENGINEERS,
    TENANT,
    a_deny_rule,
    a_membership,
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
