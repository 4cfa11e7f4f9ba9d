"""The story of one endpoint and two models: who asks, what must come, and how to ask it of a running stack."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
from openai.types.chat import ChatCompletionMessageParam

from local.azureml import AUDIENCE, DEPLOYMENT
from local.children import Child
from local.easyauth import principal_headers
from local.model import EXAMPLE
from local.stack import HELP, REQUESTS, STATED_AGE, Stack

_PROBLEM = "urn:groupgate:problem:"
CHAT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me a story."}]
_STATED = f"within {STATED_AGE:.0f} s"


class Story:
    """The people of the story; every act gives in a few words what came, and `details` has the rest."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession, unguarded: Child) -> None:
        """Act on `stack`; `unguarded` is one more gate of it, with App Service Authentication off."""
        self.stack = stack
        self.http = http
        self.unguarded = unguarded
        self.details: list[str] = []
        # A token from before any change of groups: it must not matter what it says.
        self._bob = stack.entra.token("bob")
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
        async with self.http.post(base + path, json={"data": data}, headers=headers) as answer:
            body = await answer.text()
        self.details = [f"{name}: {value}" for name, value in answer.headers.items()] + [body[:2000]]
        self._record = self._recorded(answer.headers.get("X-Request-Id", ""))
        words = [str(answer.status), *_words(body, self._record)]
        if model_status := answer.headers.get("ms-azureml-model-error-statuscode"):
            words.append(f"(the model said {model_status})")
        return " ".join(words)

    async def as_who(self, who: str, *, data: Any = EXAMPLE, **headers: str) -> str:
        """Score as a person or app of the directory."""
        token = self._bob if who == "bob" else self.stack.entra.token(who)
        return await self.score(self.stack.easyauth.url, token, data=data, **headers)

    async def by_graph(self, who: str) -> str:
        """Score as `who`, and say so if Graph had the last word."""
        said = await self.as_who(who)
        source = (self._record.get("membership") or {}).get("source")
        return said + (" by Graph" if source == "graph" else "")

    async def forged(self, base: str) -> str:
        """Score with headers as the platform would set them for alice, and no token."""
        return await self.score(base, **principal_headers(self.stack.entra.claims("alice"), names="short"))

    async def authentication_off(self) -> str:
        """Score with forged headers at a gate without App Service Authentication."""
        await self.unguarded.ready()
        return await self.forged(self.unguarded.url)

    async def straight_to_the_model(self) -> str:
        """Score as alice without the gate."""
        token = self.stack.entra.token("alice", audience=AUDIENCE, version="1.0")
        return await self.score(self.stack.azureml.url, token, path="/score")

    async def until(self, wanted: str) -> str:
        """Let bob ask again and again: what he sends after the stated age must get what is `wanted`."""
        started = time.monotonic()
        while True:
            age = time.monotonic() - started
            said = await self.as_who("bob")
            if said == wanted:
                return f"{said} {_STATED}"
            if age > STATED_AGE:
                return f"{said} after {age:.1f} s"
            await asyncio.sleep(0.1)

    async def join(self) -> str:
        """Put bob into the group."""
        self.stack.directory.add("fraud-analysts", "bob")
        return await self.until("200 setosa")

    async def leave(self) -> str:
        """Take bob out again."""
        self.stack.directory.remove("fraud-analysts", "bob")
        return await self.until("403 not-member + help")

    def client(self, who: str) -> openai.AsyncOpenAI:
        """Give the public client of OpenAI's interface, unchanged: its base URL and a token are all that is said."""
        return openai.AsyncOpenAI(
            base_url=f"{self.stack.models.url}/openai/v1", api_key=self.stack.entra.token(who), max_retries=0
        )

    async def chat(self, who: str, model: str = "assistant") -> str:
        """Ask a model for a short answer; say the status, or what came instead."""
        async with self.client(who) as client:
            try:
                answer = await client.chat.completions.create(model=model, messages=CHAT, max_tokens=8)
            except openai.APIStatusError as refused:
                return self._refused(refused)
        self.details = [answer.model_dump_json()]
        return "200" if answer.choices[0].message.content else "200 without a word"

    async def chat_as_it_comes(self) -> str:
        """Ask for an answer in a stream; say so if its words came one after the other, with pauses between."""
        words, arrived = [], []
        self.stack.openai.faults.set(pace=0.03)
        async with self.client("frank") as client:
            stream = await client.chat.completions.create(
                model="assistant", messages=CHAT, max_tokens=24, stream=True
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    words.append(chunk.choices[0].delta.content)
                    arrived.append(time.monotonic())
        self.stack.openai.faults.clear()
        self.details = ["".join(words), f"{len(words)} pieces in {arrived[-1] - arrived[0]:.3f} s"]
        apart = [later - earlier for earlier, later in itertools.pairwise(arrived)]
        return "200 word by word" if len(words) > 5 and sum(apart) > 0.1 else f"200 in {len(words)} pieces"

    async def one_model_and_not_the_other(self) -> str:
        """Ask both models as the same person."""
        return f"{await self.chat('frank')}, {await self.chat('frank', 'analyst')}"

    async def two_models_in_one_body(self) -> str:
        """Send a body that one reader takes for a chat with one model, and another for one with the other."""
        body = '{"model": "assistant", "model": "analyst", "messages": []}'
        headers = {
            "Authorization": f"Bearer {self.stack.entra.token('frank')}",
            "Content-Type": "application/json",
        }
        url = f"{self.stack.models.url}/openai/v1/chat/completions"
        before = len(self.stack.openai.requests)
        async with self.http.post(url, data=body, headers=headers) as answer:
            told = await answer.json(content_type=None)
        self.details = [json.dumps(told)]
        sent = len(self.stack.openai.requests) - before
        return f"{answer.status} {told['error']['code']}, {sent} sent on"

    async def too_many_chats(self) -> str:
        """Chat until the minute's calls are used up."""
        for _ in range(REQUESTS + 1):
            said = await self.chat("frank")
            if said != "200":
                return said
        return f"200 after {REQUESTS + 1} calls"

    def _refused(self, refused: openai.APIStatusError) -> str:
        self.details = [f"{name}: {value}" for name, value in refused.response.headers.items()]
        self.details.append(refused.response.text)
        record = self._recorded(refused.response.headers.get("X-Request-Id", ""))
        waits = " + Retry-After" if refused.response.headers.get("Retry-After", "0") != "0" else ""
        return f"{refused.status_code} {record.get('reason', refused.code)}{waits}"

    def _recorded(self, request_id: str) -> dict[str, Any]:
        audits = [self.stack.folder / name for name in ("audit.jsonl", "models.jsonl")]
        lines = [line for audit in audits if audit.exists() for line in audit.read_text().splitlines()]
        records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        wanted = ("decision", request_id)
        return next((one for one in records if (one["event"], one["request_id"]) == wanted), {})


def _words(body: str, record: dict[str, Any]) -> list[str]:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return []
    if "prediction" in document:
        return [str(document["prediction"][0])]
    if not str(document.get("type", "")).startswith(_PROBLEM):
        return []
    reason = record.get("reason") or document["type"].removeprefix(_PROBLEM)
    return [reason, "+ help"] if HELP in document.get("detail", "") else [reason]


Step = tuple[str, str, Callable[[Story], Awaitable[str]]]
STEPS: list[Step] = [
    ("alice, in Fraud Analysts, scores", "200 setosa", lambda s: s.as_who("alice")),
    ("bob, in no such group", "403 not-member + help", lambda s: s.as_who("bob")),
    ("carol, a member with 250 groups", "200 setosa by Graph", lambda s: s.by_graph("carol")),
    ("dave, a member but a guest", "403 caller-kind", lambda s: s.as_who("dave")),
    ("erin, a member and a contractor", "403 deny-rule", lambda s: s.as_who("erin")),
    ("a managed identity in the group", "200 setosa by Graph", lambda s: s.by_graph("nightly")),
    ("forged principal headers, no token", "401", lambda s: s.forged(s.stack.easyauth.url)),
    ("straight to the gate, not signed in", "401 principal-missing", lambda s: s.score(s.stack.gate.url)),
    ("forged headers, authentication off", "503 gateway-misconfigured", lambda s: s.authentication_off()),
    ("alice straight to the model, no role", "403", lambda s: s.straight_to_the_model()),
    (
        "a deployment nobody was given",
        "403 deployment-not-allowed + help",
        lambda s: s.as_who("alice", **{DEPLOYMENT: "green"}),
    ),
    ("the model fails", "424 (the model said 500)", lambda s: s.as_who("alice", data=[[5.1, 3.5]])),
    ("bob is added to the group", f"200 setosa {_STATED}", lambda s: s.join()),
    ("bob is removed again", f"403 not-member + help {_STATED}", lambda s: s.leave()),
    ("frank, an ML engineer, chats", "200 word by word", lambda s: s.chat_as_it_comes()),
    ("bob, no engineer, chats", "403 not-member", lambda s: s.chat("bob")),
    (
        "frank: one model, and another's",
        "200, 403 not-member",
        lambda s: s.one_model_and_not_the_other(),
    ),
    (
        "a body that names two models",
        "400 invalid-request, 0 sent on",
        lambda s: s.two_models_in_one_body(),
    ),
    (
        "frank's calls of the minute are used up",
        "429 rate-limited + Retry-After",
        lambda s: s.too_many_chats(),
    ),
]
"""Who does what, what must come, and how it is done."""
