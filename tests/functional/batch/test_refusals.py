"""What is no job of the caller's: who, method, whether, how, what; in this order, each with its problem, and nothing is sent."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.functional.batch.apps import JSON, App, a_body
from tests.functional.batch.policies import AUDITORS, INPUT, INPUTS, OUTPUTS
from tests.functional.batch.scene import Scene
from tests.functional.differences import only
from tests.functional.world import HELP, MEMBER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), only("classic")]
JOB = "0a1b2c3d-0a1b2c3d4e5f6071-" + "0" * 32
"""Has the form of a job's id, and is none's."""


@pytest.fixture(autouse=True)
async def nothing_is_sent(scene: Scene) -> AsyncIterator[None]:
    """After each test of this module nothing has reached Azure ML: no job, no question."""
    scene.front.requests.clear()
    yield
    assert not scene.front.requests


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/endpoints/nightly/jobs", f"/endpoints/nightly/jobs/{JOB}"])
async def test_nobody_is_401_whatever_else_is_wrong(app: App, method: str, path: str) -> None:
    """Who comes first (ruling "Order")."""
    came = await app.ask(method, path + "?a=b", body=b"x" if method == "POST" else None)
    assert came.status == 401
    assert came.headers["WWW-Authenticate"] == 'Bearer realm="groupgate"'
    assert app.gate.decision(came)["reason"] == "principal-missing"


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        ("/endpoints/nightly/jobs", "PUT PATCH DELETE OPTIONS TRACE", "GET, HEAD, POST"),
        (f"/endpoints/nightly/jobs/{JOB}", "POST PUT PATCH OPTIONS TRACE", "GET, HEAD, DELETE"),
    ],
)
async def test_a_wrong_method_is_405_before_whether_one_may(
    app: App, scene: Scene, path: str, methods: str, allowed: str
) -> None:
    """T16: the gate answers itself, to outsiders and members alike, whatever an override header says."""
    for who in (scene.world.person(), scene.world.person(MEMBER)):
        for method in methods.split():
            came = await app.ask(method, path, who, X_HTTP_Method_Override="POST")
            assert (came.told, came.headers["Allow"]) == ((405, "method-not-allowed"), allowed)


async def test_whether_comes_before_how(app: App, scene: Scene) -> None:
    """An outsider, a contractor, a guest and an auditor read one 403, whatever is wrong with the rest."""
    world = scene.world
    people = {
        "not-member": world.person(),
        "deny-rule": world.person(MEMBER, "contractors"),
        "caller-kind": world.person(MEMBER, kind="guest"),
    }
    for reason, who in people.items():
        for name in ("nightly", "small", "no-such-endpoint"):
            for path, headers, body in (
                ("", {}, b"x" * 2000),
                ("?a=b", JSON, b"{}"),
                ("", JSON | {"Idempotency-Key": "a,b"}, b""),
            ):
                came = await app.ask("POST", f"/endpoints/{name}/jobs{path}", {**who, **headers}, body=body)
                assert came.told == (403, "forbidden")
                assert came.json()["detail"] == "You may not call this, or it does not exist."
        assert app.gate.decision(await app.submit(who))["reason"] == reason
        for method in ("GET", "DELETE"):
            assert (await app.ask(method, f"/endpoints/nightly/jobs/{JOB}", who)).told == (403, "forbidden")
        assert (await app.ask("GET", "/endpoints/nightly/jobs", who)).told == (403, "forbidden")


async def test_an_auditor_starts_nothing(app: App, scene: Scene) -> None:
    """I07: to see everybody's jobs gives no leave to read data: the rule names no inputs."""
    came = await app.submit(scene.world.person(AUDITORS))
    assert came.told == (403, "forbidden")
    assert came.json()["detail"].startswith("properties.InputData.day.Uri ")


async def test_help_is_for_whom_it_can_help(app: App, scene: Scene) -> None:
    """The policy's help is told to a colleague who is no member, and not for an address outside the rule."""
    outsider, member = scene.world.person(), scene.world.person(MEMBER)
    assert (await app.submit(outsider, "helpful")).json()["detail"] == HELP
    assert (await app.submit(scene.world.person(kind="guest"), "helpful")).json()["detail"] != HELP
    elsewhere = a_body(uri="https://attacker.blob.core.windows.net/c/x/")
    assert HELP not in (await app.submit(member, "helpful", elsewhere)).json()["detail"]


