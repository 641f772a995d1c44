"""A class with stock nbgrader: lesson 01 from the instructor's source to the exported grades.

The commands run once, in one class folder with three students, and the tests look at what they
left: Blank hands in the notebook as it came, Half has one answer right and one partly right, and
Full hands in the solution.
"""

import csv
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader_process import nbgrader

from course_utils.authoring.build import ROOT
from course_utils.authoring.execute import kernel_environment
from course_utils.authoring.notebooks import instructor, student, to_text
from course_utils.authoring.source import read
from course_utils.exercises import find, grade

LESSON = "01_networks_and_weights"
ASSIGNMENT = "01"
STUDENTS = ("blank", "half", "full")

PARTLY_RIGHT = """\
def count_parameters(model):
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
"""

CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "pruning"
c.CourseDirectory.root = {root!r}
c.Exchange.root = {exchange!r}
"""


def count_parameters(model):
    """The same as PARTLY_RIGHT, to learn what it is worth."""
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module")
def lesson():
    return read(ROOT / "solutions" / f"{LESSON}.py")


@pytest.fixture(scope="module")
def pipeline(lesson, tmp_path_factory):
    """The class folder after all commands, with what each of them said."""
    folder = tmp_path_factory.mktemp("class")
    root, exchange, home = (folder / name for name in ("course", "exchange", "student"))
    for place in (root, exchange, home):
        place.mkdir()
        config = CONFIG.format(root=str(root), exchange=str(exchange))
        (place / "nbgrader_config.py").write_text(config, encoding="utf-8")
    exchange.chmod(0o777)
    source = root / "source" / ASSIGNMENT / f"{LESSON}.ipynb"
    source.parent.mkdir(parents=True)
    source.write_text(to_text(instructor(lesson)), encoding="utf-8")

    said = {}
    programs = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    path = os.pathsep.join([programs, os.environ["PATH"]])
    with kernel_environment(PATH=path) as environment:

        def run(place: Path, command: str, *arguments: str) -> None:
            said[command, *arguments] = nbgrader(environment, place, command, *arguments)

        run(root, "generate_assignment", ASSIGNMENT)
        run(root, "release_assignment", ASSIGNMENT)
        run(home, "fetch_assignment", ASSIGNMENT)
        for student in STUDENTS:
            work = folder / student
            shutil.copytree(home, work)
            answer(work / ASSIGNMENT / f"{LESSON}.ipynb", student, lesson)
            run(work, "submit", ASSIGNMENT, f"--student={student}")
        run(root, "collect", ASSIGNMENT)
        run(root, "autograde", ASSIGNMENT)
        run(root, "generate_feedback", ASSIGNMENT)
        run(root, "release_feedback", ASSIGNMENT)
        run(root, "export", "--to=grades.csv")
    return SimpleNamespace(root=root, exchange=exchange, fetched=home, said=said)


def answer(path: Path, student: str, lesson) -> None:
    """Write this student's answers into the notebook, as typing them would."""
    solutions = {cell.id: cell.source for cell in lesson.cells if cell.kind == "exercise"}
    answers = {
        "blank": {},
        "half": {"sparsity": solutions["sparsity"], "count_parameters": PARTLY_RIGHT},
        "full": solutions,
    }[student]
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    nbformat.write(notebook, path)


def autograded(pipeline, student):
    path = pipeline.root / "autograded" / student / ASSIGNMENT / f"{LESSON}.ipynb"
    return nbformat.read(path, as_version=4)


def scores(pipeline) -> dict[str, float]:
    with open(pipeline.root / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}


def checks(lesson):
    return [find(cell.name) for cell in lesson.cells if cell.kind == "check"]


def test_what_is_released_is_the_students_notebook_byte_for_byte(pipeline):
    """Without the links to the glossary, which a class has not got."""
    ours = to_text(student(read(ROOT / "solutions" / f"{LESSON}.py"))).encode()
    inside = Path("pruning", "outbound", ASSIGNMENT, f"{LESSON}.ipynb")
    assert (pipeline.exchange / inside).read_bytes() == ours
    assert (pipeline.fetched / ASSIGNMENT / f"{LESSON}.ipynb").read_bytes() == ours


def test_everybodys_work_is_collected_and_no_command_complains(pipeline):
    submitted = pipeline.root / "submitted"
    assert sorted(path.name for path in submitted.iterdir()) == sorted(STUDENTS)
    assert not [name for name, said in pipeline.said.items() if "| ERROR]" in said]


@pytest.mark.parametrize("student", STUDENTS)
def test_no_cell_of_a_submission_fails_or_writes_to_stderr_where_it_counts(pipeline, student):
    for cell in autograded(pipeline, student).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            assert "nbgrader" not in cell.metadata or output.get("name") != "stderr"


def test_a_blank_notebook_scores_zero(pipeline):
    assert scores(pipeline)["blank"] == 0


def test_the_solution_scores_full_marks(pipeline, lesson):
    total = sum(exercise.points for exercise in checks(lesson))
    assert total > 0
    assert scores(pipeline)["full"] == total


def test_half_right_gets_its_partial_credit(pipeline):
    part = grade("count_parameters", count_parameters).score
    assert 0 < part < 1
    expected = find("sparsity").points + round(part * find("count_parameters").points, 2)
    assert scores(pipeline)["half"] == pytest.approx(expected)


def test_the_export_knows_how_much_could_be_had(pipeline, lesson):
    written = sum(cell.points for cell in lesson.cells if cell.kind == "written")
    total = sum(exercise.points for exercise in checks(lesson)) + written
    with open(pipeline.root / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["assignment"] for row in rows] == [ASSIGNMENT] * 3
    assert {float(row["max_score"]) for row in rows} == {total}


def test_feedback_says_what_the_check_said(pipeline):
    def feedback(student):
        path = pipeline.root / "feedback" / student / ASSIGNMENT / f"{LESSON}.html"
        return path.read_text(encoding="utf-8")

    message = grade("count_parameters", count_parameters).messages[0]
    assert "does not train" in message
    assert "does not train, and still has to be stored" in feedback("half")
    assert "sparsity: correct" in feedback("half")
    assert "count_parameters: not attempted" in feedback("blank")
    assert "not attempted" not in feedback("full")
    released = pipeline.exchange / "pruning" / "feedback"
    assert len(list(released.glob("*.html"))) == len(STUDENTS)
