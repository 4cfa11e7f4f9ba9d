"""Models: which one is asked is decided once, and what was checked is what is sent."""

from __future__ import annotations

import asyncio
import json
from copy import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends.forward import Forwarder
from shared.backends.openai import OpenAI
from shared.gate import aclose
from shared.model import (
    Asked,
    Headers,
    Inbound,
    Limits,
    Principal,
    Rate,
    Reason,
    Reply,
    Route,
    Standing,
    Usage,
)
from shared.ports import Call, Forwarded, TransportFault
from shared.problem import AskedWrongly, ClientClosed, NotFound, Problem, Slug, Undecidable, UpstreamFault
from tests.fakes import (
    ALICE,
    RESOURCE,
    TOKEN,
    FakeAnswer,
    FakeBody,
    FakeClock,
    FakeOwners,
    FakeTokens,
    FakeTransport,
    a_call,
    a_membership,
    a_model,
    a_policy,
    a_principal,
    a_rule,
    an_inbound,
    headers_of,
    settle,
)
from tests.house import House as Gate
from tests.house import document, slug, without_ids

RID = "00000000-0000-4000-8000-000000000000"
BOB = a_principal(oid="22222222-0000-4000-8000-000000000002")
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = {"model": "gpt", "messages": MESSAGES}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
MAX_BODY = 4096
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
TOLD = Usage(prompt=3, completion=4, total=7)


class House:
    """The backend over fakes: one model, one place, and what the model's side answers."""

    def __init__(self, *script: FakeAnswer | BaseException | None, route: Route | None = None) -> None:
        self.transport = FakeTransport(*script)
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.owners = FakeOwners()
        self.forwarder = Forwarder(self.transport, self.tokens, self.clock)
        self.openai = OpenAI(self.forwarder, self.owners, self.clock, max_body=MAX_BODY)
        self.route = route or a_model(rules=(a_rule(),))

    async def resolve(self, inbound: Inbound, principal: Principal | None = None) -> Asked:
        return await self.openai.resolve(self.openai.read(inbound), inbound, principal or a_principal())

    async def prepare(self, inbound: Inbound, principal: Principal | None = None) -> Call:
        asked = await self.resolve(inbound, principal)
        call = await self.openai.prepare(
            self.route,
            asked,
            inbound,
            rule=self.route.rules[0],
            principal=principal or a_principal(),
            request_id=RID,
        )
        assert self.tokens.asked == [], "nothing is taken for a call that is still checked"
        return call

    async def send(self, inbound: Inbound, principal: Principal | None = None) -> Forwarded:
        return await self.openai.send(await self.openai.take(await self.prepare(inbound, principal)))

    async def refusal(self, inbound: Inbound, principal: Principal | None = None) -> Problem:
        with pytest.raises(Problem) as refused:
            await self.prepare(inbound, principal)
        assert (self.transport.sent, self.tokens.asked) == ([], [])
        return refused.value


def post(
    body: object = CHAT, rest: str = "v1/chat/completions", *pairs: tuple[str, str], **changes: Any
) -> Inbound:
    """Return a POST of a body, JSON unless it is bytes, with more headers."""
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    typed = (
        []
        if any(name.lower() == "content-type" for name, _ in pairs)
        else [("content-type", "application/json")]
    )
    inbound = an_inbound(
        "openai", params={"rest": rest}, headers=Headers([*typed, *pairs]), body=FakeBody(data)
    )
    return replace(inbound, **changes)


def stored(rest: str = "v1/responses/resp_1", method: str = "GET", **changes: Any) -> Inbound:
    """Return a request for a response that was made before."""
    body = FakeBody(b"", length=None)
    return replace(
        an_inbound("openai", method=method, params={"rest": rest}, headers=Headers(()), body=body), **changes
    )


def form(*fields: tuple[str, str], file: bool = True, boundary: str = "b0undary") -> Inbound:
    """Return a transcription's form."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields]
    if file:
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n'
        )
    data = ("".join(parts) + f"--{boundary}--\r\n").encode()
    return post(
        data, "v1/audio/transcriptions", ("content-type", f"multipart/form-data; boundary={boundary}")
    )


def limited(**limits: Any) -> Route:
    return a_model(rules=(a_rule(limits=Limits(**limits)),))


def json_answer(document: object, status: int = 200) -> FakeAnswer:
    return FakeAnswer(status, json.dumps(document).encode())


DEPLOYMENT = "deployments/gpt/chat/completions"
NAMES = [
    pytest.param(post({**CHAT, "model": "other"}, DEPLOYMENT), id="path A, body B"),
    pytest.param(post({**CHAT, "model": "GPT"}, DEPLOYMENT), id="path A, body A in other case"),
    pytest.param(post({**CHAT, "model": "gpt-blue"}, DEPLOYMENT), id="path A, body the name at the resource"),
    pytest.param(post({**CHAT, "model": "gpt "}, DEPLOYMENT), id="path A, body A with a space"),
    pytest.param(post({**CHAT, "model": "azure/gpt"}, DEPLOYMENT), id="path A, body A behind a provider"),
    pytest.param(post({**CHAT, "model": ""}, DEPLOYMENT), id="path A, an empty body name"),
    pytest.param(post({**CHAT, "model": ["gpt"]}, DEPLOYMENT), id="path A, a list in the body"),
    pytest.param(post(CHAT, DEPLOYMENT, ("azureml-model-deployment", "other")), id="path and body A, header B"),
    pytest.param(post(CHAT, DEPLOYMENT, ("x-ms-model-mesh-model-name", "other")), id="path and body A, another header B"),
    pytest.param(post(CHAT, "v1/chat/completions", ("azureml-model-deployment", "other")), id="body A, header B"),
    pytest.param(post(CHAT, "v1/chat/completions", ("azureml-model-deployment", "gpt"), ("azureml-model-deployment", "other")), id="body A, headers A and B"),
    pytest.param(post(CHAT, "v1/chat/completions", ("azureml-model-deployment", "gpt"), ("azureml-model-deployment", "gpt")), id="body A, header A twice"),
    pytest.param(post({"messages": MESSAGES}), id="no name"),
    pytest.param(post({"messages": MESSAGES}, "v1/chat/completions", ("azureml-model-deployment", "gpt")), id="a header alone"),
    pytest.param(post({**CHAT, "model": None}), id="null"),
    pytest.param(post({**CHAT, "model": 7}), id="a number"),
    pytest.param(post({**CHAT, "model": True}), id="a flag"),
    pytest.param(post({**CHAT, "model": {"id": "gpt"}}), id="an object"),
    pytest.param(post({**CHAT, "model": ["gpt", "other"]}), id="a list of models"),
    pytest.param(form(("model", "gpt"), ("model", "other")), id="a form with two names"),
    pytest.param(form(("model[]", "gpt")), id="a form with a list of one"),
    pytest.param(form(), id="a form without a name"),
]  # fmt: skip


@pytest.mark.parametrize("inbound", NAMES)
async def test_t06_every_place_names_one_model_or_the_request_is_400(inbound: Inbound) -> None:
    """T06: path, body and header are compared before anything is decided; nothing is sent, and no token is asked."""
    refused = await House().refusal(inbound)
    assert (refused.status, refused.slug) == (400, Slug.INVALID_REQUEST)


async def test_null_in_the_body_names_nothing_beside_the_path() -> None:
    """LangChain's Azure client writes `"model":null` beside the path: it goes on as it came."""
    house = House()
    call = await house.prepare(post({**CHAT, "model": None}, DEPLOYMENT))
    assert call.asked.name == "gpt"
    assert call.body is not None
    assert json.loads(call.body)["model"] is None


