"""Models by address and name: which request is which model's, what goes there, and what everybody else reads."""

import asyncio
import json

import pytest

from local.easyauth import principal_headers
from tests.functional.gates import BODY, CHAT, PROMPT, Gate
from tests.functional.upstream import answer, chat, says
from tests.functional.world import HELP, LIMITS, MEMBER, MODELS, World
from tests.unit.backends.hostile_bodies import FORM, MODEL, file_part, form

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}
MESSAGES = f'"messages" : [ {{"role":"user", "content":"{PROMPT} \\u00e9 ä"}} ]'
NAMED = (
    f'{{ {MESSAGES},\n\t"model" :  "renamed" , "seed": 1.0e0, "metadata":{{"model":"renamed"}} }}'.encode()
)
SENT = NAMED.replace(b':  "renamed"', b':  "at-the-resource"')
UNNAMED = f"{{{MESSAGES}}}".encode()
SAME = f'{{ {MESSAGES},"model":"gpt"}}'.encode()
OLD = "/openai/deployments"

SHAPES = [
    # what is asked, its body; what the model's side gets of both
    (f"{OLD}/renamed/chat/completions?api-version=2024-10-21", NAMED,
     f"{OLD}/at-the-resource/chat/completions?api-version=2024-10-21", SENT),
    (f"{OLD}/renamed/chat/completions?api-version=2025-04-01-preview", UNNAMED,
     f"{OLD}/at-the-resource/chat/completions?api-version=2025-04-01-preview", UNNAMED),
    (f"{OLD}/gpt/chat/completions", SAME, f"{OLD}/gpt/chat/completions", SAME),
    (CHAT, NAMED, CHAT, SENT),
    (CHAT, SAME, CHAT, SAME),
    (f"{CHAT}?api-version=preview", SAME, f"{CHAT}?api-version=preview", SAME),
    (f"{CHAT}?api-version=v1", SAME, f"{CHAT}?api-version=v1", SAME),
    ("/models/chat/completions?api-version=2024-05-01-preview", NAMED, CHAT, SENT),
    ("/models/chat/completions", SAME, CHAT, SAME),
    ("/openai/responses?api-version=2025-04-01-preview", b'{"model":"renamed","input":"x"}',
     "/openai/v1/responses", b'{"model":"at-the-resource","input":"x"}'),
]  # fmt: skip

OPERATIONS: dict[str, tuple[str, bytes]] = {
    "completions": ("application/json", b'{"model":"gpt","prompt":["x","y"]}'),
    "embeddings": ("application/json", b'{"model":"gpt","input":["x",  "y"]}'),
    "responses": ("application/json; charset=utf-8", b'{"model":"gpt","input":"x"}'),
    "images/generations": ("application/json", b'{"model":"gpt","prompt":"x","n":1}'),
    "audio/speech": ("application/json", b'{"model":"gpt","input":"x","voice":"alloy"}'),
    "audio/transcriptions": (FORM, form(MODEL, file_part(bytes(range(256)) * 40))),
}

NOWHERE = [
    *(
        f"/openai/{rest}"
        for rest in (
            "", "x", "files", "batches", "v1", "v1/", "v1/files", "v1/files/file-1", "v1/batches",
            "v1/fine_tuning/jobs", "v1/assistants", "v1/threads", "v1/vector_stores", "v1/conversations", "v1/uploads",
            "v1/moderations", "v1/evals", "v1/audio/translations", "v1/images/edits", "v1/realtime", "v1/containers",
            "v1/models/gpt", "v1/chat/completions/chatcmpl-1", "v1/chat/completions/", "v1//chat/completions",
            "v1/Chat/Completions", "V1/chat/completions", "v1/chat%2Fcompletions/..", "v1/chat/completions;x",
            "v1/responses/", "v1/responses/resp_1/input_items", "v1/responses/resp_1/cancel/x", "v1/responses/a.b",
            "v1/responses/%2e%2e", "v1/responses/..%2Ffiles", "v1/responses/resp_1%20", "v1/responses/r%C3%A9sp",
            f"v1/responses/{'a' * 129}", "deployments", "deployments/", "deployments/gpt", "deployments/gpt/",
            "deployments/gpt/responses", "deployments/gpt/extensions/chat/completions",
            "deployments/gpt/chat/completions/x", "deployments/gpt/../files", "v1/%2e%2e/files", "v1/%252e%252e/files",
            "v1/chat%5Ccompletions", "v1%2f..%2ffiles", "deployments//chat/completions/",
            "responses/resp_1/input_items", "chat/completions", "engines/gpt/completions",
        )
    ),
    *(f"/models/{rest}" for rest in ("", "x", "v1/chat/completions", "gpt", "files", "deployments/gpt/embeddings")),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape[0]))
