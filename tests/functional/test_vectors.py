"""Public sets of nasty inputs through the real host: no wrong allow, no 5xx, every audit line a record (T02, T04, S09, D08)."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.functional.differences import LONG_HEAD
from tests.functional.gates import BODY, Answer, Gate
from tests.functional.world import MEMBER, World

VECTORS = Path(__file__).resolve().parents[2] / "../shared/vectors"
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not VECTORS.is_dir(), reason="the public test vectors are not on this machine"),
]
REFUSALS = {400, 401, 403, 404, 405, 411, 413, 415, 431}
TOGETHER = 16
CAP = 64 * 1024
HOSTS_LIMIT = 256 * 1024


def naughty() -> list[str]:
    strings: list[str] = json.loads((VECTORS / "blns/blns.json").read_text())
    return strings


def json_files() -> list[Path]:
    return sorted((VECTORS / "jsontestsuite").glob("test_*/*.json"))


async def together[T](work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all, a few at a time."""
    places = asyncio.Semaphore(TOGETHER)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def head(path: str, headers: dict[str, str], extra: bytes = b"") -> bytes:
    """Give a scoring request as bytes, whatever the headers hold."""
    lines = {
        "Host": "gate", "Connection": "close", "Content-Type": "application/json",
        "Content-Length": str(len(BODY)), **headers,
    }  # fmt: skip
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{fields}".encode() + extra + b"\r\n" + BODY


def status_of(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else 0


async def test_naughty_strings_are_no_endpoint(gate: Gate, world: World) -> None:
    """The Big List of Naughty Strings as the name of an endpoint, percent-encoded (T02)."""
    who = world.person(MEMBER)
    paths = [f"/endpoints/{quote(text, safe='')}/score" for text in naughty()]
    came = await together(gate.ask("POST", path, headers=who, body=BODY) for path in paths)
    assert {one.status for one in came} <= REFUSALS
    assert world.upstream.requests == []


async def test_naughty_strings_in_the_query_reach_no_model(gate: Gate, world: World) -> None:
    """A query on /score is 400, whatever it says; an empty one is none (T04)."""
    who = {**world.person(MEMBER), "Content-Type": "application/json"}
    texts = [text for text in naughty() if text]
    paths = [f"/endpoints/plain/score?q={quote(text, safe='')}" for text in texts]
    came = await together(gate.ask("POST", path, headers=who, body=BODY) for path in paths)
    assert [(one.status, one.body) for one in came if one.status != 400] == []
    assert world.upstream.requests == []


async def test_naughty_strings_are_no_deployment(gate: Gate, world: World) -> None:
    """As raw bytes in `azureml-model-deployment`: 403, or 400 of the host where they are no header (T05, T11)."""
    who = world.person(MEMBER)

    async def ask(text: str) -> int:
        value = b"azureml-model-deployment: " + text.encode() + b"\r\n"
        return status_of(await gate.raw(head("/endpoints/plain/score", who, value)))

    # White space at the ends of a header's value is no part of it, and an empty value names no deployment.
    came = await together(ask(text) for text in naughty() if text.strip())
    assert set(came) <= {400, 403}
    assert world.upstream.requests == []


async def test_naughty_strings_as_claims_prove_nothing(gate: Gate, world: World) -> None:
    """In every claim that matters, and as a claim's type: never an allow, never a 5xx (S07, S10, S13)."""
    plain = world.entra.claims(world.name(), groups=None)
    before = world.graph_calls()

    def dressed(claims: dict[str, Any]) -> dict[str, str]:
        entries = [{"typ": name, "val": str(value)} for name, value in claims.items()]
        document = {"auth_typ": "aad", "claims": entries, "name_typ": "n", "role_typ": "r"}
        return {
            "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(document).encode()).decode(),
            "X-MS-CLIENT-PRINCIPAL-ID": str(plain["oid"]),
            "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
        }

    def variants(text: str) -> list[dict[str, Any]]:
        single = [plain | {name: text} for name in ("oid", "tid", "iss", "groups", "name")]
        return [*single, plain | {text: MEMBER}]

    texts = naughty()[::4]
    came = await together(gate.score(dressed(claims)) for text in texts for claims in variants(text))
    assert {one.status for one in came} <= {401, 403}
    assert world.upstream.requests == []
    # Graph was asked about the one verified caller only, whom the cache then answers for.
    assert world.graph_calls() - before <= 1


async def test_no_json_file_is_a_principal(gate: Gate, world: World) -> None:
    """JSONTestSuite as the decoded principal header: 401 for every file, with one constant body (S09)."""
    rest = {name: value for name, value in world.person(MEMBER).items() if name != "X-MS-CLIENT-PRINCIPAL"}

    def principal(data: bytes) -> dict[str, str]:
        return {**rest, "X-MS-CLIENT-PRINCIPAL": base64.b64encode(data).decode()}

    files = [path.read_bytes() for path in json_files()]
    came = await together(gate.score(principal(data)) for data in files)
    for one, data in zip(came, files, strict=True):
        size = len(data) * 4 / 3
        # Beyond 256 KiB the host itself refuses a head, before any function.
        long = LONG_HEAD.of(gate.mode) if size < HOSTS_LIMIT else {400}
        assert one.status in ({401} if size < CAP else long)
    bodies = {_without_id(one) for one in came if one.slug == "principal-invalid"}
    assert len(bodies) == 1
    assert world.upstream.requests == []


async def test_every_json_file_goes_through_as_a_body_byte_for_byte(gate: Gate, world: World) -> None:
    """A body is opaque: what is no JSON at all reaches the model as it came, by its hash; nothing at all is 411 (T07)."""
    who = world.person(MEMBER)
    files = {path.name: path.read_bytes() for path in json_files()}
    came = await together(gate.score(who, body=data) for data in files.values())
    expected = sorted(hashlib.sha256(data).hexdigest() for data in files.values() if data)
    assert [one.status for one in came] == [200 if data else 411 for data in files.values()]
    assert sorted(hashlib.sha256(seen.body).hexdigest() for seen in world.upstream.requests) == expected


async def test_the_audit_held_through_all_of_it(gate: Gate) -> None:
    """Each event stayed one record of printable ASCII in a chain that holds."""
    gate.verify_audit()
    lines = gate.lines()
    assert all(line.isascii() and line[:-1].decode().isprintable() for line in lines)
    assert len(lines) > 1000


def _without_id(answer: Answer) -> bytes:
    problem = answer.json()
    del problem["instance"]
    return json.dumps(problem, sort_keys=True).encode()
