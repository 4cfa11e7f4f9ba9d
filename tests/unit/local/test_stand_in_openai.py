"""The resource of models, before the real llama.cpp server, called with the real `openai` client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai.types.audio.speech_create_params import SpeechCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsStreaming as CompletionParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from local.children import free_port
from local.entra import Entra
from local.llama import language_model
from local.llama.bodies import FIELDS, RefusedError, read
from local.openai import AUDIENCE, OLDER_AUDIENCE, OpenAI
from tests.unit.local.conftest import bearer

VERSION = "2024-10-21"
WHY: list[Any] = [{"role": "user", "content": "Why?"}]
CHAT = f"/openai/deployments/gpt-41-mini/chat/completions?api-version={VERSION}"
RESET = (aiohttp.ClientPayloadError, aiohttp.ClientOSError)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The base URL of a language model's server, one for all tests of this file."""
    async with language_model(tmp_path_factory.mktemp("model"), free_port()) as running:
        await running.ready(within=20)
        yield running.url


@pytest.fixture
async def resource(entra: Entra, server: str) -> AsyncIterator[OpenAI]:
    gate = entra.directory.apps["gate"].oid
    async with OpenAI(entra, {"gpt-41-mini": server}, may_infer={gate}) as running:
        yield running


def gate_token(resource: OpenAI, **how: Any) -> str:
    return resource.entra.token("gate", **({"audience": resource.audience, "version": "1.0"} | how))


@pytest.fixture
async def azure(resource: OpenAI) -> AsyncIterator[openai.AsyncAzureOpenAI]:
    """The client of the URLs with deployments."""
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=resource.url,
        azure_ad_token=gate_token(resource),
        api_version=VERSION,
        max_retries=0,
        _enforce_credentials=False,
    ) as client:
        yield client


