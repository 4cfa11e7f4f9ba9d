"""The `file:` sink: on disk before the model is called, never in the loop's way, whole whatever happens to the file."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.audit import Audit, verify
from shared.audit.file import ChainedFile
from shared.audit.line import encode
from shared.audit.sinks import FileSink, make_sink
from shared.model import Deny, Reason
from shared.problem import Undecidable


class BlockedStore:
    """A disk that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.batches: list[int] = []

    def append(self, lines: Sequence[bytes]) -> None:
        self.let_go.wait(20)
        self.batches.append(len(lines))

    def sweep(self) -> None:
        """Find nothing."""

    def close(self) -> None:
        """Hold nothing."""


def line(number: int, process: str = "p1") -> bytes:
    """Return a small record."""
    return encode({"process": process, "n": number})


async def test_r02_a_blocked_disk_refuses_within_its_deadline_and_blocks_nobody(
    auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """Threat R02, fault F43 (slow): 503 after the deadline, while everything else in the loop goes on."""
    store = BlockedStore()
    sink = FileSink(store, deadline=0.05)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    begun = time.monotonic()
    with pytest.raises(Undecidable) as raised:
        await decide(auditing(sink), "r1")
    took = time.monotonic() - begun
    ticking.cancel()
    assert raised.value.reason is Reason.AUDIT_UNAVAILABLE
    assert 0.05 <= took < 1
    assert ticks >= 2
    store.let_go.set()
    sink.close()


async def test_r02_a_full_queue_refuses_at_once_and_recovers() -> None:
    """Threat R02: the queue is bounded; nothing is dropped in silence, and what was queued still arrives."""
    store = BlockedStore()
    sink = FileSink(store, deadline=0.02, queue=3)
    waiting = [asyncio.ensure_future(sink.write(line(number))) for number in range(8)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, OSError) for result in results)
    assert sum(isinstance(result, TimeoutError) for result in results) in (
        3,
        4,
    )  # one may be with the disk already
    store.let_go.set()
    while True:
        try:
            await sink.write(line(9))
            break
        except OSError:
            await asyncio.sleep(0)
    sink.close()
    assert sum(store.batches) >= 4


async def test_requests_that_wait_together_share_one_write() -> None:
    """Group commit: a slow disk costs a few writes, not one for each request."""
    store = BlockedStore()
    sink = FileSink(store, deadline=5)
    waiting = [asyncio.ensure_future(sink.write(line(number))) for number in range(100)]
    await asyncio.sleep(0)
    store.let_go.set()
    await asyncio.gather(*waiting)
    sink.close()
    assert sum(store.batches) == 100
    assert len(store.batches) <= 2


async def test_a_request_that_goes_away_harms_no_other() -> None:
    """A cancelled wait leaves its line in the queue, and the thread alive."""
    store = BlockedStore()
    sink = FileSink(store, deadline=5)
    gone = asyncio.ensure_future(sink.write(line(1)))
    stays = asyncio.ensure_future(sink.write(line(2)))
    await asyncio.sleep(0)
    gone.cancel()
    store.let_go.set()
    await stays
    sink.close()
    assert sum(store.batches) == 2


