"""The gate's answers: in which order it checks, what it tells whom, and what every answer carries."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from shared.model import Effect, Fact, Headers, Kind, Membership, Reason, Source, Standing
from shared.problem import AskedWrongly, Slug, Unauthenticated, Undecidable, UpstreamFault
from shared.surface import ADDRESSES
from tests.fakes import (
    ALICE,
    ANALYSTS,
    CONTRACTORS,
    JSON_HEADERS,
    FakeAuthenticator,
    FakeBody,
    FakeMemberships,
    a_deny_rule,
    a_membership,
    a_policy,
    a_principal,
    a_route,
    a_rule,
    an_inbound,
    headers_of,
)
from tests.house import House, document, slug, without_ids

HELP = "Ask fraud-ml@contoso.com for the group Fraud Analysts."
EVERY_METHOD = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "post",
    "",
]


def nobody() -> FakeAuthenticator:
    return FakeAuthenticator(fault=Unauthenticated(Reason.PRINCIPAL_MISSING))


def refused_house(**authenticated: Any) -> House:
    """Return a house at whose gate nobody proves a membership."""
    house = House()
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    return house


async def test_order_who_comes_first() -> None:
    """Ruling "Order": an unknown caller is 401, whatever else is wrong, and nothing else is even asked."""
    house = House()
    house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
    reply = await house.ask(
        method="PUT", params={"name": "unknown"}, query="a=b", body=FakeBody(b"", length=None)
    )
    assert (reply.status, slug(reply)) == (401, "authentication-required")
    assert house.memberships.calls == []
    assert "prepare" not in house.log


async def test_order_the_method_comes_before_whether() -> None:
    """Ruling "Order": a wrong method is 405 for a stranger too, before any membership is looked at."""
    house = refused_house()
    reply = await house.ask(method="PUT")
    assert (reply.status, slug(reply)) == (405, "method-not-allowed")
    assert house.memberships.calls == []


async def test_order_whether_comes_before_how() -> None:
    """Ruling "Order": a refused caller reads 403 however badly it asks; its body is not read."""
    house = refused_house()
    body = FakeBody(b"", length=None)
    reply = await house.ask(body=body, query="a=b", headers=Headers([]))
    assert (reply.status, slug(reply)) == (403, "forbidden")
    assert "prepare" not in house.log
    assert body.limits == []


@pytest.mark.parametrize(
    "wrong", [Slug.LENGTH_REQUIRED, Slug.PAYLOAD_TOO_LARGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.INVALID_REQUEST]
)
async def test_order_how_comes_last(wrong: Slug) -> None:
    """Ruling "Order": 411, 413, 415 and 400 are for those who are allowed; nothing is sent."""
    house = House()
    house.backend.faults["prepare"] = AskedWrongly(wrong)
    reply = await house.ask()
    assert slug(reply) == wrong
    assert house.backend.sent == 0


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("route", [name for name, address in ADDRESSES.items() if address.methods])
async def test_t16_a_method_that_the_route_lacks_is_405_with_allow(route: str, method: str) -> None:
    """T16, I06: the table of methods is exact; OPTIONS is no exception, and nothing is forwarded."""
    house = House()
    reply = await house.ask(route, method=method)
    allowed = ADDRESSES[route].methods
    assert allowed is not None
    if method in allowed:
        # What the fake is asked of a batch endpoint the policy of this house does not know.
        assert reply.status == (403 if ADDRESSES[route].durable else 200)
    else:
        assert (reply.status, headers_of(reply)["allow"]) == (405, ", ".join(allowed))
        assert house.backend.sent == 0


@pytest.mark.parametrize("route", ["score", "swagger", "me"])
@pytest.mark.parametrize("method", EVERY_METHOD)
async def test_s02_without_a_principal_every_method_is_401(route: str, method: str) -> None:
    """S02: nobody gets to know which methods a route takes before saying who they are."""
    house = House()
    house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
    reply = await house.ask(route, method=method)
    assert reply.status == 401
    assert "allow" not in headers_of(reply)


@pytest.mark.parametrize("route", ["score", "swagger", "me"])
async def test_s01_with_platform_sign_in_off_everything_is_503(route: str) -> None:
    """S01: `platform-auth-off` is the gate's misconfiguration and never a 401 or an allow."""
    house = House()
    house.authenticator.fault = Unauthenticated(Reason.PLATFORM_AUTH_OFF)
    reply = await house.ask(route)
    assert (reply.status, slug(reply)) == (503, "gateway-misconfigured")
    assert house.backend.sent == 0


