"""Stands in for the managed identity endpoint of App Service (api-version 2019-08-01).

Not verified against the real service: its errors' status and text, and its cache (about 24 hours there, none
here).
"""

import secrets
import time

from aiohttp import web

from local.directory import App
from local.entra import Entra
from local.faults import FAULT
from local.standin import StandIn


class ManagedIdentity(StandIn):
    """Mint tokens of one identity for whoever knows `secret`, the value for IDENTITY_HEADER."""

    mints_tokens = True

    def __init__(self, entra: Entra, identity: App, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.entra = entra
        self.identity = identity
        self.secret = secrets.token_hex(16)
        self.lifetime = 24 * 3600
        """Seconds that the next tokens are good for."""

    @property
    def environment(self) -> dict[str, str]:
        """What App Service puts into the environment of the app."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": self.secret}

    def routes(self) -> list[web.RouteDef]:
        """Serve the token endpoint."""
        return [web.get("/msi/token", self._token)]

    async def _token(self, request: web.Request) -> web.Response:
        if not secrets.compare_digest(
            request.headers.get("X-IDENTITY-HEADER", "").encode(), self.secret.encode()
        ):
            return _error(401, "The identity header is missing or wrong.")
        resource = request.query.get("resource")
        if request.query.get("api-version") != "2019-08-01" or not resource:
            return _error(400, "Bad api-version or no resource.")
        if request.query.get("client_id", self.identity.client) != self.identity.client:
            return _error(400, "No managed identity with that client id is assigned.")
        fault = request[FAULT].token
        # Azure's own resources take v1 tokens, whose audience is the resource as it was asked for.
        claims = self.entra.claims(self.identity.name, audience=resource, version="1.0")
        claims["exp"] = int(time.time()) + self.lifetime
        answer = {
            "access_token": self.entra.faulty(claims, fault),
            "expires_on": str(claims["exp"] if fault != "expired" else claims["iat"] - 3600),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": self.identity.client,
        }
        if fault == "no-expiry":
            del answer["expires_on"]
        return web.json_response(answer)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)