async def test_a_broken_store_is_an_error_for_whoever_waits(
    auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """Whatever a store raises ends in 503, one exception for each who waits, and the next line is tried again."""

    class Broken(BlockedStore):
        def append(self, lines: Sequence[bytes]) -> None:
            raise ZeroDivisionError

    sink = FileSink(Broken())
    audit = auditing(sink)
    for _ in range(3):
        with pytest.raises(Undecidable):
            await decide(audit, "r")
    sink.close()


async def test_nothing_is_opened_before_the_first_record(
    names: Callable[[], list[str]],
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
) -> None:
    """Importing and wiring the gate touches no disk and starts no thread."""
    before = threading.active_count()
    audit = auditing(file_sink())
    assert names() == []
    assert threading.active_count() == before
    await decide(audit, "r1")
    assert names() == ["audit.jsonl"]


async def test_records_are_on_disk_before_write_returns_in_the_order_of_their_chain(
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """Two hundred requests at once: one chain without a hole, readable by others the moment each returns."""
    audit = auditing(file_sink())

    async def one(number: int) -> None:
        await decide(audit, f"r{number}")
        assert any(b'"r%d"' % number in each for each in lines())

    await asyncio.gather(*(one(number) for number in range(200)))
    assert verify(lines()) == []
    assert [json.loads(each)["seq"] for each in lines()] == list(range(1, 201))


async def test_the_next_process_continues_the_chain_of_the_file(
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """The ruling on `file:PATH`; its own numbers start at 1."""
    for process in ("p1", "p2", "p3"):
        sink = file_sink(process=process)
        for number in range(3):
            await decide(auditing(sink, process), f"{process}-{number}", decision=_deny())
        sink.close()
    assert verify(lines()) == []
    assert [json.loads(each)["seq"] for each in lines()] == [1, 2, 3] * 3


@pytest.mark.parametrize("rest", [b'{"event":"dec', b"\x00" * 5000, b"x" * 200_000])
async def test_p11_a_line_that_a_crash_cut_short_is_taken_away(
    *,
    rest: bytes,
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """P11: nobody acted on a record that was not whole; the file ends in its last full line again."""
    sink = file_sink()
    await decide(auditing(sink), "r1", decision=_deny())
    sink.close()
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(rest)
    sink = file_sink(process="p2")
    await decide(auditing(sink, "p2"), "r2")
    sink.close()
    assert verify(lines()) == []
    assert [json.loads(each)["request_id"] for each in lines()] == ["r1", "r2"]


async def test_a_file_that_holds_nothing_but_a_torn_line_starts_a_new_chain(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """P11: a crash inside the very first write."""
    (tmp_path / "audit.jsonl").write_bytes(b'{"event"')
    await decide(auditing(file_sink()), "r1")
    assert verify(lines()) == []


async def test_f43_a_rotated_file_is_followed_by_a_new_one_in_the_same_chain(
    *,
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
    descriptors: Callable[[], int],
) -> None:
    """Fault F43 (rotated): nothing is lost, the parts verify in their order, and the old file is let go."""
    audit = auditing(file_sink())
    await decide(audit, "r1")
    open_before = descriptors()
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.old")
    await decide(audit, "r2")
    await decide(audit, "r3")
    assert verify(lines("audit.old") + lines()) == []
    assert len(lines("audit.old")) == 1
    assert verify(lines()) != []
    assert descriptors() == open_before


async def test_f43_a_removed_file_leaves_a_hole_that_the_chain_shows(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """Fault F43 (removed): recording goes on in a new file, which does not pretend to be the beginning."""
    audit = auditing(file_sink())
    await decide(audit, "r1")
    (tmp_path / "audit.jsonl").unlink()
    await decide(audit, "r2")
    assert [json.loads(each)["request_id"] for each in lines()] == ["r2"]
    assert verify(lines()) == [
        "line 1: does not follow the record before it",
        "line 1: has number 2 where 1 was due",
    ]


async def test_f43_a_file_cut_from_outside_shows_in_the_chain(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """Threat T23: emptied under the running process, the file's next record still follows the lost ones."""
    audit = auditing(file_sink())
    await decide(audit, "r1")
    (tmp_path / "audit.jsonl").write_bytes(b"")
    await decide(audit, "r2")
    assert verify(lines()) != []


async def test_f43_a_folder_that_goes_away_refuses_and_recovers_when_it_is_back(
    tmp_path: Path, clock: Any, auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """Fault F43 (permission lost, unmounted): each request is refused meanwhile, without a restart afterwards."""
    folder = tmp_path / "disk"
    sink: Any = make_sink("file:disk/audit.jsonl", clock, instance="i1", process="p1", root=tmp_path)
    audit = auditing(sink)
    with pytest.raises(Undecidable):
        await decide(audit, "r1")
    folder.mkdir()
    await decide(audit, "r2")
    folder.rename(tmp_path / "away")
    with pytest.raises(Undecidable):
        await decide(audit, "r3")
    (tmp_path / "away").rename(folder)
    await decide(audit, "r4")
    sink.close()
    written = (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert [json.loads(each)["request_id"] for each in written] == ["r2", "r4"]
    assert verify(written) == []


async def test_what_is_no_regular_file_is_refused(
    tmp_path: Path, file_sink: Callable[..., Any], auditing: Callable[..., Audit], decide: Callable[..., Any]
) -> None:
    """A folder in the way is an error for every request, never a silent loss."""
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(Undecidable):
        await decide(auditing(file_sink()), "r1")


async def test_a_torn_write_that_cannot_be_cut_back_is_repaired_before_the_next(tmp_path: Path) -> None:
    """Fault F43: the disk fails in the middle of a line and again at the repair; the next write starts with it."""
    file = ChainedFile(tmp_path / "audit.jsonl", process="p1", unknown=lambda _id, _policy: b"")
    file.append([line(1)])
    file._torn = (tmp_path / "audit.jsonl").stat().st_size  # as after a failed ftruncate
    with (tmp_path / "audit.jsonl").open("ab") as other:
        other.write(b'{"half')
    file.append([line(2)])
    file.close()
    assert verify((tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)) == []


async def test_r01_a_decision_without_outcome_gets_one_at_the_next_start(
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """Threat R01: allowed calls whose process died are `unknown`; refused and finished ones are left alone; once only."""
    sink = file_sink()
    audit = auditing(sink)
    for request_id in ("finished", "cut-off"):
        await decide(audit, request_id)
    await audit.completed(request_id="finished", outcome="ok", status=200, duration_ms=1.0)
    await decide(audit, "refused", decision=_deny())
    sink.close()
    for process in ("p2", "p3"):
        sink = file_sink(process=process)
        await decide(auditing(sink, process), f"in-{process}", decision=_deny())
        sink.close()
    swept = [record for record in map(json.loads, lines()) if record.get("outcome") == "unknown"]
    assert [(record["request_id"], record["process"], record["status"]) for record in swept] == [
        ("cut-off", "p2", None)
    ]
    assert verify(lines()) == []


async def test_r01_a_reopened_file_does_not_sweep_its_own_running_calls(
    tmp_path: Path,
    file_sink: Callable[..., Any],
    auditing: Callable[..., Audit],
    decide: Callable[..., Any],
    lines: Callable[..., list[bytes]],
) -> None:
    """A file that was away for a moment holds calls that are still under way: they keep their own outcome."""
    sink = file_sink()
    audit = auditing(sink)
    await decide(audit, "running")
    (tmp_path / "audit.jsonl").rename(tmp_path / "away")
    await decide(audit, "meanwhile", decision=_deny())
    (tmp_path / "away").rename(tmp_path / "audit.jsonl")
    await decide(audit, "later", decision=_deny())
    sink.close()
    assert b"unknown" not in b"".join(lines())


@pytest.mark.parametrize("setting", ["", "file", "file:", "blob:https://x", "LOG", "log:"])
def test_an_unknown_sink_is_refused(setting: str, clock: Any, tmp_path: Path) -> None:
    """A setting that names no sink never means the weaker one."""
    with pytest.raises(ValueError, match="audit must be"):
        make_sink(setting, clock, instance="i", process="p", root=tmp_path)


def _deny() -> Any:

    return Deny(reason=Reason.NOT_MEMBER)
