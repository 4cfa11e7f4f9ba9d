"""The App Service Authentication stand-in, before an app that tells what reached it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from local.directory import FRAUD_ANALYSTS
from local.easyauth import EasyAuth
from local.entra import Entra
from local.standin import StandIn
from tests.unit.local.conftest import bearer

PRINCIPAL = "X-MS-CLIENT-PRINCIPAL"


class EchoApp(StandIn):
    """Tells what came, except on /stream and /broken."""

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self._echo)]

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        if request.path not in ("/stream", "/broken"):
            body = (await request.read()).decode()
            shown = {"method": request.method, "target": request.raw_path, "body": body}
            return web.json_response(shown | {"headers": [list(pair) for pair in request.headers.items()]})
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"first")
        if request.path == "/broken":
            request.transport.abort()  # type: ignore[union-attr]  # the request is running: there is one
        else:
            await asyncio.Event().wait()
        return reply


@pytest.fixture
async def app() -> AsyncIterator[EchoApp]:
    async with EchoApp() as running:
        yield running


@pytest.fixture
async def easyauth(entra: Entra, app: EchoApp) -> AsyncIterator[EasyAuth]:
    async with EasyAuth(entra, app.url) as running:
        yield running


async def seen(http: aiohttp.ClientSession, easyauth: EasyAuth, who: str, **headers: str) -> dict[str, str]:
    """The headers that reached the app, by lower-case name."""
    sent = bearer(easyauth.entra.token(who)) | headers
    async with http.get(easyauth.url + "/", headers=sent) as answer:
        return {name.lower(): value for name, value in (await answer.json())["headers"]}


def principal(headers: dict[str, str]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.b64decode(headers[PRINCIPAL.lower()], validate=True))
    return decoded


async def test_no_or_bad_tokens_get_its_own_401(
    easyauth: EasyAuth, app: EchoApp, entra: Entra, http: aiohttp.ClientSession
) -> None:
    """Return401: nothing reaches the app, whatever the caller claims about itself."""
    bad = [
        {},
        {PRINCIPAL: "e30="},
        bearer("x.y.z"),
        bearer(entra.token("alice", age=7200)),
        bearer(entra.token("alice", audience="https://ml.azure.com")),
        bearer(entra.token("alice", iss="https://evil.example/v2.0")),
        bearer(Entra(entra.directory).keys.sign(entra.claims("alice"), headers={"kid": entra.keys.current})),
    ]
    for headers in bad:
        async with http.get(easyauth.url + "/", headers=headers) as answer:
            assert answer.status == 401
            assert "problem+json" not in answer.content_type
    assert not app.requests


async def test_forged_headers_are_stripped(easyauth: EasyAuth, http: aiohttp.ClientSession) -> None:
    """S08: every spelling that could pass for the platform's goes; the caller's other headers stay."""
    forged = {"x_ms_client_principal": "1", "X-Ms_Client-Principal-Id": "2", "X-MS-TOKEN-AAD-ID-TOKEN": "3"}
    headers = await seen(
        http, easyauth, "alice", **forged, **{PRINCIPAL: "4", "X-Mine": "5", "X-MS-Other": "6"}
    )
    assert not {"1", "2", "3", "4"} & set(headers.values())
    assert (headers["x-mine"], headers["x-ms-other"]) == ("5", "6")


async def test_the_four_headers_of_a_user(easyauth: EasyAuth, http: aiohttp.ClientSession) -> None:
    """Short claim names while the token store is off."""
    headers = await seen(http, easyauth, "alice")
    alice = easyauth.entra.directory.people["alice"]
    assert headers["x-ms-client-principal-id"] == alice.oid
    assert headers["x-ms-client-principal-name"] == alice.upn
    assert headers["x-ms-client-principal-idp"] == "aad"
    shown = principal(headers)
    assert shown["auth_typ"] == "aad"
    assert {"typ": "oid", "val": alice.oid} in shown["claims"]
    assert {"typ": "groups", "val": FRAUD_ANALYSTS} in shown["claims"]
    assert all(isinstance(claim["val"], str) for claim in shown["claims"])
    assert headers["authorization"].startswith("Bearer ")


async def test_claims_keep_their_values_whatever_their_number(
    easyauth: EasyAuth, http: aiohttp.ClientSession
) -> None:
    """One entry for each value; overage markers as JSON text; `/` escaped."""
    erin = principal(await seen(http, easyauth, "erin"))["claims"]
    assert len([claim for claim in erin if claim["typ"] == "groups"]) == 2
    headers = await seen(http, easyauth, "carol")
    carol = principal(headers)["claims"]
    assert {"typ": "_claim_names", "val": '{"groups":"src1"}'} in carol
    assert not [claim for claim in carol if claim["typ"] == "groups"]
    assert b"http:\\/\\/" in base64.b64decode(headers[PRINCIPAL.lower()])


async def test_names_and_injection_switch_while_running(
    easyauth: EasyAuth, http: aiohttp.ClientSession
) -> None:
    """F42: long names on; F41: principal headers stop while answers go on; a misspelt switch is an error."""
    async with http.put(f"{easyauth.url}/_easyauth", json={"names": "long"}) as answer:
        assert answer.status == 204
    names = {claim["typ"] for claim in principal(await seen(http, easyauth, "alice"))["claims"]}
    assert "http://schemas.microsoft.com/identity/claims/objectidentifier" in names
    assert "groups" in names
    assert "oid" not in names
    easyauth.switches.inject = False
    assert not [name for name in await seen(http, easyauth, "alice") if name.startswith("x-ms-")]
    async with http.put(f"{easyauth.url}/_easyauth", json={"name": "long"}) as answer:
        assert answer.status == 400


async def test_an_app_only_caller_has_no_name(easyauth: EasyAuth, http: aiohttp.ClientSession) -> None:
    """A managed identity's token: id and provider, no name."""
    headers = await seen(http, easyauth, "nightly")
    assert headers["x-ms-client-principal-id"] == easyauth.entra.directory.apps["nightly"].oid
    assert "x-ms-client-principal-name" not in headers


