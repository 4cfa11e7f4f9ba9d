"""What is refused or fails, as the `openai` package for Python tells it, and how often it tries: by default twice again."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.functional.clients.around import ASSISTANT, OTHERS, Around, Door
from tests.functional.clients.makers import FEW, STORY, VERSION, azure, openai_v1
from tests.functional.differences import Difference, Mode

THEIR_OWN = '{"error": {"code": "content_filter", "message": "The service\'s own words."}}'
JSON = {"Content-Type": "application/json"}


CUT = Difference(
    classic=(openai.InternalServerError, 0),
    stream=(openai.APIError, 3),
    why="A streamed answer's status has gone out before the model is cut off: what is left is a last event that tells "
    "of it. A classic answer is whole before its status is sent.",
)
"""The exception, and how many events came before it."""
Make = Callable[[str, str], openai.OpenAI]


@pytest.fixture(scope="module", params=[openai_v1, azure], ids=["OpenAI", "AzureOpenAI"])
def make(request: pytest.FixtureRequest) -> Make:
    """Both clients, as they are by default."""
    made: Make = request.param
    return made


@pytest.fixture(scope="module")
def client(around: Around, mode: Mode, make: Make) -> Iterator[openai.OpenAI]:
    """One for an ML engineer."""
    with make(around.fronts[mode].url, around.caller("ml-engineers")) as client:
        yield client


def chat(client: openai.OpenAI, model: str = ASSISTANT, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=STORY, **FEW, **more)


def test_not_signed_in(door: Door, make: Make) -> None:
    """The platform's own 401 is no JSON: the right exception, no code, and one call."""
    with make(door.url, "not-a-token") as client, pytest.raises(openai.AuthenticationError) as refused:
        chat(client)
    assert refused.value.code is None
    assert (door.calls, door.sent) == (1, [])


@pytest.mark.parametrize("base", ["azure_endpoint", "base_url"])
def test_an_api_key_opens_nothing(door: Door, base: str) -> None:
    """A key instead of a token is 401, and goes nowhere (threat T06)."""
    where = {"azure_endpoint": door.url, "base_url": f"{door.url}/openai/deployments/{ASSISTANT}"}[base]
    client = openai.AzureOpenAI(**{base: where}, api_key="0123456789abcdef", api_version=VERSION)
    with client, pytest.raises(openai.AuthenticationError):
        chat(client)
    assert (door.calls, door.sent) == (1, [])


def test_nobody_is_named(door: Door, client: openai.OpenAI) -> None:
    """The gate's 401, where the platform lets a request through and does not say whose it is."""
    door.front.switches.inject = False
    with pytest.raises(openai.AuthenticationError) as refused:
        chat(client)
    assert refused.value.code == "authentication-required"
    assert "sign" in refused.value.message.lower()
    assert (door.calls, door.sent) == (1, [])


def test_not_in_the_group(door: Door, make: Make) -> None:
    """403 in the gate's words, at the first call and not again."""
    with make(door.url, door.outsider()) as client, pytest.raises(openai.PermissionDeniedError) as refused:
        chat(client)
    assert refused.value.code == "forbidden"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["message"] in refused.value.message
    assert (door.calls, door.sent) == (1, [])


def test_a_model_of_others_and_one_that_is_none_look_alike(door: Door, client: openai.OpenAI) -> None:
    """Nobody learns which models there are (threat I02)."""
    told = []
    for model in (OTHERS, "no-such-model"):
        with pytest.raises(openai.PermissionDeniedError) as refused:
            chat(client, model)
        told.append((refused.value.code, refused.value.body))
    assert told[0] == told[1]
    assert (door.calls, door.sent) == (2, [])


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.files.list(),
        lambda client: client.fine_tuning.jobs.list(),
        lambda client: client.responses.retrieve("resp_nobody_made_this"),
        lambda client: client.responses.create(
            model=ASSISTANT, input="Go on.", previous_response_id="resp_nobody"
        ),
    ],
    ids=["files", "fine tuning", "a response of nobody", "continued from nobody's"],
)
def test_what_is_not_there(door: Door, client: openai.OpenAI, ask: Callable[[openai.OpenAI], Any]) -> None:
    """404 alike for an operation that is not in the table and a response that is not the caller's (threat T09)."""
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client)
    assert refused.value.code == "not-found"
    assert (door.calls, door.sent) == (1, [])


