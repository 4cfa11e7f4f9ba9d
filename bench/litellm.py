"""Chat that is not streamed, beside LiteLLM's proxy with the same checks on."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import chat, rig, throughput, tools, traffic
from bench.report import Section

RELEASE: Final = "1.81.0"
"""As measured for the design. Later releases of it have been compromised (1.82.7 and 1.82.8): read before taking another."""
MODEL: Final = "gpt-4.1-mini"
PATH: Final = f"/openai/deployments/{MODEL}/chat/completions"
LIMITS: Final = 'requests = "900000000/minute", tokens = "900000000/minute", scope = "instance"'
PATIENCE: Final = 90.0
"""Seconds that LiteLLM gets to start."""


def litellm(quick: bool) -> Section:
    """Measure the classic gate and LiteLLM's proxy at 16 connections."""
    section = Section(
        title="Chat of 2 KiB, not streamed, 16 connections, beside LiteLLM",
        about=(
            "The same requests to both on the subject's core, the stub's answer of 1 KiB at once; 100 callers with 50 groups. *Gate*: "
            "`GROUPGATE_HTTP=classic`, every check of the body, model access, requests and tokens counted for each caller in memory, "
            f"audit to the log. *LiteLLM* {RELEASE}, one worker, no database, no logging of its own: its `custom_auth` (bench/apps/"
            "litellm) looks for the group in the principal header and compares the model's name, its own limiter counts requests "
            "and tokens for each caller in memory; it checks nothing else in the body and writes no audit. Its virtual keys need a "
            "database and are not in this. LiteLLM is not on the Functions worker, which costs the gate what the empty function "
            "above shows. Interleaved rounds, medians."
        ),
        head=throughput.HEAD,
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = stack.enter_context(rig.stub())
        table = rig.model(MODEL, stub.url, deployment="gpt-41-mini", limits=LIMITS)
        gate = stack.enter_context(rig.host(rig.ROOT, rig.gate_settings(folder, stub.url, endpoints=table)))
        try:
            proxy = stack.enter_context(_proxy(stub, folder))
        except tools.Missing as why:
            section.notes.append(f"skipped: {why}")
            return section
        body = chat.request_body(MODEL, stream=False)
        subjects = [
            throughput.Subject(name=name, served=served, path=PATH, body=body, connections=16)
            for name, served in (("**the gate**", gate), ("LiteLLM's proxy", proxy))
        ]
        throughput.compare(subjects, [stub, gate, proxy], section, quick=quick)
    ours, theirs = subjects
    section.at_least("the gate beside LiteLLM's proxy", ours.rate / theirs.rate, 10, "x")
    return section


@contextlib.contextmanager
def _proxy(stub: rig.Served, folder: Path) -> Iterator[rig.Served]:
    """Run LiteLLM's proxy on the subject's core; raise tools.Missing where it cannot be."""
    python = tools.environment("litellm", f"litellm[proxy]=={RELEASE}") / "bin" / "python"
    port = rig.free_port()
    changes = {
        "BENCH_GROUP": traffic.GROUP,
        "BENCH_MODEL": MODEL,
        "BENCH_API_BASE": f"{stub.url}/openai/v1",
        "PYTHONPATH": "",
        # Nothing is fetched, told or shown.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "DISABLE_ADMIN_UI": "True",
        "NO_DOCS": "True",
    }
    config = rig.ROOT / "bench" / "apps" / "litellm" / "config.yaml"
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with rig.on_core(rig.SUBJECT):
        process = subprocess.Popen(
            [str(python.with_name("litellm")), *arguments, "--num_workers", "1"],
            cwd=folder,
            env=rig.environment(**changes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    with rig.ended(process):
        served = rig.Served(process=process, port=port)
        _wait(served)
        yield served


def _wait(served: rig.Served) -> None:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and served.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{served.url}/health/liveliness", timeout=1).close()
            return
        time.sleep(0.2)
    raise tools.Missing("LiteLLM's proxy did not start")
