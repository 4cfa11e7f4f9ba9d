"""What the model's service answers, and what of it reaches the caller (threats, section 6, "Upstream")."""

import asyncio
import gzip
import json
from email.utils import formatdate
from time import time

import pytest

from tests.functional.differences import CUT_ANSWER, FIRST_PIECE, LATE_TIMEOUT
from tests.functional.gates import BODY, Answer, Gate, until
from tests.functional.upstream import (
    STREAM_HEAD,
    Exchange,
    answer,
    chunk,
    resets,
    says,
    silent,
)
from tests.functional.world import MEMBER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
ERROR = {"error": {"code": "ModelSays", "message": "a word of the model"}}

STATUSES = [
    # status, what comes, slug, whether the model's own JSON is relayed
    *((status, 502, "upstream-redirect", False) for status in (300, 301, 302, 303, 304, 307, 308)),
    (401, 502, "upstream-auth-failed", False),
    (403, 502, "upstream-auth-failed", False),
    (404, 502, "upstream-not-found", False),
    (408, 504, "upstream-timeout", False),
    *((status, status, "upstream-rejected", True) for status in (400, 409, 413, 415, 422)),
    (424, 424, "model-error", True),
    (429, 429, "upstream-rate-limited", True),
    (418, 502, "upstream-error", False),
    (500, 502, "upstream-error", False),
    (502, 502, "upstream-error", False),
    (503, 503, "upstream-unavailable", False),
    (504, 504, "upstream-timeout", False),
    (599, 502, "upstream-error", False),
]


def is_cut(gate: Gate, answer: Answer, *, late: bool = False) -> bool:
    """Say whether a body that did not end came as it must in this way of hosting."""
    expected = (LATE_TIMEOUT if late else CUT_ANSWER).of(gate.mode)
    if expected == "aborted":
        return (answer.status, answer.whole) == (200, False)
    return bool(answer.status == expected)


async def test_a_success_comes_whole_with_its_type_and_no_header_of_the_model(
    gate: Gate, world: World
) -> None:
    """200 with the model's bytes; of its headers only Content-Type, with the gate's own (I03, I05)."""
    world.upstream.behaviour = says(
        answer(server="secret-server", set_cookie="a=b", x_ms_request_id="inside", www_authenticate="Basic")
    )
    came = await gate.score(world.person(MEMBER))
    assert (came.status, came.json()) == (200, {"prediction": ["setosa"]})
    names = {name.lower() for name in came.headers} - {
        "content-length",
        "transfer-encoding",
        "date",
        "server",
    }
    assert names == {"content-type", "x-request-id", "cache-control", "vary"}
    assert "secret-server" not in str(came.headers)


async def test_the_model_gets_the_gates_own_headers_and_nothing_of_the_callers(
    gate: Gate, world: World
) -> None:
    """No token, principal, cookie or unknown header of the caller goes on; the gate's token and request id do (T12, T13)."""
    came = await gate.score(
        world.person(MEMBER),
        Authorization="Bearer caller-secret",
        Cookie="AppServiceAuthSession=secret",
        X_Forwarded_For="1.2.3.4",
        X_Evil="1",
        Proxy_Authorization="secret",
        azureml_model_deployment="blue",
    )
    assert came.status == 200
    (seen,) = world.upstream.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/plain/score", BODY)
    assert set(seen.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length", "authorization",
        "x-request-id", "azureml-model-deployment",
    }  # fmt: skip
    assert seen.headers["x-request-id"] == came.request_id
    assert seen.headers["accept-encoding"] == "identity"
    token = seen.headers["authorization"].removeprefix("Bearer ")
    assert world.entra.verify(token, audience="https://ml.azure.com") is not None


