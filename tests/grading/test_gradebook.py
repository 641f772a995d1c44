"""The gradebook while a class is graded: what is written is written whole, or not at all."""

import sqlite3
from contextlib import closing

import pytest
from a_class import graded, hand_in, standing, worth

from course_utils.grading import classes, gradebook


def students_on_disk(folder) -> list[str]:
    with closing(sqlite3.connect(folder / "gradebook.db")) as book:
        return [name for (name,) in book.execute("SELECT id FROM student ORDER BY id")]


def test_nbgraders_commits_are_not_seen_before_the_end(folder):
    from nbgrader.api import Gradebook

    with classes.nbgrader(folder) as app, gradebook.opened_once(app) as book:
        with book.transaction():
            with Gradebook(app.coursedir.db_url) as inner:
                inner.update_or_create_student("ann")  # which commits
            with Gradebook(app.coursedir.db_url) as another:
                assert another.find_student("ann").id == "ann"
            assert students_on_disk(folder) == []
        assert students_on_disk(folder) == ["ann"]


def test_after_an_exception_nothing_is_written_and_the_next_student_is(folder):
    with classes.nbgrader(folder) as app, gradebook.opened_once(app) as book:
        with pytest.raises(KeyError), book.transaction() as inner:
            inner.update_or_create_student("ann")
            raise KeyError
        with book.transaction() as inner:
            inner.update_or_create_student("bob")
    assert students_on_disk(folder) == ["bob"]


def test_afterwards_nbgrader_opens_its_own_again(folder):
    from nbgrader.api import Gradebook

    with classes.nbgrader(folder) as app:
        with gradebook.opened_once(app) as book, Gradebook(app.coursedir.db_url) as inner:
            assert inner.db is book.book.db
        with Gradebook(app.coursedir.db_url) as own:
            assert own.db is not book.book.db
            own.update_or_create_student("cem")
    assert students_on_disk(folder) == ["cem"]


def test_a_student_is_graded_in_one_transaction(folder, monkeypatch):
    """What stops the writing in the middle leaves the grades as they were."""
    from course_utils.grading.nbgrader_parts import SaveGrades

    hand_in(folder, "ann", first=worth(1), second=worth(1))
    graded(folder)
    assert standing(folder, "ann").points == 6
    hand_in(folder, "ann", first=worth(0), second=worth(0))
    add_score = SaveGrades._add_score

    def stumbling(self, cell, resources):
        if cell.metadata.nbgrader.grade_id == "check-second":
            raise MemoryError
        add_score(self, cell, resources)

    with monkeypatch.context() as patched:
        patched.setattr(SaveGrades, "_add_score", stumbling)
        graded(folder)
    with closing(sqlite3.connect(folder / "gradebook.db")) as book:
        assert sorted(book.execute("SELECT auto_score FROM grade")) == [(0,), (2,), (4,)]
    assert "MemoryError" in standing(folder, "ann").failed
    graded(folder)
    assert standing(folder, "ann").points == 0


def test_before_a_run_the_gradebook_is_copied_and_the_last_ten_are_kept(folder):
    hand_in(folder, "ann", first=worth(1))
    graded(folder)
    backups = folder / ".grading" / "backups"
    (first,) = backups.iterdir()
    with closing(sqlite3.connect(first)) as book:
        assert book.execute("SELECT count(*) FROM student").fetchone() == (0,)
        assert book.execute("SELECT count(*) FROM assignment").fetchone() == (1,)
    with classes.nbgrader(folder) as app:
        copies = [gradebook.back_up(app, folder) for _ in range(12)]
    assert sorted(backups.iterdir()) == copies[-10:]
    with closing(sqlite3.connect(copies[-1])) as book:
        assert book.execute("SELECT id FROM student").fetchall() == [("ann",)]


def test_a_database_server_is_left_to_its_own_tools(folder):
    with classes.nbgrader(folder) as app:
        app.coursedir.db_url = "postgresql://somewhere/gradebook"
        assert gradebook.back_up(app, folder) is None
        app.coursedir.db_url = f"sqlite:///{folder}/not-yet.db"
        assert gradebook.back_up(app, folder) is None
    assert not (folder / ".grading" / "backups").exists()
