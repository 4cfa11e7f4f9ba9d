"""The story of `make demo`, through function_app.py on the real worker library, in both ways of hosting."""

import asyncio
import re
import shutil
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

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


async def test_every_step_comes_as_expected_where_answers_stream_too() -> None:
    """Members get what the models give, nobody else does, each answer has its reason in the audit file, and jobs end once.

    Whoever waits for a job sees it come along. Durable Functions are in the one host that serves jobs. `make demo` plays the
    same with the other way of hosting and the other form of the principal's claims.
    """
    settings = {"GROUPGATE_HTTP": "stream"}
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(running(**settings))
        stack.easyauth.switches.names = "long"
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
    *jobs, around, closing = seen.ended
    ends = [re.sub(r".* > |, [0-9.]+ s", "", told) for told in jobs]
    assert ends == ["Completed", "Canceled", "Completed"]
    assert sum(told.startswith("alice's job: ") for told in seen.shown) > len(jobs)
    assert around == "these call it: heidi, ivan, judy, niaj (eligible), training-pipeline"
    assert closing == "6 commands were run"


SAID = [
    "HTTP/1.1 200 ",
    '{"prediction": ["setosa"]}',
    "HTTP/1.1 403 ",
    '"endpoints":[{"name":"fraud"',
    "HTTP/1.1 202 ",
    "Location: /endpoints/irises/jobs/JOB",
    '{"id":"/endpoints/irises/jobs/JOB"',
    "You may not call this, or it does not exist.",
    "properties.InputData.flowers.Uri is not what the policy lets your jobs have.",
    "There is no such job here, or it is not yours.",
    '{"value":[{"id":"/endpoints/irises/jobs/JOB"',
    '{"value":[{"id":"/endpoints/irises/jobs/JOB"',
    '"status":"CancelRequested"',
    "text/event-stream",
    "data: [DONE]",
    '"id":"assistant"',
    "OPEN",
    "az role assignment delete",
    "CLOSED",
    *["HTTP/1.1 204 "] * 4,
]
"""What the lines to paste have to give, in this order."""


@pytest.mark.skipif(not shutil.which("curl"), reason="the lines to paste need curl")
async def test_make_up_prints_lines_that_work_and_ctrl_c_stops_it_all() -> None:
    """All of its lines at once give what is said beside them: predictions, refusals, one job and what becomes of it, a chat.

    After SIGINT nothing listens and nothing is left on disk.
    """
    command = [sys.executable, "-m", "local.stack"]
    up = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert up.stdout is not None
        async with asyncio.timeout(60):
            told = (await up.stdout.readuntil(b"Ctrl-C")).decode()
        pasted = told[told.index("# alice is a member") : told.index("Ctrl-C")]
        said = await _pasted(pasted)
        found = re.search(r'"name":"([0-9a-f-]{58})"', said)
        assert found, said
        at = 0
        for expected in SAID:
            at = said.find(expected.replace("JOB", found[1]), at) + 1
            assert at, (expected, said)
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
    shell = await asyncio.create_subprocess_exec("sh", "-c", lines, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    return (await shell.communicate())[0].decode()
