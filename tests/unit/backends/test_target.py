"""The addresses of models: a closed table in, and out nothing but the policy's host and the table's paths."""

from __future__ import annotations

import re
from typing import get_args
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends.target import Target, query_of, target_of, url_of
from shared.operations import ModelOperation
from shared.problem import AskedWrongly, Slug
from tests.fakes import RESOURCE, a_model

OPERATIONS = get_args(ModelOperation)
IN_PATH = [operation for operation in OPERATIONS if operation != "responses"]
NOTHING = Target(operation="", methods=())
OLD = target_of("openai", "deployments/gpt/chat/completions", "POST")
V1 = target_of("openai", "v1/chat/completions", "POST")
RETRIEVE = target_of("openai", "v1/responses/resp_1", "GET")

SHAPES = [
    *((("openai", f"deployments/gpt/{op}", "POST"), op, "gpt", f"deployments/gpt-blue/{op}") for op in IN_PATH),
    *((("openai", f"v1/{op}", "POST"), op, None, f"v1/{op}") for op in OPERATIONS),
    *((("models", op, "POST"), op, None, f"v1/{op}") for op in OPERATIONS),
    (("openai", "responses", "POST"), "responses", None, "v1/responses"),
]  # fmt: skip
STORED = [
    *(
        ((route, f"{prefix}responses/resp_aB-1", method), operation, "v1/responses/resp_aB-1")
        for route, prefix in (("openai", "v1/"), ("openai", ""), ("models", ""))
        for method, operation in (("GET", "responses/retrieve"), ("HEAD", "responses/retrieve"), ("DELETE", "responses/delete"))
    ),
    *(
        ((route, f"{prefix}responses/resp_aB-1/cancel", "POST"), "responses/cancel", "v1/responses/resp_aB-1/cancel")
        for route, prefix in (("openai", "v1/"), ("openai", ""), ("models", ""))
    ),
]  # fmt: skip


@pytest.mark.parametrize(("address", "operation", "model", "path"), SHAPES)
def test_each_shape_of_each_operation_has_its_address(
    address: tuple[str, str, str], operation: str, model: str | None, path: str
) -> None:
    """Protocols, 6.1: the three URL shapes; `/models/` and what AzureOpenAI asks beside deployments go on as v1."""
    target = target_of(*address)
    assert (target.operation, target.model, target.id, target.methods) == (operation, model, None, ("POST",))
    assert url_of(target, a_model(), "") == f"{RESOURCE}/openai/{path}"


@pytest.mark.parametrize(("address", "operation", "path"), STORED)
def test_a_stored_response_has_its_addresses(
    address: tuple[str, str, str], operation: str, path: str
) -> None:
    """Retrieve, delete and cancel of a response by its id, in every shape that a client builds."""
    target = target_of(*address)
    assert (target.operation, target.model, target.id) == (operation, None, "resp_aB-1")
    assert address[2] in target.methods
    assert url_of(target, a_model(), "") == f"{RESOURCE}/openai/{path}"