def test_a_response_of_somebody_else(door: Door, client: openai.OpenAI) -> None:
    """Not read, not continued, not deleted, not cancelled (threat T09)."""
    theirs = client.responses.create(model=ASSISTANT, input="A secret.", max_output_tokens=8)
    with openai_v1(door.url, door.caller()) as other:
        for ask in (
            lambda: other.responses.retrieve(theirs.id),
            lambda: other.responses.create(model=ASSISTANT, input="Go on.", previous_response_id=theirs.id),
            lambda: other.responses.delete(theirs.id),
            lambda: other.responses.cancel(theirs.id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
    assert client.responses.retrieve(theirs.id).id == theirs.id
    assert len(door.sent) == 2


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ({"extra_body": {"data_sources": [{"type": "azure_search"}]}}, "data_sources"),
        ({"store": True}, "store"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"extra_query": {"deployment": "other"}}, "query"),
        ({"extra_body": {"surprise": 1}}, "unknown field"),
        ({"extra_headers": {"azureml-model-deployment": "other"}}, "two models"),
    ],
    ids=["data_sources", "store", "web search", "a parameter", "a field", "a header"],
)
def test_what_the_policy_does_not_let_in(
    door: Door, client: openai.OpenAI, more: dict[str, Any], about: str
) -> None:
    """400 that says what is not taken; nothing is sent (threats T06, T09)."""
    with pytest.raises(openai.BadRequestError, match=about) as refused:
        chat(client, **more)
    assert refused.value.code == "invalid-request"
    assert (door.calls, door.sent) == (1, [])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (422, openai.UnprocessableEntityError),
        (424, openai.APIStatusError),
    ],
)
def test_the_services_own_refusals(
    door: Door, client: openai.OpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    """They come through in its own words, after one call."""
    door.resource.faults.set(status=status, body=THEIR_OWN, headers=JSON)
    with pytest.raises(kind, match="The service's own words") as refused:
        chat(client)
    assert (refused.value.status_code, refused.value.code) == (status, "content_filter")
    assert (door.calls, len(door.sent)) == (1, 1)


def test_a_failure_of_the_model_that_is_no_json(door: Door, client: openai.OpenAI) -> None:
    """424 in the gate's words, after one call."""
    door.resource.faults.set(status=424, body="<html>", headers={"Content-Type": "text/html"})
    with pytest.raises(openai.APIStatusError) as refused:
        chat(client)
    assert (refused.value.status_code, refused.value.code) == (424, "model-error")
    assert (door.calls, len(door.sent)) == (1, 1)


@pytest.mark.parametrize(
    ("model", "code"), [("locked", "upstream-auth-failed"), ("gone", "upstream-not-found")]
)
def test_what_only_the_owner_can_mend(door: Door, client: openai.OpenAI, model: str, code: str) -> None:
    """502 that says not to try again: the service refuses the gate's identity, or lacks the deployment."""
    with pytest.raises(openai.InternalServerError) as refused:
        chat(client, model)
    assert (refused.value.status_code, refused.value.code) == (502, code)
    assert (door.calls, len(door.sent)) == (1, 1)


def test_a_failure_that_passes(door: Door, client: openai.OpenAI) -> None:
    """A 500 of the service is worth another try, which the package makes by itself."""
    door.resource.faults.set(status=500, body="{}", times=1)
    assert chat(client).choices
    assert (door.calls, len(door.sent)) == (2, 2)


def test_a_limit_that_lasts(door: Door, client: openai.OpenAI) -> None:
    """429 with the wait and `x-should-retry: false`: the package does not try, and the limit is told in its headers."""
    assert chat(client, "hourly").choices
    with pytest.raises(openai.RateLimitError) as refused:
        chat(client, "hourly")
    told = refused.value.response.headers
    assert refused.value.code == "rate-limited"
    assert 3500 < int(told["Retry-After"]) <= 3600
    assert told["x-should-retry"] == "false"
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("1", "0")
    assert (door.calls, len(door.sent)) == (2, 1)
    assert chat(client).choices, "the limit of one model concerns no other"
    with openai_v1(door.url, door.caller()) as other:
        assert chat(other, "hourly").choices, "nor does it another caller (threat T21)"


async def test_a_limit_that_passes(door: Door) -> None:
    """429 with a short `Retry-After`: the package waits as long as it was told, and then has its answer."""
    started = time.monotonic()
    async with openai.AsyncOpenAI(base_url=f"{door.url}/openai/v1", api_key=door.caller()) as client:
        images = [client.images.generate(model="brief", prompt="A gate.") for _ in range(2)]
        assert all(image.data for image in await asyncio.gather(*images))
    assert time.monotonic() - started >= 1
    assert (door.calls, len(door.sent)) == (3, 2)


def test_the_service_is_busy(door: Door, client: openai.OpenAI) -> None:
    """Its own 429 comes through with the wait that it asks for, which the package keeps."""
    headers = JSON | {"Retry-After": "1"}
    door.resource.faults.set(status=429, body=THEIR_OWN, headers=headers, times=1)
    started = time.monotonic()
    assert chat(client).choices
    assert time.monotonic() - started >= 1
    assert (door.calls, len(door.sent)) == (2, 2)


def test_the_service_is_away_for_long(door: Door, client: openai.OpenAI) -> None:
    """503 with a wait that the package would keep for a minute and a half: it is told not to try, and does not."""
    door.resource.faults.set(status=503, headers={"Retry-After": "90"})
    with pytest.raises(openai.InternalServerError) as refused:
        chat(client)
    assert refused.value.code == "upstream-unavailable"
    assert refused.value.response.headers["Retry-After"] == "90"
    assert (door.calls, len(door.sent)) == (1, 1)


def test_a_chat_that_is_cut(door: Door, client: openai.OpenAI, mode: Mode) -> None:
    """A stream ends with an error that the package raises; hosted classic, nothing has gone out yet, and it is a 502."""
    door.resource.faults.set(cut_after=3, pace=0.05)
    came: list[Any] = []
    with pytest.raises(openai.APIError) as cut:
        came.extend(chat(client.with_options(max_retries=0), stream=True))
    assert cut.value.code == "upstream-unreachable"
    assert (type(cut.value), len(came)) == CUT.of(mode)


def test_a_response_that_is_cut(door: Door, client: openai.OpenAI, mode: Mode) -> None:
    """The same for the events of a response."""
    door.resource.faults.set(cut_after=3, pace=0.05)
    came: list[Any] = []
    with pytest.raises(openai.APIError) as cut:
        once = client.with_options(max_retries=0)
        came.extend(once.responses.create(model=ASSISTANT, input="A story.", stream=True))
    assert cut.value.code == "upstream-unreachable"
    assert (type(cut.value), len(came)) == CUT.of(mode)
