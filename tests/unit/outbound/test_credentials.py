"""The real azure-identity against an App Service identity endpoint that can fail in every way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.model import Reason
from shared.outbound.credentials import ManagedIdentityTokens
from shared.problem import Undecidable
from tests.unit.outbound.servers import RealClock, Request, Server, reset, serve
from tests.unit.outbound.test_bearer import jwt

ML = "https://ml.azure.com/.default"
SECRET = "header-secret"


@dataclass
class Identity:
    """The endpoint: what it answers, and what it was asked."""

    server: Server = field(default_factory=Server)
    status: int = 200
    answer: object = None
    raw: bytes | None = None
    mode: str = "answer"

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.mode == "silence":
            await asyncio.sleep(30)
        if self.mode == "reset":
            reset(writer)
            return
        body = self.raw if self.raw is not None else json.dumps(self.answer or good()).encode()
        head = f"HTTP/1.1 {self.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    @property
    def asked(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(request.line.split()[1]).query) for request in self.server.requests]


def good(**changes: object) -> dict[str, object]:
    resource = "https://ml.azure.com"
    answer: dict[str, object] = {
        "access_token": jwt({"aud": resource, "exp": int(time.time()) + 3_600}),
        "expires_on": str(int(time.time()) + 3_600),
        "resource": resource,
        "token_type": "Bearer",
    }
    return {name: value for name, value in (answer | changes).items() if value is not None}


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Identity]:
    identity = Identity()
    async with serve(identity) as identity.server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{identity.server.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", SECRET)
        monkeypatch.delenv("IDENTITY_SERVER_THUMBPRINT", raising=False)
        yield identity


def managed(client_id: str | None = None) -> ManagedIdentityTokens:
    return ManagedIdentityTokens(RealClock(), client_id=client_id, developer=False)


async def test_the_identity_of_the_app_gets_a_token(identity: Identity) -> None:
    """The protocol of App Service, spoken by the real library; asked once, kept after."""
    tokens = managed()
    assert await tokens.token(ML) == await tokens.token(ML)
    assert identity.asked == [{"api-version": ["2019-08-01"], "resource": ["https://ml.azure.com"]}]
    assert identity.server.requests[0].header("x-identity-header") == [SECRET]


async def test_a_user_assigned_identity_is_named(identity: Identity) -> None:
    """`AZURE_CLIENT_ID` goes to the endpoint."""
    await managed("11111111-2222-3333-4444-555555555555").token(ML)
    assert identity.asked[0]["client_id"] == ["11111111-2222-3333-4444-555555555555"]


async def test_a_dropped_token_is_really_asked_for_anew(identity: Identity) -> None:
    """The library's own cache must not answer: the token that it holds is the one that was refused."""
    tokens = managed()
    tokens.drop(ML, await tokens.token(ML))
    await tokens.token(ML)
    assert len(identity.asked) == 2


async def test_five_hundred_cold_requests_cost_one_call(identity: Identity) -> None:
    """F21: at the start, under load."""
    tokens = managed()
    assert len(set(await asyncio.gather(*(tokens.token(ML) for _ in range(500))))) == 1
    assert len(identity.asked) == 1


ANSWERS: dict[str, dict[str, object]] = {
    "400 invalid identity": {"status": 400, "answer": {"statusCode": 400, "message": "No identity"}},
    "404": {"status": 404, "raw": b"{}"},
    "410": {"status": 410, "raw": b"{}"},
    "429": {"status": 429, "raw": b"{}"},
    "500": {"status": 500, "raw": b"oops"},
    "reset": {"mode": "reset"},
    "garbage": {"raw": b"<html>"},
    "empty object": {"raw": b"{}"},
    "null": {"raw": b"null"},
    "a list": {"raw": b"[1]"},
    "no token": {"answer": good(access_token=None)},
    "a token that is a number": {"answer": good(access_token=7)},
    "a token with a line feed": {"answer": good(access_token="a\r\nx: y")},
    "no expires_on": {"answer": good(expires_on=None)},
    "expires_on is nonsense": {"answer": good(expires_on="soon")},
    "expired": {"answer": good(expires_on="1000000000")},
    "wrong audience": {"answer": good(access_token=jwt({"aud": "https://graph.microsoft.com"}))},
}


@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS)
async def test_every_failure_is_credential_unavailable(identity: Identity, fault: dict[str, object]) -> None:
    """F18, F19: no token, no guess, no loop of retries, and well again as soon as the endpoint is."""
    for name, value in fault.items():
        setattr(identity, name, value)
    tokens = managed()
    async with asyncio.timeout(4):
        with pytest.raises(Undecidable) as caught:
            await tokens.token(ML)
    assert caught.value.reason is Reason.CREDENTIAL_UNAVAILABLE
    # One retry of azure-core's; its aiohttp repeats a GET on a broken connection once by itself, each time.
    assert len(identity.asked) <= 4
    for name, value in vars(Identity()).items():
        if name != "server":
            setattr(identity, name, value)
    tokens._paused.clear()
    assert (await tokens.token(ML)).count(".") == 2


async def test_an_endpoint_that_is_not_there_fails_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """F18: refused."""
    async with serve(b"") as server:
        url = server.url
    monkeypatch.setenv("IDENTITY_ENDPOINT", url)
    monkeypatch.setenv("IDENTITY_HEADER", SECRET)
    async with asyncio.timeout(4):
        with pytest.raises(Undecidable):
            await managed().token(ML)


async def test_silence_costs_a_request_three_seconds(identity: Identity) -> None:
    """F18: ten seconds slow is three seconds and a 503."""
    identity.mode = "silence"
    before = time.monotonic()
    with pytest.raises(Undecidable):
        await managed().token(ML)
    assert 2.5 < time.monotonic() - before < 4


async def test_proxies_of_the_environment_do_nothing(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T18: the secret header of the endpoint goes to no proxy."""
    async with serve(b"") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        await managed().token(ML)
        assert proxy.connections == 0
