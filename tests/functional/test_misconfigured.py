"""A configuration fault never makes the app vanish and never lets anybody in: everything is refused but /healthz."""

import pytest

from tests.functional.differences import MODES, Mode
from tests.functional.gates import BODY, Gate
from tests.functional.world import MEMBER, World, policy

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refuses_everything(gate: Gate, world: World) -> None:
    """Assert that only /healthz is answered otherwise than 503, for whoever asks."""
    before = gate.log.read_text()
    assert "configuration fault" not in before  # the host drops what is logged while importing
    for _ in range(2):
        came = await gate.score(world.person(MEMBER))
        assert came.told == (503, "gateway-misconfigured")
        assert came.headers["Retry-After"] == "60"
        for method, path in (("GET", "/me"), ("GET", "/readyz"), ("GET", "/endpoints/plain/swagger.json")):
            assert (await gate.ask(method, path)).told == (503, "gateway-misconfigured")
        for method in ("GET", "PUT", "OPTIONS"):
            assert (await gate.ask(method, "/endpoints/x/score")).told == (503, "gateway-misconfigured")
        assert (await gate.ask("HEAD", "/me")).body == b""
        assert (await gate.ask("GET", "/healthz")).told == (200, "")
    assert world.upstream.requests == []
    assert world.graph_calls() == world.token_calls() == 0


async def test_every_fault_of_settings_and_policy_is_logged_once_with_its_place(world: World) -> None:
    """All of them together, inside the first invocation (T22)."""
    broken = world.folder / "broken.toml"
    text = policy(world.upstream.url)
    for sound, faulty in (('timeout = "1s"', 'timeout = "forever"'), ("concurrency = 1", "concurency = 1")):
        text = text.replace(sound, faulty, 1)
    broken.write_text(text)
    async with world.gate(
        GROUPGATE_POLICY=str(broken), GROUPGATE_TENANT_ID="", GROUPGATE_IDENTITY="easy"
    ) as gate:
        await refuses_everything(gate, world)
        log = gate.log.read_text()
    for place in (
        "GROUPGATE_TENANT_ID: ",
        "GROUPGATE_IDENTITY: ",
        "endpoints.quick.timeout: ",
        "endpoints.narrow.concurency: ",
    ):
        assert log.count(f"configuration fault: {place}") == 1, log
    assert log.count("configuration fault") == 4


async def test_one_fault_is_enough(world: World) -> None:
    """In Azure no address may be http, whatever else is in order."""
    async with world.gate(WEBSITE_SITE_NAME="in-azure") as gate:
        await refuses_everything(gate, world)
        assert "configuration fault: GROUPGATE_ALLOW_HTTP" in gate.log.read_text()


async def test_a_policy_that_is_no_toml_refuses(world: World) -> None:
    """Neither a broken file nor a binary one brings the app down."""
    broken = world.folder / "binary.toml"
    broken.write_bytes(b"\xff\xfe\x00version = 1")
    async with world.gate(GROUPGATE_POLICY=str(broken)) as gate:
        await refuses_everything(gate, world)
        assert gate.log.read_text().count("configuration fault") == 1


async def test_a_wrong_way_of_hosting_is_hosted_classic_and_refuses(world: World, mode: Mode) -> None:
    """`GROUPGATE_HTTP=fastcgi`: chunked bodies and all get the same 503, and the fault is named."""
    if mode != MODES[0]:
        pytest.skip("the setting under test is the way of hosting itself")
    async with world.gate(GROUPGATE_HTTP="fastcgi") as gate:
        await refuses_everything(gate, world)
        assert "configuration fault: GROUPGATE_HTTP" in gate.log.read_text()
        assert (await gate.ask("POST", "/me", body=BODY)).status == 503
