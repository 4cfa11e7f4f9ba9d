"""The story of an online endpoint: who gets a prediction."""

import json
from typing import Any

from local.azureml import AUDIENCE
from local.children import Child
from local.easyauth import principal_headers
from local.model import EXAMPLE
from local.story.stage import Stage, within_stated_age, words_of


class Scoring:
    """Every act gives in a few words what came."""

    def __init__(self, stage: Stage, unguarded: Child) -> None:
        """Act on `stage`; `unguarded` is one more gate of its stack, with App Service Authentication off."""
        self._stage = stage
        self._stack = stage.stack
        self._unguarded = unguarded
        self._record: dict[str, Any] = {}

    async def score(
        self,
        base: str,
        token: str = "",
        *,
        path: str = "/endpoints/fraud/score",
        data: Any = EXAMPLE,
        **headers: str,
    ) -> str:
        """Score at `base`; say status, prediction, and the reason in the gate's audit file."""
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        async with self._stage.http.post(base + path, json={"data": data}, headers=headers) as answer:
            body = await answer.text()
        self._stage.details = [f"{name}: {value}" for name, value in answer.headers.items()] + [body[:2000]]
        self._record = self._stage.recorded(answer.headers.get("X-Request-Id"))
        words = [str(answer.status), *self._words(body)]
        if model_status := answer.headers.get("ms-azureml-model-error-statuscode"):
            words.append(f"(the model said {model_status})")
        return " ".join(words)

    async def as_who(self, who: str, *, data: Any = EXAMPLE, **headers: str) -> str:
        """Score as a person or app of the directory."""
        return await self.score(self._stack.easyauth.url, self._stage.token(who), data=data, **headers)

    async def by_graph(self, who: str) -> str:
        """Score as `who`, and say so if Graph had the last word."""
        said = await self.as_who(who)
        source = (self._record.get("membership") or {}).get("source")
        return said + (" by Graph" if source == "graph" else "")

    async def forged(self, base: str) -> str:
        """Score with headers as the platform would set them for alice, and no token."""
        return await self.score(base, **principal_headers(self._stack.entra.claims("alice"), names="short"))

    async def forged_at_the_front(self) -> str:
        """Send such headers to App Service Authentication."""
        return await self.forged(self._stack.easyauth.url)

    async def straight_to_the_gate(self) -> str:
        """Score without signing in, past App Service Authentication."""
        return await self.score(self._stack.gate.url)

    async def authentication_off(self) -> str:
        """Score with forged headers at a gate without App Service Authentication."""
        await self._unguarded.ready()
        return await self.forged(self._unguarded.url)

    async def straight_to_the_model(self) -> str:
        """Score as alice without the gate."""
        token = self._stack.entra.token("alice", audience=AUDIENCE, version="1.0")
        return await self.score(self._stack.azureml.url, token, path="/score")

    async def join(self) -> str:
        """Put bob into the group."""
        self._stack.directory.add("fraud-analysts", "bob")
        return await within_stated_age(lambda: self.as_who("bob"), "200 setosa")

    async def leave(self) -> str:
        """Take bob out again."""
        self._stack.directory.remove("fraud-analysts", "bob")
        return await within_stated_age(lambda: self.as_who("bob"), "403 not-member + help")

    def _words(self, body: str) -> list[str]:
        try:
            document: Any = json.loads(body)
        except ValueError:
            return []
        return (
            [str(document["prediction"][0])] if "prediction" in document else words_of(document, self._record)
        )
