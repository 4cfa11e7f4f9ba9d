"""Everything around a gate that serves jobs: the world of the other gates, a batch endpoint, and a host that can be killed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from local.batch.front import WORKSPACE, BatchEndpoint
from local.batch.jobs import Job
from shared.audit import verify
from tests.functional.batch.apps import App
from tests.functional.batch.policies import LANDING, RESULTS, policy
from tests.functional.differences import Mode
from tests.functional.gates import PROMPT, gate_in
from tests.functional.world import World, world_of

SECRET = "a secret of these tests, of more than thirty-two characters"
INSTANCE, LATER = "tests.functional.batch.instance", "tests.functional.batch.later"
PACE = 0.01
"""Seconds that a job stays in each of its states."""


class Instant:
    """A scorer that needs no model."""

    async def score(self, inputs: Sequence[Path], output: Path) -> None:
        """Write as many predictions as there are files."""
        await asyncio.to_thread(_write, output, "setosa\n" * len(inputs))

    async def close(self) -> None:
        """Nothing is open."""


class Scene:
    """The stand-ins of one module, and the file in which jobs are kept while hosts come and go."""

    def __init__(self, world: World, front: BatchEndpoint) -> None:
        self.world = world
        self.front = front
        self.audit = world.folder / "jobs-audit.jsonl"
        self._policies = 0

    def policy(self, text: str) -> str:
        """Give the path of a file that holds this policy."""
        self._policies += 1
        path = self.world.folder / f"policy-{self._policies}.toml"
        path.write_text(text)
        return str(path)

    def environment(self, **changes: str) -> dict[str, str]:
        """Give the environment of a gate that serves jobs; an empty value takes a setting away."""
        if "GROUPGATE_POLICY" not in changes:
            changes["GROUPGATE_POLICY"] = self.policy(policy(self.front.scoring_uri))
        settings = {
            "GROUPGATE_JOBS": "on",
            "GROUPGATE_JOBS_SECRET": SECRET,
            "GROUPGATE_AUDIT": f"file:{self.audit}",
        }
        return self.world.environment(**(settings | changes))

    def folder(self) -> Path:
        """Make a folder for one more host."""
        made = self.world.folder / f"host-{len(list(self.world.folder.glob('host-*')))}"
        made.mkdir()
        return made

    @asynccontextmanager
    async def app(self, *, later: float = 0.0, **changes: str) -> AsyncIterator[App]:
        """Run a gate, on a machine whose clock is `later` by so many seconds; it finds the jobs of the one before."""
        arguments = ("--storage", str(self.world.folder / "jobs.sqlite3"), "--control", "0")
        environment = self.environment(**changes) | ({"TEST_LATER": str(later)} if later else {})
        module = LATER if later else "local.host"
        async with gate_in(
            self.folder(), environment, mode=self.world.mode, arguments=arguments, module=module
        ) as gate:
            gate.markers = self.markers
            yield App(gate, self.audit)

    @asynccontextmanager
    async def second_instance(self, app: App) -> AsyncIterator[App]:
        """Run another instance of the app beside `app`, whose jobs are kept where those of `app` are."""
        async with gate_in(
            self.folder(), self.environment(), mode=self.world.mode, arguments=(app.rpc,), module=INSTANCE
        ) as gate:
            gate.markers = self.markers
            yield App(gate, self.audit)

    def markers(self) -> list[str]:
        """Give what no error may tell."""
        return [*self.world.markers(), self.front.url.removeprefix("http://"), SECRET, WORKSPACE]

    async def well(self) -> None:
        """Let everything work again."""
        await self.world.well()
        front = self.front
        front.faults.clear()
        front.shown, front.hidden, front.deduplicates, front.cancels = None, 0.0, False, True
        front.runner.pace = PACE

    def sent(self, job: str) -> list[Job]:
        """Give the jobs at Azure ML that carry the tag of a job at the gate."""
        return self.front.tagged(job)

    def check_what_is_written(self) -> None:
        """Assert that the audit's chains hold, and that neither it nor a log tells a secret (R03, I08)."""
        audits = [path.read_bytes() for path in self.world.folder.glob(f"{self.audit.name}*")]
        for data in audits:
            assert verify(data.splitlines(keepends=True)) == []
        for text in (*audits, *(path.read_bytes() for path in self.world.folder.glob("host-*/gate.log"))):
            for secret in (PROMPT, "eyJ", SECRET, "sig="):
                assert secret.encode() not in text, secret


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@asynccontextmanager
async def scene_of(mode: Mode) -> AsyncIterator[Scene]:
    """Run all that a gate with jobs needs, but no gate yet."""
    async with AsyncExitStack() as opened:
        world = await opened.enter_async_context(world_of(mode))
        accounts = {name: world.folder / name for name in (LANDING, RESULTS)}
        data = accounts[LANDING] / "incoming" / PROMPT
        data.mkdir(parents=True)
        (data / "a.csv").write_text("5.1,3.5,1.4,0.2\n")
        front = BatchEndpoint(
            world.entra,
            accounts,
            may_invoke={world.directory.apps["gate"].oid},
            datastores={
                name: f"https://{RESULTS}.blob.core.windows.net/{name}"
                for name in ("results", "workspaceblobstore")
            },
            scorer=Instant(),
        )
        front.signs_outputs = True
        scene = Scene(world, await opened.enter_async_context(front))
        await scene.well()
        yield scene
