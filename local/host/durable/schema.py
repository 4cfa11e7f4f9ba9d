"""The tables of the local host's storage of Durable Functions, and statements that several steps share."""

import json
import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any

from local.host.durable.history import Kind
from local.host.durable.records import Instance, Query, Result, Work
from local.host.durable.tasks import Call

_TABLES = (
    """CREATE TABLE IF NOT EXISTS instances (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, execution TEXT NOT NULL, status TEXT NOT NULL, input TEXT, output TEXT,
        custom TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL, fresh INTEGER NOT NULL,
        generation INTEGER NOT NULL, peak INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS history (
        instance TEXT NOT NULL, seq INTEGER NOT NULL, events TEXT NOT NULL, PRIMARY KEY (instance, seq)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, event TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS activities (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, execution TEXT NOT NULL, task INTEGER NOT NULL,
        name TEXT NOT NULL, input TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS timers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, execution TEXT NOT NULL,
        orchestrator TEXT NOT NULL, task INTEGER NOT NULL, due INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS clock (ahead INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS inbox_instance ON inbox (instance)",
    "CREATE INDEX IF NOT EXISTS timers_due ON timers (due)",
    "CREATE INDEX IF NOT EXISTS timers_instance ON timers (instance)",
    "INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT * FROM clock)",
)


def prepare(db: sqlite3.Connection) -> None:
    """Take the file for this process alone, and make what it lacks."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        db.execute(statement)
    db.execute("COMMIT")


def instance_of(row: Sequence[Any]) -> Instance:
    """Read a row of `instances`."""
    (
        instance_id,
        name,
        execution,
        status,
        given,
        output,
        custom,
        created,
        updated,
        fresh,
        generation,
        peak,
    ) = row
    return Instance(
        id=instance_id,
        name=name,
        execution=execution,
        status=status,
        input=given,
        output=output,
        custom=custom,
        created=created,
        updated=updated,
        fresh=bool(fresh),
        generation=generation,
        peak=peak,
    )


def find(db: sqlite3.Connection, query: Query) -> tuple[Instance, ...]:
    """Return a page of instances, by id."""
    conditions = ["id > ?", "substr(id, 1, ?) = ?"]
    values: list[object] = [query.after, len(query.prefix), query.prefix]
    if query.prefix:
        conditions.append("id >= ?")
        values.append(query.prefix)
    if query.statuses:
        conditions.append(f"status IN ({', '.join('?' * len(query.statuses))})")
        values.extend(query.statuses)
    for limit, bound in (("created >= ?", query.created_from), ("created <= ?", query.created_to)):
        if bound is not None:
            conditions.append(limit)
            values.append(bound)
    statement = f"SELECT * FROM instances WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"
    return tuple(instance_of(row) for row in db.execute(statement, [*values, query.page]))


def leave(db: sqlite3.Connection, instance_id: str) -> None:
    """Drop what an instance that has ended does not need: activities still run, for nobody."""
    db.execute("DELETE FROM inbox WHERE instance = ?", [instance_id])
    db.execute("DELETE FROM timers WHERE instance = ?", [instance_id])


def forget(db: sqlite3.Connection, instance_id: str) -> None:
    """Delete an instance."""
    leave(db, instance_id)
    db.execute("DELETE FROM history WHERE instance = ?", [instance_id])
    db.execute("DELETE FROM instances WHERE id = ?", [instance_id])


def start_over(db: sqlite3.Connection, work: Work, result: Result) -> None:
    """Begin a new history; events from outside that came meanwhile stay, the old run's own do not."""
    instance = work.instance
    for seq, event in db.execute("SELECT seq, event FROM inbox WHERE instance = ?", [instance.id]).fetchall():
        if json.loads(event)["EventType"] not in {Kind.EVENT_RAISED, Kind.EXECUTION_TERMINATED}:
            db.execute("DELETE FROM inbox WHERE seq = ?", [seq])
    db.execute("DELETE FROM timers WHERE instance = ?", [instance.id])
    db.execute("DELETE FROM history WHERE instance = ?", [instance.id])
    db.execute(
        "UPDATE instances SET execution = ?, status = 'Running', input = ?, custom = ?, created = ?, updated = ?, fresh = 1,"
        " generation = generation + 1, peak = ? WHERE id = ?",
        [
            uuid.uuid4().hex,
            result.output,
            result.custom,
            result.at,
            result.at,
            max(instance.peak, len(work.past) + len(result.events)),
            instance.id,
        ],
    )


def schedule(db: sqlite3.Connection, instance: Instance, call: Call) -> int:
    """Store an activity that is to be run; return its number."""
    cursor = db.execute(
        "INSERT INTO activities (instance, execution, task, name, input) VALUES (?, ?, ?, ?, ?)",
        [instance.id, instance.execution, call.id, call.name, call.input],
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid
