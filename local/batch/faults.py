"""Fault switches that a batch endpoint has beside those of every stand-in."""

from typing import Any

import msgspec
from aiohttp import web

from local.faults import FAULT, NO_FAULT, Fault, Faults, Handler, reset


class BatchFault(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say also that an answer is lost after its request was served, and for which method a fault is."""

    method: str = ""
    """Only requests with this method; goes with any other."""
    lose: bool = False
    """Do what is asked, then reset the connection instead of an answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lose and (self.refuse or self.silence or self.status is not None or self.garbage or self.cut):
            raise ValueError("lose goes with latency, times, path and method only")


class BatchFaults(Faults):
    """Hold the fault of a batch endpoint."""

    def set(self, **switches: Any) -> None:
        """Replace the fault; raise `ValueError` for a switch that does not exist or would do nothing here."""
        fault = msgspec.convert(switches, BatchFault)
        super().set(**{name: value for name, value in switches.items() if name in Fault.__struct_fields__})
        self._fault = fault

    async def apply(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve one request with its fault."""
        fault = self._fault
        if isinstance(fault, BatchFault) and fault.method not in ("", request.method):
            request[FAULT] = NO_FAULT
            return await handler(request)
        return await super().apply(request, _losing(handler))


def _losing(handler: Handler) -> Handler:
    async def served(request: web.Request) -> web.StreamResponse:
        response = await handler(request)
        fault = request[FAULT]
        if isinstance(fault, BatchFault) and fault.lose:
            reset(request)
        return response

    return served