@pytest.mark.parametrize("query", ["model=gpt", "model=other", "deployment=gpt", "api-version=v1&model=gpt"])
async def test_t06_t04_a_query_names_no_model_not_even_the_same(query: str) -> None:
    """T04, T06: no parameter can name a model: each is 400."""
    assert (await House().refusal(post(query=query))).status == 400


@pytest.mark.parametrize(
    ("inbound", "name"),
    [
        (post(), "gpt"),
        (post(CHAT, DEPLOYMENT), "gpt"),
        (post({"messages": MESSAGES}, DEPLOYMENT), "gpt"),
        (post({**CHAT, "model": "Gpt"}), "Gpt"),
        (post(CHAT, "v1/chat/completions", ("azureml-model-deployment", "gpt")), "gpt"),
        (form(("model", "gpt")), "gpt"),
        (post(b'{"model":"\\u0067pt","messages":[]}'), "gpt"),
    ],
)
async def test_t06_the_one_name_is_the_one_that_is_decided_on(inbound: Inbound, name: str) -> None:
    """T06, T07: the resolved name is what the policy is asked for, exactly as it stands, escapes resolved."""
    asked = await House().resolve(inbound)
    assert (asked.target, asked.name, asked.deployment) == ("model", name, None)


HOSTILE = [
    pytest.param(b'{"model":"gpt","model":"secret","messages":[]}', id="T07: the name twice"),
    pytest.param(b'{"model":"secret","messages":[],"model":"gpt"}', id="T07: the name twice, the good one last"),
    pytest.param(b'{"model":"gpt","\\u006dodel":"secret","messages":[]}', id="T07: the name twice, once escaped"),
    pytest.param(b'{"\\u006dodel":"gpt","messages":[]}', id="T07: the name escaped, once"),
    pytest.param(b'{"model":"gpt","messages":[{"role":"user","role":"system","content":"x"}]}', id="T07: a key twice, further in"),
    pytest.param(b'\xef\xbb\xbf{"model":"gpt","messages":[]}', id="T07: a byte order mark"),
    pytest.param('{"model":"gpt","messages":[]}'.encode("utf-16"), id="T07: UTF-16"),
    pytest.param(b'{"model":"gpt","messages":[]}{}', id="T07: trailing data"),
    pytest.param(b'{"model":"gpt","messages":[],"temperature":NaN}', id="T07: NaN"),
    pytest.param(b'{"model":"gpt","messages":[],"seed":1e999}', id="T07: a number beyond any float"),
    pytest.param(b'{"model":"gpt","messages":' + b"[" * 200 + b"]" * 200 + b"}", id="T07: nesting"),
    pytest.param(b'["gpt"]', id="no object"),
    pytest.param(b'{"model":"gpt","messages":[]', id="half of one"),
    pytest.param(b'{"model":"g\xffpt","messages":[]}', id="T07: no UTF-8"),
    pytest.param(b'{"model":"gpt","messages":[],"a":"\\ud800"}', id="T07: half a surrogate pair"),
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE)
async def test_t07_a_body_that_two_readers_could_read_differently_is_400(data: bytes) -> None:
    """T07: the real parser stands before everything; the text of the refusal is fixed."""
    house = House()
    with pytest.raises(AskedWrongly) as refused:
        await house.resolve(post(data))
    assert refused.value.slug is Slug.INVALID_REQUEST
    assert refused.value.detail is not None
    assert "gpt" not in refused.value.detail
    assert house.transport.sent == []


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"Model": "secret"}, ()),
        ({"MODEL": "secret"}, ()),
        ({"\uff4dodel": "secret"}, ()),
        ({"model ": "secret"}, ()),
        ({"models": ["secret"]}, ()),
        ({"deployment": "secret"}, ()),
        ({"engine": "secret"}, ()),
        ({"fallbacks": ["secret"]}, ()),
        ({"engine": "secret"}, ("engine",)),
        ({"api_base": "https://evil.test"}, ()),
        ({"extra_body": {"model": "secret"}}, ()),
        ({"data_sources": []}, ()),
        ({"unknown": 1}, ()),
    ],
)
async def test_t06_t09_other_names_of_the_model_and_what_acts_elsewhere_are_400(
    extra: Any, named: Any
) -> None:
    """T06, T07, T09, E12: case variants, look-alikes, lists of fallbacks and unknown fields never go on."""
    house = House(route=a_model(rules=(a_rule(),), fields=frozenset(named)))
    assert (await house.refusal(post({**CHAT, **extra}))).status == 400


async def test_t09_a_field_that_the_policy_names_goes_on() -> None:
    """T09: the policy's `fields` let in what is refused by itself."""
    body = {**CHAT, "data_sources": [], "my_field": 1}
    house = House(route=a_model(rules=(a_rule(),), fields=frozenset({"data_sources", "my_field"})))
    assert json.loads((await house.prepare(post(body))).body or b"") == {**body, "model": "gpt-blue"}


