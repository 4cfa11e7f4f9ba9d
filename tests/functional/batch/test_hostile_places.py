"""Addresses that no job may read or write, each sent through the real gate, as an input and as an output (threat T10)."""

import asyncio
import tomllib
from collections.abc import Awaitable
from typing import Any

import pytest
import pytest_asyncio

from tests.functional.batch.apps import App, a_body
from tests.functional.batch.policies import policy
from tests.functional.batch.scene import Scene
from tests.functional.differences import only
from tests.functional.gates import REPOSITORY, Answer
from tests.functional.world import MEMBER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
HOSTILE: dict[str, Any] = tomllib.loads(
    (REPOSITORY / "tests" / "unit" / "backends" / "hostile_uris.toml").read_text("utf-8")
)
PLACES: list[str] = HOSTILE["policy"]["inputs"]
ROWS: dict[str, str] = HOSTILE["malformed"] | HOSTILE["elsewhere"]
AT_ONCE = 16


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_app(shared_scene: Scene) -> Any:
    """A gate with the policy that the table is for."""
    writable = [place for place in PLACES if "/data/" not in place]
    terms = f"inputs = {PLACES}\n  outputs = {writable}"
    text = policy(shared_scene.front.scoring_uri, {"fraud": ("running-jobs = 100", terms)})
    async with shared_scene.app(GROUPGATE_POLICY=shared_scene.policy(text)) as app:
        yield app


async def at_once(asked: list[Awaitable[Answer]]) -> list[Answer]:
    """Ask a few at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Awaitable[Answer]) -> Answer:
        async with places:
            return await ask

    return await asyncio.gather(*(one(ask) for ask in asked))


def reads(uri: str, kind: str) -> dict[str, Any]:
    """Give a body that reads there, and nothing else."""
    return a_body(uri=uri, output=None, kind=kind)


def writes(uri: str, kind: str) -> dict[str, Any]:
    """Give a body that writes there, and reads nothing."""
    return {"properties": {"OutputData": {"score": {"JobOutputType": kind, "Uri": uri}}}}


@pytest.mark.parametrize("kind", ["UriFolder", "UriFile"])
@pytest.mark.parametrize("way", [reads, writes])
async def test_nothing_of_the_table_is_sent(app: App, scene: Scene, way: Any, kind: str) -> None:
    """T10: 403 with the address's place and never its text, on record as such; no job is stored, no job is made."""
    place = "properties.InputData.day.Uri" if way is reads else "properties.OutputData.score.Uri"
    who = scene.world.person(MEMBER)
    came = await at_once([app.submit(who, "fraud", way(uri, kind)) for uri in ROWS.values()])
    answers = dict(zip(ROWS, came, strict=True))
    for row, answer in answers.items():
        assert answer.told == (403, "forbidden"), row
        assert answer.json()["detail"].startswith(f"{place} "), (row, answer.body)
    if (way, kind) == (reads, "UriFolder"):
        by_the_policy = f"{place} is not what the policy lets your jobs have."
        told = {row for row, answer in answers.items() if answer.json()["detail"] == by_the_policy}
        assert told == {*HOSTILE["elsewhere"]}
    reasons = {record["reason"] for record in app.gate.records() if record.get("principal") == person(who)}
    assert reasons == {"input-not-allowed"}
    assert not scene.front.requests
    assert (await app.gate.ask("GET", "/instances", base=app.control)).json() == {}


async def test_what_the_policy_allows_is_sent(app: App, scene: Scene) -> None:
    """The same gate, the same way: each place of the policy, and what lies in it."""
    who = scene.world.person(MEMBER)
    datastore = PLACES[1]
    for body in (
        reads(PLACES[0], "UriFolder"),
        reads(f"{PLACES[0]}x%20y/z.csv", "UriFile"),
        reads(datastore, "UriFolder"),
        reads(f"{PLACES[2]}/versions/1", "UriFolder"),
        writes(f"{datastore}x/", "UriFolder"),
        writes(f"{PLACES[0]}x.csv", "UriFile"),
    ):
        came = await app.submit(who, "fraud", body)
        assert came.status == 202, (body, came.body)


def person(who: dict[str, str]) -> str:
    """Give somebody's object id."""
    return who["X-MS-CLIENT-PRINCIPAL-ID"]
