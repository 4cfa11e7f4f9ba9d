"""How a request may be asked: address, method, length, size, type, query; in the order of the rulings."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from local.easyauth import principal_headers
from tests.functional.differences import CHUNKED_BODY, REPEATED_HEADER, UNKNOWN_METHOD
from tests.functional.gates import BODY, Gate
from tests.functional.world import HELP, MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """Give a request's head as bytes, with `Connection: close`."""
    lines = {"Host": "gate.test", "Connection": "close", **headers}
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")


def status_of(raw: bytes) -> int:
    """Give the status of a raw answer, 0 when none came."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_a_wrong_method_on_score_is_405_with_allow(gate: Gate, world: World, method: str) -> None:
    """The gate answers it itself, whatever an override header says; HEAD has no body (T16)."""
    override = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "POST", "X-Method-Override": "POST"}
    came = await gate.ask(method, "/endpoints/plain/score", headers=world.person(MEMBER) | override)
    assert (came.status, came.headers["Allow"]) == (405, "POST")
    assert came.body == b"" if method == "HEAD" else came.slug == "method-not-allowed"
    assert world.upstream.requests == []


async def test_a_method_that_http_does_not_know_is_405(gate: Gate, world: World) -> None:
    """Answered by the gate, or in `stream` by the worker's own server before the gate sees it (differences)."""
    came = await gate.ask("PROPFIND", "/endpoints/plain/score", headers=world.person(MEMBER))
    assert (came.status, came.slug) == (405, UNKNOWN_METHOD.of(gate.mode))
    assert world.upstream.requests == []


@pytest.mark.parametrize("path", ["/endpoints/plain/swagger.json", "/me", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
async def test_a_wrong_method_elsewhere_is_405_with_allow(
    gate: Gate, world: World, path: str, method: str
) -> None:
    """Each address names what it takes."""
    came = await gate.ask(method, path, headers=world.person(MEMBER), body=b"{}")
    assert (came.told, came.headers["Allow"]) == ((405, "method-not-allowed"), "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "TRACE"])
async def test_who_comes_before_how(gate: Gate, world: World, method: str) -> None:
    """Without a principal it is 401 whatever the method or the body (ruling "Order")."""
    came = await gate.ask(method, "/endpoints/plain/score", body=b"x" * 100 if method == "POST" else None)
    assert came.told == (401, "authentication-required")
    assert came.headers["WWW-Authenticate"] == 'Bearer realm="groupgate"'
    assert gate.decision(came)["reason"] == "principal-missing"


async def test_whether_comes_before_how(gate: Gate, world: World) -> None:
    """An outsider learns nothing of lengths, sizes or types: 403 for all of them (ruling "Order")."""
    who = world.person()
    for headers, body, query in (
        ({}, b"x" * 2000, ""),
        ({"Content-Type": "text/plain"}, b"x", ""),
        (JSON, b"", ""),
        (JSON, b"{}", "?a=b"),
    ):
        came = await gate.ask("POST", f"/endpoints/small/score{query}", headers={**who, **headers}, body=body)
        assert came.told == (403, "forbidden")


async def test_unknown_and_forbidden_look_alike(gate: Gate, world: World) -> None:
    """Nobody can find out which endpoints exist, unless the policy tells help (I02)."""
    who = world.person()
    unknown = await gate.score(who, "no-such-endpoint")
    forbidden = await gate.score(who, "plain")
    differing = ("instance",)
    same = [{k: v for k, v in one.json().items() if k not in differing} for one in (unknown, forbidden)]
    assert same[0] == same[1]
    assert {*unknown.headers} == {*forbidden.headers}
    assert gate.decision(unknown)["reason"] == "unknown-endpoint"
    assert gate.decision(forbidden)["reason"] == "not-member"
    assert (await gate.score(who, "fraud")).json()["detail"] == HELP


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/endpoints",
        "/endpoints/plain",
        "/endpoints/plain/score/more",
        "/endpoints//score",
        "/openapi.json",
        "/endpoints/plain/jobs",
        "/admin/host/status",
        "/.auth/me",
        "/endpoints/plain/swagger.yaml",
        "/endpoints/plain/../../score",
        "//endpoints/plain/score",
    ],
)
async def test_other_addresses_are_the_hosts_bare_404(gate: Gate, world: World, path: str) -> None:
    """No function has them, so the gate never sees them; nothing reaches the model."""
    came = await gate.ask("POST", path, headers={**world.person(MEMBER), **JSON}, body=BODY)
    assert (came.status, came.body, came.request_id) == (404, b"", "")
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "PLAIN",
        "plain%20",
        "plain%00",
        "plain%2F..%2Ffraud",
        "..%2Fplain",
        "%2e%2e%2fplain",
        "%252e%252e",
        "plain%252Fscore",
        "plain%5C..%5Cfraud",
        "plain;v=1",
        "plain%3F",
        "plain%23",
        "plain%0d%0aX-Evil:1",
        "plain@evil.example",
        "http:%2F%2Fevil.example%2F",
        "%EF%BC%8E%EF%BC%8E",
        "pl%C3%A4in",
        "%ff",
        "plain%E2%80%8B",
        "a" * 65,
        "a" * 4000,
        "-plain",
        ".plain",
        "{name}",
        "$(id)",
        "%25",
    ],
)
async def test_no_spelling_of_a_name_reaches_anything_else(gate: Gate, world: World, name: str) -> None:
    """A malformed name is an unknown one: 403, or the host's own 400 or 404 (T02, T03); never another endpoint."""
    raw = await gate.raw(
        head(
            "POST",
            f"/endpoints/{name}/score",
            {**world.person(MEMBER), **JSON, "Content-Length": str(len(BODY))},
        )
        + BODY
    )
    assert status_of(raw) in (400, 403, 404)
    assert world.upstream.requests == []
    assert b"evil" not in raw.lower()


