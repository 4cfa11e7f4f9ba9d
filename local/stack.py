"""The whole local stack: stand-ins, the real inference server, the gate. `python -m local.stack` runs it."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.azureml import AzureML
from local.children import Child, ChildError, child, free_port
from local.directory import CONTRACTORS, FRAUD_ANALYSTS, ML_ENGINEERS, TENANT, Directory, contoso
from local.easyauth import EasyAuth
from local.entra import Entra
from local.graph import Graph
from local.llama import language_model
from local.managed_identity import ManagedIdentity
from local.openai import AUDIENCE, OpenAI
from local.standin import refuse_in_azure

HELP = "Ask fraud-ml@contoso.example for the group Fraud Analysts."
STATED_AGE = 2.0
"""Seconds until a change of membership must show: `max-membership-age` and `recheck-refused`."""
REQUESTS = 6
"""How many calls a minute the policy gives each engineer."""
_PORTS = 11
_NOT_INHERITED = ("GROUPGATE_", "AZURE_", "WEBSITE_", "IDENTITY_", "MSI_", "CONTAINER_", "FUNCTIONS_")

POLICY = f"""version = 1

[hosts]
allow = ["127.0.0.1"]

[groups]
fraud-analysts = "{FRAUD_ANALYSTS}"
ml-engineers = "{ML_ENGINEERS}"
contractors = "{CONTRACTORS}"

[defaults]
max-membership-age = "{STATED_AGE:.0f}s"
recheck-refused = "{STATED_AGE:.0f}s"

[endpoints.fraud]
kind = "online"
url = "MODEL/score"
help = "{HELP}"
timeout = "10s"

  [[endpoints.fraud.rules]]
  id = "contractors-never"
  effect = "deny"
  groups = ["contractors"]

  [[endpoints.fraud.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
  callers = ["user", "app"]
  deployments = ["blue"]

[models.assistant]
kind = "openai"
url = "RESOURCE"
deployment = "tiny-llama"
scope = "{AUDIENCE}/.default"
operations = ["chat/completions", "embeddings", "responses"]

  [[models.assistant.rules]]
  id = "engineers"
  effect = "allow"
  groups = ["ml-engineers"]
  limits = {{ requests = "{REQUESTS}/minute", tokens = "20000/hour", scope = "instance" }}

[models.analyst]
kind = "openai"
url = "RESOURCE"
deployment = "tiny-llama"
scope = "{AUDIENCE}/.default"

  [[models.analyst.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What runs; callers talk to `easyauth.url`, and to `models.url` for models, whose answers come as they are made."""

    folder: Path
    directory: Directory
    entra: Entra
    graph: Graph
    managed_identity: ManagedIdentity
    azureml: AzureML
    openai: OpenAI
    easyauth: EasyAuth
    gate: Child
    models: EasyAuth
    models_gate: Child
    model: Child
    llama: Child

    def settings(self, **changes: str) -> dict[str, str]:
        """Give the environment of a gate of this stack."""
        return gate_environment(self.folder, self.entra, self.graph, self.managed_identity) | changes

    def another_gate(self, port: int, **changes: str) -> AbstractAsyncContextManager[Child]:
        """Run one more gate with other settings; wait for it with `ready()`."""
        return _gate(self.folder / f"gate-{port}.log", port, self.settings(GROUPGATE_AUDIT="log", **changes))


def gate_environment(folder: Path, entra: Entra, graph: Graph, identity: ManagedIdentity) -> dict[str, str]:
    """Give a gate's environment: this process's own without what would mislead it, and the stack's addresses."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return inherited | {
        "GROUPGATE_POLICY": str(folder / "policy.toml"),
        "GROUPGATE_TENANT_ID": TENANT,
        "GROUPGATE_AUTHORITY": entra.url,
        "GROUPGATE_GRAPH_URL": graph.url,
        "GROUPGATE_ALLOW_HTTP": "true",
        "GROUPGATE_AUDIT": f"file:{folder / 'audit.jsonl'}",
        "WEBSITE_AUTH_ENABLED": "true",
        **identity.environment,
    }


def _gate(
    log: Path, port: int, env: dict[str, str], func: str | None = None
) -> AbstractAsyncContextManager[Child]:
    command = (
        [func, "start", "--port", str(port)]
        if func
        else [sys.executable, "-m", "local.host", "--port", str(port)]
    )
    if func:
        env = env | {"FUNCTIONS_WORKER_RUNTIME": "python"}
    return child("the gate", command, env=env, log=log, port=port, health="/healthz")


@asynccontextmanager
async def running(*, first_port: int = 0, func: str | None = None, **settings: str) -> AsyncIterator[Stack]:
    """Run the stack for the length of the block, on free ports or on eleven from `first_port`.

    `func` is the path of Azure Functions Core Tools, to host the gate; `settings` change the gate's environment.
    Raises `ChildError` when a child cannot start and `OSError` when a port is taken.
    """
    refuse_in_azure(os.environ)
    given = iter(range(first_port, first_port + _PORTS)) if first_port else iter([0] * _PORTS)
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="groupgate-")))
        front, gate_port, model_port = next(given), next(given) or free_port(), next(given) or free_port()
        model = await enter(inference_server(folder, model_port))
        directory = contoso()
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
        policy = POLICY.replace("MODEL", azureml.url).replace("RESOURCE", openai.url)
        (folder / "policy.toml").write_text(policy)
        env = gate_environment(folder, entra, graph, identity) | settings
        gate = await enter(_gate(folder / "gate.log", gate_port, env, func))
        # The same app once more, hosted so that answers go on as they come: two ways of hosting are two deployments.
        streaming = env | {"GROUPGATE_HTTP": "stream", "GROUPGATE_AUDIT": f"file:{folder / 'models.jsonl'}"}
        models_gate = await enter(_gate(folder / "models-gate.log", models_port, streaming, func))
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
            openai=openai,
            easyauth=easyauth,
            gate=gate,
            models=models,
            models_gate=models_gate,
            model=model,
            llama=llama,
        )


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


