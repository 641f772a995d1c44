"""The log of what a learner did: append-only, in one SQLite file.

Every event is one transaction, so two notebooks may write at once and a killed kernel loses
nothing that was written. A damaged file is kept, and what can still be read of it goes on. Under
grading and tests, where there is no learner, the log lives in memory unless PRUNING_COURSE_HOME
names a folder.
"""

import json
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from numbers import Real
from pathlib import Path
from typing import NamedTuple

from course_utils.runtime import automated, now, state_dir

_SCHEMA = """CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    data TEXT NOT NULL)"""

# What the readers of an entry take for granted: the rest of the course asks no questions.
_MEASURED = ("accuracy", "bytes", "macs", "milliseconds", "time", "dense_accuracy")
_NEEDED = {
    "answer": ("rev", "day", "use", "score", "confidence", "seconds", "answer"),
    "check": ("score",),
    "enrol": ("day",),
    "leaderboard": _MEASURED,
    "ledger": _MEASURED,
    "prediction": ("guess",),
    "pretest": ("rev", "answer"),
}


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
    events = [
        Event(*about, read) for *about, data in rows if (read := _readable(kind, data)) is not None
    ]
    events += [event for event in _in_memory if event.kind == kind]
    return [event for event in events if name is None or event.name == name]


def _readable(kind: str, data: str) -> dict | None:
    """None for an entry that something has damaged: the others count all the same."""
    try:
        found = json.loads(data)
        sound = all(_means_something(field, found[field]) for field in _NEEDED.get(kind, ()))
    except (KeyError, TypeError, ValueError):
        return None
    return found if sound and isinstance(found, dict) else None


def _means_something(field: str, value) -> bool:
    if field == "day":
        return bool(date.fromisoformat(value))  # raises where it is none
    return isinstance(value, Real) or field in ("answer", "guess", "use")


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
    with closing(_opened(path())) as connection, connection:
        connection.execute(_SCHEMA)
        return connection.execute(statement, values).fetchall()


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=20)
    # A byte that is no text costs its own entry, not all of them.
    connection.text_factory = lambda text: text.decode("utf-8", errors="replace")
    return connection


def _set_aside() -> None:
    """Keep a damaged file for whoever can mend it, and begin a new one with what can be read."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    damaged = path().with_name(f"progress-damaged-{stamp}.sqlite3")
    path().replace(damaged)
    rows = _rescued(damaged)
    with closing(_opened(path())) as connection, connection:
        connection.execute(_SCHEMA)
        connection.executemany(
            "INSERT INTO events (time, kind, name, data) VALUES (?, ?, ?, ?)", rows
        )
    begins = f"a new one begins, with the {len(rows)} entries that could be read"
    print(f"The file with your progress was damaged. It is kept as {damaged}; {begins}.")


def _rescued(damaged: Path) -> list[tuple]:
    """What stands before the damage, and what stands behind it. The file itself stays as it is."""
    rows = {}
    for direction in ("ASC", "DESC"):
        query = f"SELECT id, time, kind, name, data FROM events ORDER BY id {direction}"
        with suppress(sqlite3.DatabaseError), closing(_opened(damaged)) as connection:
            for id_, *row in connection.execute(query):
                if all(isinstance(text, str) for text in row):
                    rows[id_] = row
    return [tuple(rows[id_]) for id_ in sorted(rows)]


def _say_once(error: Exception) -> None:
    global _warned
    if not _warned:
        print(
            f"Your progress cannot be saved ({error}); it is kept until this kernel stops."
            " In a terminal, `course doctor` says what to type."
        )
        _warned = True
