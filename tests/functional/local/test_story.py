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


class Seen:
    """What is told of the steps that take their time."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.ended: list[str] = []

    def show(self, text: str) -> None:
        self.shown.append(text)

    def end(self, text: str) -> None:
        self.ended.append(text)


@pytest.mark.parametrize(("hosting", "names"), [("classic", "short"), ("stream", "long")])
async def test_every_step_comes_as_expected(hosting: str, names: Literal["short", "long"]) -> None:
    """Members get what the models give, nobody else does, each answer has its reason in the audit file, and jobs end once.

    Whoever waits for a job sees it come along. Durable Functions are in the one host that serves jobs.
    """
    settings = {"GROUPGATE_HTTP": hosting}
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(running(**settings))
        stack.easyauth.switches.names = names
        off = stack.another_gate(free_port(), WEBSITE_AUTH_ENABLED="", **settings)
        unguarded = await opened.enter_async_context(off)
        http = await opened.enter_async_context(aiohttp.ClientSession())
        seen = Seen()
        story = Story(stack, http, unguarded, seen)
        came = {title: await act(story) for title, _, act in STEPS}
        durable = [
            "\nDURABLE " in gate.log.read_text() for gate in (stack.gate, stack.models_gate, unguarded)
        ]
    assert came == {title: expected for title, expected, _ in STEPS}
    assert durable == [True, False, False]
    ends = [re.sub(r".* > |, [0-9.]+ s", "", told) for told in seen.ended]
    assert ends == ["Completed", "Canceled", "Completed"]
    assert all(told.startswith("alice's job: ") for told in seen.shown)
    assert len(seen.shown) > len(seen.ended)


@pytest.mark.skipif(not shutil.which("curl"), reason="the lines to paste need curl")
async def test_make_up_prints_lines_that_work_and_ctrl_c_stops_it_all() -> None:
    """The first line to paste scores as alice, those for jobs submit, show, list and cancel one of hers.

    After SIGINT nothing listens and nothing is left on disk.
    """
    command = [sys.executable, "-m", "local.stack"]
    up = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert up.stdout is not None
        async with asyncio.timeout(60):
            told = (await up.stdout.readuntil(b"Ctrl-C")).decode()
        lines = told.splitlines()
        first = next(line for line in lines if line.startswith("curl -i"))
        assert '{"prediction": ["setosa"]}' in await _pasted(first)
        jobs = [line for line in lines if "/endpoints/irises/jobs" in line]
        said = await _pasted("\n".join([*jobs, "echo; echo $JOB"]))
        assert len(jobs) == 4
        job = said.split()[-1]
        assert len(job) == 58
        # The second and the last line show headers; the list between them has this job alone.
        assert len(re.findall(r"HTTP/1\.1 20[02] ", said)) == 2
        assert said.count(f'"name":"{job}"') == 3
        assert f'{{"value":[{{"id":"/endpoints/irises/jobs/{job}"' in said
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


async def _pasted(lines: str) -> str:
    """Give what comes of `lines` in a shell."""
    shell = await asyncio.create_subprocess_exec("sh", "-c", lines, stdout=asyncio.subprocess.PIPE)
    return (await shell.communicate())[0].decode()