@pytest.fixture
async def v1(resource: OpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client of the URLs whose body names the model."""
    async with openai.AsyncOpenAI(
        base_url=f"{resource.url}/openai/v1", api_key=gate_token(resource), max_retries=0
    ) as client:
        yield client


async def post(
    http: aiohttp.ClientSession, resource: OpenAI, path: str = CHAT, **how: Any
) -> tuple[int, dict[str, Any]]:
    headers = how.pop("headers", bearer(gate_token(resource)))
    body = how or {"json": {"messages": WHY, "max_tokens": 3}}
    async with http.post(resource.url + path, headers=headers, **body) as answer:
        return answer.status, (await answer.json())["error"] if answer.status != 200 else {}


@pytest.mark.parametrize(
    "how",
    [{"audience": AUDIENCE}, {"audience": "https://management.azure.com"}, {"age": 7200}, {"iss": "x"}],
    ids=["of the other kind of resource", "of another service", "expired", "of another issuer"],
)
async def test_a_token_for_elsewhere_is_401(
    resource: OpenAI, http: aiohttp.ClientSession, how: dict[str, Any]
) -> None:
    """Signature, time, issuer and audience are checked before anything else, on any path."""
    for path in (CHAT, "/openai/v1/responses", "/openai/v1/nonsense"):
        status, error = await post(http, resource, path, headers=bearer(gate_token(resource, **how)))
        assert (status, error["code"]) == (401, "Unauthorized")
    assert not resource.answers


async def test_no_token_is_401_and_a_key_403(resource: OpenAI, http: aiohttp.ClientSession) -> None:
    """Keys are switched off at this resource."""
    status, _ = await post(http, resource, headers={})
    assert status == 401
    status, error = await post(http, resource, headers={"api-key": "x"})
    assert (status, error["code"]) == (403, "AuthenticationTypeDisabled")


async def test_each_resource_takes_one_audience(entra: Entra, http: aiohttp.ClientSession) -> None:
    """A Foundry resource refuses the token of an older one, and takes its own as far as the deployment's name."""
    gate = entra.directory.apps["gate"].oid
    async with OpenAI(entra, {}, may_infer={gate}, audience=AUDIENCE) as foundry:
        older = entra.token("gate", audience=OLDER_AUDIENCE, version="1.0")
        assert (await post(http, foundry, headers=bearer(older)))[0] == 401
        assert (await post(http, foundry))[0] == 404


async def test_a_caller_without_the_azure_role_is_401(resource: OpenAI, http: aiohttp.ClientSession) -> None:
    """Who it is is known, and the role is missing; the service says 401 to that."""
    token = resource.entra.token("alice", audience=resource.audience, version="1.0")
    status, error = await post(http, resource, headers=bearer(token))
    assert (status, error["code"]) == (401, "PermissionDenied")
    async with http.get(f"{resource.url}/openai/v1/responses/resp_1", headers=bearer(token)) as answer:
        assert answer.status == 401


async def test_an_unknown_deployment_is_404(
    azure: openai.AsyncAzureOpenAI, v1: openai.AsyncOpenAI, resource: OpenAI
) -> None:
    """In the path and in the body."""
    for client in (azure, v1):
        with pytest.raises(openai.NotFoundError) as raised:
            await client.chat.completions.create(model="gpt-5", messages=WHY)
        assert raised.value.code == "DeploymentNotFound"
    assert not resource.answers


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/gpt-41-mini/chat/completions",
        f"/openai/deployments/gpt-41-mini/responses?api-version={VERSION}",
        f"/openai/deployments/gpt-41-mini/rerank?api-version={VERSION}",
        "/openai/v1/files",
    ],
    ids=["no api-version", "responses are of v1 alone", "unknown operation", "not stood in for"],
)
async def test_what_is_not_there_is_404(resource: OpenAI, http: aiohttp.ClientSession, path: str) -> None:
    """Paths that the resource does not have."""
    assert (await post(http, resource, path))[0] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"messages": [', None),
        ("[]", None),
        ("", None),
        ('{"messages": [], "nonsense": 1}', "nonsense"),
        ('{"messages": [], "Model": "x"}', "Model"),
    ],
)
async def test_a_body_that_is_wrong_is_400(
    resource: OpenAI, http: aiohttp.ClientSession, body: str, param: str | None
) -> None:
    """Malformed JSON, no object, an unknown field: the language model is not asked."""
    status, error = await post(http, resource, data=body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert not resource.answers


async def test_v1_needs_the_model_in_the_body(resource: OpenAI, http: aiohttp.ClientSession) -> None:
    """A body that names no deployment is 400."""
    status, error = await post(http, resource, "/openai/v1/chat/completions")
    assert (status, error["param"]) == (400, "model")


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("chat/completions", ChatParams),
        ("completions", CompletionParams),
        ("embeddings", EmbeddingCreateParams),
        ("responses", ResponseCreateParamsStreaming),
        ("audio/speech", SpeechCreateParams),
    ],
)
def test_known_fields_are_the_clients(operation: str, params: type) -> None:
    """Every field of the table is one that the public client sends, but for Azure's own."""
    assert set(FIELDS[operation].split()) - set(get_type_hints(params)) <= {"data_sources"}


async def test_chat_in_both_shapes(
    azure: openai.AsyncAzureOpenAI, v1: openai.AsyncOpenAI, resource: OpenAI
) -> None:
    """The model's own answer; what came is remembered byte for byte."""
    for client in (azure, v1):
        answer = await client.chat.completions.create(model="gpt-41-mini", messages=WHY, max_tokens=5)
        assert answer.choices[0].message.content
        assert answer.usage
        assert answer.usage.completion_tokens == 5
        assert json.loads(resource.requests[-1].body)["messages"] == WHY
        assert json.loads(resource.answers[-1])["id"] == answer.id
    assert [seen.target for seen in resource.requests] == [CHAT, "/openai/v1/chat/completions"]


async def test_a_stream_is_passed_on_as_it_comes(resource: OpenAI, http: aiohttp.ClientSession) -> None:
    """The same bytes, event by event: the first is there long before the last."""
    resource.faults.set(pace=0.05)
    body = {"messages": WHY, "max_tokens": 5, "stream": True}
    clock = asyncio.get_running_loop().time
    async with http.post(resource.url + CHAT, json=body, headers=bearer(gate_token(resource))) as answer:
        assert answer.content_type == "text/event-stream"
        first = await answer.content.readuntil(b"\n\n")
        began = clock()
        rest = await answer.read()
    assert clock() - began > 0.2
    assert rest.endswith(b"data: [DONE]\n\n")
    assert first + rest == resource.answers[-1]