async def test_each_address_reaches_the_model_with_the_bytes_that_were_checked(
    gate: Gate, world: World, shape: tuple[str, bytes, str, bytes]
) -> None:
    """Byte for byte, but for the model's own name at the resource, on its own span (T06, T07); no name is left over."""
    path, body, target, sent = shape
    world.upstream.behaviour = says(answer(200, chat()))
    came = await gate.ask("POST", path, headers={**world.person(MEMBER), **JSON}, body=body)
    assert (came.status, came.json()) == (200, chat())
    (seen,) = world.upstream.requests
    assert (seen.method, seen.target, seen.body) == ("POST", target, sent)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_operation_reaches_the_model_byte_for_byte(
    gate: Gate, world: World, operation: str
) -> None:
    """All of the closed table at both of its addresses; a recording of any bytes, and an answer of any bytes."""
    content_type, body = OPERATIONS[operation]
    who = {**world.person(MEMBER), "Content-Type": content_type}
    world.upstream.behaviour = says(answer(200, bytes(range(256)), content_type="audio/wav"))
    for path in ("/openai/v1", "/models", *([f"{OLD}/gpt"] if operation != "responses" else ["/openai"])):
        came = await gate.ask("POST", f"{path}/{operation}", headers=who, body=body)
        assert (came.status, came.body) == (200, bytes(range(256))), path
        seen = world.upstream.requests[-1]
        at = f"{OLD}/gpt" if path.startswith(OLD) else "/openai/v1"
        assert (seen.target, seen.body) == (f"{at}/{operation}", body)
        assert seen.headers["content-type"] == content_type
        assert gate.decision(came)["operation"] == operation


async def test_a_form_gets_the_models_own_name_in_its_own_part(gate: Gate, world: World) -> None:
    """The rewrite of a form touches nothing but that text, not even the same bytes inside the recording."""
    recording = file_part(b"RIFF renamed\x00\xff")
    body = form(MODEL.replace(b"gpt", b"renamed"), recording)
    who = {**world.person(MEMBER), "Content-Type": FORM}
    came = await gate.ask("POST", "/openai/v1/audio/transcriptions", headers=who, body=body)
    assert came.status == 200
    assert world.upstream.requests[0].body == form(MODEL.replace(b"gpt", b"at-the-resource"), recording)


