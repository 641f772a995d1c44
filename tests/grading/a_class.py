"""A small class to try things on: one assignment with two checks and a written answer, and
students who hand in what a test wants. No code of theirs runs: what an answer is worth stands in
it, as `# worth 0.5`, `# crashes` or `# explodes`."""

import copy
import re
import shutil

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.grading import classes, execution, plan

LESSON = "01_topic"
WHY = "the cell ran longer than 60 s"


def _nbgrader(name, **flags):
    blank = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"nbgrader": {"grade_id": name, "schema_version": 3, **blank, **flags}}


def _exercise(name, points):
    stub = f"def {name}(x):\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    check = f'from course_utils.study import check\n\ncheck("{name}", {name})'
    graded = _nbgrader(f"check-{name}", grade=True, locked=True, points=points)
    return [
        new_code_cell(stub, id=name, metadata=_nbgrader(name, solution=True)),
        new_code_cell(check, id=f"check-{name}", metadata=graded),
    ]


def lesson():
    """The instructor's notebook: 2 + 4 + 3 points."""
    written = _nbgrader("why", grade=True, solution=True, points=3)
    cells = [
        new_markdown_cell("# A topic", id="title"),
        *_exercise("first", 2),
        *_exercise("second", 4),
        new_markdown_cell("Write here.", id="why", metadata=written),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make(folder):
    classes.new(folder, {LESSON: lesson()})
    return folder


def copied(folder, to):
    shutil.copytree(folder, to)
    return to


def hand_in(folder, student, *, name=f"{LESSON}.ipynb", edit=None, stamp=None, **answers):
    """Put a notebook where nbgrader's collect would; `answers` by the exercise's name."""
    notebook = nbformat.read(folder / "release" / "01" / f"{LESSON}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    if edit:
        edit(notebook)
    place = folder / "submitted" / student / "01"
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place / name)
    if stamp:
        (place / "timestamp.txt").write_text(stamp, encoding="utf-8")
    return place


def worth(share):
    return f"# worth {share}"


def execute(notebook, release, files, settings):
    """Stands in for execution.execute: the same outputs, from what the answers say."""
    sources = {cell.id: cell.source for cell in notebook.cells}
    received = notebook.metadata.get(execution.OURS, {})
    unreadable = received.get("unreadable")
    lines = []
    for cell in notebook.cells:
        check = plan.check_of(cell)
        if cell.cell_type != "code" or not check:
            continue
        answer = sources.get(check.exercise, "")
        if "# no bubblewrap" in answer:
            raise execution.Problem("bubblewrap is missing.")
        if "# explodes" in answer and not unreadable:
            raise RuntimeError("a mistake of ours")
        why = unreadable or (WHY if "# crashes" in answer else "")
        if cell.metadata.nbgrader.grade_id in received.get("lost", []):
            why = execution.DAMAGED
        found = re.search(r"# worth ([\d.]+)", answer)
        points = float(found[1]) * cell.metadata.nbgrader.points if found else 0
        cell.outputs = [_output("0" if why else str(points), why, files)]
        if why and not unreadable:
            lines.append(f"`{check.exercise}` could not be graded: {why}")
    return lines


def _output(plain, why, files):
    html = (
        f'<div style="border: 1px solid red; margin: 0.2em 0">{plain} {why} {sorted(files)}</div>'
    )
    metadata = {execution.OURS: {execution.NOT_GRADED: why}} if why else {}
    return new_output("execute_result", {"text/plain": plain, "text/html": html}, metadata=metadata)


def graded(folder, students=()):
    """Grade assignment 01; what was printed, and the exit status."""
    said = []
    status = classes.grade(folder, "01", students, say=said.append)
    return said, status


def standing(folder, student):
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        return copy.deepcopy(classes.standing(gradebook, folder, "01", student))