@pytest.mark.parametrize(
    ("rest", "methods"),
    [
        ("v1/chat/completions", ("POST",)),
        ("deployments/gpt/embeddings", ("POST",)),
        ("v1/responses/resp_1", ("GET", "HEAD", "DELETE")),
        ("v1/responses/resp_1/cancel", ("POST",)),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", ""])
def test_t16_each_address_takes_its_methods_whatever_is_asked(
    rest: str, methods: tuple[str, ...], method: str
) -> None:
    """T16: which methods an address takes does not depend on the one that came, nor does what it is."""
    target = target_of("openai", rest, method)
    assert target.methods == methods
    assert target.operation


NONE = [
    "", "/", "v1", "v1/", "deployments", "deployments/", "deployments/gpt", "deployments/gpt/",
    # what the services have, and the table has not
    "v1/files", "v1/files/file-1", "v1/files/file-1/content", "v1/fine_tuning/jobs", "v1/batches", "v1/assistants",
    "v1/threads", "v1/threads/t/runs", "v1/vector_stores", "v1/uploads", "v1/containers", "v1/conversations",
    "v1/conversations/conv_1", "v1/responses/resp_1/input_items",
    "v1/images/edits", "v1/images/variations", "v1/audio/translations", "v1/audio/voices", "v1/moderations",
    "v1/realtime", "v1/realtime/sessions", "v1/evals", "v1/videos", "v1/models/gpt", "v1/chat/completions/cc_1",
    "deployments/gpt/extensions/chat/completions", "deployments/gpt/responses", "deployments/gpt/models",
    "deployments/gpt/audio/translations", "files", "chat/completions", "embeddings", "assistants", "deployments/gpt/chat",
    # other case, other ends
    "V1/chat/completions", "v1/Chat/Completions", "v1/CHAT/COMPLETIONS", "Deployments/gpt/chat/completions", "Responses",
    "v1/chat/completions/", "v1/chat/completions//", "v1//chat/completions", "v1/chat//completions", "/v1/chat/completions",
    "//v1/chat/completions", "deployments/gpt//chat/completions", "deployments/gpt/chat/completions/", "responses/",
    "v1/responses/", "v1/responses//", "v1/responses//cancel", "v1/responses/resp_1/", "v1/responses/resp_1/cancel/",
    "v1/responses/resp_1/Cancel", "v1/chat/completions ", " v1/chat/completions", "v1/chat/completions\n", "v1/chat/completions\0",
    # T02: traversal, in every writing
    "../v1/chat/completions", "v1/../v1/chat/completions", "v1/./chat/completions", "v1/chat/../chat/completions",
    "v1/chat/completions/..", "v1/chat/completions/../../files", "v1/%2e%2e/v1/chat/completions", "v1/chat%2fcompletions",
    "v1/chat%2Fcompletions", "v1%2fchat%2fcompletions", "v1/%63hat/completions", "v1/chat\\completions", "v1/..\\v1\\chat",
    "v1/chat/completions%00", "v1/chat/completions%20", "v1/%252e%252e/files", "v1/chat/completions;a=b", "v1;/chat/completions",
    "v1/chat/completions#x", "v1/chat/completions?model=x", "v1/chat/completions%3fmodel=x", "v1/chat／completions",
    "v1/chat\u2215completions", "v1/..%2f..%2fchat/completions", "v1/\uff0e\uff0e/chat/completions", "v1/chat/completions\u200b",
    "https://evil.test/v1/chat/completions", "deployments/gpt/../other/chat/completions", "deployments/gpt/%2e%2e/x/chat/completions",
    "deployments/../deployments/gpt/chat/completions/x", "deployments/a/b/chat/completions",
    # ids that are none
    "v1/responses/..", "v1/responses/.", "v1/responses/resp.1", "v1/responses/resp 1", "v1/responses/resp%201",
    "v1/responses/resp_1%2fcancel", "v1/responses/..%2ffiles", "v1/responses/resp_1;x", "v1/responses/resp_\u00e9",
    "v1/responses/resp_1\n", "v1/responses/" + "x" * 129, "v1/responses/resp_1/../resp_2", "v1/responses/../files/cancel",
]  # fmt: skip


@pytest.mark.parametrize("rest", NONE)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_t02_what_is_not_in_the_table_is_nothing(rest: str, method: str) -> None:
    """T02, T03, T09: other operations, other spellings and traversal in every writing are one and the same nothing."""
    assert target_of("openai", rest, method) == NOTHING


@pytest.mark.parametrize(
    "rest",
    [
        "", "/", "v1/chat/completions", "openai/v1/chat/completions", "deployments/gpt/chat/completions", "chat",
        "chat/completions/", "Chat/completions", "../openai/v1/chat/completions", "chat%2fcompletions", "info", "models",
        "responses/..", "images/embeddings",
    ],
)  # fmt: skip
def test_t02_the_shape_of_azure_ai_inference_is_closed_too(rest: str) -> None:
    """T02: under `/models/` stand the operations alone."""
    assert target_of("models", rest, "POST") == NOTHING


@pytest.mark.parametrize(
    "model", ["", "..", ".", "%2e%2e", "gpt%2f..", "gpt;x", "gpt?x", "gpt#x", "gpt\n", "\0", "é", "x" * 5000]
)
def test_t02_a_model_in_the_path_is_looked_up_and_never_put_into_an_address(model: str) -> None:
    """T02, T03: whatever stands in the deployment's place is a key to look up; upstream stands the policy's own."""
    target = target_of("openai", f"deployments/{model}/embeddings", "POST")
    assert target.model == model
    assert url_of(target, a_model(), "") == f"{RESOURCE}/openai/deployments/gpt-blue/embeddings"


PIECES = [
    "v1", "deployments", "responses", "cancel", "models", "chat", "completions", "embeddings", "images/generations",
    "audio/speech", "gpt", "..", ".", "%2e%2e", "", "resp_1", "//evil.test", "@evil.test", ":443", "\\", "?", "#", ";", "\n",
]  # fmt: skip
PATHS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=7).map("/".join),
)
ON_THE_WIRE = re.compile(
    "|".join(
        (
            *(f"/openai/v1/{operation}" for operation in OPERATIONS),
            *(f"/openai/deployments/gpt-blue/{operation}" for operation in IN_PATH),
            "/openai/v1/responses/[A-Za-z0-9_-]{1,128}(/cancel)?",
        )
    )
)


@given(
    st.sampled_from(["openai", "models"]),
    PATHS,
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "X"]),
    st.text(max_size=40),
)
@settings(max_examples=500, deadline=None)
def test_p6_any_path_leads_to_the_policys_host_and_a_path_of_the_table(
    route: str, rest: str, method: str, query: str
) -> None:
    """P6, T01 to T04: whatever path and query come, what is sent is the policy's address and a path of the table."""
    target = target_of(route, rest, method)
    if target == NOTHING:
        return
    try:
        kept = query_of(target, query)
    except AskedWrongly:
        kept = ""
    url = url_of(target, a_model(), kept)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "contoso.openai.azure.com", "")
    assert ON_THE_WIRE.fullmatch(parts.path), url
    assert re.fullmatch(r"[A-Za-z0-9_.&=%+-]*", parts.query)


