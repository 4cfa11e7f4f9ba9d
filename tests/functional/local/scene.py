"""A tenant behind the stand-ins for Azure Resource Manager and Microsoft Graph, and the collector before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import Any, Self

from local.arm.contoso import ENDPOINT, SITE, contoso_in_azure
from local.arm.front import Arm
from local.arm.graph import DirectoryReads
from local.arm.tenant import Json
from local.directory import App, contoso
from local.entra import Entra
from shared.bypass import snapshot
from shared.bypass.azure import Bounds, Cloud, asked, collect
from shared.bypass.rbac import Evaluator
from shared.bypass.snapshot import Snapshot

ENTRA = Entra(contoso(), port=9)
"""The local tenant, which mints and verifies without being asked over HTTP."""
AUDITOR = ENTRA.directory.add_app("auditor")
NOW = 1_769_860_800.0
"""2026-01-31, noon."""
ML = "Microsoft.MachineLearningServices/workspaces"
SCORE = f"{ML}/onlineEndpoints/score/action"


class Scene:
    """The stand-ins, all well, and whoever collects: allowed to read everything, and to change nothing."""

    def __init__(self) -> None:
        self.gate: App = ENTRA.directory.apps["gate"]
        self.tenant = contoso_in_azure(ENTRA.directory, self.gate)
        rights = {"may_read": {AUDITOR.oid}, "may_write": {ENTRA.directory.people["alice"].oid}}
        self.arm = Arm(ENTRA, self.tenant, **rights)
        self.graph = DirectoryReads(ENTRA, self.tenant, **rights)
        self.waited: list[float] = []
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._opened.enter_async_context(self.arm)
        await self._opened.enter_async_context(self.graph)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    @property
    def cloud(self) -> Cloud:
        return Cloud(management=self.arm.url, graph=self.graph.url)

    @staticmethod
    @cache
    def token(scope: str, who: str = "auditor") -> str:
        """Give a token, kept as a real one is: making one costs more than what it is for."""
        return ENTRA.token(who, audience=scope.removesuffix("/.default"), version="1.0")

    async def collect(
        self,
        target: str = ENDPOINT,
        *,
        gate: str | None = SITE,
        bounds: Bounds | None = None,
        tokens: Callable[[str], str] | None = None,
        **words: Any,
    ) -> Json:
        """Collect, without really waiting where waiting is asked for."""
        return await asyncio.to_thread(
            lambda: collect(
                asked(target, gate=gate, **words),
                tokens or self.token,
                cloud=self.cloud,
                allow_http=True,
                bounds=bounds,
                sleep=self.waited.append,
                now=lambda: NOW,
            )
        )

    async def snapshot(self, *target: str, **words: Any) -> Snapshot:
        """Collect, and read what was collected as it is read for judging."""
        return snapshot.read(await self.collect(*target, **words))

    def sent(self) -> list[tuple[str, str]]:
        """Give method and target of every request so far."""
        return [(one.method, one.target) for one in [*self.arm.requests, *self.graph.requests]]


def able(found: Snapshot, action: str, scope: str, *, is_data: bool = False) -> dict[str, tuple[str, str]]:
    """Give everybody who may do `action`, by name: how it stands, and the names of the groups in between."""
    names = found.directory.name_of
    return {
        names(grant.principal) or grant.principal: (
            grant.state.value,
            " > ".join(names(group) or group for group in grant.via),
        )
        for grant in Evaluator(found).able(action, is_data=is_data, scope=scope)
    }