async def test_dots_and_double_encodings_never_change_the_models_path(gate: Gate, world: World) -> None:
    """Whatever the host makes of a path, the model is only ever asked at the policy's own URL (T01)."""
    who = {**world.person(MEMBER), **JSON, "Content-Length": str(len(BODY))}
    for path in (
        "/endpoints/x/../plain/score",
        "/endpoints/plain/./score",
        "/endpoints/%70lain/score",
        "/Endpoints/plain/SCORE",
        "/endpoints/plain/score/",
        "http://evil.example/endpoints/plain/score",
    ):
        raw = await gate.raw(head("POST", path, who) + BODY)
        assert status_of(raw) in (200, 400, 403, 404), path
    assert {seen.target for seen in world.upstream.requests} <= {"/plain/score"}
    assert {seen.headers["host"] for seen in world.upstream.requests} <= {world.upstream.url[7:]}


@pytest.mark.parametrize("query", ["?a=b", "?", "?code=1&x=%00", "?api-version=2024-01-01"])
async def test_a_query_on_score_is_400(gate: Gate, world: World, query: str) -> None:
    """There is none to forward; a bare question mark is an empty query and passes (T04)."""
    came = await gate.ask(
        "POST", f"/endpoints/plain/score{query}", headers={**world.person(MEMBER), **JSON}, body=BODY
    )
    if query == "?":
        assert came.status == 200
        assert world.upstream.requests[0].target == "/plain/score"
    else:
        assert came.told == (400, "invalid-request")
        assert world.upstream.requests == []


async def test_a_body_at_the_limit_passes_and_over_it_is_413(gate: Gate, world: World) -> None:
    """`max-body = "1KiB"`: 1024 bytes go on, 1025 do not (D01)."""
    who = world.person(MEMBER)
    assert (await gate.score(who, "small", body=b"x" * 1024)).status == 200
    assert world.upstream.requests[0].body == b"x" * 1024
    assert (await gate.score(who, "small", body=b"x" * 1025)).told == (413, "payload-too-large")
    assert len(world.upstream.requests) == 1


async def test_a_declared_length_over_the_limit_is_refused(gate: Gate, world: World) -> None:
    """Four mebibytes and one byte at an endpoint of the default size."""
    who = world.person(MEMBER)
    size = 4 * 1024 * 1024
    assert (await gate.score(who, body=b"x" * (size + 1))).told == (413, "payload-too-large")
    assert (await gate.score(who, body=b"x" * size)).status == 200


