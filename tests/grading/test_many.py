"""Large classes graded by the command, two notebooks at once: all points as worked out beside it,
and nobody's trouble is anybody else's. `soak_many` does the same with hundreds."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import many
import pytest
import system_packages
from class_folder import ASSIGNMENT

from course_utils.grading import notes

STUDENTS = 20


@pytest.fixture(scope="module", autouse=True)
def isolation():
    system_packages.need("bubblewrap")


def differences(folder: Path, students: list[many.Student]) -> dict:
    """Where the gradebook says other points than were worked out."""
    earned, given = many.earned(folder, students), many.given(folder)
    assert set(given) == set(earned)
    return {
        (student, check): (points, given[student].get(check))
        for student, checks in earned.items()
        for check, points in checks.items()
        if given[student].get(check) != points
    }


def summary(said: str) -> dict[str, str]:
    return dict(
        re.findall(r"^(\S.*?) {2,}(.+)$", said.partition(f"Assignment {ASSIGNMENT}")[2], re.M)
    )


# --- Twenty ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """The class folder, its students, and what the command said."""
    folder = tmp_path_factory.mktemp("twenty") / "pruning"
    students = many.mostly_right(STUDENTS)
    many.make(folder, students)
    return folder, students, many.grade(folder).said


def test_everybody_gets_exactly_what_is_worked_out(twenty):
    folder, students, _ = twenty
    assert differences(folder, students) == {}


def test_right_wrong_partly_right_and_left_out_are_all_among_them(twenty):
    folder, students, _ = twenty
    points = {
        (check, points)
        for checks in many.earned(folder, students).values()
        for check, points in checks.items()
    }
    for name in many.EXERCISES:
        of = many.find(name).points
        assert {(f"check_{name}", 0), (f"check_{name}", of)} <= points
    partly = {check for check, part in points if part not in (0, many.find(check[6:]).points)}
    assert len(partly) > 3


def test_written_answers_wait_for_a_human(twenty):
    folder, *_ = twenty
    for grades in many.in_gradebook(folder).values():
        written = {name: (auto, waits) for name, auto, waits in grades if name in many.WRITTEN}
        assert written == dict.fromkeys(many.WRITTEN, (None, True))


def test_the_notes_say_of_each_check_what_the_gradebook_says(twenty):
    folder, *_ = twenty
    for student, points in many.given(folder).items():
        (note,) = notes.read(folder, ASSIGNMENT, student).values()
        assert {name: check["points"] for name, check in note["checks"].items()} == points
        assert note["seconds"]["cells"] > 0 and note["seconds"]["verdicts"] > 0


def test_one_line_each_and_a_summary(twenty):
    folder, students, said = twenty
    totals = sorted(sum(checks.values()) for checks in many.earned(folder, students).values())
    told = summary(said)
    assert told["handed in"] == told["graded"] == str(STUDENTS)
    assert told["could not be graded, in whole or in part"] == "0"
    lowest, highest = f"{totals[0]:g}", f"{totals[-1]:g} of 18"
    assert re.fullmatch(f"{lowest}, .*, {highest}", told["points: lowest, median, highest"])
    given = many.given(folder)
    for student in students:
        points = sum(given[student.name].values())
        assert re.search(rf"^{student.name} +{points:g} of 18  3 to grade by hand$", said, re.M)


def test_the_run_is_recorded(twenty):
    folder, *_ = twenty
    record = notes.run(folder, ASSIGNMENT)
    assert (record["students"], record["ran"] + record["stored"]) == (STUDENTS, STUDENTS)
    assert (record["workers"], record["finished"]) == (2, True)
    assert 0 < record["start"] < record["seconds"]
    assert record["cells"] + record["verdicts"] < 2 * record["seconds"]


def test_graded_again_nothing_runs_and_nothing_changes(twenty):
    folder, students, _ = twenty
    before = many.in_gradebook(folder)
    many.grade(folder, "--students", *(student.name for student in students[:5]))
    record = notes.run(folder, ASSIGNMENT)
    assert (record["ran"], record["stored"]) == (0, 5)
    assert many.in_gradebook(folder) == before


# --- Those that make trouble ----------------------------------------------------------------------

LIMIT = 6  # seconds for a cell: long beside what an ordinary notebook takes
SHORT = f"""
c.ExecuteIsolated.seconds_per_cell = {LIMIT}
c.ExecuteIsolated.gigabytes = 1
"""


class Troubled(NamedTuple):
    """A mixed class, in which two hand in what never ends."""

    folder: Path
    students: list[many.Student]
    said: str
    ordinary: dict  # the run of those who make no trouble
    delayed: dict  # the same with the two


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("troubled") / "pruning"
    students = many.mixed(14)
    many.make(folder, students, SHORT)
    ordinary = [student.name for student in students if not student.trouble]
    endless = [student.name for student in students if student.trouble == "endless"]
    assert (len(ordinary), len(endless)) == (7, 2)
    without = shutil.copytree(folder, folder.with_name("without"))
    many.grade(without, "--students", *ordinary)
    many.grade(folder, "--students", *ordinary, *endless)
    delayed = notes.run(folder, ASSIGNMENT)
    said = many.grade(folder).said
    return Troubled(folder, students, said, notes.run(without, ASSIGNMENT), delayed)


def test_everybody_gets_what_is_worked_out_whoever_runs_beside_them(troubled):
    assert differences(troubled.folder, troubled.students) == {}


def test_what_could_not_be_graded_waits_for_a_human_with_its_reason(troubled):
    reasons = {
        "endless": f"`remaining_after` could not be graded: ran longer than {LIMIT} s",
        "crashes": "`magnitude_mask` could not be graded: crashed",
        "exits": "`n_m_mask` could not be graded: ended",
        "hungry": "`magnitude_mask` could not be graded: the cell that defines it used more than",
    }
    grades = many.in_gradebook(troubled.folder)
    earned = many.earned(troubled.folder, troubled.students)
    for student in troubled.students:
        noted = re.findall(rf"^  {student.name}: (.*)$", troubled.said, re.M)
        assert len(noted) == (student.trouble in reasons), noted
        assert reasons.get(student.trouble, "") in "".join(noted)
        waiting = {name for name, _, waits in grades[student.name] if waits} - set(many.WRITTEN)
        assert waiting == {name for name, points in earned[student.name].items() if points is None}


def test_notebooks_without_an_end_delay_the_others_by_no_more_than_their_own_limit(troubled):
    """Two at once, on two workers, take one limit together; one after the other they take two."""
    delayed, ordinary = troubled.delayed, troubled.ordinary
    assert (delayed["ran"], ordinary["ran"]) == (9, 7)
    delay = delayed["seconds"] - delayed["start"] - (ordinary["seconds"] - ordinary["start"])
    assert delay < 1.95 * LIMIT
