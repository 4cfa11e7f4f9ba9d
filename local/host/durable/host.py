"""The local host's Durable Functions: the functions of a worker, run by an engine over a file. See the package for what it lacks."""

import asyncio
import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.host.durable.binding import Links
from local.host.durable.calls import ActivityFunction
from local.host.durable.clock import Clock
from local.host.durable.control import Control
from local.host.durable.crash import Switches, die
from local.host.durable.engine import Engine
from local.host.durable.episode import Orchestrator
from local.host.durable.rpc import ADDRESS, Rpc
from local.host.durable.storage import Storage
from local.host.hostjson import HostJson
from local.host.worker import Function, Worker

_TRIGGERS = frozenset({"orchestrationtrigger", "activitytrigger", "entitytrigger"})


class FunctionFailed(Exception):
    """A function of the worker raised; the message holds its exception, with the stack."""


def needed(functions: Iterable[Function]) -> bool:
    """Tell whether an app has anything of Durable Functions."""
    return any(function.clients or _kind(function) in _TRIGGERS for function in functions)


def default_storage(app_dir: Path, port: int) -> Path:
    """Return a file for the app on this port, the same each time, in a folder that is this user's alone. Raises OSError.

    Port 0 gets a file, and a folder, of its own.
    """
    if port == 0:
        return Path(tempfile.mkdtemp(prefix="local-host-durable-")) / "durable.sqlite3"
    folder = Path(tempfile.gettempdir()) / f"local-host-durable-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    name = hashlib.sha256(str(app_dir).encode()).hexdigest()[:16]
    return folder / f"{name}-{port}.sqlite3"


class Durable:
    """Durable Functions for the functions of `worker`, with their state in the file `storage`.

    `open` it before the app listens, `begin` when it does; after that its functions run. Crash switches end the process.
    """

    def __init__(
        self, worker: Worker, settings: HostJson, storage: Path, *, control: int | None = None
    ) -> None:
        self._worker = worker
        self._links = Links(hub=settings.durable.hub)
        self._control_port = control
        clock = Clock()
        self.engine = Engine(
            Storage(storage, clock),
            clock,
            orchestrators=self._orchestrators(),
            activities=self._activities(),
            switches=Switches(die),
            activities_at_once=settings.durable.activities,
            episodes_at_once=settings.durable.orchestrators,
        )
        self._rpc = Rpc(self.engine, self._links)
        self._control = Control(self.engine)
        self.url = ""
        """Base URL of the endpoints for the worker."""
        self.control_url = ""

    async def open(self) -> None:
        """Listen for the worker, and where it was asked for, for control. Raises OSError."""
        self.url = await self._rpc.start()
        if self._control_port is not None:
            self.control_url = f"http://{ADDRESS}:{await self._control.start(self._control_port)}/"

    async def begin(self, port: int) -> None:
        """Take up what is pending; the app listens on `port`. Raises StorageUnavailable."""
        self._links.origin = f"http://{ADDRESS}:{port}"
        self._worker.durable_client = self._links.binding(self.url)
        await self.engine.start()

    async def stop(self, grace: float) -> bool:
        """Begin nothing new, give running functions `grace` seconds, close; return whether all had ended."""
        ended = await self.engine.stop(grace)
        await self._control.stop()
        await self._rpc.stop()
        return ended

    def _orchestrators(self) -> Mapping[str, Orchestrator]:
        def runner(function: Function) -> Orchestrator:
            async def run(context: str) -> str:
                state = await self._invoke(function, context)
                if state is None:
                    raise FunctionFailed("Out of proc orchestrators must return a valid JSON schema")
                return state

            return run

        return {
            function.trigger.get("orchestration") or function.name: runner(function)
            for function in self._worker.functions
            if _kind(function) == "orchestrationtrigger"
        }

    def _activities(self) -> Mapping[str, ActivityFunction]:
        def runner(function: Function) -> ActivityFunction:
            async def run(given: str) -> str | None:
                return await self._invoke(function, given)

            return run

        return {
            function.trigger.get("activity") or function.name: runner(function)
            for function in self._worker.functions
            if _kind(function) == "activitytrigger"
        }

    async def _invoke(self, function: Function, text: str) -> str | None:
        inputs = {function.trigger["name"]: ("string", text)}
        try:
            outcome = await self._worker.invoke(function, inputs, invocation_id=str(uuid.uuid4()))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled: the function let a cancellation of its own escape.
            raise FunctionFailed("CancelledError") from error
        if not outcome.ok:
            raise FunctionFailed(outcome.error)
        return None if outcome.returned is None else str(outcome.returned[1])


def _kind(function: Function) -> str:
    return str(function.trigger["type"]).lower()
