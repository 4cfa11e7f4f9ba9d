"""Stands in for App Service Authentication with `Return401`: verifies bearers, tells the app who calls.

Not verified against the real service: which forged spellings it strips besides the documented headers (here:
all that differ by `_` or case), the spelling of overage claims and booleans in the principal, the name of an
app-only caller (here: none), the body of its 401. There is no browser login, no cookie and no token store.
"""

import base64
import json
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from local.directory import GATE_CLIENT
from local.entra import GATE_AUDIENCE, Entra
from local.faults import reset
from local.keys import Claims
from local.standin import HEADER_LIMIT, StandIn

OWNED = ("x-ms-client-principal", "x-ms-token-")
"""What these begin is the platform's to set, never the caller's."""
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade")
) | {"transfer-encoding"}
_SOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_MS = "http://schemas.microsoft.com/identity/claims/"
ROLE_CLAIM = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
NAME_CLAIM = _SOAP + "emailaddress"
LONG_NAMES = {
    "oid": _MS + "objectidentifier",
    "tid": _MS + "tenantid",
    "sub": _SOAP + "nameidentifier",
    "email": NAME_CLAIM,
    "idp": _MS + "identityprovider",
    "scp": _MS + "scope",
    "roles": ROLE_CLAIM,
    "upn": _SOAP + "upn",
    "unique_name": _SOAP + "name",
    "acr": "http://schemas.microsoft.com/claims/authnclassreference",
    "amr": "http://schemas.microsoft.com/claims/authnmethodsreferences",
}
"""The .NET map of short to long claim names, applied when the token store is on."""


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed while it runs, also with PUT /_easyauth."""

    names: Literal["long", "short"] = "short"
    inject: bool = True
    """False: answers go on, principal headers stop (azure-container-apps#1815)."""


class EasyAuth(StandIn):
    """Let requests with a valid token for the gate through to `app_url`, with the four principal headers."""

    streams_bodies = True

    def __init__(self, entra: Entra, app_url: str, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.entra = entra
        self.app_url = app_url
        self.switches = Switches()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._session: aiohttp.ClientSession

    def routes(self) -> list[web.RouteDef]:
        """Serve every path of the app behind."""
        return [web.put("/_easyauth", self._put), web.route("*", "/{path:.*}", self._handle)]

    async def opened(self) -> None:
        """Open the connections to the app and to Entra."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )

    async def closed(self) -> None:
        """Close them."""
        await self._session.close()

    async def _put(self, request: web.Request) -> web.Response:
        try:
            wished = {**msgspec.structs.asdict(self.switches), **msgspec.json.decode(await request.read())}
            self.switches = msgspec.convert(wished, Switches)
        except (ValueError, TypeError) as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return web.Response(status=204)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        claims = await self._validated(request.headers)
        if claims is None:
            return web.Response(
                status=401,
                text="You do not have permission to view this directory or page.",
                headers={"WWW-Authenticate": f'Bearer realm="{request.host}"'},
            )
        headers = without_owned(request.headers)
        if self.switches.inject:
            headers.extend(principal_headers(claims, names=self.switches.names))
        return await self._forward(request, headers)

    async def _validated(self, headers: CIMultiDictProxy[str]) -> Claims | None:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            kid = str(jwt.get_unverified_header(token).get("kid"))
            if kid not in self._keys:
                await self._fetch_keys()
            claims: Claims = jwt.decode(
                token,
                self._keys[kid],
                algorithms=["RS256"],
                audience=[GATE_CLIENT, GATE_AUDIENCE],
                issuer=[self.entra.issuer("1.0"), self.entra.issuer("2.0")],
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except (jwt.PyJWTError, KeyError, aiohttp.ClientError, ValueError):
            return None
        return claims

    async def _fetch_keys(self) -> None:
        tenant = self.entra.issuer("1.0")
        async with self._session.get(
            f"{tenant}discovery/v2.0/keys", timeout=aiohttp.ClientTimeout(total=5)
        ) as answer:
            answer.raise_for_status()
            self._keys = {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(await answer.json()).keys}

    async def _forward(self, request: web.Request, headers: CIMultiDict[str]) -> web.StreamResponse:
        sent = request.content.iter_any() if request.body_exists else None
        skipped = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
        try:
            async with self._session.request(
                request.method,
                URL(self.app_url + _origin_form(request.raw_path), encoded=True),
                headers=headers,
                data=sent,
                allow_redirects=False,
                skip_auto_headers=skipped,
            ) as answer:
                return await self._relay(request, answer)
        except aiohttp.ClientConnectorError:
            return web.Response(status=503, text="The app behind does not answer.")
        except aiohttp.ClientConnectionError:
            return web.Response(status=502, text="The app behind hung up.")

    async def _relay(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = CIMultiDict(
            (name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
        )
        reply = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await reply.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await reply.write(chunk)
            await reply.write_eof()
        except aiohttp.ClientError:
            reset(request)  # An answer that was cut must not look whole.
        return reply


def _origin_form(target: str) -> str:
    parts = urlsplit(target)
    return (
        target.removeprefix(f"{parts.scheme}://{parts.netloc}")
        if parts.scheme in ("http", "https")
        else target
    )


def without_owned(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Copy a caller's headers without hop-by-hop ones and whatever could pass for the platform's."""
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in _HOP_BY_HOP and not name.lower().replace("_", "-").startswith(OWNED)
    )


def principal_headers(claims: Claims, *, names: Literal["long", "short"]) -> dict[str, str]:
    """Give the headers for a validated token."""
    headers = {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(principal_json(claims, names=names)).decode(),
        "X-MS-CLIENT-PRINCIPAL-ID": str(claims.get("oid", claims.get("sub"))),
        "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
    }
    name = claims.get("preferred_username") or claims.get("unique_name") or claims.get("upn")
    return headers | ({"X-MS-CLIENT-PRINCIPAL-NAME": str(name)} if name else {})


def principal_json(claims: Claims, *, names: Literal["long", "short"]) -> bytes:
    """Give the JSON of the principal, an entry for each value of a claim, `/` escaped as in real ones."""
    spelling = LONG_NAMES if names == "long" else {}
    entries = [
        {"typ": spelling.get(claim, claim), "val": _text(value)}
        for claim, values in claims.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    principal = {"auth_typ": "aad", "claims": entries, "name_typ": NAME_CLAIM, "role_typ": ROLE_CLAIM}
    return json.dumps(principal, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
