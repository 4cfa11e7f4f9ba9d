"""Everything around a gate under test: the stand-ins, a scripted model, a policy, and people with and without groups."""

import asyncio
import itertools
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from local.directory import CONTRACTORS, FRAUD_ANALYSTS, TENANT, Directory, contoso
from local.easyauth import principal_headers
from local.entra import Entra
from local.graph import Graph
from local.managed_identity import ManagedIdentity
from local.standin import StandIn
from tests.functional.differences import Mode
from tests.functional.gates import PROMPT, REPOSITORY, Gate, gate_in
from tests.functional.upstream import Upstream

HELP = "Ask the fraud team for the group."
MEMBER = "fraud-analysts"
_NOT_INHERITED = ("GROUPGATE_", "AZURE_", "WEBSITE_", "IDENTITY_", "MSI_", "CONTAINER_", "FUNCTIONS_")
_CALLS = "checkMemberGroups"
_COMPILED = REPOSITORY / ".pytest_cache" / "pycache"
_MEMORY = "/dev/shm"
"""Where it is there, files are kept in it: a disk that stalls for a moment is a 503 of its own, and not what is tested."""

ENDPOINTS: dict[str, str] = {
    "plain": "",
    "quick": 'timeout = "1s"',
    "narrow": "concurrency = 1",
    "small": 'max-body = "1KiB"',
    "quiet": "relay-errors = false",
    "fleeting": 'max-membership-age = "1s"\nrecheck-refused = "500ms"',
    "grace": 'max-membership-age = "1s"\noutage-grace = "2s"',
    **{f"scope-{n}": f'scope = "https://model-{n}.example/.default"' for n in range(16)},
}
"""Endpoints that members of fraud-analysts may call, users and apps; each with what is special about it."""

OPERATIONS = (
    "chat/completions", "completions", "embeddings", "responses", "images/generations", "audio/speech",
    "audio/transcriptions",
)  # fmt: skip
_ALL = f"operations = {list(OPERATIONS)}"
MODELS: dict[str, str] = {
    "gpt": _ALL,
    "renamed": f'deployment = "at-the-resource"\nscope = "https://cognitiveservices.azure.com/.default"\n{_ALL}',
    "default": "",
    "quick": f'timeout = "1s"\n{_ALL}',
    "narrow": "concurrency = 1",
    "small": 'max-body = "1KiB"',
    "quiet": "relay-errors = false",
    "named": f'fields = ["item_reference", "image_url", "tools.web_search", "top_n_sigma"]\n{_ALL}',
    "helpful": f'help = "{HELP}"',
    "fleeting": f'max-membership-age = "1s"\nrecheck-refused = "500ms"\n{_ALL}',
    "secret": _ALL,
    **{f"cold-{n}": f'scope = "https://cold-{n}.example/.default"' for n in range(4)},
}
"""Models that members of fraud-analysts may use, users and apps, except for `secret`, which is for contractors."""

LIMITS: dict[str, str] = {
    "three": 'requests = "3/hour", scope = "instance"',
    "three-for-all": 'requests = "3/hour", per = "rule", scope = "instance"',
    "two-a-second": 'requests = "2/second", scope = "instance"',
    "two-a-minute": 'requests = "2/minute", tokens = "100000/minute", scope = "instance"',
    "tokens": 'tokens = "10000/hour", scope = "instance"',
    "tokens-for-all": 'tokens = "10000/hour", per = "rule", scope = "instance"',
    "cold": 'requests = "3/hour", scope = "instance"',
}
"""Models with limits, counted in each instance, for every operation and with a second's time."""

SHARED_LIMITS: dict[str, str] = {
    "shared": 'requests = "20/hour"',
    "shared-tokens": 'tokens = "10000/hour"',
    "shared-for-all": 'requests = "20/hour", per = "rule"',
    "local": 'requests = "5/hour", fail = "local"',
}
"""Models whose limits are counted in Redis; only for a gate that has one."""

_RULE = """
  [[endpoints.{name}.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["fraud-analysts"]
  callers = ["user", "app"]
  deployments = ["blue"]
"""
_DENY = """
  [[endpoints.{name}.rules]]
  id = "contractors-never"
  effect = "deny"
  groups = ["contractors"]
"""


_MODEL_RULE = """
  [[models.{name}.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["{group}"]
  callers = ["user", "app"]
"""


