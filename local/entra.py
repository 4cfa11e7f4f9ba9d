"""Stands in for Microsoft Entra ID: discovery, keys, and tokens for whoever asks for one.

Not verified against the real service: which optional claims an app registration adds, the order of claims,
the exact error bodies. Issuers are this server's own address, so that nothing minted here passes for a real
token anywhere.
"""

import hashlib
import time
from typing import Any
from uuid import uuid4

from aiohttp import web

from local.directory import GATE_CLIENT, HOME_OF_GUESTS, TENANT, App, Directory, Person
from local.faults import FAULT
from local.keys import Claims, Keys
from local.standin import StandIn

GROUPS_IN_A_TOKEN = 200
"""More than this many groups, and a JWT names none ("Access token claims reference", groups)."""
GATE_AUDIENCE = f"api://{GATE_CLIENT}"
_LIFETIME = 3900


class Entra(StandIn):
    """Mint and verify tokens for the directory's people and apps; serve what the real authority serves."""

    mints_tokens = True

    def __init__(self, directory: Directory, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.directory = directory
        self.keys = Keys()

    def issuer(self, version: str = "2.0") -> str:
        """Give the `iss` of tokens of that version."""
        return f"{self.url}/{TENANT}/" + ("v2.0" if version == "2.0" else "")

    def claims(
        self, who: str, *, audience: str = GATE_AUDIENCE, version: str = "2.0", age: int = 0, **changes: Any
    ) -> Claims:
        """Give the claims of a token for `who`, `age` seconds old; a change of `None` takes a claim away."""
        found = self.directory.find(who)
        if found is None:
            raise KeyError(who)
        now = int(time.time()) - age
        claims: Claims = {
            # A v2 token names the API by its client id, a v1 token by the App ID URI that was asked for.
            "aud": GATE_CLIENT if version == "2.0" and audience == GATE_AUDIENCE else audience,
            "iss": self.issuer(version),
            "iat": now,
            "nbf": now,
            "exp": now + _LIFETIME,
            "oid": found.oid,
            "tid": TENANT,
            "uti": uuid4().hex[:22],
            "ver": version,
        }
        claims |= self._user(found, version) if isinstance(found, Person) else _app(found, version)
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, who: str, **how: Any) -> str:
        """Mint a token for `who`; takes what `claims` takes."""
        return self.mint(self.claims(who, **how))

    def mint(self, claims: Claims, *, headers: dict[str, Any] | None = None) -> str:
        """Sign any claims."""
        return self.keys.sign(claims, headers=headers)

    def verify(self, token: str, *, audience: str) -> Claims | None:
        """Give the claims of a valid token for `audience`, else nothing."""
        return self.keys.verify(token, audience=audience, issuers=[self.issuer("1.0"), self.issuer("2.0")])

    def bearer(self, request: web.Request, *, audience: str) -> Claims | None:
        """Give the claims of the request's bearer token when it is valid for `audience`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.verify(token, audience=audience) if scheme.lower() == "bearer" else None

    def faulty(self, claims: Claims, fault: str | None) -> str:
        """Mint `claims`, spoilt as the `token` fault says."""
        match fault:
            case "audience":
                return self.mint(claims | {"aud": "https://elsewhere.example"})
            case "expired":
                return self.mint(claims | {"exp": int(time.time()) - 3600})
            case "garbage":
                return "not.a.token"
            case _:
                return self.mint(claims)

    def _user(self, person: Person, version: str) -> Claims:
        pairwise = hashlib.sha256(f"{person.oid}/{GATE_CLIENT}".encode()).hexdigest()[:43]
        name = "preferred_username" if version == "2.0" else "unique_name"
        client = (
            {"azp": GATE_CLIENT, "azpacr": "0"}
            if version == "2.0"
            else {"appid": GATE_CLIENT, "appidacr": "0"}
        )
        claims: Claims = client | {"name": person.name.title(), name: person.upn, "scp": "user_impersonation"}
        claims["sub"] = pairwise
        if person.guest:
            claims["idp"] = f"https://sts.windows.net/{HOME_OF_GUESTS}/"
        groups = self.directory.groups_of(person.oid)
        if len(groups) > GROUPS_IN_A_TOKEN:
            endpoint = f"https://graph.windows.net/{TENANT}/users/{person.oid}/getMemberObjects"
            return claims | {
                "_claim_names": {"groups": "src1"},
                "_claim_sources": {"src1": {"endpoint": endpoint}},
            }
        return claims | ({"groups": groups} if groups else {})

    def routes(self) -> list[web.RouteDef]:
        """Serve discovery, keys, the token endpoint, and short ways to a token for people at a terminal."""
        return [
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
            web.get("/{tenant}/discovery/v2.0/keys", self._keys),
            web.post("/{tenant}/oauth2/v2.0/token", self._token),
            web.get("/_token/{who}", self._short),
            web.post("/_mint", self._mint),
            web.post("/_rotate", self._rotate),
        ]

    async def _discovery(self, request: web.Request) -> web.Response:
        if request.match_info["tenant"] != TENANT:
            return web.json_response({"error": "invalid_tenant"}, status=400)
        base = f"{self.url}/{TENANT}"
        return web.json_response(
            {
                "issuer": self.issuer(),
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code", "id_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response(self.keys.published())

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        who = form.get("username") or form.get("client_id") or ""
        audience = str(form.get("scope", "")).removesuffix("/.default") or GATE_AUDIENCE
        name = next(
            (app.name for app in self.directory.apps.values() if app.client == who), str(who).split("@")[0]
        )
        if (
            form.get("grant_type") not in ("password", "client_credentials")
            or self.directory.find(name) is None
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        # Azure's own resources still take v1 tokens.
        version = "2.0" if audience == GATE_AUDIENCE else "1.0"
        claims = self.claims(name, audience=audience, version=version)
        token = self.faulty(claims, request[FAULT].token)
        return web.json_response({"token_type": "Bearer", "expires_in": _LIFETIME, "access_token": token})

    async def _short(self, request: web.Request) -> web.Response:
        wishes = {name: request.query[name] for name in ("audience", "version") if name in request.query}
        try:
            return web.Response(text=self.token(request.match_info["who"], **wishes))
        except KeyError:
            raise web.HTTPNotFound from None

    async def _mint(self, request: web.Request) -> web.Response:
        return web.Response(text=self.mint(await request.json()))

    async def _rotate(self, _: web.Request) -> web.Response:
        return web.Response(text=self.keys.rotate())


def _app(app: App, version: str) -> Claims:
    client = (
        {"azp": app.client, "azpacr": "2"} if version == "2.0" else {"appid": app.client, "appidacr": "2"}
    )
    return client | {"idtyp": "app", "sub": app.oid}
