"""Processes on the cores where they belong, and what each of them used (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import traffic

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
LOADER, SUBJECT = CORES[0], CORES[-1]
"""Generator and stub share the first core, the subject has the last one; on one core they all share it."""


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let what is started meanwhile run on `core` alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running process with a port."""

    process: subprocess.Popen[Any]
    port: int

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Return the processor seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident(self) -> int:
        """Return the bytes of memory that it holds."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what could steer the subjects, and with `changes`."""
    steering = (
        "GROUPGATE_",
        "AZURE_",
        "WEBSITE_",
        "CONTAINER_",
        "IDENTITY_",
        "MSI_",
        "PYTHON_",
        "PYTHONPATH",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


@contextlib.contextmanager
def stub() -> Iterator[Served]:
    """Run the stub on the loader's core."""
    with on_core(LOADER):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.stub"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None
    with ended(process):
        yield Served(process=process, port=int(process.stdout.readline()))


@contextlib.contextmanager
def host(folder: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    """Run `python -m local.host` in `folder` on the subject's core."""
    with on_core(SUBJECT):
        process = subprocess.Popen(
            [sys.executable, "-m", "local.host", "--port", "0"],
            cwd=folder,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    assert process.stdout is not None
    with ended(process):
        for line in process.stdout:
            if line.startswith("READY"):
                yield Served(process=process, port=int(line.split(":")[2].rstrip("/\n")))
                return
        raise RuntimeError(f"the host in {folder} did not start")


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """End `process` when the block does."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nothing listens on, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Wait until something listens on a port of this machine; raise TimeoutError after ten seconds."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def load(port: int, requests: list[bytes], *, generator: str = "bench.load", **job: Any) -> dict[str, Any]:
    """Run a generator against a port of this machine; see bench/load.py and bench/streamload.py for `job`."""
    document = {
        "host": "127.0.0.1",
        "port": port,
        "requests": [each.decode("latin-1") for each in requests],
        **job,
    }
    with on_core(LOADER):
        done = subprocess.run(
            [sys.executable, "-m", generator],
            cwd=ROOT,
            env=environment(),
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def counts(served: Served) -> dict[str, int]:
    """Return what the stub was asked since the last look."""
    with urllib.request.urlopen(f"{served.url}/counts") as answer:
        told: dict[str, int] = json.load(answer)
    return told


@dataclass(frozen=True, slots=True)
class Load:
    """What the whole machine did, to see who else was at work."""

    at: float
    busy: float

    @classmethod
    def now(cls) -> Load:
        """Read /proc/stat: seconds of work on all cores, idle and waiting left out."""
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(time.monotonic(), (sum(fields) - fields[3] - fields[4]) / TICK)


def gate_settings(folder: Path, stub_url: str, *, endpoints: str) -> dict[str, str]:
    """Write a policy with `endpoints` (or models) to `folder`; return the gate's settings for it."""
    policy = folder / "policy.toml"
    policy.write_text(
        f'version = 1\n[groups]\nanalysts = "{traffic.GROUP}"\n[hosts]\nallow = ["127.0.0.1"]\n{endpoints}'
    )
    return {
        "GROUPGATE_POLICY": str(policy),
        "GROUPGATE_TENANT_ID": traffic.TENANT,
        "GROUPGATE_GRAPH_URL": stub_url,
        "GROUPGATE_ALLOW_HTTP": "true",
        "WEBSITE_AUTH_ENABLED": "true",
        "IDENTITY_ENDPOINT": f"{stub_url}/msi/token",
        "IDENTITY_HEADER": "bench",
    }


def endpoint(name: str, url: str) -> str:
    """Return the policy's table of an endpoint that members of the one group may call."""
    return (
        f'[endpoints.{name}]\nkind = "online"\nurl = "{url}"\n'
        f'[[endpoints.{name}.rules]]\nid = "analysts"\neffect = "allow"\ngroups = ["analysts"]\n'
    )


def model(name: str, url: str, *, deployment: str, limits: str = "") -> str:
    """Return the policy's table of a model that members of the one group may call, its `limits` as TOML has them."""
    table = f'[models."{name}"]\nkind = "openai"\nurl = "{url}"\ndeployment = "{deployment}"\n'
    rule = f'[[models."{name}".rules]]\nid = "analysts"\neffect = "allow"\ngroups = ["analysts"]\n'
    return table + rule + (f"limits = {{ {limits} }}\n" if limits else "")
