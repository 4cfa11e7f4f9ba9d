"""The `langchain-openai` package, unchanged: its base URL and a token are all that it is told.

It is imported by the tests themselves: it takes seconds, which every worker would spend on collecting alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.functional.clients.around import ASSISTANT, Around, Door
from tests.functional.clients.makers import VERSION
from tests.functional.differences import Mode

if TYPE_CHECKING:
    from langchain_openai import AzureChatOpenAI, ChatOpenAI

Make = Callable[..., "ChatOpenAI | AzureChatOpenAI"]
STORY = [("system", "You are brief."), ("human", "Tell me a story.")]
FEW: dict[str, Any] = {"max_tokens": 8, "seed": 7}


def chat_openai(url: str, token: str, **how: Any) -> ChatOpenAI:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - see above

    return ChatOpenAI(base_url=f"{url}/openai/v1", api_key=token, **({"model": ASSISTANT} | how))


def azure_chat_openai(url: str, token: str, **how: Any) -> AzureChatOpenAI:
    from langchain_openai import AzureChatOpenAI  # noqa: PLC0415 - see above

    return AzureChatOpenAI(
        azure_endpoint=url,
        azure_ad_token_provider=lambda: token,
        api_version=VERSION,
        **({"azure_deployment": how.pop("model", ASSISTANT)} | how),
    )


@pytest.fixture(
    scope="module", params=[chat_openai, azure_chat_openai], ids=["ChatOpenAI", "AzureChatOpenAI"]
)
def make(request: pytest.FixtureRequest) -> Make:
    """Both clients."""
    made: Make = request.param
    return made


@pytest.fixture(scope="module")
def client(around: Around, mode: Mode, make: Make) -> ChatOpenAI | AzureChatOpenAI:
    """One for an ML engineer, with short answers."""
    return make(around.fronts[mode].url, around.caller("ml-engineers"), **FEW)


def test_invoke_and_stream(client: ChatOpenAI | AzureChatOpenAI) -> None:
    """The pieces of a stream are those of the whole answer, and both tell their usage."""
    whole = client.invoke(STORY)
    pieces = list(client.stream(STORY))
    assert whole.text
    assert "".join(piece.text for piece in pieces) == whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == FEW["max_tokens"]
    assert client.invoke([*STORY, whole, ("human", "Go on.")]).text


async def test_ainvoke_and_astream(client: ChatOpenAI | AzureChatOpenAI) -> None:
    """The same for programs that await."""
    whole = await client.ainvoke(STORY)
    assert "".join([piece.text async for piece in client.astream(STORY)]) == whole.text


def test_responses(door: Door, make: Make) -> None:
    """The same over responses, one after the other by the id of the one before."""
    client = make(
        door.url,
        door.caller(),
        use_responses_api=True,
        max_tokens=8,
        use_previous_response_id=True,
    )
    first = client.invoke(STORY)
    assert first.text
    more = [*STORY, first, ("human", "Go on.")]
    assert client.invoke(more).text
    assert "".join(piece.text for piece in client.stream(more))
    followed = [json.loads(seen.body).get("previous_response_id") for seen in door.sent]
    assert followed == [None, first.response_metadata["id"], first.response_metadata["id"]]


def test_tools_and_structured_answers_are_asked_for(client: ChatOpenAI | AzureChatOpenAI, door: Door) -> None:
    """What these put into a request is let in: the caller runs its own functions."""

    def gates(town: str) -> int:
        """Count the gates of a town."""
        return len(town)

    client.bind_tools([gates]).invoke(STORY)
    schema = {"title": "Story", "type": "object", "properties": {"title": {"type": "string"}}}
    client.with_structured_output(schema, method="function_calling", include_raw=True).invoke(STORY)
    asked = [json.loads(seen.body) for seen in door.sent]
    assert [one["tools"][0]["function"]["name"] for one in asked] == ["gates", "Story"]
    assert asked[1]["tool_choice"]["function"]["name"] == "Story"


def test_embeddings(door: Door) -> None:
    """A vector for each text; what a text costs is not counted here, which would need the tokenizer's files."""
    from langchain_openai import AzureOpenAIEmbeddings, OpenAIEmbeddings  # noqa: PLC0415 - see above

    token = door.caller()
    here = OpenAIEmbeddings(
        base_url=f"{door.url}/openai/v1", api_key=token, model=ASSISTANT, check_embedding_ctx_length=False
    )
    at_azure = AzureOpenAIEmbeddings(
        azure_endpoint=door.url,
        azure_ad_token_provider=lambda: token,
        api_version=VERSION,
        azure_deployment=ASSISTANT,
        model=ASSISTANT,
        check_embedding_ctx_length=False,
    )
    assert here.embed_documents(["two", "texts"]) == at_azure.embed_documents(["two", "texts"])
    assert here.embed_query("two")


def test_a_second_name_is_refused(door: Door) -> None:
    """Who names a deployment and leaves the package's own default for the model names two: 400 (threat T06)."""
    from langchain_openai import AzureOpenAIEmbeddings  # noqa: PLC0415 - see above

    token = door.caller()
    client = AzureOpenAIEmbeddings(
        azure_endpoint=door.url,
        azure_ad_token_provider=lambda: token,
        api_version=VERSION,
        azure_deployment=ASSISTANT,
        check_embedding_ctx_length=False,
    )
    with pytest.raises(openai.BadRequestError, match="two models"):
        client.embed_query("two")
    assert not door.sent


def test_not_in_the_group(door: Door, make: Make) -> None:
    """The exceptions are those of the `openai` package; 403 after one call."""
    with pytest.raises(openai.PermissionDeniedError) as refused:
        make(door.url, door.outsider()).invoke(STORY)
    assert refused.value.code == "forbidden"
    assert (door.calls, door.sent) == (1, [])


def test_a_limit_that_lasts(door: Door, make: Make) -> None:
    """429 after the hour's one call, and the package does not try again."""
    client = make(door.url, door.caller(), model="hourly", **FEW)
    client.invoke(STORY)
    with pytest.raises(openai.RateLimitError) as refused:
        client.invoke(STORY)
    assert refused.value.code == "rate-limited"
    assert (door.calls, len(door.sent)) == (2, 1)