def policy(upstream: str, *, limits: dict[str, str] = LIMITS) -> str:
    """Give the policy of the world; `fraud` is the endpoint with a deny rule and a help text."""
    text = f"""version = 1
[hosts]
allow = ["127.0.0.1"]
[groups]
fraud-analysts = "{FRAUD_ANALYSTS}"
contractors = "{CONTRACTORS}"
"""
    for name, special in (ENDPOINTS | {"fraud": f'help = "{HELP}"'}).items():
        text += f'[endpoints.{name}]\nkind = "online"\nurl = "{upstream}/{name}/score"\n{special}\n'
        text += (_DENY if name == "fraud" else "").format(name=name) + _RULE.format(name=name)
    cold = {"cold": 'scope = "https://cold-and-limited.example/.default"'}
    for name, special in (MODELS | dict.fromkeys(limits, f'timeout = "1s"\n{_ALL}') | cold).items():
        text += f'[models.{name}]\nkind = "openai"\nurl = "{upstream}"\n{special}\n'
        text += _MODEL_RULE.format(name=name, group="contractors" if name == "secret" else MEMBER)
        text += f"  limits = {{ {limits[name]} }}\n" if name in limits else ""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The stand-ins around the gates of one module, in one way of hosting."""

    mode: Mode
    folder: Path
    directory: Directory
    entra: Entra
    graph: Graph
    identity: ManagedIdentity
    upstream: Upstream
    _numbers: "itertools.count[int]"

    def person(
        self,
        *groups: str,
        claimed: bool = True,
        kind: Literal["user", "guest", "app"] = "user",
        names: Literal["long", "short"] = "short",
        **claims: Any,
    ) -> dict[str, str]:
        """Make somebody nobody has seen yet, in `groups`; give the headers that the platform would set for them.

        Unless `claimed`, the headers name no groups, so that the gate has to ask Graph.
        """
        name = self.name(*groups, kind=kind)
        changes = claims if claimed else {"groups": None, **claims}
        return principal_headers(self.entra.claims(name, **changes), names=names)

    def headers(self, name: str) -> dict[str, str]:
        """Give the headers of somebody that `name` made, with no groups in them, so that the gate has to ask Graph."""
        return principal_headers(self.entra.claims(name, groups=None), names="short")

    def name(self, *groups: str, kind: Literal["user", "guest", "app"] = "user") -> str:
        """Make somebody as `person` does, and give the name to mint tokens with."""
        name = f"{kind}-{next(self._numbers)}"
        if kind == "app":
            self.directory.add_app(name)
        else:
            self.directory.add_person(name, guest=kind == "guest")
        for group in groups:
            self.directory.add(group, name)
        return name

    def environment(self, **changes: str) -> dict[str, str]:
        """Give the environment of a gate; an empty value takes a setting away."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        if sys.dont_write_bytecode:
            # Dozens of gates are started: where nothing is compiled beforehand, compiled once is enough.
            inherited |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(_COMPILED)}
        return inherited | {
            "GROUPGATE_POLICY": str(self.folder / "policy.toml"),
            "GROUPGATE_TENANT_ID": TENANT,
            "GROUPGATE_AUTHORITY": self.entra.url,
            "GROUPGATE_GRAPH_URL": self.graph.url,
            "GROUPGATE_ALLOW_HTTP": "true",
            "WEBSITE_AUTH_ENABLED": "true",
            **self.identity.environment,
            **changes,
        }

    @asynccontextmanager
    async def gate(self, **changes: str) -> AsyncIterator[Gate]:
        """Run a gate with other settings than usual."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        async with gate_in(folder, self.environment(**changes), mode=self.mode) as gate:
            gate.markers = self.markers
            yield gate

    def markers(self) -> list[str]:
        """Give what no error may tell."""
        inside = [self.upstream.url, self.graph.url, self.identity.url]
        return [
            TENANT,
            FRAUD_ANALYSTS,
            CONTRACTORS,
            MEMBER,
            "contractors",
            PROMPT,
            "eyJ",
            self.identity.secret,
            str(self.folder),
            *(url.removeprefix("http://") for url in inside),
        ]

    def graph_calls(self) -> int:
        """Count the questions that came to Graph."""
        return sum(count for route, count in self.graph.counts.items() if _CALLS in route)

    def token_calls(self) -> int:
        """Count the tokens that were asked for."""
        return self.identity.counts["/msi/token"]

    async def well(self) -> None:
        """Let everything work again, and forget what came."""
        self.upstream.reset()
        await self.upstream.start()
        for stand_in in (self.entra, self.graph, self.identity):
            await back(stand_in)
            stand_in.faults.clear()
            stand_in.requests.clear()
            stand_in.counts.clear()


async def back(stand_in: StandIn) -> None:
    """Start a stand-in again that was stopped."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", stand_in.port)
    except ConnectionRefusedError:
        await stand_in.start()
    else:
        writer.close()


@asynccontextmanager
async def world_of(mode: Mode) -> AsyncIterator[World]:
    """Run all that a gate needs, but no gate yet."""
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        made = tempfile.TemporaryDirectory(prefix="groupgate-test-", dir=place)
        folder = Path(opened.enter_context(made))
        directory = contoso()
        entra = await enter(Entra(directory))
        world = World(
            mode=mode,
            folder=folder,
            directory=directory,
            entra=entra,
            graph=await enter(Graph(directory, entra)),
            identity=await enter(ManagedIdentity(entra, directory.apps["gate"])),
            upstream=await enter(Upstream()),
            _numbers=itertools.count(1),
        )
        (folder / "policy.toml").write_text(policy(world.upstream.url))
        yield world