def _told(stack: Stack) -> str:
    score = f"{stack.easyauth.url}/endpoints/fraud/score"
    member = f"{stack.graph.url}/_directory/groups/fraud-analysts/members/bob"
    body = """-H 'Content-Type: application/json' -d '{"data": [[5.1, 3.5, 1.4, 0.2]]}'"""

    chat = """-H 'Content-Type: application/json' -d '{"model": "assistant", "stream": true, "max_tokens": 40, \
"messages": [{"role": "user", "content": "Tell me a story."}]}'"""

    def as_who(who: str) -> str:
        return f'-H "Authorization: Bearer $(curl -s {stack.entra.url}/_token/{who})"'

    return f"""
App Service Authentication   {stack.easyauth.url}   (callers use this)
the gate behind it           {stack.gate.url}
the same, for models         {stack.models.url}
the gate behind it           {stack.models_gate.url}
Entra                        {stack.entra.url}
Graph                        {stack.graph.url}
managed identity             {stack.managed_identity.url}
Azure ML endpoint            {stack.azureml.url}
Azure OpenAI resource        {stack.openai.url}
policy, audit, logs          {stack.folder}

# alice is a member, bob is not (carol: 250 groups, dave: guest, erin: contractor, nightly: managed identity)
curl -i {score} {as_who("alice")} {body}
curl -i {score} {as_who("bob")} {body}
curl -s {stack.easyauth.url}/me {as_who("alice")}
# frank is an ML engineer and chats; his model takes {REQUESTS} calls a minute
curl -iN {stack.models.url}/openai/v1/chat/completions {as_who("frank")} {chat}
curl -s {stack.models.url}/openai/v1/models {as_who("frank")}
# bob joins, bob leaves
curl -i -X PUT {member}
curl -i -X DELETE {member}
# Graph fails, Graph works again (the same on every address above but the gate's)
curl -i -X PUT {stack.graph.url}/_faults -d '{{"status": 503}}'
curl -i -X DELETE {stack.graph.url}/_faults

Ctrl-C stops everything.
"""


async def _up(first_port: int) -> int:
    print("Starting: training the model, starting the gate ...", flush=True)
    async with running(first_port=first_port, func=shutil.which("func")) as stack:
        print(_told(stack), flush=True)
        await asyncio.gather(
            *(one.ended() for one in (stack.gate, stack.models_gate, stack.model, stack.llama))
        )
    return 0


def main() -> int:
    """Parse the command line and stay in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="use eleven ports from N on (default: free ones)"
    )
    return run(_up(parser.parse_args().port))


if __name__ == "__main__":
    sys.exit(main())