def _denied(name: str) -> House:
    house = House(
        a_policy(
            a_route(rules=(a_deny_rule(), a_rule())),
            a_route(name="nobody", rules=(a_rule(callers=frozenset({Kind.APP})),)),
        )
    )
    answers: dict[str, Membership] = {
        "a deny rule": a_membership(Standing.IN, ANALYSTS, CONTRACTORS),
        "a principal that Graph does not know": Membership(
            missing=Fact(standing=Standing.OUT, source=Source.GRAPH, age=0)
        ),
        "a member": Membership(
            facts={
                **a_membership(Standing.IN, ANALYSTS).facts,
                **a_membership(Standing.OUT, CONTRACTORS).facts,
            }
        ),
    }
    house.memberships.answers["known"] = answers.get(name, a_membership(Standing.OUT, ANALYSTS, CONTRACTORS))
    return house


DEPLOYMENT = Headers([*JSON_HEADERS, ("azureml-model-deployment", "green")])
CROSS_SITE = Headers(
    [
        ("content-type", "application/json"),
        ("cookie", "AppServiceAuthSession=x"),
        ("sec-fetch-site", "cross-site"),
    ]
)
ALIKE = [
    ("no member", {}),
    ("a deny rule", {}),
    ("a principal that Graph does not know", {}),
    ("a member", {"params": {"name": "nobody"}}),
    ("a member", {"headers": DEPLOYMENT}),
    ("a member", {"headers": CROSS_SITE}),
    ("a member", {"params": {"name": "Fraud"}}),
    ("a member", {"params": {"name": "fraud "}}),
    ("a member", {"params": {"name": "fraud\n"}}),
    ("a member", {"params": {"name": ""}}),
    ("a member", {"params": {"name": "../fraud"}}),
    ("a member", {"params": {"name": "fraud/../fraud"}}),
    ("a member", {"params": {"name": "\u0000\ud800"}}),
    ("a member", {"params": {"name": "x" * 10_000}}),
    ("a member", {"params": {"name": "fraud", "target": "endpoint"}, "headers": DEPLOYMENT}),
]


@pytest.mark.parametrize(("who", "changes"), ALIKE)
async def test_i02_every_refusal_is_the_same_answer_byte_for_byte(who: str, changes: dict[str, Any]) -> None:
    """I02, T02, S23: unknown, malformed and forbidden names, deny rules, deployments and foreign sites read alike."""
    unknown = without_ids(await House().ask(params={"name": "no-such-endpoint"}))
    house = _denied(who)
    assert without_ids(await house.ask(**changes)) == unknown
    assert unknown[0] == 403
    assert house.backend.sent == 0
    assert "prepare" not in house.log


@pytest.mark.parametrize(
    ("kind", "facts", "deployment", "told"),
    [
        pytest.param(Kind.USER, Standing.OUT, None, True, id="a user who is no member reads it"),
        pytest.param(
            Kind.USER, Standing.IN, "green", True, id="a member who asks for another deployment reads it"
        ),
        pytest.param(Kind.GUEST, Standing.OUT, None, False, id="a guest does not"),
        pytest.param(Kind.APP, Standing.OUT, None, False, id="an app does not"),
        pytest.param(Kind.UNDECIDED, Standing.OUT, None, False, id="an undecided caller does not"),
        pytest.param(
            Kind.GUEST, Standing.IN, "green", False, id="a guest who asks for a deployment does not"
        ),
    ],
)
async def test_help_is_told_to_users_of_the_own_tenant_only(
    kind: Kind, facts: Standing, deployment: str | None, told: bool
) -> None:
    """Ruling "Help": `not-member` and `deployment-not-allowed`, kind `user`; everybody else reads the one 403."""
    everyone = frozenset({Kind.USER, Kind.GUEST, Kind.APP})
    house = House(a_policy(a_route(help=HELP, rules=(a_rule(callers=everyone),))))
    house.authenticator.principal = a_principal(kind=kind)
    house.memberships.answers["known"] = a_membership(facts)
    pairs = [*JSON_HEADERS, *([("azureml-model-deployment", deployment)] if deployment else [])]
    reply = await house.ask(headers=Headers(pairs))
    assert reply.status == 403
    assert (document(reply)["detail"] == HELP) is told
    plain = document(await House().ask(params={"name": "x"}))
    assert told or document(reply)["detail"] == plain["detail"]


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        pytest.param(
            {CONTRACTORS: Standing.IN, ANALYSTS: Standing.IN},
            (a_deny_rule(), a_rule()),
            id="by a deny rule, a member",
        ),
        pytest.param(
            {CONTRACTORS: Standing.IN, ANALYSTS: Standing.OUT},
            (a_deny_rule(), a_rule()),
            id="by a deny rule, no member",
        ),
        pytest.param(
            {ANALYSTS: Standing.OUT},
            (a_rule(callers=frozenset({Kind.APP})),),
            id="because of the caller's kind",
        ),
        pytest.param(
            {ANALYSTS: Standing.IN}, (a_rule(clients=frozenset({"x"})),), id="because of the client"
        ),
    ],
)
async def test_help_is_not_told_to_who_is_refused_otherwise(facts: dict[str, Standing], rules: Any) -> None:
    """Ruling "Help": deny rules and every other reason keep silent, for users too."""
    house = House(a_policy(a_route(help=HELP, rules=rules)))
    house.memberships.answers["known"] = Membership(
        facts={
            group: Fact(standing=standing, source=Source.GRAPH, age=0) for group, standing in facts.items()
        }
    )
    reply = await house.ask()
    assert reply.status == 403
    assert document(reply)["detail"] != HELP


