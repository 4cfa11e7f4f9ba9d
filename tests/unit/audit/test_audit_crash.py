"""Crashes: what was acknowledged is on disk, and what is on disk verifies."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.audit import Audit, verify

ROOT = Path(__file__).resolve().parents[3]
WRITER = Path(__file__).with_name("writer.py")
KILLS = 20


def start(folder: Path, process: str) -> subprocess.Popen[bytes]:
    """Start a writer in its own process."""
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), process],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT)},
    )


def kill_after(child: subprocess.Popen[bytes], seconds: float) -> set[str]:
    """Kill `child` that long after its first acknowledged record; return the ids of all acknowledged ones."""
    assert child.stdout is not None
    told = child.stdout.readline()
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    told += child.stdout.read()
    timer.join()
    child.stdout.close()
    child.wait()
    return {line.decode() for line in told.split(b"\n")[:-1]}


async def test_p11_every_acknowledged_record_survives_kill_9_and_the_chain_verifies(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """P11, threat R01, "nothing lost": killed at random instants, one writer after the other on the same file.

    After a last, orderly process each allowed decision has exactly one outcome.
    """
    moments = random.Random(20261122)
    acknowledged: set[str] = set()
    for number in range(KILLS):
        told = kill_after(start(tmp_path, f"p{number}"), moments.uniform(0, 0.05))
        assert told
        acknowledged |= told
        whole = [line for line in lines() if line.endswith(b"\n")]
        assert verify(whole) == []
        assert acknowledged <= {json.loads(line)["request_id"] for line in whole}
    with pytest.raises(FileNotFoundError):
        lines("audit.jsonl.1")

    sink = file_sink(process="last")
    await decide(auditing(sink, "last"), "the-last-one")
    sink.close()
    records = [json.loads(line) for line in lines()]
    assert verify(lines()) == []
    decisions = [each["request_id"] for each in records if each["event"] == "decision"]
    outcomes = [each["request_id"] for each in records if each["event"] == "outcome"]
    assert sorted(outcomes) == sorted(set(decisions) - {"the-last-one"})
    assert "unknown" in {each.get("outcome") for each in records}


async def test_a_second_process_writes_a_file_of_its_own(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """The ruling on `file:PATH`: the first process holds PATH, the next takes PATH.1; each file verifies by itself."""
    child = start(tmp_path, "other")
    try:
        assert child.stdout is not None
        child.stdout.readline()
        sink = file_sink()
        await decide(auditing(sink), "mine")
    finally:
        child.kill()
        child.communicate()
    sink.close()
    assert [json.loads(line)["request_id"] for line in lines("audit.jsonl.1")] == ["mine"]
    assert verify(lines("audit.jsonl.1")) == []
    assert b"mine" not in (tmp_path / "audit.jsonl").read_bytes()


def test_f36_what_is_queued_is_written_when_the_process_ends_in_order(tmp_path: Path) -> None:
    """Fault F36: an orderly end flushes the records that nobody waited for."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from shared.audit import make_sink\n"
        "from shared.audit.line import encode\n"
        "async def main():\n"
        "    sink = make_sink('file:audit.jsonl', None, instance='i', process='p', root=pathlib.Path(sys.argv[1]))\n"
        "    for n in range(100):\n"
        "        asyncio.ensure_future(sink.write(encode({'process': 'p', 'n': n})))\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=20,
    )
    written = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert len(written) == 100
    assert verify(written) == []


def test_f43_a_full_disk_refuses_and_recovers_and_the_file_stays_whole(tmp_path: Path) -> None:
    """Fault F43: a real short write (RLIMIT_FSIZE) surfaces, leaves no partial line, and passes once there is room."""
    script = (
        "import asyncio, pathlib, resource, signal, sys\n"
        "from shared.audit import make_sink\n"
        "from shared.audit.line import encode\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "async def main():\n"
        "    sink = make_sink('file:audit.jsonl', None, instance='i', process='p', root=pathlib.Path(sys.argv[1]))\n"
        "    async def put(n):\n"
        "        try:\n"
        "            await sink.write(encode({'process': 'p', 'n': n, 'fill': 'x' * 50}))\n"
        "        except OSError as exc:\n"
        "            return type(exc).__name__\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "    full = [await put(n) for n in range(10)]\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    print(full[0], full[-1], await put('again'), sep=',')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=20,
    )
    assert done.stdout.strip() == "None,OSError,None"
    written = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert verify(written) == []
    assert json.loads(written[-1])["n"] == "again"
