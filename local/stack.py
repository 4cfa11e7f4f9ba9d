"""The whole local stack: stand-ins, the real inference server, the gate. `python -m local.stack` runs it."""

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local import flowers, stackpolicy
from local.arm.contoso import contoso_in_azure
from local.arm.front import Arm
from local.arm.graph import DirectoryReads
from local.azureml import AzureML
from local.batch.front import BatchEndpoint
from local.children import Child, ChildError, child, free_port
from local.directory import TENANT, Directory, contoso
from local.easyauth import EasyAuth
from local.entra import Entra
from local.graph import Graph
from local.llama import language_model
from local.managed_identity import ManagedIdentity
from local.openai import AUDIENCE, OpenAI
from local.paste import PACE, told
from local.standin import refuse_in_azure

ADMINISTRATOR = "olivia"
"""Who may change what is in Azure."""
AUDITOR = "bypass-watch"
"""The managed identity that reads roles and groups."""
_PORTS = 15
_NOT_INHERITED = ("GROUPGATE_", "AZURE_", "WEBSITE_", "IDENTITY_", "MSI_", "CONTAINER_", "FUNCTIONS_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What runs; callers talk to `easyauth.url`, and to `models.url` for models, whose answers come as they are made."""

    folder: Path
    directory: Directory
    entra: Entra
    graph: Graph
    managed_identity: ManagedIdentity
    azureml: AzureML
    batch: BatchEndpoint
    openai: OpenAI
    arm: Arm
    directory_reads: DirectoryReads
    """The part of Graph that tells who is in a group that holds a role; the gate asks another (`graph`)."""
    auditor: ManagedIdentity
    """Of whoever watches for ways around the gate: an identity of its own."""
    easyauth: EasyAuth
    gate: Child
    """The one that serves jobs."""
    models: EasyAuth
    models_gate: Child
    model: Child
    llama: Child

    def settings(self, **changes: str) -> dict[str, str]:
        """Give the environment of a gate of this stack that serves no jobs."""
        env = gate_environment(self.folder, self.entra, self.graph, self.managed_identity)
        return env | _without_jobs(self.folder) | changes

    def auditors_environment(self) -> dict[str, str]:
        """Give the environment of `groupgate bypass`: nothing of the gate's but where the stand-ins are."""
        addresses = {"GROUPGATE_GRAPH_URL": self.directory_reads.url, "GROUPGATE_ALLOW_HTTP": "true"}
        return _inherited() | addresses | self.auditor.environment

    def another_gate(self, port: int, **changes: str) -> AbstractAsyncContextManager[Child]:
        """Run one more gate with other settings; wait for it with `ready()`."""
        return _gate(self.folder / f"gate-{port}.log", port, self.settings(GROUPGATE_AUDIT="log", **changes))


def gate_environment(folder: Path, entra: Entra, graph: Graph, identity: ManagedIdentity) -> dict[str, str]:
    """Give a gate's environment: this process's own without what would mislead it, and the stack's addresses."""
    return _inherited() | {
        "GROUPGATE_POLICY": str(folder / "policy.toml"),
        "GROUPGATE_TENANT_ID": TENANT,
        "GROUPGATE_AUTHORITY": entra.url,
        "GROUPGATE_GRAPH_URL": graph.url,
        "GROUPGATE_ALLOW_HTTP": "true",
        "GROUPGATE_AUDIT": f"file:{folder / 'audit.jsonl'}",
        "WEBSITE_AUTH_ENABLED": "true",
        **identity.environment,
    }


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def _with_jobs() -> dict[str, str]:
    return {"GROUPGATE_JOBS": "on", "GROUPGATE_JOBS_SECRET": secrets.token_urlsafe(48)}


def _without_jobs(folder: Path) -> dict[str, str]:
    # A batch endpoint in its policy would be a fault.
    return {"GROUPGATE_POLICY": str(folder / "models-policy.toml")}


def _gate(
    log: Path, port: int, env: dict[str, str], *, func: str | None = None, storage: Path | None = None
) -> AbstractAsyncContextManager[Child]:
    if func:
        command = [func, "start", "--port", str(port)]
        env = env | {"FUNCTIONS_WORKER_RUNTIME": "python"}
    else:
        command = [sys.executable, "-m", "local.host", "--port", str(port)]
        command += ["--storage", str(storage)] if storage else []
    return child("the gate", command, env=env, log=log, port=port, health="/healthz")


@asynccontextmanager
async def running(*, first_port: int = 0, func: str | None = None, **settings: str) -> AsyncIterator[Stack]:
    """Run the stack for the length of the block, on free ports or on fifteen from `first_port`.

    `func` is the path of Azure Functions Core Tools, to host the gate for models; the other one stays with the local host,
    for Core Tools need an emulator of Azure Storage for Durable Functions. `settings` change the gates' environment.
    Raises `ChildError` when a child cannot start and `OSError` when a port is taken.
    """
    refuse_in_azure(os.environ)
    given = iter(range(first_port, first_port + _PORTS)) if first_port else iter([0] * _PORTS)
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="groupgate-")))
        front, gate_port, model_port = next(given), next(given) or free_port(), next(given) or free_port()
        model = await enter(inference_server(folder, model_port))
        directory = _people()
        entra = await enter(Entra(directory, port=next(given)))
        graph = await enter(Graph(directory, entra, port=next(given)))
        identity = await enter(ManagedIdentity(entra, directory.apps["gate"], port=next(given)))
        allowed = {directory.apps["gate"].oid}
        deployments = {"blue": model.url, "green": model.url}
        azureml = await enter(AzureML(entra, deployments, may_score=allowed, port=next(given)))
        models_front, models_port = next(given), next(given) or free_port()
        llama = await enter(language_model(folder, next(given) or free_port()))
        openai = await enter(
            OpenAI(entra, {"tiny-llama": llama.url}, may_infer=allowed, audience=AUDIENCE, port=next(given))
        )
        batch = await enter(_batch(folder / "storage", entra, allowed, next(given)))
        _write_policies(folder, directory, azureml, batch, openai)
        tenant = contoso_in_azure(directory, directory.apps["gate"])
        rights = {
            "may_read": {directory.apps[AUDITOR].oid},
            "may_write": {directory.people[ADMINISTRATOR].oid},
        }
        arm = await enter(Arm(entra, tenant, **rights, port=next(given)))
        directory_reads = await enter(DirectoryReads(entra, tenant, **rights, port=next(given)))
        auditor = await enter(ManagedIdentity(entra, directory.apps[AUDITOR], port=next(given)))
        env = gate_environment(folder, entra, graph, identity) | settings
        storage = folder / "durable.sqlite3"
        gate = await enter(_gate(folder / "gate.log", gate_port, env | _with_jobs(), storage=storage))
        # The same app once more, hosted so that answers go on as they come: two ways of hosting are two deployments.
        streaming = env | _without_jobs(folder) | {"GROUPGATE_HTTP": "stream"}
        streaming["GROUPGATE_AUDIT"] = f"file:{folder / 'models.jsonl'}"
        models_gate = await enter(_gate(folder / "models-gate.log", models_port, streaming, func=func))
        easyauth = await enter(EasyAuth(entra, gate.url, port=front))
        models = await enter(EasyAuth(entra, models_gate.url, port=models_front))
        await asyncio.gather(*(one.ready() for one in (gate, models_gate, model, llama)))
        yield Stack(
            folder=folder,
            directory=directory,
            entra=entra,
            graph=graph,
            managed_identity=identity,
            azureml=azureml,
            batch=batch,
            openai=openai,
            arm=arm,
            directory_reads=directory_reads,
            auditor=auditor,
            easyauth=easyauth,
            gate=gate,
            models=models,
            models_gate=models_gate,
            model=model,
            llama=llama,
        )


