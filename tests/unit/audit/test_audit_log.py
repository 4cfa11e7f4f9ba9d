"""The `log` sink: the platform's logs, best effort."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.audit import Audit, make_sink, verify


async def test_records_are_logged_in_their_chain_whatever_the_roots_level(
    caplog: pytest.LogCaptureFixture,
    clock: Any,
    tmp_path: Path,
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
) -> None:
    """One log line a record, at INFO, even where the root logger is left at its WARNING."""
    logger = logging.getLogger("groupgate.audit")
    logger.setLevel(logging.NOTSET)
    sink = make_sink("log", clock, instance="i1", process="p1", root=tmp_path)
    assert (sink.required, sink.outlives_invocation) == (False, False)
    audit = auditing(sink)
    await decide(audit, "r1")
    await audit.completed(request_id="r1", outcome="ok", status=200, duration_ms=1.0)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert verify(record.getMessage().encode() + b"\n" for record in caplog.records) == []


async def test_t23_a_record_is_never_taken_for_a_format(
    caplog: pytest.LogCaptureFixture,
    clock: Any,
    tmp_path: Path,
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
) -> None:
    """Threat T23: percent signs of a caller reach the log as they are."""
    audit = auditing(make_sink("log", clock, instance="i1", process="p1", root=tmp_path))
    await decide(audit, "%s%d%(name)s{0}")
    assert "%s%d%(name)s{0}" in caplog.records[0].getMessage()


async def test_a_handler_that_raises_refuses_nobody(
    clock: Any, tmp_path: Path, auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """Threat R02: best effort means that the platform's log may fail, and that the loss is counted."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError

    logger = logging.getLogger("groupgate.audit")
    handler = Broken()
    logger.addHandler(handler)
    try:
        audit = auditing(make_sink("log", clock, instance="i1", process="p1", root=tmp_path))
        await decide(audit, "r1")
    finally:
        logger.removeHandler(handler)
    assert audit.dropped == 1
