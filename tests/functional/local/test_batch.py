"""The gate's client against the batch endpoint of this machine: over loopback, with real tokens, jobs and predictions."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from copy import replace
from pathlib import Path
from typing import Any

import pytest

from local.batch.front import MANAGEMENT, WORKSPACE, BatchEndpoint
from local.batch.jobs import Scorer, ScoringError
from local.batch.scorer import ModelScorer
from local.batch.storage import Storage, StorageError
from local.directory import contoso
from local.entra import Entra
from shared.jobs.azureml import AzureMLJobs, Later, Lost, Refused, Seen, Submitted, Unclear, Where
from shared.outbound.transport import AiohttpTransport
from tests.unit.outbound.servers import RealClock

SCOPE = "https://ml.azure.com/.default"
JOB = "0a1b2c3d-0a1b2c3d4e5f6071-" + "0" * 32
KEY = "5d1c9f8e-0000-5000-8000-000000000001"
INPUT = "https://fraudlanding.blob.core.windows.net/incoming/2025/"
OUTPUT = f"{WORKSPACE}/datastores/results/paths/alice"


class Tokens:
    """A ports.Tokens of the local tenant's gate, or of somebody else."""

    def __init__(self, entra: Entra) -> None:
        self.entra = entra
        self.who = "gate"
        self.audience: str | None = None
        self.dropped: list[str] = []

    async def token(self, scope: str) -> str:
        audience = self.audience or scope.removesuffix("/.default")
        return self.entra.token(self.who, audience=audience, version="1.0")

    def drop(self, scope: str, token: str) -> None:
        del token
        self.dropped.append(scope)


class Instant:
    """A scorer that writes down what it was asked, and needs no model."""

    def __init__(self) -> None:
        self.scored: list[tuple[list[Path], Path]] = []
        self.error = ""

    async def score(self, inputs: Sequence[Path], output: Path) -> None:
        self.scored.append((list(inputs), output))
        if self.error:
            raise ScoringError(self.error)

    async def close(self) -> None:
        """Nothing is open."""


class Scene:
    """One endpoint with its storage, and the gate's client."""

    def __init__(self, folder: Path, entra: Entra, *, scorer: Scorer | None = None) -> None:
        self.entra = entra
        self.landing, self.results = folder / "fraudlanding", folder / "fraudresults"
        (self.landing / "incoming" / "2025").mkdir(parents=True)
        self.file("a.csv", "5.1,3.5,1.4,0.2\n")
        self.scorer = Instant()
        self.batch = BatchEndpoint(
            self.entra,
            {"fraudlanding": self.landing, "fraudresults": self.results},
            may_invoke={self.entra.directory.apps["gate"].oid},
            datastores={"results": "https://fraudresults.blob.core.windows.net/out"},
            scorer=scorer or self.scorer,
        )
        self.batch.runner.pace = 0.0
        self.tokens = Tokens(self.entra)
        self.transport = AiohttpTransport(RealClock())
        self.jobs = AzureMLJobs(self.transport, self.tokens, RealClock())

    def file(self, name: str, text: str) -> None:
        (self.landing / "incoming" / "2025" / name).write_text(text)

    @property
    def where(self) -> Where:
        return Where(
            url=self.batch.scoring_uri,
            scope=SCOPE,
            workspace=WORKSPACE,
            management=self.batch.url,
            deployment=None,
            timeout=10.0,
        )

    async def submit(self, body: str | None = None, *, tag: str = JOB, key: str = KEY) -> Submitted:
        return await self.jobs.submit(self.where, a_body(tag=tag) if body is None else body, key=key)

    async def until(self, name: str, holds: Callable[[Seen], bool]) -> Seen:
        async with asyncio.timeout(30):
            while not holds(seen := await self.jobs.status(self.where, name)):  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.01)
        return seen

    async def ended(self, name: str) -> Seen:
        return await self.until(name, lambda seen: seen.status in ("Completed", "Failed", "Canceled"))


def a_body(*, uri: str = INPUT, output: str | None = OUTPUT, tag: str = JOB, kind: str = "UriFolder") -> str:
    properties: dict[str, Any] = {
        "InputData": {"data": {"JobInputType": kind, "Uri": uri}},
        "tags": {"groupgate-job": tag},
    }
    if output is not None:
        properties["OutputData"] = {"score": {"JobOutputType": "UriFile", "Uri": output}}
    return json.dumps({"properties": properties})


