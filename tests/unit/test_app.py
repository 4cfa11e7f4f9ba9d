"""The app: wired at its first request, or refusing everything, with each fault told once and at its place."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from shared.app import App, build
from shared.settings import Settings
from shared.surface import ADDRESSES
from tests.fakes import TENANT, an_inbound, headers_of
from tests.house import document, slug

GOOD = """
version = 1
[groups]
fraud-analysts = "6f1b2c3d-0000-4000-8000-000000000001"
[endpoints.fraud]
kind = "online"
url = "https://fraud.westeurope.inference.ml.azure.com/score"
[[endpoints.fraud.rules]]
id = "analysts"
effect = "allow"
groups = ["fraud-analysts"]
"""


def settings(policy: Path, **env: str) -> Settings:
    return Settings.from_env({"GROUPGATE_TENANT_ID": TENANT, "GROUPGATE_POLICY": str(policy), **env})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(
        GOOD.replace('effect = "allow"', 'effect = "alow"').replace('kind = "online"', 'kind = "onlin"')
    )
    return path


def faulty(broken: Path) -> App:
    return build(settings(broken, GROUPGATE_IDENTITY="none", GROUPGATE_CREDENTIAL="key"))


@pytest.mark.parametrize("route", [name for name in ADDRESSES if name != "healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
async def test_t22_with_a_configuration_fault_everything_is_refused(
    route: str, method: str, broken: Path
) -> None:
    """T22, S18: 503 `gateway-misconfigured` for every route and method, before anything of the caller is read."""
    reply = await faulty(broken).handle(an_inbound(route, method=method))
    assert reply.status == 503
    assert method == "HEAD" or slug(reply) == "gateway-misconfigured"
    assert headers_of(reply)["retry-after"] == "60"


@pytest.mark.parametrize("route", list(ADDRESSES))
async def test_a_configuration_fault_is_told_to_openais_clients_where_they_ask(
    route: str, broken: Path
) -> None:
    """Errors: at the addresses of models the refusal has its `error`, and says that trying again will not help."""
    reply = await faulty(broken).handle(an_inbound(route))
    if route == "healthz":
        assert (reply.status, reply.body) == (200, b"")
        return
    told = document(reply)
    assert ("error" in told) is ADDRESSES[route].openai
    assert ("x-should-retry" in headers_of(reply)) is ADDRESSES[route].openai
    if ADDRESSES[route].openai:
        assert told["error"] == {"code": "gateway-misconfigured", "message": told["detail"]}


async def test_i01_the_refusal_says_nothing_of_the_fault(broken: Path) -> None:
    """I01: what is wrong is for the log, and not for who asks."""
    reply = await faulty(broken).handle(an_inbound())
    assert isinstance(reply.body, bytes)
    for word in (b"policy.toml", b"alow", b"GROUPGATE", b"fraud"):
        assert word not in reply.body
    assert document(reply)["instance"] == f"urn:uuid:{headers_of(reply)['x-request-id']}"


async def test_the_app_stays_alive_with_a_configuration_fault(broken: Path) -> None:
    """Design, "Settings": a fault never makes the app vanish: /healthz answers 200."""
    reply = await faulty(broken).handle(an_inbound("healthz"))
    assert (reply.status, reply.body) == (200, b"")


async def test_every_fault_is_logged_once_with_its_place_at_the_first_request(
    broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Design, "Settings": settings and policy together, inside the first invocation, and never again."""
    with caplog.at_level(logging.ERROR, logger="groupgate"):
        app = faulty(broken)
        assert caplog.records == [], "the host drops what is logged while importing"
        await app.handle(an_inbound("healthz"))
        told = [record.getMessage() for record in caplog.records]
        await app.handle(an_inbound())
        await app.handle(an_inbound("readyz"))
    for place in ("GROUPGATE_IDENTITY", "GROUPGATE_CREDENTIAL", "endpoints.fraud.kind", "effect"):
        assert len([line for line in told if place in line]) == 1, (place, told)
    assert len(caplog.records) == len(told)


@pytest.mark.parametrize("make", ["missing", "folder", "empty", "binary", "huge"])
async def test_t22_a_policy_that_cannot_be_read_refuses_everything(make: str, tmp_path: Path) -> None:
    """T22, P10: whatever lies where the policy should, the answer is 503 and no exception."""
    path = tmp_path / "policy.toml"
    match make:
        case "folder":
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "binary":
            path.write_bytes(bytes(range(256)))
        case "huge":
            path.write_bytes(b"#" * (2 << 20))
    app = build(settings(path))
    assert slug(await app.handle(an_inbound())) == "gateway-misconfigured"
    assert (await app.handle(an_inbound("healthz"))).status == 200


async def test_a_good_policy_does_not_help_against_a_bad_setting(good: Path) -> None:
    """S18: one fault anywhere is enough to refuse."""
    app = build(settings(good, GROUPGATE_CREDENTIAL="developer", WEBSITE_SITE_NAME="gate"))
    assert slug(await app.handle(an_inbound())) == "gateway-misconfigured"


async def test_s01_a_well_configured_gate_without_platform_sign_in_is_503(good: Path) -> None:
    """S01: while WEBSITE_AUTH_ENABLED is not `true`, a forged principal is not even looked at."""
    app = build(settings(good))
    for route in ("score", "me", "readyz"):
        reply = await app.handle(an_inbound(route))
        assert (reply.status, slug(reply)) == (503, "gateway-misconfigured")
    assert (await app.handle(an_inbound("healthz"))).status == 200


async def test_s02_a_well_configured_gate_knows_nobody_without_a_principal(good: Path) -> None:
    """S02: with sign-in on and no principal it is 401."""
    app = build(settings(good, WEBSITE_AUTH_ENABLED="true"))
    reply = await app.handle(an_inbound())
    assert (reply.status, slug(reply)) == (401, "authentication-required")


async def test_the_policys_digest_is_logged_at_the_start(
    good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """T22: the effective policy is told by its digest, once."""
    app = build(settings(good))
    with caplog.at_level(logging.INFO, logger="groupgate"):
        await app.handle(an_inbound("healthz"))
        await app.handle(an_inbound("healthz"))
    assert len([record for record in caplog.records if "policy" in record.getMessage()]) == 1


def test_building_opens_nothing_and_reads_nothing(tmp_path: Path) -> None:
    """Style, habit 8: `build` cannot fail; the policy is read at the first request."""
    build(settings(tmp_path / "none.toml"))
    build(Settings.from_env({}))
