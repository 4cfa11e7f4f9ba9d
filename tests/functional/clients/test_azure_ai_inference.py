"""The `azure-ai-inference` package, unchanged: its endpoint and a credential are all that it is told."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.ai.inference import ChatCompletionsClient, EmbeddingsClient, ImageEmbeddingsClient
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.ai.inference.models import ImageEmbeddingInput, SystemMessage, UserMessage
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from tests.functional.clients.around import ASSISTANT, DEPLOYMENT, OTHERS, Around, Door
from tests.functional.differences import Mode

HTTP: dict[str, Any] = {"enforce_https": False}
"""What azure-core wants to be told before it sends a token to an address of this machine, which has no TLS."""
STORY = [SystemMessage("You are brief."), UserMessage("Tell me a story.")]
FEW: dict[str, Any] = {"max_tokens": 8, "seed": 7, **HTTP}


class Credential:
    """Gives the caller's token, as azure-identity does, for whatever scope the program names."""

    def __init__(self, token: str) -> None:
        self._token = AccessToken(token, int(time.time()) + 3600)

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes
        return self._token


class AsyncCredential(Credential):
    """The same for asyncio."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:  # type: ignore[override]
        return super().get_token(*scopes)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def chats(url: str, token: str) -> ChatCompletionsClient:
    return ChatCompletionsClient(endpoint=f"{url}/models", credential=Credential(token))


@pytest.fixture(scope="module")
def client(around: Around, mode: Mode) -> Iterator[ChatCompletionsClient]:
    """The client of an ML engineer."""
    with chats(around.fronts[mode].url, around.caller("ml-engineers")) as client:
        yield client


def test_a_chat_is_the_same_whole_and_in_a_stream(client: ChatCompletionsClient, door: Door) -> None:
    """The path `/models/…` with the API version of its own that the package adds; upstream it is v1, without one."""
    whole = client.complete(model=ASSISTANT, messages=STORY, **FEW)
    pieces = list(client.complete(model=ASSISTANT, messages=STORY, stream=True, **FEW))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage.completion_tokens == FEW["max_tokens"]
    assert whole.choices[0].finish_reason == pieces[-1].choices[0].finish_reason
    assert {seen.target for seen in door.sent} == {"/openai/v1/chat/completions"}


def test_usage_comes_in_a_stream_to_who_asks_for_it(client: ChatCompletionsClient) -> None:
    """In the package's way to say what it has no word for."""
    asked = {"stream_options": {"include_usage": True}}
    *_, last = client.complete(model="metered", messages=STORY, stream=True, model_extras=asked, **FEW)
    assert last.usage is not None
    assert last.usage.completion_tokens == FEW["max_tokens"]


def test_embeddings(around: Around, mode: Mode) -> None:
    """A vector for each text."""
    credential = Credential(around.caller("ml-engineers"))
    with EmbeddingsClient(endpoint=f"{around.fronts[mode].url}/models", credential=credential) as client:
        told = client.embed(model=ASSISTANT, input=["two", "texts"], **HTTP)
    assert len(told.data) == 2
    assert all(isinstance(number, float) for number in told.data[0].embedding)


async def test_programs_that_await(door: Door) -> None:
    """The same client for asyncio."""
    credential = AsyncCredential(door.caller())
    async with AsyncChatCompletionsClient(endpoint=f"{door.url}/models", credential=credential) as client:
        whole = await client.complete(model=ASSISTANT, messages=STORY, **FEW)
        stream = await client.complete(model=ASSISTANT, messages=STORY, stream=True, **FEW)
        pieces = [piece.choices[0].delta.content or "" async for piece in stream if piece.choices]
    assert "".join(pieces) == whole.choices[0].message.content


def test_what_the_package_sends_is_what_arrives(client: ChatCompletionsClient, door: Door) -> None:
    """Byte for byte where the names are alike (threat T07)."""
    posted: list[bytes] = []

    def note(request: Any) -> None:
        posted.append(request.http_request.content.encode())

    story = [*STORY, UserMessage("Schönes \u2028 \U0001f600")]
    client.complete(model=DEPLOYMENT, messages=story, temperature=0.5, raw_request_hook=note, **FEW)
    assert [seen.body for seen in door.sent] == posted