async def test_no_length_and_length_zero_are_411(gate: Gate, world: World) -> None:
    """A POST without a body has nothing to score."""
    who = {**world.person(MEMBER), **JSON}
    for length in ({}, {"Content-Length": "0"}):
        raw = await gate.raw(head("POST", "/endpoints/plain/score", {**who, **length}))
        assert status_of(raw) == 411
        assert b"length-required" in raw
    assert world.upstream.requests == []


async def test_a_chunked_body(gate: Gate, world: World) -> None:
    """Taken where it can be read, refused where it would be lost (differences)."""
    came = await gate.score(world.person(MEMBER), body=_parts(BODY[:10], BODY[10:]))
    assert came.status == CHUNKED_BODY.of(gate.mode)
    assert [seen.body for seen in world.upstream.requests] == ([BODY] if came.status == 200 else [])


async def test_a_chunked_body_over_the_limit_is_never_forwarded(gate: Gate, world: World) -> None:
    """Counted as it comes: 413 where chunks are taken, 411 elsewhere; an empty one is 411 (D01)."""
    who = world.person(MEMBER)
    came = await gate.score(who, "small", body=_parts(*[b"x" * 100] * 11))
    assert came.status == (413 if CHUNKED_BODY.of(gate.mode) == 200 else 411)
    assert (await gate.score(who, body=_parts())).told == (411, "length-required")
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    ("content_type", "goes_on_as"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json; charset=utf-8"),
        ('application/json; charset="UTF-8"', 'application/json; charset="UTF-8"'),
        ("application/json; charset=utf-16", None),
        ("application/json; charset=utf-7", None),
        ("application/jsonp", None),
        ("text/plain", None),
        ("text/html, application/json", None),
        ("application/json; evil=1", None),
        ("multipart/form-data; boundary=x", None),
        ("", None),
        ("*/*", None),
    ],
)
async def test_content_types(gate: Gate, world: World, content_type: str, goes_on_as: str | None) -> None:
    """Only what the policy takes goes on, in one spelling; everything else is 415 (T08)."""
    came = await gate.score(world.person(MEMBER), Content_Type=content_type)
    if goes_on_as is None:
        assert came.told == (415, "unsupported-media-type")
        assert world.upstream.requests == []
    else:
        assert came.status == 200
        assert world.upstream.requests[0].headers["content-type"] == goes_on_as


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_a_compressed_request_is_415(gate: Gate, world: World, encoding: str) -> None:
    """Nothing is unpacked, nor sent on for the model to unpack (D03)."""
    came = await gate.score(world.person(MEMBER), Content_Encoding=encoding)
    assert came.told == (415, "unsupported-media-type")
    assert world.upstream.requests == []


async def test_a_repeated_deployment_header_names_no_deployment(gate: Gate, world: World) -> None:
    """Two values, in two lines or one, are no name that a policy can hold: 403 in either spelling of the join (T05)."""
    who = {**world.person(MEMBER), **JSON, "Content-Length": str(len(BODY))}
    lines = head("POST", "/endpoints/plain/score", who).removesuffix(b"\r\n")
    raw = await gate.raw(lines + b"azureml-model-deployment: a\r\nazureml-model-deployment: b\r\n\r\n" + BODY)
    assert status_of(raw) == 403
    assert gate.records()[-1]["deployment"] == REPEATED_HEADER.of(gate.mode)
    for value in ("blue, blue", "blue,", "Blue", "", " ", "green"):
        came = await gate.score(who, azureml_model_deployment=value)
        assert came.told in ((403, "forbidden"), (400, "")), value
    assert world.upstream.requests == []
    assert (await gate.score(who, azureml_model_deployment="blue")).status == 200


@pytest.mark.parametrize(
    "name", ["X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID", "X-MS-CLIENT-PRINCIPAL-IDP"]
)
async def test_a_principal_header_that_comes_twice_is_401(gate: Gate, world: World, name: str) -> None:
    """Whoever adds one to the platform's is found out in both ways of hosting (S08)."""
    who, other = world.person(MEMBER), world.person(MEMBER)
    lines = head("POST", "/endpoints/plain/score", {**who, **JSON, "Content-Length": str(len(BODY))})
    twice = f"{name}: {other[name]}\r\n\r\n".encode()
    raw = await gate.raw(lines.removesuffix(b"\r\n") + twice + BODY)
    assert status_of(raw) == 401
    assert gate.records()[-1]["reason"] == "principal-malformed"
    assert world.upstream.requests == []


