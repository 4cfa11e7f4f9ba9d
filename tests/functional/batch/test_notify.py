"""The end of a job, told by a signed POST to whom the rule names, as Standard Webhooks 1.0.0 has it."""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.functional.batch.apps import App
from tests.functional.batch.policies import ENDPOINTS, NOT_SOON, policy
from tests.functional.batch.scene import SECRET, Scene
from tests.functional.differences import only
from tests.functional.gates import PROMPT, REPOSITORY
from tests.functional.upstream import Behaviour, Exchange, answer, resets, says
from tests.functional.world import MEMBER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
TOLD = "told"
PAUSE = 300.0
"""Seconds between two tries."""
TRIES = 24


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_app(shared_scene: Scene) -> AsyncIterator[App]:
    """A gate whose policy tells the ends of the endpoint `told` to the scripted server of the world."""
    _, terms = ENDPOINTS["nightly"]
    hook = f'\n  notify = "{shared_scene.world.upstream.url}/hook"'
    endpoints = {TOLD: (NOT_SOON, terms + hook), "nightly": ENDPOINTS["nightly"]}
    text = policy(shared_scene.front.scoring_uri, endpoints)
    async with shared_scene.app(GROUPGATE_POLICY=shared_scene.policy(text)) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(shared_scene: Scene) -> bytes:
    """The key that `groupgate notify-secret` prints for the receiver."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared", "notify-secret", f"{shared_scene.world.upstream.url}/hook",
        cwd=REPOSITORY, env=shared_scene.environment(), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    kind, _, secret = printed.decode().strip().partition("_")
    assert (process.returncode, kind) == (0, "whsec")
    return base64.b64decode(secret, validate=True)


def is_signed(told: Exchange, key: bytes) -> bool:
    """Say whether a receiver may believe it (Standard Webhooks, "Verifying signatures")."""
    headers = told.headers
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + told.body
    version, _, signature = headers["webhook-signature"].partition(",")
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return version == "v1" and hmac.compare_digest(signature, expected)


async def tells(app: App, scene: Scene, job: str) -> list[Exchange]:
    """Move the clock from try to try until the job is over, and give what came of it."""
    await app.over(job, step=PAUSE)
    return [told for told in scene.world.upstream.requests if told.headers["webhook-id"] == f"msg_{job}"]


async def test_the_end_is_told_again_until_it_is_taken(app: App, scene: Scene, key: bytes) -> None:
    """Signed with the receiver's key each time, by one id, which the receiver knows a repetition by; then no more."""
    who = scene.world.person(MEMBER)
    taken = iter([says(answer(500)), resets, says(answer(204, b""))])

    async def takes_the_third(exchange: Exchange) -> None:
        await next(taken)(exchange)

    scene.world.upstream.behaviour = takes_the_third
    job = await app.started(who, TOLD)
    properties = await app.ended(who, job, TOLD)
    assert properties["status"] == "Completed"
    came = await tells(app, scene, job)
    assert len(came) == 3
    for told in came:
        assert (told.method, told.target) == ("POST", "/hook")
        assert is_signed(told, key)
        assert told.headers["webhook-id"] == f"msg_{job}"
        assert {*told.headers} == {
            "host", "accept-encoding", "content-length", "content-type", "webhook-id", "webhook-timestamp",
            "webhook-signature",
        }  # fmt: skip
    assert len({told.body for told in came}) == 1
    document = json.loads(came[0].body)
    assert {*document} == {"type", "timestamp", "data"}
    assert document["type"] == "job.ended"
    data = document["data"]
    assert {*data} == {"job", "endpoint", "status", "code", "accepted", "ended"}
    assert (data["job"], data["endpoint"], data["status"], data["code"]) == (job, TOLD, "Completed", None)
    for inside in (
        PROMPT.encode(),
        who["X-MS-CLIENT-PRINCIPAL-ID"].encode(),
        SECRET.encode(),
        b"eyJ",
        b"datastores",
    ):
        assert inside not in came[0].body
    assert (await app.ended(who, job, TOLD)) == properties


async def test_another_key_or_another_text_is_not_signed(app: App, scene: Scene, key: bytes) -> None:
    """What `is_signed` would not believe: a changed body, another id, another key, the app's own secret."""
    who = scene.world.person(MEMBER)
    scene.front.faults.set(status=400, method="POST", times=1)
    job = await app.started(who, TOLD)
    (told,) = await tells(app, scene, job)
    assert is_signed(told, key)
    data = json.loads(told.body)["data"]
    assert (data["status"], data["code"]) == ("Failed", "upstream-400")
    assert not is_signed(told, SECRET.encode())
    told.body += b" "
    assert not is_signed(told, key)


@pytest.mark.parametrize(
    "refusal",
    [says(answer(302, b"", location="/elsewhere")), says(answer(410, b""))],
    ids=["a redirect, which is not followed", "gone"],
)
async def test_who_never_takes_it_is_left_in_the_end(app: App, scene: Scene, refusal: Behaviour) -> None:
    """T01: for two hours, and no longer; the job has ended as it has, and says that nobody took it."""
    who = scene.world.person(MEMBER)
    scene.world.upstream.behaviour = refusal
    job = await app.started(who, TOLD)
    await app.ended(who, job, TOLD)
    came = await tells(app, scene, job)
    assert [told.target for told in came] == ["/hook"] * TRIES
    properties = (await app.status(who, job, TOLD)).json()["properties"]
    assert (properties["status"], properties["error"]) == ("Completed", {"code": "notify-failed"})


async def test_nobody_is_told_where_no_rule_says_so(app: App, scene: Scene) -> None:
    """Only the jobs of a rule that names a receiver."""
    who = scene.world.person(MEMBER)
    job = await app.started(who)
    await app.ended(who, job)
    await app.over(job)
    assert scene.world.upstream.requests == []
