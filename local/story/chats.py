"""The story of two models: who chats with which, and how much."""

import itertools
import json
import time

import openai
from openai.types.chat import ChatCompletionMessageParam

from local.stackpolicy import REQUESTS
from local.story.stage import Stage

CHAT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me a story."}]


class Chats:
    """Every act gives in a few words what came."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stack = stage.stack

    def client(self, who: str) -> openai.AsyncOpenAI:
        """Give the public client of OpenAI's interface, unchanged: its base URL and a token are all that is said."""
        return openai.AsyncOpenAI(
            base_url=f"{self._stack.models.url}/openai/v1", api_key=self._stage.token(who), max_retries=0
        )

    async def chat(self, who: str, model: str = "assistant") -> str:
        """Ask a model for a short answer; say the status, or what came instead."""
        async with self.client(who) as client:
            try:
                answer = await client.chat.completions.create(model=model, messages=CHAT, max_tokens=8)
            except openai.APIStatusError as refused:
                return self._refused(refused)
        self._stage.details = [answer.model_dump_json()]
        return "200" if answer.choices[0].message.content else "200 without a word"

    async def as_it_comes(self) -> str:
        """Ask for an answer in a stream; say so if its words came one after the other, with pauses between."""
        words, arrived = [], []
        self._stack.openai.faults.set(pace=0.03)
        async with self.client("frank") as client:
            stream = await client.chat.completions.create(
                model="assistant", messages=CHAT, max_tokens=24, stream=True
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    words.append(chunk.choices[0].delta.content)
                    arrived.append(time.monotonic())
        self._stack.openai.faults.clear()
        self._stage.details = ["".join(words), f"{len(words)} pieces in {arrived[-1] - arrived[0]:.3f} s"]
        apart = [later - earlier for earlier, later in itertools.pairwise(arrived)]
        return "200 word by word" if len(words) > 5 and sum(apart) > 0.1 else f"200 in {len(words)} pieces"

    async def one_model_and_not_the_other(self) -> str:
        """Ask both models as the same person."""
        return f"{await self.chat('frank')}, {await self.chat('frank', 'analyst')}"

    async def two_models_in_one_body(self) -> str:
        """Send a body that one reader takes for a chat with one model, and another for one with the other."""
        body = '{"model": "assistant", "model": "analyst", "messages": []}'
        headers = {
            "Authorization": f"Bearer {self._stage.token('frank')}",
            "Content-Type": "application/json",
        }
        url = f"{self._stack.models.url}/openai/v1/chat/completions"
        before = len(self._stack.openai.requests)
        async with self._stage.http.post(url, data=body, headers=headers) as answer:
            told = await answer.json(content_type=None)
        self._stage.details = [json.dumps(told)]
        sent = len(self._stack.openai.requests) - before
        return f"{answer.status} {told['error']['code']}, {sent} sent on to Azure"

    async def too_many(self) -> str:
        """Chat until the minute's calls are used up."""
        for _ in range(REQUESTS + 1):
            said = await self.chat("frank")
            if said != "200":
                return said
        return f"200 after {REQUESTS + 1} calls"

    def _refused(self, refused: openai.APIStatusError) -> str:
        answer = refused.response
        self._stage.details = [f"{name}: {value}" for name, value in answer.headers.items()] + [answer.text]
        record = self._stage.recorded(answer.headers.get("X-Request-Id"))
        waits = " + Retry-After" if answer.headers.get("Retry-After", "0") != "0" else ""
        return f"{refused.status_code} {record.get('reason', refused.code)}{waits}"