DATED = "api-version=2024-10-21"
QUERIES: list[tuple[Target, str, str | None]] = [
    (OLD, "", ""),
    (OLD, DATED, DATED),
    (OLD, "api-version=2025-04-01-preview", "api-version=2025-04-01-preview"),
    (OLD, "api%2Dversion=2024-10-21", DATED),
    (OLD, f"{DATED}&code=host-key", DATED),
    (OLD, f"clientId=x&{DATED}", DATED),
    (OLD, "code=host-key", ""),
    (OLD, "code=", ""),
    (V1, "api-version=preview", "api-version=preview"),
    (OLD, "api-version=preview", None),
    (V1, "api-version=v1", "api-version=v1"),
    (OLD, "api-version=v1", None),
    (V1, "api-version=latest", "api-version=latest"),
    (OLD, "api-version=latest", None),
    (V1, DATED, ""),
    (OLD, f"{DATED}&{DATED}", None),
    (OLD, f"{DATED}&api-version=2023-05-15", None),
    (OLD, f"{DATED}&api%2dversion=2023-05-15", None),
    (OLD, "code=a&code=b", None),
    (OLD, "Code=host-key", None),
    (OLD, "CLIENTID=x", None),
    (OLD, "Api-Version=2024-10-21", None),
    (OLD, "api_version=2024-10-21", None),
    (OLD, "api-version=", None),
    (OLD, "api-version=2024-10-21;code=x", None),
    (OLD, f"{DATED};deployment=gpt-secret", None),
    (OLD, "api-version=2024-10-21%26deployment=x", None),
    (OLD, "api-version=2024-10-21%0d%0ax:y", None),
    (OLD, "api-version=2024-10-21%00", None),
    (OLD, "api-version=2024-10-21 ", None),
    (OLD, "api-version=%2e%2e", None),
    (OLD, "api-version=\u0662024-10-21", None),
    (OLD, "api-version=2024-10-21-PREVIEW", None),
    (OLD, "model=gpt", None),
    (OLD, "deployment=gpt-secret", None),
    (V1, "model=gpt-secret", None),
    (V1, "allowed_groups=all", None),
    (V1, "subscription-key=x", None),
    (V1, "api-key=x", None),
    (V1, "stream=true", None),
    (V1, "&", None),
    (V1, "=", None),
    (V1, "api-version", None),
    (V1, "api-version=v1&", None),
    (V1, "?api-version=v1", None),
    (V1, "api-version=%ff", None),
    (V1, "code=" + "x" * 2000, None),
    (V1, "&".join(f"code{n}=x" for n in range(40)), None),
    (RETRIEVE, "stream=true&starting_after=12", "stream=true&starting_after=12"),
    (RETRIEVE, "include[]=a.b&include[]=c_d", "include%5B%5D=a.b&include%5B%5D=c_d"),
    (RETRIEVE, "include_obfuscation=false", "include_obfuscation=false"),
    (RETRIEVE, "stream=1", None),
    (RETRIEVE, "stream=true&stream=false", None),
    (RETRIEVE, "starting_after=-1", None),
    (RETRIEVE, "include[]=../x", None),
    (RETRIEVE, "include=x", None),
    (target_of("openai", "v1/responses/resp_1", "DELETE"), "stream=true", None),
    (target_of("openai", "v1/responses/resp_1/cancel", "POST"), "stream=true", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "raw", "kept"), QUERIES, ids=[f"{t.operation} {q[:60]!r}" for t, q, _ in QUERIES]
)
def test_t04_only_known_parameters_go_on_and_none_twice(target: Target, raw: str, kept: str | None) -> None:
    """T04, E10: an allow-list for each operation; twice or unknown is 400; `code` and `clientId` go nowhere."""
    if kept is not None:
        assert query_of(target, raw) == kept
        return
    with pytest.raises(AskedWrongly) as refused:
        query_of(target, raw)
    assert refused.value.slug is Slug.INVALID_REQUEST
    # The text is fixed: nothing that came is in it.
    assert (
        refused.value.detail
        == "The query has a parameter that is not taken here, comes twice, or has a value that is not taken."
    )


def test_t04_there_are_forty_cases() -> None:
    """T04: the table holds at least 40 cases."""
    assert len(QUERIES) >= 40


@given(
    st.text(max_size=120)
    | st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5).map(
        lambda pairs: "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    )
)
@settings(max_examples=300, deadline=None)
def test_t04_any_query_is_refused_or_becomes_one_of_known_parameters(raw: str) -> None:
    """T04: whatever comes, an answer is AskedWrongly or a query of known names and plain values."""
    for target in (OLD, V1, RETRIEVE):
        try:
            kept = query_of(target, raw)
        except AskedWrongly:
            continue
        assert re.fullmatch(
            r"(api-version|stream|include_obfuscation|starting_after|include%5B%5D|=|&|[a-z0-9_.-])*", kept
        )
