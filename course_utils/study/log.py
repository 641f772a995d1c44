"""The log of what a learner did: append-only, in one SQLite file.

Every event is one transaction, so two notebooks may write at once and a killed kernel loses
nothing that was written. Under grading and tests, where there is no learner, the log lives in
memory unless PRUNING_COURSE_HOME names a folder.
"""

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from course_utils.runtime import automated, now, state_dir

_SCHEMA = """CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    data TEXT NOT NULL)"""


class Event(NamedTuple):
    time: str  # UTC, ISO 8601
    kind: str  # "check", "hint", "prediction", ...
    name: str  # which exercise, prediction, ledger row
    data: dict


_in_memory: list[Event] = []
_warned = False


def path() -> Path:
    return state_dir() / "progress.sqlite3"


def append(kind: str, name: str, **data) -> None:
    event = Event(now().astimezone(UTC).isoformat(timespec="seconds"), kind, name, data)
    row = (event.time, event.kind, str(event.name), json.dumps(data))
    if _keeps_nothing():
        _in_memory.append(event)
        return
    try:
        _run("INSERT INTO events (time, kind, name, data) VALUES (?, ?, ?, ?)", row)
    except (OSError, sqlite3.OperationalError) as error:
        _say_once(error)
        _in_memory.append(event)


def read(kind: str, name: str | None = None) -> list[Event]:
    """The events of a kind, oldest first; of one name if given."""
    rows = []
    if not _keeps_nothing():
        try:
            query = "SELECT time, kind, name, data FROM events WHERE kind = ? ORDER BY id"
            rows = _run(query, (kind,))
        except (OSError, sqlite3.OperationalError) as error:
            _say_once(error)
    events = [Event(*about, read) for *about, data in rows if (read := _readable(data)) is not None]
    events += [event for event in _in_memory if event.kind == kind]
    return [event for event in events if name is None or event.name == name]


def _readable(data: str) -> dict | None:
    """None for an entry that something has damaged: the others count all the same."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _keeps_nothing() -> bool:
    return automated() and "PRUNING_COURSE_HOME" not in os.environ


def _run(statement: str, values: tuple) -> list:
    path().parent.mkdir(parents=True, exist_ok=True)
    try:
        return _transaction(statement, values)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise  # locked for long, read-only or full: the file itself is sound
        _set_aside()
        return _transaction(statement, values)


def _transaction(statement: str, values: tuple) -> list:
    with closing(sqlite3.connect(path(), timeout=20)) as connection, connection:
        connection.execute(_SCHEMA)
        return connection.execute(statement, values).fetchall()


def _set_aside() -> None:
    """Keep a damaged file for whoever can mend it, and begin a new one."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    damaged = path().with_name(f"progress-damaged-{stamp}.sqlite3")
    path().replace(damaged)
    print(f"The file with your progress was damaged. It is kept as {damaged}; a new one begins.")


def _say_once(error: Exception) -> None:
    global _warned
    if not _warned:
        print(f"Your progress cannot be saved ({error}); it is kept until this kernel stops.")
        _warned = True
