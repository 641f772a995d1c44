"""A small class to try things on: one assignment with two checks and a written answer, and
students who hand in what a test wants. No code of theirs runs: what an answer is worth stands in
it, as `# worth 0.5`, `# crashes` or `# explodes`."""

import copy
import json
import re
import shutil

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.grading import classes, frames, plan, running

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


def perform(packed: bytes) -> bytes:
    """Stands in for running.perform: outputs and lines, from what the answers say."""
    header, _ = frames.unpack(packed)
    code = [cell for cell in nbformat.from_dict(header["cells"]) if cell.cell_type == "code"]
    answers = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in code}
    lines, outputs, checks = [], [], {}
    for cell in code:
        check = plan.check_of(cell)
        outputs.append([])
        if not check:
            continue
        answer = answers.get(check.exercise, "")
        if "# no bubblewrap" in answer:
            return json.dumps({"problem": "bubblewrap is missing."}).encode()
        if "# explodes" in answer:
            raise RuntimeError("a mistake of ours")
        why = WHY if "# crashes" in answer else ""
        found = re.search(r"# worth ([\d.]+)", answer)
        points = float(found[1]) * cell.metadata.nbgrader.points if found else 0
        outputs[-1].append(_output("0" if why else str(points), why, header["files"]))
        if why:
            lines.append(f"`{check.exercise}` could not be graded: {why}")
        else:
            checks[cell.metadata.nbgrader.grade_id] = {"points": points}
    result = {"outputs": outputs, "problems": lines, "checks": checks}
    return json.dumps({**result, "seconds": {"cells": 1.0, "verdicts": 0.5}}).encode()


def performing(change):
    """`perform`, with the result changed by `change(cell, outputs)` for each code cell."""

    def performed(packed: bytes) -> bytes:
        cells = nbformat.from_dict(frames.unpack(packed)[0]["cells"])
        result = json.loads(perform(packed))
        code = (cell for cell in cells if cell.cell_type == "code")
        for cell, outputs in zip(code, result["outputs"], strict=True):
            change(cell, outputs)
        return json.dumps(result).encode()

    return performed


def _output(plain, why, files):
    html = (
        f'<div style="border: 1px solid red; margin: 0.2em 0">{plain} {why} {sorted(files)}</div>'
    )
    metadata = {running.OURS: {running.NOT_GRADED: why}} if why else {}
    return new_output("execute_result", {"text/plain": plain, "text/html": html}, metadata=metadata)


def graded(folder, students=()):
    """Grade assignment 01; what was printed, and the exit status."""
    said = []
    status = classes.grade(folder, "01", students, say=said.append)
    return said, status


def standing(folder, student):
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        return copy.deepcopy(classes.standing(gradebook, folder, "01", student))
