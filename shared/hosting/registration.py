"""What both ways of hosting share: registering the gate's addresses, and reading a declared length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func

from shared.model import Inbound, Reply
from shared.ports import JobStore
from shared.surface import ADDRESSES

Handle = Callable[[Inbound], Awaitable[Reply]]
Keep = Callable[[Any], JobStore]
"""Makes a store of what the host gave a call for its jobs."""
Function = Callable[..., Any]
"""A function as the worker takes it; what it is annotated with tells the worker what to give it."""


def register(app: func.FunctionApp, function_for: Callable[[str, Handle], Function], handle: Handle) -> None:
    """Register the gate's addresses on `app`, without methods: the gate answers 405 itself.

    Those that need Durable Functions are hosting.jobs' to register.
    """
    for name, address in ADDRESSES.items():
        if not address.durable:
            app.function_name(name)(app.route(route=address.template)(function_for(name, handle)))


def declared_length(value: str | None) -> int | None:
    """Return a Content-Length as a number of bytes; None when it is absent or none (RFC 9110, section 8.6)."""
    return (
        int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 16 else None
    )
