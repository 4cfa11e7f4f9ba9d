"""The language model: made on the spot, served by the real llama.cpp server."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from local.children import ChildError, free_port
from local.llama import language_model
from local.llama.make import make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The base URL of a language model's server, one for all tests of this file."""
    async with language_model(tmp_path_factory.mktemp("model"), free_port()) as running:
        await running.ready(within=20)
        yield running.url


async def ask(http: aiohttp.ClientSession, url: str, **body: object) -> dict[str, object]:
    async with http.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, object] = await answer.json()
        return found


def said(text: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0} | more


def test_the_model_is_made_at_once_and_always_alike(tmp_path: Path) -> None:
    """The same bytes each time, in well under a second."""
    started = time.perf_counter()
    make(tmp_path / "one")
    assert time.perf_counter() - started < 1
    make(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


async def test_a_server_that_cannot_listen_ends(tmp_path: Path, server: str) -> None:
    """A port that is taken is an error of the child and no silence."""
    async with language_model(tmp_path, int(server.rpartition(":")[2])) as running:
        with pytest.raises(ChildError):
            await running.ready(within=20)
            # Its health was answered by the one that has the port.
            await running.ended()


async def test_answers_are_sentences_and_the_same_at_temperature_0(
    server: str, http: aiohttp.ClientSession
) -> None:
    """Words with a capital at the start; `usage` counts the prompt's and the answer's tokens."""
    url = f"{server}/v1/chat/completions"
    first, second = [await ask(http, url, **said("Why?", max_tokens=12)) for _ in range(2)]
    content = first["choices"][0]["message"]["content"]
    assert content == second["choices"][0]["message"]["content"]
    assert len(content.split()) >= 4
    assert content[0].isupper()
    assert content.replace(" ", "").replace(".", "").isalpha()
    usage = first["usage"]
    assert usage["completion_tokens"] <= 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_generation_is_bounded(server: str, http: aiohttp.ClientSession) -> None:
    """A request without any bound ends, even one that forbids the token that ends an answer."""
    url = f"{server}/v1/chat/completions"
    found = await ask(http, url, **said("x", logit_bias={"2": -100}))
    assert found["usage"]["completion_tokens"] == 1024
    found = await ask(http, url, **said("x", max_tokens=3))
    assert found["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("text", ["", "\0", "é 字 😀", "<|end|>", "x" * 3000])
async def test_any_text_is_a_prompt(server: str, http: aiohttp.ClientSession, text: str) -> None:
    """Every byte is a token."""
    found = await ask(http, f"{server}/v1/chat/completions", **said(text, max_tokens=5))
    assert found["choices"][0]["message"]["content"]


async def test_a_prompt_longer_than_the_context_is_400(server: str, http: aiohttp.ClientSession) -> None:
    """llama.cpp says so itself."""
    async with http.post(f"{server}/v1/chat/completions", json=said("x" * 5000)) as answer:
        assert answer.status == 400


async def test_one_server_serves_answers_and_embeddings(server: str, http: aiohttp.ClientSession) -> None:
    """Completions and embeddings beside chat, and the Responses API."""
    found = await ask(http, f"{server}/v1/completions", prompt="Once", max_tokens=5, temperature=0)
    assert found["choices"][0]["text"].startswith(" ")
    found = await ask(http, f"{server}/v1/embeddings", input=["one", "two"])
    assert [len(vector["embedding"]) for vector in found["data"]] == [64, 64]
    assert found["data"][0]["embedding"] != found["data"][1]["embedding"]
    assert found["usage"]["prompt_tokens"] == 6
    found = await ask(http, f"{server}/v1/responses", input="Why?", max_output_tokens=5)
    assert found["status"] == "completed"


async def test_a_stream_has_usage_when_it_is_asked_for(server: str, http: aiohttp.ClientSession) -> None:
    """An event for each token, then one without choices that counts them, then [DONE]."""
    body = said("Why?", max_tokens=6, stream=True)
    for asked, counted in ((None, False), ({"include_usage": True}, True)):
        url, asking = f"{server}/v1/chat/completions", body | ({"stream_options": asked} if asked else {})
        # The server closes the connection after a stream without having said so.
        async with http.post(url, json=asking, headers={"Connection": "close"}) as answer:
            events = [line[6:] for line in (await answer.text()).splitlines() if line]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert ("usage" in chunks[-1]) is counted
        assert (
            sum(bool(chunk["choices"] and chunk["choices"][0]["delta"].get("content")) for chunk in chunks)
            == 6
        )