def test_not_signed_in(door: Door) -> None:
    """401 is the package's ClientAuthenticationError, after one call."""
    with chats(door.url, "not-a-token") as client, pytest.raises(ClientAuthenticationError) as refused:
        client.complete(model=ASSISTANT, messages=STORY, **FEW)
    assert refused.value.status_code == 401
    assert (door.calls, door.sent) == (1, [])


def test_a_key_opens_nothing(door: Door) -> None:
    """A key instead of a credential is 401, in whichever header the package puts it (threat T06)."""
    client = ChatCompletionsClient(endpoint=f"{door.url}/models", credential=AzureKeyCredential("0123456789"))
    with client, pytest.raises(ClientAuthenticationError):
        client.complete(model=ASSISTANT, messages=STORY)
    assert (door.calls, door.sent) == (1, [])


def test_not_in_the_group(door: Door) -> None:
    """403 with the gate's code and words, where the package looks for them; one call."""
    with chats(door.url, door.outsider()) as client, pytest.raises(HttpResponseError) as refused:
        client.complete(model=ASSISTANT, messages=STORY, **FEW)
    assert refused.value.status_code == 403
    assert refused.value.error is not None
    assert refused.value.error.code == "forbidden"
    assert refused.value.error.message
    assert (door.calls, door.sent) == (1, [])


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"model": OTHERS}, 403, "forbidden"),
        ({"model": None}, 400, "invalid-request"),
        ({"model": ASSISTANT, "model_extras": {"data_sources": []}}, 400, "invalid-request"),
        ({"model": "locked"}, 502, "upstream-auth-failed"),
    ],
    ids=["a model of others", "no model", "data_sources", "the service refuses the gate"],
)
def test_refusals(
    client: ChatCompletionsClient, door: Door, more: dict[str, Any], status: int, code: str
) -> None:
    """The gate's status and code, after one call."""
    with pytest.raises(HttpResponseError) as refused:
        client.complete(messages=STORY, **more, **FEW)
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (status, code)
    assert door.calls == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda url, credential: ChatCompletionsClient(endpoint=url, credential=credential).get_model_info(
            **HTTP
        ),
        lambda url, credential: ImageEmbeddingsClient(endpoint=url, credential=credential).embed(
            model=ASSISTANT, input=[ImageEmbeddingInput(image="data:image/png;base64,AAAA")], **HTTP
        ),
    ],
    ids=["/info", "/images/embeddings"],
)
def test_what_is_not_there(door: Door, ask: Callable[[str, Credential], Any]) -> None:
    """What the package can ask of other services, and this gate does not serve, is 404."""
    with pytest.raises(ResourceNotFoundError) as refused:
        ask(f"{door.url}/models", Credential(door.caller()))
    assert refused.value.error is not None
    assert refused.value.error.code == "not-found"
    assert (door.calls, door.sent) == (1, [])


def test_a_limit_is_reached(client: ChatCompletionsClient, door: Door) -> None:
    """429 after the hour's one call; the package would wait the hour, so its program says how long it may."""
    client.complete(model="hourly", messages=STORY, **FEW)
    with pytest.raises(HttpResponseError) as refused:
        client.complete(model="hourly", messages=STORY, retry_total=0, **FEW)
    assert refused.value.status_code == 429
    assert (door.calls, len(door.sent)) == (2, 1)


def test_the_service_is_busy(client: ChatCompletionsClient, door: Door) -> None:
    """Its 429 comes through with the wait that it asks for, which the package keeps before its second call."""
    door.resource.faults.set(status=429, body="{}", headers={"Retry-After": "1"}, times=1)
    started = time.monotonic()
    assert client.complete(model=ASSISTANT, messages=STORY, **FEW).choices
    assert time.monotonic() - started >= 1
    assert (door.calls, len(door.sent)) == (2, 2)
