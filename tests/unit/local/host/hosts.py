"""Starting and asking a host: one process for each app, because the worker library keeps its state in module variables."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[4]
PATIENCE = 10.0
"""Seconds to wait for something that must happen; reached only by a failing test."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """An HTTP answer as it came over the wire; ``complete`` tells whether its body ended as announced."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)


class Output:
    """The lines of a stream of the process, which can be waited for."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def __str__(self) -> str:
        return self._text

    def wait_for(self, text: str) -> str:
        """Wait until ``text`` has come, and return all that came."""
        with self._changed:
            self._changed.wait_for(lambda: text in self._text or self._ended, PATIENCE)
        assert text in self._text, f"{text!r} did not come; this came: {self._text}"
        return self._text

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@dataclass(slots=True, kw_only=True)
class Host:
    """A running host."""

    process: subprocess.Popen[str]
    port: int = 0
    out: Output = field(init=False)
    err: Output = field(init=False)

    def __post_init__(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def send(self, request: str, body: bytes = b"") -> socket.socket:
        """Send a request given as its head (lines of text), and return the connection."""
        connection = self.connect()
        lines = textwrap.dedent(request).strip().splitlines()
        head = "\r\n".join([*lines, "Host: gate.test", "Connection: close", "", ""])
        connection.sendall(head.encode() + body)
        return connection

    def ask(self, request: str, body: bytes = b"") -> Answer:
        """Send a request and read the answer to the end of the connection."""
        with self.send(request, body) as connection:
            return parse(receive(connection), head_only=request.lstrip().startswith("HEAD"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def receive(connection: socket.socket) -> bytes:
    """Read what comes until the other side ends the connection, in whatever way."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def parse(raw: bytes, *, head_only: bool = False) -> Answer:
    """Parse an answer and tell whether its body is complete."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    answer = Answer(status=int(status_line.split()[1]), headers=headers, body=rest, complete=True)
    if answer.header("transfer-encoding") == "chunked":
        answer.body, answer.complete = b"", False
        while found := re.match(rb"([0-9a-fA-F]+)\r\n", rest):
            size = int(found[1], 16)
            answer.body += rest[found.end() : found.end() + size]
            rest = rest[found.end() + size + 2 :]
            answer.complete = size == 0
    elif (length := answer.header("content-length")) is not None and not head_only:
        answer.complete = len(rest) == int(length)
    return answer


def launch(folder: Path, source: str | None, host_json: object = None, *arguments: str) -> Host:
    """Write an app into ``folder`` and start the host there, without waiting for anything."""
    if source is not None:
        (folder / "function_app.py").write_text(textwrap.dedent(source))
    if host_json is not None:
        (folder / "host.json").write_text(json.dumps(host_json))
    process = subprocess.Popen(
        [sys.executable, "-m", "local.host", "--port", "0", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "MARKER": "as it is"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Host(process=process)