@pytest.mark.parametrize("name", ["gpt", "renamed"])
async def test_the_model_gets_the_gates_own_headers_and_nothing_of_the_callers_t13(
    gate: Gate, world: World, name: str
) -> None:
    """T12, T13: no key, token, principal, cookie or unknown header goes on; the gate's token is for the model's scope."""
    secret = "caller-secret"
    world.upstream.behaviour = says(answer(200, chat(), set_cookie="a=b", openai_organization="inside"))
    came = await gate.chat(
        {
            **world.person(MEMBER),
            "api-key": secret,
            "Authorization": f"Bearer {secret}",
            "Cookie": secret,
            "X-MS-TOKEN-AAD-ID-TOKEN": secret,
            "X-MS-TOKEN-AAD-ACCESS-TOKEN": secret,
            "x-functions-key": secret,
            "x-zumo-auth": secret,
            "Ocp-Apim-Subscription-Key": secret,
            "extra-parameters": "pass-through",
            "OpenAI-Organization": secret,
            "OpenAI-Beta": "assistants=v2",
            "X-Stainless-Lang": "python",
            "x-ms-useragent": secret,
            "X-Forwarded-Host": "evil.example",
            "Accept": "application/json",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        name,
    )
    assert came.status == 200
    names = {one.lower() for one in came.headers} - {"content-length", "date", "server"}
    assert names == {"content-type", "x-request-id", "cache-control", "vary"}
    (seen,) = world.upstream.requests
    assert set(seen.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length", "authorization", "x-request-id",
        "traceparent",
    }  # fmt: skip
    assert secret not in str(seen.headers)
    assert seen.headers["host"] == f"127.0.0.1:{world.upstream.port}"
    assert seen.headers["x-request-id"] == came.request_id
    token = seen.headers["authorization"].removeprefix("Bearer ")
    audience = "https://ai.azure.com" if name == "gpt" else "https://cognitiveservices.azure.com"
    assert world.entra.verify(token, audience=audience) is not None


async def test_a_key_alone_is_nobody(gate: Gate, world: World) -> None:
    """`api-key`, however it is sent, is no sign-in: 401, and it goes nowhere (T13)."""
    for headers in (
        {"api-key": "abc"},
        {"Authorization": "Bearer sk-abc"},
        {"api-key": "abc", "Ocp-Apim-Subscription-Key": "abc"},
    ):
        for path in (CHAT, f"{OLD}/gpt/chat/completions", "/models/chat/completions", "/openai/v1/nowhere"):
            came = await gate.chat(headers, path=path)
            assert came.told == (401, "authentication-required")
            assert came.headers["WWW-Authenticate"] == 'Bearer realm="groupgate"'
    came = await gate.chat(world.person(MEMBER), path=f"{CHAT}?api-key=abc")
    assert came.told == (400, "invalid-request")
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    ("path", "query", "sent"),
    [
        (CHAT, "api-version=latest", "api-version=latest"),
        (CHAT, "api-version=2024-10-21", ""),
        (CHAT, "code=abc&clientId=default", ""),
        (CHAT, "code=abc&api-version=v1", "api-version=v1"),
        (f"{OLD}/gpt/chat/completions", "api-version=preview", None),
        (f"{OLD}/gpt/chat/completions", "api-version=2024-10-21&code=x", "api-version=2024-10-21"),
        (CHAT, "api-version=", None),
        (CHAT, "api-version=2024-10-21-evil", None),
        (CHAT, "api-version=v1&api-version=v1", None),
        (CHAT, "api-version=v1;deployment=secret", None),
        (CHAT, "api-version=v1%26deployment=secret", None),
        (CHAT, "api-version=v1%0d%0aX-Evil:1", None),
        (CHAT, "API-Version=v1", None),
        (CHAT, "model=gpt", None),
        (CHAT, "deployment=secret", None),
        (f"{OLD}/gpt/chat/completions", "deployment=gpt", None),
        (CHAT, "stream=true", None),
        (CHAT, "api-version", None),
        (CHAT, "&&", None),
        (CHAT, "x=" + "a" * 2000, None),
        (CHAT, "allowed_groups=x", None),
        (CHAT, "%ff=1", None),
    ],
)
async def test_the_query_is_taken_by_a_closed_list_t04(
    gate: Gate, world: World, path: str, query: str, sent: str | None
) -> None:
    """T04: versions where they belong, host keys dropped, all else 400 with nothing sent."""
    came = await gate.chat(world.person(MEMBER), path=f"{path}?{query}")
    if sent is None:
        assert came.told == (400, "invalid-request")
        assert world.upstream.requests == []
    else:
        assert came.status == 200
        assert world.upstream.requests[0].target == path + (f"?{sent}" if sent else "")