async def test_smuggled_requests_reach_nothing(gate: Gate, world: World) -> None:
    """Both lengths, or two of them, never make a second request to the model (T14)."""
    who = {**world.person(MEMBER), **JSON}
    hidden = b"0\r\n\r\nPOST /endpoints/plain/score HTTP/1.1\r\nHost: x\r\n\r\n"
    for extra in (
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 99",
    ):
        lines = head("POST", "/endpoints/plain/score", who).removesuffix(b"\r\n")
        raw = await gate.raw(lines + extra.encode() + b"\r\n\r\n" + hidden)
        assert status_of(raw) in (0, 400, 401, 411)
    assert world.upstream.requests == []


async def test_me_tells_the_caller_what_it_may_call_and_nobody_what_exists(gate: Gate, world: World) -> None:
    """`GET /me`: the endpoints of a member; of an outsider none; 401 without a principal; HEAD without a body."""
    who = world.person(MEMBER)
    came = await gate.ask("GET", "/me", headers=who)
    page = came.json()
    assert (came.status, page["principal"], page["kind"]) == (200, who["X-MS-CLIENT-PRINCIPAL-ID"], "user")
    fraud = next(one for one in page["endpoints"] if one["name"] == "fraud")
    assert fraud == {
        "name": "fraud",
        "kind": "online",
        "score": "/endpoints/fraud/score",
        "deployments": ["blue"],
    }
    assert (await gate.ask("GET", "/me", headers=world.person())).json()["endpoints"] == []
    assert (await gate.ask("HEAD", "/me", headers=who)).body == b""
    assert (await gate.ask("GET", "/me")).told == (401, "authentication-required")


async def test_healthz_and_readyz_tell_a_status_and_nothing_else(gate: Gate, world: World) -> None:
    """No principal is read, no data is told."""
    for path in ("/healthz", "/readyz"):
        came = await gate.ask("GET", path, headers={"X-MS-CLIENT-PRINCIPAL": "garbage"})
        assert (came.status, came.body) == (200, b"")
        assert came.request_id


async def test_another_sites_page_cannot_use_a_callers_cookie(gate: Gate, world: World) -> None:
    """A cookie and a foreign `Sec-Fetch-Site` or `Origin` is 403 (S23)."""
    who = world.person(MEMBER)
    cookie = {"Cookie": "AppServiceAuthSession=1"}
    assert (await gate.score({**who, **cookie}, Sec_Fetch_Site="cross-site")).told == (403, "forbidden")
    assert (await gate.score({**who, **cookie}, Origin="https://evil.example")).told == (403, "forbidden")
    assert (await gate.score({**who, **cookie}, Sec_Fetch_Site="same-origin")).status == 200
    assert len(world.upstream.requests) == 1


async def test_every_kind_of_caller_that_no_rule_names_is_403(gate: Gate, world: World) -> None:
    """A guest in the group, a contractor and somebody in no group are refused; an app in the group is not (S15, S16)."""
    assert (await gate.score(world.person(MEMBER, kind="guest"))).told == (403, "forbidden")
    assert (await gate.score(world.person(MEMBER, "contractors"), "fraud")).told == (403, "forbidden")
    assert (await gate.score(world.person("contractors", "ml-engineers"))).told == (403, "forbidden")
    assert world.upstream.requests == []
    assert (await gate.score(world.person(MEMBER, kind="app", claimed=False))).status == 200


async def test_long_and_short_claim_names_name_the_same_caller(gate: Gate, world: World) -> None:
    """With the token store on, the platform writes long names: the same answer, the same principal on record (F42)."""
    name = world.name(MEMBER)
    claims = world.entra.claims(name)
    told = []
    for who in (principal_headers(claims, names="short"), principal_headers(claims, names="long")):
        came = await gate.score(who)
        told.append((came.status, gate.decision(came)["principal"], gate.decision(came)["kind"]))
    assert told[0] == told[1]
    assert told[0][0] == 200


async def test_the_audit_held_through_all_of_it(gate: Gate) -> None:
    """Every line is a record, in a chain."""
    gate.verify_audit()


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)
