"""The same job done elsewhere, for scale: nginx with auth_request, and a minimal authorizer in Python behind it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import rig, traffic
from bench.report import Section

CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; large_client_header_buffers 8 64k; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream model {{ server 127.0.0.1:{model}; keepalive 32; }}
  upstream authorizer {{ server 127.0.0.1:{authorizer}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048; keepalive_requests 1000000;
    location = /open {{ proxy_pass http://model/score; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location = /score {{
      auth_request /authorize;
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-MS-CLIENT-PRINCIPAL "";
    }}
    location = /authorize {{
      internal; proxy_pass http://authorizer; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
}}
"""


def outside(quick: bool) -> Section:
    """Measure nginx on the subject's core, where it is installed."""
    section = Section(
        title="Outside reference: nginx with auth_request",
        about=(
            "One nginx worker and a minimal asyncio authorizer (base64, JSON, one group looked for; no audit, no token, no "
            "limits) share the subject's core; the same requests at 16 connections, the same stub."
        ),
        head=("subject", "requests a second", "CPU µs a request"),
    )
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        section.notes.append("skipped: nginx is not installed here (Debian: `apt-get install nginx-light`)")
        return section
    principals = [traffic.headers(number, traffic.principal(number, 50)) for number in range(100)]
    with _running(nginx) as (served, both):
        for name, target in (("nginx, no check", "/open"), ("nginx, auth_request to Python", "/score")):
            requests = [traffic.request(target, pairs) for pairs in principals]
            rates, cpu = [], []
            for _ in range(1 if quick else 6):
                before = sum(each.cpu() for each in both)
                result = rig.load(served.port, requests, connections=16, seconds=1.0 if quick else 2.0)
                if set(result["statuses"]) != {"200"}:
                    raise RuntimeError(f"{name} answered {result['statuses']}")
                rates.append(result["count"] / result["seconds"])
                cpu.append((sum(each.cpu() for each in both) - before) / result["count"] * 1e6)
            section.rows.append((name, f"{statistics.median(rates):,.0f}", f"{statistics.median(cpu):,.0f}"))
    return section


@contextlib.contextmanager
def _running(nginx: str) -> Iterator[tuple[rig.Served, list[rig.Served]]]:
    """Run nginx and the authorizer; yield nginx, and the processes whose CPU counts."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stub = stack.enter_context(rig.stub())
        stack.enter_context(rig.on_core(rig.SUBJECT))
        authorizer = subprocess.Popen(
            [sys.executable, "-m", "bench.outside"],
            cwd=rig.ROOT,
            env=rig.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(rig.ended(authorizer))
        assert authorizer.stdout is not None
        asked = rig.Served(process=authorizer, port=int(authorizer.stdout.readline()))
        port = rig.free_port()
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, model=stub.port, authorizer=asked.port, port=port))
        # Without a master process, so that the process that was started is the one that works.
        front = subprocess.Popen(
            [
                nginx,
                "-p",
                folder,
                "-c",
                str(config),
                "-e",
                f"{folder}/error.log",
                "-g",
                "master_process off;",
            ],
            stderr=subprocess.DEVNULL,
        )
        stack.enter_context(rig.ended(front))
        served = rig.Served(process=front, port=port)
        rig.wait_for(port)
        yield served, [served, asked]


class Authorizer(asyncio.Protocol):
    """Answers 204 to a principal in the group, 403 to any other; what a team would write in an afternoon."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            status = b"204 No Content" if _member(data[:end]) else b"403 Forbidden"
            self._transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
            data = data[end + 4 :]
        self._rest = data


def _member(head: bytes) -> bool:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"x-ms-client-principal":
            try:
                claims = json.loads(base64.b64decode(value.strip(), validate=True))["claims"]
            except (binascii.Error, ValueError, KeyError):
                return False
            return any(claim["typ"] == "groups" and claim["val"] == traffic.GROUP for claim in claims)
    return False


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Authorizer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
