"""The floor of streaming: a function that relays to `RELAY_URL` what comes and what is answered, and does nothing else."""

# Annotations stay objects here: the worker reads them to bind the request.
import functools
import os

import aiohttp
import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
URL = os.environ["RELAY_URL"]


@functools.cache
def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())


@app.route(route="openai/{*rest}", methods=["POST"])
async def relay(req: Request) -> StreamingResponse:
    answer = await session().post(
        f"{URL}/openai/{req.path_params['rest']}",
        data=await req.body(),
        headers={"content-type": "application/json"},
    )
    return StreamingResponse(
        answer.content.iter_any(), status_code=answer.status, media_type=answer.content_type
    )