async def test_help_is_not_told_of_another_endpoint() -> None:
    """I02: an endpoint's help is its own; a name beside it is as unknown as any."""
    house = House(a_policy(a_route(help=HELP)))
    reply = await house.ask(params={"name": "fraud2"})
    assert document(reply)["detail"] != HELP


async def test_help_is_not_told_to_another_sites_page() -> None:
    """S23: a cross-site request is refused before any rule is looked at, and reads nothing of the endpoint."""
    house = House(a_policy(a_route(help=HELP)))
    house.memberships.answers["known"] = a_membership(Standing.OUT)
    reply = await house.ask(headers=CROSS_SITE)
    assert (reply.status, document(reply)["detail"] != HELP) == (403, True)
    assert house.memberships.calls == []


def _with(step: str, fault: BaseException) -> House:
    house = House()
    house.backend.faults[step] = fault
    return house


def _by(fault: BaseException) -> House:
    house = House()
    house.authenticator.fault = fault
    return house


def _unready() -> House:
    house = House()
    house.not_ready = Undecidable(Reason.CREDENTIAL_UNAVAILABLE)
    return house


EVERY_ANSWER = [
    pytest.param(House, "score", {}, 200, id="a prediction"),
    pytest.param(House, "swagger", {}, 200, id="the swagger file"),
    pytest.param(House, "swagger", {"method": "HEAD"}, 200, id="a HEAD"),
    pytest.param(House, "me", {}, 200, id="/me"),
    pytest.param(House, "healthz", {}, 200, id="/healthz"),
    pytest.param(House, "readyz", {}, 200, id="/readyz"),
    pytest.param(_unready, "readyz", {}, 503, id="/readyz when not ready"),
    pytest.param(lambda: _by(Unauthenticated(Reason.PRINCIPAL_MISSING)), "score", {}, 401, id="nobody"),
    pytest.param(lambda: _by(Unauthenticated(Reason.TOKEN_INVALID)), "me", {}, 401, id="somebody invalid"),
    pytest.param(refused_house, "score", {}, 403, id="a refusal"),
    pytest.param(House, "score", {"method": "PUT"}, 405, id="a wrong method"),
    pytest.param(lambda: _with("prepare", AskedWrongly(Slug.LENGTH_REQUIRED)), "score", {}, 411, id="a wrong body"),
    pytest.param(lambda: _with("send", UpstreamFault(Slug.UPSTREAM_TIMEOUT, outcome="upstream-timeout")), "score", {}, 504, id="a fault"),
    pytest.param(lambda: _by(Undecidable(Reason.KEYS_UNAVAILABLE)), "score", {}, 503, id="an outage"),
    pytest.param(lambda: _by(RuntimeError("bug")), "score", {}, 500, id="a bug"),
    pytest.param(House, "no-such-route", {}, 500, id="a route that nobody knows"),
]  # fmt: skip


