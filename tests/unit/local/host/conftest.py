"""Hosts for the tests of this folder, each on a free port."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.local.host.hosts import PATIENCE, Host, launch


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Host]]:
    """Start hosts that are ready to be asked; they are stopped after the tests of the module."""
    hosts: list[Host] = []

    def starter(*arguments: Any) -> Host:
        host = launch(*arguments)
        hosts.append(host)
        ready = re.search(r"READY http://127\.0\.0\.1:(\d+)/", host.out.wait_for("READY"))
        assert ready is not None
        host.port = int(ready[1])
        return host

    yield starter
    for host in hosts:
        if host.process.poll() is None:
            host.process.kill()
            host.process.wait(PATIENCE)