@pytest.mark.parametrize("row", STATUSES, ids=str)
async def test_each_status_of_the_model_has_its_answer(
    gate: Gate, world: World, row: tuple[int, int, str, bool]
) -> None:
    """One request, no second try, no redirect followed (T17); the model's JSON only where the policy relays it (I04)."""
    status, expected, slug, relayed = row
    location = {"location": f"{world.upstream.url}/elsewhere"} if status < 400 else {}
    world.upstream.behaviour = says(answer(status, b"" if status == 304 else ERROR, **location))
    came = await gate.score(world.person(MEMBER))
    assert came.status == expected
    assert [seen.target for seen in world.upstream.requests] == ["/plain/score"]
    if relayed:
        assert came.json() == ERROR
    else:
        assert came.slug == slug
    outcome = await gate.outcome(came)
    assert (outcome["outcome"], outcome["upstream_status"]) == (f"upstream-{status}", status)
    assert outcome["status"] == expected


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422, 424, 429])
async def test_an_error_is_not_relayed_where_the_policy_says_so(
    gate: Gate, world: World, status: int
) -> None:
    """`relay-errors = false`: the gate's own problem with the same status."""
    world.upstream.behaviour = says(answer(status, ERROR))
    came = await gate.score(world.person(MEMBER), "quiet")
    assert came.status == status
    assert came.slug
    assert b"ModelSays" not in came.body


@pytest.mark.parametrize(
    "body",
    [b"<html>stack trace</html>", b"", b'{"a": NaN}', b'{"a": "' + b"x" * 70_000 + b'"}', b"\xff\xfe{}"],
    ids=["HTML", "nothing", "NaN", "more than 64 KiB", "not UTF-8"],
)
async def test_an_error_that_is_no_short_json_is_not_relayed(gate: Gate, world: World, body: bytes) -> None:
    """A model's page, or a flood of error, becomes the gate's problem (T19)."""
    world.upstream.behaviour = says(answer(400, body))
    came = await gate.score(world.person(MEMBER))
    assert came.told == (400, "upstream-rejected")


async def test_424_tells_the_models_own_status(gate: Gate, world: World) -> None:
    """Digits only; anything else of that header stays inside."""
    world.upstream.behaviour = says(answer(424, ERROR, ms_azureml_model_error_statuscode="500"))
    came = await gate.score(world.person(MEMBER))
    assert came.headers["ms-azureml-model-error-statuscode"] == "500"
    world.upstream.behaviour = says(answer(424, ERROR, ms_azureml_model_error_statuscode="5x; drop"))
    came = await gate.score(world.person(MEMBER))
    assert (came.status, "ms-azureml-model-error-statuscode" in came.headers) == (424, False)


@pytest.mark.parametrize("relay", [True, False], ids=["relayed", "own problem"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("7", "7"),
        ("0", "0"),
        ("1.5", "2"),
        ("999999999", "86400"),
        ("soon", None),
        ("-3", None),
        ("DATE", "100"),
    ],
)
async def test_retry_after_of_a_429_goes_out_in_seconds(
    gate: Gate, world: World, value: str, told: str | None, relay: bool
) -> None:
    """At most a day, from seconds or a date; nonsense is left out (ruling "Retry-After")."""
    sent = formatdate(time() + 100, usegmt=True) if value == "DATE" else value
    world.upstream.behaviour = says(answer(429, ERROR, retry_after=sent))
    came = await gate.score(world.person(MEMBER), "plain" if relay else "quiet")
    assert came.status == 429
    given = came.headers.get("Retry-After")
    assert given in ((told, "99") if value == "DATE" else (told,))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_model_that_refuses_the_gate_is_asked_once_and_gets_a_new_token_next_time(
    gate: Gate, world: World, status: int
) -> None:
    """502 with one call and no challenge of the model; the next request brings a fresh token (I04, F13)."""
    scope = f"scope-{status % 10}"
    who = world.person(MEMBER)
    assert (await gate.score(who, scope)).status == 200
    world.upstream.reset()
    world.upstream.behaviour = says(answer(status, ERROR, www_authenticate="Bearer inside"))
    before = world.token_calls()
    came = await gate.score(who, scope)
    assert came.told == (502, "upstream-auth-failed")
    assert "WWW-Authenticate" not in came.headers
    assert len(world.upstream.requests) == 1
    old = world.upstream.requests[0].headers["authorization"]
    world.upstream.reset()
    assert (await gate.score(who, scope)).status == 200
    assert world.upstream.requests[0].headers["authorization"] != old
    assert world.token_calls() == before + 1


async def test_a_model_that_refuses_connections_is_502_quickly(gate: Gate, world: World) -> None:
    """At most one more try, since nothing was sent; then 502 upstream-unreachable."""
    who = world.person(MEMBER)
    assert (await gate.score(who)).status == 200
    await world.upstream.stop()
    came = await gate.score(who)
    assert came.told == (502, "upstream-unreachable")
    assert came.seconds < 1.0
    assert (await gate.outcome(came))["outcome"] == "upstream-unreachable"
    await world.upstream.start()
    assert (await gate.score(who)).status == 200