@pytest.mark.parametrize(("house", "route", "changes", "status"), EVERY_ANSWER)
async def test_i05_every_answer_has_its_id_and_is_never_cached(
    house: Any, route: str, changes: Any, status: int
) -> None:
    """I05: `X-Request-Id`, `Cache-Control: no-store` and `Vary` stand on every answer, once; a problem says the same id."""
    reply = await house().ask(route, **changes)
    headers = headers_of(reply)
    assert reply.status == status
    assert (headers["cache-control"], headers["vary"]) == ("no-store", "Authorization, Cookie")
    assert uuid.UUID(headers["x-request-id"]).version == 4
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert document(reply)["instance"] == f"urn:uuid:{headers['x-request-id']}"
        assert set(document(reply)) == {"type", "title", "status", "detail", "instance"}
        assert document(reply)["status"] == status


@pytest.mark.parametrize(("house", "route", "changes", "status"), EVERY_ANSWER)
async def test_head_is_the_same_answer_without_a_body(
    house: Any, route: str, changes: Any, status: int
) -> None:
    """Design, "Routes": HEAD is GET without a body, for refusals and faults too."""
    reply = await house().ask(route, **{**changes, "method": "HEAD"})
    assert reply.body == b""


async def test_i06_no_answer_permits_another_origin() -> None:
    """I06: no CORS header is ever sent, whatever origin asks."""
    headers = Headers(
        [*JSON_HEADERS, ("origin", "https://evil.test"), ("access-control-request-method", "POST")]
    )
    for method in ("POST", "OPTIONS"):
        reply = await House().ask(method=method, headers=headers)
        assert not [name for name in headers_of(reply) if name.startswith("access-control")]


async def test_t23_the_callers_request_id_is_not_taken_for_the_gates() -> None:
    """T23: the id of an answer is the gate's own, new for each request."""
    house = House()
    headers = Headers([*JSON_HEADERS, ("x-request-id", "forged")])
    ids = {headers_of(await house.ask(headers=headers))["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert "forged" not in ids


@pytest.mark.parametrize("route", ["healthz", "readyz"])
async def test_e09_health_reads_no_principal_and_decides_nothing(route: str) -> None:
    """E09: health is a status without data; no header, group or record has a part in it."""
    house = House()
    house.authenticator.fault = RuntimeError("read")
    reply = await house.ask(
        route, headers=Headers([("user-agent", "GoogleHC/1.0"), ("x-ms-client-principal", "x")])
    )
    assert (reply.status, reply.body) == (200, b"")
    assert (house.authenticator.calls, house.memberships.calls, house.log) == (0, [], [])


async def test_healthz_asks_nobody_whether_the_gate_is_ready() -> None:
    """/healthz is constant: it is 200 while nothing behind the gate works."""
    house = _unready()
    assert (await house.ask("healthz")).status == 200
    assert house.readiness_asked == 0


@pytest.mark.parametrize(
    "reason", [Reason.PLATFORM_AUTH_OFF, Reason.CREDENTIAL_UNAVAILABLE, Reason.MISCONFIGURED]
)
async def test_readyz_is_503_when_the_gate_could_not_serve(reason: Reason) -> None:
    """/readyz tells by its status that a request would not be served now."""
    house = House()
    house.not_ready = Undecidable(reason)
    assert (await house.ask("readyz")).status == 503


async def test_e09_health_opens_no_other_way() -> None:
    """E09: a User-Agent of a health check, or a method of one, changes nothing on the other routes."""
    house = House()
    house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
    headers = Headers([("user-agent", "GoogleHC/1.0"), ("user-agent", "HealthCheck/1.0")])
    assert (await house.ask("score", headers=headers)).status == 401


async def test_a_member_gets_the_models_answer() -> None:
    """The one way through: a proven member reads what the model said."""
    reply = await House().ask()
    assert (reply.status, reply.body, headers_of(reply)["content-type"]) == (200, b"[1]", "application/json")


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(groups=frozenset(), principals=frozenset({ALICE})),
        a_rule(groups=frozenset(), app_roles=frozenset({"Score.All"})),
    ],
)
async def test_a_caller_who_is_listed_needs_no_directory(rule: Any) -> None:
    """A rule by principal or app role is decided without asking Graph, even while it is down."""
    house = House(a_policy(a_route(rules=(rule,))))
    house.authenticator.principal = a_principal(app_roles=frozenset({"Score.All"}))
    house.memberships = FakeMemberships(ask=Undecidable(Reason.GRAPH_UNAVAILABLE))
    assert rule.effect is Effect.ALLOW
    assert (await house.handle(an_inbound())).status == 200
