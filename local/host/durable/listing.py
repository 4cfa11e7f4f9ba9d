"""Stand-in for the Durable extension's queries over many instances; never compared with the real one.

As there, what cannot be read of a query counts as absent, and so does a status that is none: such a query finds more, not less.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web

from local.host.durable.engine import Engine
from local.host.durable.history import microseconds
from local.host.durable.records import FINAL, Query
from local.host.durable.status import flag, status_of

CONTINUATION: Final = "x-ms-continuation-token"
PAGE: Final = 100
"""Instances in a page when the query has no `top`; the SDK for Python neither sends one nor reads the token for more."""
_STATUSES: Final = FINAL | {"Pending", "Running", "ContinuedAsNew", "Suspended"}


def find(engine: Engine, request: web.Request) -> web.Response:
    """Answer with a page of instances by id; the header for more is empty on the last."""
    query = _query(request.query)
    top = request.query.get("top", "")
    size = int(top) if top.isdecimal() and int(top) > 0 else PAGE
    after = _after(request.headers.get(CONTINUATION, ""))
    found = engine.storage.find(replace(query, after=after, page=size + 1))
    page = found[:size]
    more = base64.b64encode(page[-1].id.encode()).decode() if len(found) > size else ""
    with_input = flag(request.query, "showInput", default=True)
    payload = [status_of(instance, with_input=with_input) for instance in page]
    return web.json_response(payload, headers={CONTINUATION: more})


def purge(engine: Engine, request: web.Request) -> web.Response:
    """Delete instances that have ended."""
    query = _query(request.query)
    if query.created_from is None:
        return web.json_response("Please provide value for 'createdTimeFrom' parameter.", status=400)
    statuses = tuple(status for status in query.statuses or FINAL if status in FINAL)
    deleted = 0
    # One after the other: what is found is gone before the next is looked for.
    while found := engine.storage.find(replace(query, prefix="", statuses=statuses or ("",))):
        for instance in found:
            engine.storage.purge(instance.id)
        deleted += len(found)
    return web.json_response({"instancesDeleted": deleted}) if deleted else web.Response(status=404)


def _query(given: Mapping[str, str]) -> Query:
    statuses = [status.strip() for status in given.get("runtimeStatus", "").split(",")]
    return Query(
        prefix=given.get("instanceIdPrefix", ""),
        statuses=tuple(status for status in statuses if status in _STATUSES),
        created_from=_moment(given.get("createdTimeFrom", "")),
        created_to=_moment(given.get("createdTimeTo", "")),
    )


def _moment(text: str) -> int | None:
    try:
        return microseconds(text)
    except ValueError:
        return None


def _after(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("the continuation token is none of this host's") from error