async def test_a_silent_model_is_504_at_the_policys_timeout(gate: Gate, world: World) -> None:
    """`timeout = "1s"`, and the connection to the model is closed (F03)."""
    world.upstream.behaviour = silent
    came = await gate.score(world.person(MEMBER), "quick")
    assert came.told == (504, "upstream-timeout")
    assert 0.9 < came.seconds < 2.0
    (seen,) = world.upstream.requests
    async with asyncio.timeout(1):
        await seen.gone.wait()
    assert (await gate.outcome(came))["outcome"] == "upstream-timeout"


async def test_a_model_that_dies_before_its_answer_is_not_asked_twice(gate: Gate, world: World) -> None:
    """The request may have arrived, so it is not sent again: 502 after one request."""
    world.upstream.behaviour = resets
    came = await gate.score(world.person(MEMBER))
    assert came.told == (502, "upstream-unreachable")
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "half",
    [
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"prediction": [',
        STREAM_HEAD + chunk(b"half"),
        STREAM_HEAD + b"ffff\r\nhalf",
    ],
    ids=["stated length", "between chunks", "inside a chunk"],
)
async def test_an_answer_that_is_cut_never_looks_whole(
    gate: Gate, world: World, half: bytes, then: str
) -> None:
    """A partial body is 502 or a broken connection, never a 200 that ends properly (F05); outcome `truncated`."""
    world.upstream.behaviour = says(half, then=then)
    who = world.person(MEMBER)
    came = await gate.score(who)
    assert is_cut(gate, came)
    assert len(world.upstream.requests) == 1
    assert (await gate.outcome(came))["outcome"] == "truncated"


async def test_a_body_that_never_ends_is_stopped_at_the_deadline(gate: Gate, world: World) -> None:
    """The policy's timeout is for the whole call, the body included."""

    async def stalls(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(b"half"))
        await exchange.until_gone()

    world.upstream.behaviour = stalls
    came = await gate.score(world.person(MEMBER), "quick")
    assert is_cut(gate, came, late=True)
    assert came.seconds < 2.0


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown"])
async def test_a_compressed_answer_is_neither_unpacked_nor_passed_on(
    gate: Gate, world: World, encoding: str
) -> None:
    """A bomb of 10 MiB in 10 KiB stays one: 502 (T19, D03)."""
    bomb = gzip.compress(b"\0" * (10 << 20))
    world.upstream.behaviour = says(answer(200, bomb, content_encoding=encoding))
    came = await gate.score(world.person(MEMBER))
    assert came.told == (502, "upstream-error")
    world.upstream.behaviour = says(answer(400, bomb, content_encoding=encoding))
    came = await gate.score(world.person(MEMBER))
    assert came.told == (400, "upstream-rejected")


HOSTILE = {
    name: value
    for number in range(4)
    for name, value in {
        f"x-hostile-{number}": "1",
        "location": "http://evil.example/",
        "set-cookie": "session=stolen",
        "www-authenticate": "Bearer realm=inside",
        "access-control-allow-origin": "*",
        "refresh": "0; url=http://evil.example",
        "x-request-id": "forged",
        "cache-control": "public, max-age=99999",
        "vary": "*",
        "server": "inside/1.0",
        "x-ms-client-principal": "forged",
        "strict-transport-security": "max-age=0",
        "link": "<http://evil.example>; rel=preload",
        "alt-svc": 'h3="evil.example:443"',
        "x-powered-by": "inside",
        "content-security-policy": "default-src *",
        "clear-site-data": "*",
        f"x-ms-inside-{number}": "1",
        f"x-azureml-{number}": "1",
        f"x-filler-{number}": "x" * 500,
        "proxy-authenticate": "Basic",
        "trailer": "x-late",
        "age": "1",
        "expires": "0",
        "etag": '"1"',
        "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        "content-disposition": "attachment; filename=evil.exe",
        "content-language": "xx",
        "content-location": "/evil",
    }.items()
}


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_forty_hostile_headers_of_the_model_all_stay_inside(
    gate: Gate, world: World, status: int
) -> None:
    """Only what the gate itself puts there goes out, on success and on error (I03)."""
    assert len(HOSTILE) >= 37
    world.upstream.behaviour = says(answer(status, ERROR, **HOSTILE))
    came = await gate.score(world.person(MEMBER))
    left = {name.lower() for name in came.headers}
    assert left <= {
        "content-type", "x-request-id", "cache-control", "vary", "content-length", "transfer-encoding", "date",
        "server",
    }  # fmt: skip
    assert "forged" not in came.request_id
    assert "inside" not in str(came.headers).lower()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(500)) + b"\r\n",
    ],
    ids=["no HTTP", "two lengths", "negative length", "upgrade", "a header of 70 kB", "500 headers"],
)
async def test_nonsense_instead_of_an_answer_is_502(gate: Gate, world: World, nonsense: bytes) -> None:
    """A protocol error of the model's side is 502, asked once (F16)."""
    world.upstream.behaviour = says(nonsense, then="close")
    came = await gate.score(world.person(MEMBER))
    assert came.told == (502, "upstream-unreachable")
    assert len(world.upstream.requests) == 1


