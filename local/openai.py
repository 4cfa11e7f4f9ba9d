"""Stands in for the data plane of a Foundry or Azure OpenAI resource that takes Entra tokens only.

Not verified against the real service: the words and the order of its own errors, and which fields a given model
or API version refuses. Behind chat/completions, completions, embeddings and responses runs the real llama.cpp
server. Behind images, speech and transcriptions stands no model at all: the answers are one grey pixel, a tenth
of a second of silence, and a text that says how long the file was.
"""

import asyncio
import io
import json
import time
import wave
from collections import deque
from uuid import uuid4

import aiohttp
from aiohttp import web

from local.entra import Entra
from local.faults import FAULT
from local.llama.bodies import FIELDS, Document, RefusedError, read
from local.llama.relay import Events, StreamFaults, events_of, relay
from local.llama.responses import Responses
from local.standin import StandIn

AUDIENCE = "https://ai.azure.com"
OLDER_AUDIENCE = "https://cognitiveservices.azure.com"
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5)
_REMEMBERED = 100
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


class OpenAI(StandIn):
    """Check token, Azure role and body, then call the language model's server of the deployment."""

    def __init__(
        self,
        entra: Entra,
        deployments: dict[str, str],
        *,
        may_infer: set[str],
        audience: str = OLDER_AUDIENCE,
        port: int = 0,
    ) -> None:
        """Serve `deployments` (name to base URL of a language model's server) to the object ids in `may_infer`."""
        super().__init__(port=port)
        self.faults = StreamFaults(tokens=self.mints_tokens, streams=self.streams_bodies)
        self.entra = entra
        self.deployments = deployments
        self.may_infer = may_infer
        self.audience = audience
        self.usage_in_streams = True
        """Whether `stream_options` is obeyed; older API versions pass over it."""
        self.answers: deque[bytes] = deque(maxlen=_REMEMBERED)
        """The language models' answers as they were sent, a streamed one once it has ended."""
        self.abandoned = 0
        """Requests whose callers went away before the answer had ended."""
        self._responses = Responses()
        self._session: aiohttp.ClientSession

    def routes(self) -> list[web.RouteDef]:
        """Serve both shapes of URL, and kept responses."""
        kept = "/openai/v1/responses/{id}"
        return [
            web.get(kept, self._serve_kept),
            web.delete(kept, self._serve_kept),
            web.post(f"{kept}/cancel", self._serve_kept),
            web.post("/openai/deployments/{deployment}/{operation:.+}", self._serve),
            web.post("/openai/v1/{operation:.+}", self._serve),
        ]

    async def opened(self) -> None:
        """Open the connections to the language models."""
        # llama.cpp closes a connection after a streamed answer without saying so: none is used twice.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector)

    async def closed(self) -> None:
        """Close them."""
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._infer(request)
        except RefusedError as refused:
            return _json({"error": refused.error}, status=refused.status)
        except (asyncio.CancelledError, ConnectionResetError):
            self.abandoned += 1
            raise

    async def _serve_kept(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authorize(request, "responses")
            return self._kept(request.method, request.match_info["id"])
        except RefusedError as refused:
            return _json({"error": refused.error}, status=refused.status)

    def _kept(self, method: str, name: str) -> web.Response:
        if name not in self._responses.kept:
            raise RefusedError(404, None, f"Response with id '{name}' not found.")
        if method == "DELETE":
            del self._responses.kept[name]
            return _json({"id": name, "object": "response", "deleted": True})
        response = self._responses.kept[name].response
        if method == "POST" and not response["background"]:
            raise RefusedError(400, None, "Cannot cancel a synchronous response.")
        return _json(response)

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        operation, deployment = request.match_info["operation"], request.match_info.get("deployment")
        self._authorize(request, operation)
        wrong_shape = deployment and (operation == "responses" or "api-version" not in request.query)
        if operation not in FIELDS or wrong_shape:
            raise RefusedError(404, "404", "Resource not found")
        raw = await request.read()
        asked = read(operation, request.headers.get("Content-Type", ""), raw)
        server = self._server_of(deployment or asked.get("model"))
        match operation:
            case "images/generations":
                return _json({"created": int(time.time()), "data": [{"b64_json": _PIXEL}]})
            case "audio/speech":
                return web.Response(body=_silence(), content_type="audio/wav", headers=_headers())
            case "audio/transcriptions":
                return _json({"text": f"A file of {len(asked.get('file', b''))} bytes."})
        return await self._call(request, f"{server}/v1/{operation}", asked, raw)

    def _authorize(self, request: web.Request, operation: str) -> None:
        if "Authorization" not in request.headers and "api-key" in request.headers:
            message = "Key based authentication is disabled for this resource."
            raise RefusedError(403, "AuthenticationTypeDisabled", message)
        claims = self.entra.bearer(request, audience=self.audience)
        if claims is None:
            message = (
                f"Access token is missing, invalid, audience is incorrect ({self.audience}), or have expired."
            )
            raise RefusedError(401, "Unauthorized", message)
        if claims["oid"] not in self.may_infer:
            action = f"Microsoft.CognitiveServices/accounts/OpenAI/deployments/{operation}/action"
            message = f"The principal `{claims['oid']}` lacks the required data action `{action}`."
            raise RefusedError(401, "PermissionDenied", message)

    def _server_of(self, deployment: object) -> str:
        if not isinstance(deployment, str):
            raise RefusedError(400, None, "you must provide a model parameter", param="model")
        if deployment not in self.deployments:
            message = "The API deployment for this resource does not exist."
            raise RefusedError(404, "DeploymentNotFound", message)
        return self.deployments[deployment]

    async def _call(self, request: web.Request, url: str, asked: Document, raw: bytes) -> web.StreamResponse:
        keeps = url.endswith("/responses")
        if keeps:
            raw = json.dumps(self._responses.forwarded(asked)).encode()
        elif "stream_options" in asked and not self.usage_in_streams:
            raw = json.dumps({name: asked[name] for name in asked if name != "stream_options"}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(url, data=raw, headers=headers) as answer:
                if answer.content_type == "text/event-stream":
                    events = events_of(answer.content)
                    return await self._stream(
                        request, self._responses.streamed(asked, events) if keeps else events
                    )
                body = await answer.read()
        except ConnectionResetError:
            # The caller's connection, although aiohttp counts this one among its clients' errors.
            raise
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise RefusedError(500, "InternalServerError", "The language model does not answer.") from exc
        if keeps and answer.status == 200:
            body = json.dumps(self._responses.completed(asked, json.loads(body))).encode()
        return self._whole(body, answer.content_type, status=answer.status)

    async def _stream(self, request: web.Request, events: Events) -> web.StreamResponse:
        if request[FAULT].cut:
            return self._whole(b"".join([event async for event in events]), "text/event-stream")
        headers = _headers() | {"Content-Type": "text/event-stream; charset=utf-8"}
        answer, sent = await relay(request, events, headers=headers, fault=request[FAULT])
        self.answers.append(sent)
        return answer

    def _whole(self, body: bytes, content_type: str, *, status: int = 200) -> web.Response:
        self.answers.append(body)
        return web.Response(status=status, body=body, content_type=content_type, headers=_headers())


def _headers() -> dict[str, str]:
    return {
        "apim-request-id": str(uuid4()),
        "x-ms-region": "West Europe",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-remaining-tokens": "9999",
    }


def _json(document: Document, *, status: int = 200) -> web.Response:
    return web.json_response(document, status=status, headers=_headers())


def _silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 800)
    return file.getvalue()
