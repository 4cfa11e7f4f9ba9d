"""Stand-in for ``func start``: runs the app of the current folder on the genuine worker library; never compared with ``func``.

The environment stays as it is; ``local.settings.json`` is not read. Standard output: a line for each function, then, for an
app with Durable Functions, ``DURABLE`` and the address of their endpoints for the worker, with ``--control`` then ``CONTROL``
and that address (see ``local.host.durable.control``), then ``READY`` and the address. Standard error: the host's messages and
the log lines of running invocations. Exit status: 0 after SIGINT or SIGTERM, 1 when the app cannot be loaded, the port is
taken or the storage cannot be used, 2 when the folder or host.json is no app's.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

from local.host import hostjson
from local.host.durable.binding import WEBHOOKS
from local.host.durable.host import Durable, default_storage, needed
from local.host.durable.storage import StorageUnavailable
from local.host.hostjson import HostJson, HostJsonError
from local.host.http import Front, is_http, template_of
from local.host.logs import attach_host_logger, host_logger
from local.host.routes import RouteError
from local.host.worker import ADDRESS, Function, IndexingError, Worker

GRACE = 5.0
"""Seconds that running invocations get to end after SIGINT or SIGTERM."""


def main() -> int:
    """Parse the command line, run the host until it is told to stop, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Run function_app.py of this folder."
    )
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--storage",
        type=Path,
        metavar="FILE",
        help="state of Durable Functions (default: one in the temporary folder for this app and port)",
    )
    parser.add_argument(
        "--control",
        type=int,
        metavar="PORT",
        help="listen for moving the clock of Durable Functions, crashes and outages; 0 takes a free port (default: off)",
    )
    arguments = parser.parse_args()
    attach_host_logger()
    app_dir = Path.cwd()
    if not (app_dir / "function_app.py").is_file():
        host_logger.error("There is no function_app.py in %s", app_dir)
        return 2
    try:
        settings = hostjson.load(app_dir / "host.json")
    except HostJsonError as error:
        host_logger.error("%s", error)
        return 2
    try:
        asyncio.run(_serve(app_dir, settings, arguments))
    except IndexingError as error:
        host_logger.error("The app in %s could not be loaded: %s", app_dir, error)
        return 1
    except (RouteError, OSError, StorageUnavailable) as error:
        host_logger.error("The host could not start: %s", error)
        return 1
    return 0


async def _serve(app_dir: Path, settings: HostJson, arguments: argparse.Namespace) -> None:
    worker = Worker(app_dir, settings)
    durable: Durable | None = None
    storage: Path | None = arguments.storage
    ended = True
    try:
        await worker.start()
        if needed(worker.functions):
            storage = storage or default_storage(app_dir, arguments.port)
            durable = Durable(worker, settings, storage, control=arguments.control)
            await durable.open()
        front = Front(worker, settings, closed=WEBHOOKS if durable else "")
        listening = await front.start(arguments.port)
        if durable:
            await durable.begin(listening)
        stop = asyncio.Event()
        # Only now: the worker's own HTTP server has taken the signals for itself when it started.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        for function in worker.functions:
            print(_line(function, settings.route_prefix))
        if durable:
            print(f"DURABLE {durable.url}")
        if durable and durable.control_url:
            print(f"CONTROL {durable.control_url}")
        print(f"READY http://{ADDRESS}:{listening}/", flush=True)
        await stop.wait()
        ended = await front.stop(GRACE)
    finally:
        if durable:
            ended &= await durable.stop(GRACE)
        if storage and not (arguments.storage or arguments.port):
            shutil.rmtree(storage.parent, ignore_errors=True)  # made for this run alone
        await worker.stop()
    if not ended:
        host_logger.warning("Invocations were still running after %s seconds", GRACE)
        # A thread that runs a synchronous function cannot be stopped and would hold up a normal exit.
        sys.stdout.flush()
        os._exit(0)


def _line(function: Function, prefix: str) -> str:
    route = f"/{template_of(function, prefix)}" if is_http(function) else ""
    return f"{function.name}  {function.trigger['type']}  {route}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
