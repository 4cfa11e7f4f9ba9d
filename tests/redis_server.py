"""A real redis-server for tests: on a free port of this machine, with its data in a folder that is thrown away."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

_STARTS = 20.0


class RedisServer:
    """One server, which can be killed and started again on the same port; `options` are of redis.conf."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = (), tls: bool = False) -> None:
        self.port = _free_port()
        self.tls = tls
        self._folder = folder
        ports = ("--port", "0", "--tls-port", str(self.port)) if tls else ("--port", str(self.port))
        self._command = ["redis-server", "--bind", "127.0.0.1", *ports, "--save", "", "--appendonly", "no"]
        self._command += ["--dir", str(folder), "--unixsocket", str(folder / "s"), *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}"

    @property
    def admin(self) -> Any:
        """A client beside the port, for looking at what is stored and for doing harm."""
        return redis.Redis(unix_socket_path=str(self._folder / "s"), decode_responses=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _STARTS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def freeze(self) -> None:
        """Have it answer nothing, though the machine still takes connections for it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on, with everything that it was sent."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(*options: str, tls: bool = False) -> Iterator[RedisServer]:
    """Give a running server; skip the test where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    # Not pytest's own folder: a path of a socket has room for 107 characters.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), options=options, tls=tls)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
