"""Three hundred students graded by one command, and two dozen of whom half make trouble, at the
limits that a class has: `make soak`. What was measured is printed, as JSON."""

import json
import subprocess
import sys

import many
import pytest
from class_folder import ASSIGNMENT
from test_many import differences, isolation  # noqa: F401 (a fixture)

from course_utils.grading import notes


@pytest.fixture
def graded(tmp_path, capsys):
    """Grades a class and prints how that went."""

    def grade(students: list[many.Student]):
        folder = tmp_path / "pruning"
        many.make(folder, students)
        run = many.grade(folder)
        record = notes.run(folder, ASSIGNMENT)
        peak = round(run.peak / 2**30, 2)
        with capsys.disabled():
            print("\n" + json.dumps({"command": round(run.seconds, 1), "peak GiB": peak} | record))
        return folder, run, record

    return grade


def test_three_hundred_get_exactly_what_is_worked_out(graded):
    students = many.mostly_right(300)
    folder, run, record = graded(students)
    assert differences(folder, students) == {}
    for name in many.EXERCISES:  # every answer of the banks is among them, and nothing
        handed_in = {student.answers[name].function for student in students}
        assert len(handed_in) == 1 + sum(map(len, many.bank(name)))
    assert record["students"] == 300 and record["finished"]
    assert run.peak < 4 * 2**30
    done = subprocess.run(
        [sys.executable, "-m", "course_utils.cli", "class", "report", ASSIGNMENT],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (folder / "reports" / f"{ASSIGNMENT}.html").read_text(encoding="utf-8")
    assert [student.name for student in students if student.name in done.stdout + page] == []
    for name in many.EXERCISES:
        assert name in done.stdout and name in page


def test_half_of_them_make_trouble_at_the_limits_of_a_class(graded):
    students = many.mixed(24)
    folder, _, record = graded(students)
    assert differences(folder, students) == {}
    troubled = [student for student in students if student.trouble]
    assert len(troubled) == 12 and record["finished"]
    busy = record["cells"] + record["verdicts"]
    assert record["seconds"] - record["start"] < busy / 2 + 60  # no worker waits for the other
