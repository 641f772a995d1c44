"""The grades of a class as files for other programs: a plain table, Canvas, Moodle.

A score that could not be found out is left empty, never written as 0, and so is one of work that
was not handed in: what a learning platform makes of an empty cell is the instructor's choice there.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from course_utils.grading import classes
from course_utils.study.panels import clean

NOTHING = "nothing handed in"


class Unlisted(NamedTuple):
    """Who handed in and has not been graded yet: the gradebook may not know them."""

    id: str
    last_name: str = ""
    first_name: str = ""
    email: str = ""


class Row(NamedTuple):
    """One student's result in one assignment."""

    assignment: str
    student: object  # nbgrader's: id, names, email
    standing: classes.Standing | None  # None: nothing was handed in


def write(folder: Path, form: str, file: Path | None = None) -> list[str]:
    """Write all grades into a file of the class folder, or this one; returns what to say."""
    file = (file or folder / f"grades-{form}.csv").expanduser().absolute()
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name a file in it.")
    if not file.parent.is_dir():
        raise ValueError(f"there is no folder {file.parent} to write {file.name} into.")
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        rows = list(_rows(gradebook, folder))
        if not any(row.standing and row.standing.failed not in classes.WAITING for row in rows):
            raise ValueError(_nothing_graded(rows))
        text = io.StringIO(newline="")
        FORMATS[form](csv.writer(text), rows)
        said = list(_remarks(rows, file))
    new = file.with_name(f".{file.name}.new")
    new.write_text(text.getvalue(), encoding="utf-8", newline="")
    new.replace(file)
    return said


def _nothing_graded(rows: list[Row]) -> str:
    names = {row.assignment for row in rows if row.standing}
    name = names.pop() if len(names) == 1 else "ASSIGNMENT"
    return (
        "There is nothing to export: no submission has been graded yet. "
        f"`course class grade {name}` grades what was handed in."
    )


def _rows(gradebook, folder: Path) -> Iterable[Row]:
    for assignment in gradebook.assignments:
        submitted = {submission.student.id for submission in assignment.submissions}
        submitted |= set(classes.handed_in(folder, assignment.name))
        listed = list(gradebook.students)
        others = submitted - {student.id for student in listed}
        for student in [*listed, *map(Unlisted, sorted(others))] if submitted else []:
            found = None
            if student.id in submitted:
                found = classes.standing(gradebook, folder, assignment.name, student.id)
            yield Row(assignment.name, student, found)


_WHO = ["assignment", "student_id", "last_name", "first_name", "email", "submitted_utc"]
_WHAT = ["score", "max_score", "raw_score", "late_penalty", "to_grade_by_hand", "not_graded"]


def _plain(out, rows: list[Row]) -> None:
    out.writerow(_WHO + _WHAT)
    for row in rows:
        who, one = row.student, row.standing
        line = [row.assignment, who.id, who.last_name, who.first_name, who.email]
        if one is None:
            line += ["", "", "", "", "", "", NOTHING]
        else:
            line += [one.submitted, _number(one.points), _number(one.of)]
            line += [_number(one.raw if one.points is not None else None), _number(one.penalty)]
            line += [one.by_hand or "", _reasons(one)]
        out.writerow(map(_cell, line))


def _canvas(out, rows: list[Row]) -> None:
    """As Canvas writes its own gradebook: it finds people by the login name in the fourth column,
    and makes an assignment of each column that it does not know."""
    names, best = _assignments(rows)
    out.writerow(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names])
    out.writerow(["    Points Possible", "", "", "", "", *(_number(best.get(n)) for n in names)])
    for student, scores in _by_student(rows):
        name = ", ".join(filter(None, [student.last_name, student.first_name])) or student.id
        line = [name, "", "", student.id, "", *(scores.get(n, "") for n in names)]
        out.writerow(map(_cell, line))


def _moodle(out, rows: list[Row]) -> None:
    """Moodle asks which column says who it is, and to which grade item the others belong."""
    names, _ = _assignments(rows)
    out.writerow(["Username", "First name", "Last name", "Email address", *names])
    for who, scores in _by_student(rows):
        line = [who.id, who.first_name, who.last_name, who.email]
        out.writerow(map(_cell, [*line, *(scores.get(n, "") for n in names)]))


FORMATS = {"csv": _plain, "canvas": _canvas, "moodle": _moodle}


def _assignments(rows: list[Row]) -> tuple[list[str], dict[str, float]]:
    best = {row.assignment: row.standing.of for row in rows if row.standing}
    return list(dict.fromkeys(row.assignment for row in rows)), best


def _by_student(rows: list[Row]) -> Iterable[tuple[object, dict[str, str]]]:
    students = {row.student.id: row.student for row in rows}
    for id_, student in students.items():
        mine = [row for row in rows if row.student.id == id_ and row.standing]
        yield student, {row.assignment: _number(row.standing.points) for row in mine}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _reasons(one: classes.Standing) -> str:
    reasons = [f"{check}: {why}" for check, why in one.ungraded.items()]
    return "; ".join(filter(None, [one.failed, *reasons]))


def _cell(value) -> str:
    """No text that a spreadsheet would take for a formula: some of it comes from students."""
    text = clean("" if value is None else str(value)).replace("\n", " ")
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _remarks(rows: list[Row], file: Path) -> Iterable[str]:
    graded = [row.standing for row in rows if row.standing]
    to_grade = sum(one.failed in classes.WAITING for one in graded)
    empty = sum(one.points is None for one in graded) - to_grade
    waiting = sum(one.by_hand > 0 and one.points is not None for one in graded)
    yield f"{file}: {len(graded) - empty - to_grade} scores."
    if to_grade:
        yield f"Handed in and not graded yet, and left empty: {to_grade}."
    if empty:
        yield f"Could not be graded, and left empty: {empty}."
    if len(graded) < len(rows):
        yield f"Not handed in, and left empty: {len(rows) - len(graded)}."
    if waiting:
        yield f"With answers to grade by hand, which count as they stand now: {waiting}."