@pytest.fixture(scope="module")
def entra() -> Entra:
    """The local tenant, which mints and verifies without being asked over HTTP."""
    return Entra(contoso(), port=9)


@pytest.fixture
async def scene(tmp_path: Path, entra: Entra) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path, entra)
    async with scene.batch:
        yield scene
    await scene.transport.close()


async def test_real_csv_files_are_scored_by_the_real_model(tmp_path: Path, entra: Entra) -> None:
    """A job reads every CSV file of its folder, writes predictions where it was told, and goes through the statuses."""
    scene = Scene(tmp_path, entra, scorer=ModelScorer())
    scene.batch.signs_outputs = True
    scene.file(
        "a.csv", "sepal length,sepal width,petal length,petal width\n5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n"
    )
    scene.file("b.csv", "5.7,2.8,4.1,1.3\n")
    scene.file("notes.txt", "no data\n")
    async with scene.batch:
        submitted = await scene.submit()
        assert submitted.arm_id == f"{WORKSPACE}/batchEndpoints/irises/jobs/{submitted.name}"
        seen = await scene.ended(submitted.name)
        assert seen == Seen(
            status="Completed",
            outputs={
                "score": {
                    "jobOutputType": "UriFile",
                    "mode": "ReadWriteMount",
                    "uri": f"{OUTPUT}/predictions.csv",
                }
            },
            deployment="blue",
            arm_id=submitted.arm_id,
        )
        job = scene.batch.jobs[submitted.name]
        assert job.statuses == ["NotStarted", "Preparing", "Queued", "Running", "Finalizing", "Completed"]
        with (scene.results / "out" / "alice" / "predictions.csv").open(newline="") as lines:
            assert list(csv.reader(lines)) == [
                ["file", "row", "prediction"],
                ["a.csv", "0", "setosa"],
                ["a.csv", "1", "virginica"],
                ["b.csv", "0", "versicolor"],
            ]
        scene.file("b.csv", "5.7,2.8,4.1,1.3\n5.7,2.8\n")
        broken = await scene.submit(a_body(output=f"{OUTPUT}/second"))
        assert (await scene.ended(broken.name)).status == "Failed"
        assert scene.batch.jobs[broken.name].error == "b.csv, line 2: not 4 columns"
        assert not (scene.results / "out" / "alice" / "second" / "predictions.csv").exists()
    await scene.transport.close()


@pytest.mark.parametrize(
    ("who", "audience"),
    [
        pytest.param("gate", "https://elsewhere.example", id="a token for elsewhere"),
        pytest.param("alice", None, id="a caller without the Azure role, member or not"),
    ],
)
async def test_only_the_gates_identity_gets_anything(scene: Scene, who: str, audience: str | None) -> None:
    """E01: who may use the gate has nothing at the endpoint itself, and each service takes its own audience only."""
    made = await scene.submit()
    scene.tokens.who, scene.tokens.audience = who, audience
    asked = (
        scene.submit,
        lambda: scene.jobs.status(scene.where, made.name),
        lambda: scene.jobs.find(scene.where, JOB),
        lambda: scene.jobs.cancel(scene.where, made.name, None),
    )
    for ask in asked:
        with pytest.raises(Later) as caught:
            await ask()
        assert (caught.value.seconds, caught.value.code) == (60.0, "upstream-auth-failed")
    management = f"{MANAGEMENT}/.default"
    assert scene.tokens.dropped == [SCOPE, SCOPE, management, management]
    assert len(scene.batch.jobs) == 1


@pytest.mark.parametrize(
    ("audience", "ask"),
    [("https://ml.azure.com", "find"), ("https://ml.azure.com", "cancel"), (MANAGEMENT, "status")],
)
async def test_each_address_takes_its_own_audience(scene: Scene, audience: str, ask: str) -> None:
    """Protocols 5.2, 5.4: the data plane's token does not cancel, the management's does not read."""
    made = await scene.submit()
    scene.tokens.audience = audience
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "status": lambda: scene.jobs.status(scene.where, made.name),
        "find": lambda: scene.jobs.find(scene.where, JOB),
        "cancel": lambda: scene.jobs.cancel(scene.where, made.name, None),
    }
    with pytest.raises(Later):
        await asked[ask]()


