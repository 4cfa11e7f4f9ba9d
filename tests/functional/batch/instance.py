"""A second instance of the app, as there are many in Azure: a process and worker of its own, beside the host that runs the jobs.

`python -m tests.functional.batch.instance URL` serves the app of this folder, its durable client bound to the endpoints at URL
of a running local host. With `--call NAME ID`, as often as wanted, it calls functions by hand instead, as whoever holds the
host's master key can, with the JSON text of ID, and prints what each returned as a line of JSON.
"""

import argparse
import asyncio
import json
import sys
import uuid
from pathlib import Path

from local.host import hostjson
from local.host.durable.binding import Links
from local.host.http import Front
from local.host.logs import attach_host_logger
from local.host.worker import ADDRESS, Worker


def say(line: str) -> None:
    """Write a line for whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve, or call."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--call", nargs=2, action="append", default=[], metavar=("NAME", "ID"))
    parser.add_argument("url")
    arguments = parser.parse_args()
    attach_host_logger()
    app_dir = Path.cwd()
    settings = hostjson.load(app_dir / "host.json")
    worker = Worker(app_dir, settings)
    await worker.start()
    links = Links(hub=settings.durable.hub, origin=f"http://{ADDRESS}:9")
    worker.durable_client = links.binding(f"{arguments.url}/")
    functions = {function.name: function for function in worker.functions}
    for name, given in arguments.call:
        function = functions[name]
        inputs = {function.trigger["name"]: ("string", json.dumps(given))}
        outcome = await worker.invoke(function, inputs, invocation_id=str(uuid.uuid4()))
        returned = None if outcome.returned is None else str(outcome.returned[1])
        say(json.dumps({"ok": outcome.ok, "returned": returned}))
    if not arguments.call:
        front = Front(worker, settings)
        say(f"READY http://{ADDRESS}:{await front.start(arguments.port)}/")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