FORM = "multipart/form-data; boundary=b"
CARRIERS = [
    pytest.param("text/plain", "v1/chat/completions", 415, id="text"),
    pytest.param("application/x-www-form-urlencoded", "v1/chat/completions", 415, id="a urlencoded form"),
    pytest.param(FORM, "v1/chat/completions", 415, id="a form for a chat"),
    pytest.param("application/json", "v1/audio/transcriptions", 415, id="JSON for a transcription"),
    pytest.param("application/problem+json", "v1/chat/completions", 415, id="another JSON"),
    pytest.param("application/json, text/plain", "v1/chat/completions", 415, id="two types"),
    pytest.param("", "v1/chat/completions", 415, id="none"),
    pytest.param("application/json; charset=utf-16", "v1/chat/completions", 400, id="UTF-16"),
    pytest.param("application/json; charset=iso-8859-1", "v1/chat/completions", 400, id="Latin-1"),
    pytest.param("application/json; charset=utf-8; charset=utf-16", "v1/chat/completions", 400, id="two charsets"),
    pytest.param("application/json; q=1", "v1/chat/completions", 400, id="an unknown parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "rest", "status"), CARRIERS)
async def test_t08_carriers_that_the_operation_does_not_declare_are_refused(
    content_type: str, rest: str, status: int
) -> None:
    """T08: another media type is 415; JSON in another charset is 400; the body is not even read."""
    inbound = post(CHAT, rest, ("content-type", content_type))
    assert (await House().refusal(inbound)).status == status
    assert inbound.body.limits == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["gzip", "br", "", "identity, gzip"])
async def test_t08_d03_a_compressed_body_is_415(encoding: str) -> None:
    """T08, D03: nothing is unpacked to be checked."""
    assert (
        await House().refusal(post(CHAT, "v1/chat/completions", ("content-encoding", encoding)))
    ).status == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FakeBody(b"", length=None), 411),
        (FakeBody(b"", length=0), 411),
        (FakeBody(b"", length=None, chunked=True), 411),
        (FakeBody(b"x", length=MAX_BODY + 1), 413),
        (FakeBody(b"x" * (MAX_BODY + 1), length=None, chunked=True), 413),
    ],
)
async def test_d01_a_body_has_a_length_and_a_bound(body: FakeBody, status: int) -> None:
    """D01: 411 without a length, 413 beyond the most that any model takes."""
    assert (await House().refusal(replace(post(), body=body))).status == status


async def test_d01_which_model_is_asked_only_the_body_tells_so_it_is_read_within_the_largest_bound() -> None:
    """D01: read within the largest of all models, then held to its own model's `max-body`, which is told as 413 too."""
    data = json.dumps({**CHAT, "user": "x" * 1000}).encode()
    fits, small = (
        a_model(rules=(a_rule(),), max_body=len(data)),
        a_model(rules=(a_rule(),), max_body=len(data) - 1),
    )
    body = FakeBody(data)
    assert (await House(route=fits).prepare(replace(post(), body=body))).body
    assert body.limits == [MAX_BODY]
    assert (
        await House(route=small).refusal(replace(post(), body=FakeBody(data)))
    ).slug is Slug.PAYLOAD_TOO_LARGE


@pytest.mark.parametrize(
    ("rest", "method", "status", "allow"),
    [
        ("v1/files", "POST", 404, None),
        ("v1/files", "GET", 404, None),
        ("", "GET", 404, None),
        ("v1/../v1/chat/completions", "POST", 404, None),
        ("v1/chat/completions", "GET", 405, "POST"),
        ("v1/chat/completions", "OPTIONS", 405, "POST"),
        (DEPLOYMENT, "PUT", 405, "POST"),
        ("v1/responses/resp_1", "POST", 405, "GET, HEAD, DELETE"),
        ("v1/responses/resp_1/cancel", "GET", 405, "POST"),
    ],
)
async def test_t16_first_what_is_there_then_how_it_may_be_asked_and_only_then_the_body(
    rest: str, method: str, status: int, allow: str | None
) -> None:
    """Ruling "Order": 404 for what no table has, 405 with Allow, before the body is read or an owner asked."""
    house, body = House(), FakeBody(b"not JSON")
    refused = await house.refusal(replace(post(b"", rest), method=method, body=body))
    assert (refused.status, dict(refused.headers).get("allow")) == (status, allow)
    assert (body.limits, house.owners.asked) == ([], [])


async def test_what_is_sent_goes_to_the_policys_address_with_the_gates_own_headers() -> None:
    """T01, T12, T13: everything on the wire is the gate's; the policy's timeout counts from the beginning."""
    house = House(json_answer({}))
    await house.send(post(CHAT, DEPLOYMENT, query="api-version=2024-10-21&code=x"))
    (sent,) = house.transport.sent
    assert sent == {
        "method": "POST",
        "url": f"{RESOURCE}/openai/deployments/gpt-blue/chat/completions?api-version=2024-10-21",
        "body": b'{"model":"gpt-blue","messages":[{"role":"user","content":"hi"}]}',
        "deadline": house.clock.monotonic() + 60.0,
        "headers": {
            "accept": "*/*",
            "x-request-id": RID,
            "content-type": "application/json",
            "authorization": f"Bearer {TOKEN}",
        },
    }
    assert house.tokens.asked == ["https://ai.azure.com/.default"]


CREDENTIALS = [
    "api-key", "authorization", "cookie", "extra-parameters", "openai-organization", "openai-project", "openai-beta",
    "x-api-key", "ocp-apim-subscription-key", "x-ms-token-aad-access-token", "x-ms-client-principal", "x-functions-key",
    "x-forwarded-host", "host", "x-ms-useragent", "user-agent", "x-stainless-lang", "x-stainless-raw-response",
    "azureml-model-session", "x-ms-client-request-id", "x-ratelimit-limit", "content-length", "transfer-encoding",
    "x-ms-oai-assistants-test", "aoai-evals", "x-policy-id", "idempotency-key", "origin", "range", "accept-encoding",
]  # fmt: skip