@pytest.mark.parametrize(
    ("path", "fields", "headers"),
    [
        (f"{OLD}/gpt/chat/completions", {"model": "secret"}, {}),
        (f"{OLD}/secret/chat/completions", {"model": "gpt"}, {}),
        (f"{OLD}/gpt/chat/completions", {"model": "GPT"}, {}),
        (f"{OLD}/gpt/chat/completions", {"model": ""}, {}),
        (f"{OLD}/renamed/chat/completions", {"model": "at-the-resource"}, {}),
        (CHAT, {"model": "gpt"}, {"azureml-model-deployment": "secret"}),
        (CHAT, {"model": "gpt"}, {"x-ms-model-mesh-model-name": "secret"}),
        (CHAT, {}, {"x-ms-model-mesh-model-name": "gpt"}),
        (CHAT, {}, {}),
        ("/models/chat/completions", {"model": "gpt"}, {"azureml-model-deployment": "default"}),
    ],
)  # fmt: skip
async def test_two_names_for_the_model_are_refused_t06(
    gate: Gate, world: World, path: str, fields: dict[str, object], headers: dict[str, str]
) -> None:
    """T06: path, body and headers name one model, else 400, whoever may use which of them; nothing is sent."""
    came = await gate.chat(world.person(MEMBER), None, path=path, headers=headers, **fields)
    assert came.told == (400, "invalid-request")
    assert world.upstream.requests == []
    assert len(gate.records(came.request_id)) == 1


@pytest.mark.parametrize(
    "name", ["gpt\u0000", "Gpt", " gpt", "gpt ", "../gpt", "gpt/../secret", "ｇpt", "a" * 4000, ""]
)
async def test_a_name_that_is_not_quite_a_models_is_nothing(gate: Gate, world: World, name: str) -> None:
    """Names are compared as they are: 403, as for every model that is not there (T02, T06)."""
    came = await gate.chat(world.person(MEMBER), name)
    assert came.told == (403, "forbidden")
    assert gate.decision(came)["reason"] == "unknown-endpoint"
    assert world.upstream.requests == []


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_another_address_is_404_alike_for_all_t02(gate: Gate, world: World, method: str) -> None:
    """T02, T09: member and outsider read the same bytes, and who is nobody 401; nothing is sent by any method."""
    everybody = (world.person(MEMBER), world.person(), {})
    for path in NOWHERE:
        asking = (gate.ask(method, path, headers={**who, **JSON}, body=b"{}") for who in everybody)
        *known, nobody = await asyncio.gather(*asking)
        assert {one.told for one in known} == {(404, "not-found")}, path
        assert len({one.body.replace(one.request_id.encode(), b"") for one in known}) == 1
        assert {*known[0].headers} == {*known[1].headers}
        assert nobody.told == (401, "authentication-required")
    assert world.upstream.requests == []


@pytest.mark.parametrize("where", ["v1/responses/resp_1%00", "deployments/gpt/embeddings%00", "%00"])
async def test_a_null_in_the_path_never_reaches_the_gate(gate: Gate, world: World, where: str) -> None:
    """T02: the host refuses it by itself."""
    came = await gate.ask("POST", f"/openai/{where}", headers={**world.person(MEMBER), **JSON}, body=b"{}")
    assert (came.status, came.body, came.request_id) == (400, b"", "")
    assert world.upstream.requests == []


async def test_a_path_with_dots_is_decided_as_what_it_leads_to(gate: Gate, world: World) -> None:
    """T02: the host resolves it before the gate sees it, and what was decided is what is sent."""
    path = "/openai/v1/../deployments/{}/chat/completions"
    who = world.person(MEMBER)
    assert (await gate.chat(who, None, path=path.format("secret"))).told == (403, "forbidden")
    assert (await gate.chat(who, None, path=path.format("gpt"))).status == 200
    assert [seen.target for seen in world.upstream.requests] == [f"{OLD}/gpt/chat/completions"]


async def test_unknown_and_forbidden_models_look_alike_i02(gate: Gate, world: World) -> None:
    """I02: nobody finds out which models exist, by any address, unless the policy tells help; the audit says why."""
    who = world.person()
    for path in (CHAT, "/models/chat/completions", OLD + "/{}/chat/completions"):
        unknown = await gate.chat(who, "nothing-here", path=path.format("nothing-here"))
        forbidden = await gate.chat(who, "gpt", path=path.format("gpt"))
        assert unknown.told == forbidden.told == (403, "forbidden")
        same = [one.body.replace(one.request_id.encode(), b"") for one in (unknown, forbidden)]
        assert same[0] == same[1]
        assert {*unknown.headers} == {*forbidden.headers}
        assert gate.decision(unknown)["reason"] == "unknown-endpoint"
        assert gate.decision(forbidden)["reason"] == "not-member"
        assert gate.decision(forbidden)["route"] == "model:gpt"
    assert (await gate.chat(who, "helpful")).json()["error"] == {"code": "forbidden", "message": HELP}
    assert world.upstream.requests == []