async def test_a_deployment_that_no_rule_names_is_403(app: App, scene: Scene) -> None:
    """The header is decided upon before the body is looked at; two of them name none."""
    who = scene.world.person(MEMBER)
    for value in ("green", "", "blue,blue"):
        came = await app.ask(
            "POST", "/endpoints/nightly/jobs", who, body=b"x", azureml_model_deployment=value
        )
        assert came.told == (403, "forbidden"), value
        assert app.gate.decision(came)["reason"] == "deployment-not-allowed"


QUERY, KEY, BODY = (
    "This address takes no query.",
    "Idempotency-Key comes once",
    "The body is not one JSON object",
)
NO_KEY = {"Idempotency-Key": ""}
LATIN = {"Content-Type": "application/json; charset=latin-1"}
ORDER: list[tuple[str, str, dict[str, str], bytes, tuple[int, str], str]] = [
    ("no length", "?a=b", NO_KEY, b"", (411, "length-required"), ""),
    ("too long", "?a=b", NO_KEY, b"x" * 1025, (413, "payload-too-large"), ""),
    ("no type", "?a=b", NO_KEY, b"x", (415, "unsupported-media-type"), ""),
    (
        "another type",
        "?a=b",
        NO_KEY | {"Content-Type": "text/plain"},
        b"x",
        (415, "unsupported-media-type"),
        "",
    ),
    ("another charset", "?a=b", NO_KEY | LATIN, b"x", (415, "unsupported-media-type"), ""),
    (
        "compressed",
        "?a=b",
        NO_KEY | JSON | {"Content-Encoding": "gzip"},
        b"x",
        (415, "unsupported-media-type"),
        "",
    ),
    ("a query", "?a=b", NO_KEY | JSON, b"x", (400, "invalid-request"), QUERY),
    ("an empty key", "", NO_KEY | JSON, b"x", (400, "invalid-request"), KEY),
    ("two keys", "", JSON | {"Idempotency-Key": "a,b"}, b"x", (400, "invalid-request"), KEY),
    ("a key with a blank", "", JSON | {"Idempotency-Key": "a b"}, b"x", (400, "invalid-request"), KEY),
    ("a long key", "", JSON | {"Idempotency-Key": "k" * 256}, b"x", (400, "invalid-request"), KEY),
    ("no JSON", "", JSON, b"x", (400, "invalid-request"), BODY),
]


@pytest.mark.parametrize(
    ("query", "headers", "body", "told", "detail"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER]
)
async def test_how_comes_in_order(
    app: App,
    scene: Scene,
    query: str,
    headers: dict[str, str],
    body: bytes,
    told: tuple[int, str],
    detail: str,
) -> None:
    """411, 413, 415, 400: each row has the faults of those below as well (ruling "Order")."""
    who = scene.world.person(MEMBER)
    came = await app.ask("POST", f"/endpoints/small/jobs{query}", {**who, **headers}, body=body)
    assert came.told == told
    assert came.json()["detail"].startswith(detail)
    record = app.gate.decision(came)
    assert (record["decision"], record["reason"], record["rule"]) == ("error", "invalid-request", "analysts")


