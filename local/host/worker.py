"""Stand-in for the host's side of the channel to Microsoft's Python worker; the wire's timing and memory are not verified.

The worker library itself (``azure-functions-runtime``) is the genuine one: it imports the app, indexes its functions and
runs them. It keeps its state in module variables, so a process holds one worker. The environment is left as it is: release
1.3.0 of the library reads nothing from it that tells Azure from a laptop.
"""

import asyncio
import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.host.hostjson import HostJson
from local.host.logs import InvocationHandler, attach, host_logger
from local.host.messages import PROTOS, ParameterBinding, StatusResult, Value, decode, encode

ADDRESS = "127.0.0.1"
_HTTP_SERVER_START = 10.0
"""Seconds that the worker's own HTTP server gets to accept its first connection."""


class IndexingError(Exception):
    """The worker could not load the app; the message holds the app's exception and its stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that the worker has indexed, with its bindings as ``function.json`` would have them."""

    name: str
    id: str
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]
    clients: tuple[str, ...] = ()
    """Names of its Durable client bindings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an invocation ended.

    ``lost`` tells a failure of which the worker's own HTTP server does not know, so that it will never answer the request.
    """

    ok: bool
    returned: Value | None = None
    outputs: Mapping[str, Value | None]
    error: str = ""
    lost: bool = False


class Worker:
    """The one worker of this process; ``start`` it, then ``invoke`` functions by any trigger."""

    def __init__(self, app_dir: Path, settings: HostJson) -> None:
        self._app_dir = app_dir
        self._settings = settings
        self._running: dict[str, int] = {}
        self._levels: dict[str, int] = {}
        self._server_tasks: set[asyncio.Task[Any]] = set()
        self._runtime: Any = None
        self._handler: InvocationHandler | None = None
        self.functions: tuple[Function, ...] = ()
        self.http_uri: str | None = None
        """Base URL of the worker's own HTTP server when the app streams, else None."""
        self.durable_client = "{}"
        """The value of every Durable client binding."""

    async def start(self) -> None:
        """Import and index the app as the real worker does: first import, then change to its folder. Raises IndexingError."""
        app_dir = str(self._app_dir)
        if app_dir not in sys.path:
            sys.path.insert(0, app_dir)
        # Elsewhere than in the app's folder, so that a relative path opened while importing fails here as in Azure.
        os.chdir("/")
        self._runtime = importlib.import_module("azure_functions_runtime")
        settings = importlib.import_module("azure_functions_runtime.utils.app_setting_manager")
        debug = settings.is_envvar_true("PYTHON_ENABLE_DEBUG_LOGGING")
        self._handler = InvocationHandler(self._running, self._runtime.invocation_id_cv.get)
        attach(self._handler, level=logging.DEBUG if debug else logging.INFO)
        self._runtime.start_threadpool_executor()
        before = asyncio.all_tasks()
        init = SimpleNamespace(capabilities={}, function_app_directory=app_dir)
        response = await self._runtime.worker_init_request(
            _request("WorkerInitRequest", worker_init_request=init)
        )
        if response.result.status != StatusResult.Success:
            exception = response.result.exception
            raise IndexingError(f"{exception.message}\n{exception.stack_trace}")
        os.chdir(app_dir)
        self._server_tasks = asyncio.all_tasks() - before
        self.http_uri = response.capabilities.get("HttpUri")
        if self.http_uri is not None:
            await self._http_server_ready(self.http_uri)
        await self._index()

    async def invoke(
        self,
        function: Function,
        inputs: Mapping[str, Value | None],
        *,
        invocation_id: str,
        traceparent: str = "",
    ) -> Outcome:
        """Run a function with the inputs of its trigger and bindings by name, and return how it ended; never raises for it.

        The invocation is running, and its log lines are printed, only until the worker has answered.
        """
        if function.clients:
            inputs = {**inputs, **dict.fromkeys(function.clients, ("string", self.durable_client))}
        request = SimpleNamespace(
            invocation_id=invocation_id,
            function_id=function.id,
            input_data=[ParameterBinding(name=name, data=encode(value)) for name, value in inputs.items()],
            trigger_metadata={},
            trace_context=SimpleNamespace(trace_parent=traceparent, trace_state="", attributes={}),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        )
        self._running[invocation_id] = self._levels[function.id]
        token = self._runtime.invocation_id_cv.set(invocation_id)
        try:
            async with asyncio.timeout(self._settings.function_timeout):
                response = await self._runtime.invocation_request(
                    _request("InvocationRequest", invocation_request=request)
                )
        except TimeoutError:
            # The real host would also restart the worker.
            limit = self._settings.function_timeout
            return _failed(function, f"Timeout value of {limit} seconds exceeded by function", lost=True)
        except Exception as error:  # noqa: BLE001  # whatever the worker library raises is one failed invocation
            # The real worker would not answer at all, and the host wait until the function's timeout.
            return _failed(function, f"{type(error).__name__}: {error}", lost=True)
        finally:
            self._runtime.invocation_id_cv.reset(token)
            del self._running[invocation_id]
            if self._handler is not None:
                self._handler.flush()  # what was logged is on the console before the caller has its answer
        if response.result.status != StatusResult.Success:
            exception = response.result.exception
            return _failed(function, f"{exception.message}\n{exception.stack_trace}")
        outputs = {output.name: decode(output.data) for output in response.output_data or ()}
        return Outcome(ok=True, returned=decode(response.return_value), outputs=outputs)

    async def stop(self) -> None:
        """End the worker's own HTTP server, which has no way of its own to be stopped."""
        if self._server_tasks:
            logging.getLogger("uvicorn.error").disabled = True
            for task in self._server_tasks:
                task.cancel()
            await asyncio.wait(self._server_tasks)

    async def _index(self) -> None:
        response = await self._runtime.functions_metadata_request(_request("WorkerMetadataRequest"))
        functions = []
        for metadata in response.function_metadata_results or ():
            bindings = tuple(json.loads(binding) for binding in metadata.raw_bindings)
            trigger = next((found for found in bindings if found["type"].lower().endswith("trigger")), None)
            if trigger is None:
                raise IndexingError(f"function {metadata.name} has no trigger")
            self._levels[metadata.function_id] = self._settings.level_of(metadata.name)
            clients = tuple(found["name"] for found in bindings if found["type"].lower() == "durableclient")
            functions.append(
                Function(
                    name=metadata.name,
                    id=metadata.function_id,
                    trigger=trigger,
                    bindings=bindings,
                    clients=clients,
                )
            )
        self.functions = tuple(functions)

    async def _http_server_ready(self, uri: str) -> None:
        port = int(uri.rpartition(":")[2])
        try:
            async with asyncio.timeout(_HTTP_SERVER_START):
                while not await _accepts(port):  # noqa: ASYNC110  # the server tells nobody that it listens
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise IndexingError(f"the worker's HTTP server does not accept connections at {uri}") from error
        # Its lines on standard output, one a request, would mix with what this host prints there.
        access = logging.getLogger("uvicorn.access")
        access.handlers.clear()
        access.propagate = False


def _request(name: str, **content: object) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, request=SimpleNamespace(**content), properties={"protos": PROTOS, "host": ADDRESS}
    )


def _failed(function: Function, error: str, *, lost: bool = False) -> Outcome:
    host_logger.error("Executed 'Functions.%s' (Failed): %s", function.name, error)
    return Outcome(ok=False, outputs={}, error=error, lost=lost)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(ADDRESS, port)
    except ConnectionError:
        return False
    writer.close()
    return True