async def test_one_model_is_allowed_and_another_refused_to_the_same_caller(gate: Gate, world: World) -> None:
    """Each model has its own groups; whoever is in both may use both, and an app like a person."""
    member, both = world.person(MEMBER), world.person(MEMBER, "contractors")
    app = world.person(MEMBER, kind="app", claimed=False)
    for who, name, status in (
        (member, "gpt", 200),
        (member, "secret", 403),
        (both, "secret", 200),
        (app, "gpt", 200),
        (app, "secret", 403),
        (world.person(MEMBER, kind="guest"), "gpt", 403),
    ):
        assert (await gate.chat(who, name)).status == status


async def test_an_operation_that_the_policy_does_not_grant_is_403(gate: Gate, world: World) -> None:
    """By default chat completions and embeddings (T09); what else is asked of the model reads as forbidden."""
    who = world.person(MEMBER)
    assert (await gate.chat(who, "default")).status == 200
    world.upstream.reset()
    for operation in set(OPERATIONS) - {"embeddings"}:
        content_type, body = OPERATIONS[operation]
        came = await gate.ask(
            "POST",
            f"/openai/v1/{operation}",
            headers={**who, "Content-Type": content_type},
            body=body.replace(b"gpt", b"default"),
        )
        assert came.told == (403, "forbidden")
        assert gate.decision(came)["reason"] == "operation-not-allowed"
    assert world.upstream.requests == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_wrong_method_is_405_with_allow(gate: Gate, world: World, method: str) -> None:
    """For each address what it takes, whoever asks; without a caller 401."""
    for who in (world.person(MEMBER), world.person()):
        allowed = {
            CHAT: "POST",
            f"{OLD}/gpt/embeddings": "POST",
            "/models/chat/completions": "POST",
            "/openai/responses": "POST",
            "/openai/v1/responses/resp_1/cancel": "POST",
            "/openai/v1/responses/resp_1": "GET, HEAD, DELETE",
            "/openai/v1/models": "GET, HEAD",
            "/openai/models": "GET, HEAD",
        }
        for path, methods in allowed.items():
            if method in methods.split(", "):
                continue
            came = await gate.ask(method, path, headers=who)
            assert (came.status, came.headers["Allow"]) == (405, methods)
            assert came.slug == ("" if method == "HEAD" else "method-not-allowed")
            assert (await gate.ask(method, path)).status == 401
    assert world.upstream.requests == []


async def test_who_comes_first_and_whether_before_how(gate: Gate, world: World) -> None:
    """401, 404, 405; then the body, which must be read to know the model; then 403 before all else (ruling "Order")."""
    outsider = world.person()
    assert (await gate.chat({}, "gpt", unknown_field=1)).status == 401
    for fields in ({"unknown_field": 1}, {"data_sources": []}, {"max_tokens": -1}):
        assert (await gate.chat(outsider, "gpt", **fields)).told == (403, "forbidden")
    assert (await gate.chat(outsider, "small", user="x" * 2000)).told == (403, "forbidden")
    assert (await gate.chat(outsider, "gpt", path=f"{CHAT}?evil=1")).told == (403, "forbidden")
    assert world.upstream.requests == []


