"""The app: wired at its first request, or refusing everything, with each fault told once and at its place."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from shared.app import App, build, wire
from shared.configuration import configured
from shared.model import Reason
from shared.parts import Parts
from shared.problem import Undecidable
from shared.settings import Settings
from shared.surface import ADDRESSES
from tests.fakes import TENANT, FakeClock, FakeTokens, an_inbound, headers_of
from tests.house import document, slug
from tests.jobfakes import FakeJobStore, a_stored

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


BATCH = """
[endpoints.churn]
kind = "batch"
url = "https://churn.westeurope.inference.ml.azure.com/jobs"
[[endpoints.churn.rules]]
id = "analysts"
effect = "allow"
groups = ["fraud-analysts"]
inputs = ["https://contoso.blob.core.windows.net/customers/"]
"""
ENDED = a_stored(status="Completed", upstream="batchjob-1")


class Audited:
    """The audit's file of one process; a second one beside it is a failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.env = {"GROUPGATE_AUDIT": f"file:{folder / 'audit'}"}

    def records(self) -> list[dict[str, Any]]:
        (file,) = self._folder.glob("audit*")
        return [json.loads(line) for line in file.read_bytes().splitlines()]


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    return Audited(tmp_path)


@pytest.fixture
def batch(good: Path) -> Path:
    good.write_text(GOOD + BATCH)
    return good


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="jobs are off"),
        pytest.param({"GROUPGATE_JOBS": "off"}, id="jobs are switched off"),
        pytest.param({"GROUPGATE_JOBS": "on", "GROUPGATE_CREDENTIAL": "key"}, id="another setting is wrong"),
        pytest.param({"GROUPGATE_JOBS": "yes"}, id="the setting itself is wrong"),
        pytest.param({"GROUPGATE_JOBS": "on", "GROUPGATE_TENANT_ID": ""}, id="a setting is missing"),
        pytest.param({"GROUPGATE_JOBS": "on", "GROUPGATE_JOBS_SECRET": "short"}, id="the secret is none"),
    ],
)
def test_s18_with_a_wrong_setting_no_job_is_led_on(env: dict[str, str], good: Path) -> None:
    """S18: nothing is sent while the settings are in doubt; the job waits for them to be mended."""
    app = build(settings(good, **env))
    with pytest.raises(Undecidable) as refused:
        app.work()
    assert refused.value.reason is Reason.MISCONFIGURED


@pytest.mark.parametrize("http", ["classic", "stream"])
async def test_s18_a_broken_policy_refuses_requests_and_leaves_running_jobs_to_end(
    http: str, broken: Path, audited: Audited
) -> None:
    """S18, Batch: a job that is over is put on record, with no policy's digest, and nobody is let in meanwhile."""
    app = build(settings(broken, GROUPGATE_JOBS="on", GROUPGATE_HTTP=http, **audited.env))
    assert slug(await app.handle(an_inbound("jobs"))) == "gateway-misconfigured"
    answer = await app.work().end(FakeJobStore(ENDED), ENDED.intent.job)
    assert answer["ended"] is True
    (record,) = audited.records()
    assert (record["event"], record["job"], record["state"]) == ("job", ENDED.intent.job, "Completed")
    assert record["policy"] is None


async def test_a_policy_that_lost_its_last_batch_endpoint_leaves_running_jobs_to_end(
    good: Path, audited: Audited
) -> None:
    """Batch: the functions are there by a setting, and what runs is led on."""
    app = build(settings(good, GROUPGATE_JOBS="on", **audited.env))
    answer = await app.work().end(FakeJobStore(ENDED), ENDED.intent.job)
    assert answer["ended"] is True
    assert [record["event"] for record in audited.records()] == ["job"]


async def test_jobs_are_led_by_the_same_parts_all_along(broken: Path) -> None:
    """Wired once, whoever comes first: a request, or Durable with a job of the process before."""
    app = build(settings(broken, GROUPGATE_JOBS="on"))
    first = app.work()
    await app.handle(an_inbound("healthz"))
    assert app.work() is first


async def test_t23_requests_and_jobs_of_a_process_write_one_trail(batch: Path, audited: Audited) -> None:
    """T23: two writers would take a file each, and break one chain into two."""
    app = build(settings(batch, GROUPGATE_JOBS="on", WEBSITE_AUTH_ENABLED="true", **audited.env))
    await app.work().end(FakeJobStore(ENDED), ENDED.intent.job)
    assert (await app.handle(an_inbound())).status == 401
    await app.work().end(FakeJobStore(ENDED), ENDED.intent.job)
    records = audited.records()
    assert [(record["event"], record["seq"]) for record in records] == [
        ("job", 1),
        ("decision", 2),
        ("job", 3),
    ]
    assert len({(record["process"], record["policy"]) for record in records}) == 1


async def test_s02_a_batch_endpoint_is_behind_the_same_door(batch: Path) -> None:
    """S02: with jobs on their addresses are answered by the gate: 401 for nobody, before any store is looked at."""
    app = build(settings(batch, GROUPGATE_JOBS="on", WEBSITE_AUTH_ENABLED="true"))
    for route in ("jobs", "job"):
        reply = await app.handle(an_inbound(route))
        assert (reply.status, slug(reply)) == (401, "authentication-required")


@pytest.mark.parametrize(
    ("identity", "jobs", "warned"), [("token", "on", True), ("token", "off", False), ("both", "on", False)]
)
async def test_i07_jobs_without_app_service_authentication_are_a_warning(
    identity: str, jobs: str, warned: bool, good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """I07: nothing but a key closes Durable's webhooks then; the owner is told at the start."""
    env = {"GROUPGATE_IDENTITY": identity, "GROUPGATE_AUDIENCE": "api://gate", "GROUPGATE_JOBS": jobs}
    app = build(settings(good, WEBSITE_AUTH_ENABLED="true", **env))
    assert (await app.handle(an_inbound("healthz"))).status == 200
    assert ("webhooks" in caplog.text) is warned


async def test_readiness_asks_for_no_token_of_azure_resource_manager(batch: Path) -> None:
    """Readiness is of endpoints and Graph. Only a cancellation asks Azure Resource Manager, and that can wait."""
    checked = settings(batch, GROUPGATE_JOBS="on", WEBSITE_AUTH_ENABLED="true")
    policy, faults = configured(checked)
    assert (faults, policy is None) == ((), False)
    parts = Parts(checked, policy, FakeClock())
    parts.tokens = tokens = FakeTokens()
    assert (await wire(parts).handle(an_inbound("readyz"))).status == 200
    assert tokens.asked == ["https://graph.microsoft.com/.default", "https://ml.azure.com/.default"]
