"""The `openai` package for Python, unchanged: its base URL and a token are all that it is told (protocols, 6.1)."""

import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.functional.clients.around import ASSISTANT, DEPLOYMENT, MODELS, Around, Door
from tests.functional.clients.makers import FEW, STORY, VERSION, azure, azure_deployment, openai_v1
from tests.functional.differences import FIRST_PIECE, Mode

SOUND = ("question.wav", b"RIFF, as far as anybody looks")


MAKERS = {"OpenAI": openai_v1, "AzureOpenAI": azure, "AzureOpenAI for a deployment": azure_deployment}
OF_NO_DEPLOYMENT = list(MAKERS)[:2]
"""The clients that serve what no deployment's address does."""
no_deployment = pytest.mark.parametrize("client", OF_NO_DEPLOYMENT, indirect=True)
every_shape = pytest.mark.parametrize("client", MAKERS, indirect=True)


@pytest.fixture(scope="module")
def client(around: Around, mode: Mode, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    """The client that the test names, for an ML engineer; one for many tests, as programs keep theirs."""
    with MAKERS[request.param](around.fronts[mode].url, around.caller("ml-engineers")) as client:
        yield client


@pytest.fixture(params=OF_NO_DEPLOYMENT)
async def waiting(door: Door, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    """The same for programs that await."""
    token = door.caller()

    async def provider() -> str:
        return token

    made = (
        openai.AsyncOpenAI(base_url=f"{door.url}/openai/v1", api_key=token)
        if request.param == "OpenAI"
        else openai.AsyncAzureOpenAI(
            azure_endpoint=door.url, azure_ad_token_provider=provider, api_version=VERSION
        )
    )
    async with made as client:
        yield client


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@every_shape
def test_a_chat_is_the_same_whole_and_in_a_stream(client: openai.OpenAI) -> None:
    """The pieces of a stream are those of the whole answer, and it ends for the same reason."""
    whole = client.chat.completions.create(model=ASSISTANT, messages=STORY, **FEW)
    pieces = list(client.chat.completions.create(model=ASSISTANT, messages=STORY, stream=True, **FEW))
    assert whole.choices[0].message.content == text_of(pieces)
    assert len(pieces) > FEW["max_tokens"]
    assert whole.choices[0].finish_reason == pieces[-1].choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == FEW["max_tokens"]


@every_shape
@pytest.mark.parametrize("model", [ASSISTANT, "metered"])
def test_usage_comes_in_a_stream_to_who_asks_for_it(client: openai.OpenAI, model: str, door: Door) -> None:
    """One more chunk tells it; nobody else sees one, also where the gate asks because the rule limits tokens."""
    named = ASSISTANT if "/deployments/" in str(client.base_url) else model
    asked: dict[str, Any] = {"model": named, "messages": STORY, "stream": True, **FEW}
    told = list(client.chat.completions.create(stream_options={"include_usage": True}, **asked))
    assert told[-1].choices == []
    assert told[-1].usage is not None
    assert told[-1].usage.completion_tokens == FEW["max_tokens"]
    untold = list(client.chat.completions.create(**asked))
    assert len(untold) == len(told) - 1
    assert [chunk.usage for chunk in untold] == [None] * len(untold)
    assert (b'"include_usage":true' in door.sent[1].body) is (named == "metered")


@pytest.mark.parametrize("client", ["OpenAI"], indirect=True)
def test_a_stream_comes_as_it_is_made(client: openai.OpenAI, door: Door) -> None:
    """Each piece arrives when the model has made it; hosted classic, all arrive when the last is made."""
    door.resource.faults.set(pace=0.1)
    stream = client.chat.completions.create(model=ASSISTANT, messages=STORY, stream=True, **FEW)
    arrived = [time.monotonic() for _ in stream]
    pauses = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    assert (sum(pauses) > 0.5) is FIRST_PIECE.of(door.mode)


@every_shape
def test_a_completion_is_the_same_whole_and_in_a_stream(client: openai.OpenAI) -> None:
    """The older operation, by which a text goes on."""
    whole = client.completions.create(model=ASSISTANT, prompt="Once upon", **FEW)
    pieces = client.completions.create(model=ASSISTANT, prompt="Once upon", stream=True, **FEW)
    assert whole.choices[0].text
    assert whole.choices[0].text == "".join(piece.choices[0].text for piece in pieces if piece.choices)


@every_shape
@pytest.mark.parametrize("given", ["a text", ["two", "texts"], [[1, 2, 3]]], ids=["text", "texts", "tokens"])
@pytest.mark.parametrize("how", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_embeddings(client: openai.OpenAI, given: Any, how: dict[str, Any]) -> None:
    """A vector for each text or list of tokens, in the form that the package asks for by itself or is told to."""
    told = client.embeddings.create(model=ASSISTANT, input=given, **how)
    assert len(told.data) == (1 if isinstance(given, str) else len(given))
    assert all(isinstance(number, float) for vector in told.data for number in vector.embedding)
    assert told.usage.prompt_tokens > 0


@no_deployment
def test_a_response_is_kept_continued_and_deleted(client: openai.OpenAI) -> None:
    """It is the caller's own: found by its id, followed by another, and gone once it is deleted."""
    first = client.responses.create(model=ASSISTANT, input="Tell me a story.", max_output_tokens=8)
    assert first.output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(
        model=ASSISTANT, input="Go on.", max_output_tokens=8, previous_response_id=first.id
    )
    assert second.previous_response_id == first.id
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.total_tokens
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as gone:
        client.responses.retrieve(first.id)
    assert gone.value.code == "not-found"


@no_deployment
def test_a_response_in_a_stream(client: openai.OpenAI) -> None:
    """Its events come in order; what they tell is kept, and the caller's own, like any other response."""
    events = list(
        client.responses.create(model=ASSISTANT, input="A story.", max_output_tokens=8, stream=True)
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said
    kept = client.responses.retrieve(events[-1].response.id)
    assert kept.output_text == said


@no_deployment
def test_an_answer_goes_into_the_next_question(client: openai.OpenAI) -> None:
    """As programs hold conversations: what came is sent back, as the package writes it, with a function's result."""
    said = client.chat.completions.create(model=ASSISTANT, messages=STORY, **FEW).choices[0].message
    call = {"id": "call_1", "type": "function", "function": {"name": "gates", "arguments": "{}"}}
    more: list[Any] = [
        said,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ]
    told = client.chat.completions.create(model=ASSISTANT, messages=[*STORY, *more], **FEW)
    assert told.choices[0].message.content
    output = client.responses.create(model=ASSISTANT, input="A story.", max_output_tokens=8).output
    items: list[Any] = [
        {"role": "user", "content": "A story."},
        *output,
        {"type": "function_call", "call_id": "call_1", "name": "gates", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "3"},
    ]
    with client.responses.stream(model=ASSISTANT, input=items, max_output_tokens=8) as stream:
        assert stream.get_final_response().output_text


@no_deployment
def test_functions_of_the_caller(client: openai.OpenAI, door: Door) -> None:
    """The model may ask for one, which the caller runs itself: nothing for the policy to name."""
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    function: dict[str, Any] = {"name": "gates", "description": "Count the gates.", "parameters": parameters}
    tools: list[Any] = [{"type": "function", "function": {**function, "strict": True}}]
    client.chat.completions.create(
        model=ASSISTANT, messages=STORY, tools=tools, tool_choice="required", **FEW
    )
    flat: list[Any] = [{"type": "function", **function, "strict": True}]
    client.responses.create(model=ASSISTANT, input="A story.", tools=flat, max_output_tokens=8)
    assert [json.loads(seen.body)["tools"] for seen in door.sent] == [tools, flat]


@no_deployment
def test_a_response_in_the_background_is_cancelled(client: openai.OpenAI) -> None:
    """Where the policy names `background`; elsewhere it is refused (threat T09)."""
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.create(model=ASSISTANT, input="A story.", background=True)
    begun = client.responses.create(model="planner", input="A story.", background=True, max_output_tokens=8)
    assert client.responses.cancel(begun.id).id == begun.id


@no_deployment
def test_models_are_those_that_the_caller_may_use(client: openai.OpenAI, door: Door) -> None:
    """By the names that the policy gives them; who may use none sees none."""
    assert [model.id for model in client.models.list()] == list(MODELS)
    assert not openai_v1(door.url, door.outsider()).models.list().data
    assert not door.sent


@every_shape
def test_images_speech_and_transcriptions(client: openai.OpenAI) -> None:
    """An image comes as JSON, speech as the sound itself, and a recording goes as a form."""
    images = client.images.generate(model=ASSISTANT, prompt="A gate.", size="1024x1024")
    assert images.data is not None
    assert images.data[0].b64_json
    speech = client.audio.speech.create(model=ASSISTANT, input="Hello.", voice="alloy", response_format="wav")
    assert speech.read().startswith(b"RIFF")
    heard = client.audio.transcriptions.create(model=ASSISTANT, file=SOUND, language="en")
    assert heard.text == f"A file of {len(SOUND[1])} bytes."


@every_shape
def test_speech_as_it_comes(client: openai.OpenAI) -> None:
    """The package's way to write a sound to a file piece by piece."""
    speech = client.audio.speech.with_streaming_response
    with speech.create(model=ASSISTANT, input="Hello.", voice="alloy") as answer:
        assert b"".join(answer.iter_bytes()).startswith(b"RIFF")


async def test_programs_that_await(waiting: openai.AsyncOpenAI) -> None:
    """The same clients for asyncio: chats, streams, responses, embeddings, forms, models."""
    whole = await waiting.chat.completions.create(model=ASSISTANT, messages=STORY, **FEW)
    stream = await waiting.chat.completions.create(model=ASSISTANT, messages=STORY, stream=True, **FEW)
    assert text_of([chunk async for chunk in stream]) == whole.choices[0].message.content
    assert (await waiting.embeddings.create(model=ASSISTANT, input="a text")).data[0].embedding
    response = await waiting.responses.create(model=ASSISTANT, input="A story.", max_output_tokens=8)
    assert (await waiting.responses.retrieve(response.id)).output_text == response.output_text
    events = await waiting.responses.create(
        model=ASSISTANT,
        input="Go on.",
        previous_response_id=response.id,
        stream=True,
        max_output_tokens=8,
    )
    assert [event.type async for event in events][-1] == "response.completed"
    await waiting.responses.delete(response.id)
    assert (await waiting.audio.transcriptions.create(model=ASSISTANT, file=SOUND)).text
    assert [model.id async for model in waiting.models.list()] == list(MODELS)


@every_shape
def test_what_the_package_sends_is_what_arrives(client: openai.OpenAI, door: Door) -> None:
    """Byte for byte where the names are alike; where they are not, all but the model's name (threat T07)."""
    posted: list[bytes] = []

    def note(request: httpx2.Request) -> None:
        posted.append(request.read())

    watched = client.with_options(http_client=httpx2.Client(event_hooks={"request": [note]}))
    one = "/deployments/" in str(client.base_url)
    for model in (ASSISTANT,) if one else (DEPLOYMENT, ASSISTANT):
        watched.chat.completions.create(
            model=model,
            messages=[
                *STORY,
                {"role": "user", "content": "Schönes \u2028 \U0001f600 <script> \\u0041 1.0e3"},
            ],
            temperature=0.1,
            top_p=1.0,
            stop=["\n\n"],
            response_format={"type": "text"},
            user="somebody",
            **FEW,
        )
        watched.embeddings.create(model=model, input=["schön", "\U0001f600"])
        watched.audio.transcriptions.create(model=model, file=("schön.wav", bytes(range(256))), temperature=0)
    # The package writes no blanks, and a form's text stands on a line of its own.
    names = {
        f'"model":"{ASSISTANT}"': f'"model":"{DEPLOYMENT}"',
        f"\r\n{ASSISTANT}\r\n": f"\r\n{DEPLOYMENT}\r\n",
    }
    expected = posted
    for name, other in names.items():
        expected = [body.replace(name.encode(), other.encode()) for body in expected]
    assert [seen.body for seen in door.sent] == expected
    assert (posted[:3] == expected[:3]) is not one