@pytest.mark.parametrize("dress", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("name", CREDENTIALS)
async def test_t12_t13_no_header_of_the_callers_is_copied(name: str, dress: Any) -> None:
    """T12, T13: keys, tokens, cookies, `extra-parameters` and the SDKs' own headers never reach the model's side."""
    house = House(json_answer({}))
    await house.send(post(CHAT, "v1/chat/completions", (dress(name), "marker-of-the-caller")))
    (sent,) = house.transport.sent
    assert "marker-of-the-caller" not in str(sent)
    assert set(sent["headers"]) == {"accept", "x-request-id", "content-type", "authorization"}


async def test_t06_a_header_that_names_the_model_rightly_is_not_sent_on() -> None:
    """T06: what was compared has done its work; the address alone says upstream which model it is."""
    house = House(json_answer({}))
    await house.send(post(CHAT, "v1/chat/completions", ("azureml-model-deployment", "gpt")))
    assert "azureml-model-deployment" not in house.transport.sent[0]["headers"]


REWRITES = [
    (b'{"model":"gpt","messages":[]}', b'{"model":"gpt-blue","messages":[]}'),
    (b' {\n"messages" : [],\t"model"\r\n:  "gpt"  } \n', b' {\n"messages" : [],\t"model"\r\n:  "gpt-blue"  } \n'),
    (b'{"model":"\\u0067pt","messages":[]}', b'{"model":"gpt-blue","messages":[]}'),
    (b'{"messages":[{"role":"user","content":"\\"model\\":\\"gpt\\""}],"model":"gpt"}', b'{"messages":[{"role":"user","content":"\\"model\\":\\"gpt\\""}],"model":"gpt-blue"}'),
    ('{"model":"gpt","user":"é\U0001f600","messages":[]}'.encode(), '{"model":"gpt-blue","user":"é\U0001f600","messages":[]}'.encode()),
    (b'{"model":"gpt","messages":[],"seed":1E2,"temperature":0.10}', b'{"model":"gpt-blue","messages":[],"seed":1E2,"temperature":0.10}'),
]  # fmt: skip


@pytest.mark.parametrize(("came", "goes"), REWRITES)
async def test_t07_the_models_name_is_rewritten_in_its_place_and_every_other_byte_stays(
    came: bytes, goes: bytes
) -> None:
    """T06, T07: the one rewrite that the policy demands is made on the parsed span."""
    assert (await House().prepare(post(came))).body == goes


async def test_t07_where_the_path_names_the_model_and_the_body_does_not_nothing_is_added() -> None:
    """P7: a body without a name goes on as it came, to the address of the policy's deployment."""
    data = b'{"messages": []}'
    call = await House().prepare(post(data, DEPLOYMENT))
    assert (call.body, call.url) == (data, f"{RESOURCE}/openai/deployments/gpt-blue/chat/completions")


async def test_t08_a_forms_name_is_rewritten_and_every_other_byte_stays() -> None:
    """T08: a form's model is replaced in its part; the file's bytes are untouched."""
    inbound = form(("model", "gpt"), ("language", "gpt"))
    call = await House().prepare(inbound)
    data: bytes = inbound.body.data  # type: ignore[attr-defined]
    assert call.body == data.replace(b'name="model"\r\n\r\ngpt\r\n', b'name="model"\r\n\r\ngpt-blue\r\n')
    assert call.headers["content-type"] == "multipart/form-data; boundary=b0undary"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}), max_size=3)},
    optional={
        "user": TEXTS,
        "temperature": st.floats(0, 2),
        "seed": st.integers(),
        "stop": st.lists(TEXTS, max_size=2),
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "stream": st.booleans(),
    },
)


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Draw a body in three pieces: what stands before the model's name, the name, and what stands after it."""
    members = draw(BODIES)
    style: dict[str, Any] = {
        "ensure_ascii": draw(st.booleans()),
        "indent": draw(st.sampled_from([None, 0, 2, "\t"])),
        "separators": draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\n:\r")])),
    }
    marker = "\x01the name\x01"
    pairs = list(members.items())
    pairs.insert(draw(st.integers(0, len(pairs))), ("model", marker))
    before, _, after = json.dumps(dict(pairs), **style).partition(json.dumps(marker))
    return before.encode(), draw(st.sampled_from([b'"gpt"', b'"\\u0067pt"', b'"g\\u0070t"'])), after.encode()


@given(written())
@settings(max_examples=200, deadline=None)
def test_p7_the_bytes_that_were_checked_are_the_bytes_that_are_sent(body: tuple[bytes, bytes, bytes]) -> None:
    """P7: where no rewrite is demanded every byte goes on; where one is, every byte but the name's."""
    data = b"".join(body)

    async def play(deployment: str) -> bytes | None:
        return (await House(route=a_model(rules=(a_rule(),), deployment=deployment)).prepare(post(data))).body

    if len(data) <= MAX_BODY:
        assert asyncio.run(play("gpt")) == data
        assert asyncio.run(play("gpt-blue")) == body[0] + b'"gpt-blue"' + body[2]


ASKS = {"stream_options": {"include_usage": True}}
TOKENS = {"tokens": Rate(amount=1000, period=60)}
USAGE_ASKED = [
    pytest.param(TOKENS, {"stream": True}, "v1/chat/completions", True, id="tokens are limited, a stream"),
    pytest.param(TOKENS, {"stream": True, "stream_options": None}, "v1/chat/completions", True, id="null for options"),
    pytest.param(TOKENS, {"stream": True, "stream_options": {}}, "v1/chat/completions", True, id="empty options"),
    pytest.param(TOKENS, {"stream": True, "stream_options": {"include_usage": False}}, "v1/chat/completions", True, id="the caller wants none"),
    pytest.param(TOKENS, {"stream": True, **ASKS}, "v1/chat/completions", False, id="the caller asks itself"),
    pytest.param(TOKENS, {"stream": False}, "v1/chat/completions", False, id="a whole answer"),
    pytest.param(TOKENS, {}, "v1/chat/completions", False, id="a whole answer by default"),
    pytest.param(TOKENS, {"stream": True}, "v1/responses", False, id="responses tell their usage by themselves"),
    pytest.param({"requests": Rate(amount=1, period=60)}, {"stream": True}, "v1/chat/completions", False, id="requests are limited, not tokens"),
    pytest.param(None, {"stream": True}, "v1/chat/completions", False, id="nothing is limited"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "members", "rest", "asked"), USAGE_ASKED)
async def test_usage_is_asked_for_only_where_tokens_are_limited_and_the_caller_did_not(
    limits: Any, members: dict[str, Any], rest: str, asked: bool
) -> None:
    """Limits: `stream_options.include_usage` is put in for the gate's own need, and hidden again then."""
    body = {
        "model": "gpt",
        **({"input": "hi"} if rest == "v1/responses" else {"messages": MESSAGES}),
        **members,
    }
    house = House(route=limited(**limits) if limits else a_model(rules=(a_rule(),)))
    call = await house.prepare(post(body, rest))
    sent = json.loads(call.body or b"")
    assert call.hide_usage is asked
    if asked:
        assert sent == {**body, "model": "gpt-blue", **ASKS}
    else:
        assert sent == {**body, "model": "gpt-blue"}