def _people() -> Directory:
    directory = contoso()
    directory.add_person("grace")
    directory.add_person(ADMINISTRATOR)
    directory.add_app(AUDITOR)
    directory.add_group("auditors")
    directory.add("auditors", "grace")
    return directory


def _batch(storage: Path, entra: Entra, may_invoke: set[str], port: int) -> BatchEndpoint:
    """Make a batch endpoint with two storage accounts, whose folders are in `storage`, and flowers in one of them."""
    accounts = {name: storage / name for name in (stackpolicy.LANDING, stackpolicy.RESULTS)}
    containers = f"https://{stackpolicy.RESULTS}.blob.core.windows.net"
    datastores = {"results": f"{containers}/results", "workspaceblobstore": f"{containers}/workspace"}
    batch = BatchEndpoint(entra, accounts, may_invoke=may_invoke, datastores=datastores, port=port)
    flowers.write(batch.storage.path(stackpolicy.EXAMPLE))
    return batch


def _write_policies(
    folder: Path, directory: Directory, online: AzureML, batch: BatchEndpoint, models: OpenAI
) -> None:
    urls = {"online": online.url, "resource": models.url}
    auditors = directory.groups["auditors"]
    with_jobs = stackpolicy.policy_with_jobs(**urls, batch=batch.scoring_uri, auditors=auditors)
    (folder / "policy.toml").write_text(with_jobs)
    (folder / "models-policy.toml").write_text(stackpolicy.policy(**urls))


def inference_server(folder: Path, port: int) -> AbstractAsyncContextManager[Child]:
    """Train the model into `folder` and serve it with the real Azure ML inference server."""
    command = [
        sys.executable,
        "-m",
        "local.model.serve",
        "--port",
        str(port),
        "--models",
        str(folder / "models"),
    ]
    # One thread: the server forks, and threads of the maths libraries do not survive that.
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return child("the inference server", command, env=env, log=folder / "model.log", port=port)


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end or to a signal, both of which stop everything; give its exit status."""

    async def stopping_on_signals() -> int:
        task = asyncio.current_task()
        if task is not None:
            for stop in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(stop, task.cancel)
        return await main

    try:
        return asyncio.run(stopping_on_signals())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (ChildError, OSError, RuntimeError) as exc:
        print(exc, file=sys.stderr)
        return 1


async def _up(first_port: int) -> int:
    print("Starting: training the model, starting the gate ...", flush=True)
    async with running(first_port=first_port, func=shutil.which("func")) as stack:
        stack.batch.runner.pace = PACE
        print(told(stack), flush=True)
        await asyncio.gather(
            *(one.ended() for one in (stack.gate, stack.models_gate, stack.model, stack.llama))
        )
    return 0


def main() -> int:
    """Parse the command line and stay in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="use fifteen ports from N on (default: free ones)"
    )
    return run(_up(parser.parse_args().port))


if __name__ == "__main__":
    sys.exit(main())