@pytest.mark.parametrize(
    "target", ["/a%2Fb/%2e%2e/c", "/a/../b//c", "/?q=a+b%20c&q=%00&&", "/%C3%A9;x=1", "/x?y=/?z"]
)
async def test_method_path_and_query_arrive_as_sent(
    easyauth: EasyAuth, http: aiohttp.ClientSession, target: str
) -> None:
    """Nothing is decoded, merged or tidied on the way."""
    headers = bearer(easyauth.entra.token("alice"))
    url = URL(easyauth.url + target, encoded=True)
    async with http.request("PROPFIND", url, data=b"body", headers=headers) as answer:
        came = await answer.json()
    assert (came["method"], came["target"], came["body"]) == ("PROPFIND", target, "body")


@pytest.mark.parametrize("chunked", [True, False])
async def test_the_framing_of_a_body_stays(
    easyauth: EasyAuth, http: aiohttp.ClientSession, *, chunked: bool
) -> None:
    """A chunked body stays chunked, one with a length keeps it."""
    headers = bearer(easyauth.entra.token("alice"))
    async with http.post(
        easyauth.url + "/", data=b"body", chunked=chunked or None, headers=headers
    ) as answer:
        came = await answer.json()
    names = {name.lower() for name, _ in came["headers"]}
    assert came["body"] == "body"
    assert ("transfer-encoding" in names, "content-length" in names) == (chunked, not chunked)


async def test_answers_stream(easyauth: EasyAuth, http: aiohttp.ClientSession) -> None:
    """The first bytes arrive while the app is still writing."""
    headers = bearer(easyauth.entra.token("alice"))
    async with http.get(easyauth.url + "/stream", headers=headers) as answer:
        assert await answer.content.readexactly(5) == b"first"


async def test_a_broken_answer_stays_broken(easyauth: EasyAuth, http: aiohttp.ClientSession) -> None:
    """An app that dies in the middle does not look as if it had finished."""
    headers = bearer(easyauth.entra.token("alice"))
    async with http.get(easyauth.url + "/broken", headers=headers) as answer:
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
            await answer.read()


def test_faults_that_would_do_nothing_here_are_errors(entra: Entra) -> None:
    """It mints no tokens, and it streams, so that nothing can be cut in half."""
    for fault in ({"token": "expired"}, {"cut": True}):
        with pytest.raises(ValueError):
            EasyAuth(entra, "http://127.0.0.1:9").faults.set(**fault)


async def test_rolled_keys_are_fetched(easyauth: EasyAuth, entra: Entra, http: aiohttp.ClientSession) -> None:
    """An unknown key id is looked up; known ones are not."""
    await seen(http, easyauth, "alice")
    await seen(http, easyauth, "bob")
    assert entra.counts["/{tenant}/discovery/v2.0/keys"] == 1
    entra.keys.rotate()
    assert PRINCIPAL.lower() in await seen(http, easyauth, "alice")
