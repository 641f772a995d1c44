"""The gradebook while a class is graded: opened once, written by one process, a student at a time.

nbgrader opens it a dozen times for each student and commits more often than that. Here all of that
becomes one transaction: after a crash a student is graded as before or as now, and never half.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from nbgrader.api import Gradebook
from sqlalchemy.engine import make_url

from course_utils.grading import notes

_KEPT = 10  # backups


class OpenGradebook:
    """What nbgrader's own parts get while it is open, whenever they open the gradebook."""

    def __init__(self, book: Gradebook):
        self.book = book
        self._connection = book.engine.connect()
        book.db.remove()
        book.db.configure(bind=self._connection, join_transaction_mode="rollback_only")

    @contextmanager
    def transaction(self) -> Iterator[Gradebook]:
        """All that is written meanwhile, or, after an exception, nothing of it."""
        try:
            with self._connection.begin():
                yield self.book
        finally:
            self.book.db.remove()

    def close(self) -> None:
        self.book.db.remove()
        self._connection.close()


@contextmanager
def opened_once(app) -> Iterator[OpenGradebook]:
    """The gradebook of a class, which nbgrader gets too instead of opening its own."""
    with Gradebook(app.coursedir.db_url, app.coursedir.course_id) as book:
        opened = OpenGradebook(book)

        def open_again(self, db_url, course_id="default_course", authenticator=None):
            self.engine, self.db, self.authenticator = book.engine, book.db, authenticator
            self.course_id = course_id

        opens, closes = Gradebook.__init__, Gradebook.close
        Gradebook.__init__ = open_again
        Gradebook.close = lambda self: self.db.remove()
        try:
            yield opened
        finally:
            Gradebook.__init__, Gradebook.close = opens, closes
            opened.close()


def back_up(app, folder: Path) -> Path | None:
    """Copy it to where nobody looks for it, and keep the last few. Only where it is a file: for a
    database server its own tools are better."""
    url = make_url(app.coursedir.db_url)
    if url.get_backend_name() != "sqlite" or not url.database or not Path(url.database).exists():
        return None
    backups = folder / notes.SECRETS / "backups"
    backups.mkdir(exist_ok=True)
    copy = backups / f"gradebook-{datetime.now():%Y%m%d-%H%M%S-%f}.db"
    new = copy.with_suffix(".new")
    with closing(sqlite3.connect(url.database)) as book, closing(sqlite3.connect(new)) as there:
        book.backup(there)
    new.replace(copy)
    for old in sorted(backups.glob("gradebook-*.db"))[:-_KEPT]:
        old.unlink()
    return copy
