"""Classic hosting: async functions over azure.functions.HttpRequest, each answer given whole."""

# Annotations stay objects here: the worker reads them to bind the request (no `from __future__ import annotations`).
from collections.abc import Mapping
from typing import Any, Final

import azure.functions as func

from shared.hosting.registration import Function, Handle, Keep, declared_length
from shared.model import Headers, Inbound
from shared.ports import JobStore
from shared.problem import AskedWrongly, Slug


class ClassicBody:
    """A body that the host has already read; it copies none that came without a length (threats, fact 3)."""

    __slots__ = ("_bytes", "length")

    chunked: Final = False

    def __init__(self, length: int | None, data: bytes) -> None:
        self.length: Final = length
        self._bytes: Final = data

    async def read(self, limit: int) -> bytes:
        """Return the body; raise AskedWrongly beyond `limit`, or when it is not as long as it was declared."""
        if len(self._bytes) > limit:
            raise AskedWrongly(Slug.PAYLOAD_TOO_LARGE)
        if len(self._bytes) != self.length:
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="The body is not as long as its Content-Length.")
        return self._bytes


def inbound_of(route: str, request: func.HttpRequest, jobs: JobStore | None = None) -> Inbound:
    """Return what the host gave, in the gate's terms."""
    headers: Mapping[str, str] = request.headers
    return Inbound(
        method=request.method.upper(),
        route=route,
        params=request.route_params,
        query=request.url.partition("?")[2],  # no parser: the url holds the caller's Host, whatever that is
        headers=Headers.over(headers),
        body=ClassicBody(declared_length(headers.get("content-length")), request.get_body()),
        streams=False,
        jobs=jobs,
    )


def function_for(route: str, handle: Handle) -> Function:
    """Return the function that serves `route`."""

    async def function(req: func.HttpRequest) -> func.HttpResponse:
        return await _answer(handle, inbound_of(route, req))

    return function


def durable_function_for(route: str, handle: Handle, keep: Keep) -> Function:
    """Return the function that serves `route` with the durable client that the host gives to each call."""

    async def function(req: func.HttpRequest, client: Any) -> func.HttpResponse:
        return await _answer(handle, inbound_of(route, req, keep(client)))

    return function


async def _answer(handle: Handle, inbound: Inbound) -> func.HttpResponse:
    reply = await handle(inbound)
    if not isinstance(reply.body, bytes):
        raise TypeError("a classic answer is whole")
    return func.HttpResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))