async def test_the_list_of_models_holds_what_the_caller_may_use(gate: Gate, world: World) -> None:
    """At every address where clients ask it, and nothing else is told (I02); `/me` says the same with operations."""
    contractor = world.person("contractors")
    expected = {
        contractor["X-MS-CLIENT-PRINCIPAL-ID"]: ["secret"],
    }
    member, outsider = world.person(MEMBER), world.person()
    expected[member["X-MS-CLIENT-PRINCIPAL-ID"]] = sorted({*MODELS, *LIMITS} - {"secret"})
    expected[outsider["X-MS-CLIENT-PRINCIPAL-ID"]] = []
    for who in (contractor, member, outsider):
        mine = expected[who["X-MS-CLIENT-PRINCIPAL-ID"]]
        for path in ("/openai/v1/models", "/openai/models", "/models/models"):
            came = await gate.ask("GET", f"{path}?api-version=2024-10-21", headers=who)
            assert (came.status, came.json()["object"]) == (200, "list")
            assert sorted(one["id"] for one in came.json()["data"]) == mine
        me = (await gate.ask("GET", "/me", headers=who)).json()
        assert sorted(one["name"] for one in me["models"]) == mine
    assert (await gate.ask("HEAD", "/openai/v1/models", headers=member)).body == b""
    assert (await gate.ask("GET", "/openai/v1/models")).told == (401, "authentication-required")
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    "header", ["Host", "X-Forwarded-Host", "X-Original-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"]
)
async def test_no_header_says_where_the_model_is_t01(gate: Gate, world: World, header: str) -> None:
    """T01: the address is the policy's, whatever a caller sends."""
    came = await gate.chat({**world.person(MEMBER), header: "evil.example"})
    assert came.status == 200
    (seen,) = world.upstream.requests
    assert (seen.target, seen.headers["host"]) == (CHAT, f"127.0.0.1:{world.upstream.port}")
    assert "evil" not in str(seen.headers)


@pytest.mark.parametrize(
    ("status", "expected", "slug", "retries"),
    [
        (400, 400, "", True),
        (429, 429, "", True),
        (401, 502, "upstream-auth-failed", False),
        (403, 502, "upstream-auth-failed", False),
        (404, 502, "upstream-not-found", False),
        (302, 502, "upstream-redirect", False),
        (500, 502, "upstream-error", True),
        (503, 503, "upstream-unavailable", True),
    ],
)
async def test_errors_of_the_model_reach_clients_as_they_read_them(
    gate: Gate, world: World, status: int, expected: int, slug: str, retries: bool
) -> None:
    """The model's own where the policy relays it, else the gate's with `error`; no second call, F09: no waiting."""
    error = {"error": {"code": "ModelSays", "message": "a word of the model"}}
    world.upstream.behaviour = says(answer(status, error, retry_after="86400", location="/elsewhere"))
    who = world.person(MEMBER)
    came = await gate.chat(who)
    assert came.told == (expected, slug)
    assert came.seconds < 2
    assert came.headers.get("Retry-After") == ("86400" if status in (429, 503) else None)
    if not slug:
        assert came.json() == error
        quiet = await gate.chat(who, "quiet")
        assert quiet.status == expected
        assert quiet.json()["error"]["code"] == quiet.slug
        world.upstream.requests.pop()
    elif status != 503:
        assert came.headers.get("x-should-retry") == (None if retries else "false")
    assert len(world.upstream.requests) == 1


async def test_a_forged_principal_is_nobody(gate: Gate, world: World) -> None:
    """S01: a header that is no principal of the tenant is 401 on these addresses too."""
    claims = world.entra.claims(world.name(MEMBER), tid="11111111-2222-4333-8444-555555555555")
    assert (await gate.chat(principal_headers(claims, names="short"))).told == (401, "principal-invalid")
    assert (await gate.chat({**world.person(MEMBER), "X-MS-CLIENT-PRINCIPAL": "e30="})).status == 401
    assert world.upstream.requests == []


async def test_endpoints_and_models_of_one_gate_do_not_mix(gate: Gate, world: World) -> None:
    """E12: a name is looked up among what its address is for, and nowhere else."""
    who = world.person(MEMBER)
    assert (await gate.chat(who, "plain")).told == (403, "forbidden")
    assert (await gate.score(who, "gpt")).told == (403, "forbidden")
    assert (await gate.score(who, "plain")).status == 200
    assert [seen.body for seen in world.upstream.requests] == [BODY]
    assert json.loads(BODY)


async def test_the_audit_held(gate: Gate) -> None:
    """The chain is whole, and no record tells a prompt, an answer or a token (R03)."""
    gate.verify_audit()
    text = b"".join(gate.lines())
    assert b"MARKER-ANSWER" not in text
    assert b"caller-secret" not in text
