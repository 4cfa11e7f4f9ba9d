"""Plays the story on the local stack: `python -m local.demo`; exit status 0 if all came as expected."""

import shutil
import sys
import time
from contextlib import AsyncExitStack

import aiohttp

from local.children import free_port
from local.stack import run, running
from local.story import STEPS, Story
from local.story.stage import Otherwise

_ERASE = "\r\x1b[2K"


class Progress:
    """A line that changes in place, until the step's own takes its place; where no terminal is, one plain line at the end."""

    def show(self, text: str) -> None:
        """Put `text` in place of what stands there."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(_ERASE + f"          {text}"[:width], end="", flush=True)

    def end(self, text: str) -> None:
        """Say how it went where nobody has seen it."""
        if not sys.stdout.isatty():
            print(f"          {text}", flush=True)


async def _play(story: Story) -> int:
    titles, expectations = max(len(step[0]) for step in STEPS), max(len(step[1]) for step in STEPS)
    print(f"{'':10}{'':{titles}}  {'expected':{expectations}}  came")
    failed = 0
    for number, (title, expected, act) in enumerate(STEPS, 1):
        story.stage.details = []
        try:
            came = await act(story)
        except Otherwise as instead:
            came = str(instead)
        except (aiohttp.ClientError, TimeoutError) as exc:
            came = f"no answer ({type(exc).__name__})"
        verdict = "ok" if came == expected else "FAIL"
        print(_ERASE if sys.stdout.isatty() else "", end="")
        print(f"{number:2}  {verdict:4}  {title:{titles}}  {expected:{expectations}}  {came}", flush=True)
        if came != expected:
            failed += 1
            gate = story.stage.stack.gate
            told = [*story.stage.details, "the gate's last lines:", *gate.tail().splitlines()[-8:]]
            print("\n".join(f"          {line}" for line in told), flush=True)
    return failed


async def _demo() -> int:
    started = time.monotonic()
    print("Starting the local stack: training the model, starting the gate ...", flush=True)
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(running())
        unguarded = await opened.enter_async_context(stack.another_gate(free_port(), WEBSITE_AUTH_ENABLED=""))
        timeout = aiohttp.ClientTimeout(total=15)
        http = await opened.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        print(f"Ready after {time.monotonic() - started:.1f} s, everything on loopback.\n", flush=True)
        failed = await _play(Story(stack, http, unguarded, Progress()))
    result = (
        f"{failed} of {len(STEPS)} steps came otherwise" if failed else f"All {len(STEPS)} steps as expected"
    )
    print("\nReasons such as not-member stand in the gate's audit file; callers never read them.")
    print(f"{result}, {time.monotonic() - started:.1f} s in all; everything is stopped.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(_demo()))
