"""Everything around the public clients of models: a gate in both ways of hosting, and a real language model behind."""

import asyncio
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local.children import Child, child, free_port
from local.directory import FRAUD_ANALYSTS, ML_ENGINEERS, Directory, contoso
from local.easyauth import EasyAuth, Switches
from local.entra import Entra
from local.graph import Graph
from local.llama import language_model
from local.managed_identity import ManagedIdentity
from local.openai import AUDIENCE, OLDER_AUDIENCE, OpenAI
from local.stack import gate_environment
from local.standin import Seen
from tests.functional.differences import MODES, Mode

DEPLOYMENT = "tiny-llama"
"""The one deployment of the resource."""
ASSISTANT = "assistant"
"""The model that most tests ask; at the resource it has the deployment's name."""
TO_THE_RESOURCE = {
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "x-request-id",
}
"""The headers that reach the resource, whatever clients send."""

_EVERY_OPERATION = (
    "chat/completions",
    "completions",
    "embeddings",
    "responses",
    "images/generations",
    "audio/speech",
    "audio/transcriptions",
)
MODELS: dict[str, tuple[str, str]] = {
    ASSISTANT: ("", ""),
    DEPLOYMENT: ("", ""),
    "planner": ('fields = ["background"]', ""),
    "metered": ("", 'limits = { tokens = "100000/hour", scope = "instance" }'),
    "hourly": ("", 'limits = { requests = "1/hour", scope = "instance" }'),
    "brief": ("", 'limits = { requests = "1/second", scope = "instance" }'),
    "gone": ('deployment = "nowhere"', ""),
    "locked": (f'scope = "{OLDER_AUDIENCE}/.default"', ""),
}
"""Models that ML engineers may use: what is special about each, and about its rule."""
OTHERS = "analyst"
"""A model that ML engineers may not use."""


def policy(resource: str) -> str:
    """Give the policy of both gates."""
    text = f"""version = 1
[hosts]
allow = ["127.0.0.1"]
[groups]
ml-engineers = "{ML_ENGINEERS}"
fraud-analysts = "{FRAUD_ANALYSTS}"
"""
    for name, (special, limits) in (MODELS | {OTHERS: ("", "")}).items():
        deployment = "" if "deployment" in special else f'deployment = "{DEPLOYMENT}"'
        scope = "" if "scope" in special else f'scope = "{AUDIENCE}/.default"'
        group = "fraud-analysts" if name == OTHERS else "ml-engineers"
        text += f"""
[models.{name}]
kind = "openai"
url = "{resource}"
operations = [{", ".join(f'"{operation}"' for operation in _EVERY_OPERATION)}]
{deployment}
{scope}
{special}
  [[models.{name}.rules]]
  id = "members"
  effect = "allow"
  groups = ["{group}"]
  {limits}
"""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The stand-ins, and the two gates behind their front doors; they run in a thread beside the tests'."""

    directory: Directory
    entra: Entra
    resource: OpenAI
    fronts: Mapping[Mode, EasyAuth]
    tokens: list[str] = field(default_factory=list)
    """Those of every caller."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def caller(self, *groups: str) -> str:
        """Make somebody nobody has seen yet, in `groups`; give a token for the gate."""
        name = f"client-{next(self._numbers)}"
        self.directory.add_person(name)
        for group in groups:
            self.directory.add(group, name)
        self.tokens.append(self.entra.token(name))
        return self.tokens[-1]

    def check(self, seen: Seen) -> None:
        """Assert that a request to the resource has the gate's token, and nothing of the caller but what it asks."""
        assert {name.lower() for name in seen.headers} <= TO_THE_RESOURCE
        scheme, _, token = seen.headers["Authorization"].partition(" ")
        # Not for the resource's own audience only: at one model the gate asks for a token that is not taken.
        claims = [self.entra.verify(token, audience=audience) for audience in (AUDIENCE, OLDER_AUDIENCE)]
        assert scheme == "Bearer"
        assert self.directory.apps["gate"].oid in [one["oid"] for one in claims if one is not None]
        told = "\n".join([seen.target, *seen.headers.values(), seen.body.decode("latin-1")])
        assert not [token for token in self.tokens if token in told]


class Door:
    """One gate as clients see it: an address, and a token for each caller."""

    def __init__(self, around: Around, mode: Mode) -> None:
        self.around = around
        self.mode: Mode = mode
        self.front = around.fronts[mode]
        self.resource = around.resource

    @property
    def url(self) -> str:
        """Base URL, the only thing that clients are told besides their token."""
        return self.front.url

    def caller(self, *groups: str) -> str:
        """Give the token of a new ML engineer, or of somebody in other groups."""
        return self.around.caller(*(groups or ("ml-engineers",)))

    def outsider(self) -> str:
        """Give the token of a colleague in no group."""
        return self.around.caller()

    @property
    def calls(self) -> int:
        """How often clients called."""
        return len(self.front.requests)

    @property
    def sent(self) -> list[Seen]:
        """What reached the resource."""
        return list(self.resource.requests)

    def well(self) -> None:
        """Let everything work again, and forget what came."""
        self.front.switches = Switches()
        self.front.requests.clear()
        self.resource.faults.clear()
        self.resource.requests.clear()

    def check(self) -> None:
        """Assert what holds for everything that reached the resource."""
        for seen in self.sent:
            self.around.check(seen)


@asynccontextmanager
async def running() -> AsyncIterator[Around]:
    """Run all of it: one language model, and a gate for each way of hosting."""
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="groupgate-test-")))
        llama = await enter(language_model(folder, free_port()))
        directory = contoso()
        entra = await enter(Entra(directory))
        graph = await enter(Graph(directory, entra))
        identity = await enter(ManagedIdentity(entra, directory.apps["gate"]))
        may_infer = {directory.apps["gate"].oid}
        resource = await enter(OpenAI(entra, {DEPLOYMENT: llama.url}, may_infer=may_infer, audience=AUDIENCE))
        (folder / "policy.toml").write_text(policy(resource.url))
        children: list[Child] = [llama]
        fronts: dict[Mode, EasyAuth] = {}
        for mode in MODES:
            env = gate_environment(folder, entra, graph, identity)
            env |= {"GROUPGATE_HTTP": mode, "GROUPGATE_AUDIT": f"file:{folder / mode}.jsonl"}
            port = free_port()
            command = [sys.executable, "-m", "local.host", "--port", str(port)]
            log = folder / f"{mode}.log"
            gate = await enter(child("the gate", command, env=env, log=log, port=port, health="/healthz"))
            fronts[mode] = await enter(EasyAuth(entra, gate.url))
            children.append(gate)
        await asyncio.gather(*(one.ready() for one in children))
        yield Around(directory=directory, entra=entra, resource=resource, fronts=fronts)