async def test_surplus_bytes_after_an_answer_answer_nobody_else(gate: Gate, world: World) -> None:
    """A second answer that nobody asked for is thrown away with its connection (T15)."""
    who = world.person(MEMBER)
    world.upstream.behaviour = says(answer(200, {"for": "first"}) + answer(200, {"for": "nobody"}))
    assert (await gate.score(who)).json() == {"for": "first"}
    world.upstream.behaviour = says(answer(200, {"for": "second"}))
    assert (await gate.score(who)).json() == {"for": "second"}


async def test_an_answer_comes_in_the_pieces_in_which_the_model_sends_it(gate: Gate, world: World) -> None:
    """What people read as it comes is relayed at once where the host can; elsewhere it comes whole (differences)."""
    more = asyncio.Event()

    async def in_two(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(b"first "))
        await more.wait()
        await exchange.send(chunk(b"second") + b"0\r\n\r\n")

    world.upstream.behaviour = in_two
    pieces: list[bytes] = []
    asking = asyncio.create_task(gate.score(world.person(MEMBER), pieces=pieces))
    await until(lambda: len(world.upstream.requests) == 1)
    if FIRST_PIECE.of(gate.mode):
        await until(lambda: pieces == [b"first "])
    else:
        await asyncio.sleep(0.1)
        assert pieces == []
    more.set()
    assert (await asking).body == b"first second"


async def test_an_answer_of_single_bytes_comes_unchanged(gate: Gate, world: World) -> None:
    """However the bytes are cut up on the wire, through UTF-8 and all (F06)."""
    text = "prédiction: 花 🌸 ".encode() * 20

    async def one_by_one(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for byte in text:
            await exchange.send(chunk(bytes([byte])))
        await exchange.send(b"0\r\n\r\n")

    world.upstream.behaviour = one_by_one
    came = await gate.score(world.person(MEMBER))
    assert (came.status, came.body, came.headers["Content-Type"]) == (200, text, "text/plain")


async def test_swagger_is_asked_beside_the_score_under_the_same_decision(gate: Gate, world: World) -> None:
    """GET …/swagger.json for members, HEAD without a body, 403 for others."""
    world.upstream.behaviour = says(answer(200, {"swagger": "2.0"}))
    who = world.person(MEMBER)
    came = await gate.ask("GET", "/endpoints/plain/swagger.json", headers=who)
    assert (came.status, came.json()) == (200, {"swagger": "2.0"})
    head = await gate.ask("HEAD", "/endpoints/plain/swagger.json", headers=who)
    assert (head.status, head.body) == (200, b"")
    refused = await gate.ask("GET", "/endpoints/plain/swagger.json", headers=world.person())
    assert refused.told == (403, "forbidden")
    assert {(seen.method, seen.target) for seen in world.upstream.requests} == {
        ("GET", "/plain/swagger.json")
    }


async def test_everything_was_recorded(gate: Gate) -> None:
    """After all of this the audit's chain holds, and no record tells a body or a token (R03, T23)."""
    gate.verify_audit()
    assert all(json.loads(line)["event"] in ("decision", "outcome") for line in gate.lines())