BODIES = {
    "no JSON": "{",
    "no properties": "{}",
    "no input": '{"properties":{}}',
    "the shape of 2021": '{"properties":{"dataset":{"dataInputType":"DataUrl","path":"https://x"}}}',
    "inputs that are a list": '{"properties":{"InputData":[]}}',
    "two inputs": json.dumps(
        {"properties": {"InputData": {name: {"JobInputType": "UriFile", "Uri": "x"} for name in "ab"}}}
    ),
    "a literal": '{"properties":{"InputData":{"a":{"JobInputType":"Literal","Value":"x"}}}}',
    "an MLTable": a_body(kind="MLTable"),
    "tags that are a text": '{"properties":{"tags":"x"}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_no_jobs_is_refused(scene: Scene, body: str) -> None:
    """Protocols 5.1: a model deployment takes one input and one output, by their kinds."""
    with pytest.raises(Refused) as caught:
        await scene.submit(body)
    assert caught.value.status == 400
    assert not scene.batch.jobs


async def test_deployments_by_name(scene: Scene) -> None:
    """The header chooses one; the first is the default; one that is not there is refused."""
    green = await scene.jobs.submit(replace(scene.where, deployment="green"), a_body(), key=KEY)
    assert (await scene.jobs.status(scene.where, green.name)).deployment == "green"
    with pytest.raises(Refused) as caught:
        await scene.jobs.submit(replace(scene.where, deployment="red"), a_body(), key=KEY)
    assert caught.value.status == 404


PLACES = {
    "an account that is not ours": "https://attacker.blob.core.windows.net/c/x",
    "a folder without CSV files": "https://fraudlanding.blob.core.windows.net/incoming/2024",
    "a path that leads out": "https://fraudlanding.blob.core.windows.net/incoming/../../x",
    "an encoded path that leads out": "https://fraudlanding.blob.core.windows.net/incoming/%2e%2e/%2e%2e/x",
    "another workspace's datastore": f"{WORKSPACE}x/datastores/results/paths/p",
    "a datastore that is not there": f"{WORKSPACE}/datastores/other/paths/p",
    "registered data": f"{WORKSPACE}/data/d/versions/1",
    "a user name": "https://u@fraudlanding.blob.core.windows.net/incoming/2025",
}


@pytest.mark.parametrize("uri", PLACES.values(), ids=PLACES.keys())
async def test_a_job_whose_input_leads_nowhere_fails(scene: Scene, uri: str) -> None:
    """The endpoint takes such a job, as the real one does, and the job fails: what may be read is for the gate to say."""
    submitted = await scene.submit(a_body(uri=uri))
    assert (await scene.ended(submitted.name)).status == "Failed"
    assert scene.scorer.scored == []


async def test_places_in_storage(tmp_path: Path) -> None:
    """A blob is found by account, container and path, as they are or through a datastore of the workspace."""
    storage = Storage(
        {"acct": tmp_path}, {"d": "https://acct.blob.core.windows.net/con/below"}, workspace=WORKSPACE
    )
    assert (
        storage.path("https://acct.blob.core.windows.net/con-1/a%20b.csv") == tmp_path / "con-1" / "a b.csv"
    )
    assert storage.path(
        f"{WORKSPACE.upper().replace('SUBSCRIPTIONS', 'subscriptions')}/datastores/d/paths/x"
    ) == (tmp_path / "con" / "below" / "x")
    for uri in (
        "http://acct.blob.core.windows.net/c/x",
        "https://acct.blob.core.windows.net.evil/c/x",
        "x",
        "",
    ):
        with pytest.raises(StorageError):
            storage.path(uri)


async def test_what_a_job_reads_and_where_it_writes(scene: Scene) -> None:
    """One file or a whole folder; a named file, a folder, or the workspace's own place where nothing is said."""
    scene.batch.storage.datastores["workspaceblobstore"] = "https://fraudresults.blob.core.windows.net/own"
    source = scene.landing / "incoming" / "2025" / "a.csv"
    bodies = {
        a_body(uri=f"{INPUT}a.csv", kind="UriFile", output=f"{OUTPUT}/x.csv"): "out/alice/x.csv",
        a_body(output="https://fraudresults.blob.core.windows.net/out/y/"): "out/y/predictions.csv",
        a_body(output=None): "own/azureml/{}/score/predictions.csv",
    }
    for body, place in bodies.items():
        submitted = await scene.submit(body)
        assert (await scene.ended(submitted.name)).status == "Completed"
        assert scene.scorer.scored.pop() == ([source], scene.results / place.format(submitted.name))


async def test_a_job_is_found_by_its_tag_through_all_pages(scene: Scene) -> None:
    """F39: the list is paged, newest first; the tag finds the one job among them."""
    scene.batch.page = 3
    first = await scene.submit()
    for number in range(7):
        await scene.submit(tag=f"another-{number}")
    found = await scene.jobs.find(scene.where, JOB)
    assert found is not None
    assert found.name == first.name
    assert found.arm_id == f"{WORKSPACE}/batchEndpoints/irises/deployments/blue/jobs/{first.name}"
    lists = [seen.target for seen in scene.batch.requests if "mferp" in seen.target]
    assert len(lists) == 3
    assert await scene.jobs.find(scene.where, "nobody's") is None


async def test_an_answer_that_is_lost_leaves_a_job_that_is_found(scene: Scene) -> None:
    """F39: cut after the job was made: unclear, not a second job; it is found as soon as the list shows it."""
    scene.batch.hidden = 3600.0
    scene.batch.faults.set(lose=True, method="POST", times=1)
    with pytest.raises(Unclear) as caught:
        await scene.submit()
    assert caught.value.code == "upstream-unreachable"
    (lost,) = scene.batch.tagged(JOB)
    assert await scene.jobs.find(scene.where, JOB) is None, "the list does not show it yet"
    scene.batch.hidden = 0.0
    found = await scene.jobs.find(scene.where, JOB)
    assert found is not None
    assert found.name == lost.name
    assert scene.batch.by_tag == {JOB: 1}
    assert scene.batch.posts == {KEY: 1}
    assert (await scene.ended(found.name)).status == "Completed"


async def test_a_slow_answer_leaves_a_job_as_well(scene: Scene) -> None:
    """F39: the deadline passes after the request left: unclear."""
    scene.batch.faults.set(latency=0.3, method="POST", times=1)
    with pytest.raises(Unclear) as caught:
        await scene.jobs.submit(replace(scene.where, timeout=0.1), a_body(), key=KEY)
    assert caught.value.code == "upstream-timeout"


@pytest.mark.parametrize("status", [429, 503])
async def test_not_now_makes_no_job(scene: Scene, status: int) -> None:
    """Retry-After is the wait, and nothing was taken."""
    scene.batch.faults.set(status=status, headers={"Retry-After": "7"}, times=1)
    with pytest.raises(Later) as caught:
        await scene.submit()
    assert caught.value.seconds == 7
    assert not scene.batch.jobs
    assert (await scene.submit()).name in scene.batch.jobs


async def test_nobody_listens(scene: Scene) -> None:
    """F38: a refused connection is a not-now; what was taken before goes on when the service is back."""
    scene.batch.runner.pace = 3600.0
    made = await scene.submit()
    where = scene.where
    await scene.batch.stop()
    with pytest.raises(Later) as caught:
        await scene.jobs.submit(where, a_body(), key=KEY)
    assert caught.value.code == "upstream-unreachable"
    scene.batch.runner.pace = 0.0
    await scene.batch.start()
    assert (await scene.ended(made.name)).status == "Completed"


@pytest.mark.parametrize(("deduplicates", "jobs"), [(False, 2), (True, 1)])
async def test_duplicates_are_removed_only_where_the_switch_says_so(
    scene: Scene, deduplicates: bool, jobs: int
) -> None:
    """Protocols 5.4: that `repeatability_request-id` removes them is not verified, so that it does not by default."""
    scene.batch.deduplicates = deduplicates
    names = {(await scene.submit()).name for _ in range(2)}
    assert len(names) == jobs
    assert scene.batch.by_tag == {JOB: jobs}
    assert scene.batch.posts == {KEY: 2}


async def test_a_job_is_cancelled_through_azure_resource_manager(scene: Scene) -> None:
    """Protocols 5.4: asynchronous; the endpoint says CancelRequested, then Canceled, and nothing is written."""
    scene.batch.runner.pace = 3600.0
    made = await scene.submit()
    scene.batch.runner.pace = 0.05
    await scene.jobs.cancel(replace(scene.where, workspace=None), made.name, made.arm_id)
    assert (await scene.jobs.status(scene.where, made.name)).status == "CancelRequested"
    assert (await scene.ended(made.name)).status == "Canceled"
    await scene.jobs.cancel(scene.where, made.name, None)
    assert scene.batch.jobs[made.name].statuses == ["NotStarted", "CancelRequested", "Canceled"]
    assert scene.scorer.scored == []
    with pytest.raises(Refused) as caught:
        await scene.jobs.cancel(scene.where, "batchjob-unknown", None)
    assert caught.value.status == 404
    with pytest.raises(Lost):
        await scene.jobs.status(scene.where, "batchjob-unknown")


async def test_a_running_model_is_left_when_its_job_is_cancelled(tmp_path: Path, entra: Entra) -> None:
    """The next job gets its own predictions, and not what was still to come of the one before."""
    scene = Scene(tmp_path, entra, scorer=ModelScorer((sys.executable, "-c", _COPIES)))
    pipe = scene.landing / "incoming" / "2025" / "stuck.csv"
    os.mkfifo(pipe)
    async with scene.batch:
        output = "https://fraudresults.blob.core.windows.net/out"
        stuck = await scene.submit(a_body(output=output))
        writing = await _opened(pipe)  # the model reads, and nothing ever comes
        await scene.jobs.cancel(scene.where, stuck.name, None)
        assert (await scene.ended(stuck.name)).status == "Canceled"
        os.close(writing)
        done = await scene.submit(a_body(uri=f"{INPUT}a.csv", kind="UriFile", output=output))
        assert (await scene.ended(done.name)).status == "Completed"
    assert (scene.results / "out" / "predictions.csv").read_text() == "5.1,3.5,1.4,0.2\n"
    await scene.transport.close()


_COPIES = """
import json, pathlib, sys
for line in sys.stdin:
    wish = json.loads(line)
    text = "".join(pathlib.Path(name).read_text() for name in reversed(wish["inputs"]))
    pathlib.Path(wish["output"]).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(wish["output"]).write_text(text)
    print(json.dumps({"error": ""}), flush=True)
"""


async def _opened(pipe: Path) -> int:
    """Give the writing end of `pipe` once somebody reads."""
    async with asyncio.timeout(30):
        while True:
            with suppress(OSError):  # ENXIO: nobody reads yet
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            await asyncio.sleep(0.02)


async def test_a_cancel_can_have_no_effect(scene: Scene) -> None:
    """Protocols 9.1, 10: that a cancel reaches a batch endpoint's job is not verified."""
    scene.batch.cancels = False
    made = await scene.submit()
    await scene.jobs.cancel(scene.where, made.name, None)
    assert (await scene.ended(made.name)).status == "Completed"


@pytest.mark.parametrize("word", ["NotResponding", "Paused", "SomethingNew"])
async def test_odd_statuses_come_and_go(scene: Scene, word: str) -> None:
    """Protocols 5.3: a job may leave any of them again."""
    scene.batch.shown = word
    made = await scene.submit()
    assert (await scene.jobs.status(scene.where, made.name)).status == word
    scene.batch.shown = None
    assert (await scene.ended(made.name)).status == "Completed"
    scene.batch.runner.before = ["Queued", word]
    other = await scene.submit()
    await scene.ended(other.name)
    assert word in scene.batch.jobs[other.name].statuses


async def test_a_model_that_fails_fails_its_job(scene: Scene) -> None:
    """Failed is final, and what the model said reaches nobody."""
    scene.scorer.error = "secret"
    made = await scene.submit()
    seen = await scene.ended(made.name)
    assert (seen.status, seen.outputs) == ("Failed", {})
    assert "secret" not in repr(seen)


async def test_a_list_that_is_not_there_or_tells_no_tags(scene: Scene) -> None:
    """What is not verified of the list can be switched: without a workspace there is none unless it answers itself."""
    made = await scene.submit()
    without = replace(scene.where, workspace=None)
    with pytest.raises(Refused) as caught:
        await scene.jobs.find(without, JOB)
    assert caught.value.status == 405
    scene.batch.lists_itself = True
    found = await scene.jobs.find(without, JOB)
    assert found is not None
    assert found.name == made.name
    scene.batch.keeps_tags = False
    assert await scene.jobs.find(scene.where, JOB) is None


async def test_faults_that_exclude_each_other_are_refused(scene: Scene) -> None:
    """A lost answer is no other answer."""
    for switches in ({"lose": True, "status": 500}, {"lose": True, "cut": True}, {"loose": True}):
        with pytest.raises(ValueError, match=r"lose|loose"):
            scene.batch.faults.set(**switches)
