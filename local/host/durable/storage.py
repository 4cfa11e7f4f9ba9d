"""Stand-in for the storage account of Durable Functions: one SQLite file, of one process at a time.

What was acknowledged is there after a kill: in WAL mode a committed transaction is in the operating system's hands, with
`synchronous=NORMAL` too; only a loss of power could undo it. An episode's result is one transaction.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from local.host.durable import schema
from local.host.durable.clock import Clock
from local.host.durable.history import Event, played
from local.host.durable.records import Activity, Due, Instance, Query, Result, Work
from local.host.durable.schema import instance_of

_LOCK_WAIT: Final = 2.0
"""Seconds to wait for a process that is just ending to let go of the file."""


class StorageUnavailable(Exception):
    """Nothing could be read or written; what was asked for has not happened."""


class AlreadyExists(Exception):
    """An instance of that id has not ended; the message is the framework's."""


class Storage:
    """Opens `path`, which is made when it is not there. Raises StorageUnavailable, as every method does."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._refusing_until = 0
        with _failing_well():
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=_LOCK_WAIT, isolation_level=None)
            schema.prepare(self._db)
            clock.ahead = max(clock.ahead, self._value("SELECT ahead FROM clock"))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def refuse(self, seconds: float) -> None:
        """Be unavailable for a while by the clock; 0 ends it."""
        self._refusing_until = self._clock.now() + round(seconds * 1_000_000)

    def move_clock(self, seconds: float) -> None:
        """Move the clock ahead, for later processes too; also while the storage is switched off."""
        self._clock.advance(seconds)
        with _failing_well():
            self._db.execute("UPDATE clock SET ahead = ?", [self._clock.ahead])

    # What clients ask for

    def create(self, name: str, instance_id: str, payload: str | None) -> None:
        """Store a new instance. Raises AlreadyExists."""
        now = self._clock.now()
        with self._transaction() as db:
            status = self._value("SELECT status FROM instances WHERE id = ?", instance_id)
            if status is not None:
                if status in {"Pending", "Running"}:
                    raise AlreadyExists(f"An Orchestration instance with the status {status} already exists.")
                schema.forget(db, instance_id)
            db.execute(
                "INSERT INTO instances VALUES (?, ?, ?, 'Pending', ?, NULL, NULL, ?, ?, 1, 0, 0)",
                [instance_id, name, uuid.uuid4().hex, payload, now, now],
            )

    def add(self, instance_id: str, event: Event) -> bool:
        """Put an event before an instance; return whether there is one that has not ended."""
        with self._transaction() as db:
            found = self.get(instance_id)
            if found is None or found.ended:
                return False
            db.execute("INSERT INTO inbox (instance, event) VALUES (?, ?)", [instance_id, json.dumps(event)])
        return True

    def get(self, instance_id: str) -> Instance | None:
        """Return an instance."""
        with self._reading() as db:
            row = db.execute("SELECT * FROM instances WHERE id = ?", [instance_id]).fetchone()
        return None if row is None else instance_of(row)

    def find(self, query: Query) -> tuple[Instance, ...]:
        """Return a page of instances, by id."""
        with self._reading() as db:
            return schema.find(db, query)

    def history(self, instance_id: str) -> list[Event]:
        """Return the events of the current history."""
        with self._reading() as db:
            rows = db.execute("SELECT events FROM history WHERE instance = ? ORDER BY seq", [instance_id])
            return [event for (events,) in rows for event in json.loads(events)]

    def purge(self, instance_id: str) -> None:
        """Delete an instance with all that belongs to it."""
        with self._transaction() as db:
            schema.forget(db, instance_id)

    # What the engine does

    def unfinished(self) -> list[str]:
        """Return the ids of instances with something to do."""
        with self._reading() as db:
            fresh = db.execute("SELECT id FROM instances WHERE fresh AND status IN ('Pending', 'Running')")
            ids = [instance_id for (instance_id,) in fresh]
            return ids + [found for (found,) in db.execute("SELECT DISTINCT instance FROM inbox")]

    def load(self, instance_id: str) -> Work | None:
        """Return what an episode needs; None when there is nothing to do."""
        instance = self.get(instance_id)
        if instance is None or instance.ended:
            return None
        with self._reading() as db:
            rows = db.execute("SELECT seq, event FROM inbox WHERE instance = ? ORDER BY seq", [instance_id])
            inbox = [(seq, json.loads(event)) for seq, event in rows]
        if not inbox and not instance.fresh:
            return None
        return Work(instance=instance, past=self.history(instance_id), inbox=inbox)

    def commit(self, work: Work, result: Result) -> list[int]:
        """Store what an episode came to; return the numbers of its new activities."""
        instance = work.instance
        with self._transaction() as db:
            db.executemany("DELETE FROM inbox WHERE seq = ?", [[seq] for seq in result.consumed])
            if result.status == "ContinuedAsNew":
                schema.start_over(db, work, result)
                return []
            events = json.dumps([played(event) for event in result.events])
            db.execute(
                "INSERT INTO history SELECT ?, coalesce(max(seq), 0) + 1, ? FROM history WHERE instance = ?",
                [instance.id, events, instance.id],
            )
            peak = max(instance.peak, len(work.past) + len(result.events))
            db.execute(
                "UPDATE instances SET status = ?, output = ?, custom = ?, updated = ?, fresh = 0, peak = ? WHERE id = ?",
                [result.status, result.output, result.custom, result.at, peak, instance.id],
            )
            if result.status != "Running":
                schema.leave(db, instance.id)
                return []
            for timer in result.timers:
                values = [instance.id, instance.execution, instance.name, timer.id, timer.due]
                db.execute(
                    "INSERT INTO timers (instance, execution, orchestrator, task, due) VALUES (?, ?, ?, ?, ?)",
                    values,
                )
            return [schema.schedule(db, instance, call) for call in result.calls]

    def activities(self) -> list[int]:
        """Return the numbers of all activities that are to be run."""
        with self._reading() as db:
            return [seq for (seq,) in db.execute("SELECT seq FROM activities ORDER BY seq")]

    def activity(self, seq: int) -> Activity:
        """Return an activity by its number."""
        with self._reading() as db:
            _, instance, execution, task, name, given = db.execute(
                "SELECT * FROM activities WHERE seq = ?", [seq]
            ).fetchone()
        return Activity(seq=seq, instance=instance, execution=execution, task=task, name=name, input=given)

    def finish(self, activity: Activity, event: Event) -> None:
        """Store how an activity ended; nobody is told when the run that wanted it is over."""
        with self._transaction() as db:
            db.execute("DELETE FROM activities WHERE seq = ?", [activity.seq])
            db.execute(
                "INSERT INTO inbox (instance, event) SELECT id, ? FROM instances"
                " WHERE id = ? AND execution = ? AND status IN ('Pending', 'Running')",
                [json.dumps(event), activity.instance, activity.execution],
            )

    def due(self) -> list[Due]:
        """Return the timers whose time has come, the earliest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, instance, orchestrator, task, due FROM timers WHERE due <= ? ORDER BY due, seq",
                [self._clock.now()],
            )
            return [
                Due(seq=seq, instance=instance, orchestrator=orchestrator, task=task, due=due)
                for seq, instance, orchestrator, task, due in rows
            ]

    def fire(self, fired: Sequence[tuple[Due, Event]]) -> None:
        """Tell instances that timers have fired."""
        with self._transaction() as db:
            for timer, event in fired:
                db.execute("DELETE FROM timers WHERE seq = ?", [timer.seq])
                values = [timer.instance, json.dumps(event)]
                db.execute("INSERT INTO inbox (instance, event) VALUES (?, ?)", values)

    def next_due(self) -> int | None:
        """Return when the next timer is due."""
        earliest: int | None = self._value("SELECT min(due) FROM timers")
        return earliest

    def counts(self) -> dict[str, int]:
        """Return how many instances there are of each status."""
        with self._reading() as db:
            return dict(db.execute("SELECT status, count(*) FROM instances GROUP BY status").fetchall())

    def _value(self, statement: str, *values: object) -> Any:
        with self._reading() as db:
            row = db.execute(statement, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._clock.now() < self._refusing_until:
            raise StorageUnavailable("the storage is switched off")
        with _failing_well():
            yield self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


@contextmanager
def _failing_well() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable(str(error)) from error