async def test_a_key_that_comes_twice_is_no_key(app: App, scene: Scene) -> None:
    """Two lines are none, though each alone were one."""
    who = "".join(f"{name}: {value}\r\n" for name, value in scene.world.person(MEMBER).items())
    content = json.dumps(a_body()).encode()
    raw = await app.gate.raw(
        f"POST /endpoints/nightly/jobs HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{who}"
        "Content-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"invalid-request" in raw


@pytest.mark.parametrize("path", ["/endpoints/nightly/jobs", f"/endpoints/nightly/jobs/{JOB}"])
async def test_reading_takes_no_query(app: App, scene: Scene, path: str) -> None:
    """400 rather than a filter that nobody applied; before it is looked whether the job is there."""
    who = scene.world.person(MEMBER)
    assert (await app.ask("GET", f"{path}?%24top=1", who)).told == (400, "invalid-request")
    if path.endswith(JOB):
        assert (await app.ask("DELETE", f"{path}?force=true", who)).told == (400, "invalid-request")


def data(**changes: Any) -> dict[str, Any]:
    """Give a body whose only input is changed so; None takes a member away."""
    one = {"JobInputType": "UriFolder", "Uri": INPUT} | changes
    return {
        "properties": {
            "InputData": {"day": {name: value for name, value in one.items() if value is not None}}
        }
    }


MALFORMED: dict[str, bytes | dict[str, Any]] = {
    "no object": b"[]",
    "no properties": {},
    "properties that are a list": {"properties": []},
    "a name twice": b'{"properties":{"InputData":{},"InputData":{}}}',
    "NaN": b'{"properties":{"errorThreshold":NaN}}',
    "two documents": b"{} {}",
    "a lone surrogate": b'{"properties":{"InputData":{"\\ud800":{}}}}',
    "not UTF-8": b'{"properties":{"InputData":{"\xff":{}}}}',
    "a byte order mark": b'\xef\xbb\xbf{"properties":{}}',
    "deep nesting": b"[" * 5000 + b"]" * 5000,
    "inputs that are a list": {"properties": {"InputData": []}},
    "an address that is a number": data(Uri=7),
    "no address": data(Uri=None),
    "no type": data(JobInputType=None),
    "a literal that is a list": data(JobInputType="Literal", Uri=None, Value=[INPUT]),
    "a setting of the wrong type": a_body(miniBatchSize="10"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_body_of_the_wrong_shape_is_400(app: App, scene: Scene, body: bytes | dict[str, Any]) -> None:
    """T10: two readers must not read one body differently."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    who = scene.world.person(MEMBER)
    came = await app.ask("POST", "/endpoints/open/jobs", {**JSON, **who}, body=content)
    assert came.told == (400, "invalid-request")


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a key beside properties": ("nightly", "The body", a_body() | {"identity": {}}),
    "an identity": ("open", "properties", a_body(identity={"type": "Managed"})),
    "the shape of 2021": ("open", "properties", {"properties": {"dataset": {"path": INPUT}}}),
    "environment variables": ("open", "properties", a_body(environmentVariables={"A": "B"})),
    "a tag of the caller's own": ("open", "properties", a_body(tags={"groupgate-job": JOB})),
    "an MLTable": ("open", "properties.InputData.day.JobInputType", data(JobInputType="MLTable")),
    "a type that differs by case": (
        "open",
        "properties.InputData.day.JobInputType",
        data(JobInputType="uriFolder"),
    ),
    "a mode": ("open", "properties.InputData.day", data(mode="Direct")),
    "an input outside": ("nightly", "properties.InputData.day.Uri", data(Uri=INPUTS[:-1] + "2/")),
    "a folder's name without its end": ("nightly", "properties.InputData.day.Uri", data(Uri=INPUTS[:-2])),
    "a signature": ("nightly", "properties.InputData.day.Uri", data(Uri=INPUT + "?sv=1&se=2")),
    "an output among the inputs": ("nightly", "properties.OutputData.score.Uri", a_body(output=INPUT)),
    "an output outside": ("nightly", "properties.OutputData.score.Uri", a_body(output=OUTPUTS[:-7])),
    "an output in a job's folder": (
        "nightly",
        "properties.OutputData.score.Uri",
        a_body(output=f"{OUTPUTS}x/{JOB}/"),
    ),
    "an address as a literal": (
        "nightly",
        "properties.InputData.day.Value",
        data(JobInputType="Literal", Uri=None, Value="https://attacker.example/x"),
    ),
    "a query as a literal": (
        "nightly",
        "properties.InputData.day.Value",
        data(JobInputType="Literal", Uri=None, Value="select 1"),
    ),
    "an experiment": (
        "nightly",
        "properties.properties.experimentName",
        a_body(properties={"experimentName": "x"}),
    ),
    "another experiment": (
        "open",
        "properties.properties.experimentName",
        a_body(properties={"experimentName": "x"}),
    ),
    "a property of Azure's own": ("open", "properties.properties", a_body(properties={"azureml.x": "y"})),
    "another compute": ("open", "properties.compute.target", a_body(compute={"target": "gpu-cluster"})),
    "a setting": ("nightly", "properties.miniBatchSize", a_body(miniBatchSize=10)),
    "another setting": ("open", "properties.errorThreshold", a_body(errorThreshold=-1)),
    "a setting out of bounds": ("open", "properties.miniBatchSize", a_body(miniBatchSize=0)),
    "instances": ("nightly", "properties.compute.instanceCount", a_body(compute={"instanceCount": 2})),
}


@pytest.mark.parametrize(("name", "place", "body"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_no_rule_lets_a_job_have_is_403_with_its_place(
    app: App, scene: Scene, name: str, place: str, body: dict[str, Any]
) -> None:
    """T10: no confused deputy; the place is told, and never what stood there."""
    who = scene.world.person(MEMBER)
    came = await app.submit(who, name, body, key="a-key")
    assert came.told == (403, "forbidden")
    assert came.json()["detail"].startswith(f"{place} "), came.json()["detail"]
    record = app.gate.decision(came)
    assert (record["reason"], record["operation"]) == ("input-not-allowed", "jobs/submit")
    assert await app.listed(who, name) == []
