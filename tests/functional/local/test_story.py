"""The story of `make demo`, through function_app.py on the real worker library, in both ways of hosting."""

import asyncio
import re
import shutil
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from local.children import ROOT, free_port
from local.stack import running
from local.story import STEPS, Story


@pytest.mark.parametrize(("hosting", "names"), [("classic", "short"), ("stream", "long")])
async def test_every_step_comes_as_expected(hosting: str, names: Literal["short", "long"]) -> None:
    """Members get the model's prediction, nobody else does, and each answer has its reason in the audit file."""
    settings = {"GROUPGATE_HTTP": hosting}
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(running(**settings))
        stack.easyauth.switches.names = names
        off = stack.another_gate(free_port(), WEBSITE_AUTH_ENABLED="", **settings)
        unguarded = await opened.enter_async_context(off)
        http = await opened.enter_async_context(aiohttp.ClientSession())
        story = Story(stack, http, unguarded)
        came = {title: await act(story) for title, _, act in STEPS}
    assert came == {title: expected for title, expected, _ in STEPS}


@pytest.mark.skipif(not shutil.which("curl"), reason="the lines to paste need curl")
async def test_make_up_prints_lines_that_work_and_ctrl_c_stops_it_all() -> None:
    """The first line to paste scores as alice; after SIGINT nothing listens and nothing is left on disk."""
    command = [sys.executable, "-m", "local.stack"]
    up = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert up.stdout is not None
        async with asyncio.timeout(60):
            told = (await up.stdout.readuntil(b"Ctrl-C")).decode()
        line = next(line for line in told.splitlines() if line.startswith("curl -i"))
        curl = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
        assert b'{"prediction": ["setosa"]}' in (await curl.communicate())[0]
    finally:
        up.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            status = await up.wait()
    assert status == 130
    for port in set(re.findall(r"127\.0\.0\.1:(\d+)", told)):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(port))
    folder = Path(re.findall(r"policy, audit, logs +(\S+)", told)[0])
    assert not await asyncio.to_thread(folder.exists)
