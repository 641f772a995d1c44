import subprocess
import sys

import pytest

from course_utils.authoring.notebooks import instructor, student, to_text
from course_utils.authoring.source import AuthoringError, read, solution_lines

NBGRADER = {"schema_version": 3, "task": False}


def by_id(notebook):
    return {cell.id: cell for cell in notebook.cells}


def test_cells_carry_what_nbgrader_and_nbval_read(course):
    cells = by_id(instructor(read(course())))
    assert cells["double"].metadata == {
        "nbgrader": {
            **NBGRADER,
            "grade": False,
            "grade_id": "double",
            "locked": False,
            "solution": True,
        }
    }
    assert cells["check_double"].metadata == {
        "nbgrader": {
            **NBGRADER,
            "grade": True,
            "grade_id": "check_double",
            "locked": True,
            "points": 3,
            "solution": False,
        }
    }
    assert cells["why"].cell_type == "markdown"
    assert cells["why"].metadata == {
        "nbgrader": {
            **NBGRADER,
            "grade": True,
            "grade_id": "why",
            "locked": False,
            "points": 2,
            "solution": True,
        }
    }
    assert cells["claim_it_doubles"].metadata == {"tags": ["claim", "nbval-ignore-output"]}
    tags = [cell.metadata.get("tags") for cell in cells.values()]
    assert tags.count(["demo"]) == tags.count(["final"]) == 1


def test_ids_stay_when_cells_are_inserted(course, source):
    before = [cell.id for cell in instructor(read(course())).cells]
    longer = source.replace("# %% check", "# %% [markdown]\n# New words.\n\n# %% check")
    after = [cell.id for cell in instructor(read(course(longer))).cells]
    assert len(after) == len(before) + 1
    assert [id for id in after if id in before] == before


def test_equal_cells_have_ids_of_their_own(course):
    ids = [cell.id for cell in instructor(read(course("# %%\n1\n\n# %%\n1\n\n# %%\n1\n"))).cells]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_students_see_the_question_and_not_the_answer(course):
    lesson = read(course())
    cells = by_id(student(lesson))
    assert cells["double"].source.splitlines() == [
        "def double(x):",
        '    """Twice x."""',
        "    # YOUR CODE HERE",
        "    raise NotImplementedError()",
    ]
    assert cells["why"].source == "Why is that twice?\n\nYOUR ANSWER HERE"
    text = to_text(student(lesson))
    hidden = [line.strip() for cell in lesson.cells for line in solution_lines(cell)]
    assert len(hidden) == 3
    assert not [line for line in hidden if line in text]


def test_the_students_notebook_is_what_the_nbgrader_command_makes(course, tmp_path):
    lesson = read(course())
    folder = tmp_path / "class"
    notebook = folder / "source" / "07" / "07_doubling.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text(to_text(instructor(lesson)), encoding="utf-8")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "07"]
    subprocess.run([*command, "--no-db"], cwd=folder, check=True, capture_output=True)
    released = folder / "release" / "07" / "07_doubling.ipynb"
    assert released.read_bytes() == to_text(student(lesson)).encode()


def test_what_nbgrader_refuses_is_the_authors_mistake(course, source):
    lesson = read(course(source + "\n# %%\n### BEGIN HIDDEN TESTS\n"))
    with pytest.raises(AuthoringError, match=r"solutions/07_doubling.py: nbgrader refuses it: No"):
        student(lesson)


def test_nbgrader_says_nothing_on_the_way(course, capfd):
    student(read(course()))
    assert capfd.readouterr() == ("", "")