async def test_usage_is_asked_for_beside_what_the_caller_wants_of_a_stream() -> None:
    """The caller's other options stay beside the gate's."""
    body = {**CHAT, "stream": True, "stream_options": {"include_obfuscation": False}}
    call = await House(route=a_model()).prepare(post(body))
    assert json.loads(call.body or b"")["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }


async def test_the_tokens_to_reserve_are_the_answers_bound_and_the_prompt() -> None:
    """Limits: `max_tokens`, else the policy's default, and an estimate of the prompt."""
    bounded = await House().prepare(post({**CHAT, "max_tokens": 50}))
    default = await House().prepare(post(CHAT))
    longer = await House().prepare(post({**CHAT, "messages": [{"role": "user", "content": "x" * 400}]}))
    assert (bounded.answer_tokens, default.answer_tokens) == (50, 1000)
    assert 0 < bounded.prompt_tokens == default.prompt_tokens < 50
    assert longer.prompt_tokens >= default.prompt_tokens + 90


@pytest.mark.parametrize(("limit", "reserved"), [(100, 10), (5, 1), (1_000_000, 1024)])
async def test_where_the_policy_is_silent_a_small_limit_reserves_a_tenth_of_itself(
    limit: int, reserved: int
) -> None:
    """Limits: else the first call that bounds nothing would keep everybody else out of a small limit."""
    route = a_model(
        rules=(a_rule(limits=Limits(tokens=Rate(amount=limit, period=60))),), default_max_tokens=None
    )
    assert (await House(route=route).prepare(post(CHAT))).answer_tokens == reserved


def chunk(**members: Any) -> bytes:
    return b"data: " + json.dumps(members, separators=(",", ":")).encode() + b"\n\n"


FIRST, LAST = chunk(id="c", choices=[{"delta": {"content": "hi"}}], usage=None), b"data: [DONE]\n\n"
USED = chunk(id="c", choices=[], usage=USAGE)


async def read_all(reply: Reply) -> bytes:
    assert not isinstance(reply.body, bytes)
    try:
        return b"".join([piece async for piece in reply.body])
    finally:
        await reply.body.aclose()


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("streams", [True, False])
async def test_the_usage_that_the_gate_asked_for_is_read_and_not_shown(streams: bool, asks: bool) -> None:
    """Limits: in stream mode and in classic, the extra chunk is hidden where the caller did not ask for it."""
    house = House(FakeAnswer(200, [FIRST, USED, LAST], EVENTS), route=a_model())
    forwarded = await house.send(post({**CHAT, "stream": True, **(ASKS if asks else {})}, streams=streams))
    shown = FIRST + (USED if asks else b"") + LAST
    if streams:
        body: Any = forwarded.reply.body
        assert forwarded.usage is None, "not known yet"
        assert await read_all(forwarded.reply) == shown
        assert body.usage == TOLD
    else:
        assert (forwarded.reply.body, forwarded.usage) == (shown, TOLD)
    assert headers_of(forwarded.reply)["content-type"] == EVENTS["content-type"]


async def test_a_stream_is_handed_on_as_it_comes(free_places: Any) -> None:
    """Streaming: an event goes on before the next one is there; its place is held until it is let go of."""
    house = House(FakeAnswer(200, [FIRST, None], EVENTS))
    forwarded = await house.send(post({**CHAT, "stream": True}, streams=True))
    body: Any = forwarded.reply.body
    assert await asyncio.wait_for(anext(body), 0.5) == FIRST
    assert await free_places(house.forwarder, house.route) == 0
    await aclose(body)
    assert await free_places(house.forwarder, house.route) == 1


@pytest.mark.parametrize("what", ["truncated", "protocol", "timeout"])
async def test_f04_a_cut_stream_ends_in_an_error_event_and_no_done(what: str) -> None:
    """F04: what came goes on, then one event `error` in the problem's words; in classic the answer is the gate's own."""
    script = [FIRST, b'data: {"choi', TransportFault(what, sent=True)]
    house = House(FakeAnswer(200, script, EVENTS), FakeAnswer(200, script, EVENTS))
    forwarded = await house.send(post({**CHAT, "stream": True}, streams=True))
    body: Any = forwarded.reply.body
    told = await read_all(forwarded.reply)
    assert told.startswith(FIRST + b"event: error\ndata: {")
    assert b"[DONE]" not in told
    problem = json.loads(told.removeprefix(FIRST).removeprefix(b"event: error\ndata: "))
    code = "upstream-timeout" if what == "timeout" else "upstream-unreachable"
    assert problem["error"]["code"] == code
    assert problem["instance"] == f"urn:uuid:{RID}"
    assert isinstance(body.fault, UpstreamFault)
    with pytest.raises(UpstreamFault):
        call = await house.openai.prepare(
            house.route, await house.resolve(post({**CHAT, "stream": True})), post({**CHAT, "stream": True}),
            rule=house.route.rules[0], principal=a_principal(), request_id=RID,
        )  # fmt: skip
        await house.openai.send(await house.openai.take(call))


async def test_a_caller_who_did_not_ask_for_a_stream_gets_a_whole_answer() -> None:
    """A stream host gives what was asked for: JSON is read to its end, and its tokens are known."""
    answer = json_answer({"id": "c", "choices": [], "usage": USAGE})
    house = House(answer)
    forwarded = await house.send(post(streams=True))
    assert isinstance(forwarded.reply.body, bytes)
    assert json.loads(forwarded.reply.body)["id"] == "c"
    assert (forwarded.usage, answer.closed) == (TOLD, 1)


async def test_an_embeddings_tokens_are_read() -> None:
    """Metering: an answer without completion tokens tells its prompt's."""
    house = House(json_answer({"data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}))
    forwarded = await house.send(post({"model": "gpt", "input": "x"}, "v1/embeddings"))
    assert forwarded.usage == Usage(prompt=5, completion=0, total=5)


RESPONSE = {"id": "resp_1", "output": [{"id": "msg_1", "type": "message"}, {"id": "rs_1", "type": "reasoning"}], "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}}  # fmt: skip
CREATED = b"event: response.created\n" + chunk(type="response.created", response={"id": "resp_1"})
ADDED = b"event: response.output_item.added\n" + chunk(
    type="response.output_item.added", item={"id": "msg_1"}
)
COMPLETED = b"event: response.completed\n" + chunk(type="response.completed", response=RESPONSE)
CREATE = {"model": "gpt", "input": "hi"}


async def test_t09_who_made_a_response_is_remembered_before_the_answer_is_given() -> None:
    """T09: a response's id and its items' are the caller's own from the moment that it can know them."""
    house = House(json_answer(RESPONSE))
    forwarded = await house.send(post(CREATE, "v1/responses"))
    assert house.owners.made == dict.fromkeys(("resp_1", "msg_1", "rs_1"), (ALICE, "gpt"))
    assert forwarded.usage == TOLD


async def test_t09_in_a_stream_an_id_is_remembered_before_its_event_goes_on() -> None:
    """T09: the caller may use an id as soon as it reads it, while the answer still comes."""
    house = House(FakeAnswer(200, [CREATED, ADDED, COMPLETED], EVENTS))
    forwarded = await house.send(post({**CREATE, "stream": True}, "v1/responses", streams=True))
    body: Any = forwarded.reply.body
    assert house.owners.made == {}
    assert await anext(body) == CREATED
    assert set(house.owners.made) == {"resp_1"}
    assert await anext(body) == ADDED
    assert set(house.owners.made) == {"resp_1", "msg_1"}
    await aclose(body)


async def test_t09_a_stream_in_classic_is_remembered_too() -> None:
    """T09: the same events, read whole."""
    house = House(FakeAnswer(200, [CREATED, ADDED, COMPLETED], EVENTS))
    forwarded = await house.send(post({**CREATE, "stream": True}, "v1/responses"))
    assert {"resp_1", "msg_1"} <= set(house.owners.made)
    assert (forwarded.reply.body, forwarded.usage) == (CREATED + ADDED + COMPLETED, TOLD)


async def test_t09_a_chats_id_is_nobodys_to_remember() -> None:
    """T09: only what the service stores can be referred to later."""
    house = House(json_answer({"id": "chatcmpl-1", "choices": [], "usage": USAGE}))
    await house.send(post())
    assert house.owners.made == {}


OWN_IDS = [
    pytest.param({**CREATE, "previous_response_id": "resp_1"}, "resp_1", id="a response before"),
    pytest.param({**CREATE, "input": [{"type": "item_reference", "id": "msg_1"}]}, "msg_1", id="an item by reference"),
    pytest.param({**CREATE, "input": [{"id": "msg_1"}]}, "msg_1", id="an item without a type"),
    pytest.param({**CREATE, "input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "rs_1", id="reasoning by its id"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "id_"), OWN_IDS)
async def test_t09_what_a_request_refers_to_must_be_the_callers_own(body: Any, id_: str) -> None:
    """T09: an id of another caller and one that nobody knows are 404 alike, with nothing sent; one's own goes on."""
    house = House(route=a_model(rules=(a_rule(),), fields=frozenset({"item_reference"})))
    unknown = await house.refusal(post(body, "v1/responses"))
    await house.owners.remember([id_], BOB, model="gpt", resource=RESOURCE)
    others = await house.refusal(post(body, "v1/responses"))
    assert isinstance(unknown, NotFound)
    assert [(p.status, p.slug, p.reason, p.detail, p.headers) for p in (unknown, others)] == [
        (404, Slug.NOT_FOUND, Reason.INPUT_NOT_ALLOWED, None, ())
    ] * 2
    await house.owners.remember([id_], a_principal(), model="gpt", resource=RESOURCE)
    assert json.loads((await house.prepare(post(body, "v1/responses"))).body or b"") == {
        **body,
        "model": "gpt-blue",
    }


@pytest.mark.parametrize(
    ("method", "rest", "operation"),
    [
        ("GET", "v1/responses/resp_1", "responses/retrieve"),
        ("HEAD", "v1/responses/resp_1", "responses/retrieve"),
        ("DELETE", "v1/responses/resp_1", "responses/delete"),
        ("POST", "v1/responses/resp_1/cancel", "responses/cancel"),
        ("GET", "responses/resp_1", "responses/retrieve"),
    ],
)
async def test_t09_a_stored_response_is_found_by_its_maker_alone(
    method: str, rest: str, operation: str
) -> None:
    """T09: other's and unknown ids are 404 before any decision; one's own is decided on as the model that made it."""
    house = House(json_answer(RESPONSE))
    assert (await house.refusal(stored(rest, method))).slug is Slug.NOT_FOUND
    await house.owners.remember(["resp_1"], BOB, model="gpt", resource=RESOURCE)
    assert (await house.refusal(stored(rest, method))).slug is Slug.NOT_FOUND
    asked = await house.resolve(stored(rest, method), BOB)
    assert (asked.name, asked.operation) == ("gpt", operation)
    await house.send(stored(rest, method), BOB)
    (sent,) = house.transport.sent
    assert (sent["method"], sent["body"]) == ("GET" if method == "HEAD" else method, None)
    assert sent["url"] == f"{RESOURCE}/openai/v1/{rest.removeprefix('v1/')}"
    assert "content-type" not in sent["headers"]


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "v1/responses/resp_1"),
        ("DELETE", "v1/responses/resp_1"),
        ("POST", "v1/responses/resp_1/cancel"),
    ],
)
async def test_a_stored_response_that_is_no_longer_there_is_404_and_no_fault_of_the_gate(
    method: str, rest: str
) -> None:
    """A response that expired is `not-found` to its maker, with the model's status on record."""
    house = House(json_answer({"error": {"code": "not_found"}}, 404))
    await house.owners.remember(["resp_1"], a_principal(), model="gpt", resource=RESOURCE)
    with pytest.raises(UpstreamFault) as told:
        await house.send(stored(rest, method))
    fault = told.value
    assert (fault.slug, fault.status, fault.outcome, fault.upstream_status) == (
        Slug.NOT_FOUND,
        404,
        "upstream-404",
        404,
    )


async def test_a_deployment_that_is_not_there_is_502() -> None:
    """A 404 to anything else is the gate's settings' fault: `upstream-not-found`, and nothing of its text."""
    house = House(json_answer({"error": {"code": "DeploymentNotFound"}}, 404))
    with pytest.raises(UpstreamFault) as told:
        await house.send(post())
    assert (told.value.slug, told.value.status) == (Slug.UPSTREAM_NOT_FOUND, 502)


@pytest.mark.parametrize("body", [FakeBody(b"{}"), FakeBody(b"", length=None, chunked=True)])
async def test_a_stored_response_is_asked_without_a_body(body: FakeBody) -> None:
    """What takes no body refuses one, unread."""
    house = House()
    await house.owners.remember(["resp_1"], a_principal(), model="gpt", resource=RESOURCE)
    assert (await house.refusal(stored("v1/responses/resp_1/cancel", "POST", body=body))).status == 400
    assert body.limits == []


@pytest.mark.parametrize("streams", [True, False])
async def test_a_stored_response_is_read_along_where_the_query_asks_for_it(streams: bool) -> None:
    """`stream=true` at a stored response is a stream, where the host can send one."""
    house = House(FakeAnswer(200, [CREATED, COMPLETED], EVENTS))
    await house.owners.remember(["resp_1"], a_principal(), model="gpt", resource=RESOURCE)
    forwarded = await house.send(stored(query="stream=true", streams=streams))
    assert house.transport.sent[0]["url"].endswith("/v1/responses/resp_1?stream=true")
    assert isinstance(forwarded.reply.body, bytes) is not streams
    whole = await read_all(forwarded.reply) if streams else forwarded.reply.body
    assert whole == CREATED + COMPLETED


async def test_head_reads_the_answer_whole() -> None:
    """HEAD is GET without a body: nothing of it is left on its way."""
    house = House(FakeAnswer(200, [CREATED, COMPLETED], EVENTS))
    await house.owners.remember(["resp_1"], a_principal(), model="gpt", resource=RESOURCE)
    forwarded = await house.send(stored(method="HEAD", query="stream=true", streams=True))
    assert isinstance(forwarded.reply.body, bytes)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_binary_answer_passes_byte_for_byte(streams: bool, free_places: Any) -> None:
    """P7: speech is handed on as it comes where the host can, whole where it cannot, and read as nothing else."""
    pieces = [b"ID3\x00\xff", b'{"usage":{"prompt_tokens":1}}\n\n', b"\x00"]
    house = House(FakeAnswer(200, pieces, {"content-type": "audio/mpeg"}))
    forwarded = await house.send(
        post({"model": "gpt", "input": "x", "voice": "alloy"}, "v1/audio/speech", streams=streams)
    )
    whole = await read_all(forwarded.reply) if streams else forwarded.reply.body
    assert whole == b"".join(pieces)
    assert forwarded.usage is None
    assert headers_of(forwarded.reply)["content-type"] == "audio/mpeg"
    assert await free_places(house.forwarder, house.route) == 1


async def test_speech_in_events_is_relayed_as_events() -> None:
    """`stream_format: sse` tells its usage as any stream of events does."""
    done = chunk(type="speech.audio.done", usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
    house = House(FakeAnswer(200, [chunk(type="speech.audio.delta", audio="AA=="), done], EVENTS))
    body = {"model": "gpt", "input": "x", "voice": "alloy", "stream_format": "sse"}
    forwarded = await house.send(post(body, "v1/audio/speech", streams=True))
    relay: Any = forwarded.reply.body
    assert (await read_all(forwarded.reply)).endswith(done)
    assert relay.usage == Usage(prompt=1, completion=2, total=3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"not JSON",
        b"\xff",
        b"[" * 5000,
        b'{"usage":"x"}',
        b'{"usage":{"total_tokens":-1}}',
        b'{"id":7,"output":5}',
    ],
)
async def test_t19_a_success_of_any_shape_goes_on_as_it_is_and_tells_nothing(body: bytes) -> None:
    """T19, P7: an answer that cannot be read costs what was reserved, and reaches the caller byte for byte."""
    for rest, asks in (("v1/chat/completions", CHAT), ("v1/responses", CREATE)):
        house = House(FakeAnswer(200, body))
        forwarded = await house.send(post(asks, rest))
        assert (forwarded.reply.body, forwarded.usage, house.owners.made) == (body, None, {})


@pytest.mark.parametrize("upstream", [400, 409, 413, 415, 422, 424, 429])
@pytest.mark.parametrize("streams", [True, False])
async def test_the_models_own_refusal_comes_through_with_its_body(upstream: int, streams: bool) -> None:
    """Design, "Answers": with relay-errors the service's own `error` is what the client reads; no second call is made."""
    body = b'{"error": {"code": "content_filter", "message": "no"}}'
    house = House(FakeAnswer(upstream, body, {"content-type": "application/json", "retry-after-ms": "1500"}))
    forwarded = await house.send(post({**CHAT, "stream": True}, streams=streams))
    assert (forwarded.reply.status, forwarded.reply.body, forwarded.usage) == (upstream, body, None)
    assert headers_of(forwarded.reply).get("retry-after") == ("2" if upstream == 429 else None)
    assert len(house.transport.sent) == 1


FAILURES = [
    *(FakeAnswer(status, b'{"error":{}}') for status in (301, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504)),
    TransportFault("timeout", sent=True),
    TransportFault("unreachable", sent=False),
    TransportFault("truncated", sent=True),
]  # fmt: skip


@pytest.mark.parametrize("step", FAILURES, ids=lambda step: str(getattr(step, "status", step)))
@pytest.mark.parametrize("rest", ["v1/chat/completions", DEPLOYMENT])
async def test_e12_nothing_is_tried_again_or_elsewhere(step: Any, rest: str, free_places: Any) -> None:
    """E12, D06: one call, to the deployment that was decided on, whatever it answers; never another one."""
    again = FakeAnswer(step.status, b'{"error":{}}') if isinstance(step, FakeAnswer) else step
    house = House(
        again, json_answer({}), json_answer({}), route=a_model(rules=(a_rule(),), relay_errors=False)
    )
    with pytest.raises(UpstreamFault):
        await house.send(post(CHAT, rest))
    (sent,) = house.transport.sent
    assert sent["url"].startswith(f"{RESOURCE}/openai/")
    assert json.loads(sent["body"])["model"] == "gpt-blue"
    assert await free_places(house.forwarder, house.route) == 1


async def test_i04_a_refusal_of_the_gate_drops_the_models_token() -> None:
    """I04, E11: 401 is 502 for the caller, and the token of that scope alone is forgotten."""
    house = House(FakeAnswer(401, b"{}"))
    with pytest.raises(UpstreamFault) as told:
        await house.send(post())
    assert (told.value.slug, house.tokens.dropped) == (
        Slug.UPSTREAM_AUTH_FAILED,
        ["https://ai.azure.com/.default"],
    )


async def test_d02_a_slow_body_holds_no_place(free_places: Any) -> None:
    """D02: while a body is on its way, neither a place nor a token is taken for it."""
    house = House()
    waiting = asyncio.ensure_future(house.prepare(replace(post(), body=FakeBody(None))))
    await settle()
    assert not waiting.done()
    assert await free_places(house.forwarder, house.route) == 1
    waiting.cancel()


async def test_a_caller_who_leaves_in_the_middle_of_its_body_is_no_wrong_request() -> None:
    """F46: ClientClosed goes on as it is."""
    with pytest.raises(ClientClosed):
        await House().prepare(replace(post(), body=FakeBody(ClientClosed(), length=5)))


async def test_a_call_that_is_never_sent_gives_its_place_back(free_places: Any) -> None:
    """`release` frees the place that `take` took; a token that does not come takes none."""
    house = House()
    call = await house.openai.take(await house.prepare(post()))
    assert await free_places(house.forwarder, house.route) == 0
    house.openai.release(call)
    assert await free_places(house.forwarder, house.route) == 1
    house.tokens.fault = Undecidable(Reason.CREDENTIAL_UNAVAILABLE)
    with pytest.raises(Undecidable):
        await house.openai.take(replace(call, headers={}))
    house.tokens.fault = None
    assert await free_places(house.forwarder, house.route) == 1
    assert house.transport.sent == []


@pytest.mark.parametrize(
    ("streams", "method", "members", "streamed"),
    [
        (True, "POST", {"stream": True}, True),
        (False, "POST", {"stream": True}, False),
        (True, "POST", {}, False),
    ],
)
async def test_an_answer_is_streamed_where_it_was_asked_for_and_the_host_can(
    streams: bool, method: str, members: Any, streamed: bool
) -> None:
    """Design 4: in classic the same request is answered whole."""
    call = await House().prepare(post({**CHAT, **members}, method=method, streams=streams))
    assert call.streams is streamed


async def test_a_question_of_another_backend_is_a_bug_and_no_call() -> None:
    """P10: what this backend has not read it does not answer."""
    house = House()
    for asked in (Asked(target="endpoint", name="fraud", operation="score"),):
        with pytest.raises(TypeError):
            await house.openai.resolve(asked, post(), a_principal())
    assert house.transport.sent == []


# Through the whole gate.


def a_gate(*script: FakeAnswer, routes: tuple[Route, ...] = ()) -> tuple[Gate, House]:
    house = House(*script)
    return Gate(a_policy(*(routes or (a_model(),))), backend=house.openai), house


async def test_i02_unknown_forbidden_and_ungranted_models_answer_alike() -> None:
    """I02, T09: a name of nothing, a model for others and an operation that is not offered read the same, byte for byte."""
    others = a_model(
        name="others", rules=(a_rule(groups=frozenset({"x"}), principals=frozenset({"nobody"})),)
    )
    gate, house = a_gate(routes=(a_model(operations=frozenset({"embeddings"})), others))
    gate.memberships.answers["ask"] = a_membership()
    gate.memberships.answers["known"] = replace(
        a_membership(),
        facts={
            **a_membership().facts,
            "x": replace(next(iter(a_membership().facts.values())), standing="out"),
        },
    )
    answers = {
        name: without_ids(await gate.handle(post({**CHAT, "model": name})))
        for name in ("nothing", "others", "gpt")
    }
    assert len(set(answers.values())) == 1
    assert answers["gpt"][0] == 403
    assert house.transport.sent == []


async def test_what_is_nothing_is_404_for_all_alike_and_401_for_nobody() -> None:
    """T02, issue "URL shapes": anything outside of the table is 404, the same for a member and for a stranger."""
    answers = []
    for membership in (a_membership(), a_membership(Standing.OUT)):
        gate, _ = a_gate()
        gate.memberships.answers["known"] = membership
        answers += [without_ids(await gate.handle(post(CHAT, rest))) for rest in ("v1/files", "../x", "")]
    assert len(set(answers)) == 1
    assert answers[0][0] == 404


async def test_a_member_chats_and_what_it_cost_is_settled() -> None:
    """The one way through: the model's answer, what is left, the tokens charged and on record."""
    gate, _ = a_gate(json_answer({"id": "c", "choices": [], "usage": USAGE}))
    reply = await gate.handle(post())
    assert (reply.status, document(reply)["id"]) == (200, "c")
    assert gate.quota.reservation.end == ("settle", 7)
    assert gate.recorder.outcomes[0]["usage"] == TOLD
    assert gate.recorder.decisions[0]["asked"].name == "gpt"


async def test_t09_a_response_can_be_taken_up_again_by_its_maker_and_by_nobody_else() -> None:
    """T09, E01: made, then read by its maker; 404 for another member; 403 once the maker is no member any more."""
    gate, house = a_gate(json_answer(RESPONSE), json_answer(RESPONSE))
    assert (await gate.handle(post(CREATE, "v1/responses"))).status == 200
    assert (await gate.handle(stored())).status == 200
    gate.authenticator.principal = BOB
    assert slug(await gate.handle(stored())) == "not-found"
    gate.authenticator.principal = a_principal()
    gate.memberships.answers["known"] = a_membership(Standing.OUT)
    assert slug(await gate.handle(stored())) == "forbidden"
    assert len(house.transport.sent) == 2


@pytest.mark.parametrize(
    "kind", [RuntimeError, KeyError, TypeError, OSError, TimeoutError, RecursionError, UnicodeError]
)
@pytest.mark.parametrize("place", ["resolve", "stored", "remembered"])
async def test_p10_an_unforeseen_error_about_owners_or_bodies_is_no_answer_of_a_model(
    place: str, kind: type[Exception]
) -> None:
    """P10, T09: whatever raises, the caller reads 500 and nothing of the exception; its place is free again."""
    gate, house = a_gate(json_answer(RESPONSE))

    async def raises(*_: Any, **__: Any) -> Any:
        raise kind("secret-in-the-exception")

    inbound = post(CREATE, "v1/responses")
    if place == "resolve":
        inbound = replace(inbound, body=FakeBody(kind("secret-in-the-exception"), length=5))
    else:
        setattr(house.owners, "model_of" if place == "stored" else "remember", raises)
        inbound = stored() if place == "stored" else inbound
    reply = await gate.handle(inbound)
    assert (reply.status, slug(reply)) == (500, "internal-error")
    assert isinstance(reply.body, bytes)
    assert b"secret" not in reply.body
    assert len(house.transport.sent) == int(place == "remembered")
    await asyncio.wait_for(house.forwarder.take(a_call(route=house.route)), 0.1)


async def test_a_large_body_is_checked_beside_the_loop_and_read_the_same() -> None:
    """D08: many bytes are parsed where others do not wait for them; the decision and the bytes are the same."""
    house = House(json_answer({}), route=a_model(rules=(a_rule(),), max_body=10**6))
    house.openai = OpenAI(house.forwarder, house.owners, house.clock, max_body=10**6)
    body = {**CHAT, "messages": [{"role": "user", "content": "x" * 300_000}]}
    call = await house.prepare(post(body))
    assert json.loads(call.body or b"") == {**body, "model": "gpt-blue"}
    assert call.prompt_tokens > 75_000
    with pytest.raises(AskedWrongly):
        await house.prepare(post({**body, "data_sources": []}))
    with pytest.raises(AskedWrongly):
        await house.prepare(post(json.dumps(body).encode() + b"x"))
