"""F45: what Durable replays is deterministic, and histories that were written before can be replayed by the code of today."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import msgspec
import pytest

from shared import job
from shared.jobs import orchestrator, steps
from tests.jobfakes import an_intent
from tests.unit.jobs.replay import Failed, Host
from tests.unit.jobs.test_orchestrator import World

IMPORTS = {
    "__future__",
    "collections.abc",
    "copy",
    "datetime",
    "msgspec",
    "shared.job",
    "shared.jobs",
    "shared.jobs.steps",
    "typing",
}
"""All that code which is replayed may use: values, and nothing that asks the world."""
FORBIDDEN = {
    *("now", "utcnow", "today", "time", "monotonic", "perf_counter", "sleep"),
    *("random", "choice", "randint", "uuid1", "uuid4", "new_uuid", "token_hex"),
    *("getenv", "open", "print", "input", "eval", "exec", "__import__", "globals", "id", "hash"),
}
"""Calls whose answer is another one at the next replay, or that nobody may make there."""
UNORDERED = {"set", "frozenset"}
HISTORY = Path(__file__).with_name("history-1.json")
"""A history of version 1: its events, what the orchestration asked for, and how much of both there was at each episode."""


def slips(source: str) -> Iterator[str]:
    """Yield what in `source` is not fit for replay."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {name.name}" for name in node.names if name.name not in IMPORTS)
        elif isinstance(node, ast.ImportFrom) and node.module not in IMPORTS:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call) and name_of(node) in FORBIDDEN:
            yield f"{name_of(node)}()"
        elif isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Global | ast.With):
            yield type(node).__name__
    for function in ast.walk(tree):
        # Constant tables may be sets; what goes through one may come by another order at the next replay.
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Set) or (isinstance(node, ast.Call) and name_of(node) in UNORDERED):
                    yield "a set"


def name_of(call: ast.Call) -> str:
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


@pytest.mark.parametrize("module", [orchestrator, steps, job], ids=lambda module: module.__name__)
def test_replayed_code_asks_nothing_of_the_world(module: Any) -> None:
    """F45: no clock, chance, environment, file or network; time is the context's alone."""
    assert list(slips(inspect.getsource(module))) == []


@pytest.mark.parametrize(
    "slip",
    [
        "import time",
        "import random",
        "from shared.jobs.activities import Activities",
        "import datetime\ndatetime.datetime.utcnow()",
        "uuid4()",
        "def f(): return {1, 2}",
        "def f():\n    for one in set(many): pass",
        "open('/etc/hosts')",
        "async def f(): await g()",
    ],
)
def test_slips_are_seen(slip: str) -> None:
    """F45: the test above can fail."""
    assert list(slips(slip))


def test_a_history_of_version_1_is_replayed_by_the_code_of_today() -> None:
    """F45: jobs that run during a deployment go on: the new code asks, at each step of an old history, what the old one did.

    Where this fails, an open history would end its job: let the code do as before while its first step said an older
    version (`_Run._version`), and raise steps.VERSION.
    """
    kept = json.loads(HISTORY.read_text(encoding="utf-8"))
    handle = df.Orchestrator.create(orchestrator.orchestration(df.RetryOptions(5_000, 3)))
    assert len(kept["episodes"]) > 15
    for events, asked in kept["episodes"]:
        body = {**kept["context"], "history": kept["history"][:events], "isReplaying": True}
        state = json.loads(handle(json.dumps(body)))
        assert plain(state["actions"]) == kept["actions"][:asked]
        assert state["isDone"] == (events == len(kept["history"]))


def plain(actions: Any) -> list[str]:
    """Return what is asked for, one text each; whether a timer has been cancelled since is left out."""
    return [json.dumps(action).replace('"isCanceled": true', '"isCanceled": false') for action in actions[0]]


def write() -> None:
    """Write the history of a job to which about everything happens: `python -m tests.unit.jobs.test_deterministic`.

    Once for each version, before it is deployed; never again for one that is.
    """
    gone = Failed("worker lost")
    wish = steps.Step(status="Running", cancel=True)
    world = World(
        submit=[
            gone,
            steps.Step(code="upstream-rate-limited", wait=600.0),
            steps.Step(upstream="batchjob-1"),
        ],
        poll=[steps.Step(status="Running", deployment="blue"), wish, steps.Step(status="Canceled")],
        cancel=[gone],
        end=[gone, steps.Step(ended=True)],
        notify=[Failed("500"), steps.Step()],
    )
    world.intent = an_intent(notify="https://hooks.contoso.com/jobs")
    given = msgspec.to_builtins({"intent": world.intent, "progress": None})
    code = orchestrator.orchestration(df.RetryOptions(5_000, 3))
    host = Host(code, given, world, instance=world.intent.job, events=((9.0, steps.WAKE),)).run()
    kept = {
        "context": host.context,
        "history": host.history,
        "actions": plain(host.episodes[-1][1]),
        "episodes": [(events, len(actions[0])) for events, actions in host.episodes],
    }
    HISTORY.write_text(json.dumps(kept, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