@pytest.mark.parametrize("obeyed", [True, False])
async def test_usage_of_a_stream(azure: openai.AsyncAzureOpenAI, resource: OpenAI, obeyed: bool) -> None:
    """Where it is asked for; an older API version passes over the wish."""
    resource.usage_in_streams = obeyed
    stream = await azure.chat.completions.create(
        model="gpt-41-mini",
        messages=WHY,
        max_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    counted = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert counted == ([5] if obeyed else [])


async def test_completions_and_embeddings(azure: openai.AsyncAzureOpenAI, v1: openai.AsyncOpenAI) -> None:
    """From the same server; vectors also in base64, which the client asks for by itself."""
    for client in (azure, v1):
        completion = await client.completions.create(model="gpt-41-mini", prompt="Once", max_tokens=4)
        assert completion.choices[0].text
        vectors = await client.embeddings.create(model="gpt-41-mini", input=["one", "two"])
        assert [len(vector.embedding) for vector in vectors.data] == [64, 64]
        assert vectors.usage.prompt_tokens == 6


async def test_a_response_is_kept_followed_and_deleted(v1: openai.AsyncOpenAI, resource: OpenAI) -> None:
    """`previous_response_id` brings along what was said; a response that is not kept cannot be followed."""
    first = await v1.responses.create(model="gpt-41-mini", input="Why?", max_output_tokens=5)
    assert first.output_text
    assert (await v1.responses.retrieve(first.id)).output_text == first.output_text
    second = await v1.responses.create(
        model="gpt-41-mini", input="And?", max_output_tokens=5, previous_response_id=first.id
    )
    assert first.usage
    assert second.usage
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert second.previous_response_id == first.id
    await v1.responses.delete(first.id)
    for attempt in (v1.responses.retrieve, v1.responses.delete, v1.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await attempt(first.id)
    with pytest.raises(openai.BadRequestError) as raised:
        await v1.responses.create(model="gpt-41-mini", input="And?", previous_response_id=first.id)
    assert raised.value.code == "previous_response_not_found"


async def test_a_response_that_is_not_to_be_stored_is_not(v1: openai.AsyncOpenAI) -> None:
    """`store` false; and only one in the background can be cancelled."""
    gone = await v1.responses.create(model="gpt-41-mini", input="x", store=False, max_output_tokens=2)
    with pytest.raises(openai.NotFoundError):
        await v1.responses.retrieve(gone.id)
    kept = await v1.responses.create(model="gpt-41-mini", input="x", max_output_tokens=2)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        await v1.responses.cancel(kept.id)
    late = await v1.responses.create(model="gpt-41-mini", input="x", background=True, max_output_tokens=2)
    assert (await v1.responses.cancel(late.id)).id == late.id


async def test_a_streamed_response(v1: openai.AsyncOpenAI, resource: OpenAI) -> None:
    """From `response.created` to `response.completed` with `usage`, as the client's own accumulator wants it."""
    async with v1.responses.stream(model="gpt-41-mini", input="Why?", max_output_tokens=4) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text
    assert final.usage
    assert final.usage.output_tokens == 4
    assert (await v1.responses.retrieve(final.id)).output_text == final.output_text


async def test_pictures_and_sound_without_a_model(
    azure: openai.AsyncAzureOpenAI, v1: openai.AsyncOpenAI
) -> None:
    """A pixel, silence, and the length of the file, whatever its bytes are."""
    for client in (azure, v1):
        image = await client.images.generate(model="gpt-41-mini", prompt="x")
        assert image.data
        assert str(image.data[0].b64_json).startswith("iVBOR")
        speech = await client.audio.speech.create(model="gpt-41-mini", input="x", voice="alloy")
        assert speech.content.startswith(b"RIFF")
        file = bytes(range(256)) + b"\r\n--\r\r\n"
        text = await client.audio.transcriptions.create(model="gpt-41-mini", file=("a.wav", file))
        assert text.text == f"A file of {len(file)} bytes."


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "", "\r\nX: y"])
def test_a_form_that_is_none_is_400(kind: str) -> None:
    """A transcription without a form."""
    with pytest.raises(RefusedError):
        read("audio/transcriptions", kind, b"{}")


