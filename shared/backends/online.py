"""Azure ML online endpoints: `POST …/score` and `GET …/swagger.json` (protocols, section 4)."""

from __future__ import annotations

from copy import replace
from typing import Final

from shared.backends import body
from shared.backends import headers as outbound
from shared.backends.forward import Forwarder
from shared.model import Asked, Inbound, Principal, Route, Rule
from shared.ports import Call, Clock, Decide, Forwarded
from shared.problem import AskedWrongly, Slug

DEPLOYMENT: Final = "azureml-model-deployment"


class Online:
    """The Backend of online endpoints."""

    def __init__(self, forwarder: Forwarder, clock: Clock) -> None:
        self._forwarder: Final = forwarder
        self._clock: Final = clock

    def read(self, inbound: Inbound) -> Asked:
        """Return what is asked. A repeated deployment header names no deployment that a policy can hold."""
        return Asked(
            target="endpoint",
            name=inbound.params.get("name", ""),
            operation=inbound.route,
            deployment=inbound.headers.joined(DEPLOYMENT),
        )

    async def resolve(self, asked: Asked, inbound: Inbound, principal: Principal) -> Asked:
        """Return `asked` as it is: a scoring request's body is opaque, and decides nothing."""
        del inbound, principal
        return asked

    async def specify(
        self, route: Route, asked: Asked, inbound: Inbound, principal: Principal, decide: Decide
    ) -> Asked:
        """Return `asked`: all of it is known already."""
        del route, inbound, principal, decide
        return asked

    async def prepare(
        self,
        route: Route,
        asked: Asked,
        inbound: Inbound,
        *,
        rule: Rule,
        principal: Principal,
        request_id: str,
    ) -> Call:
        """Check how it is asked (411, 413, 415, 400) and read the body."""
        del rule
        deadline = self._clock.monotonic() + route.timeout
        headers = {"accept": outbound.accept(inbound.headers), "x-request-id": request_id}
        content: bytes | None = None
        if asked.operation == "score":
            headers["content-type"] = _checked(inbound, route)
            content = await body.read(inbound, route.max_body)
            url = route.url
        else:
            url = f"{route.url.rpartition('/')[0]}/swagger.json"
        if inbound.query:
            raise AskedWrongly(Slug.INVALID_REQUEST, detail="This address takes no query.")
        trace = outbound.traceparent(inbound.headers)
        if trace is not None:
            headers["traceparent"] = trace
        if asked.deployment is not None:
            # Only a value that stands in the policy gets here: decide() has compared it with the rule's list.
            headers[DEPLOYMENT] = asked.deployment
        return Call(
            route=route,
            asked=asked,
            request_id=request_id,
            method="GET" if content is None else "POST",
            url=url,
            headers=headers,
            body=content,
            deadline=deadline,
            streams=inbound.streams and inbound.method != "HEAD",
            principal=principal,
        )

    async def take(self, call: Call) -> Call:
        """Take a place and a token."""
        return await self._forwarder.take(call)

    async def send(self, call: Call) -> Forwarded:
        """Send a prepared call; raise problem.UpstreamFault."""
        forwarded = await self._forwarder.send(call)
        if call.asked.operation == "score":
            return forwarded
        # A description opened in a browser is data, whatever the model calls it: never a page of the gate's origin.
        others = tuple(pair for pair in forwarded.reply.headers if pair[0] != "content-type")
        headers = (("content-type", "application/json"), *others)
        return replace(forwarded, reply=replace(forwarded.reply, headers=headers))

    def release(self, call: Call) -> None:
        """Give back the place of a call that is never sent."""
        self._forwarder.release(call)


def _checked(inbound: Inbound, route: Route) -> str:
    """Return the Content-Type to send; raise AskedWrongly for length, size, type or encoding, in this order."""
    body.check_length(inbound, route.max_body)
    content_type = outbound.content_type(inbound.headers.joined("content-type"), route.content_types)
    if content_type is None:
        raise AskedWrongly(Slug.UNSUPPORTED_MEDIA_TYPE)
    body.check_encoding(inbound)
    return content_type
