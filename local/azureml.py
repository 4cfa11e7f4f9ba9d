"""Stands in for the front of an Azure ML managed online endpoint with `authMode` AADToken.

Not verified against the real service: the words of its own errors, whether 424 carries the model's body
(here: yes), what it answers while no container can be reached (here: 500). Behind it runs the real inference
server.
"""

import json
import random
from uuid import uuid4

import aiohttp
from aiohttp import web

from local.entra import Entra
from local.standin import HEADER_LIMIT, StandIn

AUDIENCE = "https://ml.azure.com"
DEPLOYMENT = "azureml-model-deployment"
_FROM_MODEL = ("Content-Type", "x-ms-run-function-failed", "x-ms-run-fn-exec-ms", "x-ms-server-version")


class AzureML(StandIn):
    """Check token and Azure role, choose a deployment, call its inference server."""

    def __init__(
        self, entra: Entra, deployments: dict[str, str], *, may_score: set[str], port: int = 0
    ) -> None:
        """Serve `deployments` (name to base URL of an inference server) to the object ids in `may_score`."""
        super().__init__(port=port)
        self.entra = entra
        self.deployments = deployments
        self.may_score = may_score
        self.traffic = {name: 100 if number == 0 else 0 for number, name in enumerate(deployments)}
        """Percent of the requests that name no deployment."""
        self.request_timeout = 5.0
        """Seconds, as `request_timeout_ms` of a deployment."""
        self._session: aiohttp.ClientSession

    def routes(self) -> list[web.RouteDef]:
        """Serve scoring and the model's description."""
        return [web.post("/score", self._serve), web.get("/swagger.json", self._serve)]

    async def opened(self) -> None:
        """Open the connections to the inference servers."""
        self._session = aiohttp.ClientSession(max_line_size=HEADER_LIMIT, max_field_size=HEADER_LIMIT)

    async def closed(self) -> None:
        """Close them."""
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.Response:
        headers = {"server": "azureml-frontdoor", "azureml-model-session": uuid4().hex}
        request_id = request.headers.get("x-request-id", str(uuid4()))[:100]
        headers |= {"x-ms-request-id": request_id, "x-request-id": request_id}
        claims = self.entra.bearer(request, audience=AUDIENCE)
        if claims is None:
            return _answer(401, "The token is missing, expired, or not for this service.", headers)
        if claims["oid"] not in self.may_score:
            return _answer(403, "Microsoft Entra Token denied by policy.", headers)
        deployment = request.headers.get(DEPLOYMENT) or self._by_traffic()
        if deployment not in self.deployments:
            return _answer(404, "There is no such deployment with positive traffic.", headers)
        headers[DEPLOYMENT] = deployment
        try:
            return await self._call(request, self.deployments[deployment], headers)
        except TimeoutError:
            return _answer(408, "The model took longer than request_timeout_ms.", headers)
        except aiohttp.ClientError:
            return _answer(500, "The model's container does not answer.", headers)

    async def _call(self, request: web.Request, server: str, headers: dict[str, str]) -> web.Response:
        async with self._session.request(
            request.method,
            server + request.path,
            data=await request.read(),
            headers={
                "Content-Type": request.headers.get("Content-Type", "application/json"),
                "x-request-id": headers["x-request-id"],
            },
            timeout=aiohttp.ClientTimeout(total=self.request_timeout),
        ) as answer:
            body = await answer.read()
        headers |= {name: answer.headers[name] for name in _FROM_MODEL if name in answer.headers}
        status = 200
        if answer.status != 200:
            # "424: the container did not answer 200" (Troubleshoot online endpoints, HTTP status codes).
            status = 424
            headers["ms-azureml-model-error-statuscode"] = str(answer.status)
            headers["ms-azureml-model-error-reason"] = answer.reason or ""
        return web.Response(status=status, body=body, headers=headers)

    def _by_traffic(self) -> str:
        names, weights = list(self.traffic), list(self.traffic.values())
        return random.choices(names, weights)[0] if any(weights) else ""


def _answer(status: int, message: str, headers: dict[str, str]) -> web.Response:
    body = json.dumps({"error": {"code": status, "message": message}})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)