async def test_a_status_reaches_the_client_as_its_exception(
    azure: openai.AsyncAzureOpenAI, resource: OpenAI
) -> None:
    """As on every stand-in: status, body and headers at will."""
    resource.faults.set(status=429, body='{"error": {"code": "429"}}', headers={"Retry-After": "7"})
    with pytest.raises(openai.RateLimitError) as raised:
        await azure.chat.completions.create(model="gpt-41-mini", messages=WHY)
    assert raised.value.response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat/completions", {"messages": WHY, "max_tokens": 9, "stream": True}),
        ("responses", {"input": "Why?", "max_output_tokens": 9, "stream": True}),
    ],
)
@pytest.mark.parametrize("after", [0, 3])
async def test_a_stream_cut_within_an_event(
    resource: OpenAI, http: aiohttp.ClientSession, operation: str, body: dict[str, Any], after: int
) -> None:
    """So many whole events, half of the next, then a reset, and no [DONE]."""
    resource.faults.set(cut_after=after)
    url, token = f"{resource.url}/openai/v1/{operation}", bearer(gate_token(resource))
    got = b""
    async with http.post(url, json=body | {"model": "gpt-41-mini"}, headers=token) as answer:
        assert answer.status == 200
        with pytest.raises(RESET):
            while True:
                got += await answer.content.readany()
    *whole, half = got.split(b"\n\n")
    assert len(whole) == after
    assert half
    assert b"[DONE]" not in got


@pytest.mark.parametrize("stream", [True, False])
async def test_cut_takes_half_of_any_answer(
    resource: OpenAI, http: aiohttp.ClientSession, stream: bool
) -> None:
    """The switch that every stand-in has; a streamed answer is then sent as a whole."""
    resource.faults.set(cut=True)
    body = {"messages": WHY, "max_tokens": 5, "stream": stream}
    async with http.post(resource.url + CHAT, json=body, headers=bearer(gate_token(resource))) as answer:
        assert answer.status == 200
        with pytest.raises(RESET):
            await answer.read()


async def test_silence_between_events_until_the_caller_goes(
    resource: OpenAI, http: aiohttp.ClientSession
) -> None:
    """Nothing after so many events; the caller's going away is counted."""
    resource.faults.set(silent_after=2)
    body = {"messages": WHY, "max_tokens": 5, "stream": True}
    async with http.post(resource.url + CHAT, json=body, headers=bearer(gate_token(resource))) as answer:
        for _ in range(2):
            await answer.content.readuntil(b"\n\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answer.content.readany()
        assert resource.abandoned == 0
    for _ in range(100):
        if resource.abandoned:
            break
        await asyncio.sleep(0.01)
    assert resource.abandoned == 1


async def test_a_language_model_that_is_gone_is_500(entra: Entra, http: aiohttp.ClientSession) -> None:
    """The resource answers although nothing stands behind it."""
    gate = entra.directory.apps["gate"].oid
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with OpenAI(entra, {"gpt-41-mini": nowhere}, may_infer={gate}) as resource:
        status, error = await post(http, resource)
        assert (status, error["code"]) == (500, "InternalServerError")


@pytest.mark.parametrize("wrong", [{"cut_after": 1, "silent_after": 1}, {"cut_after": -1}, {"pace": "x"}])
async def test_a_switch_that_does_not_exist_is_an_error(
    resource: OpenAI, http: aiohttp.ClientSession, wrong: dict[str, object]
) -> None:
    """Faults of streams are settable over HTTP too, and misspelt ones say so."""
    async with http.put(f"{resource.url}/_faults", json=wrong) as answer:
        assert answer.status == 400
    async with http.put(f"{resource.url}/_faults", json={"cut_after": 1, "times": 2}) as answer:
        assert answer.status == 204
    async with http.get(f"{resource.url}/_faults") as answer:
        shown = await answer.json()
        assert (shown["cut_after"], shown["left"]) == (1, 2)
